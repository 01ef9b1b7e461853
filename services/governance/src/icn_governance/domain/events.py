"""What governance tells others, before it is put into envelopes.

Source: protos/icn/governance/v1/events.proto.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from google.protobuf.message import Message
from icn.governance.v1 import events_pb2 as events

from icn_governance.domain.proposal import Proposal


@dataclass(frozen=True, slots=True)
class Event:
    """One event; the payload's type names the subject."""

    aggregate: str
    """Resource name."""
    tenant: bytes
    """The organization, 16 bytes."""
    payload: Message

    @property
    def subject(self) -> str:
        """``icn.governance.v1.proposal_opened`` for a ProposalOpened."""
        words = re.findall(r"[A-Z][a-z]*", type(self.payload).__name__)
        return f"icn.governance.v1.{'_'.join(words).lower()}"


def organization_registered(organization: bytes, kind: str) -> Event:
    """It said who it is."""
    return Event(
        f"organizations/{organization.hex()}",
        organization,
        events.OrganizationRegistered(organization=organization, kind=kind),
    )


def proposal_drafted(proposal: Proposal) -> Event:
    """A draft is kept."""
    return _of_proposal(
        proposal,
        events.ProposalDrafted(
            proposal=proposal.proposal, organization=proposal.organization, proposer=proposal.proposer
        ),
    )


def proposal_opened(proposal: Proposal) -> Event:
    """The ledger takes ballots."""
    return _of_proposal(
        proposal,
        events.ProposalOpened(
            proposal=proposal.proposal,
            organization=proposal.organization,
            document_digest=proposal.document_digest,
            close_time_ms=proposal.close_time_ms,
        ),
    )


def proposal_closed(proposal: Proposal, ballots: int, openings: int) -> Event:
    """Block time has passed the end of the poll."""
    return _of_proposal(
        proposal,
        events.ProposalClosed(
            proposal=proposal.proposal,
            organization=proposal.organization,
            ballots=ballots,
            openings=openings,
        ),
    )


def result_computed(proposal: Proposal) -> Event:
    """Counted."""
    assert proposal.result is not None, "told once there is a result"
    return _of_proposal(
        proposal,
        events.ResultComputed(
            proposal=proposal.proposal,
            organization=proposal.organization,
            result_digest=proposal.result.digest,
            is_complete=proposal.result.is_complete,
            is_carried=proposal.result.is_carried,
            decision_id=proposal.decision_id,
        ),
    )


def decision_proposed(decision_id: bytes, authority: bytes, poll: bytes) -> Event:
    """Members may countersign it."""
    return _of_decision(
        decision_id,
        authority,
        events.DecisionProposed(decision_id=decision_id, authority=authority, poll=poll),
    )


def countersignature_received(
    decision_id: bytes, authority: bytes, signer: bytes, countersignatures: int
) -> Event:
    """One more."""
    return _of_decision(
        decision_id,
        authority,
        events.CountersignatureReceived(
            decision_id=decision_id,
            authority=authority,
            signer=signer,
            countersignatures=countersignatures,
        ),
    )


def decision_enacted(decision_id: bytes, authority: bytes, poll: bytes, height: int) -> Event:
    """The ledger says that it is in force."""
    return _of_decision(
        decision_id,
        authority,
        events.DecisionEnacted(decision_id=decision_id, authority=authority, poll=poll, height=height),
    )


def _of_proposal(proposal: Proposal, payload: Message) -> Event:
    return Event(f"proposals/{proposal.proposal.hex()}", proposal.organization, payload)


def _of_decision(decision_id: bytes, authority: bytes, payload: Message) -> Event:
    return Event(f"decisions/{decision_id.hex()}", authority, payload)
