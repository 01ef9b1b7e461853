"""The weighted inclusive Gregory method where it differs from Scottish STV; whole counts are in
test_declared_results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import WEIGHT_MAX, Ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.stages import TIE_RULES, Count, Stage, Tie
from icn_tally.wigm import EXCLUSIONS, FACTORS, QUOTAS, SURPLUSES, Wigm, count


def strict(candidates: int, *orders: tuple[Sequence[int], int]) -> Ballots:
    names = [f"c{number}" for number in range(1, candidates + 1)]
    return ranked_ballots(names, [([[number] for number in order], weight) for order, weight in orders])


def counted(ballots: Ballots, **form: Any) -> Count:
    return count(Wigm.from_form(form), ballots, range(1, len(ballots.candidates) + 1))


def test_the_quota_is_a_fraction_or_whole() -> None:
    ballots = strict(3, ((1, 2), 7), ((2,), 2), ((3,), 4))
    assert counted(ballots, seats=2).quota == "4.3334"
    assert counted(ballots, seats=2, quota="whole", places=1).quota == "5.0"


def test_a_truncated_factor_loses_more_than_an_exact_product() -> None:
    ballots = strict(3, ((1, 2), 7), ((2,), 2), ((3,), 4))
    exact = counted(ballots, seats=2, places=2, quota="whole")
    # Surplus 2 of 7 is 0.2857…; a second surplus would multiply 0.28 with a truncated factor again.
    assert exact.written(exact.stages[1].totals) == ["5.00", "3.96", "4.00"]
    # 61 ballots come to 2 with 0.4 (29.9 of 61); of its 43.4 votes 12.3 go on, which is 0.28… of each: 0.1 of
    # 0.4 and 0.2 of 1, or, truncated to 0.2 first, 0.08, which is nothing, and 0.2.
    twice = strict(4, ((1, 2, 3), 61), ((2, 3), 19), ((3,), 13), ((4,), 31))
    exact, truncated = (counted(twice, seats=3, places=1, factor=factor) for factor in FACTORS)
    assert exact.written(exact.stages[2].totals) == ["31.1", "31.1", "22.9", "31.0"]
    assert truncated.written(truncated.stages[2].totals) == ["31.1", "31.1", "16.8", "31.0"]


def test_surpluses_are_transferred_one_by_one_or_all_at_once() -> None:
    ballots = strict(4, ((1, 3), 9), ((2, 3), 8), ((3,), 1), ((4,), 2))
    one = counted(ballots, seats=3, quota="whole", places=0)
    assert [stage.candidates for stage in one.stages[:3]] == [(1, 2), (1,), (2,)]
    together = counted(ballots, seats=3, quota="whole", surpluses="all")
    assert [stage.candidates for stage in together.stages[:2]] == [(1, 2), (1, 2)]
    alone = counted(ballots, seats=3, quota="whole", surpluses="one-elected")
    assert [stage.elected for stage in alone.stages[:2]] == [(1,), (2,)]


def test_who_is_elected_later_takes_part_in_transfers_until_then() -> None:
    ballots = strict(3, ((1, 2), 9), ((2,), 6), ((3,), 2))
    alone = counted(ballots, seats=2, quota="whole", surpluses="one-elected")
    # Quota 6: the surplus of 1 comes to 2, which is not elected yet.
    assert alone.written(alone.stages[1].totals) == ["6.0000", "8.9997", "2.0000"]
    assert alone.winners == (1, 2)


def test_sure_losers_are_excluded_before_a_surplus_goes_on() -> None:
    ballots = strict(5, ((1, 2), 20), ((2,), 10), ((3,), 9), ((4, 3), 1), ((5, 3), 1))
    found = counted(ballots, seats=2, exclusion="sure-losers")
    # Quota 13.6667; 4 and 5 have 2 votes and the surplus of 6.3333 together, less than 9.
    assert [stage.candidates for stage in found.stages] == [(1,), (4, 5), (1,)]


def test_write_ins_are_excluded_first() -> None:
    ballots = strict(4, ((1,), 9), ((2,), 8), ((3, 2), 2), ((4, 1), 3))
    found = counted(ballots, seats=2, first_excluded=[4], quota="whole")
    assert [stage.candidates for stage in found.stages] == [(1, 2)]
    found = counted(strict(4, ((1,), 7), ((2,), 6), ((3, 2), 4), ((4, 1), 5)), seats=2, first_excluded=[4])
    assert found.stages[1].candidates == (4,)
    found = counted(strict(4, ((1,), 7), ((2,), 6), ((3, 2), 4), ((4, 1), 5)), seats=2, votes_min=6)
    assert found.stages[1].candidates == (3, 4)


@given(st.data())
def test_every_vote_is_accounted_for_whatever_the_parameters(data: st.DataObject) -> None:
    candidates = data.draw(st.integers(1, 6))
    order = st.permutations(range(1, candidates + 1))
    orders = [
        (data.draw(order)[: data.draw(st.integers(1, candidates))], data.draw(st.integers(1, 40)))
        for _ in range(data.draw(st.integers(1, 12)))
    ]
    form = {
        "seats": data.draw(st.integers(1, candidates)),
        "places": data.draw(st.integers(0, 9)),
        "quota": data.draw(st.sampled_from(QUOTAS)),
        "surpluses": data.draw(st.sampled_from(SURPLUSES)),
        "factor": data.draw(st.sampled_from(FACTORS)),
        "exclusion": data.draw(st.sampled_from(EXCLUSIONS)),
        "votes_min": data.draw(st.integers(0, 10)),
    }
    found = counted(strict(candidates, *orders), **form)
    for stage in found.stages:
        assert sum(stage.totals) + stage.non_transferable + stage.lost == found.valid * 10**found.places
        assert min(stage.totals) >= 0 <= stage.lost
    assert len({*found.winners}) == len(found.winners) == form["seats"]
    assert Wigm.from_form(found.parameters.to_form()) == Wigm.from_form(form)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({}, "seats"),
        ({"seats": 3}, "seats"),
        ({"seats": 1, "quota": "hare"}, "quota"),
        ({"seats": 1, "first_excluded": [3]}, "first_excluded"),
        ({"seats": 1, "places": 10}, "places"),
        ({"seats": 1, "speed": 1}, "speed"),
    ],
)
def test_parameters_out_of_form_are_named(form: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        counted(strict(2, ((1,), 1)), **form)
    assert error.value.name == name


def test_parameters_are_read_whole_and_have_defaults() -> None:
    assert Wigm.from_form({"seats": 1}) == Wigm(1, 4, "lot", "fraction", "largest", "exact", "one", 0, ())
    form = {
        "seats": 500,
        "places": 9,
        "ties": "narrowing",
        "quota": "whole",
        "surpluses": "one-elected",
        "factor": "truncated",
        "exclusion": "sure-losers",
        "votes_min": WEIGHT_MAX,
        "first_excluded": [2, 7],
    }
    read = Wigm.from_form(form)
    assert read == Wigm(
        500, 9, "narrowing", "whole", "one-elected", "truncated", "sure-losers", WEIGHT_MAX, (2, 7)
    )
    assert read.to_form() == form
    for name, values in (
        ("ties", TIE_RULES), ("quota", QUOTAS), ("surpluses", SURPLUSES), ("factor", FACTORS),
        ("exclusion", EXCLUSIONS), ("places", (0, 9)), ("seats", (1, 500)),
    ):  # fmt: skip
        for value in values:
            assert Wigm.from_form({"seats": 2, name: value}).to_form()[name] == value
    for name, values in (
        ("seats", (0, 501)), ("places", (-1, 10)), ("votes_min", (-1, WEIGHT_MAX + 1)), ("ties", ("random",)),
    ):  # fmt: skip
        for value in values:
            with pytest.raises(InvalidParameter) as error:
                Wigm.from_form({"seats": 2, name: value})
            assert error.value.name == name


def test_what_cannot_be_counted_is_refused_with_its_numbers() -> None:
    with pytest.raises(InvalidParameter, match=r"^seats: 3 seats for 2 candidates$"):
        counted(strict(2, ((1,), 1)), seats=3)
    with pytest.raises(InvalidBallots, match=r"^no ballot is valid, so there is nothing to count$"):
        counted(strict(2, ((), 3)), seats=1)
    with pytest.raises(
        InvalidBallots, match=r"^501 candidates; a single transferable vote counts for up to 500$"
    ):
        counted(strict(501, ((1,), 1)), seats=1)
    with pytest.raises(InvalidParameter, match="lot_order"):
        count(Wigm(1), strict(2, ((1,), 1)), [1])


def test_a_whole_sheet_is_as_reckoned_by_hand() -> None:
    """Quota 101 ÷ 3 + 0.01. 1 passes on 26.32 of 60: 0.4386… of each ballot, 0.43 at two places."""
    ballots = ranked_ballots(
        ["a", "b", "c", "d"],
        [([[1], [2]], 40), ([[1]], 20), ([[2, 3]], 5), ([[3]], 21), ([[4], [3]], 12), ([[4], [2, 3]], 8)],
    )
    found = counted(ballots, seats=2, places=2)
    assert (found.valid, found.invalid, found.quota, found.winners) == (101, 5, "33.67", (1, 3))
    assert [(stage.action, stage.candidates, stage.elected) for stage in found.stages] == [
        ("elect", (1,), (1,)),
        ("transfer", (1,), ()),
        ("exclude", (2,), ()),
        ("exclude", (4,), (3,)),
    ]
    # 40 · 0.43 come to 2 and 20 · 0.43 end; 0.52 is lost. Nobody follows 2. Of 4 twelve go on to 3.
    assert [stage.totals for stage in found.stages] == [
        (6000, 0, 2100, 2000),
        (3367, 1720, 2100, 2000),
        (3367, 0, 2100, 2000),
        (3367, 0, 3300, 0),
    ]
    assert [(stage.non_transferable, stage.lost) for stage in found.stages] == [
        (0, 0), (860, 53), (2580, 53), (3380, 53),
    ]  # fmt: skip


def test_the_largest_of_equal_totals_is_elected_alone_by_lot() -> None:
    ballots = strict(4, ((1, 3), 9), ((2, 3), 9), ((3,), 1), ((4,), 2))
    found = count(Wigm(3, quota="whole", surpluses="one-elected"), ballots, [2, 1, 3, 4])
    assert found.ties[0] == Tie(1, "elect", (1, 2), 2, None, (1, 2))
    assert [stage.elected for stage in found.stages[:2]] == [(2,), (1,)]


def test_excluding_first_leaves_as_many_as_there_are_seats() -> None:
    ballots = strict(4, ((1,), 3), ((2,), 3), ((3, 1), 2), ((4, 2), 2))
    # Three have fewer than 3, or exactly as many: only two may go.
    assert counted(ballots, seats=2, votes_min=3).stages[1].candidates == (3, 4)
    assert counted(ballots, seats=2, votes_min=4).stages[1].candidates == (3,)
    assert counted(ballots, seats=2, first_excluded=[1, 3, 4]).stages[1].candidates == (3,)
    # Nobody's vote lies at 3, so that it is nobody to be excluded first.
    none = strict(4, ((1,), 4), ((2,), 4), ((4, 2), 4))
    assert counted(none, seats=2, first_excluded=[3, 4]).stages[1].candidates == (4,)


def test_an_equal_rank_ends_what_comes_to_it() -> None:
    ballots = ranked_ballots(["a", "b", "c"], [([[1], [2, 3]], 2), ([[1], [3]], 2), ([[2]], 3), ([[3]], 4)])
    found = counted(ballots, seats=1, places=0, quota="whole")
    assert found.stages[1] == Stage("exclude", (2,), (4, 0, 4), 3, 0, ())
    assert found.stages[2] == Stage("exclude", (1,), (0, 0, 6), 5, 0, (3,))
