"""Tables of what is no ballot, as CSV: votes of parties, pools of people and their quotas.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from icn_tally.ballots import CANDIDATES_MAX, name_fault
from icn_tally.contest import shown, whole_number
from icn_tally.csv_ballots import csv_table
from icn_tally.faults import InvalidFile
from icn_tally.sortition import CATEGORIES_MAX, POOL_MAX, Quota

PARTY_COLUMNS: Final = ("name", "votes")
QUOTA_COLUMNS: Final = ("feature", "value", "min", "max")
COLUMNS_MAX: Final = 200
VALUES_MAX: Final = 1_000
"""Of all categories together."""


@dataclass(frozen=True, slots=True)
class People:
    """A pool as a file has it."""

    columns: tuple[str, ...]
    members: tuple[dict[str, str], ...]
    """The cell of each in every column."""


def read_parties(content: bytes) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and votes, in the order of the file: the columns name and votes.

    Raises:
        InvalidFile: not of this format.
    """
    names: list[str] = []
    votes: list[int] = []
    for line, (name, cast) in _lines(content, PARTY_COLUMNS):
        if len(names) == CANDIDATES_MAX:
            raise InvalidFile(line, f"more than {CANDIDATES_MAX} parties")
        if fault := name_fault(name):
            raise InvalidFile(line, f"name: {fault}")
        if name in names:
            raise InvalidFile(line, f"{shown(name)} stands twice")
        names.append(name)
        votes.append(whole_number(cast, line, "votes"))
    return tuple(names), tuple(votes)


def read_people(content: bytes) -> People:
    """A pool: its first line names the columns, each further one is a member.

    Raises:
        InvalidFile: not of this format.
    """
    line, columns, rows = csv_table(content)
    if len(columns) > COLUMNS_MAX:
        raise InvalidFile(line, f"{len(columns)} columns; there can be {COLUMNS_MAX}")
    if len(set(columns)) < len(columns):
        raise InvalidFile(line, "two columns have one name")
    members: list[dict[str, str]] = []
    for row_line, cells in rows:
        if len(members) == POOL_MAX:
            raise InvalidFile(row_line, f"more than {POOL_MAX} members")
        members.append(dict(zip(columns, cells, strict=True)))
    return People(tuple(columns), tuple(members))


def read_quotas(content: bytes) -> dict[str, dict[str, Quota]]:
    """How many of each value of a category, at least and at most: the columns feature, value, min and max.

    Raises:
        InvalidFile: not of this format.
    """
    found: dict[str, dict[str, Quota]] = {}
    for amount, (line, (category, value, low, high)) in enumerate(_lines(content, QUOTA_COLUMNS), start=1):
        if amount > VALUES_MAX:
            raise InvalidFile(line, f"more than {VALUES_MAX} values")
        values = found.setdefault(category, {})
        if len(found) > CATEGORIES_MAX:
            raise InvalidFile(line, f"more than {CATEGORIES_MAX} categories")
        if value in values:
            raise InvalidFile(line, f"{shown(category)}: {shown(value)} stands twice")
        quota = Quota(whole_number(low, line, "min"), whole_number(high, line, "max"))
        if quota.low > quota.high:
            raise InvalidFile(line, f"min is {quota.low}, more than max, which is {quota.high}")
        values[value] = quota
    return found


def _lines(content: bytes, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of a table with exactly these columns."""
    line, header, rows = csv_table(content)
    if tuple(header) != columns:
        raise InvalidFile(
            line, f"the columns {', '.join(columns)} are expected, not {shown(','.join(header))}"
        )
    return rows
