"""What the core needs from outside while it computes: signatures, synchronously."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

SignedItem = tuple[bytes, str, bytes, bytes]
"""(Ed25519 public key, domain tag, body, signature)."""


class Crypto(Protocol):
    """Signs with this seat's consensus key and verifies others', over preimages of tag, genesis and body."""

    def sign(self, tag: str, body: bytes) -> bytes:
        """Ed25519 signature over the preimage {tag, genesis hash, body}, 64 bytes."""
        ...

    def verify(self, items: Sequence[SignedItem]) -> list[bool]:
        """One verdict per item, in order; never raises on bad bytes."""
        ...
