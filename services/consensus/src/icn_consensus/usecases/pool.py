"""Transactions that wait for a block: bounded, first come first served, each id once.

What a notarized block includes waits aside until the block is executed (its transactions leave) or abandoned
(they are free again). What no proposal could take, for instance for a gap in its lane, waits aside until
something changes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from enum import Enum
from typing import Final

POOL_TRANSACTIONS_MAX: Final = 20_000
"""Five full blocks by the default limits: more would only wait longer."""
POOL_BYTES_MAX: Final = 32 * 1024 * 1024
"""Thirty-two full blocks by the default limits."""
NOTED_BLOCKS_MAX: Final = 1_024
"""Twice what the core holds above the final block."""


class Admitted(Enum):
    """What became of an offer to the pool."""

    NEW = "new"
    KNOWN = "known"
    FULL = "full"


class PoolItem:
    """A transaction in the pool."""

    __slots__ = ("admitted_at", "data", "expire_time_ms", "id", "is_deferred", "sent_to", "traceparent")

    def __init__(self, identifier: bytes, data: bytes, expire_time_ms: int, admitted_at: float) -> None:
        self.id = identifier
        self.data = data
        self.expire_time_ms = expire_time_ms
        """Block time after which no block can include it."""
        self.admitted_at = admitted_at
        """Monotonic seconds."""
        self.sent_to = 0
        """Bits (`Pool.bit`) of the peers that have it from us or gave it to us."""
        self.is_deferred = False
        self.traceparent = ""
        """Of the client's call, where that is sampled."""


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
        self._deferred: dict[bytes, PoolItem] = {}
        self._covers: dict[bytes, int] = {}
        """Transaction bytes → number of notarized blocks, not executed and not abandoned, that hold it."""
        self._noted: dict[bytes, tuple[bytes, ...]] = {}
        """Block hash → its transactions, for unfinished blocks seen here."""
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

    def add(self, identifier: bytes, data: bytes, expire_time_ms: int, now: float) -> Admitted:
        """Take a transaction that the application would take."""
        if identifier in self._items:
            return Admitted.KNOWN
        if len(self._items) >= self._transactions_max or self.size_bytes + len(data) > self._bytes_max:
            return Admitted.FULL
        item = PoolItem(identifier, data, expire_time_ms, now)
        self._items[identifier] = item
        self._by_data[data] = item
        heapq.heappush(self._expiries, (expire_time_ms, identifier))
        self.size_bytes += len(data)
        if data not in self._covers:
            self._free += 1
        return Admitted.NEW

    def candidates(
        self, branch: Iterable[bytes], *, transactions_max: int, size_bytes_max: int
    ) -> list[PoolItem]:
        """What a block on this branch (hashes of its unexecuted blocks) might include, oldest first."""
        on_branch = {data for block_hash in branch for data in self._noted.get(block_hash, ())}
        chosen: list[PoolItem] = []
        size_bytes = 0
        for item in self._items.values():
            if item.is_deferred or item.data in on_branch:
                continue
            size_bytes += len(item.data)
            if len(chosen) >= transactions_max or size_bytes > size_bytes_max:
                break
            chosen.append(item)
        return chosen

    def defer(self, items: Iterable[PoolItem]) -> None:
        """Put aside what a proposal with room left did not take; `wake` brings it back, behind the others."""
        for item in items:
            if item.id in self._items and not item.is_deferred:
                if self._is_free(item):
                    self._free -= 1
                item.is_deferred = True
                self._deferred[item.id] = item
                self._items[item.id] = self._items.pop(item.id)

    def oldest_deferred(self) -> PoolItem | None:
        """Who was put aside first."""
        return next(iter(self._deferred.values()), None)

    @property
    def deferred(self) -> int:
        """How many are put aside."""
        return len(self._deferred)

    def oldest_age_seconds(self, now: float) -> float:
        """How long the oldest has waited, 0 when none does. Looks at all: who was put aside has moved."""
        return now - min((item.admitted_at for item in self._items.values()), default=now)

    def wake(self) -> None:
        """Something changed: what was put aside may have a place now."""
        for item in self._deferred.values():
            item.is_deferred = False
            if self._is_free(item):
                self._free += 1
        self._deferred.clear()

    def note_block(self, block_hash: bytes, transactions: tuple[bytes, ...]) -> None:
        """An unfinished block was seen."""
        if block_hash in self._noted:
            return
        self._noted[block_hash] = transactions
        if self._notarized_unseen.pop(block_hash, 0) is None:
            self._cover(block_hash)
        if len(self._noted) > NOTED_BLOCKS_MAX:
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

    def note_executed(self, block_hash: bytes, identifiers: Iterable[bytes]) -> None:
        """A block was executed: its transactions leave."""
        for identifier in identifiers:
            self.remove(identifier)
        self._notarized_unseen.pop(block_hash, None)
        self._forget(block_hash)

    def remove(self, identifier: bytes) -> None:
        """Forget a transaction, if it is here."""
        item = self._items.pop(identifier, None)
        if item is None:
            return
        if self._is_free(item):
            self._free -= 1
        self._deferred.pop(identifier, None)
        if self._by_data.get(item.data) is item:
            del self._by_data[item.data]
        self.size_bytes -= len(item.data)

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
        return not item.is_deferred and item.data not in self._covers

    def _cover(self, block_hash: bytes) -> None:
        if block_hash in self._covering:
            return
        self._covering.add(block_hash)
        covers = self._covers
        for data in self._noted[block_hash]:
            count = covers.get(data, 0)
            if count == 0:
                item = self._by_data.get(data)
                if item is not None and not item.is_deferred:
                    self._free -= 1
            covers[data] = count + 1

    def _forget(self, block_hash: bytes) -> None:
        transactions = self._noted.pop(block_hash, ())
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
            if item is not None and not item.is_deferred:
                self._free += 1
