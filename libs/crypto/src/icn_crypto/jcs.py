"""JSON Canonicalization Scheme: one sequence of bytes for one JSON value.

Numbers are IEEE 754 doubles, as the scheme has it. An integer literal beyond ±(2^53 − 1) is read as the
nearest double; an ``int`` object of that size is refused, since writing it would change its value.

Source: RFC 8785; what may be read: RFC 7493 (I-JSON).
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, NoReturn, TypeAlias

JsonValue: TypeAlias = bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"] | None

DEPTH_MAX: Final = 256
"""Arrays and objects inside each other; bounds the recursion here and in readers elsewhere."""

INTEGER_MAX: Final = 2**53 - 1
"""Largest integer up to which doubles hold every one."""

_EXACT_DIGITS: Final = 16
"""An integer literal with more characters than 2^53 − 1 has is read as a double at once."""

_LAST_TWO_OF_PLANES: Final = "".join(chr(p << 16 | 0xFFFE) + chr(p << 16 | 0xFFFF) for p in range(17))
_FORBIDDEN: Final = re.compile("[\ud800-\udfff\ufdd0-\ufdef" + _LAST_TWO_OF_PLANES + "]")
"""Surrogates and noncharacters, RFC 7493 section 2.1."""


class NotIJson(ValueError):
    """The text or object is not I-JSON, so it has no canonical form."""


def canonicalize(value: JsonValue) -> bytes:
    """Canonical bytes of a value made of None, bool, int, float, str, list and dict.

    Raises:
        NotIJson: a number that is not finite or too large to be exact, a string with surrogates or
            noncharacters, another type, or a depth over 256.
    """
    parts: list[str] = []
    _write(value, parts, 0)
    return "".join(parts).encode("utf-8")


def canonicalize_text(text: bytes) -> bytes:
    """Canonical bytes of a JSON text in UTF-8.

    Raises:
        NotIJson: not UTF-8, not JSON, a member twice in one object, or what ``canonicalize`` refuses.
    """
    return canonicalize(parse(text))


def parse(text: bytes) -> JsonValue:
    """Read an I-JSON text in UTF-8.

    Raises:
        NotIJson: as in ``canonicalize_text``.
    """
    try:
        value: JsonValue = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_double,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise NotIJson(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise NotIJson(f"line {error.lineno} column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise NotIJson(f"more than {DEPTH_MAX} arrays and objects inside each other") from error
    return value


def _write(value: JsonValue, parts: list[str], depth: int) -> None:
    if not isinstance(value, list | dict):
        parts.append(_scalar(value))
        return
    if depth == DEPTH_MAX:
        raise NotIJson(f"more than {DEPTH_MAX} arrays and objects inside each other")
    separator = ""
    if isinstance(value, list):
        parts.append("[")
        for element in value:
            parts.append(separator)
            _write(element, parts, depth + 1)
            separator = ","
        parts.append("]")
        return
    parts.append("{")
    for name, written in _sorted_members(value):
        parts.append(f"{separator}{written}:")
        _write(value[name], parts, depth + 1)
        separator = ","
    parts.append("}")


def _scalar(value: str | int | float | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float):
        return format_number(value)
    if not isinstance(value, int):
        raise NotIJson(f"{type(value).__name__} is not a JSON type")
    if abs(value) > INTEGER_MAX:
        raise NotIJson("an integer is beyond ±(2^53 − 1); write it as a string")
    return str(value)


def _sorted_members(members: dict[str, JsonValue]) -> list[tuple[str, str]]:
    """Names with their written form, in the order of their UTF-16 code units."""
    written: list[tuple[bytes, str, str]] = []
    for name in members:
        if not isinstance(name, str):
            raise NotIJson("the name of a member is a string")
        text = _string(name)
        written.append((name.encode("utf-16-be"), name, text))
    written.sort()
    return [(name, text) for _, name, text in written]


def _string(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise NotIJson("a string holds a surrogate or a noncharacter")
    # Python escapes what RFC 8785 section 3.2.2.2 names, and in its way: short forms, lower-case hexadecimal.
    return json.dumps(text, ensure_ascii=False)


def format_number(number: float) -> str:
    """The shortest text that reads back as the same double, as ECMAScript writes it.

    Raises:
        NotIJson: infinite or not a number.
    """
    if not math.isfinite(number):
        raise NotIJson("a number is infinite or not a number")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    # repr gives the shortest digits (section 3.2.2.3 asks for them); only where the point stands differs.
    mantissa, _, exponent = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or "0") - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


def _members(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    twice = repeated_member(pairs)
    if twice is not None:
        raise NotIJson(f"member {twice[:40]!r} stands twice in one object")
    return dict(pairs)


def repeated_member(pairs: Sequence[tuple[str, object]]) -> str | None:
    """The first name that stands twice among the members that `json` read, None when none does."""
    if len(dict(pairs)) == len(pairs):
        return None
    amounts = Counter(name for name, _ in pairs)
    return next(name for name, _ in pairs if amounts[name] > 1)


def _integer(literal: str) -> int | float:
    if len(literal) <= _EXACT_DIGITS + 1:
        exact = int(literal)
        if abs(exact) <= INTEGER_MAX:
            return exact
    return _double(literal)


def _double(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise NotIJson(f"number {literal[:40]} is beyond what a double holds")
    return number


def _refuse_constant(literal: str) -> NoReturn:
    raise NotIJson(f"{literal} is not JSON")
