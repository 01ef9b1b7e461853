"""Whether a text still has the entries of a statement, and where it first differs. Pure.

Source: docs/spec/ledger.md, "Statements".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import IO, Any, Final, NamedTuple

from icn_machine.entries import Entry

from icn_client.light.statement import kind_number
from icn_client.statement_texts import FORMS, Memos, Money, Piece, csv_columns, csv_row, read_span

LINE_CHARACTERS_MAX: Final = 65_536
"""Of a text; one of ours has some 400, and there may be columns of somebody's own."""
DERIVED_COLUMNS: Final = ("account", "reverses", "memo")
"""Which no line of an entry has."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER: Final = re.compile(r"[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,18})?")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")


class Difference(NamedTuple):
    """Where a text first differs from the statement."""

    account: str
    """Whose entry it is of, where the statement is of several accounts; else empty."""
    entry: str
    """Number of the entry of the statement; empty where that has none left, or before its first."""
    field: str
    """Column, or ``line N`` of the text."""
    found: str
    """As it stands there; empty where nothing does."""
    expected: str


class TextUnreadable(ValueError):
    """The text is none of this form at all."""


def find_difference(
    lines: Iterable[bytes], text: IO[str], form: str, memos: Memos | None = None
) -> tuple[int, Difference | None]:
    """How many entries are the same from the first on, and where it differs then.

    Args:
        lines: of a statement; whether it holds is for `verify_statement`.
        text: what is compared with its span, opened with ``newline=""``.
        form: a key of `statement_texts.FORMS`.
        memos: that the text was made with.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED.
        TextUnreadable: the text has no lines, or not the columns, of its form.
    """
    span = read_span(lines, memos)
    compared = _compare_csv(span, text) if form == "csv" else _compare_lines(span, text, form)
    same = 0
    for difference in compared:
        if difference is not None:
            return same, difference
        same += 1
    return same, None


def read_csv_entry(row: Mapping[str, str | None], money: Money) -> Entry:
    """The entry of a row of our CSV.

    Raises:
        ValueError: its message is the column that cannot be read.
    """
    values: dict[str, Any] = {}
    for column, read in _COLUMNS.items():
        try:
            values[column] = read(row.get(column) or "", money)
        except (ValueError, ArithmeticError):
            raise ValueError(column) from None
    del values["currency"]
    return Entry(*values.values())


def _compare_csv(span: Iterator[Piece], text: IO[str]) -> Iterator[Difference | None]:
    rows = csv.DictReader(_bounded(text), strict=True)
    try:
        given, wanted = rows.fieldnames or (), csv_columns(next(span))
        missing = [one for one in wanted if given.count(one) != 1]
        if missing:
            raise TextUnreadable(f"the first line must name each of {', '.join(missing)} once")
        for told, row in zip_longest((piece for piece in span if piece.entry is not None), rows):
            yield _compare_row(told, row)
    except csv.Error as error:
        raise TextUnreadable(f"line {rows.line_num}: {error}") from None


def _compare_row(piece: Piece | None, row: Mapping[str, str | None] | None) -> Difference | None:
    if piece is None:
        assert row is not None, "one of both is there"
        return Difference("", "", "number", row["number"] or "", "")
    expected = dict(zip(csv_columns(piece), csv_row(piece), strict=True))
    place = (expected.get("account", ""), expected["number"])
    if row is None:
        return Difference(*place, "number", "", expected["number"])
    for column in DERIVED_COLUMNS:
        if column in expected and row[column] != expected[column]:
            return Difference(*place, column, row[column] or "", expected[column])
    try:
        found = read_csv_entry(row, piece.money)
    except ValueError as fault:
        column = str(fault)
        return Difference(*place, column, row.get(column) or "", expected[column])
    assert piece.entry is not None, "openings are left out"
    for column, one, other in zip(_COLUMNS, found, piece.entry, strict=False):
        if one != other:
            return Difference(*place, column, row[column] or "", expected[column])
    return None


def _compare_lines(span: Iterator[Piece], text: IO[str], form: str) -> Iterator[Difference | None]:
    told = _words(enumerate(_bounded(text), 1))
    for piece in span:
        for _, expected in _words(enumerate(FORMS[form](piece).splitlines())):
            at, found = next(told, (0, ""))
            if found != expected:
                account = piece.account.hex() if piece.family else ""
                number = "" if piece.entry is None else str(piece.entry.number)
                yield Difference(account, number, f"line {at}" if at else "end", found, expected)
        if piece.entry is not None:
            yield None
    for at, found in told:
        yield Difference("", "", f"line {at}", found, "")


def _words(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with one space between words."""
    for number, one in lines:
        if words := one.split():
            yield number, " ".join(words)


def _bounded(text: IO[str]) -> Iterator[str]:
    for number in range(1, 2**62):
        try:
            one = text.readline(LINE_CHARACTERS_MAX + 1)
        except UnicodeDecodeError:
            raise TextUnreadable(f"line {number}: not UTF-8") from None
        if len(one) > LINE_CHARACTERS_MAX:
            raise TextUnreadable(f"line {number}: more than {LINE_CHARACTERS_MAX} characters")
        if not one:
            return
        yield one


def _integer(text: str, _money: Money) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError(text)
    return int(text)


def _minor(text: str, money: Money) -> int:
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(text)
    minor = Decimal(text).scaleb(money.scale)
    if minor != minor.to_integral_value():
        raise ValueError(text)
    return int(minor)


def _bytes(text: str, _money: Money) -> bytes:
    if _HEX.fullmatch(text) is None:
        raise ValueError(text)
    return bytes.fromhex(text)


def _milliseconds(text: str, _money: Money) -> int:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return (found - _EPOCH) // timedelta(milliseconds=1)


def _code(text: str, money: Money) -> str:
    if text != money.code:
        raise ValueError(text)
    return text


_COLUMNS: Final[Mapping[str, Callable[[str, Money], Any]]] = {
    "number": _integer,
    "height": _integer,
    "time": _milliseconds,
    "transaction": _bytes,
    "kind": lambda text, _money: kind_number(text),
    "amount": _minor,
    "balance": _minor,
    "counter_account": _bytes,
    "memo_hash": _bytes,
    "reference": _bytes,
    "hold": _bytes,
    "currency": _code,
}
"""In the order of an entry's fields, and the unit behind them."""
