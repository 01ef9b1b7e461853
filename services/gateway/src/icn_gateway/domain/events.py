"""Committed events on their way to clients: what is kept of them, and what a returning client has missed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from itertools import dropwhile, islice

from icn_kit.errors import InvalidArgument

EVENTS_KEPT_MAX = 4_096
"""What a client may have missed and still resume without a gap: some minutes of steady trade, about 4 MB."""
SUBJECT_CHARACTERS_MAX = 128
CURSOR_CHARACTERS_MAX = 64

_CURSOR = re.compile(r"([0-9]{1,19})-([0-9a-f]{32})\Z")
_SUBJECT = re.compile(r"icn(\.[a-z0-9_]+)*(\.>)?\Z")


@dataclass(frozen=True, slots=True)
class CommittedEvent:
    """An event as it goes out to every client."""

    identifier: str
    """32 hex digits, the envelope's id: the same from every validator and after a rebuild."""
    subject: str
    height: int
    document: bytes
    """The JSON object that clients read, made once for all of them."""

    @property
    def cursor(self) -> str:
        """What a client sends back as Last-Event-ID."""
        return f"{self.height}-{self.identifier}"


class FeedSignal(Enum):
    """What a reader is told between events."""

    GAP = "gap"
    """Events may have been lost to this reader: read the state anew."""
    HEARTBEAT = "heartbeat"
    """Nothing happened for a while; keeps the connection open through proxies and finds readers that left."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event a client has seen."""

    height: int
    identifier: str


def parse_cursor(text: str) -> Cursor:
    """Read a Last-Event-ID.

    Raises:
        InvalidArgument: MALFORMED_EVENT_ID, it is none of ours.
    """
    found = _CURSOR.match(text) if len(text) <= CURSOR_CHARACTERS_MAX else None
    if found is None:
        raise InvalidArgument("MALFORMED_EVENT_ID", "Last-Event-ID is not one of this service's event ids")
    return Cursor(height=int(found[1]), identifier=found[2])


def subject_filter(pattern: str) -> Callable[[str], bool]:
    """Says which subjects a client wants: one by name, or all below a prefix that ends in ``.>``.

    Raises:
        InvalidArgument: MALFORMED_SUBJECT.
    """
    if len(pattern) > SUBJECT_CHARACTERS_MAX or _SUBJECT.match(pattern) is None:
        raise InvalidArgument(
            "MALFORMED_SUBJECT", "subject must be a name like icn.ledger.v1.transfer_committed or icn.>"
        )
    if pattern.endswith(".>"):
        prefix = pattern[:-1]
        return lambda subject: subject.startswith(prefix)
    return lambda subject: subject == pattern


@dataclass(frozen=True, slots=True)
class Missed:
    """What a returning client gets before the live events."""

    events: tuple[CommittedEvent, ...]
    has_gap: bool
    """Events between its last one and the first of these may be lost to it: it reads the state anew."""


@dataclass(slots=True)
class RecentEvents:
    """The newest events, in the order they came.

    The stream delivers at least once and again from the start after a rebuild: an event known here, or
    older than everything kept, is dropped.
    """

    kept_max: int = EVENTS_KEPT_MAX
    _events: deque[CommittedEvent] = field(default_factory=deque)
    _identifiers: set[str] = field(default_factory=set)
    _has_forgotten: bool = False

    def add(self, event: CommittedEvent) -> bool:
        """Keep ``event``; False when it is a repeat and nobody should be told again."""
        if event.identifier in self._identifiers:
            return False
        if self._has_forgotten and self._events and event.height < self._events[0].height:
            return False
        self._events.append(event)
        self._identifiers.add(event.identifier)
        if len(self._events) > self.kept_max:
            self._identifiers.discard(self._events.popleft().identifier)
            self._has_forgotten = True
        return True

    def mark_incomplete(self) -> None:
        """Say that the stream held events before the first one that was added."""
        self._has_forgotten = True

    def since(self, cursor: Cursor) -> Missed:
        """What came after ``cursor``.

        A cursor that is no longer kept, or was never (this process is new), resumes at its height: events
        of that height may come twice, none is lost. Below the oldest kept height there may be a gap.
        """
        if cursor.identifier in self._identifiers:
            from_last_seen = dropwhile(lambda event: event.identifier != cursor.identifier, self._events)
            return Missed(tuple(islice(from_last_seen, 1, None)), has_gap=False)
        if not self._has_forgotten or (self._events and self._events[0].height < cursor.height):
            newer = tuple(event for event in self._events if event.height >= cursor.height)
            return Missed(newer, has_gap=False)
        return Missed(tuple(self._events), has_gap=True)

    def __len__(self) -> int:
        return len(self._events)
