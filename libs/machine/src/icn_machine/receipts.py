"""Receipts as canonical bytes and the chain of their roots. Source: docs/spec/transaction.md, "Receipts"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icn.ledger.v1 import state_pb2
from icn_crypto.merkle_log import node_hash, root_of

from icn_machine.entries import PostingKind
from icn_machine.events import NO_TRANSACTION, ContractResult, Event, Movement, Receipt
from icn_machine.records import new_tuple
from icn_machine.wire import signed

_LENGTHS = tuple(bytes((length,)) for length in range(128))
"""No posting is longer."""
_KINDS = {int(kind): bytes((0x28, kind)) for kind in PostingKind}


class Posted(NamedTuple):
    """A movement with its two postings, canonical bytes."""

    movement: Movement
    debit: bytes
    credit: bytes


def encode_postings(events: Sequence[Event]) -> list[Posted]:
    """The movements among a block's events, in order."""
    posted = []
    for event in events:
        if type(event) is Movement:
            _, _, source, destination, _, amount_minor, source_minor, destination_minor, _, _, kind, _ = event
            debit: tuple[bytes, ...] = (
                b"\x0a\x10",
                source,
                b"\x12\x10",
                destination,
                b"\x18",
                signed(-amount_minor),
            )
            credit: tuple[bytes, ...] = (
                b"\x0a\x10",
                destination,
                b"\x12\x10",
                source,
                b"\x18",
                signed(amount_minor),
            )
            if source_minor:
                debit += (b"\x20", signed(source_minor))
            if destination_minor:
                credit += (b"\x20", signed(destination_minor))
            made = _KINDS[kind]
            posted.append(new_tuple(Posted, (event, b"".join(debit) + made, b"".join(credit) + made)))
    return posted


def encode_receipts(receipts: Sequence[Receipt], posted: Sequence[Posted]) -> list[bytes]:
    """Canonical bytes of a block's receipts, in order, with what its transactions posted."""
    postings = [b""] * len(receipts)
    for movement, debit, credit in posted:
        if movement.transaction_index == NO_TRANSACTION:
            continue
        postings[movement.transaction_index] += b"".join(
            (b"\x32", _LENGTHS[len(debit)], debit, b"\x32", _LENGTHS[len(credit)], credit)
        )
    return [encode_receipt(receipt, mine) for receipt, mine in zip(receipts, postings, strict=True)]


def encode_receipt(receipt: Receipt, postings: bytes = b"") -> bytes:
    """Canonical bytes of one; ``postings`` are those of the field."""
    if receipt.reason:
        assert not postings, "what was refused posted nothing"
        encoded = state_pb2.Receipt(
            transaction_id=receipt.transaction_id,
            status=state_pb2.RECEIPT_STATUS_REFUSED,
            reason=receipt.reason,
            message_index=receipt.message_index,
            figures=[state_pb2.Figure(name=name, value=value) for name, value in receipt.figures],
        ).SerializeToString(deterministic=True)
    else:
        encoded = b"\x0a\x20" + receipt.transaction_id + b"\x10\x01" + postings
    if receipt.contract is not None:
        encoded += _contract_field(receipt.contract)
    return encoded


def _contract_field(result: ContractResult) -> bytes:
    made = state_pb2.ContractResult(fuel_used=result.fuel_used, data=result.data, events=result.events)
    return state_pb2.Receipt(contract=made).SerializeToString(deterministic=True)


def receipts_root(before: bytes, encoded: Sequence[bytes]) -> bytes:
    """Receipts root of a block: over that of the block before, and the RFC 9162 root of its own receipts."""
    return chain_receipts(before, root_of(encoded))


def chain_receipts(before: bytes, own: bytes) -> bytes:
    """Receipts root that follows one, 32 bytes, by the root of the next block's own receipts."""
    return node_hash(before, own)
