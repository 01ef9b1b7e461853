"""Bytes of messages of mutual credit become messages; parts of `parsing`.

Source: docs/spec/ledger.md, "Messages"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from icn.ledger.v1 import transaction_pb2

from icn_machine import limits
from icn_machine.credit_messages import (
    CancelOrder,
    ChargeDemurrage,
    CloseAccount,
    ClosePeriod,
    ConfirmOpenings,
    FreezeAccount,
    OfferExchange,
    OrderTransfers,
    PledgeAccount,
    ReleaseOrder,
    SetUnitPolicy,
    TakeExchange,
    TransferLegs,
    UnitPolicy,
    VoidExchange,
    WriteOff,
)
from icn_machine.messages import OpenAccount, Transfer
from icn_machine.refusals import Malformed
from icn_machine.static_rules import (
    check_amount,
    check_digest,
    check_identifier,
    check_memo_hash,
    check_quantity,
    check_reference,
    check_time,
    check_two_accounts,
)

Readers = Mapping[str, Callable[[Any], Any]]


def read_open_account(message: transaction_pb2.OpenAccount) -> OpenAccount:
    """An account to be opened, with what its owner brings."""
    account = check_identifier(message.account, "account")
    unit = check_identifier(message.unit, "unit")
    if message.parent:
        check_identifier(message.parent, "parent")
    if message.parent == account:
        raise Malformed("an account is not its own parent")
    if message.opening_minor and not message.is_opening:
        raise Malformed("opening_minor without is_opening")
    if abs(message.opening_minor) > limits.OPENING_MINOR_MAX:
        raise Malformed(f"opening_minor {message.opening_minor}, allowed -2^53 to 2^53")
    return OpenAccount(account, unit, message.parent, message.is_opening, message.opening_minor)


def read_unit_policy(message: transaction_pb2.UnitPolicy) -> UnitPolicy:
    """The policy as a value; no rule is checked."""
    return UnitPolicy(
        message.growth_ppm,
        message.growth_max_minor,
        message.counterparty_max_minor,
        message.soft_ppm,
        message.fee_fixed_minor,
        message.fee_ppm,
        message.fee_max_minor,
        message.demurrage_ppm,
        message.demurrage_days,
        message.demurrage_free_minor,
        message.fund,
        message.freezer,
    )


def read_set_unit_policy(message: transaction_pb2.SetUnitPolicy) -> SetUnitPolicy:
    """A unit's policy as a message sets it.

    Raises:
        Malformed: a static rule is broken.
    """
    if not message.HasField("policy"):
        raise Malformed("policy is missing")
    policy = read_unit_policy(message.policy)
    for name, highest in limits.POLICY_HIGHEST.items():
        if getattr(policy, name) > highest:
            raise Malformed(f"{name} {getattr(policy, name)}, the highest is {highest}")
    if policy.growth_ppm and not (policy.growth_max_minor and policy.counterparty_max_minor):
        raise Malformed("growth without growth_max_minor and counterparty_max_minor")
    if bool(policy.demurrage_ppm) != bool(policy.demurrage_days):
        raise Malformed("demurrage_ppm and demurrage_days go together")
    if policy.fund:
        check_identifier(policy.fund, "fund")
    elif policy.has_fee or policy.demurrage_ppm:
        raise Malformed("fee and demurrage need a fund")
    if policy.freezer:
        check_identifier(policy.freezer, "freezer")
    return SetUnitPolicy(check_identifier(message.unit, "unit"), policy)


def read_ordered(message: transaction_pb2.OrderTransfers) -> OrderTransfers:
    """An order as a value; no rule is checked."""
    return OrderTransfers(
        message.order,
        message.source,
        message.destination,
        message.amount_minor,
        message.memo_hash,
        message.reference,
        message.first_time_ms,
        message.every_days,
        message.every_months,
        message.times,
        message.needs_release,
    )


def credit_readers(read_transfer: Callable[[transaction_pb2.Transfer], Transfer]) -> Readers:
    """Readers by the name of the kind."""
    return {
        **ACTION_READERS,
        "transfer_legs": lambda message: _transfer_legs([read_transfer(leg) for leg in message.legs]),
        "offer_exchange": _offer_exchange,
        "take_exchange": _take_exchange,
        "void_exchange": lambda message: VoidExchange(check_identifier(message.hold, "hold")),
        "order_transfers": _order_transfers,
        "cancel_order": lambda message: CancelOrder(check_identifier(message.order, "order")),
        "release_order": _release_order,
        "pledge_account": _pledge_account,
        "charge_demurrage": _charge_demurrage,
    }


def _transfer_legs(legs: Sequence[Transfer]) -> TransferLegs:
    if not 2 <= len(legs) <= limits.LEGS_MAX:
        raise Malformed(f"{len(legs)} legs, allowed 2 to {limits.LEGS_MAX}")
    debits: dict[bytes, int] = {}
    for leg in legs:
        debits[leg.source] = debits.get(leg.source, 0) + leg.amount_minor
    if len({(leg.source, leg.destination) for leg in legs}) != len(legs):
        raise Malformed("two legs have the same source and destination")
    for source, amount_minor in debits.items():
        check_quantity(amount_minor, f"what the legs take from {source.hex()}")
    return TransferLegs(tuple(legs))


def _offer_exchange(message: transaction_pb2.OfferExchange) -> OfferExchange:
    check_identifier(message.hold, "hold")
    check_two_accounts(message.give_account, message.take_account, ("give_account", "take_account"))
    if message.taker:
        check_identifier(message.taker, "taker")
    return OfferExchange(
        message.hold,
        message.give_account,
        message.take_account,
        check_amount(message.give_minor, "give_minor"),
        check_amount(message.take_minor, "take_minor"),
        message.taker,
        check_time(message.expire_time_ms, "expire_time_ms"),
    )


def _take_exchange(message: transaction_pb2.TakeExchange) -> TakeExchange:
    check_identifier(message.hold, "hold")
    check_two_accounts(message.source, message.take_account, ("source", "take_account"))
    check_two_accounts(message.destination, message.give_account, ("destination", "give_account"))
    return TakeExchange(
        message.hold,
        message.source,
        message.take_account,
        message.destination,
        message.give_account,
        check_amount(message.give_minor, "give_minor"),
        check_amount(message.pay_minor, "pay_minor"),
    )


def _order_transfers(message: transaction_pb2.OrderTransfers) -> OrderTransfers:
    order = read_ordered(message)
    check_identifier(order.order, "order")
    check_two_accounts(order.source, order.destination)
    check_amount(order.amount_minor)
    check_memo_hash(order.memo_hash)
    check_reference(order.reference)
    check_time(order.first_time_ms, "first_time_ms")
    if order.every_days > limits.ORDER_DAYS_MAX:
        raise Malformed(f"every_days {order.every_days}, the highest is {limits.ORDER_DAYS_MAX}")
    if order.every_months > limits.ORDER_MONTHS_MAX:
        raise Malformed(f"every_months {order.every_months}, the highest is {limits.ORDER_MONTHS_MAX}")
    if order.every_days and order.every_months:
        raise Malformed("every_days and every_months are both above 0")
    is_recurring = order.every_days > 0 or order.every_months > 0
    times_max = limits.ORDER_TIMES_MAX if is_recurring else 1
    if not 1 <= order.times <= times_max:
        raise Malformed(f"times {order.times}, allowed 1 to {times_max}")
    if order.needs_release and order.times != 1:
        raise Malformed(f"an order that needs its release has one time, not {order.times}")
    return order


def _release_order(message: transaction_pb2.ReleaseOrder) -> ReleaseOrder:
    check_identifier(message.order, "order")
    check_two_accounts(message.source, message.destination)
    return ReleaseOrder(
        message.order, message.source, message.destination, check_amount(message.amount_minor)
    )


def _freeze_account(message: transaction_pb2.FreezeAccount) -> FreezeAccount:
    return FreezeAccount(
        check_identifier(message.account, "account"), check_time(message.until_time_ms, "until_time_ms")
    )


def _pledge_account(message: transaction_pb2.PledgeAccount) -> PledgeAccount:
    return PledgeAccount(
        check_identifier(message.account, "account"), check_quantity(message.amount_minor, "amount_minor")
    )


def _write_off(message: transaction_pb2.WriteOff) -> WriteOff:
    return WriteOff(
        check_identifier(message.account, "account"),
        check_amount(message.amount_minor),
        check_memo_hash(message.memo_hash),
    )


def _close_account(message: transaction_pb2.CloseAccount) -> CloseAccount:
    account = check_identifier(message.account, "account")
    if message.remainder_to:
        check_two_accounts(account, message.remainder_to, ("account", "remainder_to"))
    return CloseAccount(account, message.remainder_to)


def _confirm_openings(message: transaction_pb2.ConfirmOpenings) -> ConfirmOpenings:
    return ConfirmOpenings(
        check_identifier(message.unit, "unit"),
        _ascending_accounts(message.accounts, 2, limits.OPENINGS_MAX),
    )


def _close_period(message: transaction_pb2.ClosePeriod) -> ClosePeriod:
    return ClosePeriod(
        check_identifier(message.unit, "unit"),
        check_time(message.end_time_ms, "end_time_ms"),
        check_digest(message.digest, "digest"),
    )


def _charge_demurrage(message: transaction_pb2.ChargeDemurrage) -> ChargeDemurrage:
    return ChargeDemurrage(_ascending_accounts(message.accounts, 1, limits.DEMURRAGE_ACCOUNTS_MAX))


def _ascending_accounts(accounts: Sequence[bytes], least: int, most: int) -> tuple[bytes, ...]:
    if not least <= len(accounts) <= most:
        raise Malformed(f"{len(accounts)} accounts, allowed {least} to {most}")
    for account in accounts:
        check_identifier(account, "account")
    if any(before >= after for before, after in pairwise(accounts)):
        raise Malformed("accounts must ascend, none twice")
    return tuple(accounts)


ACTION_READERS: Readers = {
    "set_unit_policy": read_set_unit_policy,
    "freeze_account": _freeze_account,
    "write_off": _write_off,
    "close_account": _close_account,
    "confirm_openings": _confirm_openings,
    "close_period": _close_period,
}
"""Of the kinds that a decision carries out as well."""
