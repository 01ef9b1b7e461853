"""Budgets against their definitions; official outcomes are in test_declared_results."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_tally.ballots import marked_ballots, ranked_ballots
from icn_tally.budgeting import Budgeting
from icn_tally.budgets import COMPLETIONS, RULES, UTILITIES, Spending, Spent, spend
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
@settings(max_examples=50)
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
    with pytest.raises(InvalidBallots, match="no ballot"):
        spent(budgeting(1, [1], []), "equal-shares")
    with pytest.raises(InvalidBallots, match="2001 projects"):
        ballots = ranked_ballots(["a"], [([[1]], 1)])
        many = Budgeting(ballots, ("a",) * 2_001, (Fraction(1),) * 2_001, Fraction(1))
        spent(many)


@pytest.mark.parametrize("rule", RULES)
def test_parameters_are_what_they_were_read_from(rule: str) -> None:
    read = Spending.from_form(rule, {})
    assert Spending.from_form(rule, read.to_form()) == read
