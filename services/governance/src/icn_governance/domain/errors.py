"""Refusals of governance; the reasons stand beside each RPC in ``protos/icn/governance/v1/service.proto``."""

from __future__ import annotations

from icn_kit.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)
from icn_tally.polls.forms import InvalidDocument
from icn_tally.polls.rules import Shortfall

COMMANDS_PER_DAY_MAX = 300
"""Of one principal: more than a busy secretary writes, and at most 18 MB a day on the disk."""
DOCUMENTS_PER_PROPOSAL_MAX = 16
"""A proposer tries again a few times; more only fills the disk."""


def organization_unknown(organization: bytes) -> NotFound:
    """Nobody has said who it is, and it has no members."""
    return NotFound("ORGANIZATION_UNKNOWN", f"no organization {organization.hex()}", id=organization.hex())


def proposal_unknown(proposal: bytes) -> NotFound:
    """No draft has this id."""
    return NotFound("PROPOSAL_UNKNOWN", f"no proposal {proposal.hex()}", id=proposal.hex())


def proposal_exists(proposal: bytes) -> AlreadyExists:
    """Another draft has this id."""
    return AlreadyExists("PROPOSAL_EXISTS", f"proposal {proposal.hex()} is there already", id=proposal.hex())


def decision_unknown(decision_id: bytes) -> NotFound:
    """No decision of this id came here."""
    return NotFound("DECISION_UNKNOWN", f"no decision {decision_id.hex()}", id=decision_id.hex())


def not_of_the_organization(principal: bytes, organization: bytes) -> PermissionDenied:
    """The principal may not speak for the organization."""
    return PermissionDenied(
        "NOT_OF_THE_ORGANIZATION",
        f"principal {principal.hex()} does not belong to {organization.hex()}",
        principal=principal.hex(),
        organization=organization.hex(),
    )


def not_a_member(principal: bytes, organization: bytes) -> PermissionDenied:
    """No active membership, as the ledger has it."""
    return PermissionDenied(
        "NOT_A_MEMBER",
        f"principal {principal.hex()} is no active member of {organization.hex()}",
        principal=principal.hex(),
        organization=organization.hex(),
    )


def not_the_proposer(principal: bytes, proposal: bytes) -> PermissionDenied:
    """The draft is another's to open."""
    return PermissionDenied(
        "NOT_THE_PROPOSER",
        f"proposal {proposal.hex()} was drafted neither by {principal.hex()} nor by a member of it",
        principal=principal.hex(),
        proposal=proposal.hex(),
    )


def draft_below_rules(shortfall: Shortfall) -> FailedPrecondition:
    """No member's program would countersign what the draft could carry."""
    return _below("DRAFT_BELOW_RULES", shortfall)


def poll_too_short(shortfall: Shortfall) -> FailedPrecondition:
    """The ledger would refuse to open it."""
    return _below("POLL_TOO_SHORT", shortfall)


def _below(reason: str, shortfall: Shortfall) -> FailedPrecondition:
    return FailedPrecondition(reason, shortfall.message, **shortfall.figures)


def not_a_teller(principal: bytes, proposal: bytes) -> PermissionDenied:
    """The draft names others."""
    return PermissionDenied(
        "NOT_A_TELLER",
        f"principal {principal.hex()} is no teller of proposal {proposal.hex()}",
        principal=principal.hex(),
        proposal=proposal.hex(),
    )


def wrong_state(reason: str, proposal: bytes, state: str) -> FailedPrecondition:
    """The proposal has not come so far, or further."""
    return FailedPrecondition(
        reason, f"proposal {proposal.hex()} is {state}", proposal=proposal.hex(), state=state
    )


def malformed(name: str, expected: str) -> InvalidArgument:
    """A field of a request is out of its limits."""
    return InvalidArgument("FIELD_INVALID", f"{name}: {expected}", field=name)


def document_invalid(reason: str, error: InvalidDocument) -> InvalidArgument:
    """A document is not what it should be."""
    return InvalidArgument(reason, str(error), field=error.place)


def too_many_documents(proposal: bytes) -> ResourceExhausted:
    """Somebody announces without opening."""
    return ResourceExhausted(
        "TOO_MANY_DOCUMENTS",
        f"proposal {proposal.hex()} has {DOCUMENTS_PER_PROPOSAL_MAX} documents that were not opened",
        documents_max=DOCUMENTS_PER_PROPOSAL_MAX,
    )


def too_many_commands(principal: bytes) -> ResourceExhausted:
    """Somebody writes more than people do."""
    return ResourceExhausted(
        "TOO_MANY_COMMANDS",
        f"principal {principal.hex()} has sent {COMMANDS_PER_DAY_MAX} commands in 24 hours",
        commands_max=COMMANDS_PER_DAY_MAX,
    )


def result_missing(proposal: bytes) -> FailedPrecondition:
    """Not counted yet."""
    return FailedPrecondition(
        "RESULT_MISSING", f"proposal {proposal.hex()} is not counted yet", proposal=proposal.hex()
    )


def lot_mismatch(teller: bytes) -> InvalidArgument:
    """The secret is not what was committed to."""
    return InvalidArgument(
        "LOT_MISMATCH", "the secret is not the one that the document's commitment hides", teller=teller.hex()
    )
