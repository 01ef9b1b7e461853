"""What happened in a run, event by event: two runs with one seed are told apart by its digest."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from icn_consensus.domain import events

UNDIGESTED_BYTES_MAX: Final = 65_536
"""Many short lines are digested at once."""


class EventLog:
    """Each event is told in full once, since a message reaches many, and from then on by its number."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=32)
        self._undigested = bytearray()
        self._numbers: dict[events.Event, int] = {}

    def note(self, now_ms: int, seat: int, event: events.Event) -> None:
        """A node digests an event."""
        number = self._numbers.get(event)
        if number is None:
            number = self._numbers[event] = len(self._numbers)
            self._undigested += _in_full(event)
        self._undigested += b"%d %d %d\n" % (now_ms, seat, number)
        if len(self._undigested) > UNDIGESTED_BYTES_MAX:
            self._digest.update(self._undigested)
            self._undigested.clear()

    def digest(self) -> str:
        """Of every event so far, in hex."""
        digest = self._digest.copy()
        digest.update(self._undigested)
        return digest.hexdigest()


def _in_full(event: events.Event) -> bytes:
    """All that an event says; most are messages, whose repr would take longer than what they cause."""
    if isinstance(event, events.Message):
        return f"{type(event).__name__} {len(event.data)} ".encode() + event.peer + event.data
    return repr(event).encode()
