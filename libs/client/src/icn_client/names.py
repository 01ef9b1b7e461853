"""Ids in the resource names that services give."""

from __future__ import annotations

import re
from typing import Final

from icn_kit.errors import InvalidArgument

_HEX: Final = re.compile(r"[0-9a-f]+")


def identifier_in(name: str, collection: str, length_bytes: int = 16) -> bytes:
    """The id in a resource name that a service gave.

    Raises:
        InvalidArgument: it is none (MALFORMED_NAME).
    """
    folder, _, digits = name.partition("/")
    is_hex = len(digits) == 2 * length_bytes and _HEX.fullmatch(digits) is not None
    found = bytes.fromhex(digits) if is_hex else b""
    if folder != collection or len(found) != length_bytes:
        raise InvalidArgument("MALFORMED_NAME", f"{name[:80]!r} is not of {collection}/…")
    return found
