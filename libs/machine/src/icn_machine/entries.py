"""The chains of an account, over its entries and over its sub-accounts: each hash covers one of them and the
hash before it.

Whoever has two proofs of an account's leaf can tell with it whether a list of the entries between them is
complete and unchanged.

Source: docs/spec/ledger.md, "The chain of an account's entries".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES, domain_hash, preimage

from icn_machine.events import NO_TRANSACTION, Event, Movement
from icn_machine.records import Account, new_tuple

NO_ENTRIES: Final = bytes(HASH_BYTES)
"""What the first entry's hash covers in place of one before it."""
_BODY: Final = Struct(">32sQQQ32sQqq16s32s32s16s")


class PostingKind(IntEnum):
    """What made a posting; numbers as in the proto."""

    TRANSFER = 1
    CAPTURE = 2
    STANDING = 3
    EXCHANGE = 4
    FEE = 5
    DEMURRAGE = 6
    WRITE_OFF = 7
    OPENING = 8

    @property
    def is_marked(self) -> bool:
        """Whether the unit's rules or its authority made it, and not who is debited."""
        return self >= PostingKind.FEE


class Entry(NamedTuple):
    """One side of a posting."""

    number: int
    """Among the account's entries, from 1."""
    height: int
    block_time_ms: int
    transaction_id: bytes
    """32 bytes; empty where a block made it by itself."""
    kind: int
    amount_minor: int
    """Negative for a debit."""
    balance_minor: int
    """After it."""
    counter_account: bytes
    memo_hash: bytes
    """32 bytes, or empty."""
    reference: bytes
    """At most 32 bytes."""
    hold: bytes
    """Or order; 16 bytes, or empty."""


def extend_sub_accounts(genesis_hash: bytes, before: bytes, account: bytes) -> bytes:
    """The hash behind an account's next sub-account, 32 bytes; ``before`` is empty where it is the first.

    Source: docs/spec/ledger.md, "Accounts".
    """
    return domain_hash(tags.SUB_ACCOUNTS, genesis_hash, (before or bytes(HASH_BYTES)) + account)


class EntryChain:
    """Hashes entries of one zone."""

    def __init__(self, genesis_hash: bytes) -> None:
        head = preimage(tags.ENTRY, genesis_hash, bytes(_BODY.size))
        self._head = head[: -_BODY.size]

    def extend(self, before: bytes, entry: Entry) -> bytes:
        """The hash behind an entry, 32 bytes; ``before`` is empty where it is the first."""
        return sha256(self._head + _BODY.pack(before, *entry)).digest()

    def link(
        self,
        events: Iterable[Event],
        accounts: dict[bytes, Account | None],
        transaction_ids: Sequence[bytes],
        height: int,
        time_ms: int,
    ) -> None:
        """Put what a block posted behind the entries of its accounts, in the order it was posted."""
        head, pack = self._head, _BODY.pack
        ends: dict[bytes, tuple[int, bytes]] = {}
        for event in events:
            if type(event) is not Movement:
                continue
            index, _, source, destination, _, amount, debited, credited, memo, hold, kind, reference = event
            identifier = b"" if index == NO_TRANSACTION else transaction_ids[index]
            for account, other, moved, balance in (
                (source, destination, -amount, debited),
                (destination, source, amount, credited),
            ):
                end = ends.get(account)
                if end is None:
                    record = accounts[account]
                    assert record is not None, "what was posted has its account"
                    end = record.entries, record.entries_hash
                number = end[0] + 1
                body = pack(
                    end[1],
                    number,
                    height,
                    time_ms,
                    identifier,
                    kind,
                    moved,
                    balance,
                    other,
                    memo,
                    reference,
                    hold,
                )
                ends[account] = number, sha256(head + body).digest()
        for account, end in ends.items():
            record = accounts[account]
            assert record is not None, "accounts never go"
            *before, _, _, payer, terms = record
            accounts[account] = new_tuple(Account, (*before, *end, payer, terms))
