"""Signatures for the core: this seat's consensus key, and everybody's public ones."""

from __future__ import annotations

from collections.abc import Sequence

from icn_crypto.hashing import preimage
from icn_crypto.suites import SigningKey, Suite, verify_batch

from icn_consensus.domain.ports import SignedItem


class ConsensusCrypto:
    """`domain.ports.Crypto` over ``icn_crypto``, for one zone."""

    def __init__(self, key: SigningKey, genesis_hash: bytes) -> None:
        assert key.suite is Suite.ED25519, (
            "certificates of protocol version 1 are lists of Ed25519 signatures"
        )
        self._key = key
        self._genesis_hash = genesis_hash

    def sign(self, tag: str, body: bytes) -> bytes:
        """Ed25519 signature over the preimage {tag, genesis hash, body}."""
        return self._key.sign(preimage(tag, self._genesis_hash, body))

    def verify(self, items: Sequence[SignedItem]) -> list[bool]:
        """One verdict per item, in order."""
        return verify_batch(
            [
                (Suite.ED25519, public_key, preimage(tag, self._genesis_hash, body), signature)
                for public_key, tag, body, signature in items
            ]
        )
