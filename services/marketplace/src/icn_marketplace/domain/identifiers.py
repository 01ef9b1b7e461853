"""Ids of what a command makes, known to whoever signed it. Source: docs/spec/marketplace.md, "Ids"."""

from __future__ import annotations

from icn_crypto import tags
from icn_crypto.hashing import domain_hash

from icn_marketplace.domain.limits import IDENTIFIER_BYTES


def derive_identifier(genesis_hash: bytes, command_id: bytes, kind: str) -> bytes:
    """The id, 16 bytes, of the ``kind`` (such as ``agreement``) that this command (32 bytes) makes."""
    return domain_hash(tags.MARKETPLACE_ID, genesis_hash, command_id + kind.encode("ascii"))[
        :IDENTIFIER_BYTES
    ]
