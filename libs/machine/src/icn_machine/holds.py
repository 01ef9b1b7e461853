"""Holds: placed, captured, voided, released when due. Source: docs/spec/transaction.md, "Execution"."""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.credit import note_soft_limit
from icn_machine.demurrage import settle_both
from icn_machine.entries import PostingKind
from icn_machine.events import HoldCaptured, HoldPlaced, HoldReleased
from icn_machine.limits import HOLD_AHEAD_MS_MAX, QUANTITY_MAX
from icn_machine.messages import CaptureHold, PlaceHold, Transaction, VoidHold
from icn_machine.payments import check_debit
from icn_machine.posting import BlockContext, Cause, check_credit, check_open, known, occupy, post
from icn_machine.records import Account, Hold
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def place_hold(
    working: WorkingSet, transaction: Transaction, message: PlaceHold, context: BlockContext, index: int
) -> None:
    """Reserve credit for a payee."""
    cause = Cause(transaction.payer, index, context)
    source, _destination, limit_minor = check_debit(working, cause, transaction.principal, message)
    hold = Hold(
        message.hold,
        message.source,
        message.destination,
        message.amount_minor,
        message.expire_time_ms,
        transaction.payer,
    )
    reserve(working, context, source, hold, limit_minor)


def reserve(
    working: WorkingSet, context: BlockContext, source: Account, hold: Hold, limit_minor: int
) -> None:
    """Hold credit of an account that the debit rules allow."""
    if source.held_minor + hold.remaining_minor > QUANTITY_MAX:
        raise Refused(
            refusals.BALANCE_OUT_OF_RANGE,
            ("held_minor", source.held_minor),
            ("amount_minor", hold.remaining_minor),
        )
    check_new(working, context, hold.hold, hold.expire_time_ms)
    working.put(working.now.holds, hold.hold, hold)
    held = source._replace(held_minor=source.held_minor + hold.remaining_minor)
    working.put(working.now.accounts, hold.source, held)
    occupy(working, hold.payer, 1)
    working.events.append(HoldPlaced(hold))
    note_soft_limit(working, hold.payer, source, held, limit_minor)


def check_new(working: WorkingSet, context: BlockContext, identifier: bytes, expire_time_ms: int) -> None:
    """Refuse a hold whose id is taken or that ends too early or too late."""
    if working.now.holds[identifier] is not None:
        raise Refused(refusals.HOLD_EXISTS)
    if not context.time_ms < expire_time_ms <= context.time_ms + HOLD_AHEAD_MS_MAX:
        raise Refused(
            refusals.HOLD_EXPIRY_OUT_OF_RANGE,
            ("expire_time_ms", expire_time_ms),
            ("block_time_ms", context.time_ms),
        )


def find_open(working: WorkingSet, identifier: bytes, context: BlockContext) -> Hold:
    """A hold that has not come to its end."""
    hold = working.now.holds[identifier]
    if hold is None or hold.expire_time_ms <= context.time_ms:
        raise Refused(refusals.HOLD_UNKNOWN)
    return hold


def _find_own(
    working: WorkingSet, transaction: Transaction, identifier: bytes, context: BlockContext
) -> Hold:
    """An open hold whose payee is the acting principal."""
    hold = find_open(working, identifier, context)
    if hold.price is not None:
        raise Refused(refusals.EXCHANGE_MISMATCH)
    if known(working, hold.destination).owner != transaction.principal:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    return hold


def capture_hold(
    working: WorkingSet, transaction: Transaction, message: CaptureHold, context: BlockContext, index: int
) -> None:
    """Move part of a hold to its destination."""
    hold = _find_own(working, transaction, message.hold, context)
    destination = known(working, hold.destination)
    check_open(destination)
    check_left(hold, message.amount_minor)
    cause = Cause(transaction.payer, index, context)
    capture(working, cause, hold, destination, message.amount_minor)


def check_left(hold: Hold, amount_minor: int) -> None:
    """Refuse to take more of a hold than is left of it."""
    if amount_minor > hold.remaining_minor:
        raise Refused(
            refusals.HOLD_AMOUNT_EXCEEDED,
            ("remaining_minor", hold.remaining_minor),
            ("amount_minor", amount_minor),
        )


def capture(working: WorkingSet, cause: Cause, hold: Hold, destination: Account, amount_minor: int) -> None:
    """Move what is left of a hold, or part of it, to an account that may have it."""
    source, destination = settle_both(working, cause, known(working, hold.source), destination)
    check_credit(destination, amount_minor)
    holds = working.now.holds
    remaining_minor = hold.remaining_minor - amount_minor
    if remaining_minor == 0:
        working.put(holds, hold.hold, None)
        occupy(working, hold.payer, -1)
    else:
        working.put(holds, hold.hold, hold._replace(remaining_minor=remaining_minor))
    post(
        working,
        cause,
        source=source,
        destination=destination,
        amount_minor=amount_minor,
        captured_minor=amount_minor,
        hold=hold.hold,
        kind=PostingKind.CAPTURE if hold.price is None else PostingKind.EXCHANGE,
    )
    working.events.append(HoldCaptured(cause.position, hold, destination.account, amount_minor))


def void_hold(
    working: WorkingSet, transaction: Transaction, message: VoidHold, context: BlockContext, _index: int
) -> None:
    """Release what is left of a hold, at the payee's wish."""
    release(working, _find_own(working, transaction, message.hold, context), is_expired=False)


def release(working: WorkingSet, hold: Hold, *, is_expired: bool) -> None:
    """Give back what is left of a hold and end it."""
    source = known(working, hold.source)
    freed = source._replace(held_minor=source.held_minor - hold.remaining_minor)
    working.put(working.now.accounts, hold.source, freed)
    working.put(working.now.holds, hold.hold, None)
    occupy(working, hold.payer, -1)
    working.events.append(HoldReleased(hold, is_expired))
