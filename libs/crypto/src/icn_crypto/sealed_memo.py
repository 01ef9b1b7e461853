"""Memos of payments, sealed to the parties' keys: whoever keeps one can neither read nor change it.

A memo's text is encrypted under a key of its own, and that key is sealed to each party's Ed25519 key, mapped
to X25519. The commitment binds key, text and both accounts, since AES-GCM alone lets who makes a ciphertext
open it in two ways, and anybody could pay with the hash of somebody else's memo. The ledger keeps the SHA-256
of all of it. Source: docs/spec/memo.md.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from icn_crypto.curve25519 import NoAgreementKey, x25519_private_key, x25519_public_key
from icn_crypto.hashing import HASH_BYTES, domain_hash, preimage
from icn_crypto.suites import KEY_ID_BYTES, SEED_BYTES
from icn_crypto.tags import MEMO, MEMO_KEY

MEMO_TEXT_BYTES_MAX: Final = 640
"""Of UTF-8: a line or two of an invoice."""
MEMO_KEYS_MAX: Final = 32
"""All keys of two controllers."""
MEMO_BYTES_MAX: Final = 3_761
"""Of a sealed memo with the longest text and the most keys."""
MEMO_KEY_BYTES: Final = 32
ACCOUNT_BYTES: Final = 16
MEDIA_TYPE: Final = "application/vnd.icn.sealed-memo"
PADDED_BYTES: Final = 64
"""A text is filled up to a multiple of this, so that a ciphertext shows little of its length."""

_HPKE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SEALED_KEY_BYTES: Final = 32 + MEMO_KEY_BYTES + 16
"""Encapsulated key, ciphertext, tag."""
_SLOT_BYTES: Final = KEY_ID_BYTES + _SEALED_KEY_BYTES
_TAG_BYTES: Final = 16
_NONCE: Final = bytes(12)
"""Each key encrypts one text."""


class MemoInvalid(ValueError):
    """A text that is no memo's."""


class MemoBroken(ValueError):
    """Bytes that are no sealed memo of the zone, or do not open with this key."""


class Payment(NamedTuple):
    """What a memo is of; 16 bytes each."""

    source: bytes
    """Account that is debited."""
    destination: bytes


class OpenedMemo(NamedTuple):
    """What a memo says, and what shows it to others."""

    text: str
    key: bytes
    """32 bytes: with it and the sealed memo anybody can read the text and check that it was this one."""


def seal_memo(text: str, public_keys: Mapping[bytes, bytes], payment: Payment, genesis_hash: bytes) -> bytes:
    """The text sealed to Ed25519 keys, by their key ids.

    Args:
        text: 1 to MEMO_TEXT_BYTES_MAX bytes of UTF-8, without a zero.
        public_keys: 1 to MEMO_KEYS_MAX, of 32 bytes each, as registered: of prime order.
        payment: that has the memo.
        genesis_hash: of the zone.

    Raises:
        MemoInvalid: the text is too long, empty or holds a zero; a key is none to seal to.
    """
    assert 1 <= len(public_keys) <= MEMO_KEYS_MAX, "a payment has two parties with 16 keys each"
    key = secrets.token_bytes(MEMO_KEY_BYTES)
    encoded = encode_memo(text)
    commitment = _commitment(key, encoded, payment, genesis_hash)
    slots = b"".join(
        key_id + _HPKE.encrypt(key, _public_key(public_key), info=_info(key_id, payment, genesis_hash))
        for key_id, public_key in sorted(public_keys.items())
    )
    padded = encoded + bytes(-len(encoded) % PADDED_BYTES)
    ciphertext = AESGCM(key).encrypt(_NONCE, padded, commitment)
    return commitment + bytes((len(public_keys),)) + slots + ciphertext


def memo_key_ids(sealed: bytes) -> tuple[bytes, ...]:
    """Ids of the keys that the memo is sealed to.

    Raises:
        MemoBroken: it is no sealed memo.
    """
    _, slots, _ = _split(sealed)
    return tuple(slots)


def open_memo(sealed: bytes, key_id: bytes, seed: bytes, payment: Payment, genesis_hash: bytes) -> OpenedMemo:
    """Open a memo with one of the keys that it is sealed to; ``seed`` is its Ed25519 seed of 32 bytes.

    Raises:
        MemoBroken: it is no sealed memo, not of this payment or zone, not sealed to this key, or not the text
            that its commitment binds.
    """
    assert len(seed) == SEED_BYTES, "callers have a key"
    _, slots, _ = _split(sealed)
    slot = slots.get(key_id)
    if slot is None:
        raise MemoBroken(f"the memo is not sealed to key {key_id.hex()}")
    try:
        key = _HPKE.decrypt(
            slot,
            X25519PrivateKey.from_private_bytes(x25519_private_key(seed)),
            info=_info(key_id, payment, genesis_hash),
        )
    except (InvalidTag, ValueError):
        raise MemoBroken(f"the memo does not open with key {key_id.hex()}") from None
    return OpenedMemo(read_memo(sealed, key, payment, genesis_hash), key)


def read_memo(sealed: bytes, key: bytes, payment: Payment, genesis_hash: bytes) -> str:
    """The text, with the memo's own key, as a party that opened it shows it to others.

    Raises:
        MemoBroken: it is no sealed memo, or not the text that its commitment binds to this key and payment.
    """
    commitment, _, ciphertext = _split(sealed)
    if len(key) != MEMO_KEY_BYTES:
        raise MemoBroken(f"a memo's key has {MEMO_KEY_BYTES} bytes, not {len(key)}")
    try:
        padded = AESGCM(key).decrypt(_NONCE, ciphertext, commitment)
    except InvalidTag:
        raise MemoBroken("the memo does not open with its key") from None
    encoded = padded.rstrip(b"\0")
    if not hmac.compare_digest(_commitment(key, encoded, payment, genesis_hash), commitment):
        raise MemoBroken("the memo is not the text that it commits to")
    try:
        text = encoded.decode()
        encode_memo(text)
    except (MemoInvalid, UnicodeDecodeError) as error:
        raise MemoBroken(f"the memo holds no text: {error}") from None
    return text


def encode_memo(text: str) -> bytes:
    """The text as it is sealed. Raises MemoInvalid."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise MemoInvalid("the memo is no text") from None
    if not 1 <= len(encoded) <= MEMO_TEXT_BYTES_MAX:
        raise MemoInvalid(f"the memo has {len(encoded)} bytes, allowed 1 to {MEMO_TEXT_BYTES_MAX}")
    if b"\0" in encoded:
        raise MemoInvalid("the memo holds a zero byte")
    return encoded


def _commitment(key: bytes, encoded: bytes, payment: Payment, genesis_hash: bytes) -> bytes:
    return domain_hash(MEMO, genesis_hash, key + _bytes_of(payment) + encoded)


def _info(key_id: bytes, payment: Payment, genesis_hash: bytes) -> bytes:
    return preimage(MEMO_KEY, genesis_hash, key_id + _bytes_of(payment))


def _bytes_of(payment: Payment) -> bytes:
    assert all(len(account) == ACCOUNT_BYTES for account in payment), "accounts have ids of one length"
    return payment.source + payment.destination


def _split(sealed: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Commitment, sealed keys by key id, ciphertext."""
    count = sealed[HASH_BYTES] if len(sealed) > HASH_BYTES else 0
    begin = HASH_BYTES + 1
    end = begin + count * _SLOT_BYTES
    ciphertext = sealed[end:]
    if not 1 <= count <= MEMO_KEYS_MAX or len(sealed) > MEMO_BYTES_MAX:
        raise MemoBroken(f"{len(sealed)} bytes with {count} keys are no sealed memo")
    padded_bytes = len(ciphertext) - _TAG_BYTES
    if not 0 < padded_bytes <= MEMO_TEXT_BYTES_MAX or padded_bytes % PADDED_BYTES:
        raise MemoBroken(f"a ciphertext of {len(ciphertext)} bytes is no memo's")
    slots = {
        sealed[place : place + KEY_ID_BYTES]: sealed[place + KEY_ID_BYTES : place + _SLOT_BYTES]
        for place in range(begin, end, _SLOT_BYTES)
    }
    if list(slots) != sorted(slots) or len(slots) != count:
        raise MemoBroken("the memo's keys are not in order, or one is there twice")
    return sealed[:HASH_BYTES], slots, ciphertext


def _public_key(public_key: bytes) -> X25519PublicKey:
    try:
        return X25519PublicKey.from_public_bytes(x25519_public_key(public_key))
    except NoAgreementKey as error:
        raise MemoInvalid(f"{public_key.hex()} is no key to seal to: {error}") from None
