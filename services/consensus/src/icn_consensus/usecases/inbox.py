"""Events on their way to the core: what this validator tells itself first, then one of each peer in turn.

A peer that says more than the core digests waits for itself only. What it said a moment ago is dropped: an
honest validator repeats itself, too, when a view's timer runs out and when a stream opens, but the core has
the first copy. Source: docs/spec/consensus.md, "Faulty peers".
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from icn_consensus.domain.events import Event

EVENTS_PER_ROUND_MAX: Final = 64
"""Events that share one fdatasync; with more, the first one's answer would wait for the last one's."""
PEER_EVENTS_MAX: Final = 256
"""Of one peer; beyond it its streams are not read. As many as one message of a stream holds."""
PEER_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of their messages, likewise: a proposal of the largest size and one that is read beside it. While the core
waits for Postgres all of it stays."""
PEERS_MAX: Final = 128
"""More than every set and its followers have; whoever is quiet for longest is forgotten."""
REPEAT_SECONDS: Final = 0.2
"""What comes again sooner is dropped. Less than the shortest time-out, after which peers say it again."""
HEARD_MAX: Final = 1_024
"""Messages of one peer that a repeat is compared with; an honest one says less in that time."""
USELESS_MAX: Final = 16_384
"""Repeats, and certificates of later epochs, that a peer has free. Who reads on after a pause finds all that
two full streams hold, sent in an epoch that it has yet to reach."""
USELESS_PER_SECOND: Final = 512
"""And for each second: several times what honest ones send when streams break without end."""
USELESS_PER_FAULT: Final = 256


class _Peer:
    """What one peer has said."""

    __slots__ = ("has_room", "heard", "size_bytes", "spare", "spare_at", "waiting")

    def __init__(self, now: float) -> None:
        self.waiting: deque[tuple[Event, int]] = deque()
        """Each with the bytes of its message."""
        self.size_bytes = 0
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.heard: dict[int, float] = {}
        """When it was told to the core, by hash; ascending. Who makes two collide has its own dropped."""
        self.spare: float = USELESS_MAX
        """What it may still say for nothing."""
        self.spare_at = now

    @property
    def is_full(self) -> bool:
        """Whether the core has to catch up first."""
        return len(self.waiting) >= PEER_EVENTS_MAX or self.size_bytes >= PEER_BYTES_MAX


class Inbox:
    """Bounded for each peer. Times are monotonic seconds."""

    def __init__(self, on_useless: Callable[[bytes], None]) -> None:
        """``on_useless`` is told of a peer that says more for nothing than an honest one ever does."""
        self._on_useless = on_useless
        self._own: deque[Event] = deque()
        self._peers: dict[bytes, _Peer] = {}
        self._turns: deque[_Peer] = deque()
        """Those with something waiting, each once."""
        self._has_events = asyncio.Event()

    def __len__(self) -> int:
        return len(self._own) + sum(len(peer.waiting) for peer in self._turns)

    def put(self, event: Event) -> None:
        """Take what this validator tells itself."""
        self._own.append(event)
        self._has_events.set()

    def put_of(self, key: bytes, event: Event, now: float, size_bytes: int = 0) -> None:
        """Take what a peer brought about, by a message of so many bytes."""
        peer = self._peer(key, now)
        if not peer.waiting:
            self._turns.append(peer)
        peer.waiting.append((event, size_bytes))
        peer.size_bytes += size_bytes
        if peer.is_full:
            peer.has_room.clear()
        self._has_events.set()

    def is_repeat(self, key: bytes, message: bytes, now: float) -> bool:
        """Whether the peer said exactly this a moment ago."""
        peer = self._peer(key, now)
        mark = hash(message)
        heard_at = peer.heard.get(mark)
        if heard_at is not None and now - heard_at < REPEAT_SECONDS:
            self.note_useless(key, now)
            return True
        peer.heard.pop(mark, None)
        peer.heard[mark] = now
        if len(peer.heard) > HEARD_MAX:
            del peer.heard[next(iter(peer.heard))]
        return False

    def note_useless(self, key: bytes, now: float) -> None:
        """The peer said something for nothing."""
        peer = self._peer(key, now)
        peer.spare = min(USELESS_MAX, peer.spare + (now - peer.spare_at) * USELESS_PER_SECOND) - 1
        peer.spare_at = now
        if peer.spare < 0:
            peer.spare += USELESS_PER_FAULT
            self._on_useless(key)

    async def wait(self) -> None:
        """Return when there is an event."""
        while not (self._own or self._turns):
            self._has_events.clear()
            await self._has_events.wait()

    def take(self) -> list[Event]:
        """The events of the next round."""
        taken: list[Event] = []
        while self._own and len(taken) < EVENTS_PER_ROUND_MAX:
            taken.append(self._own.popleft())
        while self._turns and len(taken) < EVENTS_PER_ROUND_MAX:
            peer = self._turns.popleft()
            event, size_bytes = peer.waiting.popleft()
            taken.append(event)
            peer.size_bytes -= size_bytes
            if peer.waiting:
                self._turns.append(peer)
            if not peer.is_full:
                peer.has_room.set()
        return taken

    async def wait_for_room(self, key: bytes) -> None:
        """Return when the core has caught up with what the peer says."""
        peer = self._peers.get(key)
        if peer is not None and not peer.has_room.is_set():
            await peer.has_room.wait()

    def _peer(self, key: bytes, now: float) -> _Peer:
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= PEERS_MAX:
                del self._peers[min(self._peers, key=self._loudness)]
            peer = self._peers[key] = _Peer(now)
        return peer

    def _loudness(self, key: bytes) -> tuple[bool, float]:
        peer = self._peers[key]
        return bool(peer.waiting), next(reversed(peer.heard.values()), 0.0)
