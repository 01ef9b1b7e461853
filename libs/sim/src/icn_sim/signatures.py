"""Signatures of a simulation: keyed hashes, so that a run measures the core and not the curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from icn_consensus.domain.ports import SignedItem
from icn_crypto.hashing import preimage, sha256
from icn_crypto.suites import SignedItem as SignedBytes

from icn_sim.zone import GENESIS_HASH

SIGNATURES_KEPT: Final = 4_096
"""Who receives a message verifies what its sender signed shortly before."""


@dataclass(slots=True)
class SimulatedCrypto:
    """Signatures that anybody could forge, and nobody in a simulation does; counts what they would cost."""

    public_key: bytes
    signed: int = 0
    verified: int = 0

    def sign(self, tag: str, body: bytes) -> bytes:
        """64 bytes that depend on key, tag and body."""
        self.signed += 1
        return _sign(self.public_key, tag, body)

    def verify(self, items: Sequence[SignedItem]) -> list[bool]:
        """Verdicts by computing the signatures again."""
        self.verified += len(items)
        return [_is_of(_sign(key, tag, body), signature) for key, tag, body, signature in items]


def verify_signed(items: Sequence[SignedBytes]) -> list[bool]:
    """Verdicts of `SimulatedCrypto` on (suite, key, preimage, signature)."""
    return [_is_of(_signature_of(key, signed), signature) for _, key, signed, signature in items]


def cofactored(signature: bytes) -> bytes:
    """Another valid signature of the same, in place of one that is valid only with the cofactor."""
    return signature[:32] + sha256(signature)


def _is_of(expected: bytes, signature: bytes) -> bool:
    return signature == expected or signature == cofactored(expected)


@lru_cache(SIGNATURES_KEPT)
def _sign(public_key: bytes, tag: str, body: bytes) -> bytes:
    return _signature_of(public_key, preimage(tag, GENESIS_HASH, body))


def _signature_of(public_key: bytes, signed: bytes) -> bytes:
    digest = sha256(sha256(b"secret" + public_key) + signed)
    return digest + sha256(digest)
