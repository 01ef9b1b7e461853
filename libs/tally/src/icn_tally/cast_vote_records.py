"""Files of cast-vote records: one line for ballots with equal marks, a column for each rank.

Source: docs/spec/voting.md, "Cast-vote records".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from icn_tally.ballots import CANDIDATES_MAX, Ballots, Ranking, name_fault, single_ranks
from icn_tally.contest import Contest, shown
from icn_tally.csv_ballots import CsvBallots
from icn_tally.faults import InvalidFile

Overvotes: TypeAlias = Literal["skip", "end"]
RANKS_MAX: Final = 1_000
"""Columns of ranks."""


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
    file = CsvBallots(content)
    _check_header(file)
    reader = _Reader(marks)
    for line, cells, weight in file.bundles():
        reader.add(cells, weight, line)
    return reader.contest()


def _check_header(file: CsvBallots) -> None:
    if not 1 <= len(file.columns) <= RANKS_MAX:
        raise InvalidFile(file.line, f"{len(file.columns)} columns of ranks; there can be 1 to {RANKS_MAX}")
    for place, name in enumerate(file.columns, start=1):
        if name != f"rank{place}":
            raise InvalidFile(file.line, f"the column rank{place} is expected, not {shown(name)}")


class _Reader:
    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.numbers = {name: number for number, name in enumerate(marks.candidates, start=1)}
        if marks.write_in and marks.candidates:
            self.numbers[marks.write_in] = len(marks.candidates) + 1
        self.rankings: list[list[int]] = []
        self.weights: list[int] = []

    def add(self, cells: Sequence[str], weight: int, line: int) -> None:
        """Read one line."""
        self.rankings.append(self._preferences(cells, line))
        self.weights.append(weight)

    def contest(self) -> Contest:
        """What was read."""
        if not self.numbers:
            raise InvalidFile(1, "no candidate is named")
        alone = single_ranks(len(self.numbers))
        ranked: list[Ranking] = [tuple(alone[number] for number in found) for found in self.rankings]
        return Contest(Ballots(tuple(self.numbers), ranked, self.weights))

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
