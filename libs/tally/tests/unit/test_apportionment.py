"""Apportionment, held to examples of the literature and to the definition of each method."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.apportionment import (
    ADAMS,
    DHONDT,
    HAMILTON,
    RULES,
    SAINTE_LAGUE,
    SEATS_MAX,
    Apportioned,
    apportion,
)
from icn_tally.ballots import CANDIDATES_MAX, WEIGHT_MAX
from icn_tally.faults import InvalidBallots, InvalidParameter

VOTES = [100_000, 80_000, 30_000, 20_000]
DIVISORS = {SAINTE_LAGUE: lambda s: 2 * s - 1, DHONDT: lambda s: s, ADAMS: lambda s: s - 1}
"""Of a party's s-th seat."""


@pytest.mark.parametrize(
    ("rule", "seats"), [(DHONDT, (4, 3, 1, 0)), (SAINTE_LAGUE, (3, 3, 1, 1)), (HAMILTON, (3, 3, 1, 1))]
)
def test_examples_of_the_literature(rule: str, seats: tuple[int, ...]) -> None:
    assert apportion(rule, 8, VOTES, [1, 2, 3, 4]).seats == seats


def test_adams_gives_everybody_a_seat_first() -> None:
    assert apportion(ADAMS, 4, [1_000, 1, 1, 1, 0], [1, 2, 3, 4, 5]).seats == (1, 1, 1, 1, 0)


@given(
    st.sampled_from([SAINTE_LAGUE, DHONDT]),
    st.integers(1, 30),
    st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any),
)
def test_no_seat_has_a_smaller_claim_than_one_that_was_not_given(
    rule: str, seats: int, votes: list[int]
) -> None:
    found = apportion(rule, seats, votes, range(1, len(votes) + 1))
    assert sum(found.seats) == seats
    divisor = DIVISORS[rule]
    given_last = [
        Fraction(cast, divisor(held)) for cast, held in zip(votes, found.seats, strict=True) if held
    ]
    next_ones = [Fraction(cast, divisor(held + 1)) for cast, held in zip(votes, found.seats, strict=True)]
    assert min(given_last) >= max(next_ones)
    assert bool(found.tied) == (min(given_last) == max(next_ones))


@given(st.integers(1, 30), st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any))
def test_hamilton_keeps_to_quotas(seats: int, votes: list[int]) -> None:
    found = apportion(HAMILTON, seats, votes, range(1, len(votes) + 1))
    assert sum(found.seats) == seats
    for cast, held in zip(votes, found.seats, strict=True):
        quota = Fraction(cast * seats, sum(votes))
        assert quota // 1 <= held <= -(-quota // 1)


def test_lots_decide_between_equal_claims_and_are_listed() -> None:
    for rule in (SAINTE_LAGUE, DHONDT, HAMILTON, ADAMS):
        found = apportion(rule, 1, [5, 5, 1] if rule != HAMILTON else [5, 5, 0], [2, 1, 3])
        assert (found.seats, found.tied) == ((0, 1, 0), (1, 2)), rule
    assert apportion(DHONDT, 2, [5, 5, 1], [2, 1, 3]).tied == ()


def test_what_cannot_be_given_out_is_refused() -> None:
    for rule, seats, votes, told in (
        ("w" * 50, 1, [1], f"rule: '{'w' * 40}' is not one of sainte-lague, dhondt, adams, hamilton"),
        (DHONDT, 0, [1], "seats: a whole number from 1 to 100000 is expected"),
        (DHONDT, SEATS_MAX + 1, [1], "seats: a whole number from 1 to 100000 is expected"),
        (DHONDT, 1, [], "0 parties; there can be 1 to 2000"),
        (DHONDT, 1, [1] * (CANDIDATES_MAX + 1), "2001 parties; there can be 1 to 2000"),
        (DHONDT, 1, [0, 0], "nobody has a vote, so there is nothing to give out"),
        (DHONDT, 1, [2, -1], f"party 2: votes are a whole number from 0 to {WEIGHT_MAX}"),
        (DHONDT, 1, [WEIGHT_MAX + 1], f"party 1: votes are a whole number from 0 to {WEIGHT_MAX}"),
        (DHONDT, 1, [True], f"party 1: votes are a whole number from 0 to {WEIGHT_MAX}"),
    ):
        with pytest.raises((InvalidParameter, InvalidBallots)) as error:
            apportion(rule, seats, votes, range(1, len(votes) + 1))
        assert str(error.value) == told
    with pytest.raises(InvalidParameter, match="lot_order"):
        apportion(DHONDT, 1, [1, 2], [1])


@pytest.mark.parametrize("rule", RULES)
def test_as_much_as_allowed_is_given_out(rule: str) -> None:
    assert apportion(rule, 1, [WEIGHT_MAX, 0], [1, 2]) == Apportioned(rule, (1, 0), ())
    assert apportion(HAMILTON, SEATS_MAX, [WEIGHT_MAX], [1]).seats == (SEATS_MAX,)
    many = apportion(rule, 1, [1, *[0] * (CANDIDATES_MAX - 1)], range(1, CANDIDATES_MAX + 1))
    assert (many.seats[0], many.tied) == (1, ())


def test_whole_quotas_leave_nothing_to_lots() -> None:
    assert apportion(HAMILTON, 4, [2, 2], [2, 1]) == Apportioned(HAMILTON, (2, 2), ())
    # 2 of 7 each have 8 ÷ 7 seats: 1, and 1 ÷ 7 each for the last; 1 has 3 ÷ 7 · 4 = 12 ÷ 7.
    assert apportion(HAMILTON, 4, [3, 2, 2], [3, 2, 1]) == Apportioned(HAMILTON, (2, 1, 1), ())
    assert apportion(HAMILTON, 3, [3, 2, 2], [3, 2, 1]) == Apportioned(HAMILTON, (1, 1, 1), ())
    assert apportion(HAMILTON, 2, [1, 1, 1], [3, 2, 1]) == Apportioned(HAMILTON, (0, 1, 1), (1, 2, 3))


def test_who_has_the_last_claim_more_than_once_or_not_at_all_is_listed() -> None:
    # Quotients of 6: 6, 3, 2; of 3: 3; of 2: 2. Two seats are sure, the third is between 3 and 3.
    assert apportion(DHONDT, 2, [6, 3, 2], [3, 2, 1]) == Apportioned(DHONDT, (1, 1, 0), (1, 2))
    assert apportion(DHONDT, 3, [6, 3, 2], [3, 2, 1]) == Apportioned(DHONDT, (2, 1, 0), ())
    assert apportion(DHONDT, 4, [6, 3, 2], [3, 2, 1]) == Apportioned(DHONDT, (2, 1, 1), (1, 3))
    # Adams gives a first seat before any second, so that all first ones are one claim of equal votes.
    assert apportion(ADAMS, 2, [5, 5, 1], [3, 2, 1]) == Apportioned(ADAMS, (1, 1, 0), ())
    assert apportion(ADAMS, 3, [5, 5, 1], [3, 2, 1]) == Apportioned(ADAMS, (1, 1, 1), ())
    assert apportion(ADAMS, 4, [5, 5, 1], [3, 2, 1]) == Apportioned(ADAMS, (1, 2, 1), (1, 2))


def test_a_result_is_written_with_its_rule() -> None:
    assert apportion(DHONDT, 1, [5, 5], [2, 1]).to_form() == {
        "rule": "dhondt",
        "seats": [0, 1],
        "tied": [1, 2],
    }
