from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_gateway.domain.events import (
    DISORDER_MS,
    CommittedEvent,
    Cursor,
    RecentEvents,
    format_cursors,
    may_be_of,
    parse_cursors,
    subject_filter,
)
from icn_kit.errors import InvalidArgument


def event(number: int, height: int | None = None) -> CommittedEvent:
    return CommittedEvent(
        f"{number:032x}",
        "ledger",
        "icn.ledger.v1.transfer_committed",
        number if height is None else height,
        b"{}",
    )


def event_of_service(number: int, time_ms: int) -> CommittedEvent:
    """One that no block carries: its id, a UUIDv7, says when it was made."""
    return CommittedEvent(
        f"{time_ms:012x}7000{number:016x}", "marketplace", "icn.marketplace.v1.offer_published", 0, b"{}"
    )


def cursor_of(number: int, height: int | None = None) -> Cursor:
    return event(number, height).cursor


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**128 - 1))
def test_a_cursor_survives_the_way_through_a_browser(height: int, number: int) -> None:
    cursors = {"ledger": event(number, height).cursor}
    assert parse_cursors(format_cursors(cursors)) == cursors
    cursors["marketplace"] = event_of_service(number % 2**64, 1_790_000_000_000).cursor
    assert parse_cursors(format_cursors(cursors)) == cursors


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "7",
        "7-",
        "x-" + "0" * 32,
        "7-" + "0" * 31,
        "-1-" + "0" * 32,
        "7-" + "0" * 32 + "\n",
        "9" * 99,
        "7-" + "0" * 32 + ",",
        "ledger:7-" + "0" * 32 + ",8-" + "0" * 32,
        "Ledger:7-" + "0" * 32,
        ",".join(f"{letter}:{'9' * 19}-{'0' * 32}" for letter in "abcdefghij"),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_cursors(text)
    assert refusal.value.reason == "MALFORMED_EVENT_ID"


def test_a_returning_client_gets_exactly_what_followed_its_last_event() -> None:
    recent = RecentEvents()
    for number in range(1, 6):
        recent.add(event(number))
    missed = recent.since(cursor_of(3))
    assert [found.height for found in missed.events] == [4, 5]
    assert not missed.has_gap


def test_a_client_that_missed_nothing_gets_nothing() -> None:
    recent = RecentEvents()
    recent.add(event(1))
    assert recent.since(cursor_of(1)).events == ()


def test_an_event_seen_again_is_not_told_again() -> None:
    recent = RecentEvents()
    assert recent.add(event(1))
    assert not recent.add(event(1))
    assert len(recent) == 1


def test_a_rebuilt_stream_does_not_tell_of_what_was_forgotten_long_ago() -> None:
    recent = RecentEvents(kept_max=3)
    for number in range(1, 6):
        recent.add(event(number))
    assert not recent.add(event(1)), "everything at its height was told before"
    assert not recent.add(event(4)), "it is still kept"
    assert recent.add(event(6))
    assert len(recent) == 3


def test_a_client_whose_event_was_forgotten_is_told_of_the_gap_and_gets_all_there_is() -> None:
    recent = RecentEvents(kept_max=2)
    for number in range(1, 6):
        recent.add(event(number))
    missed = recent.since(cursor_of(1))
    assert missed.has_gap
    assert [found.height for found in missed.events] == [4, 5]


def test_a_client_of_another_process_resumes_at_its_height_without_losing_one() -> None:
    recent = RecentEvents()
    recent.mark_incomplete()
    for number, height in ((1, 7), (2, 8), (3, 8), (4, 9)):
        recent.add(event(number, height))
    missed = recent.since(cursor_of(999, height=8))
    assert not missed.has_gap
    assert [found.height for found in missed.events] == [8, 8, 9], "events of its own height may come twice"


def test_a_client_at_the_oldest_height_kept_may_have_missed_events_of_that_very_height() -> None:
    recent = RecentEvents()
    recent.mark_incomplete()
    recent.add(event(1, 7))
    assert recent.since(cursor_of(999, height=7)).has_gap


def test_a_complete_history_has_no_gap_for_anybody() -> None:
    recent = RecentEvents()
    recent.add(event(1, 5))
    assert recent.since(cursor_of(999, height=2)) == recent.since(cursor_of(998, height=5))
    assert not recent.since(cursor_of(999, height=2)).has_gap


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 10))
def test_never_more_events_are_kept_than_the_bound(heights: list[int], kept_max: int) -> None:
    recent = RecentEvents(kept_max=kept_max)
    for number, height in enumerate(sorted(heights)):
        recent.add(event(number, height))
    assert len(recent) == min(len(heights), kept_max)


@pytest.mark.parametrize(
    ("pattern", "subject", "is_wanted"),
    [
        ("icn.>", "icn.ledger.v1.hold_placed", True),
        ("icn.ledger.v1.>", "icn.ledger.v1.hold_placed", True),
        ("icn.ledger.v1.hold_placed", "icn.ledger.v1.hold_placed", True),
        ("icn.ledger.v1.hold_placed", "icn.ledger.v1.hold_placed_twice", False),
        ("icn.ledger.v1.hold", "icn.ledger.v1.hold_placed", False),
        ("icn.ledger.v1.>", "icn.ledger.v10.hold_placed", False),
    ],
)
def test_a_subject_or_prefix_selects_what_it_names(pattern: str, subject: str, is_wanted: bool) -> None:
    assert subject_filter(pattern)(subject) is is_wanted


@pytest.mark.parametrize(
    "pattern",
    ["", ">", "*", "icn.*", "icn..x", "icn.>.x", "other.>", "icn.ledger.V1", "icn." + "a" * 200, "icn.>\n"],
)
def test_a_subject_of_another_form_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        subject_filter(pattern)
    assert refusal.value.reason == "MALFORMED_SUBJECT"


@pytest.mark.parametrize(
    ("pattern", "service", "may_be"),
    [
        ("icn.>", "marketplace", True),
        ("icn.ledger.>", "ledger", True),
        ("icn.ledger.v1.>", "ledger", True),
        ("icn.ledger.v1.>", "ledge", False),
        ("icn.ledger.v1.hold_placed", "ledger", True),
        ("icn.ledger.v1.hold_placed", "marketplace", False),
    ],
)
def test_a_client_follows_the_streams_its_subject_can_be_of(pattern: str, service: str, may_be: bool) -> None:
    assert may_be_of(pattern, service) is may_be


def test_an_event_published_late_is_told_although_later_ones_were_forgotten() -> None:
    recent = RecentEvents(kept_max=2, disorder=DISORDER_MS)
    for number in range(1, 5):
        recent.add(event_of_service(number, 1_790_000_100_000 + number))
    assert recent.add(event_of_service(9, 1_790_000_100_000 - DISORDER_MS + 10))
    assert not recent.add(event_of_service(10, 1_790_000_000_000))


def test_a_client_of_another_process_resumes_a_services_stream_without_losing_a_late_one() -> None:
    recent = RecentEvents(disorder=DISORDER_MS)
    recent.mark_incomplete()
    start = 1_790_000_000_000
    for number in range(4):
        recent.add(event_of_service(number, start + number * DISORDER_MS))
    missed = recent.since(event_of_service(99, start + 3 * DISORDER_MS).cursor)
    assert not missed.has_gap
    assert [found.identifier[-1] for found in missed.events] == ["2", "3"]


def test_who_has_seen_everything_misses_nothing() -> None:
    recent = RecentEvents()
    assert recent.since(recent.newest).events == ()
    recent.add(event(1))
    assert recent.since(recent.newest).events == ()
