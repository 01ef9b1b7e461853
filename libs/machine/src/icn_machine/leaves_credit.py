"""Leaves of unit policies, credit lines, trades, orders and periods; parts of `leaves`.

Source: protos/icn/ledger/v1/state.proto; docs/spec/ledger.md, "Leaves".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from icn.ledger.v1 import state_pb2, transaction_pb2

from icn_machine.credit_messages import UnitPolicy
from icn_machine.parsing_credit import read_ordered, read_unit_policy
from icn_machine.records import (
    CreditLine,
    Namespace,
    Period,
    PolicyInForce,
    Record,
    StandingOrder,
    Trade,
)


def _encode_unit_policy(in_force: PolicyInForce) -> bytes:
    return state_pb2.UnitPolicyLeaf(
        policy=unit_policy_message(in_force.policy),
        set_time_ms=in_force.set_time_ms,
        demurrage_set_time_ms=in_force.demurrage_set_time_ms,
    ).SerializeToString(deterministic=True)


def unit_policy_message(policy: UnitPolicy) -> transaction_pb2.UnitPolicy:
    """The policy as its proto."""
    return transaction_pb2.UnitPolicy(**policy._asdict())


def _decode_unit_policy(leaf: bytes) -> PolicyInForce:
    message = state_pb2.UnitPolicyLeaf.FromString(leaf)
    policy = read_unit_policy(message.policy)
    return PolicyInForce(policy, message.set_time_ms, message.demurrage_set_time_ms)


def _encode_credit_line(line: CreditLine) -> bytes:
    return state_pb2.CreditLineLeaf(**line._asdict()).SerializeToString(deterministic=True)


def _decode_credit_line(leaf: bytes) -> CreditLine:
    message = state_pb2.CreditLineLeaf.FromString(leaf)
    return CreditLine(message.main_account, message.earned_minor, message.spent_minor)


def _encode_trade(trade: Trade) -> bytes:
    return state_pb2.TradeLeaf(**trade._asdict()).SerializeToString(deterministic=True)


def _decode_trade(leaf: bytes) -> Trade:
    message = state_pb2.TradeLeaf.FromString(leaf)
    return Trade(message.lower_paid_minor, message.higher_paid_minor, message.payer)


def _encode_order(order: StandingOrder) -> bytes:
    return state_pb2.StandingOrderLeaf(
        ordered=transaction_pb2.OrderTransfers(**order.ordered._asdict()),
        times_passed=order.times_passed,
        next_time_ms=order.next_time_ms,
        missed=order.missed,
        key_ids=order.key_ids,
        payer=order.payer,
    ).SerializeToString(deterministic=True)


def _decode_order(leaf: bytes) -> StandingOrder:
    message = state_pb2.StandingOrderLeaf.FromString(leaf)
    return StandingOrder(
        read_ordered(message.ordered),
        message.times_passed,
        message.next_time_ms,
        message.missed,
        tuple(message.key_ids),
        message.payer,
    )


def _encode_period(period: Period) -> bytes:
    return state_pb2.PeriodLeaf(**period._asdict()).SerializeToString(deterministic=True)


def _decode_period(leaf: bytes) -> Period:
    message = state_pb2.PeriodLeaf.FromString(leaf)
    return Period(
        message.end_time_ms, message.digest, message.height, message.block_time_ms, message.closed_by
    )


ENCODERS = cast(
    dict[Namespace, Callable[[Any], bytes]],
    {
        Namespace.UNIT_POLICY: _encode_unit_policy,
        Namespace.CREDIT_LINE: _encode_credit_line,
        Namespace.TRADE: _encode_trade,
        Namespace.ORDER: _encode_order,
        Namespace.PERIOD: _encode_period,
    },
)

DECODERS: dict[Namespace, Callable[[bytes], Record]] = {
    Namespace.UNIT_POLICY: _decode_unit_policy,
    Namespace.CREDIT_LINE: _decode_credit_line,
    Namespace.TRADE: _decode_trade,
    Namespace.ORDER: _decode_order,
    Namespace.PERIOD: _decode_period,
}
