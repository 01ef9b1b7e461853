"""Reads a file of ratings.

Source: docs/spec/reputation.md, "Predicting ratings".
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from icn_trust.evidence import NAME_CHARACTERS_MAX

ROWS_MAX: Final = 2_000_000
NUMBER_CHARACTERS_MAX: Final = 32
NUMBER_MAX: Final = 10**9
"""Size of a rating."""
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_COLUMNS: Final = (("source",), ("target",), ("rating", "weight"), ("time", "timestamp"))
"""Names of each column that is read; others are passed over."""


class InvalidRatings(ValueError):
    """The file cannot be read; the message names line and field."""


class Rating(NamedTuple):
    """What one says about another."""

    source: str
    target: str
    rating: float
    """Its sign is what is predicted."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """What a file says, in its order."""

    rows: tuple[Rating, ...]
    is_in_order: bool
    """Whether no row is earlier than the one above it."""


def read_ratings(lines: Iterable[str]) -> Ratings:
    """The ratings of a CSV file with a header.

    Raises:
        InvalidRatings: a column is missing, a field breaks its rule, or there are more than ROWS_MAX rows.
    """
    reader = csv.reader(lines, strict=True)
    rows: list[Rating] = []
    latest = float("-inf")
    is_in_order = True
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        columns = [_column(header, names) for names in _COLUMNS]
        for fields in reader:
            if not fields:
                continue
            if len(rows) == ROWS_MAX:
                raise InvalidRatings(f"more than {ROWS_MAX} rows")
            if len(fields) != len(header):
                raise InvalidRatings(f"{len(fields)} fields, the header has {len(header)}")
            source, target, rating, time = (fields[column] for column in columns)
            rows.append(Rating(_name(source, "source"), _name(target, "target"), _number(rating, "rating")))
            occurred_at = _number(time, "time", limit=float("inf"))
            is_in_order = is_in_order and occurred_at >= latest
            latest = occurred_at
    except (InvalidRatings, csv.Error) as error:
        raise InvalidRatings(f"line {max(1, reader.line_num)}: {error}") from None
    return Ratings(tuple(rows), is_in_order)


def _column(header: list[str], names: tuple[str, ...]) -> int:
    found = [index for index, name in enumerate(header) if name in names]
    if len(found) != 1:
        word = "no column" if not found else "more than one column"
        raise InvalidRatings(f"{word} {' or '.join(names)} in the header")
    return found[0]


def _name(text: str, field: str) -> str:
    if not 1 <= len(text) <= NAME_CHARACTERS_MAX:
        raise InvalidRatings(f"{field}: {len(text)} characters, 1 to {NAME_CHARACTERS_MAX} are allowed")
    return text


def _number(text: str, field: str, limit: float = NUMBER_MAX) -> float:
    text = text.strip()
    if len(text) > NUMBER_CHARACTERS_MAX or _NUMBER.fullmatch(text) is None:
        raise InvalidRatings(f"{field}: {text[:40]!r} is not a decimal number")
    value = float(text)
    if abs(value) > limit:
        raise InvalidRatings(f"{field}: {text} is larger than {limit}")
    return value
