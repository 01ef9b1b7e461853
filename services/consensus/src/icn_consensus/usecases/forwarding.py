"""Clients' transactions on their way to those who may propose them: the next two leaders, later everybody.

Source: design §4, "Pending transactions are forwarded".
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from icn_consensus.usecases.pool import Pool, PoolItem
from icn_consensus.usecases.ports import Peers

LEADERS: Final = 2
"""One may be silent, or propose before the batch arrives."""
PATIENCE_SECONDS: Final = 1.0
"""After it a transaction that is still here goes to all: four times the shortest view time-out."""
LOOK_SECONDS: Final = 0.25
FORWARD_TRANSACTIONS_MAX: Final = 1_000
"""Of one TransactionBatch (peer.proto)."""
FORWARD_BYTES_MAX: Final = 1024 * 1024
"""Larger batches would delay votes behind them on the same stream."""


class Forwarder:
    """Sends pool items to other validators, each at most once to each."""

    def __init__(
        self,
        pool: Pool,
        peers: Peers,
        *,
        seat: int,
        seats: int,
        next_leaders: Callable[[int], tuple[int, ...]],
    ) -> None:
        self._pool = pool
        self._peers = peers
        self._seat = seat
        self._others = [other for other in range(seats) if other != seat]
        self._everybody = sum(1 << other for other in self._others)
        self._next_leaders = next_leaders
        self._watched: deque[tuple[float, PoolItem]] = deque()
        """When to look at an item again; ascending."""
        self._has_watched = asyncio.Event()

    def forward(self, items: Sequence[PoolItem]) -> None:
        """Send new items of clients to the next leaders, and keep an eye on them."""
        for seat in self._next_leaders(LEADERS):
            if seat != self._seat:
                self._send(seat, items)
        due_at = time.monotonic() + PATIENCE_SECONDS
        self._watched.extend((due_at, item) for item in items)
        self._has_watched.set()

    async def run(self) -> None:
        """Send to all what is not final in time, until cancelled; sleeps while nothing is watched."""
        while True:
            await self._has_watched.wait()
            await asyncio.sleep(LOOK_SECONDS)
            self._send_overdue(time.monotonic())
            if not self._watched:
                self._has_watched.clear()

    def _send_overdue(self, now: float) -> None:
        overdue: list[PoolItem] = []
        while self._watched and self._watched[0][0] <= now:
            item = self._watched.popleft()[1]
            if self._pool.get(item.id) is item:
                overdue.append(item)
        for seat in self._others:
            self._send(seat, overdue)
        # Who was not connected gets it when it is.
        rest = [item for item in overdue if item.sent_to & self._everybody != self._everybody]
        self._watched.extend((now + PATIENCE_SECONDS, item) for item in rest)

    def _send(self, seat: int, items: Iterable[PoolItem]) -> None:
        bit = 1 << seat
        batch: list[PoolItem] = []
        size_bytes = 0
        for item in items:
            if item.sent_to & bit:
                continue
            if batch and (
                len(batch) >= FORWARD_TRANSACTIONS_MAX or size_bytes + len(item.data) > FORWARD_BYTES_MAX
            ):
                if not self._send_batch(seat, batch):
                    return
                batch, size_bytes = [], 0
            batch.append(item)
            size_bytes += len(item.data)
        if batch:
            self._send_batch(seat, batch)

    def _send_batch(self, seat: int, batch: list[PoolItem]) -> bool:
        if not self._peers.send_transactions(seat, [item.data for item in batch]):
            return False
        for item in batch:
            item.sent_to |= 1 << seat
        return True
