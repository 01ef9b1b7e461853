"""Snapshots in Postgres: the leaves as after a height in the order of their keys, chunks by their SHA-256,
and the transaction that puts a restored state in place.

Source: docs/spec/snapshot.md; docs/spec/ledger-store.md, "Tables".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from icn_crypto.state_tree import state_key
from icn_kit.database import Connection, Database
from icn_kit.errors import FailedPrecondition
from icn_machine.blocks.ports import EpochEdge, StatePruned
from icn_machine.records import Namespace, RecordTables
from icn_machine.snapshot_chunks import Leaf

from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray
from icn_ledger.store.edges import read_edge
from icn_ledger.store.state import SELECT_VALIDATOR_SETS
from icn_ledger.store.statements import lists_statement
from icn_ledger.store.versions import KEY_HEAD, LEAVES_AFTER
from icn_ledger.usecases.ports import RestoredChain, RestoredPiece

SNAPSHOTS_KEPT = 2
"""Who is in the middle of the older one can go on."""
ROWS_PER_READ = 500
"""Leaves in memory beside those of a chunk: some 2 ms of work between two turns of the event loop."""
READING_MS_MAX = 3_600_000
"""Time-out of a statement, and of a pause, while a snapshot is read."""

_LEAVES = "SELECT namespace, identifier, value FROM (_AFTER) AS leaf ORDER BY state_key".replace(
    "_AFTER", LEAVES_AFTER
)

_EDGES = """
    SELECT epoch, height, executed_height, header, descendant_headers, finalization, next_validator_set,
        recovery
    FROM epoch_edges WHERE height <= %(height)s ORDER BY epoch
"""

_KEEP = """
    INSERT INTO snapshots (height, data, digests) VALUES (%(height)s, %(data)s, %(digests)s)
    ON CONFLICT (height) DO UPDATE SET data = excluded.data, digests = excluded.digests
"""
_FORGET_SNAPSHOTS = """
    DELETE FROM snapshots
    WHERE height NOT IN (SELECT height FROM snapshots ORDER BY height DESC LIMIT %(kept)s)
"""
_FORGET_CHUNKS = """
    DELETE FROM snapshot_chunks
    WHERE NOT EXISTS (SELECT FROM snapshots WHERE snapshot_chunks.digest = ANY(snapshots.digests))
"""

_EMPTIED = (
    "leaves",
    "tree_pages",
    "replaced",
    "leaves_at_edges",
    "accounts",
    "units",
    "holds",
    "open_polls",
    "memberships",
    "duties",
    "epoch_edges",
    "validator_sets",
)
"""What genesis wrote of the state; its block stays, by which the zone is known."""

_ADD_LEAVES = """
    INSERT INTO leaves (namespace, identifier, height, value)
    SELECT namespace, identifier, %(height)s, value
    FROM unnest(%(namespaces)s, %(identifiers)s, %(values)s) AS given (namespace, identifier, value)
"""
_ADD_PAGES = """
    INSERT INTO tree_pages (prefix, page) SELECT prefix, page FROM unnest(%(prefixes)s, %(pages)s)
        AS given (prefix, page)
"""
_ADD_DUTIES = """
    INSERT INTO duties (epoch, organization)
    SELECT epoch, organization FROM unnest(%(epochs)s, %(organizations)s) AS given (epoch, organization)
"""
_ADD_SETS = "INSERT INTO validator_sets (hash, data) SELECT * FROM unnest(%(hashes)s, %(sets)s)"
_ADD_EDGE = """
    INSERT INTO epoch_edges
        (epoch, height, executed_height, header, descendant_headers, finalization, next_validator_set,
            recovery)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_ADD_BLOCK = """
    INSERT INTO blocks (height, hash, header, time_ms, epoch, state_root, receipts_root, log_root,
        has_changed_state, next_expiry_time_ms, transaction_count, finalization, next_validator_set_hash)
    SELECT %(height)s, %(hash)s, %(header)s, %(time_ms)s, %(epoch)s, %(state_root)s, %(receipts_root)s,
        %(log_root)s, true, coalesce(least(
            (SELECT min(expire_time_ms) FROM holds), (SELECT min(close_time_ms) FROM open_polls)
        ), 0), 0, %(finalization)s, %(next_validator_set_hash)s
"""
_MOVE_CHAIN = """
    UPDATE chain SET executed_height = %(height)s, snapshot_height = %(height)s, pages_height = %(height)s,
        log_frontier = %(log_frontier)s, descendant_headers = %(descendant_headers)s,
        duty_epoch = %(duty_epoch)s, duty_counts = %(duty_counts)s
"""
_MOVE_HORIZON = "UPDATE horizon SET provable_from = %(height)s"


class PostgresSnapshots:
    """Implements `usecases.ports.SnapshotStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def state_after(self, height: int) -> AsyncIterator[_StateAfter]:
        """The state after a height, in one snapshot of the database, on a connection of its own.

        Raises:
            StatePruned: the height is no longer kept.
            Unavailable: the database went away.
        """
        async with self._database.connection_alone("snapshot") as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(f"SET LOCAL {name} = {READING_MS_MAX}")
            cursor = await connection.execute("SELECT provable_from FROM horizon")
            row = await cursor.fetchone()
            assert row is not None, "the horizon has its row"
            if height < row[0]:
                raise StatePruned(height, row[0])
            yield _StateAfter(connection, height)

    async def put_chunk(self, digest: bytes, chunk: bytes) -> None:
        """Keep a chunk."""
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO snapshot_chunks (digest, data) VALUES (%b, %b) ON CONFLICT DO NOTHING",
                (digest, chunk),
            )

    async def chunk(self, digest: bytes) -> bytes | None:
        """A chunk that is kept."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute("SELECT data FROM snapshot_chunks WHERE digest = %b", (digest,))
            row = await cursor.fetchone()
        return None if row is None else row[0]

    async def held(self, digests: Collection[bytes]) -> set[bytes]:
        """Which of the chunks are kept."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(
                "SELECT digest FROM snapshot_chunks WHERE digest = ANY(%s)", (ByteaArray(list(digests)),)
            )
            return {digest for (digest,) in await cursor.fetchall()}

    async def keep(self, height: int, snapshot: bytes, digests: Sequence[bytes]) -> None:
        """Keep a snapshot whose chunks are kept; of the others only the newest, and no chunk besides."""
        async with self._database.transaction() as connection:
            await connection.execute(
                _KEEP, {"height": height, "data": snapshot, "digests": ByteaArray(list(digests))}
            )
            await connection.execute(_FORGET_SNAPSHOTS, {"kept": SNAPSHOTS_KEPT})
            await connection.execute(_FORGET_CHUNKS)

    async def newest(self) -> bytes | None:
        """The newest snapshot that is kept."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute("SELECT data FROM snapshots ORDER BY height DESC LIMIT 1")
            row = await cursor.fetchone()
        return None if row is None else row[0]

    @asynccontextmanager
    async def restoring(self, height: int) -> AsyncIterator[_Restoring]:
        """Replaces the state of genesis by that after a height, in one transaction.

        Raises:
            FailedPrecondition: STATE_NOT_EMPTY.
            Unavailable: the database went away; whether the state was replaced is unknown.
        """
        async with self._database.transaction() as connection:
            cursor = await connection.execute("SELECT executed_height FROM chain FOR UPDATE")
            row = await cursor.fetchone()
            assert row is not None, "the chain has its row"
            if row[0]:
                raise FailedPrecondition("STATE_NOT_EMPTY", f"the database stands at height {row[0]}")
            for table in _EMPTIED:
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            yield _Restoring(connection, height)


class _StateAfter:
    """Implements `usecases.ports.StateAt`."""

    def __init__(self, connection: Connection, height: int) -> None:
        self._connection = connection
        self._height = height

    async def edges(self) -> AsyncIterator[EpochEdge]:
        """Of every epoch that had ended, ascending."""
        async with self._connection.cursor("edges", binary=True) as cursor:
            await cursor.execute(_EDGES, {"height": self._height})
            async for row in cursor:
                yield read_edge(row)

    async def leaves(self) -> AsyncIterator[Sequence[Leaf]]:
        """Every leaf, ascending by state key, some at a time."""
        async with self._connection.cursor("leaves", binary=True) as cursor:
            await cursor.execute(_LEAVES, {"height": self._height, "head": KEY_HEAD})
            while rows := await cursor.fetchmany(ROWS_PER_READ):
                yield [
                    Leaf(state_key(namespace, identifier), Namespace(namespace), identifier, value)
                    for namespace, identifier, value in rows
                ]

    async def validator_sets(self, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
        """Canonical bytes by hash."""
        cursor = self._connection.cursor(binary=True)
        await cursor.execute(SELECT_VALIDATOR_SETS, (ByteaArray(list(hashes)),))
        return dict(await cursor.fetchall())


class _Restoring:
    """Implements `usecases.ports.Restoring`."""

    def __init__(self, connection: Connection, height: int) -> None:
        self._connection = connection
        self._height = height

    async def add(self, piece: RestoredPiece) -> None:
        """Write a chunk's leaves, what lists are made by, and its pages."""
        await self._execute(
            _ADD_LEAVES,
            {
                "height": self._height,
                "namespaces": SmallintArray([leaf.namespace for leaf in piece.leaves]),
                "identifiers": ByteaArray([leaf.identifier for leaf in piece.leaves]),
                "values": ByteaArray([leaf.value for leaf in piece.leaves]),
            },
        )
        await self._add_pages(piece.pages)
        lists = lists_statement(_Added(piece.records))
        if lists is not None:
            await self._execute(*lists)
        duties = [duty for duty in piece.records.duties.values() if duty is not None]
        await self._execute(
            _ADD_DUTIES,
            {
                "epochs": BigintArray([duty.epoch for duty in duties]),
                "organizations": ByteaArray([duty.organization for duty in duties]),
            },
        )

    async def finish(self, chain: RestoredChain) -> None:
        """Write what makes it a state."""
        await self._add_pages(chain.pages)
        sets = chain.validator_sets
        await self._execute(
            _ADD_SETS, {"hashes": ByteaArray(list(sets)), "sets": ByteaArray(list(sets.values()))}
        )
        for edge in chain.edges:
            await self._connection.execute(
                _ADD_EDGE,
                (
                    edge.epoch,
                    edge.height,
                    edge.executed_height,
                    edge.header,
                    list(edge.descendant_headers),
                    edge.finalization,
                    edge.next_validator_set,
                    edge.recovery,
                ),
            )
        block = chain.block
        place = {"height": block.height}
        await self._execute(
            _ADD_BLOCK,
            {
                **place,
                "hash": block.hash,
                "header": block.header,
                "time_ms": block.time_ms,
                "epoch": block.epoch,
                "state_root": block.state_root,
                "receipts_root": block.receipts_root,
                "log_root": block.log_root,
                "finalization": block.finalization,
                "next_validator_set_hash": block.next_validator_set_hash,
            },
        )
        await self._execute(
            _MOVE_CHAIN,
            {
                **place,
                "log_frontier": chain.log.to_bytes(),
                "descendant_headers": ByteaArray(chain.descendant_headers),
                "duty_epoch": chain.duty.epoch,
                "duty_counts": BigintArray([chain.duty.blocks, *chain.duty.proposed, *chain.duty.signed]),
            },
        )
        await self._execute(_MOVE_HORIZON, place)

    async def _add_pages(self, pages: Mapping[bytes, bytes | None]) -> None:
        there = {prefix: page for prefix, page in pages.items() if page is not None}
        await self._execute(
            _ADD_PAGES, {"prefixes": ByteaArray(list(there)), "pages": ByteaArray(list(there.values()))}
        )

    async def _execute(self, text: str, parameters: Mapping[str, Any]) -> None:
        await self._connection.execute(text, parameters)


class _Added:
    """Records where there were none. A poll that is closed waits for nothing, so it is left out."""

    def __init__(self, records: RecordTables) -> None:
        self.before, self.changes = RecordTables(), records.copy()
        for namespace, identifier, _ in records:
            self.before.put(namespace, identifier, None)
        self.changes.polls = {
            identifier: poll
            for identifier, poll in records.polls.items()
            if poll is not None and not poll.is_closed
        }
