"""Files of ballots as CSV: a first line that names columns, then one line for equal ballots.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Final

from icn_tally.ballots import BALLOTS_MAX, WEIGHT_MAX
from icn_tally.contest import checked_weight, lines_of, text_of, whole_number
from icn_tally.faults import InvalidFile

COUNT: Final = "count"
"""A column that says how many ballots a line stands for; 1 where there is none."""


class CsvBallots:
    """The header of a file, and its lines as they are asked for."""

    def __init__(self, content: bytes) -> None:
        """Read the header.

        Raises:
            InvalidFile: there is none, or it is not of the form.
        """
        self._lines = content.count(b"\n") + 1
        line, columns, self._rows = csv_table(content)
        self._count = columns.index(COUNT) if COUNT in columns else None
        self.line = line
        """Where the header stands."""
        self.columns = [name for name in columns if name != COUNT]
        """Of everything but the count."""
        if len(columns) > len(self.columns) + 1:
            raise InvalidFile(line, f"more than one column {COUNT}")

    def bundles(self) -> Iterator[tuple[int, list[str], int]]:
        """Line, cells without the count, and weight.

        Raises:
            InvalidFile: a line is not of the form, or there is too much or nothing.
        """
        total = 0
        for amount, (line, cells) in enumerate(self._rows, start=1):
            weight = 1
            if self._count is not None:
                weight = checked_weight(whole_number(cells.pop(self._count), line, COUNT), line)
            total += weight
            if total > WEIGHT_MAX or amount > BALLOTS_MAX:
                raise InvalidFile(line, f"more than {BALLOTS_MAX} lines or {WEIGHT_MAX} ballots")
            yield line, cells, weight
        if total == 0:
            raise InvalidFile(self._lines, "there is no ballot")


def csv_table(content: bytes) -> tuple[int, list[str], Iterator[tuple[int, list[str]]]]:
    """Line and cells of the header, and of each row as they are asked for; empty lines are left out.

    Raises:
        InvalidFile: not of the form of CSV, or empty; a row that has more or fewer cells than the header.
    """
    rows = _rows(content)
    line, header = next(rows, (1, []))
    return line, header, (_of_width(len(header), row, cells) for row, cells in rows)


def _of_width(columns: int, line: int, cells: list[str]) -> tuple[int, list[str]]:
    if len(cells) != columns:
        raise InvalidFile(line, f"{len(cells)} columns, the first line has {columns}")
    return line, cells


def _rows(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Line numbers, and cells without blanks around them."""
    lines = lines_of(content)
    rows = csv.reader((text_of(line, number) for number, line in enumerate(lines, start=1)), strict=True)
    try:
        for row in rows:
            if row:
                yield rows.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise InvalidFile(max(rows.line_num, 1), f"not of the form of CSV: {error}") from None
