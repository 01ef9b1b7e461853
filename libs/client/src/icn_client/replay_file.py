"""Reads a transaction file for `icn replay`: who pays whom how much, exactly.

Source: docs/replay.md.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from pathlib import Path
from typing import Final, TextIO

from icn_machine.limits import QUANTITY_MAX

SCALE: Final = 6
"""Decimal places of the run's unit."""
COLUMNS: Final = ("transfer_subtype", "source", "target", "weight")
"""Columns that are read; others are ignored."""
ISSUING_SUBTYPE: Final = "DISBURSEMENT"
"""The source of such a row issues the unit: it has no floor."""
ROWS_MAX: Final = 2_000_000
"""A row is about 300 bytes in memory; the rest belongs into several files."""
FIELD_CHARACTERS_MAX: Final = 4_096
WEIGHT_CHARACTERS_MAX: Final = 64
_WEIGHT: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""A decimal number in ASCII digits; with an exponent, as programs write small and large ones into CSV."""
_CONTEXT: Final = Context(prec=WEIGHT_CHARACTERS_MAX + SCALE, Emax=200, Emin=-200)
_STEP: Final = Decimal(1).scaleb(-SCALE)


class ReplayFileInvalid(ValueError):
    """The file cannot be replayed; the message names line and field."""


@dataclass(frozen=True, slots=True)
class Row:
    """One transfer of the file."""

    number: int
    """Its position, from 0."""
    line: int
    """Line of the file it ends on, for messages."""
    source: int
    """Party that pays, as an index into `Transfers.parties`."""
    target: int
    amount_minor: int
    """Zero or more."""

    @property
    def moves_nothing(self) -> bool:
        """Whether the ledger has no such transfer: nothing is paid, or a party pays itself."""
        return self.amount_minor == 0 or self.source == self.target


@dataclass(frozen=True, slots=True)
class Transfers:
    """What a file says."""

    parties: tuple[str, ...]
    """Every source and target, in the order in which they first appear."""
    issuers: frozenset[int]
    """Parties without a floor."""
    rows: tuple[Row, ...]
    code: str
    """Unit code made from the first row's token name."""


def minor_units(weight: str) -> int:
    """A decimal string in units of 10^-6, rounded half to even, without any float.

    Raises:
        ValueError: not a plain decimal number from 0 to 2^62 minor units.
    """
    if not 1 <= len(weight) <= WEIGHT_CHARACTERS_MAX:
        raise ValueError(f"must have 1 to {WEIGHT_CHARACTERS_MAX} characters")
    if _WEIGHT.fullmatch(weight) is None:
        raise ValueError("is not a decimal number")
    try:
        number = Decimal(weight, _CONTEXT)
        if number.is_signed() and number != 0:
            raise ValueError("is negative")
        if number.adjusted() > len(str(QUANTITY_MAX)):
            raise ValueError("is more than the ledger can hold")
        minor = int(
            number.quantize(_STEP, rounding=ROUND_HALF_EVEN, context=_CONTEXT).scaleb(SCALE, _CONTEXT)
        )
    except InvalidOperation:
        raise ValueError("is not a decimal number") from None
    if minor > QUANTITY_MAX:
        raise ValueError("is more than the ledger can hold")
    return minor


def read_transfers(path: Path) -> Transfers:
    """Read a CSV file, compressed with gzip or not.

    Raises:
        ReplayFileInvalid: a column is missing or a field cannot be read.
        OSError: the file cannot be read.
    """
    with _open(path) as file:
        try:
            return _read(file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ReplayFileInvalid(f"{path}: damaged gzip data: {error}") from error
        except UnicodeDecodeError as error:
            raise ReplayFileInvalid(f"{path}: {error}") from error
        except ReplayFileInvalid as error:
            raise ReplayFileInvalid(f"{path}, {error}") from error


def _open(path: Path) -> TextIO:
    with path.open("rb") as probe:
        is_compressed = probe.read(2) == b"\x1f\x8b"
    if is_compressed:
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read(file: TextIO) -> Transfers:
    csv.field_size_limit(FIELD_CHARACTERS_MAX)
    reader = csv.DictReader(file)
    try:
        columns = reader.fieldnames or ()
    except csv.Error as error:
        raise ReplayFileInvalid(f"line 1: {error}") from error
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ReplayFileInvalid(f"line 1: column {missing[0]} is missing")
    parties: dict[str, int] = {}
    issuers: set[int] = set()
    rows: list[Row] = []
    code = ""
    for record in _records(reader):
        line = reader.line_num
        if len(rows) >= ROWS_MAX:
            raise ReplayFileInvalid(f"line {line}: more than {ROWS_MAX} rows")
        for name in COLUMNS:
            if not record[name]:
                raise ReplayFileInvalid(f"line {line}: field {name} is empty")
        source = parties.setdefault(record["source"], len(parties))
        target = parties.setdefault(record["target"], len(parties))
        if record["transfer_subtype"] == ISSUING_SUBTYPE:
            issuers.add(source)
        try:
            amount_minor = minor_units(record["weight"])
        except ValueError as error:
            raise ReplayFileInvalid(f"line {line}: field weight {error}") from None
        rows.append(Row(len(rows), line, source, target, amount_minor))
        code = code or _unit_code(record.get("token_name") or "")
    return Transfers(tuple(parties), frozenset(issuers), tuple(rows), code or "REPLAY")


def _records(reader: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ReplayFileInvalid(f"line {reader.line_num}: {error}") from error
        yield record


def _unit_code(name: str) -> str:
    """2 to 12 characters A–Z, 0–9 or hyphen, as the ledger wants them; empty when too little is left."""
    code = "".join(
        character for character in name.upper() if character in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
    )
    return code[:12] if len(code) >= 2 else ""
