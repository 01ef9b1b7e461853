"""Exchanges of two units: a hold with a price, which whoever pays the price takes.

Source: docs/spec/ledger.md, "Messages".
"""

from __future__ import annotations

from icn_machine import refusals
from icn_machine.credit import check_limit, limit_of
from icn_machine.credit_messages import OfferExchange, TakeExchange, VoidExchange
from icn_machine.demurrage import settle
from icn_machine.entries import PostingKind
from icn_machine.holds import capture, check_left, check_new, find_open, release, reserve
from icn_machine.messages import Transaction, Transfer
from icn_machine.payments import check_free, pay
from icn_machine.posting import BlockContext, Cause, check_open, known
from icn_machine.records import Account, ExchangePrice, Hold
from icn_machine.refusals import Refused
from icn_machine.working_set import WorkingSet


def offer_exchange(
    working: WorkingSet, transaction: Transaction, message: OfferExchange, context: BlockContext, index: int
) -> None:
    """Hold credit for whoever pays its price in another unit."""
    give, take = _own_accounts(working, transaction, message.give_account, message.take_account)
    if give.unit == take.unit:
        raise Refused(refusals.SAME_UNIT)
    check_new(working, context, message.hold, message.expire_time_ms)
    check_open(give, take)
    check_free(give, context.time_ms)
    give = settle(working, Cause(transaction.payer, index, context), give)
    limit_minor = limit_of(working, give)
    check_limit(give, message.give_minor, limit_minor)
    price = ExchangePrice(message.take_account, message.give_minor, message.take_minor, message.taker)
    hold = Hold(
        message.hold,
        message.give_account,
        b"",
        message.give_minor,
        message.expire_time_ms,
        transaction.payer,
        price,
    )
    reserve(working, context, give, hold, limit_minor)


def take_exchange(
    working: WorkingSet, transaction: Transaction, message: TakeExchange, context: BlockContext, index: int
) -> None:
    """Take part or all of an offer and pay for it: both or none."""
    hold = find_open(working, message.hold, context)
    price = hold.price
    if price is None or (hold.source, price.take_account) != (message.give_account, message.take_account):
        raise Refused(refusals.EXCHANGE_MISMATCH)
    if price.taker not in (b"", transaction.principal):
        raise Refused(refusals.NOT_TAKER)
    source, destination = _own_accounts(working, transaction, message.source, message.destination)
    give, take = known(working, message.give_account), known(working, message.take_account)
    if (source.unit, destination.unit) != (take.unit, give.unit):
        raise Refused(refusals.UNIT_MISMATCH)
    check_open(destination)
    check_left(hold, message.give_minor)
    price_minor = price.of(message.give_minor)
    if price_minor > message.pay_minor:
        raise Refused(refusals.PRICE_EXCEEDED, ("price_minor", price_minor), ("pay_minor", message.pay_minor))
    if not price.taker:
        check_free(give, context.time_ms)
    cause = Cause(transaction.payer, index, context)
    payment = Transfer(message.source, message.take_account, price_minor, b"")
    pay(working, cause, transaction.principal, payment, kind=PostingKind.EXCHANGE, hold=hold.hold)
    capture(working, cause, hold, destination, message.give_minor)


def void_exchange(
    working: WorkingSet, transaction: Transaction, message: VoidExchange, context: BlockContext, _index: int
) -> None:
    """Take back what is left of an offer."""
    hold = find_open(working, message.hold, context)
    if hold.price is None:
        raise Refused(refusals.EXCHANGE_MISMATCH)
    if known(working, hold.source).owner != transaction.principal:
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    release(working, hold, is_expired=False)


def _own_accounts(
    working: WorkingSet, transaction: Transaction, one: bytes, other: bytes
) -> tuple[Account, Account]:
    found = working.now.accounts[one], working.now.accounts[other]
    if found[0] is None or found[1] is None:
        raise Refused(refusals.ACCOUNT_UNKNOWN)
    if any(account.owner != transaction.principal for account in found if account is not None):
        raise Refused(refusals.NOT_ACCOUNT_OWNER)
    return found[0], found[1]
