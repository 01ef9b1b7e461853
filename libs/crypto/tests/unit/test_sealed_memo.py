from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto import sealed_memo
from icn_crypto.sealed_memo import (
    MEMO_BYTES_MAX,
    MEMO_KEYS_MAX,
    MEMO_TEXT_BYTES_MAX,
    MemoBroken,
    MemoInvalid,
    memo_key_ids,
    open_memo,
    read_memo,
    seal_memo,
)
from icn_crypto.suites import SigningKey, Suite, key_id

GENESIS = b"g" * 32
ANNA, BEN, EVE = (SigningKey.from_seed(Suite.ED25519, bytes([number] * 32)) for number in (1, 2, 3))


def id_of(key: SigningKey) -> bytes:
    return key_id({Suite.ED25519: key.public_key})


def sealed_for(text: str, *keys: SigningKey) -> bytes:
    return seal_memo(text, {id_of(key): key.public_key for key in keys}, GENESIS)


def opened(sealed: bytes, key: SigningKey, genesis_hash: bytes = GENESIS) -> str:
    return open_memo(sealed, id_of(key), key.seed, genesis_hash).text


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=160)


@settings(deadline=None, max_examples=50)
@given(text=TEXTS)
def test_both_parties_read_it_and_the_memos_key_shows_it_to_others(text: str) -> None:
    sealed = sealed_for(text, ANNA, BEN)
    assert set(memo_key_ids(sealed)) == {id_of(ANNA), id_of(BEN)}
    for party in (ANNA, BEN):
        memo = open_memo(sealed, id_of(party), party.seed, GENESIS)
        assert memo.text == text == read_memo(sealed, memo.key, GENESIS)
    assert text.encode() not in sealed or len(text.encode()) < 4


def test_a_memo_of_the_first_version_opens_for_ever() -> None:
    assert sha256(FIRST).hexdigest() == "5b4f41a10ac438461bdb13c8bb38931b985654d434a23a419f5f0ae52e29900b"
    assert opened(FIRST, ANNA) == opened(FIRST, BEN) == "two loaves, 14 March"


def test_the_same_text_is_never_sealed_alike() -> None:
    first, second = sealed_for("rent", ANNA), sealed_for("rent", ANNA)
    assert first[:32] != second[:32] and first[-80:] != second[-80:]


def test_who_it_is_not_sealed_to_does_not_open_it() -> None:
    sealed = sealed_for("rent", ANNA, BEN)
    with pytest.raises(MemoBroken, match="not sealed to key"):
        opened(sealed, EVE)
    with pytest.raises(MemoBroken, match="does not open with key"):
        open_memo(sealed, id_of(ANNA), EVE.seed, GENESIS)
    with pytest.raises(MemoBroken, match="does not open with its key"):
        read_memo(sealed, b"k" * 32, GENESIS)
    with pytest.raises(MemoBroken, match="32 bytes, not 31"):
        read_memo(sealed, b"k" * 31, GENESIS)


def test_it_opens_in_its_zone_only() -> None:
    sealed = sealed_for("rent", ANNA)
    with pytest.raises(MemoBroken):
        opened(sealed, ANNA, b"h" * 32)
    with pytest.raises(MemoBroken):
        read_memo(sealed, open_memo(sealed, id_of(ANNA), ANNA.seed, GENESIS).key, b"h" * 32)


def test_a_key_that_was_sealed_to_one_is_none_of_another() -> None:
    """Each is bound to its key's id: who moves it to another's place opens nothing with it."""
    sealed = sealed_for("rent", ANNA)
    moved = sealed[:33] + id_of(EVE) + sealed[49:]
    with pytest.raises(MemoBroken):
        open_memo(moved, id_of(EVE), ANNA.seed, GENESIS)


def test_no_changed_byte_goes_unseen_by_who_it_is_sealed_to() -> None:
    sealed = sealed_for("rent", ANNA)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1 << place % 8
        with pytest.raises(MemoBroken):
            opened(bytes(changed), ANNA)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=600))
def test_bytes_that_are_no_memo_are_refused(data: bytes) -> None:
    with pytest.raises(MemoBroken):
        opened(data, ANNA)
    with pytest.raises(MemoBroken):
        read_memo(data, b"k" * 32, GENESIS)


def test_another_text_than_the_commitment_binds_is_no_memo() -> None:
    """AES-GCM opens under keys that its maker chose, to texts that its maker chose."""
    sealed = sealed_for("rent", ANNA)
    key = open_memo(sealed, id_of(ANNA), ANNA.seed, GENESIS).key
    slots = sealed[32:-80]
    for text in (b"gift", b"rent\0gift"):
        padded = text + bytes(-len(text) % 64)
        forged = sealed[:32] + slots + AESGCM(key).encrypt(bytes(12), padded, sealed[:32])
        with pytest.raises(MemoBroken, match="not the text that it commits to"):
            opened(forged, ANNA)


@pytest.mark.parametrize("encoded", [b"", b"\xff\xfe", b"a\0b", b"x" * (MEMO_TEXT_BYTES_MAX + 1)])
def test_a_committed_text_that_is_none_is_no_memo(encoded: bytes) -> None:
    key = b"k" * 32
    commitment = sealed_memo._commitment(key, encoded, GENESIS)
    padded = encoded + bytes(-len(encoded) % 64 or (0 if encoded else 64))
    slot = id_of(ANNA) + bytes(80)
    forged = commitment + b"\x01" + slot + AESGCM(key).encrypt(bytes(12), padded, commitment)
    with pytest.raises(MemoBroken, match="holds no text"):
        read_memo(forged, key, GENESIS)


@pytest.mark.parametrize("text", ["", "a\0", "\ud800", "x" * (MEMO_TEXT_BYTES_MAX + 1), "\u00e9" * 321])
def test_what_is_no_text_of_a_memo_is_not_sealed(text: str) -> None:
    with pytest.raises(MemoInvalid):
        sealed_for(text, ANNA)


def test_the_longest_memo_for_the_most_keys_is_within_its_bound() -> None:
    keys = {number.to_bytes(16, "big"): ANNA.public_key for number in range(MEMO_KEYS_MAX)}
    sealed = seal_memo("x" * MEMO_TEXT_BYTES_MAX, keys, GENESIS)
    assert len(sealed) <= MEMO_BYTES_MAX
    assert open_memo(sealed, (31).to_bytes(16, "big"), ANNA.seed, GENESIS).text == "x" * MEMO_TEXT_BYTES_MAX
    with pytest.raises(MemoBroken):
        memo_key_ids(sealed + bytes(MEMO_BYTES_MAX - len(sealed) + 1))


def test_keys_out_of_order_or_twice_are_refused() -> None:
    sealed = sealed_for("rent", ANNA, BEN)
    first, second, rest = sealed[33:129], sealed[129:225], sealed[225:]
    for slots in (second + first, first + first):
        with pytest.raises(MemoBroken, match="not in order"):
            memo_key_ids(sealed[:33] + slots + rest)


def test_the_length_shows_in_steps_only() -> None:
    lengths = {len(sealed_for("x" * count, ANNA)) for count in range(1, 65)}
    assert lengths == {32 + 1 + 96 + 64 + 16}
    assert len(sealed_for("x" * 65, ANNA)) == 32 + 1 + 96 + 128 + 16


@pytest.mark.parametrize("public_key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, bytes(31)])
def test_no_memo_is_sealed_to_bytes_that_are_no_key(public_key: bytes) -> None:
    """Points of small order, with which anybody could open it, and what is no point."""
    with pytest.raises(MemoInvalid):
        seal_memo("rent", {b"i" * 16: public_key}, GENESIS)


@settings(deadline=None, max_examples=50)
@given(seed=st.binary(min_size=32, max_size=32))
def test_both_halves_of_a_key_are_mapped_to_one_pair(seed: bytes) -> None:
    key = SigningKey.from_seed(Suite.ED25519, seed)
    private: X25519PrivateKey = sealed_memo._x25519_private(seed)
    public: X25519PublicKey = sealed_memo._x25519_public(key.public_key)
    assert private.public_key().public_bytes_raw() == public.public_bytes_raw()


FIRST = bytes.fromhex(
    "eff6cbcccec57598886a80418aa36ef1f0709906295a4f2021f2b1d77f27eec302432f136f69065167f86a665dfb1a19"
    "91d0a0c7ef788646a14ee2424af86cb8e51283563b4f45c78e2f9b423f64bef86d6de75c242c3b92c8a3b3d052ab1074"
    "24c43d37f04652640718a31bb7e2572966cd4a9dcfe6fef69344edde25f11208116b8caaff24ae12b7a7398569c23f2d"
    "a763fc4fd9695d3f0cba4a174deadc117a197ed85345d889db320ec7a42e01ec040a03cdd1727df82ea5cbd2ec0d69f5"
    "4c7922fefbb05dcf3c85847a1cacb66c394792d7adae84b071ca51af1ca542f414dabd23fecbd9940893a174f3b56c94"
    "02ff20468c0408ee52b5bb9502a6a8b0f1c3ca058cf64cb4bdefa95bc9f539518ee0afbd735a82fa07d446e784fa645b"
    "f7959b328e5973f81bb709cec4e2a0706a"
)
"""Sealed to both by the code that came with this test."""
