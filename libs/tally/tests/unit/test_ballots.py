"""The ballot model, its canonical form and root, and lots."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto.jcs import canonicalize_text
from icn_crypto.merkle_log import inclusion_proof, leaf_hash, tree_root, verify_inclusion
from icn_tally.ballots import CANDIDATES_MAX, NAME_CHARACTERS_MAX, WEIGHT_MAX, ranked_ballots
from icn_tally.faults import InvalidBallots
from icn_tally.lots import lot_order


def test_the_canonical_lines_are_sorted_added_up_and_in_the_form_of_rfc_8785() -> None:
    bundles = [([[3], [2, 1]], 5), ([], 1), ([[3]], 2), ([[3], [1, 2]], 7), ([[1]], 1)]
    ballots = ranked_ballots(["Ana", "Bó", "C"], bundles, withdrawn=[2])
    lines = ballots.canonical_lines()
    assert lines == [canonicalize_text(line) for line in lines]
    assert [line.decode() for line in lines] == [
        '{"candidates":["Ana","Bó","C"],"form":"icn/ranked-ballots/v1","withdrawn":[2]}',
        '{"ranking":[],"weight":"1"}',
        '{"ranking":[[1]],"weight":"1"}',
        '{"ranking":[[3]],"weight":"2"}',
        '{"ranking":[[3],[1,2]],"weight":"12"}',
    ]
    leaves = [leaf_hash(line) for line in lines]
    assert ballots.root() == tree_root(leaves)
    assert verify_inclusion(
        leaf_index=4, size=5, leaf=leaves[4], proof=inclusion_proof(leaves, 4), root=ballots.root()
    )


def test_the_root_tells_candidates_withdrawals_and_weights_apart() -> None:
    base = ranked_ballots(["a", "b"], [([[1]], 2)])
    others = [
        ranked_ballots(["a", "c"], [([[1]], 2)]),
        ranked_ballots(["a", "b"], [([[1]], 2)], withdrawn=[2]),
        ranked_ballots(["a", "b"], [([[1]], 3)]),
        ranked_ballots(["a", "b"], [([[1], [2]], 2)]),
        ranked_ballots(["a", "b"], [([[1, 2]], 2)]),
        ranked_ballots(["a", "b"], []),
    ]
    assert len({base.root(), *(other.root() for other in others)}) == 1 + len(others)


def test_withdrawn_candidates_are_taken_out_and_emptied_ranks_closed_up() -> None:
    ballots = ranked_ballots(["a", "b", "c"], [([[2], [1, 3]], 1), ([[2]], 4)], withdrawn=[2])
    assert [*ballots.bundles()] == [(((1, 3),), 1), ((), 4)]
    assert (ballots.standing(), ballots.total_weight) == ((1, 3), 5)


@pytest.mark.parametrize(
    ("names", "bundles", "withdrawn", "fault"),
    [
        ([], [], [], "0 candidates"),
        (["x"] * (CANDIDATES_MAX + 1), [], [], "2001 candidates"),
        (["a", ""], [], [], "candidate 2"),
        (["a" * (NAME_CHARACTERS_MAX + 1)], [], [], "candidate 1"),
        (["\ud800"], [], [], "surrogate"),
        (["a"], [([[1]], 0)], [], "ballot 1: a weight"),
        (["a"], [([[1]], 1), ([[1]], -1)], [], "ballot 2: a weight"),
        (["a"], [([[1]], True)], [], "a weight"),
        (["a"], [([[1]], WEIGHT_MAX), ([[1]], 1)], [], "all weights together"),
        (["a"], [([[2]], 1)], [], "no candidate 2"),
        (["a"], [([[0]], 1)], [], "no candidate 0"),
        (["a"], [([[]], 1)], [], "a rank is empty"),
        (["a"], [([[1], [1]], 1)], [], "candidate 1 is ranked twice"),
        (["a"], [([[1, 1]], 1)], [], "candidate 1 is ranked twice"),
        (["a"], [], [2], "withdrawn: there is no candidate 2"),
        (["a", "b"], [], [1, 1], "stands twice"),
        (["a"], [], [1], "all candidates"),
    ],
)
def test_ballots_out_of_form_are_refused_and_named(
    names: list[str], bundles: list[tuple[list[list[int]], int]], withdrawn: list[int], fault: str
) -> None:
    with pytest.raises(InvalidBallots, match=fault):
        ranked_ballots(names, bundles, withdrawn)


def test_the_largest_weight_is_allowed() -> None:
    assert ranked_ballots(["a"], [([[1]], WEIGHT_MAX)]).total_weight == WEIGHT_MAX
    assert json.loads(ranked_ballots(["a"], [([[1]], WEIGHT_MAX)]).canonical_lines()[1])["weight"] == str(
        WEIGHT_MAX
    )


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.integers(1, 50))
def test_a_lot_order_names_everybody_once_and_hangs_on_root_and_beacon(
    root: bytes, beacon: bytes, candidates: int
) -> None:
    order = lot_order(root, beacon, candidates)
    assert sorted(order) == [*range(1, candidates + 1)] and order == lot_order(root, beacon, candidates)


def test_another_beacon_gives_another_order() -> None:
    assert len({lot_order(bytes(32), bytes([number] * 32), 30) for number in range(20)}) == 20
