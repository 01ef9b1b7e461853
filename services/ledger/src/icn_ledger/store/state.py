"""The replicated state in Postgres: loading what a block touches, writing what it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg
from icn_crypto.merkle_log import Log
from icn_crypto.state_tree import StateTree, missing_prefixes
from icn_kit.database import Connection, Database
from icn_kit.writer import Writer
from icn_machine.blocks.ports import (
    AnotherExecuted,
    BlockCommit,
    ExecutedBlock,
    PageNotLoaded,
    RestoredBlock,
    StateBehind,
    StatePruned,
)
from icn_machine.duty import DutyCounts
from icn_machine.limits import (
    HOLDS_RELEASED_PER_BLOCK_MAX,
    ORDERS_PER_BLOCK_MAX,
    POLLS_CLOSED_PER_BLOCK_MAX,
    VERSIONED_HEIGHTS,
)
from icn_machine.records import ContractEntry, Due, Namespace, RecordTables
from icn_machine.touched import RecordNames
from icn_machine.validity import ValidityView

from icn_ledger.metrics import COMMIT_SECONDS
from icn_ledger.store.arrays import BigintArray, ByteaArray
from icn_ledger.store.cache import PAGES_MAX, LeastRecentlyUsed, PageCache, RecentChanges, RecordCache
from icn_ledger.store.history import SELECT_PLACES, id_heads, split_outcomes
from icn_ledger.store.statements import INSERT_CHAIN, block_statement
from icn_ledger.store.versions import (
    fetch_leaf_bytes,
    fetch_pages,
    fetch_storage,
    fetch_tree,
    records_of,
)
from icn_ledger.usecases.ports import EventRows

SELECT_BLOCKS = """
    SELECT height, hash, header, time_ms, epoch, state_root, receipts_root, log_root, has_changed_state,
        next_expiry_time_ms, transaction_count, finalization, next_validator_set_hash
    FROM blocks
"""

SELECT_VALIDATOR_SETS = "SELECT hash, data FROM validator_sets WHERE hash = ANY(%s)"

# Edges that keep the set leave it out.
_SETS_OF_EPOCHS = """
    SELECT wanted.epoch, edge.next_validator_set
    FROM unnest(%s::bigint[]) AS wanted (epoch), LATERAL (
        SELECT next_validator_set FROM epoch_edges
        WHERE epoch_edges.epoch < wanted.epoch AND next_validator_set <> ''
        ORDER BY epoch_edges.epoch DESC LIMIT 1
    ) AS edge
"""

PAGES_BEHIND_HEIGHTS = 16
"""Pages of the tree are written every so many heights: most that a block changes the next changes again."""
PAGES_BEHIND_MAX = 8_192
"""Or when so many have changed, about 10 MB."""
ANY_KEY = bytes(32)
"""Leads to the page at the top, which has the root."""
VALIDATOR_SETS_MAX = 16
"""Kept in memory, about 100 kB each with fifty seats."""
RECENT_BLOCKS = 64
"""Blocks kept for the roots that later headers name."""


_RESTORED = """
    SELECT blocks.header, blocks.finalization, chain.descendant_headers
    FROM chain JOIN blocks ON blocks.height = chain.executed_height
    WHERE chain.snapshot_height = chain.executed_height AND chain.snapshot_height > 0
"""

_DUE_HOLDS = "SELECT hold FROM holds WHERE expire_time_ms <= %s ORDER BY expire_time_ms, hold LIMIT %s"
_DUE_POLLS = "SELECT poll FROM open_polls WHERE close_time_ms <= %s ORDER BY close_time_ms, poll LIMIT %s"
_DUE_ORDERS = """
    SELECT standing_order FROM orders WHERE next_time_ms <= %s ORDER BY next_time_ms, standing_order LIMIT %s
"""
_EARLIEST_UNTOUCHED = """
    (SELECT expire_time_ms FROM holds WHERE hold <> ALL(%s) ORDER BY expire_time_ms LIMIT 1)
    UNION ALL
    (SELECT close_time_ms FROM open_polls WHERE poll <> ALL(%s) ORDER BY close_time_ms LIMIT 1)
    UNION ALL
    (SELECT next_time_ms FROM orders WHERE standing_order <> ALL(%s) ORDER BY next_time_ms LIMIT 1)
"""


class WrongGenesis(RuntimeError):
    """The database holds another zone's chain, or one with another state at height 0. The node does not
    start."""


class _PagesInMemory:
    """Pages of the newest tree, as far as they are in memory."""

    def __init__(self, unwritten: Mapping[bytes, bytes | None], cached: Mapping[bytes, bytes | None]) -> None:
        self._unwritten = unwritten
        self._cached = cached

    def get(self, prefix: bytes, /) -> bytes | None:
        """See `Pages`. A page that is read is not touched: whoever reads it for a block writes it, too."""
        page = self._cached.get(prefix)
        if page is not None:
            return page
        for pages in (self._cached, self._unwritten):
            if prefix in pages:
                return pages[prefix]
        raise PageNotLoaded(prefix)


class _Position(NamedTuple):
    """Where the chain stands."""

    newest: ExecutedBlock
    log: Log
    pages_height: int
    """Whose tree the written pages are."""
    unwritten: dict[bytes, bytes | None]
    """Pages changed since, None for those that went."""
    duty: DutyCounts
    """Of the newest block's epoch."""
    snapshot_height: int


class StateStore:
    """Implements `usecases.ports.State`. Made by `open`."""

    def __init__(self, database: Database, events: EventRows, position: _Position) -> None:
        self._database = database
        self._writer = Writer(database)
        self._event_rows = events
        self._position = position
        self._records = RecordCache()
        self._pages = PageCache(PAGES_MAX)
        self._recent = RecentChanges()
        self._blocks: LeastRecentlyUsed[int, ExecutedBlock] = LeastRecentlyUsed(RECENT_BLOCKS)
        self._validator_sets: LeastRecentlyUsed[bytes, bytes] = LeastRecentlyUsed(VALIDATOR_SETS_MAX)
        self._is_uncertain = False
        # Held while the database moves from one height to the next and while its rows enter the caches, so
        # that a cache never mixes two heights.
        self._lock = asyncio.Lock()

    @classmethod
    async def open(
        cls, database: Database, events: EventRows, genesis_hash: bytes, first: BlockCommit
    ) -> StateStore:
        """Read where the chain stands, or write ``first`` (height 0) into an empty database.

        Raises:
            WrongGenesis: the database holds another zone's chain.
        """
        async with database.transaction() as connection:
            cursor = await connection.execute("SELECT genesis_hash FROM chain FOR UPDATE")
            row = await cursor.fetchone()
            if row is None:
                await connection.execute(INSERT_CHAIN, {"genesis_hash": genesis_hash})
                await connection.execute(*block_statement(first, (), first.pages, 0))
            elif row[0] != genesis_hash:
                raise WrongGenesis(
                    f"the database has the chain of {row[0].hex()}, the genesis file is {genesis_hash.hex()}"
                )
            cursor = await connection.execute("SELECT hash FROM blocks WHERE height = 0")
            if await cursor.fetchone() != (first.block.hash,):
                raise WrongGenesis("the database has a chain that a release with other rules began")
            position = await _read_position(connection)
        return cls(database, events, position)

    async def close(self) -> None:
        """Close the connection that writes blocks."""
        await self._writer.close()

    @property
    def newest(self) -> ExecutedBlock:
        """The block executed last."""
        return self._position.newest

    @property
    def snapshot_height(self) -> int:
        """Height of the snapshot that the state was restored from; 0: it was executed from genesis on."""
        return self._position.snapshot_height

    @property
    def log(self) -> Log:
        """Block log up to `newest`; a copy."""
        return self._position.log.copy()

    @property
    def duty(self) -> DutyCounts:
        """What the seats did in the epoch of `newest` so far."""
        return self._position.duty

    async def settle(self) -> None:
        """After a commit whose outcome is unknown, read where the chain stands and forget the caches."""
        if not self._is_uncertain:
            return
        async with self._lock:
            async with self._database.connection() as connection:
                await self._writer.end(connection)
                self._position = await _read_position(connection)
            self._records.clear()
            self._pages.clear()
            self._recent.clear()
            self._blocks.clear()
            self._is_uncertain = False

    async def reload(self) -> None:
        """Read where the chain stands and forget the caches: the state was restored."""
        self._is_uncertain = True
        await self.settle()

    async def restored(self) -> RestoredBlock | None:
        """The block whose state was restored, while no block was executed after it."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_RESTORED)
            row = await cursor.fetchone()
        return None if row is None else RestoredBlock(row[0], row[1], tuple(row[2]))

    async def load(self, names: RecordNames) -> RecordTables:
        """Records of the newest state, None for those that are absent."""
        records = RecordTables()
        if self._take(names, records):
            async with self._lock:
                await self._load_missing(names, records)
        return records

    async def load_storage(self, contract: bytes) -> dict[bytes, ContractEntry]:
        """Every entry of a contract's storage in the newest state, ascending."""
        async with self._lock, self._database.connection() as connection:
            return await fetch_storage(connection, contract)

    async def load_validity(self, names: RecordNames, height: int) -> ValidityView:
        """Controllers and allowances as they were after ``height``."""
        self._check_height(height)
        records = RecordTables()
        if not self._recent.reaches(height, self.newest.height) or self._take(names, records):
            async with self._lock:
                self._check_height(height)
                if not self._recent.reaches(height, self.newest.height):
                    wanted = _listed(names)
                    async with self._database.connection() as connection:
                        records = records_of(wanted, await fetch_leaf_bytes(connection, wanted, height))
                    return ValidityView(records.controllers, records.allowances)
                # What was taken before the lock may be of an older height by now.
                records = RecordTables()
                await self._load_missing(names, records)
        # Nothing is awaited between reading the newest records and turning them back.
        self._recent.rewind(height, records.controllers, records.allowances)
        return ValidityView(records.controllers, records.allowances)

    @property
    def pages(self) -> _PagesInMemory:
        """Pages of the newest tree that are in memory; PageNotLoaded for others."""
        return _PagesInMemory(self._position.unwritten, self._pages.entries)

    async def load_pages(self, keys: Sequence[bytes]) -> dict[bytes, bytes | None]:
        """Every page of the newest tree that lies on the way to the keys, among others."""
        pages = {**self._pages.entries, **self._position.unwritten}
        while missing := missing_prefixes(pages, keys):
            async with self._lock, self._database.connection() as connection:
                found = await fetch_pages(connection, missing)
                self._pages.put_all(found)
            pages.update(found)
        return pages

    async def load_validator_sets(self, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """Canonical bytes of sets that were committed, by hash."""
        found: dict[bytes, bytes] = {}
        if missing := self._validator_sets.take(hashes, found):
            async with self._database.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(SELECT_VALIDATOR_SETS, (ByteaArray(missing),))
                read = dict(await cursor.fetchall())
            self._validator_sets.put_all(read)
            found.update(read)
        return found

    async def load_sets_of_epochs(self, epochs: Collection[int]) -> dict[int, bytes]:
        """Canonical bytes of the sets in force in epochs; those of genesis are left out."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_SETS_OF_EPOCHS, (BigintArray(list(epochs)),))
            return dict(await cursor.fetchall())

    async def due(self, time_ms: int) -> Due:
        """What falls due at or before the time, as much as one block settles."""
        next_expiry = self.newest.next_expiry_time_ms
        if next_expiry == 0 or next_expiry > time_ms:
            return Due([], [], [])
        async with self._database.connection() as connection:
            holds = await connection.execute(_DUE_HOLDS, (time_ms, HOLDS_RELEASED_PER_BLOCK_MAX))
            due_holds = [hold for (hold,) in await holds.fetchall()]
            polls = await connection.execute(_DUE_POLLS, (time_ms, POLLS_CLOSED_PER_BLOCK_MAX))
            due_polls = [poll for (poll,) in await polls.fetchall()]
            orders = await connection.execute(_DUE_ORDERS, (time_ms, ORDERS_PER_BLOCK_MAX))
            return Due(due_holds, due_polls, [order for (order,) in await orders.fetchall()])

    async def commit(self, commit: BlockCommit) -> ExecutedBlock:
        """Write a block durably, all or nothing, in one round trip."""
        height = commit.block.height
        assert not self._is_uncertain and height == self.newest.height + 1, "settled, and the next height"
        block = replace(commit.block, next_expiry_time_ms=await self._next_expiry(commit))
        commit = replace(commit, block=block)
        position = self._position
        unwritten, pages_height = position.unwritten, position.pages_height
        pages: dict[bytes, bytes | None] = {}
        changed_pages = len(unwritten) + sum(prefix not in unwritten for prefix in commit.pages)
        if height - pages_height >= PAGES_BEHIND_HEIGHTS or changed_pages > PAGES_BEHIND_MAX:
            pages, unwritten, pages_height = {**unwritten, **commit.pages}, {}, height
        text, parameters = block_statement(commit, self._event_rows(commit), pages, pages_height)
        async with self._lock:
            self._is_uncertain = True
            try:
                with COMMIT_SECONDS.time():
                    await self._writer.execute(text, parameters)
            except psycopg.errors.UniqueViolation as error:
                raise AnotherExecuted(
                    f"height {height} or one of its rows is there already: {error}"
                ) from error
            changed = commit.changes
            self._recent.add(
                height,
                {identifier: commit.before.controllers[identifier] for identifier in changed.controllers},
                {identifier: commit.before.allowances[identifier] for identifier in changed.allowances},
            )
            self._records.put(changed)
            self._pages.put_all(commit.pages)
            if not pages:
                unwritten.update(commit.pages)
            self._blocks.put(height - 1, position.newest)
            self._position = _Position(
                block, commit.log, pages_height, unwritten, commit.duty, position.snapshot_height
            )
            self._is_uncertain = False
        return block

    async def block_at(self, height: int) -> ExecutedBlock | None:
        """An executed block, None above the newest."""
        if height == self.newest.height:
            return self.newest
        if height in self._blocks:
            return self._blocks.touch(height)
        async with self._database.connection() as connection:
            cursor = await connection.execute(SELECT_BLOCKS + "WHERE height = %s", (height,))
            row = await cursor.fetchone()
        return None if row is None else read_block(row)

    async def receipts_at(self, height: int) -> list[tuple[bytes, bytes]]:
        """Ids and receipts of a block's transactions, in order."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute("SELECT ids, receipts FROM transactions WHERE height = %s", (height,))
            row = await cursor.fetchone()
        return [] if row is None else split_outcomes(*row)

    async def heights_of(self, transaction_ids: Sequence[bytes]) -> dict[bytes, int]:
        """The height of the block that includes each of the transactions; those in none are left out."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            heads = BigintArray(id_heads(transaction_ids))
            await cursor.execute(SELECT_PLACES, {"ids": ByteaArray(transaction_ids), "id_heads": heads})
            return {identifier: height for identifier, height, _ in await cursor.fetchall()}

    async def _next_expiry(self, commit: BlockCommit) -> int:
        """Earliest time among the holds, polls and orders that the block leaves, 0 when there is none."""
        holds, polls, orders = commit.changes.holds, commit.changes.polls, commit.changes.orders
        if not (holds or polls or orders):
            return self.newest.next_expiry_time_ms
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                _EARLIEST_UNTOUCHED, [ByteaArray(list(changed)) for changed in (holds, polls, orders)]
            )
            untouched = [row[0] for row in await cursor.fetchall()]
        expiries = [hold.expire_time_ms for hold in holds.values() if hold is not None]
        closes = [poll.close_time_ms for poll in polls.values() if poll is not None and not poll.is_closed]
        times = [order.next_time_ms for order in orders.values() if order is not None]
        return min([*untouched, *expiries, *closes, *times], default=0)

    def _check_height(self, height: int) -> None:
        newest_height = self.newest.height
        if height > newest_height:
            raise StateBehind(height, newest_height)
        oldest_height = max(newest_height - VERSIONED_HEIGHTS, self.snapshot_height)
        if height < oldest_height:
            raise StatePruned(height, oldest_height)

    def _take(self, names: RecordNames, records: RecordTables) -> list[tuple[Namespace, bytes]]:
        """Fill ``records`` from the cache; the answer is what is missing there."""
        return [
            (namespace, identifier)
            for namespace, wanted in names.filled()
            for identifier in self._records.take(namespace, wanted, records.table(namespace))
        ]

    async def _load_missing(self, names: RecordNames, records: RecordTables) -> None:
        """Fill ``records`` with the newest versions; the lock is held."""
        missing = self._take(names, records)
        if not missing:
            return
        async with self._database.connection() as connection:
            # By height: after a lost answer the database may be one ahead of what this store knows.
            loaded = records_of(missing, await fetch_leaf_bytes(connection, missing, self.newest.height))
        self._records.put(loaded)
        for namespace, table in loaded.filled():
            records.table(namespace).update(table)


async def read_executed_height(database: Database) -> int:
    """Where the chain in a database stands; 0 at genesis, or where no chain has begun."""
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT executed_height FROM chain")).fetchone()
    return 0 if row is None else int(row[0])


def read_block(row: Any) -> ExecutedBlock:
    """A row of `SELECT_BLOCKS`."""
    return ExecutedBlock(*row)


def _listed(names: RecordNames) -> list[tuple[Namespace, bytes]]:
    return [(namespace, identifier) for namespace, wanted in names.filled() for identifier in wanted]


async def _read_position(connection: Connection) -> _Position:
    """Where the chain stands; raises AssertionError when the pages are not those of the leaves."""
    cursor = await connection.execute(
        "SELECT log_frontier, pages_height, duty_epoch, duty_counts, snapshot_height FROM chain"
    )
    row = await cursor.fetchone()
    assert row is not None, "open wrote it"
    frontier, pages_height, duty_epoch, (blocks, *counts), snapshot_height = row
    seats = len(counts) // 2
    duty = DutyCounts(duty_epoch, blocks, tuple(counts[:seats]), tuple(counts[seats:]))
    cursor = await connection.execute(SELECT_BLOCKS + "ORDER BY height DESC LIMIT 1")
    block = await cursor.fetchone()
    assert block is not None, "genesis is there"
    newest = read_block(block)
    pages, changes = await fetch_tree(connection, newest.height, [ANY_KEY])
    update = StateTree(pages).update(changes)
    assert update.root == newest.state_root, f"the tree at height {newest.height} has another root"
    log = Log.from_bytes(frontier)
    return _Position(newest, log, pages_height, update.pages, duty, snapshot_height)
