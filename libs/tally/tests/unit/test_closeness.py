"""How close a result is: bounds hold, and examples do what they say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, Ranking, ranked_ballots
from icn_tally.closeness import STEPS_DEFAULT, Change, Closeness, closeness, runoff_bound
from icn_tally.comparisons import Comparison, compare
from icn_tally.faults import InvalidBallots
from icn_tally.runoff import Runoff, count


def strict(candidates: int, *orders: tuple[Sequence[int], int]) -> Ballots:
    names = [f"c{number}" for number in range(1, candidates + 1)]
    return ranked_ballots(names, [([[number] for number in order], weight) for order, weight in orders])


def winners(rule: str, ballots: Ballots) -> frozenset[int]:
    lots = range(1, len(ballots.candidates) + 1)
    if rule in ("irv", "plurality", "coombs"):
        return frozenset(count(Runoff(rule), ballots, lots).winners)
    return frozenset(compare(Comparison(rule), ballots, lots).winners)


def searched(rule: str, ballots: Ballots, **form: int) -> Closeness:
    return closeness(lambda changed: winners(rule, changed), ballots, **form)


def fewest(rule: str, ballots: Ballots, most: int) -> int | None:
    """By trying everything with each ballot apart."""
    candidates = range(1, len(ballots.candidates) + 1)
    papers = [
        tuple(rank[0] for rank in ranking)
        for ranking, weight in zip(ballots.rankings, ballots.weights, strict=True)
        for _ in range(weight)
    ]
    orders = [order for length in range(len(candidates) + 1) for order in permutations(candidates, length)]
    before = winners(rule, ballots)
    states = {tuple(sorted(papers))}
    seen = set(states)
    for amount in range(1, most + 1):
        states = {
            tuple(sorted((*state[:place], order, *state[place + 1 :])))
            for state in states
            for place in range(len(state))
            for order in orders
        } - seen
        seen |= states
        for state in states:
            changed = strict(len(candidates), *((order, 1) for order in state))
            if any(state) and winners(rule, changed) != before:
                return amount
    return None


def test_a_plurality_of_four_votes_is_two_ballots() -> None:
    ballots = strict(3, ((1,), 9), ((2,), 5), ((3,), 3))
    found = searched("plurality", ballots)
    # With two ballots there is a tie, which the lot gives to 1; a third makes the difference.
    assert (found.at_least, found.at_most, found.is_exact) == (3, 3, True)
    assert found.winners == (2,) and found.example[0].ballots == 3
    bound = count(Runoff("plurality"), ballots, [1, 2, 3])
    assert runoff_bound(bound, [1, 2, 3]) == 2


def test_the_bound_of_a_runoff_is_of_its_closest_decision() -> None:
    ballots = strict(3, ((1, 2), 40), ((2, 1), 34), ((3, 2), 30))
    found = count(Runoff("irv"), ballots, [1, 2, 3])
    # 34 and 30 are closest; with two ballots they tie.
    assert runoff_bound(found, [1, 2, 3]) == 2


@given(st.sampled_from(["irv", "plurality", "borda", "minimax"]), st.data())
@settings(max_examples=25, deadline=None)
def test_bounds_hold_and_examples_elect_whom_they_say(rule: str, data: st.DataObject) -> None:
    order = st.permutations([1, 2, 3])
    orders = [
        (data.draw(order)[: data.draw(st.integers(1, 3))], data.draw(st.integers(1, 2)))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    ballots = strict(3, *orders)
    found = searched(rule, ballots)
    truth = fewest(rule, ballots, 2)
    if truth is not None:
        assert found.at_least <= truth
        assert found.at_most is None or truth <= found.at_most
        if found.is_exact:
            assert found.at_least == truth
    else:
        assert found.at_most is None or found.at_most > 2
    if found.at_most is not None:
        assert sum(change.ballots for change in found.example) == found.at_most
    if rule in ("irv", "plurality"):
        counted = count(Runoff(rule), ballots, [1, 2, 3])
        assert truth is None or runoff_bound(counted, [1, 2, 3]) <= truth


def test_without_counts_left_only_bounds_are_told() -> None:
    ballots = strict(4, ((1, 2, 3, 4), 50), ((2, 1, 4, 3), 30), ((3, 4, 1, 2), 15))
    found = searched("irv", ballots, steps_max=30, at_least=2)
    assert not found.is_exact and found.at_least == 2 and found.at_most is not None
    assert STEPS_DEFAULT > 30
    form = found.to_form()
    assert (form["at_least"], form["at_most"]) == ("2", str(found.at_most))


def test_what_was_found_is_written_with_its_example() -> None:
    found = searched("plurality", strict(2, ((1, 2), 3), ((2,), 1)))
    assert found == Closeness(2, 2, (Change(2, ((1,), (2,)), ((2,),)),), (2,))
    assert found.to_form() == {
        "at_least": "2",
        "at_most": "2",
        "example": [{"ballots": "2", "cast": [[1], [2]], "instead": [[2]]}],
        "winners": [2],
    }
    assert Closeness(4, None, (), ()).to_form() == {
        "at_least": "4",
        "at_most": None,
        "example": [],
        "winners": [],
    }


@pytest.mark.parametrize(("steps_max", "at_least"), [(10, 1), (11, 2), (85, 2), (86, 3), (335, 3)])
def test_all_ways_to_cast_so_many_are_tried_or_none(steps_max: int, at_least: int) -> None:
    """Two rankings and five ways to rank two candidates: one step for the rival, 2 · 5 for one ballot, 3 · 25
    for two of them, 4 · 125 for three."""
    counts: list[Ballots] = []

    def always_the_first(ballots: Ballots) -> frozenset[int]:
        counts.append(ballots)
        return frozenset({1})

    found = closeness(always_the_first, strict(2, ((1,), 9), ((2,), 9)), steps_max=steps_max)
    assert found == Closeness(at_least, None, (), ())
    assert len(counts) == 1 + {1: 1, 2: 11, 3: 86}[at_least]


def test_every_strict_ranking_and_a_blank_one_is_tried_instead() -> None:
    tried: list[Ranking] = []

    def never_another(ballots: Ballots) -> frozenset[int]:
        tried.append(ballots.rankings[0])
        return frozenset({1})

    ballots = ranked_ballots(["a", "b", "c"], [([[1]], 1)], withdrawn=[2])
    assert closeness(never_another, ballots, steps_max=10).at_least == 2
    assert tried == [((1,),), ((3,),), (), ((1,),), ((3,),), ((1,), (3,)), ((3,), (1,))]


def test_ballots_that_cannot_be_counted_are_no_change() -> None:
    def winner_of_whole(ballots: Ballots) -> frozenset[int]:
        if ballots.rankings[0] != ((1,),):
            raise InvalidBallots("only the first is counted")
        return frozenset({1})

    found = closeness(winner_of_whole, strict(2, ((1,), 1)), steps_max=6)
    assert (found.at_least, found.at_most, found.winners) == (2, None, ())


def test_each_rival_is_given_fewer_than_the_one_before_needed() -> None:
    # 2 needs four of the seven ballots, 3 three of them: found by bisection, 7, 3, 5, 4 and 3, 1, 2.
    counts: list[int] = []

    def winner(ballots: Ballots) -> frozenset[int]:
        votes = {1: 0, 2: 0, 3: 0}
        for ranking, weight in zip(ballots.rankings, ballots.weights, strict=True):
            votes[ranking[0][0]] += weight
        counts.append(votes[1])
        return frozenset({2} if votes[2] >= 4 else {3} if votes[3] >= 3 else {1})

    found = closeness(winner, strict(3, ((1,), 7)), steps_max=8)
    assert found == Closeness(1, 3, (Change(3, ((1,),), ((3,),)),), (3,))
    assert counts == [7, 0, 4, 2, 3, 4, 6, 5]


def test_ballots_that_rank_a_winner_highest_are_given_first() -> None:
    ballots = strict(3, ((2, 1), 2), ((3, 2), 2), ((1, 2), 4), ((1, 3), 1))
    found = searched("plurality", ballots, steps_max=1)
    # One count, in which 2 is given all ballots; bisection takes the first two of them.
    assert [(change.ballots, change.cast) for change in found.example] == [
        (4, ((1,), (2,))),
        (1, ((1,), (3,))),
        (2, ((2,), (1,))),
        (2, ((3,), (2,))),
    ]
    assert searched("plurality", ballots).example == (Change(2, ((1,), (2,)), ((2,),)),)


def test_no_more_counts_are_made_than_asked_for() -> None:
    ballots = strict(9, ((1,), 5))
    for steps_max in range(12):
        counts: list[Ballots] = []

        def winner(changed: Ballots, counts: list[Ballots] = counts) -> frozenset[int]:
            counts.append(changed)
            return frozenset({1})

        closeness(winner, ballots, steps_max=steps_max)
        assert len(counts) == 1 + min(steps_max, 8)


def test_the_search_begins_at_a_bound_that_is_known() -> None:
    ballots = strict(2, ((1,), 5), ((2,), 2))
    assert searched("plurality", ballots) == searched("plurality", ballots, at_least=2)
    assert searched("plurality", ballots, at_least=0).at_least == 2
    # A bound that is more than what was found to do is not believed.
    assert searched("plurality", ballots, at_least=7).at_least == 2


@pytest.mark.parametrize(
    ("rule", "orders", "bound"),
    [
        # Twice a majority less all votes: 3, which two ballots change by 4.
        ("irv", [((1,), 7), ((2,), 4)], 2),
        ("irv", [((1,), 8), ((2,), 4)], 2),
        ("irv", [((1,), 9), ((2,), 4)], 3),
        # Plurality: the lead over the second alone.
        ("plurality", [((1,), 9), ((2,), 4), ((3,), 3)], 3),
        ("plurality", [((1,), 4)], 1),
        ("irv", [((1,), 4)], 1),
        # 50 of 103: three votes and a half short of being elected at the first stage; 30 and 23 lie apart.
        ("irv", [((1,), 50), ((2,), 30), ((3, 1), 23)], 2),
        # 30 and 25 lie five apart, then 30 + 25 and 45 ten.
        ("irv", [((1,), 45), ((2,), 30), ((3, 2), 25)], 3),
        ("irv", [((1,), 45), ((2,), 38), ((3, 2), 11)], 2),
    ],
)
def test_bounds_are_half_of_the_smallest_difference_that_counts(
    rule: str, orders: list[tuple[Sequence[int], int]], bound: int
) -> None:
    candidates = max(number for order, _ in orders for number in order)
    found = count(Runoff(rule), strict(candidates, *orders), range(1, candidates + 1))
    assert runoff_bound(found, range(1, candidates + 1)) == bound


def test_who_is_excluded_together_is_compared_with_the_next() -> None:
    ballots = strict(4, ((1,), 40), ((2,), 30), ((3, 2), 4), ((4, 2), 3))
    found = count(Runoff("irv", exclusion="sure-losers"), ballots, [1, 2, 3, 4])
    # 40 of 77 is a majority by one: 2 · 40 − 77 = 3.
    assert runoff_bound(found, [1, 2, 3, 4]) == 2
    ballots = strict(4, ((1,), 60), ((2,), 50), ((3, 2), 14), ((4, 2), 13))
    found = count(Runoff("irv", exclusion="sure-losers"), ballots, [1, 2, 3, 4])
    # 27 against 50 at the first stage; 137 − 2 · 60 + 1 = 18; then 2 · 77 − 137 = 17.
    assert [stage.candidates for stage in found.stages] == [(), (3, 4)]
    assert runoff_bound(found, [1, 2, 3, 4]) == 9
