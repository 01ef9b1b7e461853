"""Removes versions that nothing can read any more, in the background. Source: docs/spec/ledger-store.md."""

from __future__ import annotations

import asyncio

import structlog
from icn_kit.database import Database
from icn_kit.errors import Unavailable

from icn_ledger.domain.limits import VERSIONED_HEIGHTS

HEIGHTS_PER_TRANSACTION_MAX = 16
"""Keeps a transaction short: sixteen full blocks changed about 200,000 rows."""
HEIGHTS_PER_WAKING = 16
"""Versions may be kept for longer than promised; a look at every height cost 6 % of a quiet validator."""
EDGES_KEPT = 400
"""Epoch edges whose state can still be read: with epochs of a day, a year and a month."""
RETRY_SECONDS = 5.0

_POSITION = "SELECT horizon.provable_from, chain.executed_height FROM horizon, chain"

# Each version is found by its key. Without statistics of a young table Postgres would rather read and sort
# all of it for every few heights: twice the work of all other statements of a busy ledger together.
_BY_KEY = """
    SELECT set_config(name, 'off', true)
    FROM unnest(
        ARRAY['enable_mergejoin', 'enable_hashjoin', 'enable_seqscan', 'enable_bitmapscan']
    ) AS setting (name)
"""

_ADVANCE = "UPDATE horizon SET provable_from = %(last)s"

# A version goes when a newer one is at or below the oldest height to be read, unless an edge shows it.
_DELETE = """
    DELETE FROM {table} AS version USING {table} AS newer
    WHERE newer.height > %(first)s AND newer.height <= %(last)s
        AND {same_version_newer} AND version.height < newer.height
        AND NOT EXISTS (
            SELECT FROM epoch_edges AS edge
            WHERE edge.epoch > (SELECT max(epoch) FROM epoch_edges) - %(edges)s
                AND edge.executed_height >= version.height AND edge.executed_height < newer.height
                AND NOT EXISTS (
                    SELECT FROM {table} AS between_them
                    WHERE {same_version_between} AND between_them.height > version.height
                        AND between_them.height <= edge.executed_height
                )
        )
"""

# A null says that what was there before went; without anything before it, it says nothing.
_DELETE_NULLS = """
    DELETE FROM {table} AS version
    WHERE version.height > %(first)s AND version.height <= %(last)s AND version.{value} IS NULL
        AND NOT EXISTS (
            SELECT FROM {table} AS older WHERE {same_version_older} AND older.height < version.height
        )
"""

_log = structlog.get_logger(__name__)


def _statements(table: str, keys: tuple[str, ...], value: str) -> tuple[str, str]:
    def same(other: str) -> str:
        return " AND ".join(f"version.{key} = {other}.{key}" for key in keys)

    return (
        _DELETE.format(
            table=table, same_version_newer=same("newer"), same_version_between=same("between_them")
        ),
        _DELETE_NULLS.format(table=table, value=value, same_version_older=same("older")),
    )


_STATEMENTS = (
    *_statements("leaves", ("namespace", "identifier"), "value"),
    *_statements("tree_pages", ("prefix",), "page"),
)


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
            await connection.execute(_BY_KEY)
            span = {"first": first, "last": last, "edges": EDGES_KEPT}
            for statement in _STATEMENTS:
                await connection.execute(statement, span)
            await connection.execute(_ADVANCE, span)
        return True
