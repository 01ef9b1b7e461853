"""Identifiers as REST writes them: lower-case hex without a prefix, and the resource names they stand for.

Source: docs/spec/transaction.md, "Bytes"; the names are those of ``protos/icn/ledger/v1/service.proto``.
"""

from __future__ import annotations

import re
from enum import StrEnum

from icn_kit.errors import InvalidArgument

IDENTIFIER_CHARACTERS = 32
"""16 bytes: principals, accounts, units, holds."""
DIGEST_CHARACTERS = 64
"""32 bytes: transaction ids and anchored digests."""

_HEX = re.compile(r"[0-9a-f]*\Z")


class ProofKind(StrEnum):
    """What the state tree can prove; the value is the collection of the resource name."""

    ACCOUNTS = "accounts"
    UNITS = "units"
    PRINCIPALS = "principals"
    HOLDS = "holds"
    ANCHORS = "anchors"
    ALLOWANCES = "allowances"
    RECOVERIES = "recoveries"


def require_hexadecimal(text: str, characters: int) -> str:
    """``text``, if it is this many lower-case hex digits.

    Raises:
        InvalidArgument: MALFORMED_IDENTIFIER.
    """
    if len(text) != characters or _HEX.match(text) is None:
        raise InvalidArgument(
            "MALFORMED_IDENTIFIER",
            f"must be {characters} lower-case hex digits",
            expected_characters=characters,
        )
    return text


def proof_name(kind: ProofKind, identifier: str) -> str:
    """The resource name that ``GetProof`` is asked for.

    Raises:
        InvalidArgument: MALFORMED_IDENTIFIER; anchors are named by 32 bytes, everything else by 16.
    """
    characters = DIGEST_CHARACTERS if kind is ProofKind.ANCHORS else IDENTIFIER_CHARACTERS
    return f"{kind}/{require_hexadecimal(identifier, characters)}"
