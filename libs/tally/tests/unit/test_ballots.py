"""The ballot model, its canonical form and root, and lots."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.jcs import canonicalize_text
from icn_crypto.merkle_log import inclusion_proof, leaf_hash, tree_root, verify_inclusion
from icn_tally.ballots import (
    CANDIDATES_MAX,
    MARK_MAX,
    NAME_CHARACTERS_MAX,
    WEIGHT_MAX,
    Ballots,
    marked_ballots,
    ranked_ballots,
)
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.lots import lot_order, places_by_lot


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
        ([], [], [], "0 candidates; there can be 1 to 2000"),
        (["x"] * (CANDIDATES_MAX + 1), [], [], "2001 candidates; there can be 1 to 2000"),
        (["a", ""], [], [], "candidate 2: a name has 1 to 1000 characters"),
        (["a", 7], [], [], "candidate 2: a name has 1 to 1000 characters"),
        (["a" * (NAME_CHARACTERS_MAX + 1)], [], [], "candidate 1: a name has 1 to 1000 characters"),
        (["a"], [([[1]], 0)], [], f"ballot 1: a weight is a whole number from 1 to {WEIGHT_MAX}"),
        (
            ["a"],
            [([[1]], 1), ([[1]], -1)],
            [],
            f"ballot 2: a weight is a whole number from 1 to {WEIGHT_MAX}",
        ),
        (["a"], [([[1]], True)], [], f"ballot 1: a weight is a whole number from 1 to {WEIGHT_MAX}"),
        (
            ["a"],
            [([[1]], WEIGHT_MAX + 1)],
            [],
            f"ballot 1: a weight is a whole number from 1 to {WEIGHT_MAX}",
        ),
        (
            ["a"],
            [([[1]], WEIGHT_MAX - 1), ([], 1), ([[1]], 1)],
            [],
            f"ballot 3: all weights together are more than {WEIGHT_MAX}",
        ),
        (["a"], [([[2]], 1)], [], "ballot 1: there is no candidate 2; numbers go from 1 to 1"),
        (["a"], [([[0]], 1)], [], "ballot 1: there is no candidate 0; numbers go from 1 to 1"),
        (["a"], [([[True]], 1)], [], "ballot 1: there is no candidate True; numbers go from 1 to 1"),
        (
            ["a"],
            [([[10**30]], 1)],
            [],
            f"ballot 1: there is no candidate 1{'0' * 19}; numbers go from 1 to 1",
        ),
        (["a"], [([[]], 1)], [], "ballot 1: a rank is empty"),
        (["a"], [([[1], [1]], 1)], [], "ballot 1: candidate 1 is ranked twice"),
        (["a"], [([[1, 1]], 1)], [], "ballot 1: candidate 1 is ranked twice"),
        (["a"], [], [2], "withdrawn: there is no candidate 2; numbers go from 1 to 1"),
        (["a", "b"], [], [1, 1], "withdrawn: candidate 1 stands twice"),
        (["a"], [], [1], "withdrawn: all candidates"),
    ],
)
def test_ballots_out_of_form_are_refused_and_named(
    names: list[str], bundles: list[tuple[list[list[int]], int]], withdrawn: list[int], fault: str
) -> None:
    with pytest.raises(InvalidBallots) as error:
        ranked_ballots(names, bundles, withdrawn)
    assert str(error.value) == fault


def test_a_name_without_a_canonical_form_is_refused() -> None:
    with pytest.raises(InvalidBallots, match=r"^candidate 1: .*surrogate"):
        ranked_ballots(["\ud800"], [])


def test_as_many_candidates_and_as_long_names_as_allowed_are_read() -> None:
    assert len(ranked_ballots(["x"] * CANDIDATES_MAX, []).candidates) == CANDIDATES_MAX
    assert ranked_ballots(["a" * NAME_CHARACTERS_MAX], []).candidates == ("a" * NAME_CHARACTERS_MAX,)


def test_as_many_ballots_as_allowed_are_read_and_one_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_tally.ballots.BALLOTS_MAX", 2)
    assert ranked_ballots(["a"], [([[1]], 1)] * 2).total_weight == 2
    with pytest.raises(InvalidBallots, match=r"^more than 2 ballots$"):
        ranked_ballots(["a"], [([[1]], 1)] * 3)


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


def test_lots_fall_as_the_specification_says() -> None:
    root, beacon = bytes(range(32)), bytes(range(32, 64))
    by_hash = {
        number: domain_hash(tags.LOT, NO_GENESIS, root + beacon + bytes([0, 0, number >> 8, number & 255]))
        for number in range(1, 301)
    }
    assert lot_order(root, beacon, 300) == tuple(sorted(by_hash, key=by_hash.__getitem__))


def test_a_lot_order_from_outside_names_everybody_once() -> None:
    assert places_by_lot([3, 1, 2], 3) == {3: 0, 1: 1, 2: 2}
    for order in ([1, 2], [1, 2, 2], [0, 1, 2], [1, 2, 3, 4]):
        with pytest.raises(InvalidParameter, match=r"^lot_order: each number from 1 to 3 is expected once$"):
            places_by_lot(order, 3)


def test_marked_ballots_rank_by_points_and_bind_them_into_the_root() -> None:
    papers = [({1: 5, 2: -1}, 2), ({1: 0, 2: 0}, 3), ({2: -1, 1: 5}, 1), ({}, 1), ({1: 4, 2: -1}, 7)]
    ballots = marked_ballots(["Ana", "Bo", "C"], papers, withdrawn=[3])
    assert [line.decode() for line in ballots.canonical_lines()] == [
        '{"candidates":["Ana","Bo","C"],"form":"icn/marked-ballots/v1","withdrawn":[3]}',
        '{"marks":[],"ranking":[],"weight":"1"}',
        '{"marks":["4","-1"],"ranking":[[1],[2]],"weight":"7"}',
        '{"marks":["5","-1"],"ranking":[[1],[2]],"weight":"3"}',
        '{"marks":["0"],"ranking":[[1,2]],"weight":"3"}',
    ]
    assert ballots.root() == tree_root([leaf_hash(line) for line in ballots.canonical_lines()])
    assert marked_ballots(["Ana", "Bo", "C"], papers[::-1], withdrawn=[3]).root() == ballots.root()
    assert (
        ballots.root()
        != Ballots(ballots.candidates, ballots.rankings, ballots.weights, frozenset({3})).root()
    )


def test_withdrawn_candidates_take_their_points_with_them() -> None:
    ballots = marked_ballots(["a", "b", "c"], [({1: 5, 2: 5, 3: 2}, 1), ({3: 9, 2: 1}, 4), ({3: 3}, 2)], [3])
    assert [*ballots.marked_bundles()] == [
        (((1, 2),), (5,), 1),
        (((2,),), (1,), 4),
        ((), (), 2),
    ]
    with pytest.raises(InvalidBallots, match=r"^these ballots rank candidates, and say nothing of points$"):
        [*ranked_ballots(["a"], [([[1]], 1)]).marked_bundles()]


def test_the_largest_marks_are_allowed_and_larger_ones_refused() -> None:
    largest = marked_ballots(["a", "b"], [({1: -MARK_MAX, 2: MARK_MAX}, 1)])
    assert [*largest.marked_bundles()] == [(((2,), (1,)), (MARK_MAX, -MARK_MAX), 1)]
    for mark in (MARK_MAX + 1, -MARK_MAX - 1, True):
        with pytest.raises(InvalidBallots, match=r"^ballot 2: a mark is a whole number up to 1000000000$"):
            marked_ballots(["a"], [({1: 1}, 1), ({1: mark}, 1)])


def test_ballots_with_a_list_of_another_length_are_not_read_in_part() -> None:
    for rankings, weights, marks in (
        ([((1,),)], [1, 1], ()),
        ([((1,),)], [1, 1], [(2,)]),
        ([((1,),)], [1], [(2,), (3,)]),
        ([((1,),)], [1], [(2, 1)]),
    ):
        ballots = Ballots(("a",), rankings, weights, marks=marks)
        with pytest.raises(ValueError, match="zip"):
            [*(ballots.marked_bundles() if marks else ballots.bundles())]
    for rankings, weights, marks in (([((1,),)], [1, 1], ()), ([((1,),)], [1, 1], [(2,)])):
        with pytest.raises(ValueError, match="zip"):
            Ballots(("a",), rankings, weights, marks=marks).root()
    with pytest.raises(ValueError, match="zip"):
        [*Ballots(("a", "b"), [((1,),)], [1, 1], frozenset({2})).bundles()]
