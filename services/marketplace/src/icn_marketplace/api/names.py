"""Resource names as callers write them. A refusal is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import re

from icn_kit.errors import InvalidArgument

from icn_marketplace.domain.limits import IDENTIFIER_BYTES

_NAME_CHARACTERS_MAX = 80
_PARTS = re.compile(r"([a-z]{1,16})/([0-9a-f]{1,64})\Z")


def parse_identifier(name: str, collection: str, length_bytes: int = IDENTIFIER_BYTES) -> bytes:
    """The identifier in ``collection/<hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _PARTS.match(name)
    if match is None or match[1] != collection or len(match[2]) != 2 * length_bytes:
        raise InvalidArgument(
            "MALFORMED_NAME",
            f"expected {collection}/ and {2 * length_bytes} lower-case hex digits",
            name=name[:_NAME_CHARACTERS_MAX],
        )
    return bytes.fromhex(match[2])


def parse_optional(name: str, collection: str) -> bytes:
    """As `parse_identifier`; empty for the empty name.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    return parse_identifier(name, collection) if name else b""
