"""How close a result is: bounds hold, and examples do what they say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.closeness import STEPS_DEFAULT, Closeness, closeness, runoff_bound
from icn_tally.comparisons import Comparison, compare
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
