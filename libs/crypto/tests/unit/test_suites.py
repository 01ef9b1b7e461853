"""Suites: keys, their names, what may be registered, and signatures of every suite."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto.ed25519 import Verdict
from icn_crypto.suites import (
    PUBLIC_KEY_BYTES,
    SIGNATURE_BYTES,
    InvalidPublicKey,
    SigningKey,
    Suite,
    check_public_key,
    ed25519_verdict,
    key_id,
    verdict_batch,
    verify,
    verify_batch,
)

SEED = bytes(range(32))


@pytest.mark.parametrize("suite", list(Suite))
def test_a_seed_gives_one_key_and_its_signatures_verify(suite: Suite) -> None:
    key = SigningKey.from_seed(suite, SEED)
    again = SigningKey.from_seed(suite, key.seed)
    assert again.public_key == key.public_key
    assert len(key.public_key) == PUBLIC_KEY_BYTES[suite]
    check_public_key(suite, key.public_key)
    signature = key.sign(b"message")
    assert len(signature) == SIGNATURE_BYTES[suite]
    assert verify(suite, key.public_key, b"message", signature)
    assert not verify(suite, key.public_key, b"massage", signature)
    assert not verify(suite, SigningKey.generate(suite).public_key, b"message", signature)


def test_the_key_of_rfc_8032_section_7_1_signs_as_written_there() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = SigningKey.from_seed(Suite.ED25519, seed)
    assert key.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )


def test_generated_keys_differ() -> None:
    assert SigningKey.generate(Suite.ED25519).seed != SigningKey.generate(Suite.ED25519).seed


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(suite: Suite, length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey.from_seed(suite, bytes(length))


def test_a_key_never_shows_its_seed() -> None:
    key = SigningKey.from_seed(Suite.ED25519, SEED)
    assert SEED.hex() not in repr(key)
    assert key.public_key.hex()[:16] in repr(key)


def test_a_key_id_is_the_hash_of_the_keys_by_ascending_suite() -> None:
    keys = {suite: SigningKey.from_seed(suite, SEED).public_key for suite in Suite}
    tag = b"icn/key/v1"
    body = b"".join(
        int(suite).to_bytes(2, "big") + len(keys[suite]).to_bytes(4, "big") + keys[suite] for suite in Suite
    )
    written = len(tag).to_bytes(4, "big") + tag + bytes(32) + len(body).to_bytes(4, "big") + body
    assert key_id(keys) == hashlib.sha256(written).digest()[:16]
    assert key_id(dict(reversed(keys.items()))) == key_id(keys)
    assert key_id({Suite.ED25519: keys[Suite.ED25519]}) != key_id(keys)


@pytest.mark.parametrize("suite", list(Suite))
def test_a_public_key_of_another_length_may_not_be_registered(suite: Suite) -> None:
    public_key = SigningKey.from_seed(suite, SEED).public_key
    for wrong in (public_key[:-1], public_key + b"\x00", b""):
        with pytest.raises(InvalidPublicKey):
            check_public_key(suite, wrong)


@pytest.mark.parametrize(
    "encoded",
    [
        "00" * 32,  # order 4
        "01" + "00" * 31,  # the identity
        "ec" + "ff" * 30 + "7f",  # order 2
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # order 8
        "ee" + "ff" * 30 + "7f",  # y = 1 written as p + 1
        "01" + "00" * 30 + "80",  # x = 0 with the sign bit
        "02" + "00" * 31,  # no point has this y
    ],
)
def test_ed25519_keys_not_canonical_or_not_of_prime_order_may_not_be_registered(
    encoded: str,
) -> None:
    with pytest.raises(InvalidPublicKey):
        check_public_key(Suite.ED25519, bytes.fromhex(encoded))


@pytest.mark.parametrize("suite", [0, 3, -1, 1 << 40])
def test_an_unknown_suite_is_refused_and_never_verifies(suite: int) -> None:
    with pytest.raises(InvalidPublicKey):
        check_public_key(suite, bytes(32))
    key = SigningKey.from_seed(Suite.ED25519, SEED)
    signature = key.sign(b"m")
    assert not verify(suite, key.public_key, b"m", signature)
    assert verify_batch([(suite, key.public_key, b"m", signature)]) == [False]
    assert verdict_batch([(suite, key.public_key, b"m", signature)]) == [Verdict.INVALID]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(Suite), st.booleans()), max_size=8))
def test_a_batch_of_several_suites_answers_in_order(wanted: list[tuple[Suite, bool]]) -> None:
    items = []
    for number, (suite, is_good) in enumerate(wanted):
        key = SigningKey.from_seed(suite, bytes([number]) * 32)
        items.append((int(suite), key.public_key, b"m" if is_good else b"n", key.sign(b"m")))
    assert verify_batch(items) == [is_good for _, is_good in wanted] == [verify(*item) for item in items]
    assert verdict_batch(items) == [Verdict.VALID if is_good else Verdict.INVALID for _, is_good in wanted]


@given(st.integers(0, 3), st.binary(max_size=70), st.binary(max_size=5), st.binary(max_size=70))
def test_garbage_is_not_valid_and_never_raises(
    suite: int, public_key: bytes, message: bytes, signature: bytes
) -> None:
    assert verify_batch([(suite, public_key, message, signature)]) == [False]


def test_the_verdict_of_one_signature_is_offered_alone() -> None:
    key = SigningKey.from_seed(Suite.ED25519, SEED)
    assert ed25519_verdict(key.public_key, b"m", key.sign(b"m")) is Verdict.VALID
    assert ed25519_verdict(key.public_key, b"n", key.sign(b"m")) is Verdict.INVALID
    assert ed25519_verdict(b"", b"", b"") is Verdict.INVALID
