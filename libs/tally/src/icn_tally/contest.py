"""What a file of ballots says, and reading its lines.

Source: docs/spec/voting.md, "Files".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from icn_tally.ballots import BALLOTS_MAX, WEIGHT_MAX, Ballots
from icn_tally.faults import InvalidFile

LINE_BYTES_MAX: Final = 65_536
"""A ballot that ranks 2,000 candidates takes 10 KB, with short names 40 KB."""
DIGITS_MAX: Final = 16
"""Of 2^53 − 1."""
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Contest:
    """A file of ballots."""

    ballots: Ballots
    title: str = ""
    seats: int | None = None
    """None where the format does not name them."""
    lot_order: tuple[int, ...] | None = None
    """None where the file names none."""


def lines_of(content: bytes) -> list[bytes]:
    """The lines of a file, without their ends; the line numbered n stands at n − 1.

    Raises:
        InvalidFile: there are none.
    """
    if content.count(b"\n") >= 2 * BALLOTS_MAX:
        raise InvalidFile(2 * BALLOTS_MAX + 1, "more lines than ballots may have")
    lines = content.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    if not content.strip():
        raise InvalidFile(1, "the file is empty")
    return lines


def text_of(line: bytes, number: int) -> str:
    """A line as text, without blanks around it.

    Raises:
        InvalidFile: too long or not UTF-8.
    """
    if len(line) > LINE_BYTES_MAX:
        raise InvalidFile(number, f"longer than {LINE_BYTES_MAX} bytes")
    try:
        return line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise InvalidFile(number, f"not UTF-8 at byte {error.start + 1}") from None


def whole_number(text: str, number: int, what: str) -> int:
    """A number in ASCII digits.

    Raises:
        InvalidFile: something else, or too long.
    """
    if not (text.isascii() and text.isdigit()):
        raise InvalidFile(number, f"{what}: a whole number is expected, not {shown(text)}")
    if len(text) > DIGITS_MAX:
        raise InvalidFile(number, f"{what}: {shown(text)} is too large")
    return int(text)


def checked_weight(weight: int, number: int) -> int:
    """The weight of one ballot line.

    Raises:
        InvalidFile: not from 1 to the largest.
    """
    if not 1 <= weight <= WEIGHT_MAX:
        raise InvalidFile(number, f"a weight goes from 1 to {WEIGHT_MAX}, this is {weight}")
    return weight


def shown(text: str) -> str:
    """Some words of a file in an error: short, and on one line."""
    return repr(text if len(text) <= 40 else text[:40] + "…")
