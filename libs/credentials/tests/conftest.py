"""Keys made from fixed seeds, and what signs with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from icn_credentials import did_key
from icn_credentials.multikey import KeyKind, PublicKey
from icn_credentials.proofs import EDDSA_JCS, MLDSA65_JCS, Suite, add_proof
from icn_crypto.suites import SigningKey
from icn_crypto.suites import Suite as SigningSuite

NOW_MS = 1_790_000_000_000
"""2026-09-21T14:13:20Z."""


@dataclass(frozen=True)
class Signer:
    """A key of each suite, and their did:keys."""

    ed25519: SigningKey
    ml_dsa: SigningKey

    @classmethod
    def of(cls, number: int) -> Signer:
        seed = bytes([number]) * 32
        return cls(SigningKey(SigningSuite.ED25519, seed), SigningKey(SigningSuite.ML_DSA_65, seed))

    @property
    def key(self) -> PublicKey:
        return PublicKey(KeyKind.ED25519, self.ed25519.public_key)

    @property
    def ml_dsa_key(self) -> PublicKey:
        return PublicKey(KeyKind.ML_DSA_65, self.ml_dsa.public_key)

    @property
    def did(self) -> str:
        return did_key.from_key(self.key)

    def add(self, document: dict[str, Any], suite: Suite = EDDSA_JCS, **options: Any) -> dict[str, Any]:
        """The document with one more proof of this signer."""
        is_post_quantum = suite is MLDSA65_JCS
        key = self.ml_dsa_key if is_post_quantum else self.key
        sign = self.ml_dsa.sign if is_post_quantum else self.ed25519.sign
        values = {"verification_method": did_key.method_id(key), "created_ms": NOW_MS - 60_000}
        return add_proof(document, suite, sign, **(values | options))


@pytest.fixture(scope="session")
def anna() -> Signer:
    return Signer.of(1)


@pytest.fixture(scope="session")
def bert() -> Signer:
    return Signer.of(2)


@pytest.fixture(scope="session")
def signed_content(anna: Signer) -> bytes:
    """A small credential with its proof."""
    form = {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiableCredential"],
        "issuer": anna.did,
        "credentialSubject": {"id": "did:example:bert"},
    }
    return json.dumps(anna.add(form)).encode()


@pytest.fixture
def membership(anna: Signer) -> dict[str, Any]:
    """A credential without proofs, issued by anna's did:key."""
    return {
        "@context": [
            "https://www.w3.org/ns/credentials/v2",
            "https://www.w3.org/ns/credentials/undefined-terms/v2",
        ],
        "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
        "type": ["VerifiableCredential", "MembershipCredential"],
        "issuer": anna.did,
        "validFrom": "2026-01-01T00:00:00Z",
        "credentialSubject": {"id": "did:example:bert", "memberOf": anna.did},
    }
