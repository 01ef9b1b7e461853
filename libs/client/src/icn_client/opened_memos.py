"""Memos as a party's keys open them, and files that show them to who has no key. Pure.

Source: docs/spec/memo.md, "Opened memos".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple

from icn_crypto.sealed_memo import (
    ACCOUNT_BYTES,
    MemoBroken,
    OpenedMemo,
    Payment,
    memo_key_ids,
    open_memo,
    read_memo,
)
from icn_crypto.suites import Suite

from icn_client.keystore import Identity


class MemoKey(NamedTuple):
    """What a text is looked up by: anybody may pay with the hash of somebody else's memo."""

    memo_hash: bytes
    payment: Payment


class MemosInvalid(ValueError):
    """A file of opened memos has a line that does not show what it says."""


def open_with(identity: Identity, sealed: bytes, payment: Payment, genesis_hash: bytes) -> OpenedMemo | None:
    """The memo as one of the identity's keys opens it; None where it is sealed to none of them.

    Raises:
        MemoBroken: it is sealed to some, and opens with none.
    """
    broken: MemoBroken | None = None
    named = memo_key_ids(sealed)
    for key in identity.keys:
        signing_key = key.signing_keys.get(Suite.ED25519)
        if signing_key is None or key.key_id not in named:
            continue
        try:
            return open_memo(sealed, key.key_id, signing_key.seed, payment, genesis_hash)
        except MemoBroken as error:
            broken = error
    if broken is not None:
        raise broken
    return None


def payment_of(account: bytes, counter_account: bytes, amount_minor: int) -> Payment:
    """The payment that an entry of an account is of."""
    return Payment(account, counter_account) if amount_minor < 0 else Payment(counter_account, account)


def opened_line(entry: MemoKey, sealed: bytes, opened: OpenedMemo) -> bytes:
    """A line of a file of opened memos: whoever has it can read the text and check that it is the payment's
    own."""
    document = {
        "memo_hash": entry.memo_hash.hex(),
        "source": entry.payment.source.hex(),
        "destination": entry.payment.destination.hex(),
        "text": opened.text,
        "key": opened.key.hex(),
        "sealed": base64.b64encode(sealed).decode(),
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def read_opened(lines: Iterable[bytes], genesis_hash: bytes) -> Mapping[MemoKey, str]:
    """Texts by hash and payment of a file of opened memos, each checked.

    Raises:
        MemosInvalid: a line is none, or its text is not what was sealed for this payment.
    """
    found: dict[MemoKey, str] = {}
    for number, line in enumerate(lines, 1):
        try:
            document = json.loads(line)
            memo_hash = bytes.fromhex(document["memo_hash"])
            payment = Payment(bytes.fromhex(document["source"]), bytes.fromhex(document["destination"]))
            if {len(account) for account in payment} != {ACCOUNT_BYTES}:
                raise MemosInvalid(f"line {number}: an account has {ACCOUNT_BYTES} bytes")
            sealed = base64.b64decode(document["sealed"], validate=True)
            if sha256(sealed).digest() != memo_hash:
                raise MemosInvalid(f"line {number}: the sealed memo does not have the hash {memo_hash.hex()}")
            text = read_memo(sealed, bytes.fromhex(document["key"]), payment, genesis_hash)
            if text != document["text"]:
                raise MemosInvalid(f"line {number}: the text is not what was sealed")
        except MemosInvalid:
            raise
        except MemoBroken as error:
            raise MemosInvalid(f"line {number}: {error}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MemosInvalid(f"line {number}: no opened memo: {error!r:.200}") from None
        found[MemoKey(memo_hash, payment)] = text
    return found
