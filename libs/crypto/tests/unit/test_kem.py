"""Shared secrets: the integer decapsulation against the wheel, and refusals."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem as wheel
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto import kem, mlkem
from icn_crypto.kem import KemAlgorithm, KemRefusal

ML_KEM = [KemAlgorithm.ML_KEM_768, KemAlgorithm.ML_KEM_1024]
PARAMETERS = {KemAlgorithm.ML_KEM_768: mlkem.ML_KEM_768, KemAlgorithm.ML_KEM_1024: mlkem.ML_KEM_1024}
PUBLIC = {
    KemAlgorithm.ML_KEM_768: wheel.MLKEM768PublicKey,
    KemAlgorithm.ML_KEM_1024: wheel.MLKEM1024PublicKey,
}


def expanded_key(algorithm: KemAlgorithm, seed: bytes) -> bytes:
    """FIPS 203, algorithm 13: dk from d ‖ z, with the public key that the wheel makes."""
    parameters = PARAMETERS[algorithm]
    public_key = kem.public_from_seed(algorithm, seed)
    noise_seed = hashlib.sha3_512(seed[:32] + bytes([parameters.k])).digest()[32:]
    secret = b"".join(
        mlkem._encode(mlkem._transform(mlkem._sample_binomial(noise_seed, counter)), 12)
        for counter in range(parameters.k)
    )
    return secret + public_key + hashlib.sha3_256(public_key).digest() + seed[32:]


@pytest.mark.parametrize("algorithm", ML_KEM)
@settings(max_examples=8)
@given(seed=st.binary(min_size=64, max_size=64), garbage=st.randoms(use_true_random=False))
def test_an_expanded_key_opens_what_its_seed_opens(algorithm: KemAlgorithm, seed: bytes, garbage) -> None:
    key = expanded_key(algorithm, seed)
    shared, ciphertext = (
        PUBLIC[algorithm].from_public_bytes(kem.public_from_seed(algorithm, seed)).encapsulate()
    )
    assert kem.decapsulate_from_seed(algorithm, seed, ciphertext) == shared
    assert kem.decapsulate_from_key(algorithm, key, ciphertext) == shared
    # A ciphertext that nobody made gives both the same secret, which says nothing.
    other = garbage.randbytes(len(ciphertext))
    rejected = kem.decapsulate_from_seed(algorithm, seed, other)
    assert kem.decapsulate_from_key(algorithm, key, other) == rejected != shared


@pytest.mark.parametrize("algorithm", ML_KEM)
def test_wrong_lengths_and_damaged_keys_are_refused(algorithm: KemAlgorithm) -> None:
    seed = bytes(64)
    key = expanded_key(algorithm, seed)
    ciphertext = bytes(PARAMETERS[algorithm].ciphertext_bytes)
    for wrong in (seed[:-1], seed + b"\x00", b""):
        with pytest.raises(KemRefusal):
            kem.decapsulate_from_seed(algorithm, wrong, ciphertext)
        with pytest.raises(KemRefusal):
            kem.public_from_seed(algorithm, wrong)
    for wrong in (ciphertext[:-1], ciphertext + b"\x00", b""):
        with pytest.raises(KemRefusal):
            kem.decapsulate_from_seed(algorithm, seed, wrong)
        with pytest.raises(KemRefusal):
            kem.decapsulate_from_key(algorithm, key, wrong)
    at = 384 * PARAMETERS[algorithm].k
    flipped = key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :]
    for wrong in (key[:-1], key + b"\x00", flipped, b""):
        with pytest.raises(KemRefusal):
            kem.decapsulate_from_key(algorithm, wrong, ciphertext)


def test_x25519_agrees_with_itself_and_clamps() -> None:
    private_1, private_2 = bytes(range(32)), bytes(range(32, 64))
    public_1, public_2 = (kem.public_from_seed(KemAlgorithm.X25519, key) for key in (private_1, private_2))
    shared = kem.decapsulate_from_key(KemAlgorithm.X25519, private_1, public_2)
    assert shared == kem.decapsulate_from_seed(KemAlgorithm.X25519, private_2, public_1)
    unclamped = bytes([private_1[0] | 7]) + private_1[1:]
    assert kem.decapsulate_from_key(KemAlgorithm.X25519, unclamped, public_2) == shared


@pytest.mark.parametrize("public_key", [bytes(32), b"\x01" + bytes(31), bytes(31), bytes(33), b""])
def test_x25519_refuses_points_that_fix_the_secret_and_wrong_lengths(public_key: bytes) -> None:
    with pytest.raises(KemRefusal):
        kem.decapsulate_from_key(KemAlgorithm.X25519, bytes(range(32)), public_key)
    with pytest.raises(KemRefusal):
        kem.decapsulate_from_key(KemAlgorithm.X25519, bytes(31), b"\x09" + bytes(31))
