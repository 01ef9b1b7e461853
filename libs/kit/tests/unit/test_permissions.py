"""Permissions: the replica against the plainest reading of the specification."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit import permissions
from icn_kit.errors import ErrorKind
from icn_kit.permissions import (
    HEIGHT_NONE,
    HeightNotReached,
    Implied,
    MalformedTuple,
    PermissionReplica,
    PermissionTuple,
    Through,
)

IDS = [f"{number:032x}" for number in range(4)]
ORGANIZATIONS = [f"organizations/{identifier}" for identifier in IDS]
PRINCIPALS = [f"principals/{identifier}" for identifier in IDS]
RELATIONS = ["member", "officer", "office.treasurer", "office.chair", "member_of_member"]
FARM, BAKERY = ORGANIZATIONS[:2]
ANA, BEN = PRINCIPALS[2:]


def replica(*tuples: tuple[str, str, str], height: int = 10) -> PermissionReplica:
    made = PermissionReplica()
    for object_, relation, subject in tuples:
        made.write(object_, relation, subject, 1)
    made.reach(height)
    return made


def test_a_tuple_holds_from_its_height_until_it_is_removed() -> None:
    made = PermissionReplica()
    made.write(FARM, "member", ANA, 5)
    made.remove(FARM, "member", ANA, 9)
    made.reach(20)
    assert [made.check(ANA, "member", FARM, height).is_allowed for height in (4, 5, 8, 9)] == [
        False,
        True,
        True,
        False,
    ]


def test_the_answer_names_the_tuples_that_carry_it() -> None:
    made = replica((FARM, "member", PRINCIPALS[1]), (BAKERY, "office.chair", ANA))
    verdict = made.check(ANA, "member_of_member", FARM, 10)
    assert verdict.because == (
        PermissionTuple(FARM, "member", PRINCIPALS[1], 1, HEIGHT_NONE),
        PermissionTuple(BAKERY, "office.chair", ANA, 1, HEIGHT_NONE),
    )
    assert made.check(BEN, "member_of_member", FARM, 10) == (False, ())


def test_an_office_implies_officer_and_officer_implies_member_but_not_the_other_way() -> None:
    made = replica((FARM, "office.treasurer", ANA), (FARM, "member", BEN))
    for relation in ("office.treasurer", "officer", "member"):
        assert made.check(ANA, relation, FARM, 10).is_allowed
    assert not made.check(ANA, "office.chair", FARM, 10).is_allowed
    assert not made.check(BEN, "officer", FARM, 10).is_allowed
    assert not made.check(ANA, "member", BAKERY, 10).is_allowed


def test_what_is_not_known_yet_is_not_answered() -> None:
    made = replica((FARM, "member", ANA), height=10)
    assert made.check(ANA, "member", FARM, 10).is_allowed
    with pytest.raises(HeightNotReached) as refusal:
        made.check(ANA, "member", FARM, 11)
    assert (refusal.value.asked, refusal.value.reached, refusal.value.kind) == (11, 10, ErrorKind.UNAVAILABLE)
    with pytest.raises(HeightNotReached):
        made.tuples_of(ANA, 11)


def test_a_change_at_or_below_the_checkpoint_is_a_repeat() -> None:
    made = PermissionReplica()
    made.write(FARM, "member", ANA, 5)
    made.remove(FARM, "member", ANA, 9)
    made.reach(9)
    made.write(FARM, "member", ANA, 5)
    made.write(FARM, "member", BEN, 9)
    assert list(made) == [PermissionTuple(FARM, "member", ANA, 5, 9)]


def test_what_is_removed_at_the_height_it_was_written_never_held() -> None:
    made = PermissionReplica()
    made.write(FARM, "member", ANA, 5)
    made.remove(FARM, "member", ANA, 5)
    assert (list(made), len(made)) == ([], 0)


def test_who_comes_back_is_in_again() -> None:
    made = PermissionReplica()
    made.write(FARM, "member", ANA, 1)
    made.remove(FARM, "member", ANA, 3)
    made.write(FARM, "member", ANA, 6)
    made.reach(9)
    assert [made.check(ANA, "member", FARM, height).is_allowed for height in range(1, 8)] == [
        True,
        True,
        False,
        False,
        False,
        True,
        True,
    ]
    assert made.tuples_of(ANA, 7) == [PermissionTuple(FARM, "member", ANA, 6, HEIGHT_NONE)]


@pytest.mark.parametrize(
    ("object_", "relation", "subject"),
    [
        ("organizations/1", "member", ANA),
        (ANA, "member", ANA),
        (FARM, "Member", ANA),
        (FARM, "", ANA),
        (FARM, "m" * 65, ANA),
        (FARM, "member", FARM),
        (FARM, "member", f"{ANA} "),
    ],
)
def test_what_is_not_of_its_form_is_refused(object_: str, relation: str, subject: str) -> None:
    made = PermissionReplica()
    for apply in (made.write, made.remove):
        with pytest.raises(MalformedTuple):
            apply(object_, relation, subject, 1)
    with pytest.raises(MalformedTuple):
        made.restore(PermissionTuple(object_, relation, subject, 1, 2))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "TUPLES_MAX", 2)
    made = PermissionReplica()
    made.write(FARM, "member", ANA, 1)
    made.write(FARM, "member", BEN, 1)
    with pytest.raises(MalformedTuple, match="more than 2"):
        made.write(BAKERY, "member", BEN, 1)
    made.remove(FARM, "member", BEN, 1)
    made.write(BAKERY, "member", BEN, 1)
    assert len(made) == 2


# The same, read off the specification with sets of heights and no index.

HEIGHTS = range(8)
Change = tuple[str, str, str, str, int]


def naive_heights(changes: list[Change], object_: str, relation: str, subject: str) -> set[int]:
    holds: set[int] = set()
    for kind, *triple, height in changes:
        if triple == [object_, relation, subject]:
            later = {at for at in HEIGHTS if at >= height}
            holds = holds | later if kind == "write" else holds - later
    return holds


def naive_check(changes: list[Change], subject: str, relation: str, object_: str, height: int) -> bool:
    def has(subject: str, relation: str, object_: str) -> bool:
        if height in naive_heights(changes, object_, relation, subject):
            return True
        if relation == "member":
            return has(subject, "officer", object_)
        if relation == "officer":
            return any(has(subject, office, object_) for office in ("office.treasurer", "office.chair"))
        return False

    if has(subject, relation, object_):
        return True
    return relation == "member_of_member" and any(
        has(f"principals/{identifier}", "member", object_)
        and has(subject, "member", f"organizations/{identifier}")
        for identifier in IDS
    )


changes_in_order = st.lists(
    st.tuples(
        st.sampled_from(["write", "remove"]),
        st.sampled_from(ORGANIZATIONS),
        st.sampled_from(RELATIONS),
        st.sampled_from(PRINCIPALS),
        st.integers(1, 7),
    ),
    max_size=25,
).map(lambda changes: sorted(changes, key=lambda change: change[-1]))


def replica_of(changes: list[Change]) -> PermissionReplica:
    made = PermissionReplica()
    for kind, object_, relation, subject, height in changes:
        (made.write if kind == "write" else made.remove)(object_, relation, subject, height)
    made.reach(7)
    return made


@given(changes_in_order)
def test_it_answers_as_the_specification_read_plainly(changes: list[Change]) -> None:
    made = replica_of(changes)
    for subject in PRINCIPALS:
        for object_ in ORGANIZATIONS[:2]:
            for relation in ("member", "officer", "office.chair", "member_of_member"):
                for height in (0, 3, 7):
                    verdict = made.check(subject, relation, object_, height)
                    assert verdict.is_allowed == naive_check(changes, subject, relation, object_, height)
                    assert verdict.is_allowed == bool(verdict.because)
                    for carrying in verdict.because:
                        assert carrying.since_height <= height < carrying.until_height
                        held = naive_heights(changes, carrying.object, carrying.relation, carrying.subject)
                        assert height in held


@given(changes_in_order, st.randoms())
def test_a_copy_made_from_rows_in_any_order_answers_the_same(changes: list[Change], chance: Any) -> None:
    made = replica_of(changes)
    rows = list(made)
    chance.shuffle(rows)
    copy = PermissionReplica()
    for row in rows:
        copy.restore(row)
        copy.restore(row)
    copy.reach(made.height)
    assert sorted(copy) == sorted(made)
    assert len(copy) == len(made)


def test_rules_may_go_in_circles() -> None:
    made = PermissionReplica([Implied("a", "b"), Implied("b", "a"), Through("c", "a", "b")])
    made.write(FARM, "b", ANA, 1)
    made.reach(1)
    assert made.check(ANA, "a", FARM, 1).is_allowed
    assert not made.check(ANA, "c", FARM, 1).is_allowed
