"""A signature is of one zone, one kind of message and one key."""

from __future__ import annotations

from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_crypto import tags
from icn_crypto.suites import SigningKey, Suite

KEY = SigningKey.from_seed(Suite.ED25519, bytes(range(32)))
OTHER = SigningKey.from_seed(Suite.ED25519, b"o" * 32)
ZONE, ANOTHER = b"g" * 32, b"h" * 32


def test_what_was_signed_for_another_zone_kind_body_or_key_is_not_valid() -> None:
    crypto = ConsensusCrypto(KEY, ZONE)
    signature = crypto.sign(tags.FINALIZE, b"body")
    items = [
        (KEY.public_key, tags.FINALIZE, b"body", signature),
        (KEY.public_key, tags.NULLIFY, b"body", signature),
        (KEY.public_key, tags.FINALIZE, b"another", signature),
        (OTHER.public_key, tags.FINALIZE, b"body", signature),
        (KEY.public_key, tags.FINALIZE, b"body", signature[:-1] + b"\0"),
        (
            KEY.public_key,
            tags.FINALIZE,
            b"body",
            ConsensusCrypto(KEY, bytes(32)).sign(tags.FINALIZE, b"body"),
        ),
    ]
    assert crypto.verify(items) == [True] + [False] * 5
    assert ConsensusCrypto(OTHER, ANOTHER).verify(items) == [False] * 6, "certificates of another genesis"
