"""Fields of commands as members write them. A refusal is FIELD_INVALID and names the field.

Source: docs/spec/marketplace.md, "Limits".
"""

from __future__ import annotations

import re
import unicodedata

from icn_kit.errors import InvalidArgument

from icn_marketplace.domain.limits import NOTE_CHARACTERS_MAX, TITLE_CHARACTERS_MAX

_SPECIFICATION = re.compile(r"[a-z0-9-]{1,64}\Z")


def field_invalid(field: str, said: str) -> InvalidArgument:
    """The refusal of a field; ``said`` tells what is allowed."""
    return InvalidArgument("FIELD_INVALID", f"{field}: {said}", field=field)


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
