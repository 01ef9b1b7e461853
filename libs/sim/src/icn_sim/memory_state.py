"""The ledger's state in dictionaries: a small fake of its port, every height kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from icn_crypto.merkle_log import Log
from icn_ledger.usecases.ports import RestoredChain
from icn_machine.blocks.ports import (
    BlockCommit,
    EpochEdge,
    ExecutedBlock,
    RestoredBlock,
    StateBehind,
    StatePruned,
)
from icn_machine.duty import DutyCounts
from icn_machine.limits import (
    HOLDS_RELEASED_PER_BLOCK_MAX,
    ORDERS_PER_BLOCK_MAX,
    POLLS_CLOSED_PER_BLOCK_MAX,
)
from icn_machine.records import TABLES, ContractEntry, Due, RecordTables
from icn_machine.touched import RecordNames
from icn_machine.validity import ValidityView


class MemoryState:
    """Implements `icn_machine.blocks.ports.State`; what is not said here is said there."""

    def __init__(self, first: BlockCommit) -> None:
        self.blocks: list[ExecutedBlock] = []
        self.records: list[RecordTables] = []
        self.receipts: list[list[tuple[bytes, bytes]]] = []
        self.commits: list[BlockCommit] = []
        self.pages: dict[bytes, bytes | None] = {}
        self.validator_sets: dict[bytes, bytes] = {}
        self.edges: list[EpochEdge] = []
        self.snapshot_height = 0
        """Where the lists begin; 0: at genesis."""
        self._add(first)

    def restore(self, records: RecordTables, pages: dict[bytes, bytes | None], chain: RestoredChain) -> None:
        """Put another state in place of that of genesis."""
        block = chain.block
        self.blocks, self.records, self.receipts, self.commits = [], [], [], []
        self.pages, self.validator_sets = pages, dict(chain.validator_sets)
        self.edges, self.snapshot_height = list(chain.edges), block.height
        absent = RecordTables()
        for namespace, identifier, _ in records:
            absent.put(namespace, identifier, None)
        self._add(
            BlockCommit(
                block=block,
                descendant_headers=chain.descendant_headers,
                transaction_ids=(),
                receipts=(),
                events=(),
                posted=(),
                before=absent,
                changes=records,
                leaves=(),
                pages={},
                log=chain.log,
                edge=None,
                duty=chain.duty,
            )
        )

    def records_at(self, height: int) -> RecordTables:
        """The state after a height."""
        return self.records[height - self.snapshot_height]

    def _add(self, commit: BlockCommit) -> None:
        records = self.records[-1].copy() if self.records else RecordTables()
        for namespace, identifier, record in commit.changes:
            records.put(namespace, identifier, record)
        self.records.append(records)
        self.pages.update(commit.pages)
        self.validator_sets.update(commit.validator_sets)
        closed = commit.recovered
        if closed is not None:
            descendants = self.commits[-1].descendant_headers
            self.edges = [edge for edge in self.edges if edge.epoch != closed.epoch]
            self.edges.append(replace(closed, descendant_headers=descendants))
        if commit.edge is not None:
            self.edges.append(commit.edge)
        expiries = [hold.expire_time_ms for hold in records.holds.values() if hold is not None]
        expiries += [
            poll.close_time_ms for poll in records.polls.values() if poll is not None and not poll.is_closed
        ]
        expiries += [order.next_time_ms for order in records.orders.values() if order is not None]
        self.blocks.append(replace(commit.block, next_expiry_time_ms=min(expiries, default=0)))
        self.receipts.append(list(zip(commit.transaction_ids, commit.receipts, strict=True)))
        self.commits.append(commit)

    @property
    def newest(self) -> ExecutedBlock:
        """See `State`."""
        return self.blocks[-1]

    @property
    def log(self) -> Log:
        """See `State`."""
        return Log(self.commits[-1].log.size, list(self.commits[-1].log.peaks))

    @property
    def duty(self) -> DutyCounts:
        """See `State`."""
        return self.commits[-1].duty

    async def settle(self) -> None:
        """See `State`."""

    async def reload(self) -> None:
        """See `State`."""

    async def restored(self) -> RestoredBlock | None:
        """See `State`."""
        block = self.newest
        if not block.height or block.height != self.snapshot_height:
            return None
        return RestoredBlock(block.header, block.finalization, self.commits[-1].descendant_headers)

    async def load(self, names: RecordNames) -> RecordTables:
        """See `State`."""
        found, records = RecordTables(), self.records[-1]
        for name in TABLES.values():
            for identifier in getattr(names, name):
                getattr(found, name)[identifier] = getattr(records, name).get(identifier)
        return found

    async def load_storage(self, contract: bytes) -> dict[bytes, ContractEntry]:
        """See `State`."""
        return {
            identifier: entry
            for identifier, entry in sorted(self.records[-1].contract_entries.items())
            if entry is not None and identifier.startswith(contract)
        }

    async def load_validity(self, names: RecordNames, height: int) -> ValidityView:
        """See `State`."""
        if height > self.newest.height:
            raise StateBehind(height, self.newest.height)
        if height < self.snapshot_height:
            raise StatePruned(height, self.snapshot_height)
        records = self.records_at(height)
        return ValidityView(
            {identifier: records.controllers.get(identifier) for identifier in names.controllers},
            {identifier: records.allowances.get(identifier) for identifier in names.allowances},
        )

    async def load_pages(self, _keys: Sequence[bytes]) -> Mapping[bytes, bytes | None]:
        """See `State`."""
        return self.pages

    async def load_validator_sets(self, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """See `State`."""
        return {set_hash: self.validator_sets[set_hash] for set_hash in hashes}

    async def load_sets_of_epochs(self, epochs: Collection[int]) -> dict[int, bytes]:
        """See `State`."""
        changes = [edge for edge in self.edges if edge.next_validator_set]
        return {
            epoch: changed.next_validator_set
            for epoch in epochs
            for changed in changes
            if changed.epoch < epoch  # the last of them stays
        }

    async def due(self, time_ms: int) -> Due:
        """See `State`."""
        holds = sorted(
            (hold.expire_time_ms, hold.hold)
            for hold in self.records[-1].holds.values()
            if hold is not None and hold.expire_time_ms <= time_ms
        )
        polls = sorted(
            (poll.close_time_ms, poll.poll)
            for poll in self.records[-1].polls.values()
            if poll is not None and not poll.is_closed and poll.close_time_ms <= time_ms
        )
        orders = sorted(
            (order.next_time_ms, order.ordered.order)
            for order in self.records[-1].orders.values()
            if order is not None and order.next_time_ms <= time_ms
        )
        return Due(
            [hold for _, hold in holds[:HOLDS_RELEASED_PER_BLOCK_MAX]],
            [poll for _, poll in polls[:POLLS_CLOSED_PER_BLOCK_MAX]],
            [order for _, order in orders[:ORDERS_PER_BLOCK_MAX]],
        )

    async def commit(self, commit: BlockCommit) -> ExecutedBlock:
        """See `State`."""
        assert commit.block.height == self.newest.height + 1
        self._add(commit)
        return self.blocks[-1]

    async def block_at(self, height: int) -> ExecutedBlock | None:
        """See `State`."""
        return self.blocks[height - self.snapshot_height] if height <= self.newest.height else None

    async def receipts_at(self, height: int) -> list[tuple[bytes, bytes]]:
        """See `State`."""
        return self.receipts[height - self.snapshot_height]

    async def heights_of(self, transaction_ids: Sequence[bytes]) -> dict[bytes, int]:
        """See `State`."""
        return {
            identifier: height
            for height, receipts in enumerate(self.receipts, self.snapshot_height)
            for identifier, _ in receipts
            if identifier in transaction_ids
        }
