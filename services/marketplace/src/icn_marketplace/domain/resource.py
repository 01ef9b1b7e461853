"""A resource and when it may be booked. Source: docs/spec/marketplace.md, "Bookings"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from icn_kit.errors import FailedPrecondition, InvalidArgument, ResourceExhausted

from icn_marketplace.domain.fields import (
    check_bytes,
    check_line,
    check_note,
    check_range,
    check_specification,
    check_time,
    field_invalid,
    show_time,
)
from icn_marketplace.domain.limits import (
    AHEAD_DAYS_MAX,
    BOOKING_MINUTES_MAX,
    DAY_MINUTES,
    DAY_MS,
    IDENTIFIER_BYTES,
    MINUTE_MS,
    PHOTOS_MAX,
    RESOURCES_ADDED_MAX,
    RESOURCES_OF_ONE_MAX,
    TIME_MS_MAX,
    UTC_OFFSET_MINUTES_MAX,
    UTC_OFFSET_MINUTES_MIN,
)


class Span(NamedTuple):
    """[start, end) in unix milliseconds."""

    start_ms: int
    end_ms: int

    def overlaps(self, other: Span) -> bool:
        """Whether they share a moment; spans that touch do not."""
        return self.start_ms < other.end_ms and other.start_ms < self.end_ms


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same time as spans that neither overlap nor touch, ascending."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start_ms <= found[-1].end_ms:
            found[-1] = Span(found[-1].start_ms, max(found[-1].end_ms, span.end_ms))
        else:
            found.append(span)
    return found


@dataclass(frozen=True, slots=True)
class BookingRules:
    """When and by whom a resource may be booked."""

    audience: bytes
    """Organization, 16 bytes; empty: anybody."""
    open_minute: int
    close_minute: int
    """Of the day at the offset; 0 to 1,440 is always open."""
    utc_offset_minutes: int
    minutes_min: int
    minutes_max: int
    ahead_days_max: int

    def __post_init__(self) -> None:
        """Refuse rules that break a limit, or that no booking could keep."""
        if self.audience:
            check_bytes("rules.audience", self.audience, IDENTIFIER_BYTES)
        check_range("rules.open_minute", self.open_minute, 0, DAY_MINUTES - 1)
        check_range("rules.close_minute", self.close_minute, self.open_minute + 1, DAY_MINUTES)
        check_range(
            "rules.utc_offset_minutes",
            self.utc_offset_minutes,
            UTC_OFFSET_MINUTES_MIN,
            UTC_OFFSET_MINUTES_MAX,
        )
        check_range("rules.minutes_min", self.minutes_min, 1, BOOKING_MINUTES_MAX)
        check_range("rules.minutes_max", self.minutes_max, self.minutes_min, BOOKING_MINUTES_MAX)
        check_range("rules.ahead_days_max", self.ahead_days_max, 1, AHEAD_DAYS_MAX)
        open_minutes = self.close_minute - self.open_minute
        if not self.is_always_open and self.minutes_max > open_minutes:
            raise field_invalid(
                "rules.minutes_max", f"{self.minutes_max} do not fit into {open_minutes} open minutes"
            )

    @property
    def is_always_open(self) -> bool:
        """Whether days have no border."""
        return self.open_minute == 0 and self.close_minute == DAY_MINUTES

    def horizon_ms(self, now_ms: int) -> int:
        """The last moment at which a booking made now may start."""
        return now_ms + self.ahead_days_max * DAY_MS

    def check_length(self, minutes: int) -> None:
        """Refuse a length that is not allowed.

        Raises:
            InvalidArgument: LENGTH_OUT_OF_RANGE.
        """
        if not self.minutes_min <= minutes <= self.minutes_max:
            raise InvalidArgument(
                "LENGTH_OUT_OF_RANGE",
                f"{minutes} minutes are not in {self.minutes_min} to {self.minutes_max}",
                minutes=minutes,
                minutes_min=self.minutes_min,
                minutes_max=self.minutes_max,
            )

    def check_span(self, span: Span, now_ms: int) -> None:
        """Refuse a span that may not be booked now, whoever else has booked.

        Raises:
            InvalidArgument: FIELD_INVALID, LENGTH_OUT_OF_RANGE.
            FailedPrecondition: START_OUT_OF_RANGE, OUTSIDE_OPENING_HOURS.
        """
        for field, time_ms in (("start_time_ms", span.start_ms), ("end_time_ms", span.end_ms)):
            check_time(field, time_ms, 0, TIME_MS_MAX)
            if time_ms % MINUTE_MS:
                raise field_invalid(field, f"{show_time(time_ms)} is no whole minute")
        if span.end_ms <= span.start_ms:
            raise field_invalid("end_time_ms", "is not after start_time_ms")
        self.check_length((span.end_ms - span.start_ms) // MINUTE_MS)
        if not now_ms < span.start_ms <= self.horizon_ms(now_ms):
            raise FailedPrecondition(
                "START_OUT_OF_RANGE",
                f"start {show_time(span.start_ms)} is not after {show_time(now_ms)} and at most "
                f"{self.ahead_days_max} days ahead",
                start_time_ms=span.start_ms,
                now_ms=now_ms,
                latest_ms=self.horizon_ms(now_ms),
            )
        if self._opening(span.start_ms, span.end_ms - span.start_ms) != span.start_ms:
            raise FailedPrecondition(
                "OUTSIDE_OPENING_HOURS",
                f"bookable from minute {self.open_minute} to {self.close_minute} of one day",
                open_minute=self.open_minute,
                close_minute=self.close_minute,
                utc_offset_minutes=self.utc_offset_minutes,
            )

    def _opening(self, start_ms: int, length_ms: int) -> int:
        """The earliest start from ``start_ms`` on at which so long a booking lies within opening hours."""
        if self.is_always_open:
            return start_ms
        local_minute = start_ms // MINUTE_MS + self.utc_offset_minutes
        day, minute = divmod(local_minute, DAY_MINUTES)
        if minute < self.open_minute:
            minute = self.open_minute
        elif minute + length_ms // MINUTE_MS > self.close_minute:
            day, minute = day + 1, self.open_minute
        return (day * DAY_MINUTES + minute - self.utc_offset_minutes) * MINUTE_MS

    def best_free_slot(
        self,
        booked: Sequence[Span],
        waited: Sequence[Span],
        length_ms: int,
        from_ms: int,
        now_ms: int,
    ) -> Span | None:
        """The next free slot that nobody waits for, or where there is none the next free slot; arguments as
        of `next_free_slot`, ``waited`` in any order."""
        if waited:
            slot = self.next_free_slot(merged([*booked, *waited]), length_ms, from_ms, now_ms)
            if slot is not None:
                return slot
        return self.next_free_slot(booked, length_ms, from_ms, now_ms)

    def next_free_slot(
        self, booked: Sequence[Span], length_ms: int, from_ms: int, now_ms: int
    ) -> Span | None:
        """The earliest span of ``length_ms``, an allowed length, that starts at ``from_ms`` or later, keeps
        the rules and overlaps nothing in ``booked`` (ascending, without overlaps); None when none starts in
        time.
        """
        start_ms = -(-max(from_ms, now_ms + 1) // MINUTE_MS) * MINUTE_MS
        horizon_ms = self.horizon_ms(now_ms)
        position = 0
        while (start_ms := self._opening(start_ms, length_ms)) <= horizon_ms:
            while position < len(booked) and booked[position].end_ms <= start_ms:
                position += 1
            if position == len(booked) or booked[position].start_ms >= start_ms + length_ms:
                return Span(start_ms, start_ms + length_ms)
            start_ms = booked[position].end_ms
        return None


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that an organization owns and that is booked by the minute."""

    resource: bytes
    owner: bytes
    added_by: bytes
    title: str
    note: str
    specification: str
    rules: BookingRules
    photos: tuple[bytes, ...]
    """SHA-256 each, in the order they were added."""
    added_at_ms: int
    removed_at_ms: int = 0
    """0: it is there."""

    def __post_init__(self) -> None:
        """Refuse fields that break a limit."""
        check_bytes("owner", self.owner, IDENTIFIER_BYTES)
        check_line("title", self.title)
        check_note("note", self.note)
        check_specification("specification", self.specification)

    def check_there(self) -> None:
        """Refuse to change what was removed.

        Raises:
            FailedPrecondition: RESOURCE_REMOVED.
        """
        if self.removed_at_ms:
            raise FailedPrecondition(
                "RESOURCE_REMOVED", "the resource was removed", removed_time_ms=self.removed_at_ms
            )

    def remove(self, bookings: int, now_ms: int) -> Resource:
        """The resource removed; ``bookings`` have not ended.

        Raises:
            FailedPrecondition: RESOURCE_REMOVED, RESOURCE_BOOKED.
        """
        self.check_there()
        if bookings:
            raise FailedPrecondition(
                "RESOURCE_BOOKED",
                f"{bookings} bookings have not ended; cancel them, or wait for their end",
                bookings=bookings,
            )
        return replace(self, removed_at_ms=now_ms)


def check_resource_counts(owned: int, added: int | None) -> None:
    """Refuse one more for an owner that has many, or by a member that has added many (None: by the owner).

    Raises:
        ResourceExhausted: TOO_MANY_RESOURCES.
    """
    for count, most, whose in (
        (owned, RESOURCES_OF_ONE_MAX, "of this owner"),
        (added or 0, RESOURCES_ADDED_MAX, "of this owner, added by you,"),
    ):
        if count >= most:
            raise ResourceExhausted(
                "TOO_MANY_RESOURCES",
                f"{count} resources {whose} are there, at most {most}: remove one first",
                resources=count,
                resources_max=most,
            )


def add_photo(photos: tuple[bytes, ...], digest: bytes) -> tuple[bytes, ...]:
    """The photos with one more; one that is there already is not added twice.

    Raises:
        ResourceExhausted: TOO_MANY_PHOTOS.
    """
    if digest in photos:
        return photos
    if len(photos) >= PHOTOS_MAX:
        raise ResourceExhausted(
            "TOO_MANY_PHOTOS", f"there are {len(photos)} photos, at most {PHOTOS_MAX}", photos_max=PHOTOS_MAX
        )
    return (*photos, digest)
