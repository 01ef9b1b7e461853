"""Transactions that wait for a block: bounded, each id once, payers in turn, of one payer first come first
served.

What a notarized block includes waits aside until the block is executed (its transactions leave) or abandoned
(they are free again). What waits for a gap in its lane is offered once, since the branch may close it, and
waits aside until the lane moves; what else no proposal could take waits until something was executed.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

POOL_TRANSACTIONS_MAX: Final = 20_000
"""Five full blocks by the default limits: more would only wait longer."""
POOL_BYTES_MAX: Final = 32 * 1024 * 1024
"""Thirty-two full blocks by the default limits."""
NOTED_BLOCKS_MAX: Final = 1_024
"""Twice what the core holds above the final block."""
NOTED_BYTES_MAX: Final = 128 * 1024 * 1024
"""Of their transactions. Who leads may propose full blocks that nobody votes for."""
PAYER_SHARE: Final = 2
"""One payer's transactions take one part of so many of the pool at most: others find room beside them."""
LANE_GAPPED_MAX: Final = 64
"""Transactions behind a gap of one lane. Nothing pays for them before the gap closes."""
PAYER_GAPPED_MAX: Final = 2_048
"""Transactions behind gaps of one payer: all lanes of two members."""
TURN_BYTES: Final = 1_024
"""What counts as one transaction where payers take turns: larger ones count as several. Three plain transfers
fit, and a block has room for as many turns as a leader proposes transactions."""
PAYER_TURNS_MAX: Final = 64
"""Of one payer in a proposal, where others pay too: who floods makes no block long. At the 40 ms between
proposals that are not half full these are 1,600 a second."""
PAYER_SEEN_BLOCKS: Final = 20_000
"""Executed blocks for which a payer counts as one who pays too: a quarter of an hour of a flood, else days.
Who comes only now and then would find a flood that had it all: long blocks, and many of them under way."""
FRESH_PER_AGAIN: Final = 7
"""Of eight candidates one was passed over before, so that neither kind keeps the other out."""
LANE_REMEMBERED_BLOCKS: Final = 64
"""How many executed blocks a lane without transactions is kept, for verdicts that are still on their way."""


class Admitted(StrEnum):
    """What became of an offer to the pool."""

    NEW = "new"
    KNOWN = "known"
    FULL = "full"
    PAYER_FULL = "payer_full"
    """Its payer has its share of the pool."""
    BEHIND_GAP = "behind_gap"
    """Its lane has a gap before it, and no more may wait for that."""
    RIVAL = "rival"
    """Another transaction of the same lane and sequence is here."""


class Place(NamedTuple):
    """Where a transaction stands among others, as the application says; here it is only compared."""

    payer: bytes = b""
    """Whose allowance pays; empty where none does."""
    lane: bytes = b""
    """Transactions of a lane are included in the order of their sequences, without a gap; empty for none."""
    sequence: int = 0
    lane_sequence: int = 0
    """The lane's newest executed one, when the application looked."""


NO_PLACE: Final = Place()


class _Lane:
    """What is here of one lane."""

    __slots__ = ("gapped", "items", "last", "moved_at", "name", "reach")

    def __init__(self, name: bytes, last: int) -> None:
        self.name = name
        self.items: dict[int, PoolItem] = {}
        """By sequence."""
        self.last = last
        """Executed last."""
        self.moved_at = 0
        """Which block of those executed here moved it."""
        self.reach = last
        """Up to here every sequence is executed or here."""
        self.gapped = 0
        """Items beyond."""


class _Payer:
    """What is here of one payer."""

    __slots__ = ("gapped", "name", "size_bytes", "transactions")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.transactions = self.size_bytes = self.gapped = 0


@dataclass(slots=True, eq=False)
class PoolItem:
    """A transaction in the pool."""

    id: bytes
    data: bytes
    expire_time_ms: int
    """Block time after which no block can include it."""
    admitted_at: float
    """Monotonic seconds."""
    payer: _Payer
    lane: _Lane | None
    sequence: int
    sent_to: int = 0
    """Bits (`Pool.bit`) of the peers that have it from us or gave it to us."""
    is_deferred: bool = False
    """Whether it is offered no more for now."""
    is_gapped: bool = False
    """Whether a sequence of its lane is missing before it, as far as is known here."""
    traceparent: str = ""
    """Of the client's call, where that is sampled."""


class _Turns:
    """What is to be offered, so that payers take turns: who hands in much delays only itself."""

    def __init__(self) -> None:
        self._by_payer: dict[bytes, dict[bytes, PoolItem]] = {}
        """By payer and id, oldest first; no payer without any."""

    def add(self, item: PoolItem) -> None:
        """Put it behind the others of its payer."""
        self._by_payer.setdefault(item.payer.name, {})[item.id] = item

    def discard(self, item: PoolItem) -> None:
        """Forget it, if it is here."""
        waiting = self._by_payer.get(item.payer.name)
        if waiting is not None and waiting.pop(item.id, None) is not None and not waiting:
            del self._by_payer[item.payer.name]

    def first(self) -> PoolItem | None:
        """Any payer's oldest."""
        waiting = next(iter(self._by_payer.values()), None)
        return None if waiting is None else next(iter(waiting.values()))

    def in_turn(self, left_out: Container[bytes], of_payer_max: int) -> Iterator[PoolItem]:
        """Those whose bytes are not left out: always of the payer that had the fewest turns so far, of equal
        ones of who waits longest; of one payer while it had fewer than so many."""
        turns = []
        for number, waiting in enumerate(self._by_payer.values()):
            items = (item for item in waiting.values() if item.data not in left_out)
            first = next(items, None)
            if first is not None:
                turns.append((0, first.admitted_at, number, first, items))
        heapq.heapify(turns)
        while turns:
            had, since, number, item, items = turns[0]
            yield item
            had += -(-len(item.data) // TURN_BYTES)
            following = next(items, None) if had < of_payer_max else None
            if following is None:
                heapq.heappop(turns)
            else:
                heapq.heapreplace(turns, (had, since, number, following, items))


class Pool:
    """The transactions of this validator that are not executed yet."""

    def __init__(
        self, transactions_max: int = POOL_TRANSACTIONS_MAX, bytes_max: int = POOL_BYTES_MAX
    ) -> None:
        self._transactions_max = transactions_max
        self._bytes_max = bytes_max
        self._items: dict[bytes, PoolItem] = {}
        self._by_data: dict[bytes, PoolItem] = {}
        self._expiries: list[tuple[int, bytes]] = []
        self._fresh = _Turns()
        """To be offered first: no proposal has passed them over."""
        self._again = _Turns()
        """To be offered once more."""
        self._deferred: dict[bytes, PoolItem] = {}
        """Passed over though no gap is before them: they wait until something was executed."""
        self._gapped: dict[bytes, PoolItem] = {}
        self._lanes: dict[bytes, _Lane] = {}
        """Those with items, and those that moved lately."""
        self._blocks_executed = 0
        self._payers: dict[bytes, _Payer] = {}
        self._payers_seen: dict[bytes, int] = {}
        """Payer → which block of those executed here had something of it last; oldest first."""
        self._covers: dict[bytes, int] = {}
        """Transaction bytes → number of notarized blocks, not executed and not abandoned, that hold it."""
        self._noted: dict[bytes, tuple[bytes, ...]] = {}
        """Block hash → its transactions, for unfinished blocks seen here; oldest first."""
        self._noted_bytes = 0
        self._covering: set[bytes] = set()
        """Hashes of noted blocks that are notarized."""
        self._notarized_unseen: dict[bytes, None] = {}
        """Hashes of blocks notarized before their body came."""
        self._free = 0
        self._bits: dict[bytes, int] = {}
        self.size_bytes = 0

    def bit(self, peer: bytes) -> int:
        """What stands for a peer in `PoolItem.sent_to`."""
        return self._bits.setdefault(peer, 1 << len(self._bits))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def has_pending(self) -> bool:
        """Whether a block could, as far as is known, include one now."""
        return self._free > 0

    def find(self, data: bytes) -> PoolItem | None:
        """The transaction with exactly these bytes."""
        return self._by_data.get(data)

    def get(self, identifier: bytes) -> PoolItem | None:
        """The transaction of this id."""
        return self._items.get(identifier)

    def add(
        self, identifier: bytes, data: bytes, expire_time_ms: int, now: float, place: Place = NO_PLACE
    ) -> Admitted:
        """Take a transaction that the application would take."""
        if identifier in self._items:
            return Admitted.KNOWN
        sequence, size_bytes = place.sequence, len(data)
        lane = self._find_lane(place)
        is_gapped = lane is not None and sequence > lane.reach + 1
        payer = self._payers.get(place.payer) or _Payer(place.payer)
        refusal = self._refusal(size_bytes, payer, lane, sequence, is_gapped=is_gapped)
        if refusal is not None:
            return refusal
        item = PoolItem(identifier, data, expire_time_ms, now, payer, lane, sequence)
        self._items[identifier] = item
        self._fresh.add(item)
        self._by_data[data] = item
        heapq.heappush(self._expiries, (expire_time_ms, identifier))
        self.size_bytes += size_bytes
        if payer.transactions == 0:
            self._payers[payer.name] = payer
        payer.transactions += 1
        payer.size_bytes += size_bytes
        if data not in self._covers:
            self._free += 1
        if lane is not None:
            if not lane.items:
                self._lanes[lane.name] = lane
            lane.items[sequence] = item
            if is_gapped:
                self._hold(item, lane)
            elif sequence > lane.reach:
                self._extend(lane)
        return Admitted.NEW

    def _refusal(
        self, size_bytes: int, payer: _Payer, lane: _Lane | None, sequence: int, *, is_gapped: bool
    ) -> Admitted | None:
        if lane is not None and sequence in lane.items:
            return Admitted.RIVAL
        is_full = len(self._items) >= self._transactions_max or self.size_bytes + size_bytes > self._bytes_max
        if is_gapped and (
            is_full
            or (lane is not None and lane.gapped >= LANE_GAPPED_MAX)
            or payer.gapped >= PAYER_GAPPED_MAX
        ):
            return Admitted.BEHIND_GAP
        if (
            payer.name
            and payer.transactions
            and (
                PAYER_SHARE * payer.transactions >= self._transactions_max
                or PAYER_SHARE * (payer.size_bytes + size_bytes) > self._bytes_max
            )
        ):
            return Admitted.PAYER_FULL
        return Admitted.FULL if is_full else None

    def candidates(
        self, branch: Iterable[bytes], *, transactions_max: int, size_bytes_max: int
    ) -> list[PoolItem]:
        """What a block on this branch (hashes of its unexecuted blocks) might include, payers in turn."""
        on_branch = {data for block_hash in branch for data in self._noted.get(block_hash, ())}
        chosen: list[PoolItem] = []
        size_bytes = 0
        of_payer_max = PAYER_TURNS_MAX if self.has_company else transactions_max
        for item in self._in_turn(on_branch, of_payer_max):
            size_bytes += len(item.data)
            if len(chosen) >= transactions_max or size_bytes > size_bytes_max:
                break
            chosen.append(item)
        return chosen

    @property
    def has_company(self) -> bool:
        """Whether more than one payer has something here, or had lately."""
        here, lately = self._payers.keys(), self._payers_seen.keys()
        return max(len(here), len(lately)) > 1 or (len(here) == len(lately) == 1 and here != lately)

    def _in_turn(self, left_out: Container[bytes], of_payer_max: int) -> Iterator[PoolItem]:
        again = self._again.in_turn(left_out, of_payer_max)
        for position, item in enumerate(self._fresh.in_turn(left_out, of_payer_max), 1):
            yield item
            if position % FRESH_PER_AGAIN == 0:
                yield from islice(again, 1)
        yield from again

    def defer(self, items: Iterable[PoolItem]) -> None:
        """Put aside what a proposal with room left did not take, until its lane moves or `wake`."""
        for item in items:
            if item.id in self._items and not item.is_deferred:
                if self._is_free(item):
                    self._free -= 1
                item.is_deferred = True
                self._fresh.discard(item)
                self._again.discard(item)
                if not item.is_gapped:
                    self._deferred[item.id] = item

    def first_to_leave(self) -> PoolItem | None:
        """Who makes room in a full pool: what waits for a gap, then what proposals passed over."""
        for waiting in (self._gapped, self._deferred):
            if waiting:
                return next(iter(waiting.values()))
        return self._again.first()

    def open_until_ms(self, item: PoolItem) -> int:
        """Its expiry where somebody else may include it, since another validator has it, as far as is known,
        or a block that may become final holds it; else 0."""
        is_elsewhere = item.sent_to or any(item.data in held for held in self._noted.values())
        return item.expire_time_ms if is_elsewhere else 0

    def of_payer(self, name: bytes) -> tuple[int, int]:
        """How many transactions of a payer are here, and their bytes."""
        payer = self._payers.get(name, _Payer(name))
        return payer.transactions, payer.size_bytes

    @property
    def deferred(self) -> int:
        """How many wait for a gap or are put aside."""
        return len(self._gapped) + len(self._deferred)

    def oldest_age_seconds(self, now: float) -> float:
        """How long the oldest has waited, 0 when none does. Looks at all: who was put aside has moved."""
        return now - min((item.admitted_at for item in self._items.values()), default=now)

    def wake(self) -> None:
        """Something was executed: what was put aside, and not for a gap, may have a place now."""
        for item in self._deferred.values():
            item.is_deferred = False
            if self._is_free(item):
                self._free += 1
            self._again.add(item)
        self._deferred.clear()

    def note_block(self, block_hash: bytes, transactions: tuple[bytes, ...]) -> None:
        """An unfinished block was seen."""
        if block_hash in self._noted:
            return
        self._noted[block_hash] = transactions
        self._noted_bytes += sum(map(len, transactions))
        if self._notarized_unseen.pop(block_hash, 0) is None:
            self._cover(block_hash)
        while len(self._noted) > NOTED_BLOCKS_MAX or self._noted_bytes > NOTED_BYTES_MAX:
            self._forget(next(iter(self._noted)))

    def note_notarized(self, block_hash: bytes) -> None:
        """A block was notarized: what it holds needs no other proposal for now."""
        if block_hash in self._noted:
            self._cover(block_hash)
        else:
            self._notarized_unseen[block_hash] = None
            if len(self._notarized_unseen) > NOTED_BLOCKS_MAX:
                del self._notarized_unseen[next(iter(self._notarized_unseen))]

    def note_abandoned(self, block_hashes: Iterable[bytes]) -> None:
        """Blocks cannot become final any more: what they hold is free again."""
        for block_hash in block_hashes:
            self._notarized_unseen.pop(block_hash, None)
            self._forget(block_hash)

    def note_executed(
        self, block_hash: bytes, identifiers: Iterable[bytes], sequences: Iterable[tuple[bytes, int]] = ()
    ) -> None:
        """A block was executed: its transactions leave, and their lanes move (lane, sequence)."""
        self._blocks_executed += 1
        for name, sequence in sequences:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = _Lane(name, sequence)
            else:
                self._advance(lane, sequence)
            lane.moved_at = self._blocks_executed
        if self._blocks_executed % LANE_REMEMBERED_BLOCKS == 0:
            self._forget_idle_lanes()
        for identifier in identifiers:
            item = self._items.get(identifier)
            if item is not None:
                self._payers_seen.pop(item.payer.name, None)
                self._payers_seen[item.payer.name] = self._blocks_executed
                self.remove(identifier)
        self._forget_payers()
        self._notarized_unseen.pop(block_hash, None)
        self._forget(block_hash)

    def remove(self, identifier: bytes) -> None:
        """Forget a transaction, if it is here."""
        item = self._items.pop(identifier, None)
        if item is None:
            return
        if self._is_free(item):
            self._free -= 1
        self._fresh.discard(item)
        self._again.discard(item)
        self._deferred.pop(identifier, None)
        if self._by_data.get(item.data) is item:
            del self._by_data[item.data]
        self.size_bytes -= len(item.data)
        if item.lane is not None:
            self._leave_lane(item, item.lane)
        payer = item.payer
        payer.transactions -= 1
        payer.size_bytes -= len(item.data)
        if payer.transactions == 0:
            del self._payers[payer.name]

    def expire(self, block_time_ms: int) -> list[PoolItem]:
        """Remove and return what no block can include after one of this time was executed."""
        expired = []
        while self._expiries and self._expiries[0][0] < block_time_ms:
            expire_time_ms, identifier = heapq.heappop(self._expiries)
            item = self._items.get(identifier)
            if item is not None and item.expire_time_ms == expire_time_ms:
                self.remove(identifier)
                expired.append(item)
        self._trim_expiries()
        return expired

    def _trim_expiries(self) -> None:
        """Drop entries of transactions that left before they expired, once they are the larger part."""
        if len(self._expiries) > 2 * len(self._items) + 1_000:
            self._expiries = [(item.expire_time_ms, item.id) for item in self._items.values()]
            heapq.heapify(self._expiries)

    def _is_free(self, item: PoolItem) -> bool:
        return not (item.is_deferred or item.is_gapped) and item.data not in self._covers

    def _find_lane(self, place: Place) -> _Lane | None:
        """The lane, moved to where the application has seen it; a new one is not kept yet."""
        if not place.lane:
            return None
        lane = self._lanes.get(place.lane)
        if lane is None:
            return _Lane(place.lane, place.lane_sequence)
        if place.lane_sequence > lane.last:
            self._advance(lane, place.lane_sequence)
        return lane

    def _forget_idle_lanes(self) -> None:
        oldest = self._blocks_executed - LANE_REMEMBERED_BLOCKS
        self._lanes = {
            name: lane for name, lane in self._lanes.items() if lane.items or lane.moved_at > oldest
        }

    def _forget_payers(self) -> None:
        seen, newest_forgotten = self._payers_seen, self._blocks_executed - PAYER_SEEN_BLOCKS
        while seen and seen[name := next(iter(seen))] <= newest_forgotten:
            del seen[name]

    def _advance(self, lane: _Lane, last: int) -> None:
        """The lane's sequences up to ``last`` are executed: what follows without a gap waits no more."""
        lane.last = max(lane.last, last)
        if lane.last > lane.reach:
            lane.reach = lane.last
            if lane.gapped:
                for sequence, item in lane.items.items():
                    if item.is_gapped and sequence <= lane.reach:
                        self._release(item, lane)
        self._extend(lane)

    def _extend(self, lane: _Lane) -> None:
        """What follows without a gap is within reach."""
        while (following := lane.items.get(lane.reach + 1)) is not None:
            lane.reach += 1
            if following.is_gapped:
                self._release(following, lane)

    def _leave_lane(self, item: PoolItem, lane: _Lane) -> None:
        """What stands behind a transaction that leaves unexecuted has a gap before it."""
        sequence = item.sequence
        del lane.items[sequence]
        if item.is_gapped:
            self._release(item, lane)
        elif sequence > lane.last:
            for behind in range(sequence + 1, lane.reach + 1):
                self._hold(lane.items[behind], lane)
            lane.reach = sequence - 1
        if not lane.items and lane.moved_at == 0:
            del self._lanes[lane.name]

    def _hold(self, item: PoolItem, lane: _Lane) -> None:
        """There is a gap before the item now."""
        if self._is_free(item):
            self._free -= 1
        item.is_gapped = True
        lane.gapped += 1
        item.payer.gapped += 1
        self._deferred.pop(item.id, None)
        self._gapped[item.id] = item

    def _release(self, item: PoolItem, lane: _Lane) -> None:
        """There is no gap before the item any more, or it is leaving."""
        item.is_gapped = False
        lane.gapped -= 1
        item.payer.gapped -= 1
        del self._gapped[item.id]
        if item.id not in self._items:
            return
        if item.is_deferred:
            item.is_deferred = False
            self._fresh.add(item)
        if self._is_free(item):
            self._free += 1

    def _cover(self, block_hash: bytes) -> None:
        if block_hash in self._covering:
            return
        self._covering.add(block_hash)
        covers = self._covers
        for data in self._noted[block_hash]:
            count = covers.get(data, 0)
            if count == 0:
                item = self._by_data.get(data)
                if item is not None and self._is_free(item):
                    self._free -= 1
            covers[data] = count + 1

    def _forget(self, block_hash: bytes) -> None:
        transactions = self._noted.pop(block_hash, ())
        self._noted_bytes -= sum(map(len, transactions))
        if block_hash not in self._covering:
            return
        self._covering.discard(block_hash)
        covers = self._covers
        for data in transactions:
            count = covers[data] - 1
            if count:
                covers[data] = count
                continue
            del covers[data]
            item = self._by_data.get(data)
            if item is not None and self._is_free(item):
                self._free += 1
