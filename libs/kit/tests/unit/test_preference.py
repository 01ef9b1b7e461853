from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.preference import (
    HEIGHTS_BEHIND_MAX,
    SUSPECT_SECONDS_MAX,
    SUSPECT_SECONDS_MIN,
    Standing,
    newest_height,
    order_of_preference,
)


def seats(standings: list[Standing]) -> list[int]:
    return [standing.seat for standing in standings]


def test_the_validator_in_use_comes_first_and_the_others_follow_round() -> None:
    standings = [Standing(seat) for seat in range(4)]
    assert seats(order_of_preference(standings, preferred_seat=2, now=0.0)) == [2, 3, 0, 1]


def test_a_suspect_validator_comes_last_until_its_time_is_over() -> None:
    standings = [Standing(seat) for seat in range(4)]
    standings[0].failed(now=10.0)
    assert seats(order_of_preference(standings, 0, now=10.0)) == [1, 2, 3, 0]
    assert seats(order_of_preference(standings, 0, now=10.0 + SUSPECT_SECONDS_MIN)) == [0, 1, 2, 3]


def test_a_lagging_validator_comes_after_those_that_are_up_to_date_but_before_the_suspect() -> None:
    standings = [Standing(seat, executed_height=100) for seat in range(4)]
    standings[0].executed_height = 100 - HEIGHTS_BEHIND_MAX - 1
    standings[1].failed(now=0.0)
    assert seats(order_of_preference(standings, 0, now=0.0)) == [2, 3, 0, 1]


def test_a_validator_exactly_at_the_bound_is_still_up_to_date() -> None:
    standings = [Standing(seat, executed_height=100) for seat in range(2)]
    standings[0].executed_height = 100 - HEIGHTS_BEHIND_MAX
    assert seats(order_of_preference(standings, 0, now=0.0)) == [0, 1]


def test_a_validator_that_says_it_is_catching_up_is_lagging_whatever_its_height() -> None:
    standings = [Standing(0, executed_height=9, is_catching_up=True), Standing(1, executed_height=9)]
    assert seats(order_of_preference(standings, 0, now=0.0)) == [1, 0]


def test_suspicion_doubles_with_each_failure_up_to_a_bound_and_ends_with_an_answer() -> None:
    standing = Standing(0)
    waits = []
    for _ in range(8):
        standing.failed(now=0.0)
        waits.append(standing.suspect_until)
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == SUSPECT_SECONDS_MAX
    standing.succeeded()
    assert standing.suspect_until == 0.0
    standing.failed(now=0.0)
    assert standing.suspect_until == pytest.approx(SUSPECT_SECONDS_MIN)


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 30), st.booleans()), min_size=1, max_size=50),
    st.integers(0, 49),
)
def test_everybody_is_asked_at_some_point(known: list[tuple[float, int, bool]], preferred: int) -> None:
    standings = [
        Standing(seat, suspect_until=suspect, executed_height=height, is_catching_up=catching_up)
        for seat, (suspect, height, catching_up) in enumerate(known)
    ]
    ordered = order_of_preference(standings, preferred, now=20.0)
    assert sorted(seats(ordered)) == list(range(len(known)))


def test_one_validator_that_claims_a_great_height_does_not_make_the_others_lag() -> None:
    standings = [Standing(seat, executed_height=1_000) for seat in range(4)]
    standings[2].executed_height = 2**62
    assert newest_height(standings) == 1_000
    assert seats(order_of_preference(standings, 0, now=0.0)) == [0, 1, 2, 3]


def test_the_newest_height_is_one_that_an_honest_validator_has_reached() -> None:
    heights = (5, 9, 7, 8, 2**62, 6, 2**62)
    assert newest_height([Standing(seat, executed_height=height) for seat, height in enumerate(heights)]) == 9
    assert newest_height([Standing(0, executed_height=3)]) == 3


def test_who_contradicted_the_others_comes_after_the_lagging_and_before_the_suspect() -> None:
    standings = [Standing(seat, executed_height=100) for seat in range(4)]
    standings[0].dissented(now=0.0)
    standings[1].executed_height = 1
    standings[2].failed(now=0.0)
    assert seats(order_of_preference(standings, 0, now=0.5)) == [3, 1, 0, 2]
