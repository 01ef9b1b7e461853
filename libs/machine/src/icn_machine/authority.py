"""Who signed, and whether that is enough: validity rules 6 and 7, asked again at execution.

Source: docs/spec/transaction.md, "Validity".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from icn_machine.contract_messages import ExecuteContract, InstantiateContract
from icn_machine.credit_messages import (
    CloseAccount,
    OfferExchange,
    OrderTransfers,
    PledgeAccount,
    ReleaseOrder,
    TakeExchange,
    TransferLegs,
    WriteOff,
)
from icn_machine.limits import QUANTITY_MAX
from icn_machine.messages import (
    KIND_NUMBERS,
    CaptureHold,
    Message,
    OpenAccount,
    PlaceHold,
    Transaction,
    Transfer,
)
from icn_machine.order_times import time_of
from icn_machine.records import Controller, KeyScope
from icn_machine.refusals import KEY_SCOPE_EXCEEDED, KEY_UNKNOWN, THRESHOLD_NOT_MET, Figures


class AuthorityFault(NamedTuple):
    """Why the signing keys do not suffice."""

    reason: str
    message: str
    figures: Figures


def find_fault(transaction: Transaction, controller: Controller, time_ms: int) -> AuthorityFault | None:
    """What is wrong with the signing keys in a block of this time; None when they suffice."""
    found = signing_keys(transaction, controller, time_ms)
    return found if isinstance(found, AuthorityFault) else None


def signing_keys(
    transaction: Transaction, controller: Controller, time_ms: int
) -> tuple[bytes, ...] | AuthorityFault:
    """The public key behind each signature, in their order, or why they do not suffice in a block of this
    time.

    It is asked up to four times of a transaction, while its controller's keys stay the same object: what does
    not depend on the time is remembered.
    """
    if transaction.granted_by is controller.keys and transaction.granted_threshold == controller.threshold:
        return transaction.public_keys
    scope: KeyScope | None = None
    public_keys = []
    for suite, key_id, _ in transaction.signatures:
        key = controller.find_key(key_id)
        if key is None or (public_key := key.public_key(suite)) is None:
            return AuthorityFault(
                KEY_UNKNOWN, f"the controller has no key {key_id.hex()} of suite {suite}", ()
            )
        public_keys.append(public_key)
        scope = scope or key.scope
    signed = len(public_keys)
    if scope is not None:
        if signed > 1:
            return AuthorityFault(KEY_SCOPE_EXCEEDED, "a scoped key signs alone", ())
        if (excess := scope_excess(transaction.messages, scope, time_ms)) is not None:
            return AuthorityFault(KEY_SCOPE_EXCEEDED, excess, ())
    elif signed < controller.threshold:
        return AuthorityFault(
            THRESHOLD_NOT_MET,
            f"{signed} keys signed, the threshold is {controller.threshold}",
            (("signed", signed), ("threshold", controller.threshold)),
        )
    else:
        transaction.granted_by = controller.keys
        transaction.granted_threshold = controller.threshold
        transaction.public_keys = tuple(public_keys)
    return tuple(public_keys)


def scope_excess(messages: Iterable[Message], scope: KeyScope, time_ms: int) -> str | None:
    """In what the messages go beyond a key's scope in a block of this time; None when they do not."""
    if scope.expire_time_ms and time_ms > scope.expire_time_ms:
        return f"the key ended at {scope.expire_time_ms}, block time is {time_ms}"
    return next((excess for message in messages if (excess := _excess(message, scope)) is not None), None)


def _excess(message: Message, scope: KeyScope) -> str | None:
    kind = KIND_NUMBERS[type(message)]
    if kind not in scope.message_kinds:
        return f"message kind {kind} is outside the key's scope"
    if isinstance(message, InstantiateContract | ExecuteContract):
        return next(
            filter(None, (_excess_of_debit(transfer, scope) for transfer in message.call.funds)), None
        )
    return _excess_of_debit(message, scope)


def _excess_of_debit(message: Message, scope: KeyScope) -> str | None:
    for account, amount_minor in _debits(message):
        if scope.amount_minor_max and amount_minor > scope.amount_minor_max:
            return f"amount {amount_minor}, the key may move {scope.amount_minor_max}"
        if account and scope.accounts and account not in scope.accounts:
            return f"account {account.hex()} is outside the key's scope"
    if isinstance(message, OrderTransfers) and scope.expire_time_ms:
        last_ms = time_of(message, message.times - 1)
        if last_ms is None or last_ms > scope.expire_time_ms:
            return f"the order lasts longer than the key, which ends at {scope.expire_time_ms}"
    return None


def _debits(message: Message) -> Iterator[tuple[bytes, int]]:
    """What the message takes, or has taken later, from accounts of who signs; no account where the leaf says
    which. What is passed on of an account that is closed is bounded by nothing the message says."""
    match message:
        case Transfer() | PlaceHold() | ReleaseOrder():
            yield message.source, message.amount_minor
        case CaptureHold():
            yield b"", message.amount_minor
        case OpenAccount():
            yield b"", max(-message.opening_minor, 0)
        case TransferLegs():
            for leg in message.legs:
                yield leg.source, leg.amount_minor
        case OfferExchange():
            yield message.give_account, message.give_minor
        case TakeExchange():
            yield message.source, message.pay_minor
        case OrderTransfers():
            yield message.source, message.amount_minor * message.times
        case PledgeAccount():
            yield message.account, message.amount_minor
        case WriteOff():
            yield b"", message.amount_minor
        case CloseAccount():
            yield message.account, QUANTITY_MAX if message.remainder_to else 0
