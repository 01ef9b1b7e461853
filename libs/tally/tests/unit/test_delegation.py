"""Delegations, held to the rule voter by voter and to what it promises."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.delegation import NOBODY, Chosen, Delegation, Resolved, in_scope, resolve
from icn_tally.faults import InvalidBallots, InvalidParameter

Edges = dict[int, list[int]]
"""By voter the delegates, the first choice first."""


@dataclass(frozen=True)
class Case:
    voters: int
    voted: frozenset[int]
    weights: list[int]
    edges: Edges
    depth_max: int
    weight_max: int | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    voters = draw(st.integers(1, 9))
    voter = st.integers(0, voters - 1)
    edges = draw(st.dictionaries(voter, st.lists(voter, max_size=4, unique=True), max_size=voters))
    weights = draw(st.lists(st.integers(0, 4), min_size=voters, max_size=voters))
    cap = draw(st.none() | st.integers(1, 8))
    return Case(voters, draw(st.frozensets(voter)), weights, edges, draw(st.integers(1, 9)), cap)


def chosen_of(edges: Edges) -> Chosen:
    rows = [(v, d, rank) for v, found in edges.items() for rank, d in enumerate(found, start=1)]
    columns = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [
        np.zeros(0, np.int64)
    ] * 3
    return Chosen(*columns)


def resolved(case: Case) -> Resolved:
    voted = np.array([voter in case.voted for voter in range(case.voters)])
    return resolve(
        voted,
        np.array(case.weights, np.int64),
        chosen_of(case.edges),
        depth_max=case.depth_max,
        weight_max=case.weight_max,
    )


def by_hand(case: Case) -> list[int]:
    """In each step the best rank by which anybody reaches a vote, all at once, in the order of voters."""
    caster = {voter: voter for voter in case.voted}
    depth = dict.fromkeys(case.voted, 0)
    carried = {voter: case.weights[voter] for voter in case.voted}
    used: set[tuple[int, int]] = set()
    while True:
        steps = [
            (rank, voter, delegate)
            for voter in range(case.voters)
            if voter not in caster
            for rank, delegate in enumerate(case.edges.get(voter, []), start=1)
            if delegate in caster
            and delegate != voter
            and depth[delegate] < case.depth_max
            and (voter, delegate) not in used
        ]
        if not steps:
            return [caster.get(voter, NOBODY) for voter in range(case.voters)]
        best = min(rank for rank, _, _ in steps)
        now = sorted((voter, delegate) for rank, voter, delegate in steps if rank == best)
        found = []
        for voter, delegate in now:
            used.add((voter, delegate))
            to = caster[delegate]
            if case.weight_max is None or carried[to] + case.weights[voter] <= case.weight_max:
                carried[to] += case.weights[voter]
                found.append((voter, to, depth[delegate] + 1))
        for voter, to, far in found:
            caster[voter], depth[voter] = to, far


@given(cases())
def test_votes_spread_by_the_best_rank_that_reaches_one(case: Case) -> None:
    found = resolved(case)
    assert found.casters.tolist() == by_hand(case)
    for voter, caster in enumerate(found.casters.tolist()):
        assert (caster == voter) == (voter in case.voted)
    for caster in range(case.voters):
        assert found.carried[caster] == sum(
            case.weights[voter] for voter in range(case.voters) if found.casters[voter] == caster
        )


@given(cases())
def test_no_vote_is_lost_that_any_way_leads_to_a_ballot(case: Case) -> None:
    """Without caps: whoever has a path of delegations to somebody who voted is carried by somebody."""
    found = resolved(replace(case, depth_max=9, weight_max=None))
    reached = {*case.voted}
    while True:
        more = {
            voter
            for voter, delegates in case.edges.items()
            if voter not in reached and reached & {*delegates}
        }
        if not more:
            break
        reached |= more
    assert {voter for voter in range(case.voters) if found.casters[voter] != NOBODY} == reached


@given(cases())
def test_caps_hold(case: Case) -> None:
    found = resolved(case)
    assert int(found.depths.max()) <= case.depth_max
    if case.weight_max is not None:
        for caster in case.voted:
            assert found.carried[caster] <= max(case.weight_max, case.weights[caster])


def test_a_cycle_and_an_idle_delegate_lose_no_vote() -> None:
    # 0 → 1 → 2 → 0 is a cycle; 1 would have 3 then, who voted; 4 delegates to 5, who does nothing, then to 3.
    case = Case(6, frozenset({3}), [1] * 6, {0: [1], 1: [2, 3], 2: [0], 4: [5, 3]}, 9, None)
    found = resolved(case)
    assert found.casters.tolist() == [3, 3, 3, 3, 3, NOBODY]
    assert found.depths.tolist() == [2, 1, 3, 0, 1, 0]


def test_the_own_vote_wins() -> None:
    found = resolved(Case(2, frozenset({0, 1}), [2, 3], {0: [1]}, 9, None))
    assert (found.casters.tolist(), found.carried.tolist()) == ([0, 1], [2, 3])


def test_who_does_not_fit_goes_to_a_fall_back() -> None:
    case = Case(4, frozenset({2, 3}), [1, 1, 1, 1], {0: [2, 3], 1: [2, 3]}, 9, 2)
    assert resolved(case).casters.tolist() == [2, 3, 2, 3]


def test_the_most_special_scope_comes_first_and_what_has_expired_not_at_all() -> None:
    delegations = [
        Delegation(0, 1),
        Delegation(0, 2, scope=("energy",)),
        Delegation(0, 3, rank=2, scope=("energy",)),
        Delegation(0, 4, scope=("energy", "solar"), expires_at=100),
        Delegation(0, 5, scope=("housing",)),
    ]
    found = in_scope(delegations, ("energy", "solar"), 99)
    assert (found.delegates.tolist(), found.ranks.tolist()) == ([4, 2, 3, 1], [1, 2, 3, 4])
    assert in_scope(delegations, ("energy", "solar"), 100).delegates.tolist() == [2, 3, 1]
    assert in_scope(delegations, (), 0).delegates.tolist() == [1]
    with pytest.raises(InvalidBallots, match="voter 0: two delegates of one rank"):
        in_scope([Delegation(0, 1), Delegation(0, 2)], (), 0)


def test_what_is_out_of_form_is_refused() -> None:
    one, none = np.array([True]), np.zeros(0, np.int64)
    weights = np.array([1])
    empty = Chosen(none, none, none)
    for voted, held, chosen, form in (
        (np.array([], bool), none, empty, {}),
        (one, np.array([1, 1]), empty, {}),
        (one, np.array([-1]), empty, {}),
        (np.array([True, True]), np.array([2**53 - 1, 1]), empty, {}),
        (one, weights, Chosen(np.array([1]), np.array([0]), np.array([1])), {}),
        (one, weights, Chosen(np.array([0]), np.array([-1]), np.array([1])), {}),
        (one, weights, Chosen(np.array([0]), np.array([0]), np.array([0])), {}),
        (one, weights, Chosen(np.array([0]), np.array([0]), none), {}),
    ):
        with pytest.raises(InvalidBallots):
            resolve(voted, held, chosen, **form)
    nobody, two = np.zeros(0, bool), np.array([1, 1])
    edge = Chosen(np.array([0]), np.array([1]), np.array([1]))
    for voted, held, chosen, told in (
        (nobody, none, empty, "0 voters with 0 weights; there can be 1 to 20000000"),
        (one, two, empty, "1 voters with 2 weights; there can be 1 to 20000000"),
        (one, np.array([-1]), empty, f"a weight is negative, or all together are more than {2**53 - 1}"),
        (one, weights, edge, "a delegation names a voter that is none of 1"),
        (one, weights, replace(edge, ranks=none), "1 delegations; there can be 100000000"),
        (one, weights, replace(edge, delegates=none), "1 delegations; there can be 100000000"),
        (
            np.array([True] * 2),
            two,
            replace(edge, ranks=np.array([101])),
            "ranks of delegates go from 1 to 100",
        ),
        (
            np.array([True] * 2),
            two,
            replace(edge, ranks=np.array([0])),
            "ranks of delegates go from 1 to 100",
        ),
    ):
        with pytest.raises(InvalidBallots) as error:
            resolve(voted, held, chosen)
        assert str(error.value) == told
    for name, highest in (("depth_max", 1_000), ("weight_max", 2**53 - 1)):
        for value in (0, highest + 1):
            with pytest.raises(InvalidParameter) as refused:
                resolve(one, weights, empty, **{name: value})
            assert str(refused.value) == f"{name}: a whole number from 1 to {highest} is expected"
        for value in (1, highest):
            assert resolve(one, weights, empty, **{name: value}).casters.tolist() == [0]
    for name, value in (("depth_max", 0), ("weight_max", 0)):
        with pytest.raises(InvalidParameter, match=name):
            resolve(one, weights, empty, **{name: value})


def test_the_largest_weights_and_ranks_are_allowed() -> None:
    largest = np.array([2**53 - 2, 1, 0])
    edge = Chosen(np.array([1, 2]), np.array([0, 0]), np.array([100, 1]))
    found = resolve(np.array([True, False, False]), largest, edge)
    assert (found.casters.tolist(), found.carried.tolist()) == ([0, 0, 0], [2**53 - 1, 0, 0])
    # Sums of 64-bit numbers that pass 64 bits are seen.
    with pytest.raises(InvalidBallots, match="all together"):
        resolve(np.array([True] * 4), np.array([2**62] * 4), Chosen(*[np.zeros(0, np.int64)] * 3))


def test_a_way_is_as_long_as_allowed_and_no_longer() -> None:
    chain = {voter: [voter + 1] for voter in range(4)}
    for depth_max in (1, 2, 3, 4, 5):
        found = resolved(Case(5, frozenset({4}), [1, 2, 3, 4, 5], chain, depth_max, None))
        reached = [4 - min(depth_max, 4) <= voter for voter in range(5)]
        assert found.casters.tolist() == [4 if there else NOBODY for there in reached]
        assert found.depths.tolist() == [4 - voter if there else 0 for voter, there in enumerate(reached)]
        assert found.carried.tolist()[:4] == [0, 0, 0, 0]
        assert found.carried[4] == sum(voter + 1 for voter, there in enumerate(reached) if there)


def test_weights_fill_a_caster_in_the_order_of_voters_whatever_fits() -> None:
    # Room for 4: 3 fits, then 2 does not, then 1 does. 4 goes to its fall-back.
    case = Case(6, frozenset({4, 5}), [3, 2, 1, 1, 2, 0], {0: [4], 1: [4, 5], 2: [4], 3: [4]}, 9, 6)
    found = resolved(case)
    assert found.casters.tolist() == [4, 5, 4, NOBODY, 4, 5]
    assert found.carried.tolist() == [0, 0, 0, 0, 6, 2]
    # A caster whose own weight passes the cap carries nobody but who weighs nothing.
    heavy = Case(3, frozenset({2}), [1, 0, 9], {0: [2], 1: [2]}, 9, 5)
    assert resolved(heavy).casters.tolist() == [NOBODY, NOBODY, 2]


def test_better_ranks_are_tried_before_worse_ones_reach_further() -> None:
    # 0 would have 1, who waits for 2; its second choice 3 voted. The first choice has a way, so it counts.
    case = Case(4, frozenset({3}), [1] * 4, {0: [1, 3], 1: [2], 2: [3]}, 9, None)
    found = resolved(case)
    assert (found.casters.tolist(), found.depths.tolist()) == ([3, 3, 3, 3], [3, 2, 1, 0])


def test_nobody_delegates_and_all_is_still_whole_numbers() -> None:
    nobody = in_scope([], ("energy",), 0)
    assert {column.dtype for column in (nobody.voters, nobody.delegates, nobody.ranks)} == {
        np.dtype(np.int64)
    }
    found = resolve(np.array([True, False]), np.array([2, 3]), nobody)
    assert (found.casters.tolist(), found.depths.tolist(), found.carried.tolist()) == (
        [0, NOBODY],
        [0, 0],
        [2, 0],
    )
    assert {column.dtype for column in (found.casters, found.depths, found.carried)} == {np.dtype(np.int64)}
