"""SHA-256 and the one preimage under which anything is signed or hashed.

Source: docs/spec/cryptography.md, "Preimages and domain tags".
"""

import hashlib
from functools import lru_cache
from typing import Final

HASH_BYTES: Final = 32

HEADS_KEPT: Final = 256
"""More than there are tags; a process has to do with one zone, or a few."""

NO_GENESIS: Final = bytes(HASH_BYTES)
"""In place of the genesis hash before there is one: tags GENESIS, KEY, VALIDATOR_SET, STATE_KEY, LOT."""


def sha256(data: bytes) -> bytes:
    """SHA-256 of the bytes, 32 bytes."""
    return hashlib.sha256(data).digest()


def preimage(tag: str, genesis_hash: bytes, body: bytes) -> bytes:
    """u32be length of tag ‖ tag ‖ genesis hash ‖ u32be length of body ‖ body.

    Every part is length-prefixed or of fixed length, so no two different triples share a preimage.
    """
    return _head(tag, genesis_hash) + len(body).to_bytes(4, "big") + body


@lru_cache(HEADS_KEPT)
def _head(tag: str, genesis_hash: bytes) -> bytes:
    """What a preimage begins with, the same for everything of a kind in a zone."""
    assert len(genesis_hash) == HASH_BYTES, "callers pass a hash; another length is our bug"
    encoded_tag = tag.encode("ascii")
    return len(encoded_tag).to_bytes(4, "big") + encoded_tag + genesis_hash


def domain_hash(tag: str, genesis_hash: bytes, body: bytes) -> bytes:
    """SHA-256 of the preimage, 32 bytes."""
    return hashlib.sha256(preimage(tag, genesis_hash, body)).digest()
