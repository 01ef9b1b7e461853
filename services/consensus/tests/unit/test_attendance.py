from __future__ import annotations

import pytest
from icn_chain.validator_set import Validator, ValidatorSet
from icn_consensus.domain.attendance import Attendance

SELF = 0


def attendance(seats: int = 4, view: int = 0) -> Attendance:
    keys = tuple(bytes([seat]) * 32 for seat in range(seats))
    return Attendance(ValidatorSet.of(Validator(key[:16], ((1, key),)) for key in keys), SELF, view)


def hear(book: Attendance, seats: list[int], views: range) -> None:
    for view in views:
        for seat in seats:
            book.hear(seat, view)


def test_a_leader_is_silent_once_nothing_was_heard_for_exactly_2n_views() -> None:
    book = attendance()
    hear(book, [1, 2, 3], range(10))
    hear(book, [1, 2], range(10, 30))
    assert not book.is_silent(3, 9 + 8)
    assert book.is_silent(3, 9 + 9)


def test_who_has_watched_fewer_than_2n_views_waits() -> None:
    book = attendance(view=100)
    hear(book, [1, 2], range(100, 120))
    assert not book.is_silent(3, 107)
    assert book.is_silent(3, 108)


def test_jumping_over_views_begins_the_window_anew() -> None:
    book = attendance()
    hear(book, [1, 2], range(60))
    assert book.is_silent(3, 40)
    book.restart_window(50)
    assert not book.is_silent(3, 57)
    assert book.is_silent(3, 58)


def test_nobody_is_silent_while_no_quorum_was_heard() -> None:
    book = attendance()
    hear(book, [1], range(60))
    assert not book.is_silent(2, 60)
    assert not book.is_silent(3, 60)


def test_one_is_not_silent_to_oneself() -> None:
    book = attendance()
    hear(book, [1, 2, 3], range(60))
    assert not book.is_silent(SELF, 60)


def test_a_word_ends_silence() -> None:
    book = attendance()
    hear(book, [1, 2], range(60))
    assert book.is_silent(3, 60)
    book.hear(3, 59)
    assert not book.is_silent(3, 60)


@pytest.mark.parametrize(("seats", "faults"), [(4, 1), (6, 1), (7, 2), (10, 3)])
def test_at_most_f_seats_count_as_silent(seats: int, faults: int) -> None:
    book = attendance(seats)
    for view in range(0, 60):
        for seat in range(1, seats):
            book.hear(seat, view)
    for seat in range(1, seats):
        for view in (10, 20):
            book.end_turn(seat, view, was_skipped=False, has_proposed=False)
    assert sum(book.is_silent(seat, 60) for seat in range(seats)) == faults


def test_two_turns_without_a_proposal_earn_one_silent_turn_and_each_further_one_doubles_it() -> None:
    book = attendance()
    waited = []
    for turn in range(130):
        view = 4 * turn + 3
        hear(book, [1, 2, 3], range(view - 3, view + 1))
        is_skipped = book.is_silent(3, view)
        if not is_skipped:
            waited.append(turn)
        book.end_turn(3, view, was_skipped=is_skipped, has_proposed=False)
    assert waited == [0, 1, 3, 6, 11, 20, 37, 54, 71, 88, 105, 122]


def test_a_notarized_proposal_resets_the_penalty() -> None:
    book = attendance()
    hear(book, [1, 2, 3], range(40))
    for view in (3, 7):
        book.end_turn(3, view, was_skipped=False, has_proposed=False)
    assert book.is_silent(3, 11)
    book.reset(3)
    assert not book.is_silent(3, 11)
    book.end_turn(3, 11, was_skipped=False, has_proposed=False)
    assert not book.is_silent(3, 15)


def test_a_turn_with_a_proposal_or_of_a_seat_not_heard_is_not_a_missed_one() -> None:
    book = attendance()
    hear(book, [1, 2], range(8))
    for view in (3, 7):
        book.end_turn(3, view, was_skipped=False, has_proposed=False)
        book.end_turn(2, view, was_skipped=False, has_proposed=True)
    assert not book.is_silent(3, 7)
    assert not book.is_silent(2, 7)


def test_an_epoch_that_counts_from_a_lower_view_keeps_what_was_heard() -> None:
    book = attendance()
    hear(book, [1, 2], range(60))
    book.restart_epoch(50)
    hear(book, [1, 2], range(50, 59))
    assert book.is_silent(3, 59)


def test_turns_are_counted_kept_or_lost_by_seat() -> None:
    book = attendance()
    book.reset(1)
    book.reset(1)
    book.end_turn(2, 5, was_skipped=False, has_proposed=True)
    book.end_turn(2, 9, was_skipped=True, has_proposed=False)
    assert book.kept_turns == [0, 2, 0, 0]
    assert book.lost_turns == [0, 0, 2, 0]


def test_a_leader_whose_proposal_was_notarized_is_forgiven_and_skipped_for_one_turn_next() -> None:
    book = attendance()
    hear(book, [1, 2, 3], range(40))
    for view in (3, 7, 11, 15):
        book.end_turn(3, view, was_skipped=False, has_proposed=False)
    assert book.is_silent(3, 19)
    book.reset(3)
    assert not book.is_silent(3, 19)
    for view in (23, 27):
        assert not book.is_silent(3, view)
        book.end_turn(3, view, was_skipped=False, has_proposed=False)
    assert book.is_silent(3, 31)
    book.end_turn(3, 31, was_skipped=True, has_proposed=False)
    assert not book.is_silent(3, 35), "one turn, as at first"
