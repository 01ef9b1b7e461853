"""Stored scores, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from icn_reputation.usecases.get_score import check_dimension
from icn_reputation.usecases.ports import ScoreReader, ScoreRow


async def list_scores(
    dimension: str, after: tuple[int, bytes] | None, limit: int, reader: ScoreReader
) -> Sequence[ScoreRow]:
    """Scores of one dimension behind a place, highest first, then by principal.

    Raises:
        NotFound: DIMENSION_UNKNOWN.
    """
    check_dimension(dimension)
    return await reader.scores(dimension, after, limit)


async def list_scores_of(principal: bytes, dimension: str, reader: ScoreReader) -> Sequence[ScoreRow]:
    """One principal's scores by dimension: of each, or of the one that is named. There are few dimensions.

    Raises:
        NotFound: DIMENSION_UNKNOWN.
    """
    if dimension:
        check_dimension(dimension)
    return [row for row in await reader.scores_of(principal) if dimension in ("", row.dimension)]
