"""What a block leaves for ever, as it is kept: one row of its transactions, and per account that it moved one
of its entries, whose bytes are a `ListEntriesResponse`.

Source: docs/spec/ledger-store.md, "History"; docs/adr/0029-history-in-rows-of-a-block.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import unpack
from typing import Any

from icn.ledger.v1 import service_pb2
from icn_machine.blocks.ports import BlockCommit
from icn_machine.events import NO_TRANSACTION, FloorChanged, UnitPolicySet
from icn_machine.leaves_credit import unit_policy_message
from icn_machine.wire import unsigned

ID_BYTES = 32
"""Of a transaction's id."""
SELECT_PLACES = """
    SELECT wanted.id, place.height, place.index
    FROM unnest(%(ids)s, %(id_heads)s) AS wanted (id, id_head), LATERAL (
        SELECT height, index FROM transaction_places
        WHERE (id_head, height, index) >= (wanted.id_head, 0, 0) ORDER BY id_head, height, index LIMIT 8
    ) AS place, LATERAL (
        SELECT substring(ids FROM place.index * 32 + 1 FOR 32) AS id FROM transactions
        WHERE transactions.height = place.height LIMIT 1
    ) AS there
    WHERE there.id = wanted.id
"""
"""Height and index of each of the transactions that are in a block. Nine ids with one head take more than
2^56 hashes to make; the ninth would not be found."""
_ID_WORDS = ID_BYTES // 8
ENTRY_BYTES_MAX = 224
"""Of an entry in a row, tag and length included, with every field there and every number at its largest."""
_LENGTHS = tuple(bytes((length,)) for length in range(128))
"""No posting is longer."""


def id_heads(ids: Sequence[bytes]) -> Sequence[int]:
    """The first eight bytes of each id: what transactions are found by; two may share them."""
    return unpack(f">{_ID_WORDS * len(ids)}q", b"".join(ids))[::_ID_WORDS]


def split_outcomes(ids: bytes, receipts: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Ids and receipts of a row of `transactions`."""
    return [
        (ids[position * ID_BYTES : (position + 1) * ID_BYTES], receipt)
        for position, receipt in enumerate(receipts)
    ]


def pack_entries(commit: BlockCommit) -> dict[bytes, bytes]:
    """The block's entries by account, in order."""
    ids, block, before = commit.transaction_ids, commit.block, commit.before.accounts
    head = b"\x08" + unsigned(block.height) + b"\x10"
    tail = b"\x30" + unsigned(block.time_ms) + b"\x38"
    packed: dict[bytes, bytes] = {}
    numbers: dict[bytes, int] = {}
    index = 0
    for movement, debit, credit in commit.posted:
        origin = movement.transaction_index
        middle = b"\x22" if origin == NO_TRANSACTION else b"\x1a\x20" + ids[origin] + b"\x22"
        rest = b"\x2a\x20" + movement.memo_hash + tail if movement.memo_hash else tail
        said = b"\x42\x10" + movement.hold if movement.hold else b""
        if movement.reference:
            said += b"\x4a" + _LENGTHS[len(movement.reference)] + movement.reference
        for account, posting in ((movement.source, debit), (movement.destination, credit)):
            number = numbers.get(account)
            if number is None:
                record = before[account]
                number = 0 if record is None else record.entries
            numbers[account] = number = number + 1
            entry = head + unsigned(index) + middle + _LENGTHS[len(posting)] + posting + rest
            entry += unsigned(number) + said
            field = b"\x0a" + unsigned(len(entry)) + entry
            packed[account] = packed[account] + field if account in packed else field
            index += 1
    return packed


def limit_changes(commit: BlockCommit) -> list[service_pb2.LimitChange]:
    """What the block changed of floors and policies, in order."""
    changes: list[service_pb2.LimitChange] = []
    for event in commit.events:
        if isinstance(event, FloorChanged):
            kind: dict[str, Any] = {
                "floor": service_pb2.FloorChange(
                    account=event.account,
                    previous_floor_minor=event.previous_floor_minor,
                    floor_minor=event.floor_minor,
                )
            }
        elif isinstance(event, UnitPolicySet):
            kind = {
                "policy": service_pb2.PolicyChange(
                    previous=event.previous and unit_policy_message(event.previous),
                    policy=unit_policy_message(event.policy),
                )
            }
        else:
            continue
        changes.append(
            service_pb2.LimitChange(
                height=commit.block.height,
                index=len(changes),
                block_time_ms=commit.block.time_ms,
                transaction_id=commit.transaction_ids[event.transaction_index],
                set_by=event.set_by,
                unit=event.unit,
                **kind,
            )
        )
    return changes


def unpack_entries(rows: Iterable[bytes]) -> list[service_pb2.Entry]:
    """The entries of rows, newest first."""
    found = [entry for row in rows for entry in service_pb2.ListEntriesResponse.FromString(row).entries]
    found.sort(key=lambda entry: (entry.height, entry.index), reverse=True)
    return found
