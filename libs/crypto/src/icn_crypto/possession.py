"""Proof that who offers a consensus key for an organization's seat has its secret part.

Source: docs/spec/cryptography.md, "Preimages and domain tags"; docs/spec/transaction.md, "Seats".
"""

from __future__ import annotations

from icn_crypto import tags
from icn_crypto.hashing import preimage
from icn_crypto.suites import SigningKey, verify


def prove_possession(key: SigningKey, genesis_hash: bytes, organization: bytes) -> bytes:
    """The signature that goes with the public key into an offer."""
    return key.sign(_signed(genesis_hash, organization, key.public_key))


def is_possessed(
    suite: int, public_key: bytes, possession: bytes, genesis_hash: bytes, organization: bytes
) -> bool:
    """Whether the proof holds; for a key that may be registered."""
    return verify(suite, public_key, _signed(genesis_hash, organization, public_key), possession)


def _signed(genesis_hash: bytes, organization: bytes, public_key: bytes) -> bytes:
    return preimage(tags.CONSENSUS_KEY, genesis_hash, organization + public_key)
