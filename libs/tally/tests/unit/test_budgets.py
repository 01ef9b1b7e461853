"""Budgets against their definitions; official outcomes are in test_declared_results."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.ballots import marked_ballots, ranked_ballots
from icn_tally.budgeting import Budgeting
from icn_tally.budgets import COMPLETIONS, PROJECTS_MAX, RULES, UTILITIES, Spending, Spent, Verdict, spend
from icn_tally.faults import InvalidBallots, InvalidParameter

Papers = list[tuple[dict[int, int], int]]


def budgeting(budget: int | Fraction, costs: list[int], papers: Papers) -> Budgeting:
    names = [f"p{number}" for number in range(1, len(costs) + 1)]
    ballots = marked_ballots(names, papers)
    return Budgeting(ballots, tuple(names), tuple(map(Fraction, costs)), Fraction(budget))


def spent(projects: Budgeting, rule: str = "greedy", **form: Any) -> Spent:
    return spend(Spending.from_form(rule, form), projects, range(1, len(projects.ids) + 1))


@st.composite
def elections(draw: st.DrawFn) -> Budgeting:
    projects = draw(st.integers(1, 5))
    costs = draw(st.lists(st.integers(1, 9), min_size=projects, max_size=projects))
    marks = st.dictionaries(st.integers(1, projects), st.integers(0, 3))
    papers = draw(st.lists(st.tuples(marks, st.integers(1, 3)), min_size=1, max_size=5))
    return budgeting(draw(st.integers(0, 20)), costs, papers)


def test_greedy_goes_down_the_list_and_says_why() -> None:
    projects = budgeting(10, [6, 5, 4, 1], [({1: 1}, 5), ({2: 1}, 4), ({3: 1}, 3)])
    found = spent(projects)
    assert (found.selected, found.spent) == ((1, 3), 10)
    assert [(verdict.project, verdict.reason, verdict.left) for verdict in found.verdicts] == [
        (1, "funded", 10),
        (2, "too-dear", 4),
        (3, "funded", 4),
        (4, "without-support", 0),
    ]


def test_without_skipping_the_first_that_does_not_fit_ends_it() -> None:
    projects = budgeting(10, [6, 5, 4], [({1: 1}, 5), ({2: 1}, 4), ({3: 1}, 3)])
    found = spent(projects, "greedy-no-skip")
    assert found.selected == (1,)
    assert [verdict.reason for verdict in found.verdicts] == ["funded", "too-dear", "after-the-end"]


def test_a_threshold_leaves_out_who_has_less() -> None:
    projects = budgeting(10, [1, 1, 1], [({1: 2}, 1), ({2: 1}, 1), ({3: 3}, 1)])
    for rule in ("greedy-threshold", "greedy-no-skip"):
        assert spent(projects, rule, threshold=2).selected == (3, 1)


def test_ties_are_listed_only_where_lots_made_a_difference() -> None:
    papers: Papers = [({1: 1, 2: 1}, 1)]
    assert spent(budgeting(2, [1, 1], papers)).ties == ()
    found = spend(Spending("greedy"), budgeting(1, [1, 1], papers), [2, 1])
    assert (found.selected, found.ties) == ((2,), ((2, 1),))


def least_price(projects: Budgeting, number: int, left: list[Fraction], utility: str) -> Fraction | None:
    """The least price at which voters pay a project, by trying each point where one runs out."""
    cost = projects.costs[number - 1]
    worth = {
        place: Fraction(mark) * (cost if utility == "cost" else 1)
        for place, mark in projects.supporters[number - 1]
    }
    weights = projects.ballots.weights

    def paid(price: Fraction) -> Fraction:
        return sum(
            (weights[place] * min(left[place], price * one) for place, one in worth.items()), Fraction(0)
        )

    if not worth or paid(max(left[place] / one for place, one in worth.items()) + 1) < cost:
        return None
    points = sorted({Fraction(0), *(left[place] / one for place, one in worth.items())})
    below = max(point for point in points if paid(point) <= cost)
    if paid(below) == cost:
        return min(point for point in points if paid(point) == cost)
    rising = sum(weights[place] * one for place, one in worth.items() if left[place] / one > below)
    return below + (cost - paid(below)) / rising


def shares_by_hand(projects: Budgeting, budget: Fraction, utility: str) -> tuple[list[int], list[Fraction]]:
    left = [budget / sum(projects.ballots.weights)] * len(projects.ballots.weights)
    chosen: list[int] = []
    while True:
        prices = {
            number: price
            for number in range(1, len(projects.ids) + 1)
            if number not in chosen and (price := least_price(projects, number, left, utility)) is not None
        }
        if not prices:
            return chosen, left
        number = min(prices, key=lambda one: (prices[one], one))
        for place, mark in projects.supporters[number - 1]:
            worth = mark * (projects.costs[number - 1] if utility == "cost" else 1)
            left[place] -= min(left[place], prices[number] * worth)
        chosen.append(number)


@given(elections(), st.sampled_from(UTILITIES))
def test_equal_shares_fund_what_costs_its_supporters_least(projects: Budgeting, utility: str) -> None:
    found = spent(projects, "equal-shares", completion="none", utility=utility)
    chosen, left = shares_by_hand(projects, projects.budget, utility)
    assert [*found.selected] == chosen
    purses = {
        number: sum(
            (left[place] * projects.ballots.weights[place] for place, _ in projects.supporters[number - 1]),
            Fraction(0),
        )
        for number in range(1, len(projects.ids) + 1)
    }
    assert {verdict.project: verdict.left for verdict in found.verdicts} == purses
    assert found.spent == sum(projects.costs[number - 1] for number in chosen) <= projects.budget


@given(elections(), st.sampled_from(UTILITIES))
def test_add_one_is_the_last_count_that_the_budget_pays_for(projects: Budgeting, utility: str) -> None:
    voters = sum(projects.ballots.weights)
    supported = {number for number, score in enumerate(projects.scores, start=1) if score > 0}
    budget = projects.budget
    chosen, _ = shares_by_hand(projects, budget, utility)
    while True:
        cost = sum((projects.costs[number - 1] for number in chosen), Fraction(0))
        left = projects.budget - cost
        if not any(projects.costs[number - 1] <= left for number in supported - {*chosen}):
            break
        budget += voters
        more, _ = shares_by_hand(projects, budget, utility)
        if sum(projects.costs[number - 1] for number in more) > projects.budget:
            break
        chosen = more
    found = spent(projects, "equal-shares", completion="add1", utility=utility)
    assert {*found.selected} == {*chosen}


@given(elections(), st.sampled_from(COMPLETIONS), st.sampled_from(UTILITIES))
def test_no_completion_spends_more_than_there_is(projects: Budgeting, completion: str, utility: str) -> None:
    found = spent(projects, "equal-shares", completion=completion, utility=utility)
    assert found.spent == sum(projects.costs[number - 1] for number in found.selected) <= projects.budget
    assert {verdict.project for verdict in found.verdicts} == {*range(1, len(projects.ids) + 1)}
    funded = {v.project for v in found.verdicts if v.reason in ("funded", "completed")}
    assert funded == {*found.selected}
    if completion in ("utilitarian", "add1u"):
        left = projects.budget - found.spent
        for number, score in enumerate(projects.scores, start=1):
            assert number in funded or score <= 0 or projects.costs[number - 1] > left


def test_who_has_more_of_the_greedy_choice_gets_it_by_comparison() -> None:
    # Two like the dear project, three its cheap rivals; shares fund the rivals, points say otherwise.
    projects = budgeting(10, [10, 4, 4], [({1: 1}, 3), ({2: 1}, 1), ({3: 1}, 1)])
    assert spent(projects, "equal-shares", completion="none").selected == ()
    assert spent(projects, "equal-shares", completion="comparison").selected == (1,)


def test_projects_without_marks_count_votes() -> None:
    ballots = ranked_ballots(["a", "b"], [([[1, 2]], 3), ([[2]], 1)])
    projects = Budgeting(ballots, ("a", "b"), (Fraction(1), Fraction(1)), Fraction(1))
    assert projects.scores == (3, 4) and spent(projects).selected == (2,)


def test_what_cannot_be_spent_is_refused() -> None:
    projects = budgeting(1, [1], [({1: 1}, 1)])
    for rule, form, name in (
        ("fair", {}, "rule"),
        ("greedy", {"threshold": 1}, "threshold"),
        ("greedy-threshold", {"threshold": -1}, "threshold"),
        ("equal-shares", {"completion": "all"}, "completion"),
        ("equal-shares", {"utility": "none"}, "utility"),
    ):
        with pytest.raises(InvalidParameter) as error:
            spent(projects, rule, **form)
        assert error.value.name == name
    with pytest.raises(InvalidParameter, match="lot_order"):
        spend(Spending("greedy"), projects, [2])
    with pytest.raises(InvalidParameter) as error:
        spent(projects, "f" * 50)
    assert str(error.value) == (
        f"rule: '{'f' * 40}' is not one of greedy, greedy-no-skip, greedy-threshold, equal-shares"
    )
    with pytest.raises(InvalidBallots, match=r"^there is no ballot, so nobody has a share$"):
        spent(budgeting(1, [1], []), "equal-shares")
    with pytest.raises(InvalidBallots, match=r"^2001 projects; there can be 2000$"):
        ballots = ranked_ballots(["a"], [([[1]], 1)])
        many = Budgeting(ballots, ("a",) * 2_001, (Fraction(1),) * 2_001, Fraction(1))
        spent(many)


@pytest.mark.parametrize("rule", RULES)
def test_parameters_are_what_they_were_read_from(rule: str) -> None:
    read = Spending.from_form(rule, {})
    assert read == Spending(rule, 0, "add1", "cost")
    assert Spending.from_form(rule, read.to_form()) == read


def test_parameters_are_written_out_whole() -> None:
    assert Spending.from_form("greedy", {}).to_form() == {}
    largest = {"threshold": 2**53 - 1}
    assert Spending.from_form("greedy-threshold", largest).to_form() == largest
    for value in (2**53, True):
        with pytest.raises(InvalidParameter, match="threshold"):
            Spending.from_form("greedy-threshold", {"threshold": value})
    form = {"completion": "none", "utility": "cardinal"}
    assert Spending.from_form("equal-shares", form).to_form() == form


def test_as_many_projects_as_allowed_are_looked_at() -> None:
    ballots = ranked_ballots(["a"], [([[1]], 1)])
    many = Budgeting(ballots, ("a",) * PROJECTS_MAX, (Fraction(1),) * PROJECTS_MAX, Fraction(1))
    assert spent(many).selected == (1,)


def test_who_has_fewer_votes_than_the_threshold_is_told_so() -> None:
    projects = budgeting(10, [1, 1, 1, 1], [({1: 2}, 1), ({2: 1}, 1), ({3: 3}, 1), ({4: 0}, 1)])
    found = spent(projects, "greedy-threshold", threshold=2)
    assert [(verdict.project, verdict.reason) for verdict in found.verdicts] == [
        (3, "funded"),
        (1, "funded"),
        (2, "below-threshold"),
        (4, "without-support"),
    ]


def test_equal_shares_tell_prices_ties_and_what_supporters_have_left() -> None:
    """A share is 2. Two ballots pay 2 each for 1, or 3/2 each for 2: half for every unit of cost."""
    projects = budgeting(6, [4, 3, 2, 1], [({1: 1, 2: 1}, 2), ({3: 1}, 1)])
    found = spent(projects, "equal-shares", completion="none")
    assert found.to_form() == {
        "selected": [1, 3],
        "spent": "6",
        "verdicts": [
            {"project": 1, "reason": "funded", "score": "2", "left": "0", "price": "1/2"},
            {"project": 3, "reason": "funded", "score": "1", "left": "0", "price": "1"},
            {"project": 2, "reason": "shares-too-small", "score": "2", "left": "0"},
            {"project": 4, "reason": "without-support", "score": "0", "left": "0"},
        ],
        "ties": [[1, 2]],
        "rounds": 1,
    }
    other = spend(Spending("equal-shares", 0, "none"), projects, [2, 1, 3, 4])
    assert (other.selected, other.spent, other.ties) == ((2, 3), 5, ((1, 2),))
    assert other.verdicts[2] == Verdict(1, "shares-too-small", 2, Fraction(1))
    # Where a mark counts as it is, the cheaper one costs each supporter less.
    cardinal = spent(projects, "equal-shares", completion="none", utility="cardinal")
    assert [(verdict.project, verdict.price) for verdict in cardinal.verdicts[:2]] == [
        (2, Fraction(3, 2)),
        (3, Fraction(2)),
    ]
    assert cardinal.ties == ()


def test_who_runs_out_pays_all_it_has_and_the_others_the_rest() -> None:
    """Shares of 3. Three pay 1 each for the first project, a third for each unit of its cost. Two of them
    have 2 each left, which is the cost of the second: who gives it 2 marks pays its 2, and the other 2 for
    its one mark, so that a unit costs 2/4."""
    projects = budgeting(9, [3, 4], [({1: 1, 2: 2}, 1), ({1: 1, 2: 1}, 1), ({1: 1}, 1)])
    found = spent(projects, "equal-shares", completion="none")
    assert found.verdicts == (
        Verdict(1, "funded", 3, Fraction(2), Fraction(1, 3)),
        Verdict(2, "funded", 3, Fraction(0), Fraction(1, 2)),
    )


def added(projects: Budgeting, completion: str = "add1") -> tuple[Spent, list[int]]:
    """The result, and the budgets of which progress was told."""
    told: list[int] = []
    rule = Spending.from_form("equal-shares", {"completion": completion})
    return spend(rule, projects, range(1, len(projects.ids) + 1), told.append), told


def test_add_one_tells_how_many_budgets_it_tried() -> None:
    apart: Papers = [({1: 1}, 1), ({2: 1}, 1)]
    # Shares of 2, then of 3, which fund the first; 5 does not fit beside it.
    found, told = added(budgeting(4, [3, 5], apart))
    assert (found.selected, found.rounds, told) == ((1,), 2, [1, 2])
    # With 3 each both would be funded, for more than there is.
    found, told = added(budgeting(4, [3, 3], apart))
    assert (found.selected, found.rounds, told) == ((), 2, [1])
    # Shares of 7/3, 10/3 and 13/3: all that anybody supports is funded then, and nothing more is tried.
    found, told = added(budgeting(7, [4, 3, 9], [*apart, ({}, 1)]))
    assert (found.selected, found.spent, found.rounds, told) == ((1, 2), 7, 3, [1, 2])
    # The same, but somebody supports a third: a last look finds that it does not fit.
    found, told = added(budgeting(7, [4, 3, 100], [*apart, ({3: 1}, 1)]))
    assert (found.selected, found.spent, found.rounds, told) == ((1, 2), 7, 3, [1, 2, 3])
    found, told = added(budgeting(7, [4, 3], apart), "none")
    assert (found.selected, found.rounds, told) == ((2,), 1, [])


def test_add_one_gives_up_after_as_many_budgets_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_tally.budgets.ROUNDS_MAX", 3)
    apart: Papers = [({1: 1}, 1), ({2: 1}, 1)]
    # A share is half of the budget, and grows by 1.
    assert added(budgeting(2, [2, 9], apart))[0].selected == (1,)
    with pytest.raises(InvalidBallots, match=r"^equal-shares: after 3 budgets there is no end$"):
        added(budgeting(9, [9, 99], apart))


@pytest.mark.parametrize(
    ("completion", "reasons", "spent_in_all", "rounds"),
    [
        ("none", {1: "funded", 2: "shares-too-small", 3: "shares-too-small"}, 1, 1),
        ("add1", {1: "funded", 2: "funded", 3: "shares-too-small"}, 4, 2),
        ("utilitarian", {1: "funded", 2: "shares-too-small", 3: "completed"}, 6, 1),
        ("add1u", {1: "funded", 2: "funded", 3: "shares-too-small"}, 4, 2),
        ("comparison", {1: "funded", 2: "funded", 3: "shares-too-small"}, 4, 2),
    ],
)
def test_each_completion_spends_the_rest_its_own_way(
    completion: str, reasons: dict[int, str], spent_in_all: int, rounds: int
) -> None:
    """Shares of 2 fund the first, of 3 the second besides; the third has the most points and costs 5."""
    projects = budgeting(6, [1, 3, 5], [({1: 1}, 1), ({2: 1}, 1), ({3: 2}, 1)])
    found, _ = added(projects, completion)
    assert {verdict.project: verdict.reason for verdict in found.verdicts} == reasons
    assert (found.spent, found.rounds, found.parameters.completion) == (spent_in_all, rounds, completion)


def test_completed_projects_keep_what_their_supporters_had_left() -> None:
    projects = budgeting(10, [1, 9], [({1: 1}, 1), ({2: 1}, 1)])
    found, _ = added(projects, "utilitarian")
    assert (found.selected, found.spent, found.rounds) == ((1, 2), 10, 1)
    assert found.verdicts == (
        Verdict(1, "funded", 1, Fraction(4), Fraction(1)),
        Verdict(2, "completed", 1, Fraction(5)),
    )
    # Neither share pays for its project; the greedy rest pays for one of the two, which a lot chooses.
    tied, _ = added(budgeting(4, [3, 3], [({1: 1}, 1), ({2: 1}, 1)]), "add1u")
    assert (tied.selected, tied.ties, tied.rounds) == ((1,), ((1, 2),), 2)


@pytest.mark.parametrize(("weight", "selected"), [(3, (2, 3)), (4, (2, 3)), (5, (1,))])
def test_the_greedy_choice_needs_more_ballots_that_have_more_of_it(
    weight: int, selected: tuple[int, ...]
) -> None:
    """Four ballots have more of the shares' choice; who has one project of either is of neither side."""
    projects = budgeting(10, [10, 2, 2], [({1: 2}, weight), ({2: 1}, 2), ({3: 1}, 2), ({1: 1, 2: 1}, 1)])
    assert added(projects, "add1")[0].selected == (2, 3)
    found, _ = added(projects, "comparison")
    assert (found.selected, found.rounds) == (selected, 1)
