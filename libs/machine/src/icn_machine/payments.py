"""Voluntary debits: who may make one, how far, and the payment that follows.

Source: docs/spec/ledger.md, "Messages", debit rules.
"""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.credit import check_limit, limit_of, note_soft_limit
from icn_machine.credit_messages import OrderTransfers, TransferLegs
from icn_machine.demurrage import settle_both
from icn_machine.entries import PostingKind
from icn_machine.limits import QUANTITY_MAX
from icn_machine.messages import PlaceHold, Transaction, Transfer
from icn_machine.posting import BlockContext, Cause, check_credit, check_open, known, post
from icn_machine.records import Account, new_tuple
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def transfer(
    working: WorkingSet, transaction: Transaction, message: Transfer, context: BlockContext, index: int
) -> None:
    """Move credit."""
    pay(working, new_tuple(Cause, (transaction.payer, index, context)), transaction.principal, message)


def pay(
    working: WorkingSet,
    cause: Cause,
    owner: bytes,
    payment: Transfer,
    *,
    kind: PostingKind = PostingKind.TRANSFER,
    hold: bytes = b"",
) -> None:
    """Move credit of ``owner``, as far as the debit rules allow it; ``hold``: or order it belongs to."""
    amount_minor = payment.amount_minor
    source, destination, limit_minor = check_debit(working, cause, owner, payment)
    check_credit(destination, amount_minor)
    post(
        working,
        cause,
        source=source,
        destination=destination,
        amount_minor=amount_minor,
        memo_hash=payment.memo_hash,
        hold=hold,
        kind=kind,
        reference=payment.reference,
    )
    if working.loaded.unit_policies[source.unit] is not None:
        note_soft_limit(working, cause.payer, source, known(working, source.account), limit_minor)


def check_debit(
    working: WorkingSet, cause: Cause, owner: bytes, debit: Transfer | PlaceHold
) -> tuple[Account, Account, int]:
    """Source and destination of a voluntary debit that the limit allows, demurrage taken; and the limit."""
    source, destination = check_parties(working, owner, debit)
    if source.terms is not None:
        check_free(source, cause.context.time_ms)
    limit_minor = source.floor_minor
    if working.loaded.unit_policies[source.unit] is not None:
        source, destination = settle_both(working, cause, source, destination)
        limit_minor = limit_of(working, source)
    check_limit(source, debit.amount_minor, limit_minor)
    return source, destination, limit_minor


def check_parties(
    working: WorkingSet, owner: bytes, debit: Transfer | PlaceHold | OrderTransfers
) -> tuple[Account, Account]:
    """Source and destination of a debit that ``owner`` may make, as far as accounts and unit go."""
    accounts = working.now.accounts
    source, destination = accounts[debit.source], accounts[debit.destination]
    if source is None or destination is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    if source.owner != owner:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    if source.unit != destination.unit:
        raise Refused(refusals.UNIT_MISMATCH)
    if source.terms is not None or destination.terms is not None:
        check_open(source, destination)
    return source, destination


def check_free(account: Account, time_ms: int) -> None:
    """Refuse a voluntary debit of an account that is frozen."""
    until_ms = account.known_terms.frozen_until_ms
    if time_ms < until_ms:
        raise Refused(refusals.ACCOUNT_FROZEN, ("frozen_until_ms", until_ms), ("block_time_ms", time_ms))


def transfer_legs(
    working: WorkingSet,
    transaction: Transaction,
    message: TransferLegs,
    context: BlockContext,
    index: int,
) -> None:
    """Move credit between several accounts; the limit is asked of what each loses on the whole."""
    cause = Cause(transaction.payer, index, context)
    before: dict[bytes, Account] = {}
    limits_minor: dict[bytes, int] = {}
    first_debits: dict[bytes, int] = {}
    for position, leg in enumerate(message.legs):
        source, destination = check_parties(working, transaction.principal, leg)
        check_free(source, context.time_ms)
        source, destination = settle_both(working, cause, source, destination)
        first_debits.setdefault(leg.source, position)
        for account in (source, destination):
            if account.account not in before:
                before[account.account] = account
                limits_minor[account.account] = limit_of(working, account)
        if source.balance_minor - leg.amount_minor < -QUANTITY_MAX:
            raise Refused(
                refusals.BALANCE_OUT_OF_RANGE,
                ("balance_minor", source.balance_minor),
                ("amount_minor", leg.amount_minor),
            )
        check_credit(destination, leg.amount_minor)
        post(
            working,
            cause,
            source=source,
            destination=destination,
            amount_minor=leg.amount_minor,
            memo_hash=leg.memo_hash,
            reference=leg.reference,
        )
    _check_losses(working, cause, before, limits_minor, first_debits)


def _check_losses(
    working: WorkingSet,
    cause: Cause,
    before: dict[bytes, Account],
    limits_minor: dict[bytes, int],
    first_debits: dict[bytes, int],
) -> None:
    for identifier, position in first_debits.items():
        account, limit_minor = before[identifier], limits_minor[identifier]
        after = known(working, identifier)
        loss_minor = account.balance_minor - after.balance_minor
        if loss_minor <= 0:
            continue
        try:
            check_limit(account, loss_minor, limit_minor)
        except Refused as refusal:
            raise Refused(refusal.reason, *refusal.figures, ("leg", position)) from refusal
        note_soft_limit(working, cause.payer, account, after, limit_minor)
