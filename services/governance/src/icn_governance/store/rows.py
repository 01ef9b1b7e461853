"""Rows as the use cases want them."""

from __future__ import annotations

from typing import Any, Final

from icn.ledger.v1.state_pb2 import MembershipLeaf
from icn_tally.polls.documents import read_draft

from icn_governance.domain.decision import StoredDecision
from icn_governance.domain.organization import Profile
from icn_governance.domain.proposal import CountedResult, LotShare, Proposal, ProposalState
from icn_governance.usecases.ports import MemberRow, OrganizationRow

Row = tuple[Any, ...]

ORGANIZATIONS: Final = """
    SELECT organization, display_name, kind, description, contact, website, registered_by, update_time_ms,
        is_authority,
        (SELECT count(*) FROM memberships AS m WHERE m.organization = o.organization AND m.status = 2),
        (SELECT count(*) FROM memberships AS m WHERE m.organization = o.organization AND m.status = 1)
    FROM organizations AS o
"""
MEMBERS: Final = """
    SELECT leaf, coalesce((SELECT array_agg(office ORDER BY office) FROM offices AS f
        WHERE f.organization = m.organization AND f.member = m.member), '{}')
    FROM memberships AS m
"""
PROPOSALS: Final = """
    SELECT proposal, organization, proposer, state, draft, create_time_ms, document, document_digest,
        close_time_ms, opening_time_ms, ballots, decision_id, enact_height, position, result, result_digest,
        is_complete, is_carried, winners,
        (SELECT count(DISTINCT voter) FROM openings AS g WHERE g.proposal = p.proposal),
        lots.tellers, lots.commitments, lots.secrets
    FROM proposals AS p, LATERAL (
        SELECT coalesce(array_agg(teller ORDER BY teller), '{}') AS tellers,
            coalesce(array_agg(commitment ORDER BY teller), '{}') AS commitments,
            coalesce(array_agg(secret ORDER BY teller), '{}') AS secrets
        FROM lots AS l WHERE l.proposal = p.proposal
    ) AS lots
"""
DECISIONS: Final = """
    SELECT decision_id, body, text, create_time_ms, enact_height,
        (SELECT count(*) FROM countersignatures AS c WHERE c.decision_id = d.decision_id), position
    FROM decisions AS d
"""


def organization_of(row: Row) -> OrganizationRow:
    """From the columns of ORGANIZATIONS."""
    return OrganizationRow(Profile(*row[:6]), *row[6:])


def member_of(row: Row) -> MemberRow:
    """From the columns of MEMBERS."""
    return MemberRow(MembershipLeaf.FromString(row[0]), tuple(row[1]))


def proposal_of(row: Row) -> Proposal:
    """From the columns of PROPOSALS."""
    result = None
    if row[14] is not None:
        result = CountedResult(row[14], row[15], row[16], row[17], tuple(row[18]))
    shares = {
        teller: LotShare(teller, commitment, secret)
        for teller, commitment, secret in zip(row[20], row[21], row[22], strict=True)
    }
    return Proposal(
        proposal=row[0],
        organization=row[1],
        proposer=row[2],
        state=ProposalState(row[3]),
        draft=row[4],
        create_time_ms=row[5],
        document=row[6],
        document_digest=row[7],
        close_time_ms=row[8],
        opening_time_ms=row[9],
        ballots=row[10],
        openings=row[19],
        result=result,
        decision_id=row[11],
        enact_height=row[12],
        lots=tuple(shares[teller] for teller in read_draft(row[4]).tellers),
        position=row[13],
    )


def decision_of(row: Row) -> StoredDecision:
    """From the columns of DECISIONS."""
    return StoredDecision(
        decision_id=row[0],
        body=row[1],
        text=row[2],
        create_time_ms=row[3],
        enact_height=row[4],
        countersignatures=row[5],
        position=row[6],
    )
