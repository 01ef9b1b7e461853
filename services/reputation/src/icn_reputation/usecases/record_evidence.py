"""What an ended commitment leaves here."""

from __future__ import annotations

from icn_reputation.domain.commitments import EndedCommitment, evidence_of
from icn_reputation.usecases.ports import EvidenceWriter


async def record_evidence(ended: EndedCommitment, evidence: EvidenceWriter) -> int | None:
    """Store the piece; its number, or None when it was known.

    Raises:
        InvalidArgument: DIMENSION_UNKNOWN or EVIDENCE_INVALID.
        FailedPrecondition: EVIDENCE_CONFLICT.
    """
    return await evidence.add(evidence_of(ended))
