"""What is scored apart."""

from __future__ import annotations

from collections.abc import Sequence

from icn_reputation.domain.dimensions import DIMENSIONS, Dimension
from icn_reputation.usecases.ports import DimensionRow, ScoreReader


async def list_dimensions(reader: ScoreReader) -> Sequence[tuple[Dimension, DimensionRow]]:
    """All dimensions by name, those without evidence too; there are few."""
    stored = {row.name: row for row in await reader.dimensions()}
    return [
        (dimension, stored.get(name, DimensionRow(name, 0, None))) for name, dimension in DIMENSIONS.items()
    ]
