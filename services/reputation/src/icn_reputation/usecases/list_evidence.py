"""Evidence, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from icn_trust.evidence import Kind

from icn_reputation.usecases.get_score import check_dimension
from icn_reputation.usecases.ports import NumberedEvidence, ScoreReader


async def list_evidence(
    dimension: str,
    about: bytes,
    who: bytes,
    before: int | None,
    *,
    kind: Kind | None,
    limit: int,
    reader: ScoreReader,
) -> Sequence[NumberedEvidence]:
    """Evidence about ``about`` from ``who`` with a number below ``before``, latest first; empty is anybody.
    Of one ``kind``, or of both when it is None.

    Raises:
        NotFound: DIMENSION_UNKNOWN.
    """
    check_dimension(dimension)
    return await reader.evidence(dimension, about, who, before, limit, kind=kind)
