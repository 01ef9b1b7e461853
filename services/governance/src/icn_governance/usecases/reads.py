"""Queries of one thing; lists go straight to the reader."""

from __future__ import annotations

from collections.abc import Sequence

from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.errors import Unavailable
from icn_tally.polls.commitments import Opening
from icn_tally.polls.decisions import countersignatures_needed

from icn_governance.domain.decision import StoredDecision, founders_of
from icn_governance.domain.errors import (
    decision_unknown,
    organization_unknown,
    proposal_unknown,
    result_missing,
)
from icn_governance.domain.proposal import CountedResult, Proposal
from icn_governance.usecases.ports import Begin, Ledger, OrganizationRow, Reader


async def get_organization(organization: bytes, begin: Begin) -> OrganizationRow:
    """One organization.

    Raises:
        NotFound: ORGANIZATION_UNKNOWN.
    """
    async with begin() as uow:
        row = await uow.records.organization(organization)
    if row is None:
        raise organization_unknown(organization)
    return row


async def get_proposal(proposal_id: bytes, begin: Begin) -> Proposal:
    """One proposal.

    Raises:
        NotFound: PROPOSAL_UNKNOWN.
    """
    async with begin() as uow:
        proposal = await uow.records.proposal(proposal_id)
    if proposal is None:
        raise proposal_unknown(proposal_id)
    return proposal


async def get_result(proposal_id: bytes, begin: Begin) -> CountedResult:
    """A proposal's result.

    Raises:
        NotFound: PROPOSAL_UNKNOWN.
        FailedPrecondition: RESULT_MISSING.
    """
    proposal = await get_proposal(proposal_id, begin)
    if proposal.result is None:
        raise result_missing(proposal_id)
    return proposal.result


async def list_openings(
    proposal_id: bytes, after: bytes | None, limit: int, begin: Begin, reader: Reader
) -> Sequence[Opening]:
    """Openings that match a ballot of the closed poll.

    Raises:
        NotFound: PROPOSAL_UNKNOWN.
        FailedPrecondition: PROPOSAL_NOT_CLOSED.
    """
    proposal = await get_proposal(proposal_id, begin)
    proposal.check_closed()
    return await reader.list_openings(proposal_id, after, limit)


async def get_decision(identifier: bytes, begin: Begin, ledger: Ledger) -> tuple[StoredDecision, int]:
    """One decision, and how many countersignatures it needs as the ledger stands; 0 when nobody can say.

    Raises:
        NotFound: DECISION_UNKNOWN.
    """
    async with begin() as uow:
        stored = await uow.records.decision(identifier)
    if stored is None:
        raise decision_unknown(identifier)
    decision = stored.read()
    founders = founders_of(decision)
    if founders is not None:
        return stored, len(founders)
    try:
        leaf = await ledger.authority(decision.authority)
    except Unavailable:
        leaf = None
    return stored, 0 if leaf is None else countersignatures_needed(leaf.rules, leaf.members)


async def list_countersignatures(
    identifier: bytes, after: bytes | None, limit: int, begin: Begin, reader: Reader
) -> Sequence[Countersignature]:
    """Countersignatures of a decision.

    Raises:
        NotFound: DECISION_UNKNOWN.
    """
    async with begin() as uow:
        if await uow.records.decision(identifier) is None:
            raise decision_unknown(identifier)
    return await reader.list_countersignatures(identifier, after, limit)
