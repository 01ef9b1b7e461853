"""A score with what it is the sum of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icn_kit.errors import NotFound
from icn_trust.explanation import Contribution, Explanation, explain

from icn_reputation.domain.computation import Computed
from icn_reputation.domain.dimensions import DIMENSIONS
from icn_reputation.domain.principals import identifier_of, name_of
from icn_reputation.usecases.compute_scores import ScoreBook
from icn_reputation.usecases.ports import PairEvidence, ScoreReader

EVIDENCE_NAMED = 20
"""Pieces of evidence named for one contribution (docs/spec/reputation.md, "Explanation")."""


class ExplainedScore(NamedTuple):
    """A score, its parts and the evidence behind each contribution."""

    computed: Computed
    explanation: Explanation
    evidence: Sequence[tuple[Contribution, PairEvidence]]
    rank: int


async def get_score(
    principal: bytes, dimension: str, contributions_max: int, reader: ScoreReader, book: ScoreBook
) -> ExplainedScore:
    """Explain the newest stored score.

    Raises:
        NotFound: DIMENSION_UNKNOWN, or SCORE_UNKNOWN for somebody whom neither evidence nor seeds name.
        ResourceExhausted: EVIDENCE_TOO_LARGE.
    """
    check_dimension(dimension)
    row = await reader.dimension(dimension)
    if row is None or row.computation is None:
        raise _unknown(principal, dimension)
    computed = await book.computed(row.computation.basis)
    try:
        explanation = explain(computed.scores, name_of(principal), named_max=contributions_max)
    except KeyError:
        raise _unknown(principal, dimension) from None
    pieces = await reader.pair_evidence(
        computed.basis,
        principal,
        [identifier_of(contribution.member) for contribution in explanation.contributions],
        EVIDENCE_NAMED,
    )
    return ExplainedScore(
        computed,
        explanation,
        list(zip(explanation.contributions, pieces, strict=True)),
        computed.rank(principal),
    )


def check_dimension(dimension: str) -> None:
    """Raises NotFound: DIMENSION_UNKNOWN."""
    if dimension not in DIMENSIONS:
        raise NotFound("DIMENSION_UNKNOWN", f"nobody scores {dimension[:64]!r}", known=", ".join(DIMENSIONS))


def _unknown(principal: bytes, dimension: str) -> NotFound:
    return NotFound(
        "SCORE_UNKNOWN",
        f"no evidence of {dimension} names {name_of(principal)}, and it is no seed",
        principal=name_of(principal),
        dimension=dimension,
    )
