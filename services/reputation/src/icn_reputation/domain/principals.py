"""Principals as names: the engine of scores knows members by text, the database by 16 bytes."""

from __future__ import annotations

import re
from typing import Final

IDENTIFIER_BYTES: Final = 16
COLLECTION: Final = "principals"
_NAME: Final = re.compile(rf"{COLLECTION}/[0-9a-f]{{{2 * IDENTIFIER_BYTES}}}")


def name_of(principal: bytes) -> str:
    """``principals/<32 hex>``; names ascend as identifiers do."""
    assert len(principal) == IDENTIFIER_BYTES
    return f"{COLLECTION}/{principal.hex()}"


def identifier_of(name: str) -> bytes:
    """The 16 bytes of ``principals/<32 hex>``.

    Raises:
        ValueError: it is not of that form.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError(name)
    return bytes.fromhex(name.partition("/")[2])
