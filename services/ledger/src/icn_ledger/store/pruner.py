"""Forgets what blocks replaced, in the background. Source: docs/spec/ledger-store.md, "How far back"."""

from __future__ import annotations

import asyncio

import structlog
from icn_kit.database import Database
from icn_kit.errors import Unavailable
from icn_machine.limits import VERSIONED_HEIGHTS

HEIGHTS_PER_TRANSACTION_MAX = 16
"""Keeps a transaction short: sixteen full blocks changed about 200,000 rows."""
HEIGHTS_PER_WAKING = 16
"""Heights may be kept for longer than promised; a look at every height cost 6 % of a quiet validator."""
EDGES_KEPT = 400
"""Epoch edges whose state can still be read: with epochs of a day, a year and a month."""
RETRY_SECONDS = 5.0

_POSITION = "SELECT horizon.provable_from, chain.executed_height FROM horizon, chain"

# What an edge shows outlives its height: kept under the newest edge that shows it, absence included.
_KEEP_AT_EDGES = """
    INSERT INTO leaves_at_edges (namespace, identifier, epoch, value)
    SELECT version.namespace, version.identifier, edge.epoch, version.value
    FROM replaced
    CROSS JOIN LATERAL (
        SELECT epoch, executed_height FROM epoch_edges
        WHERE executed_height < replaced.height ORDER BY epoch DESC LIMIT 1
    ) AS edge
    CROSS JOIN LATERAL unnest(
        replaced.namespaces, replaced.identifiers, replaced.written_at, replaced.leaf_values
    ) AS version (namespace, identifier, height, value)
    WHERE replaced.height <= %(last)s AND coalesce(version.height, 0) <= edge.executed_height
    ORDER BY replaced.height
    ON CONFLICT DO NOTHING
"""

_FORGET_OLD_EDGES = """
    DELETE FROM leaves_at_edges
    WHERE epoch <= (SELECT max(epoch) FROM epoch_edges WHERE executed_height < %(last)s) - %(edges)s
"""

_FORGET = "DELETE FROM replaced WHERE height <= %(last)s"

_ADVANCE = "UPDATE horizon SET provable_from = %(last)s"

_log = structlog.get_logger(__name__)


class Pruner:
    """Keeps the horizon 256 heights behind the newest, and HEIGHTS_PER_WAKING more at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = asyncio.Event()
        self._executed = 0

    def note_executed(self) -> None:
        """Say that a block was executed."""
        self._executed += 1
        if self._executed >= HEIGHTS_PER_WAKING:
            self._executed = 0
            self._wake.set()

    async def run(self) -> None:
        """Prune for ever, whenever there is something to prune."""
        while True:
            self._wake.clear()
            try:
                while await self.prune():
                    pass
            except Unavailable as error:
                _log.warning("pruning interrupted", error=error.message)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._wake.wait()

    async def prune(self) -> bool:
        """Prune up to HEIGHTS_PER_TRANSACTION_MAX heights; False when there was nothing to prune."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_POSITION)
            row = await cursor.fetchone()
            assert row is not None, "the chain has its row"
            first, executed_height = row
            # One height more than is promised: after a lost connection the store may think that the newest
            # height is still the one before.
            last = min(first + HEIGHTS_PER_TRANSACTION_MAX, executed_height - VERSIONED_HEIGHTS - 1)
            if last <= first:
                return False
            for statement in (_KEEP_AT_EDGES, _FORGET_OLD_EDGES, _FORGET, _ADVANCE):
                await connection.execute(statement, {"last": last, "edges": EDGES_KEPT})
        return True
