"""Institutions that do not add up stop the node, whatever made them so."""

from __future__ import annotations

import pytest
from icn_machine.institution_invariants import check_institutions, check_members
from icn_machine.records import (
    Authority,
    AuthorityRules,
    Ballot,
    Decision,
    Duty,
    Electorate,
    Membership,
    MembershipStatus,
    Poll,
    RecordTables,
)
from icn_machine.refusals import InvariantBroken

from libs.machine.tests.zone import identifier

APPLIED, ACTIVE, ENDED = MembershipStatus
F, A, B, POLL = (identifier(name) for name in ("federation", "a", "b", "poll"))
D, SUBJECT = b"d" * 32, b"s" * 32


def authority(members: int) -> Authority:
    return Authority(F, AuthorityRules(0, 0), members)


def member(who: bytes, status: MembershipStatus, *times: int) -> Membership:
    applied, since, ended = times or {APPLIED: (1, 0, 0), ACTIVE: (1, 2, 0), ENDED: (1, 2, 3)}[status]
    return Membership(F, who, status, applied, since, ended, (), A)


def poll(ballots: int = 0, result: bytes = b"", decision: bytes = b"") -> Poll:
    return Poll(POLL, F, Electorate.MEMBERS, bytes(32), A, 1, 2, ballots, result, decision, bool(decision))


def ballot(voter: bytes) -> Ballot:
    return Ballot(POLL, voter, bytes(32), b"", 1, A)


def check(before: RecordTables, changes: RecordTables) -> None:
    """As after a block that made the changes."""
    now = before.copy()
    for namespace, identifier_, record in changes:
        before.table(namespace).setdefault(identifier_, None)
        now.put(namespace, identifier_, record)
    check_institutions(before, changes, now)


def refuse(before: RecordTables, changes: RecordTables, match: str) -> None:
    with pytest.raises(InvariantBroken, match=match):
        check(before, changes)


@pytest.mark.parametrize(
    ("status", "counted", "is_right"),
    [
        (ACTIVE, 2, True),
        (ACTIVE, 1, False),
        (ACTIVE, 3, False),
        (APPLIED, 1, True),
        (APPLIED, 2, False),
        (ENDED, 1, True),
        (ENDED, 2, False),
    ],
)
def test_an_authority_counts_its_active_members(
    status: MembershipStatus, counted: int, is_right: bool
) -> None:
    before = RecordTables(authorities={F: authority(1)}, memberships={F + A: member(A, ACTIVE)})
    changes = RecordTables(authorities={F: authority(counted)}, memberships={F + B: member(B, status)})
    if is_right:
        check(before, changes)
        return
    refuse(before, changes, "counts")


def test_a_count_that_changes_alone_is_found() -> None:
    before = RecordTables(authorities={F: authority(2)})
    refuse(before, RecordTables(authorities={F: authority(1)}), "counts 1 members and has 2")
    refuse(before, RecordTables(authorities={F: None}), "is gone")


def test_a_membership_that_changes_without_its_count_is_found() -> None:
    before = RecordTables(authorities={F: authority(2)}, memberships={F + A: member(A, ACTIVE)})
    refuse(before, RecordTables(memberships={F + A: member(A, ENDED)}), "counts 2 members and has 1")


def test_an_authority_without_members_and_one_with_too_many_are_found() -> None:
    before = RecordTables(authorities={F: authority(1)}, memberships={F + A: member(A, ACTIVE)})
    changes = RecordTables(authorities={F: authority(0)}, memberships={F + A: member(A, ENDED)})
    refuse(before, changes, "counts 0")
    with pytest.raises(InvariantBroken, match="counts 65"):
        check_members([authority(65)], [member(identifier(str(n)), ACTIVE) for n in range(65)])


def test_an_organization_with_a_controller_counts_no_members() -> None:
    check(RecordTables(), RecordTables(memberships={F + A: member(A, ACTIVE)}))
    check(RecordTables(authorities={F: None}), RecordTables(memberships={F + A: member(A, ACTIVE)}))


def test_memberships_stay_and_are_of_their_names() -> None:
    before = RecordTables(memberships={F + A: member(A, ENDED)})
    refuse(before, RecordTables(memberships={F + A: None}), "is gone")
    refuse(RecordTables(), RecordTables(memberships={F + B: member(A, ACTIVE)}), "somebody else")


@pytest.mark.parametrize(
    ("status", "times"),
    [
        (APPLIED, (1, 1, 0)),
        (APPLIED, (1, 0, 1)),
        (ACTIVE, (2, 1, 0)),
        (ACTIVE, (1, 2, 3)),
        (ENDED, (1, 3, 2)),
        (ENDED, (2, 0, 1)),
    ],
)
def test_times_of_a_membership_that_are_out_of_order_are_found(
    status: MembershipStatus, times: tuple[int, int, int]
) -> None:
    changed = RecordTables(memberships={F + A: member(A, status, *times)})
    refuse(RecordTables(), changed, "out of order")


def test_a_poll_counts_its_ballots() -> None:
    before = RecordTables(polls={POLL: poll(1)}, ballots={POLL + A: ballot(A)})
    check(before, RecordTables(polls={POLL: poll(2)}, ballots={POLL + B: ballot(B)}))
    check(before, RecordTables(ballots={POLL + A: ballot(A)._replace(cast_time_ms=2)}))
    refuse(before, RecordTables(polls={POLL: poll(2)}), "counts 2 ballots")
    refuse(before, RecordTables(ballots={POLL + B: ballot(B)}), "counts 1 ballots")
    refuse(before, RecordTables(ballots={POLL + A: None}), "is gone")
    refuse(before, RecordTables(polls={POLL: None}), "is gone")
    refuse(before, RecordTables(ballots={POLL + B: ballot(A)}), "somebody else")


def test_a_result_is_that_of_a_decision_and_stays() -> None:
    decision = Decision(F, POLL, SUBJECT, (A,), 1, 5)
    recorded = RecordTables(polls={POLL: poll(0, SUBJECT, D)}, decisions={D: decision})
    check(RecordTables(polls={POLL: poll()}), recorded)
    refuse(RecordTables(), RecordTables(polls={POLL: poll(0, SUBJECT, D)}), "not that of its decision")
    refuse(RecordTables(), RecordTables(polls={POLL: poll(0, SUBJECT)}), "without a decision")
    for other in (decision._replace(poll=A), decision._replace(subject=bytes(32))):
        changed = RecordTables(polls={POLL: poll(0, SUBJECT, D)}, decisions={D: other})
        refuse(RecordTables(), changed, "not that of its decision")
    before = RecordTables(polls={POLL: poll(0, SUBJECT, D)})
    refuse(before, RecordTables(polls={POLL: poll()}), "changed")


def test_a_decision_never_changes() -> None:
    decision = Decision(F, b"", SUBJECT, (A,), 1, 5)
    for after in (None, decision._replace(height=6)):
        refuse(RecordTables(decisions={D: decision}), RecordTables(decisions={D: after}), "changed")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([(3, 1, 3), (3, 2, 0)], ""),
        ([(3, 1, 3), (3, 1, 0)], "sum of its blocks"),
        ([(3, 1, 4), (3, 2, 0)], "more than"),
        ([(3, 4, 0), (3, -1, 0)], "more than"),
        ([(3, 1, 0), (4, 2, 0)], "sum of its blocks"),
    ],
)
def test_duty_evidence_adds_up_to_its_blocks(rows: list[tuple[int, int, int]], match: str) -> None:
    changes = RecordTables(
        duties={bytes([seat]): Duty(bytes([seat]), 0, *row) for seat, row in enumerate(rows)}
    )
    if not match:
        check(RecordTables(), changes)
        refuse(changes.copy(), changes, "changed after it was recorded")
        return
    refuse(RecordTables(), changes, match)
