"""Stage sheets and ties, held to small tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.runoff import Runoff
from icn_tally.stages import Action, Count, Stage, Tie, TieRule, Ties, sure_losers, written


def stage(*totals: int) -> Stage:
    return Stage("exclude", (), totals, 0, 0, ())


@pytest.mark.parametrize(
    ("votes", "places", "text"),
    [(0, 0, "0"), (17, 0, "17"), (0, 1, "0.0"), (7, 2, "0.07"), (1234, 3, "1.234"), (120_000, 5, "1.20000")],
)
def test_votes_are_written_with_all_places(votes: int, places: int, text: str) -> None:
    assert written(votes, places) == text


def test_a_count_is_written_whole() -> None:
    count = Count(
        Runoff(),
        2,
        9,
        3,
        "4.51",
        (2,),
        (
            Stage("elect", (2,), (450, 450), 0, 0, (2,)),
            Stage("transfer", (2,), (425, 451), 20, 4, (), 451),
        ),
        (
            Tie(1, "elect", (1, 2), 2, None, (1, 2)),
            Tie(2, "exclude", (1, 2), 1, 1, ()),
        ),
    )
    assert count.to_form() == {
        "valid": "9",
        "invalid": "3",
        "quota": "4.51",
        "winners": [2],
        "stages": [
            {
                "action": "elect",
                "candidates": [2],
                "totals": ["4.50", "4.50"],
                "non_transferable": "0.00",
                "lost": "0.00",
                "elected": [2],
            },
            {
                "action": "transfer",
                "candidates": [2],
                "totals": ["4.25", "4.51"],
                "non_transferable": "0.20",
                "lost": "0.04",
                "elected": [],
                "quota": "4.51",
            },
        ],
        "ties": [
            {"stage": 1, "action": "elect", "candidates": [1, 2], "chosen": 2, "by": "lot", "among": [1, 2]},
            {
                "stage": 2,
                "action": "exclude",
                "candidates": [1, 2],
                "chosen": 1,
                "by": "stage",
                "earlier_stage": 1,
            },
        ],
    }


# The last stage is the one whose totals tie; of those before, the second tells 1 and 2 from 3, the first all.
SHEET = [stage(7, 5, 6, 9), stage(4, 4, 5, 8), stage(4, 4, 4, 8), stage(4, 4, 4, 8)]


@pytest.mark.parametrize(
    ("rule", "action", "chosen", "earlier_stage", "drawn"),
    [
        ("narrowing", "exclude", 2, 1, ()),
        ("narrowing", "transfer", 3, 2, ()),
        ("narrowing", "elect", 3, 2, ()),
        ("all-unequal", "exclude", 2, 1, ()),
        ("all-unequal", "transfer", 1, 1, ()),
        ("lot", "exclude", 3, None, (1, 2, 3)),
        ("lot", "transfer", 3, None, (1, 2, 3)),
    ],
)
def test_ties_are_broken_by_the_latest_stage_that_tells_them_apart(
    rule: TieRule, action: Action, chosen: int, earlier_stage: int | None, drawn: Sequence[int]
) -> None:
    ties = Ties(rule, {1: 2, 2: 1, 3: 0, 4: 3})
    assert ties.choose([1, 2, 3], action, SHEET) == chosen
    assert ties.found == [Tie(5, action, (1, 2, 3), chosen, earlier_stage, tuple(drawn))]
    assert ties.choose([4], action, SHEET) == 4 and len(ties.found) == 1


def test_lots_fall_between_those_whom_stages_leave() -> None:
    sheet = [stage(4, 4, 9), stage(4, 4, 5), stage(4, 4, 4)]
    ties = Ties("narrowing", {3: 0, 2: 1, 1: 2})
    assert ties.choose([1, 2, 3], "exclude", sheet) == 2
    assert ties.found == [Tie(4, "exclude", (1, 2, 3), 2, None, (1, 2))]
    unequal = Ties("all-unequal", {3: 0, 2: 1, 1: 2})
    assert unequal.choose([1, 2, 3], "exclude", sheet) == 3
    assert unequal.found == [Tie(4, "exclude", (1, 2, 3), 3, None, (1, 2, 3))]
    # The totals of the last stage are what ties, so that a first stage has none before it.
    assert Ties("narrowing", {1: 1, 2: 0}).choose([1, 2], "exclude", [stage(3, 4)]) == 2


@pytest.mark.parametrize(
    ("totals", "votes", "kept", "losers"),
    [
        ([6, 1, 2, 4], 0, 1, [2, 3]),
        ([9, 1, 2, 3], 0, 1, [2, 3, 4]),
        ([9, 1, 2, 3], 0, 3, [2]),
        ([9, 1, 2, 3], 3, 1, []),
        ([9, 1, 2, 3], 2, 1, [2, 3, 4]),
        ([9, 8, 9], 0, 2, [2]),
        ([8, 8, 9], 0, 2, []),
        ([3], 0, 1, []),
        ([0, 0, 5], 0, 1, [1, 2]),
    ],
)
def test_sure_losers_have_less_together_than_each_other(
    totals: list[int], votes: int, kept: int, losers: list[int]
) -> None:
    assert sure_losers(dict(enumerate(totals, start=1)), votes, kept) == losers


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 4), st.data())
def test_no_larger_group_would_be_sure_to_lose(totals: list[int], votes: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(totals)))
    numbers = range(1, len(totals) + 1)
    groups = [
        [*group]
        for size in range(len(totals) - kept, -1, -1)
        for group in combinations(numbers, size)
        if all(
            votes + sum(totals[one - 1] for one in group) < totals[other - 1]
            for other in numbers
            if other not in group
        )
        or not group
    ]
    assert sure_losers(dict(zip(numbers, totals, strict=True)), votes, kept) == groups[0]
