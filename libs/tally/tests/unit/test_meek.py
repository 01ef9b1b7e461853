"""Meek and Warren, held to their definition ballot by ballot; whole counts are in test_declared_results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.meek import MEEK, RULES, STANDING_MAX, WARREN, Meek, count
from icn_tally.stages import Count, Stage, Tie

Paper = tuple[Sequence[Sequence[int]], int]


def ballots_of(candidates: int, papers: Sequence[Paper]) -> Ballots:
    return ranked_ballots([f"c{number}" for number in range(1, candidates + 1)], papers)


def counted(ballots: Ballots, rule: Meek) -> Count:
    return count(rule, ballots, range(1, len(ballots.candidates) + 1))


def up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def by_hand(rule: Meek, candidates: int, papers: Sequence[tuple[Sequence[int], int]]) -> list[list[int]]:
    """Totals of each stage, by passing every ballot along its ranking."""
    scale = 10**rule.places
    numbers = range(1, candidates + 1)
    keep = dict.fromkeys(numbers, scale)
    hopeful, elected = [*numbers], []
    stages: list[list[int]] = []
    while True:
        before = None
        while True:
            votes = dict.fromkeys(numbers, 0)
            for order, weight in papers:
                left = scale
                for number in order:
                    kept = up(left * keep[number], scale) if rule.rule == MEEK else min(left, keep[number])
                    votes[number] += kept * weight
                    left -= kept
            quota = sum(votes.values()) // (rule.seats + 1) + 1
            new = [number for number in hopeful if votes[number] >= quota]
            surplus = max(sum(votes[number] - quota for number in elected), 0)
            small = surplus < 10 ** (rule.places - rule.tolerance_places)
            decided = len(elected) + len(hopeful) <= rule.seats
            if new or small or (before is not None and surplus >= before) or decided:
                break
            before = surplus
            for number in elected:
                keep[number] = min(up(up(keep[number] * quota, scale) * scale, votes[number]), scale)
        stages.append([votes[number] for number in numbers])
        if not new and decided:
            new = [*hopeful]
        hopeful = [number for number in hopeful if number not in new]
        elected += new
        if not hopeful or len(elected) == rule.seats:
            return stages
        if not new:
            lowest = min(votes[number] for number in hopeful) + surplus
            out = min(number for number in hopeful if votes[number] <= lowest)
            hopeful.remove(out)
            keep[out] = 0


@st.composite
def elections(draw: st.DrawFn) -> tuple[int, list[tuple[list[int], int]]]:
    candidates = draw(st.integers(1, 6))
    papers = []
    for _ in range(draw(st.integers(1, 10))):
        order = draw(st.permutations(range(1, candidates + 1)))[: draw(st.integers(1, candidates))]
        papers.append((order, draw(st.integers(1, 30))))
    return candidates, papers


@given(elections(), st.sampled_from(RULES), st.data())
def test_a_count_is_what_the_rule_gives_ballot_by_ballot(
    election: tuple[int, list[tuple[list[int], int]]], name: str, data: st.DataObject
) -> None:
    candidates, papers = election
    places = data.draw(st.sampled_from([3, 9, 12]))
    rule = Meek(name, data.draw(st.integers(1, candidates)), places, data.draw(st.integers(1, places)))
    found = counted(
        ballots_of(candidates, [([[n] for n in order], weight) for order, weight in papers]), rule
    )
    assert [[*stage.totals] for stage in found.stages] == by_hand(rule, candidates, papers)
    assert len({*found.winners}) == len(found.winners) == rule.seats
    for stage in found.stages:
        assert sum(stage.totals) + stage.non_transferable == found.valid * 10**places
        assert stage.non_transferable >= 0


@given(st.data())
@settings(max_examples=50)
def test_equal_ranks_count_as_the_mean_of_all_orders(data: st.DataObject) -> None:
    candidates = data.draw(st.integers(2, 4))
    papers: list[Paper] = []
    for _ in range(data.draw(st.integers(1, 4))):
        order = data.draw(st.permutations(range(1, candidates + 1)))
        cut = data.draw(st.integers(1, candidates - 1))
        papers.append(([order[:cut], order[cut:]], data.draw(st.integers(1, 4))))
    rule = Meek(data.draw(st.sampled_from(RULES)), data.draw(st.integers(1, candidates)))
    spread: list[Paper] = []
    for ranks, weight in papers:
        orders = [*product(*(permutations(rank) for rank in ranks))]
        spread += [
            ([[number] for rank in order for number in rank], weight * 24 // len(orders)) for order in orders
        ]
    found, whole = (
        counted(ballots_of(candidates, papers), rule),
        counted(ballots_of(candidates, spread), rule),
    )
    # 24 times the ballots have 24 times the votes, but for what rounding down takes at each.
    first, first_whole = found.stages[0].totals, whole.stages[0].totals
    assert [*first] == [votes // 24 for votes in first_whole]


def test_equal_candidates_share_votes_that_belong_to_both() -> None:
    found = counted(ballots_of(3, [([[1, 2]], 3), ([[3]], 2)]), Meek(MEEK, 1, 4))
    assert found.written(found.stages[0].totals) == ["1.5000", "1.5000", "2.0000"]


def test_warren_takes_the_same_price_from_every_ballot() -> None:
    """As in Hill and Warren's comparison: of two elected on one ballot, the second takes what it needs of
    what the first left, not a share of it."""
    papers = [([[1], [2], [3]], 60), ([[2], [3]], 30), ([[3]], 6)]
    meek, warren = (counted(ballots_of(3, papers), Meek(rule, 2, 6, 4)) for rule in (MEEK, WARREN))
    assert meek.winners == warren.winners == (1, 2)
    assert meek.stages[0].totals == warren.stages[0].totals


def test_more_ballots_than_64_bits_hold_are_counted_exactly() -> None:
    huge = 2**48
    papers = [([[1], [2]], 5 * huge), ([[2], [3]], 2 * huge), ([[3]], huge + 1)]
    rule = Meek(MEEK, 2, 9)
    found = counted(ballots_of(3, papers), rule)
    assert [[*stage.totals] for stage in found.stages] == by_hand(
        rule, 3, [([1, 2], 5 * huge), ([2, 3], 2 * huge), ([3], huge + 1)]
    )


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(InvalidBallots, match="no ballot is valid"):
        counted(ballots_of(2, [([], 3)]), Meek(MEEK, 1))
    with pytest.raises(InvalidBallots, match="5040 orders"):
        counted(ballots_of(7, [([[1, 2, 3, 4, 5, 6, 7]], 1)]), Meek(MEEK, 1))
    with pytest.raises(InvalidBallots, match="501 candidates"):
        counted(ballots_of(STANDING_MAX + 1, [([[1]], 1)]), Meek(WARREN, 1))
    for form, name in (
        ({}, "seats"),
        ({"seats": 1, "places": 0}, "places"),
        ({"seats": 1, "places": 3, "tolerance_places": 4}, "tolerance_places"),
        ({"seats": 1, "ties": "lot"}, "ties"),
    ):
        with pytest.raises(InvalidParameter) as error:
            Meek.from_form(MEEK, form)
        assert error.value.name == name
    with pytest.raises(InvalidParameter, match="3 seats for 2"):
        counted(ballots_of(2, [([[1]], 1)]), Meek(MEEK, 3))


def test_parameters_are_read_whole_and_have_defaults() -> None:
    for rule in RULES:
        assert Meek.from_form(rule, {"seats": 1}) == Meek(rule, 1, 9, 6)
        assert Meek.from_form(rule, {"seats": 1, "places": 4}) == Meek(rule, 1, 4, 4)
        form = {"seats": 500, "places": 18, "tolerance_places": 18}
        assert Meek.from_form(rule, form) == Meek(rule, 500, 18, 18)
        assert Meek.from_form(rule, form).to_form() == form
        assert Meek.from_form(rule, {"seats": 1, "places": 1, "tolerance_places": 1}).places == 1
    for name, value in (
        ("seats", 0),
        ("seats", 501),
        ("places", 19),
        ("tolerance_places", 0),
        ("tolerance_places", 10),
    ):
        with pytest.raises(InvalidParameter) as error:
            Meek.from_form(MEEK, {"seats": 1, name: value})
        assert error.value.name == name


def test_what_cannot_be_counted_is_refused_with_its_numbers() -> None:
    with pytest.raises(InvalidParameter, match=r"^seats: 3 seats for 2 candidates$"):
        counted(ballots_of(2, [([[1]], 1)]), Meek(MEEK, 3))
    with pytest.raises(InvalidBallots, match=r"^no ballot is valid, so there is nothing to count$"):
        counted(ballots_of(2, [([], 3)]), Meek(MEEK, 1))
    with pytest.raises(InvalidBallots, match=r"^501 candidates; warren counts for up to 500$"):
        counted(ballots_of(STANDING_MAX + 1, [([[1]], 1)]), Meek(WARREN, 1))
    assert counted(ballots_of(STANDING_MAX, [([[1]], 1)]), Meek(WARREN, 1)).winners == (1,)
    with pytest.raises(
        InvalidBallots, match=r"^ballot 1: its equal ranks allow 1440 orders; up to 720 are counted$"
    ):
        counted(ballots_of(8, [([[1, 2, 3, 4, 5, 6], [7, 8]], 1)]), Meek(MEEK, 1))
    with pytest.raises(InvalidParameter, match="lot_order"):
        count(Meek(MEEK, 1), ballots_of(2, [([[1]], 1)]), [1])


def test_six_in_one_rank_share_a_ballot() -> None:
    found = counted(ballots_of(7, [([[1, 2, 3, 4, 5, 6]], 3), ([[7]], 2), ([], 4)]), Meek(MEEK, 1, 1))
    assert (found.valid, found.invalid, found.stages[0].totals) == (5, 4, (5, 5, 5, 5, 5, 5, 20))


def test_keep_factors_of_meek_and_warren_are_as_reckoned_by_hand() -> None:
    """Two seats of twelve ballots: the quota is 4.001 at three places."""
    papers: list[Paper] = [([[1], [2]], 6), ([[2]], 2), ([[3]], 4)]
    for rule in RULES:
        found = counted(ballots_of(3, papers), Meek(rule, 2, 3, 3))
        assert found.stages[0] == Stage("elect", (1,), (6_000, 2_000, 4_000), 0, 0, (1,), 4_001)
        # 1 keeps 4.001 ÷ 6, rounded up to 0.667, of each of its six ballots; the rest, 1.998, comes to 2.
        second = found.stages[1]
        assert (second.action, second.candidates, second.totals[:2]) == ("transfer", (1,), (4_002, 3_998))
    assert counted(ballots_of(3, papers), Meek(MEEK, 2, 3, 3)).winners == (1, 3)


def test_what_an_excluded_candidate_held_goes_on_and_ends() -> None:
    papers: list[Paper] = [([[1]], 5), ([[2]], 4), ([[3], [2]], 1), ([[3]], 2)]
    found = counted(ballots_of(3, papers), Meek(MEEK, 1, 1, 1))
    # 12 ÷ 2 + 0.1; then 10 ÷ 2 + 0.1, of ten that are left: a lot decides between 5 and 5.
    assert found.stages == (
        Stage("elect", (), (50, 40, 30), 0, 0, (), 61),
        Stage("exclude", (3,), (50, 50, 0), 20, 0, (), 51),
        Stage("exclude", (1,), (0, 50, 0), 70, 0, (2,), 26),
    )
    assert found.ties == (Tie(3, "exclude", (1, 2), 1, None, (1, 2)),)
    assert (found.quota, found.winners, found.places) == ("2.6", (2,), 1)


def test_those_within_the_surplus_of_the_last_are_tied() -> None:
    # The tolerance is 0.1 of a vote, the surplus at most that: 2 and 3 differ by less than it leaves open.
    papers: list[Paper] = [([[1]], 1), ([[2]], 1), ([[3]], 1)]
    found = count(Meek(MEEK, 2, 3, 1), ballots_of(3, papers), [2, 3, 1])
    assert found.ties == (Tie(2, "exclude", (1, 2, 3), 2, None, (1, 2, 3)),)
    assert found.winners == (1, 3)
