"""Panels by lot: quotas hold, and the lottery is the one that linear programs over all panels give."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.sortition import TICKETS, Pool, Quota, keeps_quotas, leximin, pool_of
from scipy.optimize import linprog


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    members = draw(
        st.lists(
            st.fixed_dictionaries({"age": st.sampled_from("yo"), "place": st.sampled_from("nsw")}),
            min_size=2,
            max_size=7,
        )
    )
    size = draw(st.integers(1, len(members)))
    bounds = st.integers(0, size).flatmap(lambda low: st.builds(Quota, st.just(low), st.integers(low, size)))
    quotas = {
        "age": {"y": draw(bounds), "o": draw(bounds)},
        "place": {value: Quota(0, size) for value in "nsw"},
    }
    return Pool(tuple(members), quotas, size)


def panels_of(pool: Pool) -> list[tuple[int, ...]]:
    return [panel for panel in combinations(range(len(pool.members)), pool.size) if keeps_quotas(pool, panel)]


def best_by_all_panels(pool: Pool, panels: list[tuple[int, ...]]) -> list[float]:
    """The probabilities of everybody, level by level: the highest that all open ones can have, and who cannot
    have more than that, each asked alone."""
    members = np.array([[float(place in panel) for panel in panels] for place in range(len(pool.members))])
    fixed: dict[int, float] = {}
    while len(fixed) < len(members):
        open_ones = [place for place in range(len(members)) if place not in fixed]
        rows = [[*-members[place], 1.0] for place in open_ones] + [[*-members[place], 0.0] for place in fixed]
        limits = [0.0] * len(open_ones) + [1e-9 - share for share in fixed.values()]
        cost = [0.0] * len(panels) + [-1.0]
        everything = [[1.0] * len(panels) + [0.0]]
        least = -linprog(cost, rows, limits, everything, [1.0]).fun
        for place in open_ones:
            rows = [[*-members[other]] for other in range(len(members))]
            limits = [1e-9 - fixed.get(other, least) for other in range(len(members))]
            most = -linprog([*-members[place]], rows, limits, [[1.0] * len(panels)], [1.0]).fun
            if most < least + 1e-6:
                fixed[place] = least
    return [fixed[place] for place in range(len(members))]


@given(pools())
@settings(max_examples=40, deadline=None)
def test_the_lottery_is_leximin_over_all_panels(pool: Pool) -> None:
    panels = panels_of(pool)
    if not panels:
        with pytest.raises(InvalidParameter, match="no panel"):
            leximin(pool)
        return
    found = leximin(pool)
    assert all(keeps_quotas(pool, panel) for panel in found.panels)
    assert sum(found.tickets) == TICKETS and min(found.tickets) > 0
    expected = best_by_all_panels(pool, panels)
    assert sorted(found.probabilities) == pytest.approx(sorted(expected), abs=1e-5)
    drawn = [
        sum(amount for panel, amount in zip(found.panels, found.tickets, strict=True) if place in panel)
        / TICKETS
        for place in range(len(pool.members))
    ]
    assert drawn == pytest.approx(found.probabilities, abs=len(found.panels) / TICKETS)


def test_every_ticket_draws_its_panel() -> None:
    pool = Pool(tuple({"age": age} for age in "yyo"), {"age": {"y": Quota(1, 1), "o": Quota(1, 1)}}, 2)
    found = leximin(pool)
    assert found.panels == ((0, 2), (1, 2)) and found.tickets == (TICKETS // 2, TICKETS // 2)
    assert [found.draw(ticket) for ticket in (0, TICKETS // 2 - 1, TICKETS // 2, TICKETS - 1)] == [
        (0, 2), (0, 2), (1, 2), (1, 2),
    ]  # fmt: skip
    assert found.to_form() == {"panels": [[0, 2], [1, 2]], "tickets": [500_000, 500_000]}


def test_who_fits_no_panel_has_no_chance_and_takes_none_from_others() -> None:
    quotas = {"age": {"y": Quota(2, 2), "o": Quota(0, 0)}}
    found = leximin(Pool(tuple({"age": age} for age in "yyyo"), quotas, 2))
    assert found.probabilities == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0], abs=1e-6)


def test_columns_without_a_quota_do_not_count() -> None:
    pool = pool_of(
        [{"age": "y", "name": "Ana"}, {"age": "o"}], {"age": {"y": Quota(0, 1), "o": Quota(0, 1)}}, 1
    )
    assert pool.members == ({"age": "y"}, {"age": "o"})
    assert leximin(pool).probabilities == pytest.approx([0.5, 0.5], abs=1e-6)


def test_what_is_out_of_form_is_refused() -> None:
    quotas = {"age": {"y": Quota(0, 1)}}
    for pool, error, told in (
        (Pool((), quotas, 1), InvalidBallots, "0 in the pool; there can be 1 to 5000"),
        (Pool(({"age": "y"},), quotas, 2), InvalidParameter, "size: 2 of 1 in the pool"),
        (Pool(({"age": "y"},), quotas, 0), InvalidParameter, "size: 0 of 1 in the pool"),
        (Pool(({"age": "x"},), quotas, 1), InvalidBallots, "member 0: age is none of y"),
        (
            Pool(({},), {"age": {"y": Quota(0, 1), "o": Quota(0, 1)}}, 1),
            InvalidBallots,
            "member 0: age is none of y, o",
        ),
        (Pool(({"age": "y"},), {"age": {"y": Quota(2, 1)}}, 1), InvalidParameter, "quotas.age.y: 2 to 1"),
        (Pool(({"age": "y"},), {"age": {"y": Quota(-1, 1)}}, 1), InvalidParameter, "quotas.age.y: -1 to 1"),
        (
            Pool(({"age": "y"},), {"age": {"y": Quota(0, 0)}}, 1),
            InvalidParameter,
            "quotas: no panel of this pool keeps to them",
        ),
        (
            Pool(({},), {str(number): {} for number in range(51)}, 1),
            InvalidParameter,
            "quotas: 51 categories; there can be 50",
        ),
        (Pool(({},) * 5_001, {}, 1), InvalidBallots, "5001 in the pool; there can be 1 to 5000"),
    ):
        with pytest.raises(error) as refused:
            leximin(pool)
        assert str(refused.value) == told


def test_panels_have_their_size_each_member_once_and_keep_to_quotas() -> None:
    pool = Pool(tuple({"age": age} for age in "yyoo"), {"age": {"y": Quota(1, 1), "o": Quota(1, 2)}}, 2)
    kept = [panel for panel in combinations(range(4), 2) if keeps_quotas(pool, panel)]
    assert kept == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert (
        not keeps_quotas(pool, (0, 0)) and not keeps_quotas(pool, (0, 2, 3)) and not keeps_quotas(pool, (2,))
    )


def test_progress_is_told_of_each_panel_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(tuple({"age": "y"} for _ in range(3)), {"age": {"y": Quota(0, 1)}}, 1)
    told: list[int] = []
    found = leximin(pool, told.append)
    assert told == [1, 2, 3] and found.panels == ((0,), (1,), (2,))
    # A million is 3 · 333,333 and 1: the ticket that is left over goes to the first that was found.
    assert sorted(found.tickets) == [333_333, 333_333, 333_334]
    monkeypatch.setattr("icn_tally.sortition.PANELS_MAX", 2)
    with pytest.raises(InvalidBallots, match=r"^no best lottery was found over 2 panels$"):
        leximin(pool)


def test_who_is_rare_is_drawn_more_often_and_the_others_as_likely_as_can_be() -> None:
    """One old member is always drawn; four young ones share the other place; two of them live in the north,
    of whom one at least must be there: each has 1/2, and those of the south have nothing."""
    members = [("o", "s"), ("y", "n"), ("y", "n"), ("y", "s"), ("y", "s")]
    quotas = {
        "age": {"o": Quota(1, 1), "y": Quota(0, 2)},
        "place": {"n": Quota(1, 2), "s": Quota(0, 2)},
    }
    pool = Pool(tuple({"age": age, "place": place} for age, place in members), quotas, 2)
    assert leximin(pool).probabilities == pytest.approx([1, 1 / 2, 1 / 2, 0, 0], abs=1e-6)
    wider = Pool(pool.members, quotas, 3)
    # Two of the four young ones, one of the north at least: all have 1/2.
    assert leximin(wider).probabilities == pytest.approx([1, 1 / 2, 1 / 2, 1 / 2, 1 / 2], abs=1e-6)


def test_missing_values_of_a_row_are_empty() -> None:
    pool = pool_of([{"age": "y"}, {}], {"age": {"y": Quota(0, 1), "": Quota(0, 1)}}, 1)
    assert (pool.members, pool.size) == (({"age": "y"}, {"age": ""}), 1)
