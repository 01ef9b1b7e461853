"""Resource names as callers write them. A refusal is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import re

from icn_identity.domain.refusals import malformed_name

_PARTS = re.compile(r"([a-z]{1,16})/([0-9a-f]{32})\Z")


def parse_identifier(name: str, collection: str) -> bytes:
    """The 16 bytes in ``collection/<32 hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    matched = _PARTS.match(name)
    if matched is None or matched[1] != collection:
        raise malformed_name(name, f"{collection}/ and 32 lower-case hex digits")
    return bytes.fromhex(matched[2])
