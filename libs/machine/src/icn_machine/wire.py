"""The few protobuf encodings of which a block makes thousands, written out: a message object costs more than
the bytes it becomes.

Whoever uses this is compared with the generated classes by a test.

Source: https://protobuf.dev/programming-guides/encoding, "Base 128 Varints" and "Signed Integers".
"""

from __future__ import annotations

_GROUP_BITS = 14
_GROUP = 1 << _GROUP_BITS
_MASK = _GROUP - 1
_LAST = tuple(bytes((n,)) if n < 128 else bytes((n & 127 | 128, n >> 7)) for n in range(_GROUP))
_MORE = tuple(bytes((n & 127 | 128, n >> 7 | 128)) for n in range(_GROUP))


def unsigned(number: int) -> bytes:
    """A number of at most 64 bits, not negative, in its shortest form."""
    if number < _GROUP:
        return _LAST[number]
    encoded = _MORE[number & _MASK]
    number >>= _GROUP_BITS
    while number >= _GROUP:
        encoded += _MORE[number & _MASK]
        number >>= _GROUP_BITS
    return encoded + _LAST[number]


def signed(number: int) -> bytes:
    """A ``sint64``."""
    folded = number << 1 if number >= 0 else ~(number << 1)
    return _LAST[folded] if folded < _GROUP else unsigned(folded)
