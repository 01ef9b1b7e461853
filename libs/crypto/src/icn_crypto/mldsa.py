"""ML-DSA (FIPS 204), pure mode: verification and public keys from seeds, for all three parameter sets.

Source: FIPS 204, algorithms 3 and 6; implemented by `cryptography`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import mldsa

CONTEXT_BYTES_MAX: Final = 255
SEED_BYTES: Final = 32
MU_BYTES: Final = 64


class ParameterSet(Enum):
    """Security categories 2, 3 and 5."""

    ML_DSA_44 = "ml-dsa-44"
    ML_DSA_65 = "ml-dsa-65"
    ML_DSA_87 = "ml-dsa-87"


_PublicKey: TypeAlias = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
_PrivateKey: TypeAlias = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey

_PUBLIC_KEYS: Final[Mapping[ParameterSet, type[_PublicKey]]] = {
    ParameterSet.ML_DSA_44: mldsa.MLDSA44PublicKey,
    ParameterSet.ML_DSA_65: mldsa.MLDSA65PublicKey,
    ParameterSet.ML_DSA_87: mldsa.MLDSA87PublicKey,
}
_PRIVATE_KEYS: Final[Mapping[ParameterSet, type[_PrivateKey]]] = {
    ParameterSet.ML_DSA_44: mldsa.MLDSA44PrivateKey,
    ParameterSet.ML_DSA_65: mldsa.MLDSA65PrivateKey,
    ParameterSet.ML_DSA_87: mldsa.MLDSA87PrivateKey,
}


def verify(
    parameter_set: ParameterSet, public_key: bytes, message: bytes, signature: bytes, context: bytes = b""
) -> bool:
    """Whether the signature is valid; False for wrong lengths and for a context of more than 255 bytes."""
    if len(context) > CONTEXT_BYTES_MAX:
        return False
    try:
        key = _PUBLIC_KEYS[parameter_set].from_public_bytes(public_key)
        key.verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_mu(parameter_set: ParameterSet, public_key: bytes, mu: bytes, signature: bytes) -> bool:
    """Whether the signature is valid for a message representative (μ, 64 bytes) computed elsewhere."""
    if len(mu) != MU_BYTES:
        return False
    try:
        _PUBLIC_KEYS[parameter_set].from_public_bytes(public_key).verify_mu(signature, mu)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_from_seed(parameter_set: ParameterSet, seed: bytes) -> bytes:
    """Public key of a 32-byte seed (ξ).

    Raises:
        ValueError: the seed has another length.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed of ML-DSA has {SEED_BYTES} bytes, not {len(seed)}")
    return _PRIVATE_KEYS[parameter_set].from_seed_bytes(seed).public_key().public_bytes_raw()
