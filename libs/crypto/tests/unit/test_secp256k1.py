"""Signatures over secp256k1: what is accepted, and which key is recovered."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto import secp256k1


def signed(secret: int, digest: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    key = ec.derive_private_key(secret, ec.SECP256K1())
    signature = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(SHA256()))))
    public = key.public_key()
    return (
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        signature,
    )


@settings(max_examples=20)
@given(st.integers(1, secp256k1.ORDER - 1), st.binary(max_size=40))
def test_the_signers_key_verifies_and_is_one_of_the_two_recovered(secret: int, message: bytes) -> None:
    digest = hashlib.sha256(message).digest()
    full, short, (r, s) = signed(secret, digest)
    for signature in ((r, s), (r, secp256k1.ORDER - s)):
        assert secp256k1.verify(digest, signature, full)
        assert secp256k1.verify(digest, signature, short)
        assert full in [secp256k1.recover(digest, signature, odd) for odd in (False, True)]
    assert not secp256k1.verify(hashlib.sha256(digest).digest(), (r, s), full)


def test_a_signature_with_a_number_out_of_range_is_none() -> None:
    one, zero, order = (1).to_bytes(32, "big"), bytes(32), secp256k1.ORDER.to_bytes(32, "big")
    assert secp256k1.read_signature(one + one) == (1, 1)
    for wrong in (zero + one, one + zero, order + one, one + order):
        assert secp256k1.read_signature(wrong) is None


def test_a_point_off_the_curve_is_no_key() -> None:
    for wrong in (b"", bytes(33), b"\x04" + bytes(64), b"\x05" + bytes(32)):
        with pytest.raises(secp256k1.NotAKey):
            secp256k1.verify(bytes(32), (1, 1), wrong)


def test_an_r_that_is_no_x_of_the_curve_recovers_nothing() -> None:
    assert secp256k1.recover(bytes(32), (5, 1), False) is None
