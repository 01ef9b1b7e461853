"""Files of participatory budgeting (Pabulib, format .pb).

Source: docs/spec/voting.md, "Files"; http://pabulib.org/format.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from icn_tally.ballots import (
    BALLOTS_MAX,
    CANDIDATES_MAX,
    MARK_MAX,
    Ballots,
    Marks,
    Ranking,
    by_marks,
    name_fault,
)  # fmt: skip
from icn_tally.budgeting import Budgeting
from icn_tally.contest import lines_of, shown, text_of, whole_number
from icn_tally.faults import InvalidFile

META, PROJECTS, VOTES = "META", "PROJECTS", "VOTES"
SECTIONS: Final = (META, PROJECTS, VOTES)
VOTE_TYPES: Final = ("approval", "choose-1", "cumulative", "scoring", "ordinal")
AMOUNT_MAX: Final = 10**15
AMOUNT = re.compile(r"[0-9]{1,16}(?:[.,][0-9]{1,6})?", re.ASCII)
META_MAX: Final = 1_000


def read_pabulib(content: bytes) -> Budgeting:
    """The projects and ballots of a file.

    Raises:
        InvalidFile: not of this format.
    """
    lines = lines_of(content)
    texts = (text_of(line, number) for number, line in enumerate(lines, start=1))
    rows = csv.reader(texts, delimiter=";", strict=False)
    reader = _Reader()
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if any(cells):
                reader.add(cells, rows.line_num)
    except csv.Error as error:
        raise InvalidFile(max(rows.line_num, 1), f"not of the form of CSV: {error}") from None
    return reader.budgeting()


@dataclass(slots=True)
class _Reader:
    section: str = ""
    header: list[str] = field(default_factory=list)
    meta: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Value and line."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Of the projects, by id."""
    names: list[str] = field(default_factory=list)
    costs: list[Fraction] = field(default_factory=list)
    bundles: dict[tuple[Ranking, Marks], int] = field(default_factory=dict)
    vote_type: str = ""
    ordinal_points: int = 0
    votes: int = 0
    line: int = 1

    def add(self, row: list[str], line: int) -> None:
        """Read one line that is not empty."""
        self.line = line
        if len(row) == 1 and row[0].upper() in SECTIONS:
            self._begin(row[0].upper())
        elif not self.section:
            raise InvalidFile(line, f"{META} is expected, not {shown(row[0])}")
        elif not self.header:
            self._read_header([cell.lower() for cell in row])
        elif self.section == META:
            self._add_meta(row)
        elif self.section == PROJECTS:
            self._add_project(self._columns(row))
        else:
            self._add_vote(self._columns(row))

    def budgeting(self) -> Budgeting:
        """What was read."""
        if self.section != VOTES:
            raise InvalidFile(self.line, f"the section {VOTES} is missing")
        if self.votes == 0:
            raise InvalidFile(self.line, "there is no vote")
        self._refuse_wrong_count("num_projects", len(self.names))
        self._refuse_wrong_count("num_votes", self.votes)
        marked = any(marks != (1,) * len(ranking) or len(ranking) > 1 for ranking, marks in self.bundles)
        ballots = Ballots(
            tuple(self.names),
            [ranking for ranking, _ in self.bundles],
            [*self.bundles.values()],
            marks=[marks for _, marks in self.bundles] if marked else (),
        )
        threshold, line = self.meta.get("min_project_score_threshold", ("", self.line))
        return Budgeting(
            ballots,
            tuple(self.numbers),
            tuple(self.costs),
            self._amount_of_meta("budget"),
            self.meta["rule"][0] if "rule" in self.meta else None,
            whole_number(threshold, line, "min_project_score_threshold") if threshold else 0,
        )

    def _begin(self, section: str) -> None:
        place = SECTIONS.index(self.section) + 1 if self.section else 0
        if place == len(SECTIONS) or SECTIONS[place] != section:
            raise InvalidFile(self.line, f"the section {section} does not stand here")
        if section == PROJECTS:
            self._read_vote_type()
        if section == VOTES and not self.names:
            raise InvalidFile(self.line, "there is no project")
        self.section, self.header = section, []

    def _read_header(self, header: list[str]) -> None:
        wanted = {META: ("key", "value"), PROJECTS: ("project_id", "cost"), VOTES: ("voter_id", "vote")}
        needed: tuple[str, ...] = wanted[self.section]
        if self.section == VOTES and self.vote_type in {"cumulative", "scoring"}:
            needed += ("points",)
        for name in needed:
            if header.count(name) != 1:
                raise InvalidFile(self.line, f"{self.section}: one column {name} is expected")
        self.header = header

    def _columns(self, row: Sequence[str]) -> Mapping[str, str]:
        if len(row) > len(self.header):
            raise InvalidFile(self.line, f"{len(row)} columns, the section has {len(self.header)}")
        return dict(zip(self.header, [*row, *[""] * (len(self.header) - len(row))], strict=True))

    def _add_meta(self, row: Sequence[str]) -> None:
        if len(self.meta) == META_MAX:
            raise InvalidFile(self.line, f"more than {META_MAX} lines of {META}")
        key = row[0].lower()
        if key in self.meta:
            raise InvalidFile(self.line, f"{shown(key)} stands twice")
        self.meta[key] = (";".join(row[1:]).strip(";"), self.line)

    def _read_vote_type(self) -> None:
        if "vote_type" not in self.meta:
            raise InvalidFile(self.line, "vote_type is missing")
        self.vote_type, line = self.meta["vote_type"]
        if self.vote_type not in VOTE_TYPES:
            raise InvalidFile(line, f"vote_type: one of {', '.join(VOTE_TYPES)} is expected")
        if "budget" not in self.meta:
            raise InvalidFile(self.line, "budget is missing")
        self._amount_of_meta("budget")
        if self.vote_type == "ordinal":
            if "max_length" not in self.meta:
                raise InvalidFile(self.line, "max_length is missing, which ordinal votes are scored by")
            length, line = self.meta["max_length"]
            self.ordinal_points = whole_number(length, line, "max_length")
            if not 1 <= self.ordinal_points <= CANDIDATES_MAX:
                raise InvalidFile(line, f"max_length: from 1 to {CANDIDATES_MAX} is expected")

    def _amount_of_meta(self, name: str) -> Fraction:
        text, line = self.meta[name]
        return _amount(text, line, name)

    def _refuse_wrong_count(self, name: str, found: int) -> None:
        if name in self.meta:
            text, line = self.meta[name]
            if whole_number(text, line, name) != found:
                raise InvalidFile(line, f"{name}: {text} are announced, there are {found}")

    def _add_project(self, columns: Mapping[str, str]) -> None:
        identity = columns["project_id"]
        if len(self.names) == CANDIDATES_MAX:
            raise InvalidFile(self.line, f"more than {CANDIDATES_MAX} projects")
        if identity in self.numbers:
            raise InvalidFile(self.line, f"project {shown(identity)} stands twice")
        name = columns.get("name") or identity
        for text, what in ((identity, "project_id"), (name, "name")):
            if fault := name_fault(text):
                raise InvalidFile(self.line, f"{what}: {fault}")
        cost = _amount(columns["cost"], self.line, "cost")
        if cost == 0:
            raise InvalidFile(self.line, "cost: more than 0 is expected")
        self.numbers[identity] = len(self.numbers) + 1
        self.names.append(name)
        self.costs.append(cost)

    def _add_vote(self, columns: Mapping[str, str]) -> None:
        if self.votes == BALLOTS_MAX:
            raise InvalidFile(self.line, f"more than {BALLOTS_MAX} votes")
        self.votes += 1
        chosen = [
            self._number(identity.strip()) for identity in columns["vote"].split(",") if identity.strip()
        ]
        if self.vote_type == "approval":
            # There are official files where a vote names a project twice; it approves of it all the same.
            chosen = [*dict.fromkeys(chosen)]
        if len(set(chosen)) < len(chosen):
            raise InvalidFile(self.line, "vote: a project stands twice")
        bundle = by_marks(dict(zip(chosen, self._points(chosen, columns), strict=True)))
        self.bundles[bundle] = self.bundles.get(bundle, 0) + 1

    def _number(self, identity: str) -> int:
        number = self.numbers.get(identity)
        if number is None:
            raise InvalidFile(self.line, f"vote: there is no project {shown(identity)}")
        return number

    def _points(self, chosen: Sequence[int], columns: Mapping[str, str]) -> Sequence[int]:
        """What the vote gives each project that it names."""
        if self.vote_type == "ordinal":
            if len(chosen) > self.ordinal_points:
                raise InvalidFile(
                    self.line, f"vote: {len(chosen)} projects, max_length is {self.ordinal_points}"
                )
            return range(self.ordinal_points, self.ordinal_points - len(chosen), -1)
        if self.vote_type == "choose-1" and len(chosen) > 1:
            raise InvalidFile(self.line, f"vote: {len(chosen)} projects, a vote has one")
        if self.vote_type in {"approval", "choose-1"}:
            return [1] * len(chosen)
        points = [cell for cell in map(str.strip, columns["points"].split(",")) if cell]
        if len(points) != len(chosen):
            raise InvalidFile(self.line, f"points: {len(points)} for {len(chosen)} projects")
        return [_points_of(text, self.line) for text in points]


def _points_of(text: str, line: int) -> int:
    negative = text.startswith("-")
    points = whole_number(text.removeprefix("-"), line, "points")
    if points > MARK_MAX:
        raise InvalidFile(line, f"points: up to {MARK_MAX} are counted, this is {points}")
    return -points if negative else points


def _amount(text: str, line: int, what: str) -> Fraction:
    """Money."""
    if AMOUNT.fullmatch(text) is None:
        raise InvalidFile(line, f"{what}: an amount is expected, not {shown(text)}")
    amount = Fraction(text.replace(",", "."))
    if amount > AMOUNT_MAX:
        raise InvalidFile(line, f"{what}: more than {AMOUNT_MAX}")
    return amount
