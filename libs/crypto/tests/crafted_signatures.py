"""Signatures that no honest signer makes, and what the accelerator and the wheels say of them."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from icn_crypto import edwards25519 as curve
from icn_crypto.ed25519 import Item, Verdict, by_wheels
from icn_crypto.suites import SigningKey, Suite

B: Final = curve.base_point()
L: Final = curve.GROUP_ORDER
P: Final = curve.FIELD_PRIME
BATCH_MAX: Final = 600
"""Some of the accelerator's own batches."""
KEYS: Final = 16


def eight_torsion_points() -> list[curve.Point]:
    """The points of order 1, 2, 4 and 8, from the first hash that is a point whose small part has order 8."""
    for number in itertools.count():
        candidate = curve.decompress(hashlib.sha256(bytes([number])).digest())
        if candidate is None:
            continue
        generator = curve.multiply(L, candidate)
        if not curve.is_identity(curve.double(curve.double(generator))):
            points = [curve.IDENTITY]
            for _ in range(7):
                points.append(curve.add(points[-1], generator))
            return points
    raise AssertionError("half of all points have a part of order 8")


TORSION: Final = eight_torsion_points()


def small_order_encodings() -> list[bytes]:
    """Every 32-byte string that ZIP-215 reads as a point of small order: 8 canonical ones and 6 others."""
    found: set[bytes] = set()
    for point in TORSION:
        canonical = curve.compress(point)
        y = int.from_bytes(canonical, "little") & (2**255 - 1)
        for written_y in (y, y + P):
            for sign in (0, 1):
                if written_y < 2**255:
                    encoded = (written_y | sign << 255).to_bytes(32, "little")
                    decoded = curve.decompress(encoded)
                    assert decoded is not None
                    if curve.compress(decoded) in {curve.compress(other) for other in TORSION}:
                        found.add(encoded)
    return sorted(found)


SMALL_ORDER: Final = small_order_encodings()


def crafted(key_scalar: int, nonce: int, key_torsion: int, nonce_torsion: int, message: bytes) -> Item:
    """A signature that satisfies the cofactored equation, whose A and R may have parts of small order."""
    public_key = curve.compress(curve.add(curve.multiply(key_scalar, B), TORSION[key_torsion]))
    r = curve.compress(curve.add(curve.multiply(nonce, B), TORSION[nonce_torsion]))
    k = int.from_bytes(hashlib.sha512(r + public_key + message).digest(), "little") % L
    return public_key, message, r + ((nonce + k * key_scalar) % L).to_bytes(32, "little")


@dataclass(slots=True)
class Comparison:
    """What the wheels said, and where the accelerator said something else."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    differing: list[Item] = field(default_factory=list)


def compare(seed: int, cases: int) -> Comparison:
    """So many mutated signatures in batches of mixed size and badness, one by one and together.

    Raises:
        ImportError: the accelerator is not built.
    """
    import icn_native

    chance = random.Random(seed)
    keys = [SigningKey.from_seed(Suite.ED25519, chance.randbytes(32)) for _ in range(KEYS)]
    found = Comparison()
    while cases > 0:
        count = min(cases, chance.randint(1, BATCH_MAX))
        cases -= count
        badness = chance.choice((0.002, 0.5, 1.0))
        items = [_mutated(chance, chance.choice(keys), badness) for _ in range(count)]
        expected = [by_wheels(*item) for item in items]
        singly = icn_native.ed25519_verdicts(items)
        together = icn_native.ed25519_verify_batch(items)
        for item, verdict, single, is_valid in zip(items, expected, singly, together, strict=True):
            found.verdicts[verdict] += 1
            if verdict != single or bool(is_valid) != (verdict is not Verdict.INVALID):
                found.differing.append(item)
    return found


def _mutated(chance: random.Random, key: SigningKey, badness: float) -> Item:
    """A signature of the key; with this probability something was done to it, or it is crafted."""
    message = chance.randbytes(chance.randrange(80))
    public_key, signature = key.public_key, key.sign(message)
    if chance.random() >= badness:
        return public_key, message, signature
    match chance.randrange(8):
        case 0:
            signature = _flipped(chance, signature)
        case 1:
            public_key = _flipped(chance, public_key)
        case 2:
            message += b"!"
        case 3:
            # R, or with it A, carries a part of small order: valid with the cofactor only, or not at all.
            return crafted(
                1 + chance.randrange(2**64), 1 + chance.randrange(2**64), 0, chance.randrange(8), message
            )
        case 4:
            return crafted(1, 1 + chance.randrange(2**64), chance.randrange(8), chance.randrange(8), message)
        case 5:
            public_key, signature = chance.choice(SMALL_ORDER), chance.choice(SMALL_ORDER) + bytes(32)
        case 6:
            raised = (int.from_bytes(signature[32:], "little") + L) % 2**256
            signature = signature[:32] + raised.to_bytes(32, "little")
        case _:
            signature = chance.choice(SMALL_ORDER) + signature[32:]
    return public_key, message, signature


def _flipped(chance: random.Random, data: bytes) -> bytes:
    """One bit of it changed."""
    bit = chance.randrange(8 * len(data))
    return (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")
