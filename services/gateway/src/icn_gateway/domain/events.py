"""Committed events on their way to clients: what is kept of them, and what a returning client has missed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import dropwhile, islice

from icn_kit.errors import InvalidArgument

LEDGER = "ledger"
EVENTS_KEPT_MAX = 4_096
"""What a client may have missed of a stream and still resume without a gap: some minutes of steady trade,
about 4 MB."""
DISORDER_MS = 60_000
"""How much later than an event another one of an earlier id may be published: no transaction of a service
stays open for longer (`icn_kit.database`)."""
SUBJECT_CHARACTERS_MAX = 128
CURSOR_CHARACTERS_MAX = 512
"""Seven streams fit."""
NO_IDENTIFIER = "0" * 32

_CURSOR = re.compile(r"(?:([a-z]{1,16}):)?([0-9]{1,19})-([0-9a-f]{32})\Z")
_SUBJECT = re.compile(r"icn(\.[a-z0-9_]+)*(\.>)?\Z")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of one stream that a client has seen."""

    position: int
    identifier: str


NOTHING_SEEN = Cursor(0, NO_IDENTIFIER)


@dataclass(frozen=True, slots=True)
class CommittedEvent:
    """An event as it goes out to every client."""

    identifier: str
    """32 hex digits, the envelope's id: the same from every validator and after a rebuild."""
    service: str
    """Whose stream it is of."""
    subject: str
    height: int
    """0 for an event that no block carries."""
    document: bytes
    """The JSON object that clients read, made once for all of them."""

    @property
    def position(self) -> int:
        """Where it stands in its stream: the ledger's events by height, all others by the unix
        milliseconds in their id, a UUIDv7 (docs/spec/events.md, "Envelope")."""
        return self.height if self.service == LEDGER else int(self.identifier[:12], 16)

    @property
    def cursor(self) -> Cursor:
        """What resumes after it."""
        return Cursor(self.position, self.identifier)


class FeedSignal(Enum):
    """What a reader is told between events."""

    GAP = "gap"
    """Events may have been lost to this reader: read the state anew."""
    HEARTBEAT = "heartbeat"
    """Nothing happened for a while; keeps the connection open through proxies and finds readers that left."""


def parse_cursors(text: str) -> dict[str, Cursor]:
    """Read a Last-Event-ID: `format_cursors` reversed.

    Raises:
        InvalidArgument: MALFORMED_EVENT_ID, it is none of ours.
    """
    cursors: dict[str, Cursor] = {}
    if len(text) <= CURSOR_CHARACTERS_MAX:
        found = [_CURSOR.match(part) for part in text.split(",")]
        cursors = {part[1] or LEDGER: Cursor(int(part[2]), part[3]) for part in found if part is not None}
        if len(cursors) == len(found):
            return cursors
    raise InvalidArgument("MALFORMED_EVENT_ID", "Last-Event-ID is not one of this service's event ids")


def format_cursors(cursors: Mapping[str, Cursor]) -> str:
    """Where a client stands in each stream it follows: ``ledger:1842-07…,marketplace:1790000000000-01…``;
    ``1842-07…`` alone where that is the ledger's only."""
    if cursors.keys() == {LEDGER}:
        return f"{cursors[LEDGER].position}-{cursors[LEDGER].identifier}"
    return ",".join(
        f"{service}:{cursor.position}-{cursor.identifier}" for service, cursor in sorted(cursors.items())
    )


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


def may_be_of(pattern: str, service: str) -> bool:
    """Whether a subject that ``pattern`` selects can be one of this service's."""
    prefix = f"icn.{service}."
    return pattern.startswith(prefix) or prefix.startswith(pattern.removesuffix(">"))


@dataclass(frozen=True, slots=True)
class Missed:
    """What a returning client gets before the live events."""

    events: tuple[CommittedEvent, ...]
    has_gap: bool
    """Events between its last one and the first of these may be lost to it: it reads the state anew."""


@dataclass(slots=True)
class RecentEvents:
    """The newest events of one stream, in the order they came.

    The stream delivers at least once and again from the start after a rebuild: an event known here, or
    older than everything kept, is dropped.
    """

    kept_max: int = EVENTS_KEPT_MAX
    disorder: int = 0
    """How far behind another one's position an event may come after it."""
    _events: deque[CommittedEvent] = field(default_factory=deque)
    _identifiers: set[str] = field(default_factory=set)
    _has_forgotten: bool = False

    def add(self, event: CommittedEvent) -> bool:
        """Keep ``event``; False when it is a repeat and nobody should be told again."""
        if event.identifier in self._identifiers:
            return False
        if self._has_forgotten and self._events and event.position + self.disorder < self._events[0].position:
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

        A cursor that is no longer kept, or was never (this process is new), resumes at its position: events
        of about that position may come twice, none is lost. Below the oldest kept position there may be a
        gap.
        """
        if cursor.identifier in self._identifiers:
            from_last_seen = dropwhile(lambda event: event.identifier != cursor.identifier, self._events)
            return Missed(tuple(islice(from_last_seen, 1, None)), has_gap=False)
        start = cursor.position - self.disorder
        if not self._has_forgotten or (self._events and self._events[0].position < start):
            return Missed(tuple(event for event in self._events if event.position >= start), has_gap=False)
        return Missed(tuple(self._events), has_gap=True)

    @property
    def newest(self) -> Cursor:
        """Where somebody stands who has seen everything."""
        return self._events[-1].cursor if self._events else NOTHING_SEEN

    def newest_first(self, wants: Callable[[str], bool], count_max: int) -> list[CommittedEvent]:
        """At most ``count_max`` events whose subject ``wants`` accepts."""
        return list(islice((event for event in reversed(self._events) if wants(event.subject)), count_max))

    def __len__(self) -> int:
        return len(self._events)
