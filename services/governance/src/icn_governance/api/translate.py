"""What the use cases know as the protos show it."""

from __future__ import annotations

from icn.governance.v1 import service_pb2 as messages
from icn_tally.polls.actions import describe_action
from icn_tally.polls.commitments import Opening

from icn_governance.domain.decision import StoredDecision
from icn_governance.domain.proposal import LotShare, Proposal
from icn_governance.usecases.ports import MemberRow, OrganizationRow


def organization(row: OrganizationRow) -> messages.Organization:
    """An organization."""
    profile = row.profile
    return messages.Organization(
        name=f"organizations/{profile.organization.hex()}",
        display_name=profile.display_name,
        kind=profile.kind,
        description=profile.description,
        contact=profile.contact,
        website=profile.website,
        registered_by=_principal(row.registered_by),
        update_time_ms=row.update_time_ms,
        is_authority=row.is_authority,
        members=row.members,
        applicants=row.applicants,
    )


def member(row: MemberRow) -> messages.Member:
    """A membership."""
    return messages.Member(membership=row.leaf, offices=row.offices)


def proposal(stored: Proposal, *, with_documents: bool = True) -> messages.Proposal:
    """A proposal; lists leave its documents out."""
    draft = stored.read_draft()
    shown = messages.Proposal(
        name=f"proposals/{stored.proposal.hex()}",
        organization=f"organizations/{stored.organization.hex()}",
        proposer=_principal(stored.proposer),
        state=messages.ProposalState.Name(stored.state),
        title=draft.title,
        question=draft.question,
        rule=draft.rule,
        candidates=draft.candidates,
        seats=draft.seats,
        electorate=draft.ledger_electorate,
        actions=[describe_action(action) for action in draft.actions],
        document_digest=stored.document_digest,
        close_time_ms=stored.close_time_ms,
        opening_time_ms=stored.opening_time_ms,
        lots=[_lot(share) for share in stored.lots],
        ballots=stored.ballots,
        openings=stored.openings,
        decision=f"decisions/{stored.decision_id.hex()}" if stored.decision_id else "",
        create_time_ms=stored.create_time_ms,
        enact_height=stored.enact_height,
    )
    if with_documents:
        shown.draft = stored.draft
        shown.document = stored.document
    if stored.result is not None:
        shown.result_digest = stored.result.digest
        shown.is_complete = stored.result.is_complete
        shown.is_carried = stored.result.is_carried
        shown.winners.extend(stored.result.winners)
    return shown


def opening(opened: Opening) -> messages.Opening:
    """An opening."""
    return messages.Opening(voter=_principal(opened.voter), salt=opened.salt, ballot=opened.ballot)


def decision(stored: StoredDecision, block_time_ms: int, needed: int = 0) -> messages.Decision:
    """A decision as of a block time."""
    read = stored.read()
    return messages.Decision(
        name=f"decisions/{stored.decision_id.hex()}",
        body=stored.body,
        authority=f"organizations/{read.authority.hex()}",
        proposal=f"proposals/{read.poll.hex()}" if read.poll else "",
        subject=read.subject,
        text=stored.text,
        expire_time_ms=read.expire_time_ms,
        state=messages.DecisionState.Name(stored.state(block_time_ms)),
        countersignatures=stored.countersignatures,
        countersignatures_needed=needed,
        enact_height=stored.enact_height,
        create_time_ms=stored.create_time_ms,
        actions=[describe_action(action) for action in read.actions],
    )


def _lot(share: LotShare) -> messages.LotShare:
    return messages.LotShare(
        teller=_principal(share.teller), commitment=share.commitment, secret=share.secret
    )


def _principal(identifier: bytes) -> str:
    return f"principals/{identifier.hex()}" if identifier else ""
