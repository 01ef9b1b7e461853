"""Messages of mutual credit beyond the plain transfer, as `icn_client.transactions` makes the others.

Amounts are minor units of the accounts' unit, ids 16 bytes, times unix milliseconds of block time.

Source: docs/spec/ledger.md, "Messages".
"""

from __future__ import annotations

from collections.abc import Iterable

from icn.ledger.v1.transaction_pb2 import (
    CancelOrder,
    ChargeDemurrage,
    CloseAccount,
    ClosePeriod,
    ConfirmOpenings,
    FreezeAccount,
    Message,
    OfferExchange,
    OrderTransfers,
    PledgeAccount,
    ReleaseOrder,
    SetUnitPolicy,
    TakeExchange,
    Transfer,
    TransferLegs,
    UnitPolicy,
    VoidExchange,
    WriteOff,
)


def transfer_legs(legs: Iterable[Transfer]) -> Message:
    """Moves credit between several accounts, all or nothing; the acting principal owns every source. 2 to 64
    legs, posted in this order."""
    return Message(transfer_legs=TransferLegs(legs=legs))


def offer_exchange(
    hold: bytes,
    *,
    give_account: bytes,
    give_minor: int,
    take_account: bytes,
    take_minor: int,
    expire_time_ms: int,
    taker: bytes = b"",
) -> Message:
    """Offers credit of one unit for credit of another; what is offered is held.

    Args:
        hold: `new_identifier`; names the offer.
        give_account: the acting principal's, of the unit that is offered.
        give_minor: what is offered.
        take_account: the acting principal's, of the unit that is asked for.
        take_minor: what all of it costs.
        expire_time_ms: block time at which what is left is released.
        taker: the principal that may take it; empty: anybody.
    """
    return Message(
        offer_exchange=OfferExchange(
            hold=hold,
            give_account=give_account,
            take_account=take_account,
            give_minor=give_minor,
            take_minor=take_minor,
            taker=taker,
            expire_time_ms=expire_time_ms,
        )
    )


def take_exchange(
    hold: bytes,
    *,
    source: bytes,
    take_account: bytes,
    destination: bytes,
    give_account: bytes,
    give_minor: int,
    pay_minor: int,
) -> Message:
    """Takes part or all of an offered exchange.

    Args:
        hold: of the offer.
        source: the acting principal's account that pays.
        take_account: that of the offerer that is paid, as offered.
        destination: the acting principal's account that gets what was offered.
        give_account: that of the offerer that gives, as offered.
        give_minor: how much is taken.
        pay_minor: the most that may be paid for it.
    """
    return Message(
        take_exchange=TakeExchange(
            hold=hold,
            source=source,
            take_account=take_account,
            destination=destination,
            give_account=give_account,
            give_minor=give_minor,
            pay_minor=pay_minor,
        )
    )


def void_exchange(hold: bytes) -> Message:
    """Takes back what is left of an offer of the acting principal."""
    return Message(void_exchange=VoidExchange(hold=hold))


def exchange_price(give_minor: int, offered_give_minor: int, offered_take_minor: int) -> int:
    """What part of an offer costs, rounded up as the ledger does."""
    return -(-give_minor * offered_take_minor // offered_give_minor)


def order_transfers(
    order: bytes,
    source: bytes,
    destination: bytes,
    amount_minor: int,
    first_time_ms: int,
    *,
    every_days: int = 0,
    every_months: int = 0,
    times: int = 1,
    needs_release: bool = False,
    memo_hash: bytes = b"",
    reference: bytes = b"",
) -> Message:
    """Orders transfers from an account of the acting principal.

    Args:
        order: `new_identifier`.
        source: the acting principal's.
        destination: of the same unit.
        amount_minor: of each transfer.
        first_time_ms: when the first is due; with ``needs_release`` when the order ends.
        every_days: between two, 0 to 366.
        every_months: between two, 0 to 12; at most one of both is above 0.
        times: how many, 1 to 1,200; 1 without days or months.
        needs_release: carried out by `release_order` with other keys, once.
        memo_hash: of the memo kept elsewhere, 32 bytes or empty.
        reference: the signer's word, at most 32 bytes.
    """
    return Message(
        order_transfers=OrderTransfers(
            order=order,
            source=source,
            destination=destination,
            amount_minor=amount_minor,
            memo_hash=memo_hash,
            reference=reference,
            first_time_ms=first_time_ms,
            every_days=every_days,
            every_months=every_months,
            times=times,
            needs_release=needs_release,
        )
    )


def cancel_order(order: bytes) -> Message:
    """Ends an order; the acting principal owns its source or its destination."""
    return Message(cancel_order=CancelOrder(order=order))


def release_order(order: bytes, source: bytes, destination: bytes, amount_minor: int) -> Message:
    """Carries out an order that needs it, with keys none of which signed the order; it says again what the
    order says."""
    return Message(
        release_order=ReleaseOrder(
            order=order, source=source, destination=destination, amount_minor=amount_minor
        )
    )


def set_unit_policy(unit: bytes, policy: UnitPolicy) -> Message:
    """Replaces a unit's policy as a whole; only the unit's authority may."""
    return Message(set_unit_policy=SetUnitPolicy(unit=unit, policy=policy))


def freeze_account(account: bytes, until_time_ms: int) -> Message:
    """Refuses voluntary debits before a block time, at most 30 days ahead, 0 to lift it; only the unit's
    freezer may."""
    return Message(freeze_account=FreezeAccount(account=account, until_time_ms=until_time_ms))


def pledge_account(account: bytes, amount_minor: int) -> Message:
    """Says what write-offs may take of an account of the acting principal, instead of what was said
    before."""
    return Message(pledge_account=PledgeAccount(account=account, amount_minor=amount_minor))


def write_off(account: bytes, amount_minor: int, memo_hash: bytes = b"") -> Message:
    """Pays part or all of an account's debt from the unit's fund; only the unit's authority may."""
    return Message(write_off=WriteOff(account=account, amount_minor=amount_minor, memo_hash=memo_hash))


def close_account(account: bytes, remainder_to: bytes = b"") -> Message:
    """Closes an account of the acting principal, or, where nothing is left, of the acting principal's unit.
    What is left goes to ``remainder_to``."""
    return Message(close_account=CloseAccount(account=account, remainder_to=remainder_to))


def confirm_openings(unit: bytes, accounts: Iterable[bytes]) -> Message:
    """Puts the balances that 2 to 512 accounts bring in force; they add up to 0. Accounts are put in order.
    Only the unit's authority may."""
    return Message(confirm_openings=ConfirmOpenings(unit=unit, accounts=sorted(accounts)))


def close_period(unit: bytes, end_time_ms: int, digest: bytes) -> Message:
    """Says that a unit's books up to a time were looked at; only the unit's authority may.

    Args:
        unit: whose books.
        end_time_ms: first block time that is not in the period.
        digest: `icn_chain.trial_balance.trial_balance_digest` of the balances then, 32 bytes.
    """
    return Message(close_period=ClosePeriod(unit=unit, end_time_ms=end_time_ms, digest=digest))


def charge_demurrage(accounts: Iterable[bytes]) -> Message:
    """Takes the demurrage that is due of 1 to 64 accounts of one unit; anybody may. They are put in
    order."""
    return Message(charge_demurrage=ChargeDemurrage(accounts=sorted(accounts)))
