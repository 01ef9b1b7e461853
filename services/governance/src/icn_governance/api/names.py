"""Resource names as callers write them. A refusal is INVALID_ARGUMENT with reason MALFORMED_NAME."""

from __future__ import annotations

import re

from icn_kit.errors import InvalidArgument

_PARTS = re.compile(r"([a-z]{1,16})/([0-9a-f]{1,64})")
_NAME_CHARACTERS_MAX = 80


def parse_name(name: str, collection: str, length_bytes: int = 16) -> bytes:
    """The id in ``collection/<hex>``. Raises InvalidArgument."""
    found = _PARTS.fullmatch(name) if len(name) <= _NAME_CHARACTERS_MAX else None
    if found is None or found[1] != collection or len(found[2]) != 2 * length_bytes:
        raise InvalidArgument(
            "MALFORMED_NAME",
            f"expected {collection}/ and {2 * length_bytes} lower-case hex digits",
            name=name[:_NAME_CHARACTERS_MAX],
        )
    return bytes.fromhex(found[2])


def parse_optional(name: str, collection: str) -> bytes | None:
    """The id, None for the empty name. Raises InvalidArgument."""
    return parse_name(name, collection) if name else None
