"""Reading the members of objects that come from a user's file, with errors that name the place."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")


class InvalidMember(ValueError):
    """A member of an object in a file is missing or is not what it should be."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"{name}: {expected}")
        self.name = name


def as_object(form: object) -> Mapping[str, object]:
    """The object itself.

    Raises:
        InvalidMember: it is not one.
    """
    if not isinstance(form, dict):
        raise InvalidMember("object", "expected, with the members of the file's kind")
    return form


def text_member(form: Mapping[str, object], name: str) -> str:
    """A string that must be there.

    Raises:
        InvalidMember: missing or of another type.
    """
    value = form.get(name)
    if not isinstance(value, str):
        raise InvalidMember(name, "a string is expected")
    return value


def hex_member(form: Mapping[str, object], name: str, default: str | None = None) -> bytes:
    """Bytes written in hexadecimal.

    Raises:
        InvalidMember: missing without a default, of another type, or not hexadecimal.
    """
    value = form.get(name, default)
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise InvalidMember(name, "bytes in hexadecimal are expected")
    return bytes.fromhex(value)


def base64_member(form: Mapping[str, object], name: str) -> bytes:
    """Bytes written in standard base64; empty for null.

    Raises:
        InvalidMember: missing, of another type, or not base64.
    """
    if name not in form:
        raise InvalidMember(name, "bytes in base64 are expected")
    return base64_bytes(form[name], name)


def base64_bytes(value: object, name: str) -> bytes:
    """As ``base64_member``, of a value that stands in a list."""
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise InvalidMember(name, "bytes in base64 are expected")


def integer_member(form: Mapping[str, object], name: str) -> int:
    """A whole number.

    Raises:
        InvalidMember: missing or of another type.
    """
    value = form.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidMember(name, "a whole number is expected")
    return value
