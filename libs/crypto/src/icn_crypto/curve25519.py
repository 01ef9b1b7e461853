"""Ed25519 keys as X25519 keys, to agree on a secret with who signs: the map of RFC 7748, section 4.1.

Source: docs/spec/cryptography.md, "Keys to agree with".
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError


class NoAgreementKey(ValueError):
    """The bytes are no Ed25519 key to agree with."""


def x25519_public_key(ed25519_key: bytes) -> bytes:
    """The X25519 key, 32 bytes, of an Ed25519 key.

    Raises:
        NoAgreementKey: no point of prime order, which would give anybody the secret.
    """
    try:
        found: bytes = bindings.crypto_sign_ed25519_pk_to_curve25519(ed25519_key)
    except (CryptoError, ValueError):
        raise NoAgreementKey("no Ed25519 point of prime order") from None
    return found


def x25519_private_key(seed: bytes) -> bytes:
    """The X25519 private key, 32 bytes, of an Ed25519 seed of 32 bytes."""
    _, secret_key = bindings.crypto_sign_seed_keypair(seed)
    found: bytes = bindings.crypto_sign_ed25519_sk_to_curve25519(secret_key)
    return found
