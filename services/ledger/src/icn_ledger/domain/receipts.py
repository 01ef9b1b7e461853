"""Receipts as canonical bytes and their root. Source: docs/spec/transaction.md, "Receipts"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from icn.ledger.v1 import state_pb2
from icn_crypto.merkle_log import leaf_hash, tree_root

from icn_ledger.domain.events import ContractResult, Movement, Receipt

_APPLIED = state_pb2.RECEIPT_STATUS_APPLIED
_REFUSED = state_pb2.RECEIPT_STATUS_REFUSED


def postings(movements: Iterable[Movement]) -> list[state_pb2.Posting]:
    """Two per movement: the debit, then the credit."""
    made = []
    for movement in movements:
        made.append(
            state_pb2.Posting(
                account=movement.source,
                counter_account=movement.destination,
                amount_minor=-movement.amount_minor,
                balance_minor=movement.source_balance_minor,
            )
        )
        made.append(
            state_pb2.Posting(
                account=movement.destination,
                counter_account=movement.source,
                amount_minor=movement.amount_minor,
                balance_minor=movement.destination_balance_minor,
            )
        )
    return made


def encode_receipt(receipt: Receipt) -> bytes:
    """Canonical bytes."""
    if receipt.reason:
        message = state_pb2.Receipt(
            transaction_id=receipt.transaction_id,
            status=_REFUSED,
            reason=receipt.reason,
            message_index=receipt.message_index,
            figures=[state_pb2.Figure(name=name, value=value) for name, value in receipt.figures],
            contract=_contract_result(receipt.contract),
        )
    else:
        message = state_pb2.Receipt(
            transaction_id=receipt.transaction_id,
            status=_APPLIED,
            postings=postings(receipt.movements),
            contract=_contract_result(receipt.contract),
        )
    return message.SerializeToString(deterministic=True)


def _contract_result(result: ContractResult | None) -> state_pb2.ContractResult | None:
    if result is None:
        return None
    return state_pb2.ContractResult(fuel_used=result.fuel_used, data=result.data, events=result.events)


def receipts_root(encoded: Sequence[bytes]) -> bytes:
    """RFC 9162 root over receipts in block order."""
    return tree_root([leaf_hash(receipt) for receipt in encoded])
