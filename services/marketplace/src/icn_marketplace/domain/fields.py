"""Fields of commands as members write them. A refusal is FIELD_INVALID and names the field.

Source: docs/spec/marketplace.md, "Limits".
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta

from icn_kit.errors import InvalidArgument

from icn_marketplace.domain.limits import (
    MINUTE_MS,
    NOTE_CHARACTERS_MAX,
    TIME_MS_MAX,
    TITLE_CHARACTERS_MAX,
)

_SPECIFICATION = re.compile(r"[a-z0-9-]{1,64}\Z")


def field_invalid(field: str, said: str) -> InvalidArgument:
    """The refusal of a field; ``said`` tells what is allowed."""
    return InvalidArgument("FIELD_INVALID", f"{field}: {said}", field=field)


def show_time(time_ms: int) -> str:
    """Unix milliseconds as people read them, in UTC; beyond the last year that calendars know, the number."""
    if not 0 <= time_ms <= TIME_MS_MAX:
        return str(time_ms)
    precision = "minutes" if time_ms % MINUTE_MS == 0 else "milliseconds" if time_ms % 1_000 else "seconds"
    shown = datetime(1970, 1, 1) + timedelta(milliseconds=time_ms)
    return shown.isoformat(timespec=precision) + "Z"


def check_time(field: str, time_ms: int, earliest_ms: int, latest_ms: int) -> None:
    """As `check_range`, said in times."""
    if not earliest_ms <= time_ms <= latest_ms:
        raise InvalidArgument(
            "FIELD_INVALID",
            f"{field}: {show_time(time_ms)} is not in {show_time(earliest_ms)} to {show_time(latest_ms)}",
            field=field,
            value=time_ms,
            smallest=earliest_ms,
            largest=latest_ms,
        )


def check_range(field: str, value: int, smallest: int, largest: int) -> None:
    """Refuse a number outside of its range, borders allowed."""
    if not smallest <= value <= largest:
        raise InvalidArgument(
            "FIELD_INVALID",
            f"{field}: {value} is not in {smallest} to {largest}",
            field=field,
            value=value,
            smallest=smallest,
            largest=largest,
        )


def check_bytes(field: str, value: bytes, length: int) -> None:
    """Refuse bytes of another length."""
    if len(value) != length:
        raise field_invalid(field, f"has {len(value)} bytes, not {length}")


def check_line(field: str, value: str, characters_max: int = TITLE_CHARACTERS_MAX) -> None:
    """Refuse what is no single line of text with something in it."""
    check_range(f"{field} length", len(value), 1, characters_max)
    if value != value.strip() or any(_is_control(character) for character in value):
        raise field_invalid(field, "has a space at an end or a control character")


def check_note(field: str, value: str) -> None:
    """Refuse a text that is too long or holds control characters other than line feeds."""
    check_range(f"{field} length", len(value), 0, NOTE_CHARACTERS_MAX)
    if any(_is_control(character) and character != "\n" for character in value):
        raise field_invalid(field, "has a control character")


def check_specification(field: str, value: str) -> None:
    """Refuse what is no word of a federation's list."""
    if _SPECIFICATION.match(value) is None:
        raise field_invalid(field, "1 to 64 characters a–z, 0–9 or hyphen")


def _is_control(character: str) -> bool:
    """Control and formatting characters (a right-to-left override makes a title lie), unassigned ones too."""
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
        and character not in _JOINERS
    )


_JOINERS = "\u200c\u200d"
"""Words of Persian and some Indian languages, and many pictures, cannot be written without them."""
