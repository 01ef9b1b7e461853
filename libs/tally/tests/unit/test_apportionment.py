"""Apportionment, held to examples of the literature and to the definition of each method."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.apportionment import ADAMS, DHONDT, HAMILTON, RULES, SAINTE_LAGUE, apportion
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
    with pytest.raises(InvalidParameter, match="rule"):
        apportion("webster", 1, [1], [1])
    with pytest.raises(InvalidParameter, match="seats"):
        apportion(DHONDT, 0, [1], [1])
    with pytest.raises(InvalidParameter, match="lot_order"):
        apportion(DHONDT, 1, [1, 2], [1])
    for votes in ([], [0, 0], [-1, 2], [2**53]):
        with pytest.raises(InvalidBallots):
            apportion(RULES[0], 1, votes, range(1, len(votes) + 1))
