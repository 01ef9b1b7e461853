"""Who may speak for an organization, as the ledger has it.

Source: docs/spec/governance.md, "Who may do what".
"""

from __future__ import annotations

from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE
from icn_tally.polls.documents import Draft

from icn_governance.domain.errors import not_a_member, not_of_the_organization
from icn_governance.usecases.ports import Ledger


async def is_active(organization: bytes, member: bytes, ledger: Ledger) -> bool:
    """Whether a principal is an active member."""
    leaf = await ledger.membership(organization, member)
    return leaf is not None and leaf.status == MEMBERSHIP_STATUS_ACTIVE


async def check_speaks_for(organization: bytes, principal: bytes, ledger: Ledger) -> None:
    """Pass for the organization itself and, where it is an authority, for its active members.

    Raises:
        PermissionDenied: NOT_OF_THE_ORGANIZATION.
    """
    if principal == organization:
        return
    if await ledger.authority(organization) is None or not await is_active(organization, principal, ledger):
        raise not_of_the_organization(principal, organization)


async def check_may_draft(draft: Draft, principal: bytes, ledger: Ledger) -> None:
    """Pass for the organization, its active members and, where those vote, for members of them.

    Raises:
        PermissionDenied: NOT_OF_THE_ORGANIZATION.
    """
    organization = draft.organization
    if principal == organization or await is_active(organization, principal, ledger):
        return
    if draft.electorate == "members-of-members":
        for leaf in await ledger.memberships_of(principal):
            if leaf.status == MEMBERSHIP_STATUS_ACTIVE and await is_active(
                organization, leaf.organization, ledger
            ):
                return
    raise not_of_the_organization(principal, organization)


async def check_member(organization: bytes, principal: bytes, ledger: Ledger) -> None:
    """Pass for the organization and its active members, as the ledger asks of who opens a poll.

    Raises:
        PermissionDenied: NOT_A_MEMBER.
    """
    if principal != organization and not await is_active(organization, principal, ledger):
        raise not_a_member(principal, organization)
