"""Plain decisions: quorum, majority, borders."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.plain_decision import CHOICES, Decision
from icn_tally.tallies import tally

CAST = {"yes": [[1]], "no": [[2]], "abstain": [[3]], "blank": []}


def votes(yes: int, no: int = 0, abstain: int = 0, blank: int = 0) -> Ballots:
    weights = {"yes": yes, "no": no, "abstain": abstain, "blank": blank}
    return ranked_ballots(CHOICES, [(CAST[word], weight) for word, weight in weights.items() if weight])


def decided(form: dict[str, Any], ballots: Ballots) -> Decision:
    outcome = tally("plain-decision", form, ballots).outcome
    assert isinstance(outcome, Decision)
    return outcome


def share(comparison: str, numerator: int, denominator: int) -> dict[str, Any]:
    return {"comparison": comparison, "numerator": numerator, "denominator": denominator}


@pytest.mark.parametrize(
    ("form", "ballots", "is_carried"),
    [
        ({"eligible": 10}, votes(2, 1), True),
        ({"eligible": 10}, votes(2, 2), False),
        ({"eligible": 10}, votes(0, 0), False),
        ({"eligible": 10}, votes(0, 0, 5), False),
        ({"eligible": 10, "quorum": share("at-least", 1, 2)}, votes(3, 1, 1), True),
        ({"eligible": 10, "quorum": share("more-than", 1, 2)}, votes(3, 1, 1), False),
        (
            {"eligible": 10, "quorum": share("at-least", 1, 2), "quorum_counts": "yes-no"},
            votes(3, 1, 1),
            False,
        ),
        ({"eligible": 10, "quorum": share("at-least", 3, 10), "quorum_counts": "yes"}, votes(3, 2), True),
        ({"eligible": 10, "quorum": share("at-least", 1, 2)}, votes(3, 1, 0, 1), False),
        ({"eligible": 9, "majority": share("at-least", 2, 3)}, votes(6, 3), True),
        ({"eligible": 9, "majority": share("more-than", 2, 3)}, votes(6, 3), False),
        ({"eligible": 9, "majority": share("more-than", 2, 3)}, votes(7, 2), True),
        ({"eligible": 9, "majority_of": "cast"}, votes(3, 1, 3), False),
        ({"eligible": 8, "majority_of": "eligible"}, votes(4), False),
        ({"eligible": 8, "majority_of": "eligible"}, votes(5), True),
        ({"eligible": 8, "majority": share("at-least", 0, 1)}, votes(0, 5), False),
    ],
)
def test_the_border_of_each_comparison_is_exact(
    form: dict[str, Any], ballots: Ballots, is_carried: bool
) -> None:
    found = decided(form, ballots)
    assert found.is_carried is is_carried
    assert found.to_form()["carried"] is is_carried


@given(
    *(st.integers(0, 50) for _ in range(4)),
    st.integers(0, 20),
    st.fractions(0, 1, max_denominator=20),
    st.sampled_from(["more-than", "at-least"]),
)
def test_a_decision_is_what_fractions_say(
    yes: int, no: int, abstain: int, blank: int, absent: int, needed: Fraction, comparison: str
) -> None:
    eligible = yes + no + abstain + blank + absent + 1
    form = {"eligible": eligible, "majority": share(comparison, needed.numerator, needed.denominator)}
    found = decided(form, votes(yes, no, abstain, blank))
    least = needed * (yes + no)
    assert found.is_carried is (yes > 0 and (yes > least if comparison == "more-than" else yes >= least))
    assert (found.yes, found.no, found.abstain, found.blank) == (yes, no, abstain, blank)


def test_a_ballot_with_two_marks_is_invalid_and_counts_nowhere() -> None:
    ballots = ranked_ballots(CHOICES, [([[1], [2]], 4), ([[1, 3]], 2), ([[2]], 1)])
    found = decided({"eligible": 7}, ballots)
    assert (found.invalid, found.yes, found.no, found.is_carried) == (6, 0, 1, False)


def test_more_votes_than_the_electorate_has_is_refused() -> None:
    assert decided({"eligible": 3}, votes(3)).is_carried
    with pytest.raises(InvalidParameter, match="eligible"):
        decided({"eligible": 3}, votes(3, 0, 0, 1))


def test_other_candidates_are_refused() -> None:
    with pytest.raises(InvalidBallots, match="yes, no, abstain"):
        decided({"eligible": 3}, ranked_ballots(["yes", "no"], []))


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({}, "eligible"),
        ({"eligible": 0}, "eligible"),
        ({"eligible": 1, "quorum": 1}, "quorum"),
        ({"eligible": 1, "quorum": share("at-least", 2, 1)}, "quorum.numerator"),
        ({"eligible": 1, "quorum": share("at-least", 0, 0)}, "quorum.denominator"),
        ({"eligible": 1, "majority": share("about", 1, 2)}, "majority.comparison"),
        ({"eligible": 1, "majority": {**share("at-least", 1, 2), "of": 1}}, "majority.of"),
        ({"eligible": 1, "majority_of": "all"}, "majority_of"),
        ({"eligible": 1, "quorum_counts": ["cast"]}, "quorum_counts"),
    ],
)
def test_parameters_out_of_form_are_named(form: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        decided(form, votes(1))
    assert caught.value.name == name


def test_an_unknown_rule_and_lots_where_none_are_drawn_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="rule: 'eph' is not one of"):
        tally("eph", {}, votes(1))
    with pytest.raises(InvalidParameter, match="draws no lots"):
        tally("plain-decision", {"eligible": 1}, votes(1), [1, 2, 3])
