"""The table's rows: a bar for each configuration, and whether what was measured keeps it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

NOT_MEASURED: Final = "not measured"

Rounds = Sequence[float]
"""A figure as each round had it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    key: str
    title: str
    write: Callable[[float], str]
    bar: Mapping[str, float] = field(default_factory=dict)
    """By configuration, for the median; absent: none."""
    more_is_better: bool = False


def is_met(row: Row, configuration: str, value: float) -> bool | None:
    """Whether a median keeps the bar; None where there is none."""
    bar = row.bar.get(configuration)
    if bar is None:
        return None
    return value >= bar if row.more_is_better else value <= bar


def cell(row: Row, configuration: str, rounds: Rounds) -> str:
    """Median, extremes, bar and verdict."""
    if not rounds:
        return NOT_MEASURED
    middle = statistics.median(rounds)
    said = row.write(middle)
    if len(rounds) > 1:
        said += f" ({row.write(min(rounds))} to {row.write(max(rounds))})"
    met = is_met(row, configuration, middle)
    if met is None:
        return said
    sign = "≥" if row.more_is_better else "≤"
    return f"{said}, bar {sign} {row.write(row.bar[configuration])}: {'met' if met else '**missed**'}"


def table(rows: Sequence[Row], measured: Mapping[str, Mapping[str, Rounds]]) -> str:
    """Markdown: a row per figure, a column per configuration."""
    lines = ["| figure | " + " | ".join(measured) + " |", "|" + "---|" * (len(measured) + 1)]
    for row in rows:
        cells = [cell(row, name, figures.get(row.key, ())) for name, figures in measured.items()]
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
