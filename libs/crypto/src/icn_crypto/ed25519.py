"""Ed25519 verdicts by ZIP-215: what every node must agree on, whichever library it verifies with.

Three steps, each exact, each only for what the one before left open: libsodium's verification accepts (it
accepts nothing that breaks sB = R + kA); libsodium's group operations decide when the key is of prime
order; integer arithmetic decides the rest. With ``icn_native`` importable one call into Rust replaces all
three.

Source: RFC 8032, section 5.1.7; ZIP-215; docs/adr/0003-ed25519-verdicts.md.
"""

import hashlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError
from nacl.exceptions import RuntimeError as SodiumRefusal

from icn_crypto import edwards25519 as curve
from icn_crypto.native import accelerator

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_IDENTITY_BYTES: Final = (1).to_bytes(32, "little")
_Y_MASK: Final = (1 << 255) - 1
_Y_WHERE_X_IS_ZERO: Final = (1, curve.FIELD_PRIME - 1)

Item = tuple[bytes, bytes, bytes]
"""Public key, message, signature."""


class Verdict(IntEnum):
    """What ZIP-215 says of a signature, and whether finding out costs others time."""

    INVALID = 0
    """8sB ≠ 8R + 8kA, or an encoding that is refused."""
    COFACTORED_ONLY = 1
    """8sB = 8R + 8kA but sB ≠ R + kA: valid, but a block may hold only a few."""
    VALID = 2
    """sB = R + kA."""


_VERDICTS: Final = tuple(Verdict)
"""By number; an enum's own look-up is a call into Python, and a block has hundreds."""


def verdict(public_key: bytes, message: bytes, signature: bytes) -> Verdict:
    """The ZIP-215 verdict. Wrong lengths are INVALID; nothing raises."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return Verdict.INVALID
    if accelerator is not None:
        return Verdict(accelerator.ed25519_verdicts([(public_key, message, signature)])[0])
    return by_wheels(public_key, message, signature)


def verdicts(items: Sequence[Item]) -> list[Verdict]:
    """The verdict of each item, in order; the same as one by one."""
    if accelerator is not None:
        return [_VERDICTS[number] for number in accelerator.ed25519_verdicts(items)]
    return [verdict(*item) for item in items]


def verify_batch(items: Sequence[Item]) -> list[bool]:
    """Whether each item is valid by ZIP-215, in order; the same as one by one."""
    if accelerator is not None:
        return [bool(number) for number in accelerator.ed25519_verify_batch(items)]
    return [verdict(*item) is not Verdict.INVALID for item in items]


def is_strictly_valid(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the verdict is VALID and R the canonical encoding of a point that is not the identity, for a
    key of prime order. Takes 0.05 ms whatever the signature, so that a bad one costs no more than a good one.

    Source: docs/spec/cryptography.md, "Ed25519 verdicts".
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def exact_verdict(public_key: bytes, message: bytes, signature: bytes) -> Verdict:
    """The verdict by integer arithmetic alone, about 2 ms: what the other paths are tested against."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return Verdict.INVALID
    s = int.from_bytes(signature[32:], "little")
    if s >= curve.GROUP_ORDER:
        return Verdict.INVALID
    a = curve.decompress(public_key)
    r = curve.decompress(signature[:32])
    if a is None or r is None:
        return Verdict.INVALID
    k = _challenge(public_key, message, signature)
    return _classify(curve.add(curve.multiply_base_and(s, k, curve.negate(a)), curve.negate(r)))


def has_canonical_points(public_key: bytes, signature: bytes) -> bool:
    """Whether A and R are written in the one way RFC 8032 decodes; the chain's rule does not ask for it.

    Says nothing of whether they are points.
    """
    r = signature[: curve.POINT_BYTES]
    return _canonical(public_key) == public_key and _canonical(r) == r


def is_prime_order_key(public_key: bytes) -> bool:
    """Whether the bytes are the canonical encoding of a point of order L (so not the identity)."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        return False
    return bool(bindings.crypto_core_ed25519_is_valid_point(public_key))


def exact_is_prime_order_key(public_key: bytes) -> bool:
    """``is_prime_order_key`` by integer arithmetic alone, about 2 ms."""
    point = curve.decompress(public_key)
    if point is None or curve.compress(point) != public_key or curve.is_identity(point):
        return False
    return curve.is_identity(curve.multiply(curve.GROUP_ORDER, point))


def by_wheels(public_key: bytes, message: bytes, signature: bytes) -> Verdict:
    """The verdict by the wheels and, where they leave it open, by integers; for right lengths."""
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        pass
    else:
        # Relied on, and tested in tests/unit/test_ed25519.py: an accepted signature has s < L, canonical A
        # and R of large order, and R equal to the encoding of sB − kA.
        return Verdict.VALID
    if int.from_bytes(signature[32:], "little") >= curve.GROUP_ORDER:
        return Verdict.INVALID
    decided = _verdict_by_group_operations(public_key, message, signature)
    return exact_verdict(public_key, message, signature) if decided is None else decided


def _verdict_by_group_operations(public_key: bytes, message: bytes, signature: bytes) -> Verdict | None:
    """The verdict by libsodium's point arithmetic, about 0.3 ms; None when it will not compute with a point.

    It will with every key that is canonical and of prime order, as registered keys are, so nobody can buy 2
    ms of each node's time with a bad signature.
    """
    s = signature[32:]
    k = _challenge(public_key, message, signature).to_bytes(32, "little")
    try:
        # The multiplications refuse keys that are not canonical and of prime order, and results that are the
        # identity; the subtraction refuses what is not on the curve.
        s_base = bindings.crypto_scalarmult_ed25519_base_noclamp(s) if any(s) else _IDENTITY_BYTES
        k_key = bindings.crypto_scalarmult_ed25519_noclamp(k, public_key)
        difference = bindings.crypto_core_ed25519_sub(s_base, k_key)
        difference = bindings.crypto_core_ed25519_sub(difference, _canonical(signature[:32]))
    except SodiumRefusal:
        return None
    point = curve.decompress(difference)
    assert point is not None, "libsodium returns points of the curve"
    return _classify(point)


def _canonical(encoded: bytes) -> bytes:
    """The canonical encoding of the point, if it is one, that ZIP-215 reads from 32 bytes."""
    number = int.from_bytes(encoded, "little")
    y = (number & _Y_MASK) % curve.FIELD_PRIME
    sign = 0 if y in _Y_WHERE_X_IS_ZERO else number >> 255
    return (y | sign << 255).to_bytes(32, "little")


def _challenge(public_key: bytes, message: bytes, signature: bytes) -> int:
    """k: the hash takes both encodings as they came, also when they are not canonical."""
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    return int.from_bytes(digest, "little") % curve.GROUP_ORDER


def _classify(difference: curve.Point) -> Verdict:
    """The verdict that sB − kA − R stands for."""
    if curve.is_identity(difference):
        return Verdict.VALID
    if curve.is_identity(curve.times_cofactor(difference)):
        return Verdict.COFACTORED_ONLY
    return Verdict.INVALID
