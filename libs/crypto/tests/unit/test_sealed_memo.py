from __future__ import annotations

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto import sealed_memo
from icn_crypto.curve25519 import x25519_private_key, x25519_public_key
from icn_crypto.sealed_memo import (
    MEMO_BYTES_MAX,
    MEMO_KEYS_MAX,
    MEMO_TEXT_BYTES_MAX,
    MemoBroken,
    MemoInvalid,
    Payment,
    memo_key_ids,
    open_memo,
    read_memo,
    seal_memo,
)
from icn_crypto.suites import SigningKey, Suite, key_id

GENESIS = b"g" * 32
PAYMENT = Payment(b"source of a memo", b"destination of 1")
ANNA, BEN, EVE = (SigningKey.from_seed(Suite.ED25519, bytes([number] * 32)) for number in (1, 2, 3))


def id_of(key: SigningKey) -> bytes:
    return key_id({Suite.ED25519: key.public_key})


def sealed_for(text: str, *keys: SigningKey) -> bytes:
    return seal_memo(text, {id_of(key): key.public_key for key in keys}, PAYMENT, GENESIS)


def opened(sealed: bytes, key: SigningKey, genesis_hash: bytes = GENESIS, payment: Payment = PAYMENT) -> str:
    return open_memo(sealed, id_of(key), key.seed, payment, genesis_hash).text


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=160)


@settings(deadline=None, max_examples=50)
@given(text=TEXTS)
def test_both_parties_read_it_and_the_memos_key_shows_it_to_others(text: str) -> None:
    sealed = sealed_for(text, ANNA, BEN)
    assert set(memo_key_ids(sealed)) == {id_of(ANNA), id_of(BEN)}
    for party in (ANNA, BEN):
        memo = open_memo(sealed, id_of(party), party.seed, PAYMENT, GENESIS)
        assert memo.text == text == read_memo(sealed, memo.key, PAYMENT, GENESIS)
    assert text.encode() not in sealed or len(text.encode()) < 4


def test_a_memo_of_the_first_version_opens_for_ever() -> None:
    assert sha256(FIRST).hexdigest() == "5417cbaddc05176e5a1c781589bad81cb030e8018b71c65016d1bcf33ac377a2"
    assert opened(FIRST, ANNA) == opened(FIRST, BEN) == "two loaves, 14 March"


def test_the_same_text_is_never_sealed_alike() -> None:
    first, second = sealed_for("rent", ANNA), sealed_for("rent", ANNA)
    assert first[:32] != second[:32] and first[-80:] != second[-80:]


def test_who_it_is_not_sealed_to_does_not_open_it() -> None:
    sealed = sealed_for("rent", ANNA, BEN)
    with pytest.raises(MemoBroken, match="not sealed to key"):
        opened(sealed, EVE)
    with pytest.raises(MemoBroken, match="does not open with key"):
        open_memo(sealed, id_of(ANNA), EVE.seed, PAYMENT, GENESIS)
    with pytest.raises(MemoBroken, match="does not open with its key"):
        read_memo(sealed, b"k" * 32, PAYMENT, GENESIS)
    with pytest.raises(MemoBroken, match="32 bytes, not 31"):
        read_memo(sealed, b"k" * 31, PAYMENT, GENESIS)


def test_it_opens_in_its_zone_only() -> None:
    sealed = sealed_for("rent", ANNA)
    with pytest.raises(MemoBroken):
        opened(sealed, ANNA, b"h" * 32)
    with pytest.raises(MemoBroken):
        read_memo(sealed, open_memo(sealed, id_of(ANNA), ANNA.seed, PAYMENT, GENESIS).key, PAYMENT, b"h" * 32)


@pytest.mark.parametrize(
    "other",
    [
        Payment(PAYMENT.destination, PAYMENT.source),
        Payment(PAYMENT.source, b"another account."),
        Payment(b"another account.", PAYMENT.destination),
    ],
)
def test_it_opens_for_its_payment_only(other: Payment) -> None:
    """Who pays a cent with the hash of somebody's memo would have it stand beside the cent."""
    sealed = sealed_for("invoice 17", ANNA)
    with pytest.raises(MemoBroken):
        opened(sealed, ANNA, payment=other)
    key = open_memo(sealed, id_of(ANNA), ANNA.seed, PAYMENT, GENESIS).key
    with pytest.raises(MemoBroken, match="not the text that it commits to"):
        read_memo(sealed, key, other, GENESIS)


def test_a_key_that_was_sealed_to_one_is_none_of_another() -> None:
    """Each is bound to its key's id: who moves it to another's place opens nothing with it."""
    sealed = sealed_for("rent", ANNA)
    moved = sealed[:33] + id_of(EVE) + sealed[49:]
    with pytest.raises(MemoBroken):
        open_memo(moved, id_of(EVE), ANNA.seed, PAYMENT, GENESIS)


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
        read_memo(data, b"k" * 32, PAYMENT, GENESIS)


def test_another_text_than_the_commitment_binds_is_no_memo() -> None:
    """AES-GCM opens under keys that its maker chose, to texts that its maker chose."""
    sealed = sealed_for("rent", ANNA)
    key = open_memo(sealed, id_of(ANNA), ANNA.seed, PAYMENT, GENESIS).key
    slots = sealed[32:-80]
    for text in (b"gift", b"rent\0gift"):
        padded = text + bytes(-len(text) % 64)
        forged = sealed[:32] + slots + AESGCM(key).encrypt(bytes(12), padded, sealed[:32])
        with pytest.raises(MemoBroken, match="not the text that it commits to"):
            opened(forged, ANNA)


@pytest.mark.parametrize("encoded", [b"", b"\xff\xfe", b"a\0b"])
def test_a_committed_text_that_is_none_is_no_memo(encoded: bytes) -> None:
    key = b"k" * 32
    commitment = sealed_memo._commitment(key, encoded, PAYMENT, GENESIS)
    padded = encoded + bytes(-len(encoded) % 64 or (0 if encoded else 64))
    slot = id_of(ANNA) + bytes(80)
    forged = commitment + b"\x01" + slot + AESGCM(key).encrypt(bytes(12), padded, commitment)
    with pytest.raises(MemoBroken, match="holds no text"):
        read_memo(forged, key, PAYMENT, GENESIS)


@pytest.mark.parametrize("text", ["", "a\0", "\ud800", "x" * (MEMO_TEXT_BYTES_MAX + 1), "\u00e9" * 321])
def test_what_is_no_text_of_a_memo_is_not_sealed(text: str) -> None:
    with pytest.raises(MemoInvalid):
        sealed_for(text, ANNA)


def test_the_longest_memo_for_the_most_keys_is_within_its_bound() -> None:
    keys = {number.to_bytes(16, "big"): ANNA.public_key for number in range(MEMO_KEYS_MAX)}
    sealed = seal_memo("x" * MEMO_TEXT_BYTES_MAX, keys, PAYMENT, GENESIS)
    assert len(sealed) == MEMO_BYTES_MAX
    assert (
        open_memo(sealed, (31).to_bytes(16, "big"), ANNA.seed, PAYMENT, GENESIS).text
        == "x" * MEMO_TEXT_BYTES_MAX
    )
    for longer in (sealed + bytes(1), sealed + bytes(64), sealed_for("rent", ANNA) + bytes(640)):
        with pytest.raises(MemoBroken):
            memo_key_ids(longer)
    more = sealed[:32] + bytes((MEMO_KEYS_MAX + 1,)) + sealed[33:129] + sealed[33:]
    with pytest.raises(MemoBroken, match="33 keys"):
        memo_key_ids(more)


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
        seal_memo("rent", {b"i" * 16: public_key}, PAYMENT, GENESIS)


@settings(deadline=None, max_examples=50)
@given(seed=st.binary(min_size=32, max_size=32))
def test_both_halves_of_a_key_are_mapped_to_one_pair(seed: bytes) -> None:
    key = SigningKey.from_seed(Suite.ED25519, seed)
    private = X25519PrivateKey.from_private_bytes(x25519_private_key(seed))
    assert private.public_key().public_bytes_raw() == x25519_public_key(key.public_key)


def test_the_map_is_that_of_libsodiums_own_test() -> None:
    """test/default/ed25519_convert of libsodium, https://github.com/jedisct1/libsodium."""
    seed = bytes.fromhex("421151a459faeade3d247115f94aedae42318124095afabe4d1451a559faedee")
    key = SigningKey.from_seed(Suite.ED25519, seed)
    public = "f1814f0e8ff1043d8a44d25babff3cedcae6c22c3edaa48f857ae70de2baae50"
    private = "8052030376d47112be7f73ed7a019293dd12ad910b654455798b4667d73de166"
    assert (x25519_public_key(key.public_key).hex(), x25519_private_key(seed).hex()) == (public, private)


FIRST = bytes.fromhex(
    "2c851449e5f3e32cb6207e4a51d0845beaf8068db1cc466f891b889657a5c8cf02432f136f69065167f86a665dfb1a19"
    "91629f3a8bc2b3315480dd8d96bde7c0b5cb659bd4dad5e0c0a4d2b0d75d3ca13babe432a9683e6a991b5d043d6f7fae"
    "f4f33f75b7eaedb5c5ca4b1183d6f8df464cc5d4175085993367138e1943ff7c156b8caaff24ae12b7a7398569c23f2d"
    "a73a8061dab83d4a71863bdbbd579061f68ed75c0610faa408ad0a362971f6862e6a7b3e6070657791d671d0680a57af"
    "a9c88b82ba6923edb1bc9da2ee4e6608c84ab55faf9c6aaef2365f654c10b4e50021a31b110628fcff30d37057189eb4"
    "0af7aac5bfdabd54f533102a85f2aefa5ecd7ddb77682d8d46836f75ee634c2f3694b9b25596e37b504612e56f383842"
    "7c94520438174acb368103f984efaf4ba6"
)
"""Sealed to both by the code that came with this test."""
