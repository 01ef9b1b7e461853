"""Who may speak for an organization, as the ledger has it.

Source: docs/spec/governance.md, "Who may do what".
"""

from __future__ import annotations

from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE, AuthorityLeaf
from icn_tally.polls.documents import Draft
from icn_tally.polls.rules import draft_shortfall

from icn_governance.domain.errors import (
    draft_below_rules,
    not_a_member,
    not_of_the_organization,
    not_the_proposer,
)
from icn_governance.domain.proposal import Proposal
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


async def check_may_open(proposal: Proposal, principal: bytes, ledger: Ledger) -> None:
    """Pass for the organization, for the member that drafted, and for the member through which a person did:
    the ledger lets members open polls only, and no other of them is to decide when this one is asked.

    Raises:
        PermissionDenied: NOT_A_MEMBER, NOT_THE_PROPOSER.
    """
    organization, proposer = proposal.organization, proposal.proposer
    if principal == organization:
        return
    if not await is_active(organization, principal, ledger):
        raise not_a_member(principal, organization)
    if principal != proposer and not await is_active(principal, proposer, ledger):
        raise not_the_proposer(principal, proposal.proposal)


async def check_rules(draft: Draft, ledger: Ledger) -> AuthorityLeaf | None:
    """Pass when what carries the draft meets the rules of the authority that decides; its leaf, None for an
    organization with keys, which decides as it likes.

    Raises:
        FailedPrecondition: DRAFT_BELOW_RULES.
    """
    leaf = await ledger.authority(draft.organization)
    if leaf is None:
        return None
    shortfall = draft_shortfall(draft, leaf.rules, leaf.members)
    if shortfall is not None:
        raise draft_below_rules(shortfall)
    return leaf
