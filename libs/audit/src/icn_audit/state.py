"""The state of a chain that is executed again: the newest one, and what validity asks of earlier ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from icn.consensus.v1.block_pb2 import BlockHeader
from icn_crypto.merkle_log import Log
from icn_machine.blocks.ports import (
    BlockCommit,
    EpochEdge,
    ExecutedBlock,
    RestoredBlock,
    StateBehind,
    StatePruned,
)
from icn_machine.duty import DutyCounts
from icn_machine.events import PeriodClosed
from icn_machine.limits import (
    HOLDS_RELEASED_PER_BLOCK_MAX,
    IDENTIFIER_BYTES,
    ORDERS_PER_BLOCK_MAX,
    POLLS_CLOSED_PER_BLOCK_MAX,
)
from icn_machine.records import ContractEntry, Due, Namespace, RecordTables
from icn_machine.touched import RecordNames
from icn_machine.validity import ValidityView

_Table = dict[bytes, Any]


class _Falling:
    """What falls due, by time, then id; what has ended, or is due at another time by now, is passed over."""

    def __init__(self, due_time_ms: Callable[[bytes], int]) -> None:
        """``due_time_ms`` tells of an id when it falls due now; 0: it does not."""
        self._heap: list[tuple[int, bytes]] = []
        self._due_time_ms = due_time_ms

    def add(self, identifier: bytes) -> None:
        """Take note of what has begun, or changed."""
        time_ms = self._due_time_ms(identifier)
        if time_ms:
            heappush(self._heap, (time_ms, identifier))

    def take(self, time_ms: int, count_max: int) -> list[bytes]:
        """What is due by then; the block under way ends all of it, or has it wait for another time."""
        taken: list[bytes] = []
        while self._heap and self._heap[0][0] <= time_ms and len(taken) < count_max:
            at_ms, identifier = heappop(self._heap)
            if self._due_time_ms(identifier) == at_ms and taken[-1:] != [identifier]:
                taken.append(identifier)
        return taken


class ReplayedState:
    """Implements `icn_machine.blocks.ports.State`; what is not said here is said there."""

    def __init__(self, first: BlockCommit) -> None:
        self._records = RecordTables()
        self._storages: dict[bytes, dict[bytes, ContractEntry]] = {}
        self._pages: dict[bytes, bytes | None] = {}
        self._validator_sets: dict[bytes, bytes] = {}
        self._edges: list[EpochEdge] = []
        self._blocks: deque[ExecutedBlock] = deque()
        """From the height on that the newest of them names as executed: no later one names an earlier."""
        self._replaced: deque[tuple[_Table, _Table]] = deque()
        """Of the blocks behind the first of them: controllers and allowances, as they were before."""
        self.transfers = 0
        """Postings of all blocks so far."""
        self.closings: Sequence[PeriodClosed] = ()
        """Of periods, in the newest block."""
        self._holds, self._polls = _Falling(self._hold_due_ms), _Falling(self._poll_due_ms)
        self._orders = _Falling(self._order_due_ms)
        self._add(first)

    def _hold_due_ms(self, identifier: bytes) -> int:
        hold = self._records.holds.get(identifier)
        return 0 if hold is None else hold.expire_time_ms

    def _poll_due_ms(self, identifier: bytes) -> int:
        poll = self._records.polls.get(identifier)
        return 0 if poll is None or poll.is_closed else poll.close_time_ms

    def _order_due_ms(self, identifier: bytes) -> int:
        order = self._records.orders.get(identifier)
        return 0 if order is None else order.next_time_ms

    # --- what the auditor looks at

    @property
    def records(self) -> RecordTables:
        """All records of the newest state; those that are absent are left out."""
        return self._records

    def validator_set(self, set_hash: bytes) -> bytes:
        """Canonical bytes of a set that the state has named."""
        return self._validator_sets[set_hash]

    # --- State

    @property
    def newest(self) -> ExecutedBlock:
        """See `State`."""
        return self._blocks[-1]

    @property
    def snapshot_height(self) -> int:
        """See `State`."""
        return 0

    @property
    def log(self) -> Log:
        """See `State`."""
        return Log(self._log.size, list(self._log.peaks))

    @property
    def duty(self) -> DutyCounts:
        """See `State`."""
        return self._duty

    @property
    def pages(self) -> Mapping[bytes, bytes | None]:
        """See `State`."""
        return self._pages

    async def settle(self) -> None:
        """See `State`."""

    async def reload(self) -> None:
        """See `State`."""

    async def restored(self) -> RestoredBlock | None:
        """See `State`."""
        return None

    async def load(self, names: RecordNames) -> RecordTables:
        """See `State`."""
        found = RecordTables()
        for namespace, identifiers in names.filled():
            get = self._records.table(namespace).get
            found.table(namespace).update({identifier: get(identifier) for identifier in identifiers})
        return found

    async def load_validity(self, names: RecordNames, height: int) -> ValidityView:
        """See `State`."""
        newest = self.newest.height
        if height > newest:
            raise StateBehind(height, newest)
        back = newest - height
        if back > len(self._replaced):
            raise StatePruned(height, newest - len(self._replaced))
        since = list(self._replaced)[len(self._replaced) - back :]
        controllers, allowances = self._records.controllers, self._records.allowances
        return ValidityView(
            {one: _before(one, controllers, [before for before, _ in since]) for one in names.controllers},
            {one: _before(one, allowances, [before for _, before in since]) for one in names.allowances},
        )

    async def load_storage(self, contract: bytes) -> dict[bytes, ContractEntry]:
        """See `State`."""
        return dict(sorted(self._storages.get(contract, {}).items()))

    async def load_pages(self, _keys: Sequence[bytes]) -> Mapping[bytes, bytes | None]:
        """See `State`."""
        return self._pages

    async def load_validator_sets(self, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """See `State`."""
        return {set_hash: self._validator_sets[set_hash] for set_hash in hashes}

    async def load_sets_of_epochs(self, epochs: Collection[int]) -> dict[int, bytes]:
        """See `State`."""
        return {
            epoch: edge.next_validator_set
            for epoch in epochs
            for edge in self._edges
            if edge.epoch < epoch  # the last of them stays
        }

    async def due(self, time_ms: int) -> Due:
        """See `State`."""
        return Due(
            self._holds.take(time_ms, HOLDS_RELEASED_PER_BLOCK_MAX),
            self._polls.take(time_ms, POLLS_CLOSED_PER_BLOCK_MAX),
            self._orders.take(time_ms, ORDERS_PER_BLOCK_MAX),
        )

    async def commit(self, commit: BlockCommit) -> ExecutedBlock:
        """See `State`."""
        assert commit.block.height == self.newest.height + 1, "blocks come one after the other"
        self._add(commit)
        return commit.block

    async def block_at(self, height: int) -> ExecutedBlock | None:
        """See `State`; None also where it is too long ago."""
        place = height - self._blocks[0].height
        return self._blocks[place] if 0 <= place < len(self._blocks) else None

    async def receipts_at(self, _height: int) -> list[tuple[bytes, bytes]]:
        """See `State`; none are kept."""
        return []

    async def heights_of(self, _transaction_ids: Sequence[bytes]) -> dict[bytes, int]:
        """See `State`; none are kept."""
        return {}

    def _add(self, commit: BlockCommit) -> None:
        before = {
            namespace: {
                identifier: self._records.table(namespace).get(identifier)
                for identifier in commit.changes.table(namespace)
            }
            for namespace in (Namespace.CONTROLLER, Namespace.ALLOWANCE)
        }
        if commit.block.height:
            self._replaced.append((before[Namespace.CONTROLLER], before[Namespace.ALLOWANCE]))
        self._put(commit.changes)
        self._pages.update(commit.pages)
        self._validator_sets.update(commit.validator_sets)
        for edge in (commit.recovered, commit.edge):
            if edge is not None and edge.next_validator_set:
                self._edges = [one for one in self._edges if one.epoch != edge.epoch]
                self._edges.append(edge)
        self._log, self._duty = commit.log, commit.duty
        self.transfers += len(commit.posted)
        closed = commit.changes.periods and [one for one in commit.events if type(one) is PeriodClosed]
        self.closings = closed or ()
        self._blocks.append(commit.block)
        executed_height = BlockHeader.FromString(commit.block.header).executed_height
        while self._blocks[0].height < executed_height:
            self._blocks.popleft()
            self._replaced.popleft()

    def _put(self, changed: RecordTables) -> None:
        for namespace, changes in changed.filled():
            table = self._records.table(namespace)
            for identifier, record in changes.items():
                if record is None:
                    table.pop(identifier, None)
                else:
                    table[identifier] = record
        for identifier in changed.holds:
            self._holds.add(identifier)
        for identifier in changed.polls:
            self._polls.add(identifier)
        for identifier in changed.orders:
            self._orders.add(identifier)
        for identifier, entry in changed.contract_entries.items():
            storage = self._storages.setdefault(identifier[:IDENTIFIER_BYTES], {})
            if entry is None:
                storage.pop(identifier, None)
            else:
                storage[identifier] = entry


def _before(identifier: bytes, newest: _Table, since: Sequence[_Table]) -> Any:
    """The record before all of those changes, oldest first."""
    for changed in since:
        if identifier in changed:
            return changed[identifier]
    return newest.get(identifier)
