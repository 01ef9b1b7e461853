"""A week of bookings, day by day, as a calendar shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
DAY_MS = DAY_MINUTES * MINUTE_MS
WEEK_DAYS = 7


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a booking that falls on one day."""

    start_minute: int
    """Of the day, from 0."""
    end_minute: int
    """Not part of it; at most 1,440."""
    booking: Mapping[str, Any]

    @property
    def minutes(self) -> int:
        """Its length."""
        return self.end_minute - self.start_minute

    @property
    def start(self) -> str:
        """Clock time, ``09:30``."""
        return clock(self.start_minute)

    @property
    def end(self) -> str:
        """Clock time; midnight at the end of the day is ``24:00``."""
        return clock(self.end_minute)


@dataclass(frozen=True, slots=True)
class Day:
    """One day."""

    noon_ms: int
    """Unix milliseconds such that its date in UTC is the day's in the resource's time zone."""
    spans: tuple[Span, ...]
    is_whole: bool = True
    """Whether every booking of the day is among them: only such a day can be called free."""


def clock(minute: int) -> str:
    """Minute of the day as people read it."""
    return f"{minute // 60:02}:{minute % 60:02}"


def calendar_days(
    bookings: Sequence[Mapping[str, Any]],
    start_ms: int,
    offset_minutes: int,
    days: int = WEEK_DAYS,
    read_until_ms: int | None = None,
) -> list[Day]:
    """``days`` days from the midnight ``start_ms`` on (unix milliseconds); what passes midnight is on both
    sides of it.

    Args:
        bookings: documents with ``start_time_ms`` and ``end_time_ms``.
        offset_minutes: what the resource's clock is ahead of UTC.
        read_until_ms: bookings that start from here on may be missing; None: none is.
    """
    made = []
    for number in range(days):
        midnight_ms = start_ms + number * DAY_MS
        spans = [
            Span(
                max(0, booking["start_time_ms"] - midnight_ms) // MINUTE_MS,
                min(DAY_MS, booking["end_time_ms"] - midnight_ms) // MINUTE_MS,
                booking,
            )
            for booking in bookings
            if booking["start_time_ms"] < midnight_ms + DAY_MS and booking["end_time_ms"] > midnight_ms
        ]
        spans.sort(key=lambda span: (span.start_minute, span.booking.get("queue_place", 0)))
        is_whole = read_until_ms is None or midnight_ms + DAY_MS <= read_until_ms
        made.append(Day(midnight_ms + offset_minutes * MINUTE_MS + DAY_MS // 2, tuple(spans), is_whole))
    return made
