"""Bookings: who has a resource when, who waits, who is promoted. Source: docs/spec/marketplace.md,
"Bookings"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from icn_kit.errors import FailedPrecondition, PermissionDenied, ResourceExhausted

from icn_marketplace.domain.fields import check_time, field_invalid, show_time
from icn_marketplace.domain.limits import BOOKINGS_OF_ONE_MAX, MINUTE_MS, TIME_MS_MAX, WAITING_MAX
from icn_marketplace.domain.resource import Span


class BookingState(Enum):
    """How a booking stands."""

    BOOKED = "booked"
    WAITING = "waiting"
    CANCELLED = "cancelled"


class IfTaken(Enum):
    """What to do when a wished span is taken."""

    REFUSE = "refuse"
    WAIT = "wait"
    NEXT_SLOT = "next_slot"


@dataclass(frozen=True, slots=True)
class Booking:
    """A claim on a resource."""

    booking: bytes
    resource: bytes
    booker: bytes
    span: Span
    state: BookingState
    made_at_ms: int
    is_promoted: bool = False
    """Whether it waited before it was booked."""

    def cancel(self, now_ms: int) -> Booking:
        """Give it back.

        Raises:
            FailedPrecondition: BOOKING_OVER: it was cancelled before, or its time has passed.
        """
        self._check_not_over(now_ms)
        return replace(self, state=BookingState.CANCELLED)

    def end_early(self, end_ms: int, by: bytes, now_ms: int) -> Booking:
        """Shorten it to end at ``end_ms``.

        Raises:
            PermissionDenied: NOT_YOUR_BOOKING.
            FailedPrecondition: BOOKING_OVER: it is not booked, or its time has passed; END_OUT_OF_RANGE.
        """
        if by != self.booker:
            raise not_your_booking()
        self._check_not_over(now_ms)
        if self.state is not BookingState.BOOKED:
            raise booking_over(self.state)
        check_time("end_time_ms", end_ms, 0, TIME_MS_MAX)
        if end_ms % MINUTE_MS:
            raise field_invalid("end_time_ms", f"{show_time(end_ms)} is no whole minute")
        if not max(self.span.start_ms + MINUTE_MS, now_ms) <= end_ms < self.span.end_ms:
            raise FailedPrecondition(
                "END_OUT_OF_RANGE",
                f"{show_time(end_ms)} is not after the start {show_time(self.span.start_ms)}, not past "
                f"({show_time(now_ms)}) and before the end {show_time(self.span.end_ms)}",
                end_time_ms=end_ms,
                start_time_ms=self.span.start_ms,
                now_ms=now_ms,
                booked_end_time_ms=self.span.end_ms,
            )
        return replace(self, span=Span(self.span.start_ms, end_ms))

    def _check_not_over(self, now_ms: int) -> None:
        if self.state is BookingState.CANCELLED or self.span.end_ms <= now_ms:
            raise booking_over(self.state)


def booking_over(state: BookingState) -> FailedPrecondition:
    """The refusal to change what has ended."""
    return FailedPrecondition(
        "BOOKING_OVER", f"the booking is {state.value} or its time has passed", state=state.value
    )


def not_your_booking() -> PermissionDenied:
    """The refusal to change somebody else's."""
    return PermissionDenied(
        "NOT_YOUR_BOOKING", "only the booker, or for cancelling the owner and its officers, may"
    )


def booking_overlaps(next_free: Span | None) -> FailedPrecondition:
    """The refusal of a span that is taken, with the next free slot where there is one."""
    if next_free is None:
        return FailedPrecondition("BOOKING_OVERLAPS", "the span is taken, and no other is free in time")
    return FailedPrecondition(
        "BOOKING_OVERLAPS",
        f"the span is taken, the next free one is {show_time(next_free.start_ms)} to "
        f"{show_time(next_free.end_ms)}",
        next_start_time_ms=next_free.start_ms,
        next_end_time_ms=next_free.end_ms,
    )


def own_booking_overlaps() -> FailedPrecondition:
    """The refusal to wait for time that one has."""
    return FailedPrecondition(
        "OWN_BOOKING_OVERLAPS", "a booking of your own overlaps the time: cancel it, or wait for other time"
    )


def check_count(own: int) -> None:
    """Refuse one more for who has many.

    Raises:
        ResourceExhausted: TOO_MANY_BOOKINGS.
    """
    if own >= BOOKINGS_OF_ONE_MAX:
        raise ResourceExhausted(
            "TOO_MANY_BOOKINGS",
            f"{own} bookings and waits of this principal have not ended, at most {BOOKINGS_OF_ONE_MAX}",
            bookings=own,
            bookings_max=BOOKINGS_OF_ONE_MAX,
        )


def check_queue(waiting: int) -> None:
    """Refuse one more in a full queue.

    Raises:
        ResourceExhausted: WAITING_LIST_FULL.
    """
    if waiting >= WAITING_MAX:
        raise ResourceExhausted(
            "WAITING_LIST_FULL",
            f"{waiting} wait, at most {WAITING_MAX}",
            waiting=waiting,
            waiting_max=WAITING_MAX,
        )


def promote(waiting: Sequence[Booking], booked: Iterable[Span], freed: Span, now_ms: int) -> list[Booking]:
    """Those who are booked now that ``freed`` is free, in their order.

    ``waiting`` is in the order in which they asked; ``booked`` are all booked spans that one of them could
    overlap.
    """
    taken = list(booked)
    promoted = []
    for wait in waiting:
        if not wait.span.overlaps(freed) or wait.span.start_ms <= now_ms:
            continue
        if any(wait.span.overlaps(span) for span in taken):
            continue
        promoted.append(replace(wait, state=BookingState.BOOKED, is_promoted=True))
        taken.append(wait.span)
    return promoted
