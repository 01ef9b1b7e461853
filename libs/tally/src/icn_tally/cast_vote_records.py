"""Files of cast-vote records: one line for ballots with equal marks, a column for each rank.

Source: docs/spec/voting.md, "Cast-vote records".
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from icn_tally.ballots import (
    BALLOTS_MAX,
    CANDIDATES_MAX,
    WEIGHT_MAX,
    Ballots,
    Ranking,
    name_fault,
    single_ranks,
)
from icn_tally.contest import Contest, checked_weight, lines_of, shown, text_of, whole_number
from icn_tally.faults import InvalidFile

Overvotes: TypeAlias = Literal["skip", "end"]
RANKS_MAX: Final = 1_000
"""Columns of ranks."""
COUNT: Final = "count"


@dataclass(frozen=True, slots=True)
class Marks:
    """How the cells of a file are to be read."""

    candidates: tuple[str, ...] = ()
    """Names in the order of their numbers; empty to number them as they appear."""
    overvote: str = "overvote"
    skipped: str = "undervote"
    """What a rank left blank says, besides nothing at all."""
    write_in: str = ""
    """What stands for candidates that nobody declared: one more candidate, the last. Empty where there are
    none."""
    overvotes: Overvotes = "end"
    """What a rank with several marks does: nothing, or end the ballot."""
    skipped_max: int | None = None
    """Ranks left blank one after the other; more end the ballot. None: any number."""
    ranks_max: int | None = None
    """Ranks that count."""
    repeat_ends: bool = False
    """Whether a candidate that stands twice ends the ballot, at the second place; else that place is
    nothing."""
    blank_is_write_in: bool = False
    """Whether an empty cell is a vote for undeclared write-ins."""


def read_cast_vote_records(content: bytes, marks: Marks) -> Contest:
    """The ballots of a file.

    Raises:
        InvalidFile: not of this format.
    """
    lines = lines_of(content)
    texts = (text_of(line, number) for number, line in enumerate(lines, start=1))
    rows = csv.reader(texts, strict=True)
    reader = _Reader(marks)
    try:
        for row in rows:
            if row:
                reader.add(row, rows.line_num)
    except csv.Error as error:
        raise InvalidFile(max(rows.line_num, 1), f"not of the form of CSV: {error}") from None
    return reader.contest(max(rows.line_num, 1))


class _Reader:
    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.numbers = {name: number for number, name in enumerate(marks.candidates, start=1)}
        if marks.write_in and marks.candidates:
            self.numbers[marks.write_in] = len(marks.candidates) + 1
        self.header: list[str] = []
        self.rankings: list[list[int]] = []
        self.weights: list[int] = []
        self.total = 0

    def add(self, row: list[str], line: int) -> None:
        """Read one line."""
        if not self.header:
            self._read_header([cell.strip() for cell in row], line)
            return
        if len(row) != len(self.header):
            raise InvalidFile(line, f"{len(row)} columns, the first line has {len(self.header)}")
        cells = [cell.strip() for cell in row]
        weight = 1
        if COUNT in self.header:
            weight = checked_weight(whole_number(cells.pop(self.header.index(COUNT)), line, COUNT), line)
        self.total += weight
        if self.total > WEIGHT_MAX or len(self.weights) == BALLOTS_MAX:
            raise InvalidFile(line, f"more than {BALLOTS_MAX} lines or {WEIGHT_MAX} ballots")
        self.rankings.append(self._preferences(cells, line))
        self.weights.append(weight)

    def contest(self, line: int) -> Contest:
        """What was read, up to a line."""
        if not self.weights:
            raise InvalidFile(line, "there is no ballot")
        if not self.numbers:
            raise InvalidFile(1, "no candidate is named")
        alone = single_ranks(len(self.numbers))
        ranked: list[Ranking] = [tuple(alone[number] for number in found) for found in self.rankings]
        return Contest(Ballots(tuple(self.numbers), ranked, self.weights))

    def _read_header(self, header: list[str], line: int) -> None:
        ranks = [name for name in header if name != COUNT]
        if not 1 <= len(ranks) <= RANKS_MAX:
            raise InvalidFile(line, f"{len(ranks)} columns of ranks; there can be 1 to {RANKS_MAX}")
        if len(header) > len(ranks) + 1:
            raise InvalidFile(line, f"more than one column {COUNT}")
        for place, name in enumerate(ranks, start=1):
            if name != f"rank{place}":
                raise InvalidFile(line, f"the column rank{place} is expected, not {shown(name)}")
        self.header = header

    def _preferences(self, cells: Sequence[str], line: int) -> list[int]:
        """Candidates in order, up to where the ballot ends."""
        found: list[int] = []
        blanks = 0
        for place, cell in enumerate(cells[: self.marks.ranks_max], start=1):
            if cell == self.marks.skipped or (not cell and not self.marks.blank_is_write_in):
                blanks += 1
                continue
            if self.marks.skipped_max is not None and blanks > self.marks.skipped_max:
                break
            blanks = 0
            if cell == self.marks.overvote:
                if self.marks.overvotes == "end":
                    break
                continue
            number = self._number(cell or self.marks.write_in, line, place)
            if number not in found:
                found.append(number)
            elif self.marks.repeat_ends:
                break
        return found

    def _number(self, name: str, line: int, place: int) -> int:
        number = self.numbers.get(name)
        if number is None:
            if self.marks.candidates:
                raise InvalidFile(line, f"rank{place}: {shown(name)} is no candidate")
            if len(self.numbers) == CANDIDATES_MAX:
                raise InvalidFile(line, f"more than {CANDIDATES_MAX} candidates")
            if fault := name_fault(name):
                raise InvalidFile(line, f"rank{place}: {fault}")
            number = self.numbers[name] = len(self.numbers) + 1
        return number
