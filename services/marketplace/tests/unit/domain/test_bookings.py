"""Bookings against a naive model that knows nothing but single minutes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.errors import DomainError
from icn_marketplace.domain.booking import (
    Booking,
    BookingState,
    booking_overlaps,
    check_count,
    check_queue,
    promote,
)
from icn_marketplace.domain.fields import show_time
from icn_marketplace.domain.limits import BOOKINGS_OF_ONE_MAX, DAY_MINUTES, MINUTE_MS, WAITING_MAX
from icn_marketplace.domain.resource import BookingRules, Resource, Span, add_photo

ALWAYS = BookingRules(b"", 0, 1_440, 0, 1, 43_200, 366)
NOW = 1_800_000_000_000 // (DAY_MINUTES * MINUTE_MS) * DAY_MINUTES * MINUTE_MS
"""Midnight UTC."""
ANNA, BEN = b"a" * 16, b"b" * 16


def span(start: int, end: int) -> Span:
    """Minutes after NOW."""
    return Span(NOW + start * MINUTE_MS, NOW + end * MINUTE_MS)


def booking(number: int, start: int, end: int, state: BookingState = BookingState.WAITING) -> Booking:
    return Booking(number.to_bytes(16, "big"), b"r" * 16, ANNA, span(start, end), state, NOW)


def minutes(of: Span) -> set[int]:
    return set(range((of.start_ms - NOW) // MINUTE_MS, (of.end_ms - NOW) // MINUTE_MS))


spans = st.tuples(st.integers(1, 60), st.integers(1, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(waits=st.lists(spans, max_size=12), booked=st.lists(spans, max_size=6), freed=spans)
def test_promotion_books_in_order_whoever_fits(
    waits: list[tuple[int, int]], booked: list[tuple[int, int]], freed: tuple[int, int]
) -> None:
    taken: set[int] = set()
    kept = []
    for start, end in booked:
        own = set(range(start, end))
        if not own & (taken | set(range(*freed))):
            kept.append(span(start, end))
            taken |= own
    waiting = [booking(number, start, end) for number, (start, end) in enumerate(waits)]
    promoted = promote(waiting, kept, span(*freed), NOW)
    expected = []
    for wait in waiting:
        own = minutes(wait.span)
        if own & set(range(*freed)) and not own & taken:
            expected.append(wait.booking)
            taken |= own
    assert [one.booking for one in promoted] == expected
    assert all(one.state is BookingState.BOOKED and one.is_promoted for one in promoted)


def test_a_wait_whose_start_has_come_is_not_promoted() -> None:
    wait = booking(1, 10, 20)
    assert promote([wait], [], span(10, 20), wait.span.start_ms) == []
    assert len(promote([wait], [], span(10, 20), wait.span.start_ms - 1)) == 1


@given(
    booked=st.lists(spans, max_size=10),
    length=st.integers(1, 20),
    start=st.integers(-5, 60),
    opening=st.tuples(st.integers(0, 30), st.integers(31, 70)),
    offset=st.integers(-720, 840),
)
def test_the_next_free_slot_is_the_earliest_that_a_search_by_minutes_finds(
    booked: list[tuple[int, int]], length: int, start: int, opening: tuple[int, int], offset: int
) -> None:
    open_minutes = opening[1] - opening[0]
    rules = BookingRules(b"", opening[0], opening[1], offset, 1, open_minutes, 2)
    if length > open_minutes:
        length = open_minutes
    taken: set[int] = set()
    kept = []
    for first, last in booked:
        if not set(range(first, last)) & taken:
            kept.append(span(first, last))
            taken |= set(range(first, last))
    kept.sort()
    found = rules.next_free_slot(kept, length * MINUTE_MS, NOW + start * MINUTE_MS, NOW)
    expected = None
    for minute in range(max(start, 1), 2 * DAY_MINUTES + 1):
        local = (minute + offset) % DAY_MINUTES
        if (
            opening[0] <= local
            and local + length <= opening[1]
            and not set(range(minute, minute + length)) & taken
        ):
            expected = span(minute, minute + length)
            break
    assert found == expected
    if found is not None:
        rules.check_span(found, NOW)


def test_refusals_say_times_and_keep_the_numbers_beside_them() -> None:
    refused = booking_overlaps(span(10, 70))
    day = datetime.fromtimestamp(NOW / 1_000, UTC).strftime("%Y-%m-%d")
    assert refused.message.endswith(f"the next free one is {day}T00:10Z to {day}T01:10Z")
    assert refused.metadata == {
        "next_start_time_ms": NOW + 10 * MINUTE_MS,
        "next_end_time_ms": NOW + 70 * MINUTE_MS,
    }
    assert [show_time(at) for at in (NOW + 1_000, NOW + 1, 2**64)] == [
        f"{day}T00:00:01Z",
        f"{day}T00:00:00.001Z",
        str(2**64),
    ]
    with pytest.raises(DomainError) as late:
        ALWAYS.check_span(span(0, 10), NOW)
    assert str(NOW) not in late.value.message and late.value.metadata["now_ms"] == NOW


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Span(NOW + 1, NOW + MINUTE_MS), "FIELD_INVALID"),
        (Span(NOW + MINUTE_MS, NOW + 2 * MINUTE_MS - 1), "FIELD_INVALID"),
        (span(5, 5), "FIELD_INVALID"),
        (span(6, 5), "FIELD_INVALID"),
        (Span(0, 2**64 - 1), "FIELD_INVALID"),
        (span(5, 9), "LENGTH_OUT_OF_RANGE"),
        (span(5, 26), "LENGTH_OUT_OF_RANGE"),
        (span(0, 10), "START_OUT_OF_RANGE"),
        (span(-100, -90), "START_OUT_OF_RANGE"),
        (span(DAY_MINUTES + 1, DAY_MINUTES + 11), "START_OUT_OF_RANGE"),
        (span(39, 49), "OUTSIDE_OPENING_HOURS"),
        (span(61, 66), "OUTSIDE_OPENING_HOURS"),
        (span(99, 109), "OUTSIDE_OPENING_HOURS"),
    ],
)
def test_a_wish_that_breaks_a_rule_is_refused_with_its_reason(wish: Span, reason: str) -> None:
    rules = BookingRules(b"", 60 + 40, 60 + 65, 60, 5, 20, 1)  # open from minute 40 to 65 of UTC
    with pytest.raises(DomainError) as refused:
        rules.check_span(wish, NOW)
    assert refused.value.reason == reason


def test_the_borders_of_the_rules_are_allowed() -> None:
    rules = BookingRules(b"", 60 + 40, 60 + 65, 60, 5, 20, 1)
    rules.check_span(span(40, 60), NOW)
    rules.check_span(span(60, 65), NOW)
    ALWAYS.check_span(Span(NOW + 366 * DAY_MINUTES * MINUTE_MS, NOW + 367 * DAY_MINUTES * MINUTE_MS), NOW)
    ALWAYS.check_span(span(1, 2), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"audience": b"short"},
        {"open_minute": 1_440},
        {"close_minute": 0},
        {"close_minute": 1_441},
        {"utc_offset_minutes": 841},
        {"minutes_min": 0},
        {"minutes_max": 43_201},
        {"minutes_min": 10, "minutes_max": 9},
        {"ahead_days_max": 0},
        {"ahead_days_max": 367},
        {"open_minute": 60, "close_minute": 120, "minutes_max": 61},
    ],
)
def test_rules_that_no_booking_could_keep_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(DomainError) as refused:
        replace(ALWAYS, **change)  # type: ignore[arg-type]
    assert refused.value.reason == "FIELD_INVALID"


def test_a_booking_is_cancelled_once_and_not_after_its_end() -> None:
    booked = booking(1, 10, 20, BookingState.BOOKED)
    cancelled = booked.cancel(booked.span.end_ms - 1)
    assert cancelled.state is BookingState.CANCELLED
    for over, at in ((cancelled, NOW), (booked, booked.span.end_ms)):
        with pytest.raises(DomainError) as refused:
            over.cancel(at)
        assert refused.value.reason == "BOOKING_OVER"


@pytest.mark.parametrize(
    ("end", "now", "reason"),
    [
        (11, 0, None),
        (19, 0, None),
        (15, 15, None),
        (10, 0, "END_OUT_OF_RANGE"),
        (20, 0, "END_OUT_OF_RANGE"),
        (15, 16, "END_OUT_OF_RANGE"),
        (15, 20, "BOOKING_OVER"),
    ],
)
def test_a_booking_ends_early_after_its_start_and_not_in_the_past(
    end: int, now: int, reason: str | None
) -> None:
    booked = booking(1, 10, 20, BookingState.BOOKED)
    end_ms, now_ms = NOW + end * MINUTE_MS, NOW + now * MINUTE_MS
    if reason is None:
        assert booked.end_early(end_ms, ANNA, now_ms).span == span(10, end)
        return
    with pytest.raises(DomainError) as refused:
        booked.end_early(end_ms, ANNA, now_ms)
    assert refused.value.reason == reason


def test_only_the_booker_ends_early_and_only_what_is_booked() -> None:
    with pytest.raises(DomainError) as refused:
        booking(1, 10, 20, BookingState.BOOKED).end_early(NOW + 15 * MINUTE_MS, BEN, NOW)
    assert refused.value.reason == "NOT_YOUR_BOOKING"
    with pytest.raises(DomainError) as refused:
        booking(1, 10, 20).end_early(NOW + 15 * MINUTE_MS, ANNA, NOW)
    assert refused.value.reason == "BOOKING_OVER"


def test_counts_are_bounded_at_their_border() -> None:
    check_count(BOOKINGS_OF_ONE_MAX - 1)
    check_queue(WAITING_MAX - 1)
    with pytest.raises(DomainError) as refused:
        check_count(BOOKINGS_OF_ONE_MAX)
    assert refused.value.reason == "TOO_MANY_BOOKINGS"
    with pytest.raises(DomainError) as refused:
        check_queue(WAITING_MAX)
    assert refused.value.reason == "WAITING_LIST_FULL"


@pytest.mark.parametrize(
    "change",
    [
        {"owner": b"x"},
        {"title": ""},
        {"title": " x"},
        {"title": "x" * 121},
        {"title": "a\u202eb"},
        {"title": "a\nb"},
        {"note": "x" * 2_001},
        {"note": "a\tb"},
        {"specification": ""},
        {"specification": "Tractor"},
        {"specification": "x" * 65},
    ],
)
def test_a_resource_that_breaks_a_limit_is_refused(change: dict[str, str]) -> None:
    resource = Resource(
        b"r" * 16, b"o" * 16, ANNA, "x" * 120, "a\nb" + "y" * 1_997, "tractor-2", ALWAYS, (), NOW
    )
    with pytest.raises(DomainError) as refused:
        replace(resource, **change)  # type: ignore[arg-type]
    assert refused.value.reason == "FIELD_INVALID"


def test_eight_photos_are_kept_and_one_that_is_there_is_not_added_again() -> None:
    photos: tuple[bytes, ...] = ()
    for number in range(8):
        photos = add_photo(photos, bytes([number]) * 32)
    assert add_photo(photos, photos[3]) == photos
    with pytest.raises(DomainError) as refused:
        add_photo(photos, b"z" * 32)
    assert refused.value.reason == "TOO_MANY_PHOTOS"
