"""Shared secrets: ML-KEM (FIPS 203) and X25519 (RFC 7748), by the names the command line uses."""

from enum import Enum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import mlkem as wheel
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from icn_crypto import mlkem

SEED_BYTES: Final = 64
"""ML-KEM: d ‖ z."""
X25519_BYTES: Final = 32


class KemAlgorithm(Enum):
    """What can be decapsulated."""

    ML_KEM_768 = "ml-kem-768"
    ML_KEM_1024 = "ml-kem-1024"
    X25519 = "x25519"


class KemRefusal(ValueError):
    """There is no shared secret for these bytes: a wrong length, a damaged key, or a point of small order."""


_PARAMETERS: Final = {
    KemAlgorithm.ML_KEM_768: mlkem.ML_KEM_768,
    KemAlgorithm.ML_KEM_1024: mlkem.ML_KEM_1024,
}


def decapsulate_from_seed(algorithm: KemAlgorithm, seed: bytes, ciphertext: bytes) -> bytes:
    """Shared secret, 32 bytes, from the seed (ML-KEM: d ‖ z; X25519: the private key).

    Raises:
        KemRefusal: a wrong length; X25519: the shared secret would be all zeros.
    """
    if algorithm is KemAlgorithm.X25519:
        return _exchange(seed, ciphertext)
    key = _private_key(algorithm, seed)
    if len(ciphertext) != _PARAMETERS[algorithm].ciphertext_bytes:
        raise KemRefusal(f"a ciphertext has {_PARAMETERS[algorithm].ciphertext_bytes} bytes")
    return key.decapsulate(ciphertext)


def decapsulate_from_key(algorithm: KemAlgorithm, key: bytes, ciphertext: bytes) -> bytes:
    """Shared secret, 32 bytes, from the private key (ML-KEM: FIPS 203's expanded decapsulation key).

    Raises:
        KemRefusal: as above, or a decapsulation key whose parts contradict each other.
    """
    if algorithm is KemAlgorithm.X25519:
        return _exchange(key, ciphertext)
    try:
        return mlkem.decapsulate(_PARAMETERS[algorithm], key, ciphertext)
    except mlkem.InvalidInput as error:
        raise KemRefusal(str(error)) from error


def public_from_seed(algorithm: KemAlgorithm, seed: bytes) -> bytes:
    """Public (encapsulation) key of a seed.

    Raises:
        KemRefusal: a wrong length.
    """
    if algorithm is KemAlgorithm.X25519:
        return _x25519(seed).public_key().public_bytes_raw()
    return _private_key(algorithm, seed).public_key().public_bytes_raw()


def _private_key(
    algorithm: KemAlgorithm, seed: bytes
) -> wheel.MLKEM768PrivateKey | wheel.MLKEM1024PrivateKey:
    if len(seed) != SEED_BYTES:
        raise KemRefusal(f"a seed has {SEED_BYTES} bytes, d and z")
    if algorithm is KemAlgorithm.ML_KEM_768:
        return wheel.MLKEM768PrivateKey.from_seed_bytes(seed)
    return wheel.MLKEM1024PrivateKey.from_seed_bytes(seed)


def _x25519(private_key: bytes) -> X25519PrivateKey:
    if len(private_key) != X25519_BYTES:
        raise KemRefusal(f"a private key has {X25519_BYTES} bytes")
    return X25519PrivateKey.from_private_bytes(private_key)


def _exchange(private_key: bytes, public_key: bytes) -> bytes:
    key = _x25519(private_key)
    if len(public_key) != X25519_BYTES:
        raise KemRefusal(f"a public key has {X25519_BYTES} bytes")
    try:
        return key.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError as error:
        # RFC 7748, section 6.1: a peer with a point of small order fixes the secret at zero.
        raise KemRefusal("the shared secret would be all zeros") from error
