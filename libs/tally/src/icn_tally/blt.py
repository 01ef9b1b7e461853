"""Reader for BLT, the format of most STV programs.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from icn_tally.ballots import (
    BALLOTS_MAX,
    CANDIDATES_MAX,
    WEIGHT_MAX,
    Ballots,
    Ranking,
    checked_withdrawn,
    name_fault,
    ranking_fault,
    single_ranks,
)
from icn_tally.contest import (
    Contest,
    checked_weight,
    lines_of,
    shown,
    text_of,
    whole_number,
)
from icn_tally.faults import InvalidBallots, InvalidFile
from icn_tally.resting import collector_at_rest

_DIGITS_AND_BLANKS: Final = b"0123456789 \t\r"
_SHORT_LINE_BYTES: Final = 4_000
"""Up to here every number of a line is short enough for `int`."""


@collector_at_rest()
def read_blt(content: bytes) -> Contest:
    """Read a file.

    Raises:
        InvalidFile: with the line and the reason.
    """
    return _Reader(lines_of(content)).read()


class _Reader:
    """Goes through the lines once; ``self.at`` is how many were read, so the number of the last one."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines
        self.at = 0
        self.candidates = 0
        self.numbers: dict[str, int] = {}
        """Of candidates, by what stands for them in ballots."""
        self.withdrawn: list[int] = []
        self.lot_order: tuple[int, ...] | None = None
        self.rankings: list[Ranking] = []
        self.weights: list[int] = []

    def read(self) -> Contest:
        seats = self._read_head()
        first = self._read_options()
        self._read_ballots(first)
        names = self._read_names()
        title = _unquoted(self._next(has_comments=False) or "")
        try:
            withdrawn = checked_withdrawn(self.withdrawn, self.candidates)
        except InvalidBallots as error:
            raise InvalidFile(1, str(error)) from None
        return Contest(
            Ballots(tuple(names), self.rankings, self.weights, withdrawn), title, seats, self.lot_order
        )

    def _next(self, has_comments: bool = True) -> str | None:
        """The next line that is not empty; None at the end."""
        while self.at < len(self.lines):
            self.at += 1
            line = self._line(has_comments)
            if line:
                return line
        return None

    def _line(self, has_comments: bool = True) -> str:
        """The line at hand, without its comment where there can be one."""
        line = text_of(self.lines[self.at - 1], self.at)
        return line.partition("#")[0].rstrip() if has_comments else line

    def _fault(self, fault: str) -> InvalidFile:
        return InvalidFile(max(self.at, 1), fault)

    def _read_head(self) -> int:
        words = (self._next() or "").split()
        if len(words) != 2:
            raise self._fault("the number of candidates and of seats are expected")
        self.candidates = whole_number(words[0], self.at, "candidates")
        if not 1 <= self.candidates <= CANDIDATES_MAX:
            raise self._fault(f"{self.candidates} candidates; there can be 1 to {CANDIDATES_MAX}")
        seats = whole_number(words[1], self.at, "seats")
        if not 1 <= seats <= self.candidates:
            raise self._fault(f"{seats} seats for {self.candidates} candidates")
        self.numbers = {str(number): number for number in range(1, self.candidates + 1)}
        return seats

    def _read_options(self) -> int:
        """Lines before the ballots; the place of the first line that is none of them."""
        while True:
            before = self.at
            line = self._next()
            if line is None:
                raise self._fault("the file ends before its ballots do")
            if line.startswith("["):
                self._read_option(line)
            elif line.startswith("-"):
                words = line.split()
                if words[-1] == "0":
                    raise self._fault(f"a ballot begins with a weight of 1 or more, not {shown(words[0])}")
                for word in words:
                    self._withdraw(word[1:] if word.startswith("-") else word)
            else:
                return before

    def _read_option(self, line: str) -> None:
        if not line.endswith("]"):
            raise self._fault("an option in brackets ends on its line")
        name, *words = line[1:-1].split() or [""]
        if name == "withdrawn":
            for word in words:
                self._withdraw(word)
        elif name == "tie":
            if self.lot_order is not None:
                raise self._fault("the order of lots stands twice")
            self.lot_order = tuple(self._number(word) for word in words)
            if sorted(self.lot_order) != list(range(1, self.candidates + 1)):
                raise self._fault("the order of lots names each candidate once")
        elif name == "nick":
            self._read_short_names(words)
        else:
            raise self._fault(f"unknown option {shown(name)}; there are nick, tie and withdrawn")

    def _read_short_names(self, words: Sequence[str]) -> None:
        if len(words) != self.candidates:
            raise self._fault(f"{len(words)} short names for {self.candidates} candidates")
        for number, word in enumerate(words, start=1):
            if word[0] in "-[" or "=" in word or word.isdigit() or word in self.numbers:
                raise self._fault(f"{shown(word)} cannot be a short name, or stands twice")
            self.numbers[word] = number

    def _withdraw(self, word: str) -> None:
        number = self._number(word)
        if number in self.withdrawn:
            raise self._fault(f"candidate {number} is withdrawn twice")
        self.withdrawn.append(number)

    def _number(self, word: str) -> int:
        number = self.numbers.get(word)
        if word == "-":
            raise self._fault("a skipped rank, -, is not read: what it means differs from rule to rule")
        if number is None:
            raise self._fault(f"there is no candidate {shown(word)}; numbers go from 1 to {self.candidates}")
        return number

    def _read_ballots(self, first: int) -> None:
        """Ballots from the line after ``first`` on, up to the line with a zero."""
        rank_of = single_ranks(self.candidates).__getitem__
        rankings, weights = self.rankings, self.weights
        total = 0
        for at in range(first + 1, len(self.lines) + 1):
            self.at = at
            line = self.lines[at - 1]
            # Nearly all lines hold nothing but numbers, and get by with a few calls.
            if len(line) <= _SHORT_LINE_BYTES and not line.translate(None, _DIGITS_AND_BLANKS):
                numbers = [*map(int, line.split())]
                if len(numbers) > 1 and numbers[-1] == 0 and 1 <= numbers[0] <= WEIGHT_MAX:
                    weight = numbers[0]
                    preferences = numbers[1:-1]
                    try:
                        ranking: Ranking = (*map(rank_of, preferences),)
                    except KeyError:
                        pass  # named below
                    else:
                        if len({*preferences}) == len(preferences):
                            rankings.append(ranking)
                            weights.append(weight)
                            total += weight
                            continue
            text = self._line()
            if not text:
                continue
            if text == "0":
                self._check_amount(total)
                return
            weight, ranking = self._read_ballot(text)
            rankings.append(ranking)
            weights.append(weight)
            total += weight
        raise self._fault("the file ends before the line 0 that ends the ballots")

    def _check_amount(self, total: int) -> None:
        if not self.rankings:
            raise self._fault("there is no ballot before this line")
        if len(self.rankings) > BALLOTS_MAX:
            raise self._fault(f"more than {BALLOTS_MAX} lines of ballots")
        if total > WEIGHT_MAX:
            raise self._fault(f"all weights together are more than {WEIGHT_MAX}")

    def _read_ballot(self, text: str) -> tuple[int, Ranking]:
        """A ballot with equal ranks or short names, or one with a fault."""
        words = text.split()
        if words[0].startswith("(") and words[0].endswith(")") and len(words) > 1:
            words = words[1:]  # a ballot's own name
        weight = checked_weight(whole_number(words[0], self.at, "weight"), self.at)
        if len(words) == 1 or words[-1] != "0":
            raise self._fault("a ballot ends with 0")
        ranking = tuple(tuple(sorted(self._number(part) for part in word.split("="))) for word in words[1:-1])
        if fault := ranking_fault(ranking, self.candidates):
            raise self._fault(fault)
        return weight, ranking

    def _read_names(self) -> list[str]:
        names: list[str] = []
        while len(names) < self.candidates:
            line = self._next(has_comments=False)
            if line is None:
                raise self._fault(f"the file ends after {len(names)} of {self.candidates} names")
            name = _unquoted(line)
            if fault := name_fault(name):
                raise self._fault(fault)
            names.append(name)
        return names


_COMMENTED: Final = re.compile(r'"([^"]*)"\s*#.*')


def _unquoted(text: str) -> str:
    if commented := _COMMENTED.fullmatch(text):
        return commented[1]
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1]
    return text
