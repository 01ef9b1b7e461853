"""Orders: transfers that fall due in block time, and one that waits for a second pair of eyes.

Source: docs/spec/ledger.md, "Messages" and "What falls due".
"""

from __future__ import annotations

from typing import Final

from icn_machine import refusals
from icn_machine.accounts import bind
from icn_machine.credit_messages import CancelOrder, OrderTransfers, ReleaseOrder
from icn_machine.entries import PostingKind
from icn_machine.events import NO_TRANSACTION, OrderPlaced, StandingOrderEnded, StandingOrderMissed
from icn_machine.limits import ORDER_AHEAD_MS_MAX, ORDER_BYTES_CHARGED, ORDER_MISSED_MAX
from icn_machine.messages import Transaction, Transfer
from icn_machine.order_times import time_of
from icn_machine.payments import check_parties, pay
from icn_machine.posting import BlockContext, Cause, known, occupy
from icn_machine.records import Allowance, StandingOrder
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet

COMPLETED: Final = "COMPLETED"
RELEASED: Final = "RELEASED"
CANCELLED: Final = "CANCELLED"
NOT_RELEASED: Final = "NOT_RELEASED"
MISSED: Final = "MISSED"
PASSED_OVER: Final = "PASSED_OVER"


def order_transfers(
    working: WorkingSet,
    transaction: Transaction,
    message: OrderTransfers,
    context: BlockContext,
    _index: int,
) -> None:
    """Keep an order until its times have come."""
    check_parties(working, transaction.principal, message)
    orders = working.now.orders
    if orders[message.order] is not None:
        raise Refused(refusals.ORDER_EXISTS)
    first_ms, time_ms = message.first_time_ms, context.time_ms
    is_ahead = time_ms < first_ms <= time_ms + ORDER_AHEAD_MS_MAX
    if not is_ahead or time_of(message, message.times - 1) is None:
        raise Refused(
            refusals.ORDER_TIME_OUT_OF_RANGE, ("first_time_ms", first_ms), ("block_time_ms", time_ms)
        )
    key_ids = tuple(signature.key_id for signature in transaction.signatures)
    order = StandingOrder(
        message, 0, first_ms, 0, key_ids if message.needs_release else (), transaction.payer
    )
    working.put(orders, message.order, order)
    occupy(working, transaction.payer, 1)
    bind(working, message.source, 1)
    working.events.append(OrderPlaced(order))


def cancel_order(
    working: WorkingSet, transaction: Transaction, message: CancelOrder, _context: BlockContext, _index: int
) -> None:
    """End an order, at the wish of either side."""
    order = _find(working, message.order)
    sides = (order.ordered.source, order.ordered.destination)
    if transaction.principal not in [known(working, account).owner for account in sides]:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    _end(working, order, CANCELLED)


def release_order(
    working: WorkingSet, transaction: Transaction, message: ReleaseOrder, context: BlockContext, index: int
) -> None:
    """Carry out an order that somebody else of the same owner has signed."""
    order = _find(working, message.order)
    ordered = order.ordered
    said = (message.source, message.destination, message.amount_minor)
    if not ordered.needs_release or said != (ordered.source, ordered.destination, ordered.amount_minor):
        raise Refused(refusals.ORDER_MISMATCH)
    if any(signature.key_id in order.key_ids for signature in transaction.signatures):
        raise Refused(refusals.SAME_KEY)
    cause = Cause(transaction.payer, index, context)
    pay(working, cause, transaction.principal, _payment(ordered), hold=ordered.order)
    _end(working, order._replace(times_passed=1), RELEASED)


def carry_out(working: WorkingSet, order: StandingOrder, context: BlockContext) -> None:
    """Do what is due of an order, or say why not; then wait for its next time, or end it."""
    ordered = order.ordered
    working.begin()
    if ordered.needs_release:
        _end(working, order, NOT_RELEASED)
        return
    sides = (ordered.source, ordered.destination)
    if any(known(working, account).known_terms.is_closed for account in sides):
        _end(working, order, refusals.ACCOUNT_CLOSED)
        return
    try:
        _charge(working, order, context)
        owner = known(working, ordered.source).owner
        cause = Cause(order.payer, NO_TRANSACTION, context)
        pay(working, cause, owner, _payment(ordered), kind=PostingKind.STANDING, hold=ordered.order)
    except Refused as refusal:
        working.rollback()
        order = order._replace(missed=order.missed + 1)
        missed: Refused | None = refusal
    else:
        order = order._replace(missed=0)
        missed = None
    _advance(working, order, context, missed)


def _advance(
    working: WorkingSet, order: StandingOrder, context: BlockContext, missed: Refused | None
) -> None:
    """Wait for the first time behind the block; times passed over are gone, and count as one missed."""
    number = order.times_passed + 1
    while number < order.ordered.times and (time_of(order.ordered, number) or 0) <= context.time_ms:
        number += 1
    is_passed_over = number > order.times_passed + 1
    order = order._replace(times_passed=number, missed=order.missed + is_passed_over)
    next_ms = time_of(order.ordered, number)
    is_over = number >= order.ordered.times
    if not is_over:
        assert next_ms is not None, "the last time was looked at when it was ordered"
        order = order._replace(next_time_ms=next_ms)
    working.put(working.now.orders, order.ordered.order, order)
    if missed is not None:
        working.events.append(StandingOrderMissed(order, missed.reason, missed.figures))
    if is_passed_over:
        working.events.append(StandingOrderMissed(order, PASSED_OVER, ()))
    if is_over:
        _end(working, order, COMPLETED)
    elif order.missed >= ORDER_MISSED_MAX:
        _end(working, order, MISSED)


def _charge(working: WorkingSet, order: StandingOrder, context: BlockContext) -> None:
    """Charge the order's payer as for a signed transfer."""
    allowances = working.now.allowances
    allowance = allowances[order.payer]
    assert allowance is not None, "a leaf's payer has an allowance, which never goes"
    used_bytes = _used_bytes(allowance, context.epoch)
    if used_bytes + ORDER_BYTES_CHARGED > allowance.limits.bytes_per_epoch:
        raise Refused(
            refusals.ALLOWANCE_EXCEEDED,
            ("used_bytes", used_bytes),
            ("bytes_per_epoch", allowance.limits.bytes_per_epoch),
        )
    working.put(allowances, order.payer, allowance.charge(context.epoch, ORDER_BYTES_CHARGED, 0))


def _used_bytes(allowance: Allowance, epoch: int) -> int:
    return allowance.used_bytes if allowance.epoch == epoch else 0


def _payment(ordered: OrderTransfers) -> Transfer:
    return Transfer(
        ordered.source, ordered.destination, ordered.amount_minor, ordered.memo_hash, ordered.reference
    )


def _find(working: WorkingSet, identifier: bytes) -> StandingOrder:
    order = working.now.orders[identifier]
    if order is None:
        raise Refused(refusals.ORDER_UNKNOWN)
    return order


def _end(working: WorkingSet, order: StandingOrder, reason: str) -> None:
    working.put(working.now.orders, order.ordered.order, None)
    occupy(working, order.payer, -1)
    bind(working, order.ordered.source, -1)
    working.events.append(StandingOrderEnded(order, reason))
