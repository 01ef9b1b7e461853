"""ZIP-215 verdicts: the definition, the faster paths against it, and what those rely on."""

import hashlib
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto import ed25519
from icn_crypto import edwards25519 as curve
from icn_crypto.ed25519 import Verdict, exact_verdict
from icn_crypto.suites import SigningKey, Suite
from nacl import bindings
from nacl.exceptions import BadSignatureError

from libs.crypto.tests.crafted_signatures import SMALL_ORDER, TORSION, B, L, P, crafted


def libsodium_accepts(public_key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


scalars = st.integers(1, L - 1)
torsion = st.integers(0, 7)


def test_the_curve_arithmetic_agrees_with_itself() -> None:
    assert curve.is_identity(curve.multiply(L, B))
    assert not curve.is_identity(curve.multiply(L - 1, B))
    assert curve.compress(curve.multiply(L - 1, B)) == curve.compress(curve.negate(B))
    assert curve.is_identity(curve.multiply(0, B))
    assert curve.compress(curve.double(B)) == curve.compress(curve.add(B, B))


@settings(max_examples=30)
@given(scalars, scalars)
def test_the_curve_arithmetic_agrees_with_libsodium(left: int, right: int) -> None:
    point = curve.multiply(left, B)
    assert curve.compress(point) == bindings.crypto_scalarmult_ed25519_base_noclamp(
        left.to_bytes(32, "little")
    )
    both = curve.multiply_base_and(left, right, point)
    expected = curve.add(point, curve.multiply(left * right % L, B))
    assert curve.compress(both) == curve.compress(expected)


def test_there_are_fourteen_encodings_of_points_of_small_order() -> None:
    assert len(SMALL_ORDER) == 14
    assert len({curve.compress(curve.decompress(encoded) or B) for encoded in SMALL_ORDER}) == 8


def test_all_196_pairs_of_small_order_encodings_verify() -> None:
    # The test matrix of ZIP-215: A and R of small order and s = 0 satisfy 8sB = 8R + 8kA, however written.
    message = b"Zcash"
    pairs = list(itertools.product(SMALL_ORDER, repeat=2))
    assert len(pairs) == 196
    items = [(public_key, message, r + bytes(32)) for public_key, r in pairs]
    for item in items:
        assert exact_verdict(*item) is not Verdict.INVALID
        assert ed25519.verdict(*item) is exact_verdict(*item)
    assert ed25519.verify_batch(items) == [True] * 196
    assert ed25519.verdicts(items) == [exact_verdict(*item) for item in items]


def test_the_small_order_matrix_holds_both_valid_verdicts() -> None:
    verdicts = [
        exact_verdict(public_key, b"Zcash", r + bytes(32))
        for public_key, r in itertools.product(SMALL_ORDER, repeat=2)
    ]
    assert {Verdict.VALID, Verdict.COFACTORED_ONLY} == set(verdicts)


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_an_honest_signature_is_valid_and_no_other_message_is(seed: bytes, message: bytes) -> None:
    key = SigningKey.from_seed(Suite.ED25519, seed)
    signature = key.sign(message)
    assert exact_verdict(key.public_key, message, signature) is Verdict.VALID
    assert ed25519.verdict(key.public_key, message, signature) is Verdict.VALID
    assert ed25519.verdict(key.public_key, message + b"!", signature) is Verdict.INVALID


@settings(max_examples=60)
@given(scalars, scalars, torsion, torsion, st.binary(max_size=8))
def test_every_path_gives_the_exact_verdict_of_crafted_signatures(
    key_scalar: int, nonce: int, key_torsion: int, nonce_torsion: int, message: bytes
) -> None:
    item = crafted(key_scalar, nonce, key_torsion, nonce_torsion, message)
    exact = exact_verdict(*item)
    assert exact is not Verdict.INVALID
    assert ed25519.verdict(*item) is exact
    assert ed25519.verdicts([item]) == [exact]
    assert ed25519.verify_batch([item]) == [True]
    assert ed25519.by_wheels(*item) is exact


@settings(max_examples=80)
@given(scalars, scalars, torsion, torsion, st.integers(0, 511), st.sampled_from(["key", "signature"]))
def test_every_path_gives_the_exact_verdict_of_damaged_signatures(
    key_scalar: int, nonce: int, key_torsion: int, nonce_torsion: int, bit: int, damaged: str
) -> None:
    public_key, message, signature = crafted(key_scalar, nonce, key_torsion, nonce_torsion, b"m")
    flipped = (int.from_bytes(signature, "little") ^ 1 << bit).to_bytes(64, "little")
    if damaged == "key":
        flipped = signature
        public_key = (int.from_bytes(public_key, "little") ^ 1 << bit % 256).to_bytes(32, "little")
    exact = exact_verdict(public_key, message, flipped)
    assert ed25519.verdict(public_key, message, flipped) is exact
    assert ed25519.by_wheels(public_key, message, flipped) is exact
    assert ed25519.verify_batch([(public_key, message, flipped)]) == [exact is not Verdict.INVALID]


def test_a_registered_key_never_leads_to_integer_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: bytes) -> Verdict:
        raise AssertionError("step 3 costs each node 2 ms")

    public_key = curve.compress(curve.multiply(3, B))
    _, message, honest = crafted(3, 5, 0, 0, b"m")
    expected = {}
    for r in [*SMALL_ORDER, honest[:32], (P + 3).to_bytes(32, "little")]:
        for s in (bytes(32), honest[32:], (L - 1).to_bytes(32, "little")):
            expected[r + s] = exact_verdict(public_key, message, r + s)
    for torsion_part in range(8):
        item = crafted(3, 5, 0, torsion_part, message)
        expected[item[2]] = exact_verdict(*item)
    assert set(expected.values()) == set(Verdict)
    not_a_point = (2).to_bytes(32, "little") + bytes(32)
    assert exact_verdict(public_key, message, not_a_point) is Verdict.INVALID
    monkeypatch.setattr(ed25519, "exact_verdict", forbidden)
    for signature, verdict in expected.items():
        assert ed25519.by_wheels(public_key, message, signature) is verdict


def test_a_cofactored_only_signature_needs_a_small_part() -> None:
    assert exact_verdict(*crafted(5, 7, 0, 0, b"m")) is Verdict.VALID
    assert exact_verdict(*crafted(5, 7, 0, 1, b"m")) is Verdict.COFACTORED_ONLY


def test_a_scalar_of_the_group_order_or_more_is_refused() -> None:
    key = SigningKey.from_seed(Suite.ED25519, bytes(32))
    signature = key.sign(b"m")
    s = int.from_bytes(signature[32:], "little")
    for malleated in (s + L, s + 2 * L, s | 1 << 255):
        other = signature[:32] + malleated.to_bytes(32, "little")
        assert exact_verdict(key.public_key, b"m", other) is Verdict.INVALID
        assert ed25519.verdict(key.public_key, b"m", other) is Verdict.INVALID
    # s = L − 1 is the largest canonical scalar, s = L the smallest refused one.
    small = SMALL_ORDER[0]
    assert exact_verdict(small, b"m", small + bytes(32)) is not Verdict.INVALID
    assert exact_verdict(small, b"m", small + L.to_bytes(32, "little")) is Verdict.INVALID


def test_a_batch_answers_item_by_item() -> None:
    randomness = random.Random(7)
    items: list[ed25519.Item] = []
    for number in range(40):
        item = crafted(
            randomness.randrange(1, L), randomness.randrange(1, L), randomness.randrange(8), number % 8, b"x"
        )
        items.append(item if number % 3 else (item[0], b"y", item[2]))
    assert ed25519.verify_batch(items) == [exact_verdict(*item) is not Verdict.INVALID for item in items]
    assert ed25519.verdicts(items) == [exact_verdict(*item) for item in items]
    assert ed25519.verify_batch([]) == []
    assert ed25519.verdicts([]) == []


@pytest.mark.parametrize(("key_bytes", "signature_bytes"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_wrong_lengths_are_invalid_and_never_raise(key_bytes: int, signature_bytes: int) -> None:
    item = (bytes(key_bytes), b"m", bytes(signature_bytes))
    assert exact_verdict(*item) is Verdict.INVALID
    assert ed25519.verdict(*item) is Verdict.INVALID
    assert ed25519.verify_batch([item]) == [False]
    assert ed25519.verdicts([item]) == [Verdict.INVALID]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64))
def test_garbage_never_raises(public_key: bytes, signature: bytes) -> None:
    assert ed25519.verdict(public_key, b"m", signature) is exact_verdict(public_key, b"m", signature)


# What the fast path relies on. Should a wheel change its mind, these say so before two nodes disagree.


@settings(max_examples=60)
@given(scalars, scalars, torsion, torsion)
def test_libsodium_accepts_only_what_satisfies_the_equation_without_cofactor(
    key_scalar: int, nonce: int, key_torsion: int, nonce_torsion: int
) -> None:
    item = crafted(key_scalar, nonce, key_torsion, nonce_torsion, b"m")
    assert libsodium_accepts(*item) is (exact_verdict(*item) is Verdict.VALID)


def test_libsodium_refuses_points_of_small_order_and_other_encodings() -> None:
    for public_key, r in itertools.product(SMALL_ORDER, repeat=2):
        assert not libsodium_accepts(public_key, b"Zcash", r + bytes(32))


@settings(max_examples=40)
@given(scalars, torsion)
def test_libsodium_knows_the_keys_of_prime_order(scalar: int, small: int) -> None:
    encoded = curve.compress(curve.add(curve.multiply(scalar, B), TORSION[small]))
    assert ed25519.is_prime_order_key(encoded) is ed25519.exact_is_prime_order_key(encoded) is (small == 0)


def test_keys_of_small_order_or_in_another_encoding_are_no_keys() -> None:
    others = [(P + y).to_bytes(32, "little") for y in range(19)]
    for encoded in [*SMALL_ORDER, *others, bytes(31), bytes(33), b"\xff" * 32]:
        assert not ed25519.is_prime_order_key(encoded)
        assert not ed25519.exact_is_prime_order_key(encoded)
    base = curve.compress(B)
    assert ed25519.is_prime_order_key(base)
    assert ed25519.exact_is_prime_order_key(base)


@given(st.binary(min_size=32, max_size=32))
def test_canonical_points_are_those_that_read_back_as_themselves(encoded: bytes) -> None:
    point = curve.decompress(encoded)
    if point is not None:
        assert ed25519.has_canonical_points(encoded, encoded + bytes(32)) is (
            curve.compress(point) == encoded
        )


def test_of_the_small_order_encodings_eight_are_canonical() -> None:
    canonical = [encoded for encoded in SMALL_ORDER if ed25519.has_canonical_points(encoded, encoded)]
    assert sorted(canonical) == sorted(curve.compress(point) for point in TORSION)


def strictly_by_definition(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The strict rule as docs/spec/cryptography.md says it."""
    r = curve.decompress(signature[:32])
    return (
        exact_verdict(public_key, message, signature) is Verdict.VALID
        and r is not None
        and not curve.is_identity(r)
        and ed25519.has_canonical_points(public_key, signature)
    )


@settings(max_examples=60)
@given(scalars, st.integers(0, L - 1), torsion, st.none() | st.integers(0, 511))
def test_the_strict_rule_is_what_it_says_for_registered_keys(
    key_scalar: int, nonce: int, nonce_torsion: int, flipped: int | None
) -> None:
    public_key, message, signature = crafted(key_scalar, nonce, 0, nonce_torsion, b"m")
    if flipped is not None:
        signature = (int.from_bytes(signature, "little") ^ 1 << flipped).to_bytes(64, "little")
    strict = ed25519.is_strictly_valid(public_key, message, signature)
    assert strict is strictly_by_definition(public_key, message, signature)


def test_the_strict_rule_refuses_the_identity_and_every_other_encoding_of_r() -> None:
    """The identity is the one R of small order with which a registered key has a VALID verdict."""
    key = curve.compress(curve.multiply(3, B))
    verdicts = set()
    for r in [*SMALL_ORDER, (P + 3).to_bytes(32, "little")]:
        k = int.from_bytes(hashlib.sha512(r + key + b"m").digest(), "little") % L
        signature = r + (k * 3 % L).to_bytes(32, "little")
        verdicts.add(exact_verdict(key, b"m", signature))
        assert not ed25519.is_strictly_valid(key, b"m", signature)
        assert not strictly_by_definition(key, b"m", signature)
    assert Verdict.VALID in verdicts


def test_the_strict_rule_refuses_wrong_lengths_and_large_scalars() -> None:
    key = SigningKey.from_seed(Suite.ED25519, bytes(32))
    signature = key.sign(b"m")
    assert ed25519.is_strictly_valid(key.public_key, b"m", signature)
    large = (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    assert not ed25519.is_strictly_valid(key.public_key, b"m", signature[:32] + large)
    assert not ed25519.is_strictly_valid(key.public_key[:31], b"m", signature)
    assert not ed25519.is_strictly_valid(key.public_key, b"m", signature + b"\x00")
