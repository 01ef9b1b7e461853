"""Memberships: applied for, vouched for, admitted, ended.

Source: docs/spec/transaction.md, "Execution" and "Memberships, polls".
"""

from __future__ import annotations

from bisect import bisect_left

from icn_machine import refusals
from icn_machine.events import MembershipChanged
from icn_machine.governed import is_organization
from icn_machine.limits import AUTHORITY_MEMBERS_MAX, VOUCHES_MAX
from icn_machine.messages import (
    AdmitMember,
    ApplyForMembership,
    EndMembership,
    Transaction,
    VouchForApplicant,
)
from icn_machine.posting import BlockContext, occupy
from icn_machine.records import Authority, Membership, MembershipStatus
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def is_member(working: WorkingSet, organization: bytes, principal: bytes) -> bool:
    """Whether the principal's membership of the organization is in force."""
    membership = working.now.memberships[organization + principal]
    return membership is not None and membership.status is MembershipStatus.ACTIVE


def apply_for_membership(
    working: WorkingSet,
    transaction: Transaction,
    message: ApplyForMembership,
    context: BlockContext,
    _index: int,
) -> None:
    """Ask an organization for membership, for the first time or after an earlier one ended."""
    if not is_organization(working, message.organization):
        raise Refused(refusals.ORGANIZATION_UNKNOWN)
    before = working.now.memberships[message.organization + transaction.principal]
    payer = transaction.payer
    if before is None:
        occupy(working, payer, 1)
    elif before.status is not MembershipStatus.ENDED:
        raise Refused(refusals.MEMBERSHIP_EXISTS)
    else:
        payer = before.payer
    put_membership(
        working,
        Membership(
            message.organization,
            transaction.principal,
            MembershipStatus.APPLIED,
            context.time_ms,
            0,
            0,
            (),
            payer,
        ),
    )


def vouch_for_applicant(
    working: WorkingSet,
    transaction: Transaction,
    message: VouchForApplicant,
    _context: BlockContext,
    _index: int,
) -> None:
    """Speak for an applicant as a member."""
    voucher = transaction.principal
    if not is_member(working, message.organization, voucher):
        raise Refused(refusals.NOT_A_MEMBER)
    membership = find_application(working, message.organization, message.applicant)
    vouchers = membership.vouchers
    if voucher in vouchers:
        raise Refused(refusals.ALREADY_VOUCHED)
    if len(vouchers) >= VOUCHES_MAX:
        raise Refused(refusals.VOUCHES_FULL, ("vouches", len(vouchers)), ("vouches_max", VOUCHES_MAX))
    place = bisect_left(vouchers, voucher)
    vouched = membership._replace(vouchers=(*vouchers[:place], voucher, *vouchers[place:]))
    put_membership(working, vouched)


def admit_member(
    working: WorkingSet,
    transaction: Transaction,
    message: AdmitMember,
    context: BlockContext,
    _index: int,
) -> None:
    """Make an applicant a member of the acting principal."""
    admit(working, find_application(working, transaction.principal, message.applicant), context)


def end_membership(
    working: WorkingSet,
    transaction: Transaction,
    message: EndMembership,
    context: BlockContext,
    _index: int,
) -> None:
    """Leave, exclude, or end an application."""
    if transaction.principal not in (message.member, message.organization):
        raise Refused(refusals.NOT_MEMBER_NOR_ORGANIZATION)
    end(working, message.organization, message.member, context)


def find_application(working: WorkingSet, organization: bytes, applicant: bytes) -> Membership:
    """A membership that is applied for."""
    membership = _find(working, organization, applicant)
    if membership.status is not MembershipStatus.APPLIED:
        raise Refused(refusals.MEMBERSHIP_NOT_APPLIED, ("status", int(membership.status)))
    return membership


def admit(working: WorkingSet, application: Membership, context: BlockContext) -> None:
    """Put a membership that is applied for in force."""
    authority = _authority_of(working, application.organization)
    if authority is not None:
        if authority.members >= AUTHORITY_MEMBERS_MAX:
            raise Refused(
                refusals.MEMBERS_FULL,
                ("members", authority.members),
                ("members_max", AUTHORITY_MEMBERS_MAX),
            )
        _count(working, authority, 1)
    put_membership(
        working,
        application._replace(status=MembershipStatus.ACTIVE, since_time_ms=context.time_ms),
    )


def end(working: WorkingSet, organization: bytes, member: bytes, context: BlockContext) -> None:
    """End a membership or an application."""
    membership = _find(working, organization, member)
    if membership.status is MembershipStatus.ENDED:
        raise Refused(refusals.MEMBERSHIP_ENDED)
    if membership.status is MembershipStatus.ACTIVE:
        authority = _authority_of(working, organization)
        if authority is not None:
            # Nobody could act any more for what the authority governs.
            if authority.members == 1:
                raise Refused(refusals.LAST_MEMBER, ("members", 1))
            _count(working, authority, -1)
    put_membership(
        working,
        membership._replace(status=MembershipStatus.ENDED, ended_time_ms=context.time_ms),
    )


def put_membership(working: WorkingSet, membership: Membership) -> None:
    """Set a membership and tell of it."""
    working.put(working.now.memberships, membership.organization + membership.member, membership)
    working.events.append(MembershipChanged(membership))


def _find(working: WorkingSet, organization: bytes, member: bytes) -> Membership:
    membership = working.now.memberships[organization + member]
    if membership is None:
        raise Refused(refusals.MEMBERSHIP_UNKNOWN)
    return membership


def _authority_of(working: WorkingSet, organization: bytes) -> Authority | None:
    """The authority whose membership it is; None where the organization is a principal."""
    return working.now.authorities[organization]


def _count(working: WorkingSet, authority: Authority, more: int) -> None:
    changed = authority._replace(members=authority.members + more)
    working.put(working.now.authorities, authority.authority, changed)
