"""The transaction that most are, read in one step: one transfer, signed with one Ed25519 key.

In canonical form its fields have fixed lengths, but for three numbers, so a regular expression recognizes it
and finds them in a quarter of the time that `parsing` takes. Whatever it does not recognize is for `parsing`,
which refuses with a reason, and with which it agrees on every transaction that it reads.

Source: docs/spec/transaction.md, "Bytes"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

import re
from typing import Final

from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.suites import Suite

from icn_machine.messages import Signature, Transaction, Transfer
from icn_machine.records import new_tuple

_NUMBER: Final = rb"([\x80-\xff]{0,7}[\x01-\x7f])"
"""A varint above zero, minimal, below 2^56; all larger ones are for `parsing`."""

_PLAIN_TRANSFER: Final = re.compile(
    rb"\x0a([\x01-\x7f]|[\x80-\xff]\x01)("  # Transaction.body and its length
    rb"\x0a\x10(.{16})\x12\x10(.{16})"  # principal, payer
    rb"(?:\x18([\x01-\x0f]))?"  # lane, absent for 0
    rb"\x20"
    + _NUMBER
    + rb"\x28"
    + _NUMBER  # sequence, expire_time_ms
    + rb"\x32(.)\x32(.)"  # messages, Message.transfer and their lengths
    rb"\x0a\x10(.{16})\x12\x10(.{16})\x18"
    + _NUMBER  # source, destination, amount_minor
    + rb"(?:\x22\x20(.{32}))?"  # memo_hash, absent for none
    rb")\x12\x56\x08\x01\x12\x10(.{16})\x1a\x40(.{64})",  # signatures: suite, key_id, signature
    re.DOTALL,
)
_SUITE: Final = int(Suite.ED25519)
_TRANSFER_BYTES: Final = 37
"""Of a transfer beside its amount and memo."""
_MEMO_BYTES: Final = 34


def read_plain_transfer(data: bytes, genesis_hash: bytes) -> Transaction | None:
    """The transaction, None where `parsing` has to look."""
    found = _PLAIN_TRANSFER.fullmatch(data)
    if found is None:
        return None
    (
        body_length,
        body,
        principal,
        payer,
        lane,
        sequence,
        expire_time,
        message_length,
        transfer_length,
        source,
        destination,
        amount,
        memo_hash,
        key_id,
        signature,
    ) = found.groups(b"")
    transfer_bytes = _TRANSFER_BYTES + len(amount) + (_MEMO_BYTES if memo_hash else 0)
    if (
        transfer_length[0] != transfer_bytes
        or message_length[0] != transfer_bytes + 2
        or _number(body_length) != len(body)
        or source == destination
    ):
        return None
    return Transaction(
        domain_hash(tags.TRANSACTION_ID, genesis_hash, body),
        body,
        len(data),
        principal,
        payer,
        lane[0] if lane else 0,
        _number(sequence),
        _number(expire_time),
        (new_tuple(Transfer, (source, destination, _number(amount), memo_hash, b"")),),
        (new_tuple(Signature, (_SUITE, key_id, signature)),),
        1,  # signature is charged
        0,  # leaves are made
        (),  # organizations' allowances are set
    )


def _number(varint: bytes) -> int:
    if len(varint) == 1:
        return varint[0]
    value = 0
    for byte in reversed(varint):
        value = value << 7 | byte & 0x7F
    return value
