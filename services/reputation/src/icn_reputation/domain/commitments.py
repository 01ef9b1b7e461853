"""From the end of a commitment to a piece of evidence.

Source: docs/spec/reputation.md, "Evidence from commitments".
"""

from __future__ import annotations

from dataclasses import dataclass

from icn_kit.errors import InvalidArgument
from icn_trust.evidence import Evidence, InvalidEvidence, Kind

from icn_reputation.domain.dimensions import DIMENSIONS
from icn_reputation.domain.principals import IDENTIFIER_BYTES, name_of


@dataclass(frozen=True, slots=True)
class EndedCommitment:
    """What an event says, not yet checked."""

    commitment: bytes
    kind: Kind
    who: bytes
    """To whom it was owed."""
    about: bytes
    """Who owed it."""
    dimension: str
    weight: int
    occurred_at_ms: int
    source: str


def evidence_of(ended: EndedCommitment) -> Evidence:
    """The piece of evidence that a commitment's end is.

    Raises:
        InvalidArgument: DIMENSION_UNKNOWN, or EVIDENCE_INVALID with the field in the message.
    """
    if ended.dimension not in DIMENSIONS:
        raise InvalidArgument(
            "DIMENSION_UNKNOWN", f"nobody scores {ended.dimension[:64]!r}", known=", ".join(DIMENSIONS)
        )
    for field, value in (
        ("commitment", ended.commitment),
        ("who", ended.who),
        ("about", ended.about),
    ):
        if len(value) != IDENTIFIER_BYTES:
            raise InvalidArgument(
                InvalidEvidence.reason, f"{field}: {len(value)} bytes, {IDENTIFIER_BYTES} are needed"
            )
    source = f"commitments/{ended.commitment.hex()}"
    if ended.source != source:
        raise InvalidArgument(InvalidEvidence.reason, f"source_id: {ended.source[:64]!r} is not {source}")
    try:
        return Evidence(
            who=name_of(ended.who),
            about=name_of(ended.about),
            dimension=ended.dimension,
            kind=ended.kind,
            weight=ended.weight,
            occurred_at_ms=ended.occurred_at_ms,
            source_id=ended.source,
        )
    except InvalidEvidence as error:
        raise InvalidArgument(error.reason, str(error)) from None
