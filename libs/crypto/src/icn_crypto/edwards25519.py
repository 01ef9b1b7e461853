"""Points of edwards25519 over plain integers: slow, exact and free of other people's decisions.

The wheels that verify fast each draw the line between good and bad encodings elsewhere. This module decides
what they leave open, and is what they are tested against. Nothing here is constant-time: it sees public
values only.

Source: RFC 8032, section 5.1 (curve, formulas); ZIP-215 (which encodings a verifier must accept).
"""

from functools import cache
from typing import TypeAlias

FIELD_PRIME = 2**255 - 19
"""p: coordinates are integers modulo this."""

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""L: order of the base point; a canonical scalar is below it."""

POINT_BYTES = 32

Point: TypeAlias = tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z."""

_Addend: TypeAlias = tuple[int, int, int, int]
"""A point made ready for addition: (Y + X, Y − X, 2Z, 2dT)."""

IDENTITY: Point = (0, 1, 1, 0)

_D = -121665 * pow(121666, -1, FIELD_PRIME) % FIELD_PRIME
_TWO_D = 2 * _D % FIELD_PRIME
_SQUARE_ROOT_OF_MINUS_ONE = pow(2, (FIELD_PRIME - 1) // 4, FIELD_PRIME)
_SIGN_SHIFT = 255
_Y_MASK = (1 << _SIGN_SHIFT) - 1

_BASE_DIGIT_WIDTH = 8
"""Signed digits of the base point's scalar span 8 bits: 64 stored multiples, about 28 additions."""
_POINT_DIGIT_WIDTH = 5
"""Signed digits of another point's scalar span 5 bits: 8 multiples made per call, about 42 additions."""


def decompress(encoded: bytes) -> Point | None:
    """The point that ZIP-215 reads from 32 bytes, or None when the y coordinate has no x.

    Lenient exactly where ZIP-215 is: y may be p or above (it is reduced), and x = 0 may carry the sign bit.
    """
    if len(encoded) != POINT_BYTES:
        return None
    number = int.from_bytes(encoded, "little")
    sign = number >> _SIGN_SHIFT
    y = (number & _Y_MASK) % FIELD_PRIME
    y_squared = y * y % FIELD_PRIME
    numerator = (y_squared - 1) % FIELD_PRIME
    denominator = (_D * y_squared + 1) % FIELD_PRIME
    # x = (u/v)^((p+3)/8) = u v^3 (u v^7)^((p-5)/8), RFC 8032 section 5.1.3.
    cubed = denominator * denominator % FIELD_PRIME * denominator % FIELD_PRIME
    seventh = cubed * cubed % FIELD_PRIME * denominator % FIELD_PRIME
    x = numerator * cubed * pow(numerator * seventh % FIELD_PRIME, (FIELD_PRIME - 5) // 8, FIELD_PRIME)
    x %= FIELD_PRIME
    check = denominator * x % FIELD_PRIME * x % FIELD_PRIME
    if check != numerator:
        if check != FIELD_PRIME - numerator:
            return None
        x = x * _SQUARE_ROOT_OF_MINUS_ONE % FIELD_PRIME
    if x & 1 != sign:
        x = (FIELD_PRIME - x) % FIELD_PRIME
    return (x, y, 1, x * y % FIELD_PRIME)


def compress(point: Point) -> bytes:
    """The one canonical encoding of a point, 32 bytes."""
    inverse = pow(point[2], -1, FIELD_PRIME)
    x = point[0] * inverse % FIELD_PRIME
    y = point[1] * inverse % FIELD_PRIME
    return (y | (x & 1) << _SIGN_SHIFT).to_bytes(POINT_BYTES, "little")


def is_identity(point: Point) -> bool:
    """Whether the point is the neutral element."""
    return point[0] % FIELD_PRIME == 0 and (point[1] - point[2]) % FIELD_PRIME == 0


def negate(point: Point) -> Point:
    """The point mirrored in the y axis."""
    return (-point[0] % FIELD_PRIME, point[1], point[2], -point[3] % FIELD_PRIME)


def add(left: Point, right: Point) -> Point:
    """Sum of two points; complete, so equal points and the identity need no special case."""
    return _add_ready(left, _ready(right))


def double(point: Point) -> Point:
    """Twice a point."""
    x, y, z, _ = point
    a = x * x
    b = y * y
    h = a + b
    e = h - (x + y) * (x + y)
    g = a - b
    f = 2 * z * z + g
    e %= FIELD_PRIME
    f %= FIELD_PRIME
    g %= FIELD_PRIME
    h %= FIELD_PRIME
    return (e * f % FIELD_PRIME, g * h % FIELD_PRIME, f * g % FIELD_PRIME, e * h % FIELD_PRIME)


def times_cofactor(point: Point) -> Point:
    """Eight times a point: the identity exactly when its order divides 8."""
    return double(double(double(point)))


def multiply(scalar: int, point: Point) -> Point:
    """``scalar`` (zero or positive) times ``point``."""
    return _interleave(
        [(_signed_digits(scalar, _POINT_DIGIT_WIDTH), _odd_multiples(point, _POINT_DIGIT_WIDTH))]
    )


def multiply_base_and(base_scalar: int, scalar: int, point: Point) -> Point:
    """``base_scalar``·B + ``scalar``·``point`` in one pass; both scalars zero or positive."""
    return _interleave(
        [
            (_signed_digits(base_scalar, _BASE_DIGIT_WIDTH), _base_multiples()),
            (_signed_digits(scalar, _POINT_DIGIT_WIDTH), _odd_multiples(point, _POINT_DIGIT_WIDTH)),
        ]
    )


def base_point() -> Point:
    """B, the generator of the prime-order group."""
    y = 4 * pow(5, -1, FIELD_PRIME) % FIELD_PRIME
    point = decompress(y.to_bytes(POINT_BYTES, "little"))
    assert point is not None, "the base point is on the curve"
    return point


def _ready(point: Point) -> _Addend:
    x, y, z, t = point
    return ((y + x) % FIELD_PRIME, (y - x) % FIELD_PRIME, 2 * z % FIELD_PRIME, _TWO_D * t % FIELD_PRIME)


def _add_ready(left: Point, right: _Addend) -> Point:
    x, y, z, t = left
    y_plus_x, y_minus_x, two_z, two_d_t = right
    a = (y - x) * y_minus_x
    b = (y + x) * y_plus_x
    c = t * two_d_t
    d = z * two_z
    e = (b - a) % FIELD_PRIME
    f = (d - c) % FIELD_PRIME
    g = (d + c) % FIELD_PRIME
    h = (b + a) % FIELD_PRIME
    return (e * f % FIELD_PRIME, g * h % FIELD_PRIME, f * g % FIELD_PRIME, e * h % FIELD_PRIME)


def _odd_multiples(point: Point, width: int) -> list[_Addend]:
    """P, 3P, 5P, … below 2^(width−1) times P, ready for addition."""
    twice = _ready(double(point))
    multiples = [_ready(point)]
    current = point
    for _ in range((1 << (width - 2)) - 1):
        current = _add_ready(current, twice)
        multiples.append(_ready(current))
    return multiples


@cache
def _base_multiples() -> list[_Addend]:
    return _odd_multiples(base_point(), _BASE_DIGIT_WIDTH)


def _signed_digits(scalar: int, width: int) -> list[int]:
    """Non-adjacent form, lowest digit first: each digit zero or odd, |digit| < 2^(width−1)."""
    digits: list[int] = []
    full = 1 << width
    half = full >> 1
    while scalar:
        if scalar & 1:
            digit = scalar & (full - 1)
            if digit >= half:
                digit -= full
            scalar -= digit
            digits.append(digit)
        else:
            digits.append(0)
        scalar >>= 1
    return digits


def _interleave(terms: list[tuple[list[int], list[_Addend]]]) -> Point:
    """Sum of scalar·point over the terms, sharing the doublings (Straus)."""
    accumulated = IDENTITY
    for position in range(max(len(digits) for digits, _ in terms) - 1, -1, -1):
        accumulated = double(accumulated)
        for digits, multiples in terms:
            digit = digits[position] if position < len(digits) else 0
            if digit > 0:
                accumulated = _add_ready(accumulated, multiples[digit >> 1])
            elif digit < 0:
                y_plus_x, y_minus_x, two_z, two_d_t = multiples[-digit >> 1]
                accumulated = _add_ready(accumulated, (y_minus_x, y_plus_x, two_z, -two_d_t))
    return accumulated
