"""Clients' transactions on their way to those who may propose them: the next two leaders, later everybody.

Source: design §4, "Pending transactions are forwarded".
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from icn_consensus.usecases.pool import PAYER_TURNS_MAX, Pool, PoolItem
from icn_consensus.usecases.ports import Peers

LEADERS: Final = 2
"""One may be silent, or propose before the batch arrives."""
PATIENCE_SECONDS: Final = 1.0
"""After it a transaction that is still here goes to all: four times the shortest view time-out."""
LOOK_SECONDS: Final = 0.25
FORWARD_TRANSACTIONS_MAX: Final = 1_000
"""Of one TransactionBatch (peer.proto)."""
PAYER_UNDER_WAY_MAX: Final = 4 * PAYER_TURNS_MAX
"""Of one payer, where others pay too, sent and not executed: the leaders of four views find what they may
propose, and have no more of a flood to check."""
FORWARD_BYTES_MAX: Final = 1024 * 1024
"""Larger batches would delay votes behind them on the same stream."""


class Forwarder:
    """Sends pool items to other validators, each at most once to each."""

    def __init__(
        self,
        pool: Pool,
        peers: Peers,
        *,
        others: Callable[[], Sequence[bytes]],
        next_leaders: Callable[[int], tuple[bytes, ...]],
    ) -> None:
        """``others``: who else decides now; ``next_leaders``: so many of all who decide, in their order."""
        self._pool = pool
        self._peers = peers
        self._others = others
        self._next_leaders = next_leaders
        self._watched: deque[tuple[float, PoolItem]] = deque()
        """When to look at an item again; ascending."""
        self._held: dict[bytes, deque[PoolItem]] = {}
        """By payer, in order: what waits until enough of it was executed."""
        self._has_watched = asyncio.Event()

    def forward(self, items: Sequence[PoolItem]) -> None:
        """Send new items of clients to the next leaders, and keep an eye on them."""
        for item in items:
            self._held.setdefault(item.payer.name, deque()).append(item)
        self._send_held()
        self._has_watched.set()

    def _send_held(self) -> None:
        """Send what its payer has room for."""
        items: list[PoolItem] = []
        for name, held in list(self._held.items()):
            here = self._pool.of_payer(name)[0]
            while held and (not self._pool.has_company or here - len(held) < PAYER_UNDER_WAY_MAX):
                item = held.popleft()
                if self._pool.get(item.id) is item:
                    items.append(item)
            if not held:
                del self._held[name]
        if items:
            self._send_to_leaders(items)

    def _send_to_leaders(self, items: Sequence[PoolItem]) -> None:
        others = self._others()
        for leader in self._next_leaders(LEADERS):
            if leader in others:
                self._send(leader, items)
        due_at = time.monotonic() + PATIENCE_SECONDS
        self._watched.extend((due_at, item) for item in items)

    async def run(self) -> None:
        """Send to all what is not final in time, and to leaders what was held, until cancelled; sleeps while
        there is nothing of either."""
        while True:
            await self._has_watched.wait()
            await asyncio.sleep(LOOK_SECONDS)
            self._send_overdue(time.monotonic())
            self._send_held()
            if not self._watched and not self._held:
                self._has_watched.clear()

    def _send_overdue(self, now: float) -> None:
        overdue: list[PoolItem] = []
        while self._watched and self._watched[0][0] <= now:
            item = self._watched.popleft()[1]
            if self._pool.get(item.id) is item:
                overdue.append(item)
        others = self._others()
        for peer in others:
            self._send(peer, overdue)
        # Who was not connected gets it when it is.
        everybody = sum(self._pool.bit(peer) for peer in others)
        rest = [item for item in overdue if item.sent_to & everybody != everybody]
        self._watched.extend((now + PATIENCE_SECONDS, item) for item in rest)

    def _send(self, peer: bytes, items: Iterable[PoolItem]) -> None:
        bit = self._pool.bit(peer)
        batch: list[PoolItem] = []
        size_bytes = 0
        for item in items:
            if item.sent_to & bit:
                continue
            if batch and (
                len(batch) >= FORWARD_TRANSACTIONS_MAX or size_bytes + len(item.data) > FORWARD_BYTES_MAX
            ):
                if not self._send_batch(peer, batch):
                    return
                batch, size_bytes = [], 0
            batch.append(item)
            size_bytes += len(item.data)
        if batch:
            self._send_batch(peer, batch)

    def _send_batch(self, peer: bytes, batch: list[PoolItem]) -> bool:
        if not self._peers.send_transactions(peer, [item.data for item in batch]):
            return False
        bit = self._pool.bit(peer)
        for item in batch:
            item.sent_to |= bit
        return True
