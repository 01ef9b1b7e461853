"""Signature suites: keys, key ids, signing and verification, by number.

Source: docs/spec/cryptography.md, "Suites" and "Key ids".
"""

import secrets
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from nacl import bindings

from icn_crypto import ed25519, mldsa
from icn_crypto.ed25519 import Verdict
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.tags import KEY

KEY_ID_BYTES: Final = 16
SEED_BYTES: Final = 32

SignedItem = tuple[int, bytes, bytes, bytes]
"""Suite, public key, message, signature."""


class Suite(IntEnum):
    """Which scheme a key or signature belongs to. Numbers are never reused."""

    ED25519 = 1
    ML_DSA_65 = 2
    """FIPS 204, pure, empty context."""


SUITE_NAMES: Final[Mapping[Suite, str]] = {Suite.ED25519: "ed25519", Suite.ML_DSA_65: "ml_dsa_65"}
"""As documents write them."""
PUBLIC_KEY_BYTES: Final[Mapping[Suite, int]] = {Suite.ED25519: 32, Suite.ML_DSA_65: 1952}
SIGNATURE_BYTES: Final[Mapping[Suite, int]] = {Suite.ED25519: 64, Suite.ML_DSA_65: 3309}


class InvalidPublicKey(ValueError):
    """The bytes may not be registered as a public key."""


def key_id(public_keys: Mapping[Suite, bytes]) -> bytes:
    """Name of a key, 16 bytes, from its public keys of all suites (at least one)."""
    assert public_keys, "a key has at least one public key"
    body = b"".join(
        int(suite).to_bytes(2, "big") + len(public_key).to_bytes(4, "big") + public_key
        for suite, public_key in sorted(public_keys.items())
    )
    return domain_hash(KEY, NO_GENESIS, body)[:KEY_ID_BYTES]


def check_public_key(suite: int, public_key: bytes) -> None:
    """Refuse what may not be registered.

    Ed25519: the canonical encoding of a point of prime order, so that no two encodings name one key and no
    signature of small order passes. ML-DSA: the length; every string of that length is a key.

    Raises:
        InvalidPublicKey: an unknown suite, or bytes its rule refuses.
    """
    try:
        known = Suite(suite)
    except ValueError:
        raise InvalidPublicKey(f"suite {suite} is not known") from None
    if len(public_key) != PUBLIC_KEY_BYTES[known]:
        raise InvalidPublicKey(
            f"{len(public_key)} bytes, a key of {known.name} has {PUBLIC_KEY_BYTES[known]}"
        )
    if known is Suite.ED25519 and not ed25519.is_prime_order_key(public_key):
        raise InvalidPublicKey("not the canonical encoding of a point of prime order")


def verify(suite: int, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is valid; False for an unknown suite and for bytes of any wrong shape."""
    if suite == Suite.ED25519:
        return ed25519.verdict(public_key, message, signature) is not Verdict.INVALID
    if suite == Suite.ML_DSA_65:
        return mldsa.verify(mldsa.ParameterSet.ML_DSA_65, public_key, message, signature)
    return False


def verify_strictly(suite: int, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """As `verify`, for Ed25519 by the strict rule, with a key that may be registered: what the chain asks of
    signatures that a block may hold although they are bad."""
    if suite == Suite.ED25519:
        return ed25519.is_strictly_valid(public_key, message, signature)
    return verify(suite, public_key, message, signature)


def verify_batch(items: Sequence[SignedItem]) -> list[bool]:
    """``verify`` of each item, in order; faster for many. Never raises on bad bytes."""
    chosen = [item[1:] for item in items if item[0] == Suite.ED25519]
    valid = ed25519.verify_batch(chosen)
    if len(valid) == len(items):
        return valid
    answers = iter(valid)
    return [next(answers) if item[0] == Suite.ED25519 else verify(*item) for item in items]


def verdict_batch(items: Sequence[SignedItem]) -> list[Verdict]:
    """The verdict of each item, in order; suites other than Ed25519 are VALID or INVALID."""
    chosen = [item[1:] for item in items if item[0] == Suite.ED25519]
    verdicts = ed25519.verdicts(chosen)
    if len(verdicts) == len(items):
        return verdicts
    answers = iter(verdicts)
    return [
        next(answers) if item[0] == Suite.ED25519 else (Verdict.VALID if verify(*item) else Verdict.INVALID)
        for item in items
    ]


def ed25519_verdict(public_key: bytes, message: bytes, signature: bytes) -> Verdict:
    """The ZIP-215 verdict of one signature; wrong lengths are INVALID."""
    return ed25519.verdict(public_key, message, signature)


class SigningKey:
    """A private key. Made from its seed; the seed is all that is ever stored."""

    __slots__ = ("_private", "public_key", "seed", "suite")

    suite: Suite
    public_key: bytes
    """Canonical encoding."""
    seed: bytes
    """32 secret bytes."""

    def __init__(self, suite: Suite, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes")
        self.suite = suite
        self.seed = seed
        self._private: bytes | MLDSA65PrivateKey
        if suite is Suite.ED25519:
            self.public_key, self._private = bindings.crypto_sign_seed_keypair(seed)
        else:
            self._private = MLDSA65PrivateKey.from_seed_bytes(seed)
            self.public_key = self._private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, suite: Suite) -> "SigningKey":
        """A new key from the system's randomness."""
        return cls(suite, secrets.token_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, suite: Suite, seed: bytes) -> "SigningKey":
        """The key of a stored seed.

        Raises:
            ValueError: the seed is not 32 bytes long.
        """
        return cls(suite, seed)

    def sign(self, message: bytes) -> bytes:
        """Signature over the message; Ed25519 always the same, ML-DSA-65 hedged with fresh randomness."""
        if isinstance(self._private, bytes):
            signed: bytes = bindings.crypto_sign(message, self._private)
            return signed[: ed25519.SIGNATURE_BYTES]
        return self._private.sign(message)

    def __repr__(self) -> str:
        """Names the public key; a seed never reaches a log."""
        return f"SigningKey({self.suite.name}, public_key={self.public_key.hex()[:16]}…)"
