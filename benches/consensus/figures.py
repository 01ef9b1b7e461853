"""What is computed from what was measured: percentiles, gaps, medians of pairs, and the table's rows."""

from __future__ import annotations

import bisect
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NOT_MEASURED: Final = "not measured"


class Heights:
    """When the loader heard of each height that one node has applied, ascending."""

    def __init__(self) -> None:
        self.heights: list[int] = []
        self.at_seconds: list[float] = []

    def note(self, height: int, at_seconds: float) -> None:
        """Take one height; an old one heard again says nothing new."""
        if not self.heights or height > self.heights[-1]:
            self.heights.append(height)
            self.at_seconds.append(at_seconds)

    def applied_at(self, height: int) -> float | None:
        """When the node had applied this height; None when it has not."""
        place = bisect.bisect_left(self.heights, height)
        return self.at_seconds[place] if place < len(self.heights) else None


def applied_on_all(nodes: Sequence[Heights], height: int) -> float | None:
    """When the last of the nodes had applied this height; None while one has not."""
    times = [node.applied_at(height) for node in nodes]
    known = [at for at in times if at is not None]
    return max(known) if len(known) == len(times) else None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    assert values and 0 < share <= 1, "there is something to look at"
    ascending = sorted(values)
    return ascending[max(0, -(-round(len(ascending) * share * 1_000) // 1_000) - 1)]


def longest_gap(times: Sequence[float], begin: float, end: float) -> float:
    """The longest stretch of [begin, end] without any of the times in it."""
    inside = [at for at in sorted(times) if begin < at < end]
    edges = [begin, *inside, end]
    return max(later - earlier for earlier, later in itertools.pairwise(edges))


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the table: how it is written, and the bars that hold for it."""

    key: str
    title: str
    write: Callable[[float], str]
    bar: Mapping[str, float]
    """By configuration of ICN: what its ratio to the tuned peer may be; absent: no bar."""
    more_is_better: bool = False
    is_only_ours: bool = False
    """The peer has nothing of the kind."""
    is_absolute: bool = False
    """The bar is for ICN's own median, not for the ratio."""


Rounds = Mapping[int, float]
"""A figure by the number of the round that it was measured in."""


def ratio(ours: Rounds, theirs: Rounds) -> float | None:
    """Median of the ratios of the rounds that have both; None when none has."""
    pairs = [ours[number] / theirs[number] for number in ours.keys() & theirs.keys()]
    return statistics.median(pairs) if pairs else None


def is_met(row: Row, label: str, reached: float) -> bool | None:
    """Whether a ratio keeps the bar; None where there is none."""
    bar = row.bar.get(label)
    if bar is None:
        return None
    return reached >= bar if row.more_is_better else reached <= bar


def cell(row: Row, rounds: Rounds) -> str:
    """Median with the extremes."""
    if not rounds:
        return NOT_MEASURED
    values = rounds.values()
    middle = row.write(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({row.write(min(values))} to {row.write(max(values))})"


def verdict(row: Row, label: str, ours: Rounds, theirs: Rounds) -> str:
    """The ratio to the tuned peer, and whether the bar is kept."""
    reached = ratio(ours, theirs)
    said = NOT_MEASURED if reached is None else f"{reached:.2f} ×"
    if row.is_absolute:
        reached = statistics.median(ours.values()) if ours else None
    if row.is_only_ours:
        said = NOT_MEASURED if reached is None else row.write(reached)
    met = None if reached is None else is_met(row, label, reached)
    if met is None:
        return said
    sign = "≥" if row.more_is_better else "≤"
    bar = row.write(row.bar[label]) if row.is_absolute else f"{row.bar[label]:g}"
    return f"{said} (bar {sign} {bar}: {'met' if met else '**missed**'})"


def table(
    rows: Sequence[Row],
    measured: Mapping[str, Mapping[str, Rounds]],
    ours: Sequence[str],
    theirs: Sequence[str],
) -> str:
    """Markdown: a row per figure; columns of ours, of the peers (the tuned first), then our ratios to it."""
    columns = ["figure", *ours, *theirs, *(f"{label} to {theirs[0]}" for label in ours)]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        values = {label: measured.get(label, {}).get(row.key, {}) for label in (*ours, *theirs)}
        cells = [row.title, *(cell(row, values[label]) for label in ours)]
        if row.is_only_ours:
            cells += ["none"] * len(theirs)
        else:
            cells += [cell(row, values[label]) for label in theirs]
        if row.is_absolute or not row.is_only_ours:
            cells += [verdict(row, label, values[label], values[theirs[0]]) for label in ours]
        else:
            cells += [""] * len(ours)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
