"""What a co-op's members bring, from a spreadsheet: read, checked, and compared with the ledger. Pure.

Source: docs/spec/ledger.md, "Imports".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple, TypeVar

from icn_machine.limits import OPENING_MINOR_MAX

COLUMNS: Final = ("name", "member", "opening")
ROWS_MAX: Final = 100_000
"""Members of all cooperatives of a region; more are imported sheet by sheet."""
LINE_BYTES_MAX: Final = 65_536
"""A row of ours has some 100; there may be columns of the bookkeeper's own."""
NAME_CHARACTERS_MAX: Final = 200
FAULTS_MAX: Final = 1_000
"""So many are named; nobody mends more at once, and a wrong column makes one per row."""
SHOWN_CHARACTERS_MAX: Final = 40

_DECIMAL: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
_PRINCIPAL: Final = re.compile(r"(?:principals/)?([0-9a-fA-F]{32})")

T = TypeVar("T")


class Fault(NamedTuple):
    """Why a row cannot be taken."""

    line: int
    """Of the file, from 1: where the row begins."""
    column: str
    """One of COLUMNS; empty where it is the row, or the file from there on."""
    reason: str
    """Stable."""
    message: str


class Member(NamedTuple):
    """A row that can be taken."""

    line: int
    name: str
    principal: bytes
    public_part: str
    """File of its public part as the sheet names it; empty where the sheet gives the principal."""
    opening_minor: int
    """What it brings, a debt below 0."""


class CellFault(ValueError):
    """A cell cannot be taken; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Sheet:
    """All rows of a spreadsheet."""

    members: list[Member] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """The first FAULTS_MAX, as they were found."""
    fault_count: int = 0
    row_count: int = 0
    """Rows that are not empty, bad ones too."""

    def add_fault(self, fault: Fault) -> None:
        """Count a fault, and keep it while there are few."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)

    @property
    def credits_minor(self) -> int:
        """What its members are owed."""
        return sum(member.opening_minor for member in self.members if member.opening_minor > 0)

    @property
    def debts_minor(self) -> int:
        """What its members owe, above 0."""
        return -sum(member.opening_minor for member in self.members if member.opening_minor < 0)


class _FileFault(Exception):
    """The file cannot be read on from a line."""

    def __init__(self, line: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(line, "", reason, message)


def read_sheet(lines: Iterable[bytes], scale: int, read_public_part: Callable[[str], bytes]) -> Sheet:
    """Read and check a spreadsheet, row by row.

    Args:
        lines: of a CSV file with their ends, each cut behind LINE_BYTES_MAX + 1 bytes.
        scale: decimal places of the unit.
        read_public_part: the principal of a file that the sheet names; raises CellFault.
    """
    reader = _Reader(scale, read_public_part)
    try:
        for line, row in _rows(lines):
            reader.take(line, row)
    except _FileFault as error:
        reader.sheet.add_fault(error.fault)
    else:
        if not reader.sheet.row_count:
            reader.sheet.add_fault(Fault(1, "", "NO_ROWS", "no member stands below the header"))
    return reader.sheet


class _Reader:
    """Takes rows into a sheet, and remembers where each name and principal stood first."""

    def __init__(self, scale: int, read_public_part: Callable[[str], bytes]) -> None:
        self.sheet = Sheet()
        self._scale = scale
        self._read_public_part = read_public_part
        self._names: dict[str, int] = {}
        self._principals: dict[bytes, int] = {}

    def take(self, line: int, row: Mapping[str, str] | Fault) -> None:
        """Add the row's member, or what is wrong in each of its columns."""
        self.sheet.row_count += 1
        if self.sheet.row_count > ROWS_MAX:
            raise _FileFault(line, "TOO_MANY_ROWS", f"more than {ROWS_MAX} rows: split the sheet")
        if isinstance(row, Fault):
            self.sheet.add_fault(row)
            return
        name = self._cell(line, row, "name", self._name)
        member = self._cell(line, row, "member", self._member)
        opening_minor = self._cell(line, row, "opening", self._opening_minor)
        if name is not None and member is not None and opening_minor is not None:
            self.sheet.members.append(Member(line, name, *member, opening_minor))

    def _cell(
        self, line: int, row: Mapping[str, str], column: str, read: Callable[[str, int], T]
    ) -> T | None:
        try:
            if not row[column]:
                raise CellFault("EMPTY", "empty" + ("; 0 is written as 0" if column == "opening" else ""))
            return read(row[column], line)
        except CellFault as error:
            self.sheet.add_fault(Fault(line, column, error.reason, str(error)))
            return None

    def _name(self, text: str, line: int) -> str:
        name = " ".join(text.split())
        if len(name) > NAME_CHARACTERS_MAX:
            raise CellFault("NAME_INVALID", f"{len(name)} characters, at most {NAME_CHARACTERS_MAX}")
        if not name.isprintable():
            raise CellFault("NAME_INVALID", f"{_shown(name)} has characters that cannot be printed")
        _once(self._names, name.casefold(), line, "NAME_TWICE", _shown(name))
        return name

    def _member(self, text: str, line: int) -> tuple[bytes, str]:
        matched = _PRINCIPAL.fullmatch(text)
        principal = bytes.fromhex(matched[1]) if matched else self._read_public_part(text)
        _once(self._principals, principal, line, "PRINCIPAL_TWICE", f"principals/{principal.hex()}")
        return principal, "" if matched else text

    def _opening_minor(self, text: str, _line: int) -> int:
        matched = _DECIMAL.fullmatch(text) if len(text) <= SHOWN_CHARACTERS_MAX else None
        if matched is None:
            hint = ": with a point, and nothing between thousands" if "," in text else ""
            raise CellFault("NOT_DECIMAL", f"{_shown(text)} is not a decimal number such as -12.50{hint}")
        sign, whole, fraction = matched[1], matched[2], (matched[3] or "").rstrip("0")
        if len(fraction) > self._scale:
            raise CellFault(
                "TOO_MANY_PLACES", f"{text} has {len(fraction)} decimal places, the unit {self._scale}"
            )
        minor = int(whole + fraction.ljust(self._scale, "0"))
        if minor > OPENING_MINOR_MAX:
            raise CellFault(
                "OUT_OF_RANGE", f"{text} is {sign}{minor} minor units, at most {OPENING_MINOR_MAX} either way"
            )
        return -minor if sign else minor


def _once(taken: dict[T, int], value: T, line: int, reason: str, shown: str) -> None:
    first = taken.setdefault(value, line)
    if first != line:
        raise CellFault(reason, f"{shown} stands in line {first} already")


def _shown(text: str) -> str:
    return repr(text[:SHOWN_CHARACTERS_MAX])


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[int, Mapping[str, str] | Fault]]:
    """Each row that is not empty with the line it begins in, its cells by column."""
    texts = _texts(lines)
    first = next(texts, "")
    csv.field_size_limit(LINE_BYTES_MAX)  # of the process; other readers set theirs
    rows = csv.reader(chain([first], texts), delimiter=_delimiter(first), strict=True)
    header: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            cells = [cell.strip() for cell in next(rows)]
        except StopIteration:
            break
        except csv.Error as error:
            fault = Fault(
                line, "", "NOT_CSV", f"{error} (a quotation mark that is not closed, or not needed?)"
            )
            if header is None:
                raise _FileFault(*fault[:1], *fault[2:]) from None
            yield line, fault
            continue
        if header is None:
            header = _header(cells)
        elif any(cells):
            while len(cells) > len(header) and not cells[-1]:
                cells.pop()
            yield line, _row(line, header, cells)


def _row(line: int, header: list[str], cells: list[str]) -> Mapping[str, str] | Fault:
    if len(cells) != len(header):
        why = "; a name with a comma stands in quotation marks, an amount has a point" * (
            len(cells) > len(header)
        )
        return Fault(line, "", "CELLS_WRONG", f"{len(cells)} cells, the header has {len(header)}{why}")
    return dict(zip(header, cells, strict=True))


def _header(cells: list[str]) -> list[str]:
    header = [cell.casefold() for cell in cells]
    for column in COLUMNS:
        if header.count(column) != 1:
            raise _FileFault(
                1,
                "COLUMN_TWICE" if column in header else "COLUMN_MISSING",
                f"the first line must name each of {', '.join(COLUMNS)} once, and it has {column} "
                f"{header.count(column)} times",
            )
    return header


def _delimiter(header: str) -> str:
    """Semicolon where there are more of them: what spreadsheets write where the comma is in numbers."""
    return ";" if header.count(";") > header.count(",") else ","


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_BYTES_MAX:
            raise _FileFault(number, "LINE_TOO_LONG", f"more than {LINE_BYTES_MAX} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise _FileFault(number, "NOT_UTF8", "not UTF-8: save the sheet as CSV in UTF-8") from None


@dataclass(slots=True)
class Standing:
    """What a principal has in the unit on the ledger."""

    waiting: dict[bytes, int] = field(default_factory=dict)
    """Claims of accounts that wait for a confirmation."""
    is_open: bool = False
    """Whether it has an account that waits for nothing."""
    confirmed_minor: int | None = None
    """What was confirmed for it; None where nothing was."""


class Difference(NamedTuple):
    """Where ledger and sheet do not agree."""

    line: int | None
    """Of the sheet; None where it does not have the principal."""
    name: str
    principal: bytes
    reason: str
    """``MISSING``: no account waits. ``NOT_WAITING``: it has one, which waits for nothing. ``OTHER_AMOUNT``:
    what waits and what was confirmed is not what the sheet says. ``NOT_ON_SHEET``."""
    expected_minor: int | None
    """What the sheet says."""
    standing: Standing


class Comparison(NamedTuple):
    """A sheet beside the ledger."""

    claims: dict[bytes, int]
    """What is to be confirmed, by account."""
    done: int
    """Members that have nothing to confirm any more, or never had."""
    differences: list[Difference]


def compare(members: Iterable[Member], standings: Mapping[bytes, Standing]) -> Comparison:
    """Hold a sheet against what its members, and others, have on the ledger; ``standings`` by principal."""
    found = Comparison({}, 0, [])
    claims, done, differences = found
    listed: set[bytes] = set()
    for member in members:
        listed.add(member.principal)
        standing = standings.get(member.principal, _NOTHING)
        reason = difference(member.opening_minor, standing)
        if reason:
            differences.append(Difference(*member[:3], reason, member.opening_minor, standing))
        elif standing.waiting:
            claims.update(standing.waiting)
        else:
            done += 1
    differences += (
        Difference(None, "", principal, "NOT_ON_SHEET", None, standing)
        for principal, standing in sorted(standings.items())
        if standing.waiting and principal not in listed
    )
    return Comparison(claims, done, differences)


def difference(opening_minor: int, standing: Standing) -> str:
    """Why a member's row and its standing do not agree (`Difference.reason`); empty where they do.

    A member may bring its amount in several accounts, none of which goes the other way: else it could bring
    a credit to spend and leave the debt behind.
    """
    claims = standing.waiting.values()
    if not claims and standing.confirmed_minor is None:
        if opening_minor == 0:
            return ""
        return "NOT_WAITING" if standing.is_open else "MISSING"
    brought_minor = (standing.confirmed_minor or 0) + sum(claims)
    is_one_way = all(min(0, opening_minor) <= claim <= max(0, opening_minor) for claim in claims)
    return "" if brought_minor == opening_minor and is_one_way else "OTHER_AMOUNT"


_NOTHING: Final = Standing()
