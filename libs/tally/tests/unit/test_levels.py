"""Votes of several levels, held to a plain recount of every tree, and each passing rule at its border."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.levels import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    TRANSMISSIONS,
    AllOf,
    AnyOf,
    Condition,
    Decided,
    Node,
    Rule,
    Votes,
    adaptive_quorum,
    decide,
    majority,
    members_carry,
    no_blocking_minority,
    no_veto,
    scaled_majority,
    turnout,
    units_carry,
)

HALF = Fraction(1, 2)
SIMPLE = majority(HALF)
NO_VOTES = Votes()


def leaf(unit: str, yes: int, no: int, abstain: int = 0, eligible: int | None = None, **more: object) -> Node:
    own = Votes(yes, no, abstain)
    rule = more.pop("rule", SIMPLE)
    return Node(unit, rule, own=own, eligible=own.cast if eligible is None else eligible, **more)  # type: ignore[arg-type]


@st.composite
def trees(draw: st.DrawFn, levels: int = 3, name: str = "root") -> Node:
    """Up to three levels of up to three children with up to nine members each."""
    children: tuple[Node, ...] = ()
    if levels > 1:
        children = tuple(
            draw(trees(levels=levels - 1, name=f"{name}.{place}")) for place in range(draw(st.integers(0, 3)))
        )
    yes, no, abstain = (draw(st.integers(0, 3)) for _ in range(3))
    weight = draw(st.integers(0, 5))
    transmission = draw(st.sampled_from(TRANSMISSIONS))
    sent = draw(st.integers(0, weight))
    for_it = draw(st.integers(0, sent))
    return Node(
        name,
        draw(st.sampled_from([SIMPLE, majority(Fraction(2, 3), of="cast", strictly=False), turnout(HALF)])),
        weight,
        transmission,
        Votes(yes, no, abstain),
        yes + no + abstain + draw(st.integers(0, 3)),
        Votes(for_it, sent - for_it) if transmission == "free" else Votes(),
        children,
    )


def recounted(node: Node) -> tuple[bool, list[int], list[int]]:
    """Whether it is carried, what came to it and what it passes on: yes, no, abstain."""
    came = [node.own.yes, node.own.no, node.own.abstain]
    could = node.eligible
    for child in node.children:
        _, of_child, passed = recounted(child)
        came = [one + more for one, more in zip(came, passed, strict=True)]
        could += possible(child) if child.transmission == "pass-through" else child.weight
        del of_child
    if node.rule is SIMPLE:
        carried = 2 * came[0] > came[0] + came[1]
    elif "2/3" in node.rule.name:  # type: ignore[union-attr]
        carried = came[0] > 0 and 3 * came[0] >= 2 * sum(came)
    else:
        carried = could > 0 and 2 * sum(came) >= could
    if node.transmission == "pass-through":
        return carried, came, came
    if node.transmission == "free":
        return carried, came, [node.delegates.yes, node.delegates.no, node.delegates.abstain]
    if sum(came) == 0:
        return carried, came, [0, 0, 0]
    if node.transmission == "split":
        parts = [node.weight * one // sum(came) for one in came]
        left = [(node.weight * one % sum(came), place) for one, place in zip(came, (0, 2, 1), strict=True)]
        order = sorted(range(3), key=lambda option: (-left[option][0], -left[option][1]))
        for option in order[: node.weight - sum(parts)]:
            parts[option] += 1
        return carried, came, parts
    return carried, came, [node.weight, 0, 0] if carried else [0, node.weight, 0]


def possible(node: Node) -> int:
    return node.eligible + sum(
        possible(child) if child.transmission == "pass-through" else child.weight for child in node.children
    )


@given(trees())
def test_every_level_is_what_a_recount_gives(tree: Node) -> None:
    def hold(node: Node, found: Decided) -> None:
        carried, came, passed = recounted(node)
        assert (found.carried, found.votes, found.transmitted) == (carried, Votes(*came), Votes(*passed))
        assert found.eligible == possible(node)
        for child, below in zip(node.children, found.children, strict=True):
            hold(child, below)

    hold(tree, decide(tree))


def carried(rule: Rule, *children: Node, own: Votes = NO_VOTES, eligible: int | None = None) -> bool:
    root = Node("root", rule, own=own, eligible=own.cast if eligible is None else eligible, children=children)
    return decide(root).carried


def test_passing_rules_hold_at_their_border() -> None:
    for rule, votes, eligible, passes in (
        (majority(HALF), Votes(2, 2), 9, False),
        (majority(HALF), Votes(3, 2), 9, True),
        (majority(HALF, strictly=False), Votes(2, 2), 9, True),
        (majority(HALF, of="cast"), Votes(3, 2, 1), 9, False),
        (majority(HALF, of="eligible"), Votes(4, 0), 8, False),
        (majority(HALF, of="eligible"), Votes(5, 0), 8, True),
        (majority(Fraction(0), strictly=False), Votes(0, 3), 9, False),
        (turnout(HALF), Votes(1, 1, 1), 6, True),
        (turnout(HALF), Votes(1, 1), 6, False),
        (scaled_majority(Fraction(3, 4), HALF), Votes(5, 3), 16, False),
        (scaled_majority(Fraction(3, 4), HALF), Votes(6, 2), 16, True),
        (scaled_majority(Fraction(3, 4), HALF), Votes(9, 7), 16, True),
        (AllOf((majority(HALF), turnout(HALF))), Votes(3, 1), 9, False),
        (AnyOf((majority(HALF, of="eligible"), turnout(HALF))), Votes(1, 4), 9, True),
    ):
        assert carried(rule, own=votes, eligible=eligible) == passes, rule


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_adaptive_quorums_compare_by_square_roots(yes: int, no: int, idle: int) -> None:
    eligible = yes + no + idle
    own = Votes(yes, no)
    against = carried(adaptive_quorum("against"), own=own, eligible=eligible)
    for_it = carried(adaptive_quorum("for"), own=own, eligible=eligible)
    # no ÷ √turnout < yes ÷ √electorate, in whole numbers large enough that rounding cannot decide.
    scale = 10**12
    root_of_voting, root_of_all = isqrt((yes + no) * scale**2), isqrt(eligible * scale**2)
    left, right = no * root_of_all, yes * root_of_voting
    if abs(left - right) > (yes + no) * 2:
        assert against == (left < right)
    left, right = no * root_of_voting, yes * root_of_all
    if abs(left - right) > (yes + no) * 2:
        assert for_it == (left < right)
    assert not against or for_it


def test_more_turnout_needs_less_of_a_majority_against_bias() -> None:
    shares = []
    for voting in (10, 40, 90):
        needed = next(
            yes
            for yes in range(voting + 1)
            if carried(adaptive_quorum("against"), own=Votes(yes, voting - yes), eligible=100)
        )
        shares.append(Fraction(needed, voting))
    assert all(before > after for before, after in pairwise(shares))


def test_a_double_majority_needs_units_and_members() -> None:
    double = AllOf((units_carry(HALF), members_carry(HALF)))
    small = [leaf("a", 2, 1), leaf("b", 2, 1)]
    assert not carried(double, *small, leaf("c", 0, 9))
    assert carried(double, *small, leaf("c", 4, 5))
    assert not carried(double, leaf("a", 1, 2), leaf("b", 1, 2), leaf("c", 9, 0))


def test_a_blocking_minority_is_of_units_and_of_members() -> None:
    rule = AllOf((units_carry(HALF), no_blocking_minority(2, Fraction(35, 100))))
    units = [leaf("a", 3, 0), leaf("b", 3, 0), leaf("c", 3, 0)]
    assert carried(rule, *units, leaf("d", 0, 9))
    assert not carried(rule, *units, leaf("d", 0, 5), leaf("e", 0, 1))
    assert carried(rule, *units, leaf("d", 0, 2), leaf("e", 0, 1))


def test_a_veto_stops_and_only_of_whom_has_it() -> None:
    rule = AllOf((units_carry(HALF), no_veto("a")))
    assert not carried(rule, leaf("a", 0, 1), leaf("b", 1, 0), leaf("c", 1, 0))
    assert carried(rule, leaf("a", 1, 0), leaf("b", 0, 1), leaf("c", 1, 0))


def test_turnout_of_members_reaches_through_blocs() -> None:
    rule = turnout(HALF, of="members")
    assert carried(rule, leaf("a", 1, 0, eligible=2), leaf("b", 2, 0, eligible=4))
    assert not carried(rule, leaf("a", 1, 0, eligible=2), leaf("b", 2, 0, eligible=5))


def test_a_split_carries_nothing_by_rounding() -> None:
    found = decide(Node("root", SIMPLE, children=(leaf("a", 1, 1, weight=3, transmission="split"),)))
    assert found.votes == Votes(1, 2) and not found.carried


def test_nothing_comes_of_units_where_nobody_votes() -> None:
    found = decide(Node("root", turnout(HALF), children=(leaf("a", 0, 0, eligible=5, weight=3),)))
    assert (found.votes, found.eligible, found.carried) == (Votes(), 3, False)


def test_what_is_out_of_limits_is_refused_by_name() -> None:
    deep = leaf("bottom", 1, 0)
    for level in range(DEPTH_MAX):
        deep = Node(f"level {level}", SIMPLE, children=(deep,))
    for tree, told in (
        (deep, "bottom: more than 16 levels"),
        (Node("root", SIMPLE, children=(leaf("a", 1, 0), leaf("a", 0, 1))), "root: two children"),
        (leaf("a", -1, 0, eligible=3), "a: votes are 0 or more"),
        (leaf("a", 2, 2, eligible=3), "a: 4 votes of 3 eligible"),
        (leaf("a", 0, 0, weight=-1), "a: 0 delegates voted of -1"),
        (Node("a", SIMPLE, 1, "free", delegates=Votes(1, 1)), "a: 2 delegates voted of 1"),
        (leaf("a", 0, 0, eligible=2**53), "all weights together"),
    ):
        with pytest.raises(InvalidBallots, match=told):
            decide(tree)
    many = AllOf(tuple(Condition("never", lambda seen: False) for _ in range(CONDITIONS_MAX + 1)))
    with pytest.raises(InvalidParameter, match=r"^rule: root: more than 1000 conditions$"):
        decide(Node("root", many))
    enough = AllOf((AllOf(many.rules[1:-1]), AnyOf(many.rules[-1:])))
    assert len(decide(Node("root", enough)).conditions) == CONDITIONS_MAX
    for tree, told in (
        (
            Node("r" * 50, SIMPLE, children=(leaf("a", 1, 0), leaf("a", 0, 1))),
            f"{'r' * 40}: two children have one name",
        ),
        (leaf("a", 0, 0, eligible=2**53 - 1), f"a: all weights together are more than {2**53 - 1}"),
        (leaf("a", 0, -1, eligible=3), "a: votes are 0 or more"),
        (leaf("a", 0, 0, -1, eligible=3), "a: votes are 0 or more"),
        (Node("a", SIMPLE, 9, "free", delegates=Votes(-1, 1)), "a: votes are 0 or more"),
        (Node("a", SIMPLE, 9, "free", delegates=Votes(0, 0, -1)), "a: votes are 0 or more"),
        (leaf("a", 1, 1, 2, eligible=3), "a: 4 votes of 3 eligible"),
    ):
        with pytest.raises(InvalidBallots) as error:
            decide(tree)
        assert str(error.value) == told


def test_what_is_just_within_limits_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = leaf("bottom", 1, 0)
    for level in range(DEPTH_MAX - 1):
        deep = Node(f"level {level}", SIMPLE, children=(deep,))
    assert decide(deep).carried
    assert decide(leaf("a", 0, 0, eligible=2**53 - 2)).eligible == 2**53 - 2
    assert decide(Node("a", SIMPLE, 0, "free", eligible=2**53 - 1)).eligible == 2**53 - 1
    assert decide(Node("a", SIMPLE, 2, "free", delegates=Votes(1, 1))).transmitted == Votes(1, 1)
    # Of others than free delegates nothing is asked.
    assert decide(Node("a", SIMPLE, 1, "bound", delegates=Votes(1, 1))).transmitted == Votes()
    monkeypatch.setattr("icn_tally.levels.NODES_MAX", 3)
    three = Node("root", SIMPLE, children=(leaf("a", 1, 0), leaf("b", 1, 0)))
    assert decide(three).carried
    with pytest.raises(InvalidBallots, match=r"^more than 3 units$"):
        decide(Node("root", SIMPLE, children=(*three.children, leaf("c", 1, 0))))


def test_a_decision_tells_each_condition_and_is_a_form() -> None:
    found = decide(Node("root", AllOf((SIMPLE, turnout(HALF))), own=Votes(2, 1), eligible=9))
    assert found.to_form() == {
        "unit": "root",
        "carried": False,
        "votes": {"yes": "2", "no": "1", "abstain": "0"},
        "eligible": "9",
        "transmitted": {"yes": "0", "no": "1", "abstain": "0"},
        "conditions": [
            {"condition": "majority > 1/2 of yes-no", "met": True},
            {"condition": "turnout ≥ 1/2 (here)", "met": False},
        ],
        "children": [],
    }


def test_a_tree_is_written_from_the_top_down() -> None:
    child = leaf("a", 2, 1, eligible=5, weight=4, transmission="split", rule=AnyOf((SIMPLE,)))
    found = decide(Node("root", no_veto("a"), own=Votes(0, 1, 1), eligible=3, children=(child,)))
    form = found.to_form()
    assert form["votes"] == {"yes": "3", "no": "2", "abstain": "1"}
    assert form["eligible"] == "7" and found.eligible_members == 8 and found.members == Votes(2, 2, 1)
    assert form["conditions"] == [{"condition": "no veto of a", "met": True}]
    assert form["children"] == [
        {
            "unit": "a",
            "carried": True,
            "votes": {"yes": "2", "no": "1", "abstain": "0"},
            "eligible": "5",
            "transmitted": {"yes": "3", "no": "1", "abstain": "0"},
            "conditions": [{"condition": "majority > 1/2 of yes-no", "met": True}],
            "children": [],
        }
    ]


def test_each_condition_is_told_in_words() -> None:
    third = Fraction(1, 3)
    assert [
        condition.name
        for condition in (
            majority(third),
            majority(third, of="cast", strictly=False),
            turnout(third),
            turnout(third, of="members"),
            units_carry(third),
            units_carry(third, strictly=False),
            members_carry(third),
            members_carry(third, strictly=False),
            no_blocking_minority(2, third),
            no_veto("a", "b"),
            scaled_majority(third, HALF),
            adaptive_quorum("for"),
        )
    ] == [
        "majority > 1/3 of yes-no",
        "majority ≥ 1/3 of cast",
        "turnout ≥ 1/3 (here)",
        "turnout ≥ 1/3 (members)",
        "units > 1/3",
        "units ≥ 1/3",
        "members > 1/3",
        "members ≥ 1/3",
        "no 2 units with more than 1/3 of the members against",
        "no veto of a, b",
        "majority > 1/3 to 1/2 by turnout",
        "adaptive quorum, bias for",
    ]


def test_shares_of_units_and_members_hold_at_their_border() -> None:
    half = [leaf("a", 1, 0), leaf("b", 0, 1)]
    assert not carried(units_carry(HALF), *half) and carried(units_carry(HALF, strictly=False), *half)
    assert not carried(members_carry(HALF), *half) and carried(members_carry(HALF, strictly=False), *half)
    assert not carried(units_carry(HALF, strictly=False))
    # Nobody says yes, so that no share of it is enough.
    assert not carried(members_carry(Fraction(0), strictly=False), leaf("a", 0, 1))
    assert not carried(scaled_majority(Fraction(0), Fraction(0)), own=Votes(0, 0, 1))
    assert not carried(scaled_majority(HALF, HALF), own=Votes(), eligible=0)
    assert carried(majority(Fraction(0)), own=Votes(1, 5)) and not carried(
        majority(Fraction(0)), own=Votes(0, 5)
    )


def test_a_blocking_minority_needs_units_and_more_than_the_share() -> None:
    rule = no_blocking_minority(2, HALF)
    against = [leaf("a", 0, 2), leaf("b", 0, 2)]
    # Four of eight eligible members are not more than half, of seven they are.
    assert carried(rule, *against, leaf("c", 4, 0)) and not carried(rule, *against, leaf("c", 3, 0))
    assert carried(rule, leaf("a", 0, 4), leaf("c", 3, 0))


def test_whoever_has_a_veto_and_is_not_here_stops_nothing() -> None:
    assert carried(no_veto("gone"), leaf("a", 0, 1))
    assert not carried(no_veto("gone", "a"), leaf("a", 0, 1))


@pytest.mark.parametrize(
    ("weight", "votes", "parts"),
    [
        (3, Votes(1, 1), Votes(1, 2)),
        (1, Votes(1, 1, 1), Votes(0, 1, 0)),
        (2, Votes(1, 1, 1), Votes(0, 1, 1)),
        (1, Votes(2, 1), Votes(1, 0)),
        (5, Votes(3, 2, 1), Votes(2, 2, 1)),
        (0, Votes(3, 2), Votes()),
        (7, Votes(0, 0, 2), Votes(0, 0, 7)),
    ],
)
def test_a_split_gives_the_largest_remainders_first_and_equal_ones_to_no(
    weight: int, votes: Votes, parts: Votes
) -> None:
    unit = Node("a", SIMPLE, weight, "split", votes, votes.cast)
    assert decide(unit).transmitted == parts
