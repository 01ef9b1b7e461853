"""Resource names and page sizes as callers write them. A refusal is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import re

from icn_kit.errors import InvalidArgument

from icn_ledger.domain.limits import DIGEST_BYTES, IDENTIFIER_BYTES, QUANTITY_MAX
from icn_ledger.domain.records import Namespace

_NAME_CHARACTERS_MAX = 80
"""The longest name is ``transactions/`` and 64 hex digits."""
_PARTS = re.compile(r"([a-z]{1,16})/([0-9a-f]{1,64})\Z")
_HEIGHT = re.compile(r"blocks/(0|[1-9][0-9]{0,18})\Z")

_PROVABLE: dict[str, tuple[Namespace, int]] = {
    "principals": (Namespace.CONTROLLER, IDENTIFIER_BYTES),
    "units": (Namespace.UNIT, IDENTIFIER_BYTES),
    "accounts": (Namespace.ACCOUNT, IDENTIFIER_BYTES),
    "holds": (Namespace.HOLD, IDENTIFIER_BYTES),
    "anchors": (Namespace.ANCHOR, DIGEST_BYTES),
    "allowances": (Namespace.ALLOWANCE, IDENTIFIER_BYTES),
    "recoveries": (Namespace.RECOVERY, IDENTIFIER_BYTES),
}


def _malformed(name: str, expected: str) -> InvalidArgument:
    return InvalidArgument("MALFORMED_NAME", f"expected {expected}", name=name[:_NAME_CHARACTERS_MAX])


def parse_identifier(name: str, collection: str, length_bytes: int = IDENTIFIER_BYTES) -> bytes:
    """The identifier in ``collection/<hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _PARTS.match(name)
    if match is None or match[1] != collection or len(match[2]) != 2 * length_bytes:
        raise _malformed(name, f"{collection}/ and {2 * length_bytes} lower-case hex digits")
    return bytes.fromhex(match[2])


def parse_provable(name: str) -> tuple[Namespace, bytes]:
    """Namespace and identifier of a leaf, such as ``accounts/<32 hex>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _PARTS.match(name)
    if match is None or match[1] not in _PROVABLE:
        raise _malformed(name, f"one of {', '.join(_PROVABLE)}, a slash and lower-case hex digits")
    namespace, length_bytes = _PROVABLE[match[1]]
    return namespace, parse_identifier(name, match[1], length_bytes)


def parse_height(name: str) -> int:
    """The height in ``blocks/<height>``.

    Raises:
        InvalidArgument: MALFORMED_NAME.
    """
    match = _HEIGHT.match(name)
    if match is None or int(match[1]) > QUANTITY_MAX:
        raise _malformed(name, "blocks/ and a height without leading zeros")
    return int(match[1])
