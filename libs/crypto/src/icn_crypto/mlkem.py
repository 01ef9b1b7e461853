"""ML-KEM decapsulation from an expanded decapsulation key.

The wheels open ML-KEM only from its 64-byte seed. Keys that another program stored expanded (FIPS 203's dk)
are opened here, over plain integers: exact, about 10 ms, and not constant-time, so for a key holder's own
files and never for a service that others can time.

Source: FIPS 203, algorithms 6 to 15, 18 and 21, and the checks of section 7.3.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

_N: Final = 256
_Q: Final = 3329
_ETA: Final = 2
"""η1 and η2 of both parameter sets here."""

SHARED_BYTES: Final = 32

_Polynomial: TypeAlias = list[int]


@dataclass(frozen=True, slots=True)
class Parameters:
    """One of FIPS 203's parameter sets."""

    k: int
    du: int
    dv: int

    @property
    def decapsulation_key_bytes(self) -> int:
        """Length of an expanded decapsulation key."""
        return 768 * self.k + 96

    @property
    def ciphertext_bytes(self) -> int:
        """Length of a ciphertext."""
        return 32 * (self.du * self.k + self.dv)


ML_KEM_768: Final = Parameters(k=3, du=10, dv=4)
ML_KEM_1024: Final = Parameters(k=4, du=11, dv=5)


class InvalidInput(ValueError):
    """The key or ciphertext fails the checks of FIPS 203, section 7.3."""


def decapsulate(parameters: Parameters, decapsulation_key: bytes, ciphertext: bytes) -> bytes:
    """The 32-byte shared secret; for a ciphertext made wrongly, the pseudo-random one that FIPS 203
    prescribes.

    Raises:
        InvalidInput: a wrong length, or a key whose stored hash is not that of its encapsulation key.
    """
    if len(decapsulation_key) != parameters.decapsulation_key_bytes:
        raise InvalidInput(f"a decapsulation key has {parameters.decapsulation_key_bytes} bytes")
    if len(ciphertext) != parameters.ciphertext_bytes:
        raise InvalidInput(f"a ciphertext has {parameters.ciphertext_bytes} bytes")
    split = 384 * parameters.k
    secret = decapsulation_key[:split]
    encapsulation_key = decapsulation_key[split : 2 * split + 32]
    stored_hash = decapsulation_key[2 * split + 32 : 2 * split + 64]
    rejection = decapsulation_key[2 * split + 64 :]
    if hashlib.sha3_256(encapsulation_key).digest() != stored_hash:
        raise InvalidInput("the decapsulation key's hash is not that of its encapsulation key")
    message = _decrypt(parameters, secret, ciphertext)
    both = hashlib.sha3_512(message + stored_hash).digest()
    again = _encrypt(parameters, encapsulation_key, message, both[32:])
    if hmac.compare_digest(again, ciphertext):
        return both[:32]
    return hashlib.shake_256(rejection + ciphertext).digest(SHARED_BYTES)


def _decrypt(parameters: Parameters, secret: bytes, ciphertext: bytes) -> bytes:
    """K-PKE.Decrypt, algorithm 15."""
    k, du, dv = parameters.k, parameters.du, parameters.dv
    u = [_decompress(_decode(part, du), du) for part in _chunks(ciphertext[: 32 * du * k], 32 * du)]
    v = _decompress(_decode(ciphertext[32 * du * k :], dv), dv)
    s = [_decode(part, 12) for part in _chunks(secret, 384)]
    product = _inverse_transform(_inner_product(s, [_transform(polynomial) for polynomial in u]))
    w = [(a - b) % _Q for a, b in zip(v, product, strict=True)]
    return _encode(_compress(w, 1), 1)


def _encrypt(parameters: Parameters, encapsulation_key: bytes, message: bytes, randomness: bytes) -> bytes:
    """K-PKE.Encrypt, algorithm 14."""
    k, du, dv = parameters.k, parameters.du, parameters.dv
    t = [[c % _Q for c in _decode(part, 12)] for part in _chunks(encapsulation_key[: 384 * k], 384)]
    seed = encapsulation_key[384 * k :]
    noise = [_sample_binomial(randomness, counter) for counter in range(2 * k + 1)]
    y = [_transform(polynomial) for polynomial in noise[:k]]
    ciphertext = b""
    for row in range(k):
        column = [_sample_uniform(seed, row, other) for other in range(k)]
        u = _add(_inverse_transform(_inner_product(column, y)), noise[k + row])
        ciphertext += _encode(_compress(u, du), du)
    v = _add(_inverse_transform(_inner_product(t, y)), noise[2 * k])
    v = _add(v, _decompress(_decode(message, 1), 1))
    return ciphertext + _encode(_compress(v, dv), dv)


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _decode(data: bytes, bits: int) -> _Polynomial:
    """ByteDecode, algorithm 6."""
    number = int.from_bytes(data, "little")
    mask = (1 << bits) - 1
    coefficients = [number >> (bits * index) & mask for index in range(_N)]
    return [c % _Q for c in coefficients] if bits == 12 else coefficients


def _encode(coefficients: Sequence[int], bits: int) -> bytes:
    """ByteEncode, algorithm 5."""
    number = 0
    for coefficient in reversed(coefficients):
        number = number << bits | coefficient
    return number.to_bytes(32 * bits, "little")


def _compress(coefficients: Sequence[int], bits: int) -> _Polynomial:
    """round(2^bits / q · x) mod 2^bits, halves up."""
    mask = (1 << bits) - 1
    return [((c << (bits + 1)) + _Q) // (2 * _Q) & mask for c in coefficients]


def _decompress(coefficients: Sequence[int], bits: int) -> _Polynomial:
    """round(q / 2^bits · y), halves up."""
    half = 1 << (bits - 1)
    return [(c * _Q + half) >> bits for c in coefficients]


def _add(left: Sequence[int], right: Sequence[int]) -> _Polynomial:
    return [(a + b) % _Q for a, b in zip(left, right, strict=True)]


def _reversed_bits(number: int) -> int:
    return int(f"{number:07b}"[::-1], 2)


_ZETAS: Final = tuple(pow(17, _reversed_bits(index), _Q) for index in range(128))
_GAMMAS: Final = tuple(pow(17, 2 * _reversed_bits(index) + 1, _Q) for index in range(128))
_INVERSE_OF_128: Final = pow(128, -1, _Q)


def _transform(polynomial: Sequence[int]) -> _Polynomial:
    """NTT, algorithm 9."""
    f = list(polynomial)
    index = 1
    length = 128
    while length >= 2:
        for start in range(0, _N, 2 * length):
            zeta = _ZETAS[index]
            index += 1
            for j in range(start, start + length):
                t = zeta * f[j + length] % _Q
                f[j + length] = (f[j] - t) % _Q
                f[j] = (f[j] + t) % _Q
        length //= 2
    return f


def _inverse_transform(polynomial: Sequence[int]) -> _Polynomial:
    """NTT^-1, algorithm 10."""
    f = list(polynomial)
    index = 127
    length = 2
    while length <= 128:
        for start in range(0, _N, 2 * length):
            zeta = _ZETAS[index]
            index -= 1
            for j in range(start, start + length):
                t = f[j]
                f[j] = (t + f[j + length]) % _Q
                f[j + length] = zeta * (f[j + length] - t) % _Q
        length *= 2
    return [c * _INVERSE_OF_128 % _Q for c in f]


def _inner_product(left: Sequence[_Polynomial], right: Sequence[_Polynomial]) -> _Polynomial:
    """Sum of the products of transformed polynomials, algorithms 11 and 12."""
    total = [0] * _N
    for f, g in zip(left, right, strict=True):
        for pair, gamma in enumerate(_GAMMAS):
            even, odd = 2 * pair, 2 * pair + 1
            total[even] += f[even] * g[even] + f[odd] * g[odd] % _Q * gamma
            total[odd] += f[even] * g[odd] + f[odd] * g[even]
    return [c % _Q for c in total]


def _sample_uniform(seed: bytes, first: int, second: int) -> _Polynomial:
    """SampleNTT, algorithm 7."""
    stream = hashlib.shake_128(seed + bytes((first, second)))
    # 704 bytes hold fewer than 256 candidates below q about once in 2^37 times; then twice as many are drawn.
    size = 704
    while True:
        found: _Polynomial = []
        data = stream.digest(size)
        for start in range(0, size - 2, 3):
            low = data[start] | (data[start + 1] & 15) << 8
            high = data[start + 1] >> 4 | data[start + 2] << 4
            found += [candidate for candidate in (low, high) if candidate < _Q]
        if len(found) >= _N:
            return found[:_N]
        size *= 2


def _sample_binomial(seed: bytes, counter: int) -> _Polynomial:
    """SamplePolyCBD of PRF(seed, counter), algorithm 8."""
    number = int.from_bytes(hashlib.shake_256(seed + bytes((counter,))).digest(64 * _ETA), "little")
    mask = (1 << _ETA) - 1
    sums = [(number >> (_ETA * index) & mask).bit_count() for index in range(2 * _N)]
    return [(sums[2 * index] - sums[2 * index + 1]) % _Q for index in range(_N)]
