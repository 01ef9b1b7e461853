"""Finds what makes a JSON text no I-JSON, with its place as a JSON Pointer (RFC 6901).

The parser of `icn_crypto.jcs` says what is wrong; this reads a refused text once more and says where.
Source: RFC 7493 (I-JSON).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

_FORBIDDEN: Final = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + "]"
)
_PLACE_CHARACTERS_MAX: Final = 200


class _Members(list[tuple[str, Any]]):
    """An object as its members stand in the text."""


class _Number(str):
    """A number's literal that no double holds, or that is not JSON."""

    __slots__ = ()


def find_fault(text: bytes) -> str:
    """The first fault with its place; empty where it is of another kind, such as of the syntax."""
    try:
        value = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_Members,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_Number,
        )
    except (ValueError, RecursionError):
        return ""
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        place, value = left.pop()
        if fault := _fault(value):
            return f"at {_shown(place)}: {fault}"
        if isinstance(value, _Members):
            left += reversed([(f"{place}/{_escape(name)}", member) for name, member in value])
        elif isinstance(value, list):
            left += reversed([(f"{place}/{index}", element) for index, element in enumerate(value)])
    return ""


def _fault(value: Any) -> str:
    if isinstance(value, _Number):
        return f"number {value[:40]} is not JSON or beyond what a double holds"
    if isinstance(value, str) and _FORBIDDEN.search(value):
        return "a string holds a surrogate or a noncharacter"
    if isinstance(value, _Members):
        seen: set[str] = set()
        for name, _ in value:
            if _FORBIDDEN.search(name):
                return f"the member name {ascii(name)[:80]} holds a surrogate or a noncharacter"
            if name in seen:
                return f"member {name[:80]!r} stands twice in one object"
            seen.add(name)
    return ""


def _number(literal: str) -> Any:
    return _Number(literal) if math.isinf(float(literal)) else 0


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _shown(place: str) -> str:
    return place[:_PLACE_CHARACTERS_MAX] or "the top"
