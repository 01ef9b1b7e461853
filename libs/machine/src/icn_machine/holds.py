"""Holds: placed, captured, voided, released when due. Source: docs/spec/transaction.md, "Execution"."""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.entries import PostingKind
from icn_machine.events import HoldCaptured, HoldPlaced, HoldReleased
from icn_machine.limits import HOLD_AHEAD_MS_MAX, QUANTITY_MAX
from icn_machine.messages import CaptureHold, PlaceHold, Transaction, VoidHold
from icn_machine.posting import BlockContext, check_credit, check_debit, occupy, post
from icn_machine.records import Hold
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def place_hold(
    working: WorkingSet, transaction: Transaction, message: PlaceHold, context: BlockContext, _index: int
) -> None:
    """Reserve credit for a payee."""
    source, _destination = check_debit(working, transaction, message)
    if source.held_minor + message.amount_minor > QUANTITY_MAX:
        raise Refused(
            refusals.BALANCE_OUT_OF_RANGE,
            ("held_minor", source.held_minor),
            ("amount_minor", message.amount_minor),
        )
    holds = working.now.holds
    if holds[message.hold] is not None:
        raise Refused(refusals.HOLD_EXISTS)
    if not context.time_ms < message.expire_time_ms <= context.time_ms + HOLD_AHEAD_MS_MAX:
        raise Refused(
            refusals.HOLD_EXPIRY_OUT_OF_RANGE,
            ("expire_time_ms", message.expire_time_ms),
            ("block_time_ms", context.time_ms),
        )
    hold = Hold(
        message.hold,
        message.source,
        message.destination,
        message.amount_minor,
        message.expire_time_ms,
        transaction.payer,
    )
    working.put(holds, message.hold, hold)
    held = source._replace(held_minor=source.held_minor + message.amount_minor)
    working.put(working.now.accounts, message.source, held)
    occupy(working, transaction.payer, 1)
    working.events.append(HoldPlaced(hold))


def _find_hold(
    working: WorkingSet, transaction: Transaction, identifier: bytes, context: BlockContext
) -> Hold:
    """An open hold whose payee is the acting principal."""
    hold = working.now.holds[identifier]
    if hold is None or hold.expire_time_ms <= context.time_ms:
        raise Refused(refusals.HOLD_UNKNOWN)
    destination = working.now.accounts[hold.destination]
    assert destination is not None, "accounts never go"
    if destination.owner != transaction.principal:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    return hold


def capture_hold(
    working: WorkingSet, transaction: Transaction, message: CaptureHold, context: BlockContext, index: int
) -> None:
    """Move part of a hold to its destination."""
    hold = _find_hold(working, transaction, message.hold, context)
    if message.amount_minor > hold.remaining_minor:
        raise Refused(
            refusals.HOLD_AMOUNT_EXCEEDED,
            ("remaining_minor", hold.remaining_minor),
            ("amount_minor", message.amount_minor),
        )
    accounts, holds = working.now.accounts, working.now.holds
    source, destination = accounts[hold.source], accounts[hold.destination]
    assert source is not None and destination is not None, "accounts never go"
    check_credit(destination, message.amount_minor)
    remaining_minor = hold.remaining_minor - message.amount_minor
    if remaining_minor == 0:
        working.put(holds, hold.hold, None)
        occupy(working, hold.payer, -1)
    else:
        working.put(holds, hold.hold, hold._replace(remaining_minor=remaining_minor))
    post(
        working,
        transaction,
        index,
        source=source,
        destination=destination,
        amount_minor=message.amount_minor,
        captured_minor=message.amount_minor,
        hold=hold.hold,
        kind=PostingKind.CAPTURE,
    )
    working.events.append(HoldCaptured(index, hold, message.amount_minor))


def void_hold(
    working: WorkingSet, transaction: Transaction, message: VoidHold, context: BlockContext, _index: int
) -> None:
    """Release what is left of a hold, at the payee's wish."""
    release(working, _find_hold(working, transaction, message.hold, context), is_expired=False)


def release(working: WorkingSet, hold: Hold, *, is_expired: bool) -> None:
    """Give back what is left of a hold and end it."""
    accounts = working.now.accounts
    source = accounts[hold.source]
    assert source is not None, "accounts never go"
    working.put(accounts, hold.source, source._replace(held_minor=source.held_minor - hold.remaining_minor))
    working.put(working.now.holds, hold.hold, None)
    occupy(working, hold.payer, -1)
    working.events.append(HoldReleased(hold, is_expired))
