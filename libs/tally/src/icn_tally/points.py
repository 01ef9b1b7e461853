"""Files of points: a column for each candidate.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from icn_tally.ballots import CANDIDATES_MAX, MARK_MAX, Ballots, Marks, Ranking, by_marks, name_fault
from icn_tally.contest import Contest, shown
from icn_tally.csv_ballots import CsvBallots
from icn_tally.faults import InvalidFile

_POINTS: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)


def read_points(content: bytes) -> Contest:
    """The ballots of a file, whose columns are the candidates; an empty cell gives no points.

    Raises:
        InvalidFile: not of this format.
    """
    file = CsvBallots(content)
    names = _names(file)
    rankings: list[Ranking] = []
    marks: list[Marks] = []
    weights: list[int] = []
    for line, cells, weight in file.bundles():
        ranking, given = by_marks(_given(cells, names, line))
        rankings.append(ranking)
        marks.append(given)
        weights.append(weight)
    return Contest(Ballots(names, rankings, weights, marks=marks))


def _names(file: CsvBallots) -> tuple[str, ...]:
    if not 1 <= len(file.columns) <= CANDIDATES_MAX:
        raise InvalidFile(file.line, f"{len(file.columns)} candidates; there can be 1 to {CANDIDATES_MAX}")
    for name in file.columns:
        if fault := name_fault(name):
            raise InvalidFile(file.line, f"{shown(name)}: {fault}")
    if len(set(file.columns)) < len(file.columns):
        raise InvalidFile(file.line, "a candidate stands twice")
    return tuple(file.columns)


def _given(cells: Sequence[str], names: Sequence[str], line: int) -> dict[int, int]:
    """Points by candidate's number."""
    found = {}
    for number, cell in enumerate(cells, start=1):
        if not cell:
            continue
        if not _POINTS.fullmatch(cell) or abs(int(cell)) > MARK_MAX:
            fault = f"a whole number up to {MARK_MAX} is expected, not {shown(cell)}"
            raise InvalidFile(line, f"{shown(names[number - 1])}: {fault}")
        found[number] = int(cell)
    return found
