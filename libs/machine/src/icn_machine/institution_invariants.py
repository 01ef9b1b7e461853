"""What must hold of authorities, memberships, polls and decisions, worked out apart from what makes them.

Source: docs/spec/transaction.md, "Execution", last paragraph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from icn_machine.limits import AUTHORITY_MEMBERS_MAX
from icn_machine.records import (
    Authority,
    Ballot,
    Decision,
    Membership,
    MembershipStatus,
    Poll,
    RecordTables,
)
from icn_machine.refusals import InvariantBroken


def check_institutions(before: RecordTables, changes: RecordTables, now: RecordTables) -> None:
    """Check what a block changed.

    Raises:
        InvariantBroken: an authority's members are not its active memberships, a poll's ballots are not its
            ballots, a result is not one of a recorded decision, or something that stays is gone.
    """
    if changes.memberships or changes.authorities:
        _check_members(before, changes, now)
    if changes.polls or changes.ballots:
        _check_polls(before, changes, now)
    if changes.duties:
        _check_duties(before, changes)
    for identifier, recorded in changes.equivocations.items():
        if recorded is None or before.equivocations[identifier] is not None:
            raise InvariantBroken(f"equivocation {identifier.hex()} changed after it was recorded")
    for identifier, decision in changes.decisions.items():
        if decision is None or before.decisions[identifier] is not None:
            raise InvariantBroken(f"decision {identifier.hex()} changed after it was enacted")


def check_members(authorities: Iterable[Authority], memberships: Iterable[Membership]) -> None:
    """Check the whole state, as at the start of a node.

    Raises:
        InvariantBroken: an authority's members are not its active memberships.
    """
    active: dict[bytes, int] = defaultdict(int)
    for membership in memberships:
        active[membership.organization] += membership.status is MembershipStatus.ACTIVE
    for authority in authorities:
        _check_count(authority, active.get(authority.authority, 0))


def _check_duties(before: RecordTables, changes: RecordTables) -> None:
    proposed = 0
    blocks = set()
    for identifier, duty in changes.duties.items():
        if duty is None or before.duties[identifier] is not None:
            raise InvariantBroken(f"duty evidence {identifier.hex()} changed after it was recorded")
        if not (0 <= duty.proposed <= duty.blocks and 0 <= duty.signed <= duty.blocks):
            raise InvariantBroken(f"duty evidence {identifier.hex()} is more than there were blocks")
        proposed += duty.proposed
        blocks.add((duty.epoch, duty.blocks))
    if len(blocks) != 1 or proposed != blocks.pop()[1]:
        raise InvariantBroken("duty evidence of an epoch is not the sum of its blocks")


def _check_members(before: RecordTables, changes: RecordTables, now: RecordTables) -> None:
    more: dict[bytes, int] = defaultdict(int)
    for identifier, membership in changes.memberships.items():
        if membership is None:
            raise InvariantBroken(f"membership {identifier.hex()} is gone")
        if identifier != membership.organization + membership.member:
            raise InvariantBroken(f"membership {identifier.hex()} is of somebody else")
        _check_times(membership)
        previous = before.memberships[identifier]
        more[membership.organization] += _is_active(membership) - _is_active(previous)
    for identifier in {*more, *changes.authorities}:
        authority = now.authorities.get(identifier)
        if authority is None:
            if identifier in changes.authorities:
                raise InvariantBroken(f"authority {identifier.hex()} is gone")
            continue  # an organization with a controller, which counts no members
        known = before.authorities[identifier]
        _check_count(authority, (0 if known is None else known.members) + more.get(identifier, 0))


def _check_count(authority: Authority, active: int) -> None:
    if authority.members != active or not 1 <= active <= AUTHORITY_MEMBERS_MAX:
        raise InvariantBroken(
            f"authority {authority.authority.hex()} counts {authority.members} members and has {active}"
        )


def _is_active(membership: Membership | None) -> bool:
    return membership is not None and membership.status is MembershipStatus.ACTIVE


def _check_times(membership: Membership) -> None:
    applied, since, ended = (
        membership.applied_time_ms,
        membership.since_time_ms,
        membership.ended_time_ms,
    )
    is_right = {
        MembershipStatus.APPLIED: (since, ended) == (0, 0),
        MembershipStatus.ACTIVE: applied <= since and ended == 0,
        MembershipStatus.ENDED: ended >= max(applied, since),
    }[membership.status]
    if not is_right:
        raise InvariantBroken(f"times of a membership of {membership.member.hex()} are out of order")


def _check_polls(before: RecordTables, changes: RecordTables, now: RecordTables) -> None:
    more: dict[bytes, int] = defaultdict(int)
    for identifier, ballot in changes.ballots.items():
        _check_ballot(identifier, ballot)
        more[identifier[:16]] += before.ballots[identifier] is None
    for identifier in {*more, *changes.polls}:
        poll = now.polls[identifier]
        if poll is None:
            raise InvariantBroken(f"poll {identifier.hex()} is gone")
        known = before.polls[identifier]
        if poll.ballots != (0 if known is None else known.ballots) + more.get(identifier, 0):
            raise InvariantBroken(f"poll {identifier.hex()} counts {poll.ballots} ballots, not its own")
        _check_result(poll, known, now.decisions)


def _check_ballot(identifier: bytes, ballot: Ballot | None) -> None:
    if ballot is None or identifier != ballot.poll + ballot.voter:
        raise InvariantBroken(f"ballot {identifier.hex()} is gone or of somebody else")


def _check_result(poll: Poll, known: Poll | None, decisions: Mapping[bytes, Decision | None]) -> None:
    if known is not None and known.decision:
        if (poll.result, poll.decision) != (known.result, known.decision):
            raise InvariantBroken(f"the result of poll {poll.poll.hex()} changed")
    elif poll.decision:
        decision = decisions.get(poll.decision)
        if decision is None or (decision.poll, decision.subject) != (poll.poll, poll.result):
            raise InvariantBroken(f"the result of poll {poll.poll.hex()} is not that of its decision")
    elif poll.result:
        raise InvariantBroken(f"poll {poll.poll.hex()} has a result without a decision")
