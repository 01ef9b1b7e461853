"""ECDSA over secp256k1, as contracts ask for it: verdicts by the wheel, keys recovered by integer arithmetic.

Source: SEC 1 v2.0, sections 4.1.4 and 4.1.6; SEC 2 v2.0, section 2.4.1. High values of s are accepted.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

HASH_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

FIELD_PRIME: Final = 2**256 - 2**32 - 977
ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_BASE: Final = (
    0x79BE667E_F9DCBBAC_55A06295_CE870B07_029BFCDB_2DCE28D9_59F2815B_16F81798,
    0x483ADA77_26A3C465_5DA4FBFC_0E1108A8_FD17B448_A6855419_9C47D08F_FB10D4B8,
)

_Affine = tuple[int, int]
_Jacobian = tuple[int, int, int]
_INFINITY: Final = (1, 1, 0)


class NotAKey(ValueError):
    """The bytes are no point of the curve in one of the two encodings."""


def read_signature(signature: bytes) -> tuple[int, int] | None:
    """r and s of a 64-byte signature; None where one is not between 1 and the order less one."""
    assert len(signature) == SIGNATURE_BYTES, "callers check the length"
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return (r, s) if 0 < r < ORDER and 0 < s < ORDER else None


def verify(digest: bytes, signature: tuple[int, int], public_key: bytes) -> bool:
    """Whether the signature of a 32-byte digest holds. Raises NotAKey."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
    except ValueError:
        raise NotAKey from None
    try:
        key.verify(encode_dss_signature(*signature), digest, ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature:
        return False
    return True


def recover(digest: bytes, signature: tuple[int, int], is_y_odd: bool) -> bytes | None:
    """The key that made the signature, 65 bytes uncompressed; None where there is none."""
    r, s = signature
    square = (pow(r, 3, FIELD_PRIME) + 7) % FIELD_PRIME
    y = pow(square, (FIELD_PRIME + 1) // 4, FIELD_PRIME)
    if y * y % FIELD_PRIME != square:
        return None
    if y & 1 != is_y_odd:
        y = FIELD_PRIME - y
    inverse = pow(r, -1, ORDER)
    found = _combine(-int.from_bytes(digest, "big") * inverse % ORDER, _BASE, s * inverse % ORDER, (r, y))
    x, y, z = found
    if z == 0:
        return None
    z_inverse = pow(z, -1, FIELD_PRIME)
    x = x * z_inverse**2 % FIELD_PRIME
    y = y * z_inverse**3 % FIELD_PRIME
    return b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _combine(first: int, one: _Affine, second: int, other: _Affine) -> _Jacobian:
    """first·one + second·other, both bits of a place at once."""
    both = _add((*one, 1), (*other, 1))
    points: dict[tuple[int, int], _Jacobian] = {(1, 0): (*one, 1), (0, 1): (*other, 1), (1, 1): both}
    total: _Jacobian = _INFINITY
    for place in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        total = _double(total)
        added = points.get((first >> place & 1, second >> place & 1))
        if added is not None:
            total = _add(total, added)
    return total


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    if z == 0:
        return point
    yy = y * y % FIELD_PRIME
    s = 4 * x * yy % FIELD_PRIME
    m = 3 * x * x % FIELD_PRIME
    new_x = (m * m - 2 * s) % FIELD_PRIME
    return new_x, (m * (s - new_x) - 8 * yy * yy) % FIELD_PRIME, 2 * y * z % FIELD_PRIME


def _add(left: _Jacobian, right: _Jacobian) -> _Jacobian:
    x1, y1, z1 = left
    x2, y2, z2 = right
    if z1 == 0:
        return right
    if z2 == 0:
        return left
    zz1, zz2 = z1 * z1 % FIELD_PRIME, z2 * z2 % FIELD_PRIME
    u1, u2 = x1 * zz2 % FIELD_PRIME, x2 * zz1 % FIELD_PRIME
    s1, s2 = y1 * zz2 * z2 % FIELD_PRIME, y2 * zz1 * z1 % FIELD_PRIME
    if u1 == u2:
        return _double(left) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % FIELD_PRIME
    hhh, v = h * hh % FIELD_PRIME, u1 * hh % FIELD_PRIME
    x3 = (r * r - hhh - 2 * v) % FIELD_PRIME
    return x3, (r * (v - x3) - s1 * hhh) % FIELD_PRIME, h * z1 * z2 % FIELD_PRIME
