"""What a contract asks of the ledger.

Source: docs/spec/vm.md, "What a contract may ask of the ledger".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

PAYMENTS_MAX: Final = 16
AMOUNT_MAX: Final = 2**62
_ID = re.compile(r"[0-9a-f]{32}")
_AMOUNT = re.compile(r"[1-9][0-9]{0,18}")

MESSAGE_UNSUPPORTED: Final = "MESSAGE_UNSUPPORTED"
PAYMENT_INVALID: Final = "PAYMENT_INVALID"


class Payment(NamedTuple):
    """Credit that a contract pays."""

    recipient: str
    """32 hex characters, as the unit."""
    unit: str
    amount_minor: int


class MessageRefused(ValueError):
    """The call is stopped: the ledger does not do this."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def read_payments(messages: Iterable[dict[str, Any]]) -> tuple[Payment, ...]:
    """One payment per coin of every message, in order.

    Raises:
        MessageRefused: MESSAGE_UNSUPPORTED or PAYMENT_INVALID.
    """
    payments: list[Payment] = []
    for message in messages:
        match message:
            case {"bank": {"send": {"to_address": recipient, "amount": list(coins), **more}, **others}} if (
                not more and not others
            ):
                payments += [_payment(recipient, coin) for coin in coins]
            case _:
                kind = next(iter(message), "")
                raise MessageRefused(MESSAGE_UNSUPPORTED, f"only bank.send is carried out, not {kind[:64]}")
    if len(payments) > PAYMENTS_MAX:
        raise MessageRefused(PAYMENT_INVALID, f"{len(payments)} payments, at most {PAYMENTS_MAX}")
    return tuple(payments)


def _payment(recipient: object, coin: object) -> Payment:
    match coin:
        case {"denom": str(unit), "amount": str(amount), **more} if not more:
            if (
                not isinstance(recipient, str)
                or _ID.fullmatch(recipient) is None
                or _ID.fullmatch(unit) is None
            ):
                raise MessageRefused(PAYMENT_INVALID, "recipient and unit are 32 hex characters")
            if _AMOUNT.fullmatch(amount) is None or int(amount) > AMOUNT_MAX:
                raise MessageRefused(PAYMENT_INVALID, "an amount is 1 to 2^62")
            return Payment(recipient, unit, int(amount))
    raise MessageRefused(PAYMENT_INVALID, "a coin is a denom and an amount")
