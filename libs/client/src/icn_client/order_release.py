"""Whether anybody can release an order that needs it.

Source: docs/spec/ledger.md, "Messages", and docs/spec/transaction.md, "Validity", rule 7.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from icn.ledger.v1.transaction_pb2 import KeyScope, Message

from icn_client.transactions import controller_key_id


def can_be_released(
    controller: Any, signers: Collection[bytes], source: bytes, amount_minor: int, time_ms: int
) -> bool:
    """Whether keys that did not sign an order could release it at a block time, with the keys of now.

    Args:
        controller: leaf of the owner of ``source``.
        signers: ids of the keys that sign the order.
        source: account that pays.
        amount_minor: that it pays.
        time_ms: unix milliseconds.
    """
    others = [key for key in controller.keys if controller_key_id(key) not in signers]
    scopes = [key.scope for key in others if key.HasField("scope")]
    return len(others) - len(scopes) >= controller.threshold or any(
        _covers(scope, source, amount_minor, time_ms) for scope in scopes
    )


def _covers(scope: KeyScope, source: bytes, amount_minor: int, time_ms: int) -> bool:
    return (
        Message.RELEASE_ORDER_FIELD_NUMBER in scope.message_kinds
        and (not scope.amount_minor_max or amount_minor <= scope.amount_minor_max)
        and (not scope.accounts or source in scope.accounts)
        and (not scope.expire_time_ms or time_ms <= scope.expire_time_ms)
    )
