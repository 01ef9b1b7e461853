"""Reading canonical JSON that comes from outside, member by member, so that a refusal names the place."""

from __future__ import annotations

import re
from typing import Any, Final

from icn_crypto.jcs import JsonValue, NotIJson, canonicalize, parse

from icn_tally.faults import printable

IDENTIFIER_BYTES: Final = 16
HASH_BYTES: Final = 32
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class InvalidDocument(ValueError):
    """The bytes are not the document they should be; ``place`` names the member."""

    def __init__(self, place: str, fault: str) -> None:
        super().__init__(f"{printable(place)}: {fault}" if place else fault)
        self.place = place
        self.fault = fault


class Form:
    """An object of a document, read once, member by member."""

    def __init__(self, value: object, place: str, names: tuple[str, ...]) -> None:
        if not isinstance(value, dict):
            raise InvalidDocument(place, "an object is expected")
        self._value: dict[str, Any] = value
        self._prefix = f"{place}." if place else ""
        for name in names:
            if name not in value:
                raise InvalidDocument(self.place(name), "is missing")
        for name in value:
            if name not in names:
                raise InvalidDocument(self.place(str(name)[:40] or "''"), "is unknown")

    def place(self, name: str) -> str:
        """Where a member stands."""
        return f"{self._prefix}{name}"

    def raw(self, name: str) -> Any:
        """A member as it is."""
        return self._value[name]

    def constant(self, name: str, expected: str) -> None:
        """Pass when the member is this word."""
        if self._value[name] != expected:
            raise InvalidDocument(self.place(name), f"{expected} is expected")

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of several words."""
        value = self._value[name]
        if not isinstance(value, str) or value not in choices:
            raise InvalidDocument(self.place(name), f"one of {', '.join(choices)} is expected")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number within limits."""
        value = self._value[name]
        if type(value) is not int or not low <= value <= high:
            raise InvalidDocument(self.place(name), f"a whole number from {low} to {high} is expected")
        return value

    def decimal(self, name: str, low: int, high: int) -> int:
        """A whole number within limits, written as a string because it may pass 2^53."""
        value = self._value[name]
        is_number = isinstance(value, str) and _DECIMAL.fullmatch(value) is not None and value != "-0"
        if not is_number or not low <= int(value) <= high:
            raise InvalidDocument(self.place(name), f"a decimal string from {low} to {high} is expected")
        return int(value)

    def hex(self, name: str, length_bytes: int) -> bytes:
        """Bytes of a fixed length in lower-case hex."""
        return hex_bytes(self._value[name], self.place(name), length_bytes)

    def line(self, name: str, characters_max: int) -> str:
        """1 to so many characters, none of them a control character."""
        return line_of(self._value[name], self.place(name), characters_max)

    def text(self, name: str, characters_max: int) -> str:
        """1 to so many characters; of the control characters only line feeds."""
        value = self._value[name]
        line_of(
            value.replace("\n", " ") if isinstance(value, str) else value, self.place(name), characters_max
        )
        return str(value)

    def list(self, name: str, low: int, high: int) -> list[Any]:
        """An array of so many."""
        value = self._value[name]
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise InvalidDocument(self.place(name), f"an array of {low} to {high} is expected")
        return value


def hex_bytes(value: object, place: str, length_bytes: int) -> bytes:
    """Bytes of a fixed length in lower-case hex. Raises InvalidDocument."""
    if not isinstance(value, str) or len(value) != 2 * length_bytes or _HEX.fullmatch(value) is None:
        raise InvalidDocument(place, f"{length_bytes} bytes in lower-case hex are expected")
    return bytes.fromhex(value)


def line_of(value: object, place: str, characters_max: int) -> str:
    """1 to so many characters, none of them a control character. Raises InvalidDocument."""
    if not isinstance(value, str) or not 1 <= len(value) <= characters_max or _CONTROL.search(value):
        raise InvalidDocument(
            place, f"1 to {characters_max} characters without control characters are expected"
        )
    return value


def read_canonical(data: bytes, bytes_max: int) -> JsonValue:
    """The value whose canonical bytes these are.

    Raises:
        InvalidDocument: too long, not JSON, or written in another way.
    """
    if len(data) > bytes_max:
        raise InvalidDocument("", f"{len(data)} bytes, at most {bytes_max} are allowed")
    try:
        value = parse(data)
        is_canonical = canonicalize(value) == data
    except NotIJson as error:
        raise InvalidDocument("", str(error)) from None
    if not is_canonical:
        raise InvalidDocument("", "not in the form of RFC 8785")
    return value
