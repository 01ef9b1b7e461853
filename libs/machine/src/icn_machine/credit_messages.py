"""Messages of mutual credit beyond the plain transfer, as values; `parsing_credit` makes them.

Source: docs/spec/ledger.md, "Messages"; protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from icn_machine.messages import Transfer


class TransferLegs(NamedTuple):
    """Moves credit between several accounts, all or nothing."""

    legs: tuple[Transfer, ...]


class OfferExchange(NamedTuple):
    """Offers credit of one unit for credit of another."""

    hold: bytes
    give_account: bytes
    take_account: bytes
    give_minor: int
    take_minor: int
    taker: bytes
    """Empty: anybody."""
    expire_time_ms: int


class TakeExchange(NamedTuple):
    """Takes part or all of an offer."""

    hold: bytes
    source: bytes
    take_account: bytes
    destination: bytes
    give_account: bytes
    give_minor: int
    pay_minor: int
    """The most that may be paid."""


class VoidExchange(NamedTuple):
    """Takes an offer back."""

    hold: bytes


class OrderTransfers(NamedTuple):
    """Orders transfers that lie ahead."""

    order: bytes
    source: bytes
    destination: bytes
    amount_minor: int
    memo_hash: bytes
    reference: bytes
    first_time_ms: int
    every_days: int
    every_months: int
    times: int
    needs_release: bool


class CancelOrder(NamedTuple):
    """Ends an order."""

    order: bytes


class ReleaseOrder(NamedTuple):
    """Carries out an order that waits for its release."""

    order: bytes
    source: bytes
    destination: bytes
    amount_minor: int


class UnitPolicy(NamedTuple):
    """Rules of a unit that act by themselves; minor units and millionths."""

    growth_ppm: int = 0
    growth_max_minor: int = 0
    counterparty_max_minor: int = 0
    soft_ppm: int = 0
    fee_fixed_minor: int = 0
    fee_ppm: int = 0
    fee_max_minor: int = 0
    """0: no such bound."""
    demurrage_ppm: int = 0
    demurrage_days: int = 0
    demurrage_free_minor: int = 0
    fund: bytes = b""
    """Account; empty: none."""
    freezer: bytes = b""
    """Empty: the unit's authority."""

    @property
    def demurrage(self) -> tuple[int, int, int]:
        """What its edges are of."""
        return self.demurrage_ppm, self.demurrage_days, self.demurrage_free_minor

    @property
    def has_fee(self) -> bool:
        """Whether payments may cost something."""
        return self.fee_fixed_minor > 0 or self.fee_ppm > 0


class SetUnitPolicy(NamedTuple):
    """Replaces a unit's policy as a whole."""

    unit: bytes
    policy: UnitPolicy


class FreezeAccount(NamedTuple):
    """Keeps an account from voluntary debits."""

    account: bytes
    until_time_ms: int
    """0: it is free at once."""


class PledgeAccount(NamedTuple):
    """Says how much of an account write-offs may take."""

    account: bytes
    amount_minor: int


class WriteOff(NamedTuple):
    """Pays a debt from the unit's fund."""

    account: bytes
    amount_minor: int
    memo_hash: bytes


class CloseAccount(NamedTuple):
    """Closes an account for ever."""

    account: bytes
    remainder_to: bytes
    """Empty: nothing may be left."""


class ConfirmOpenings(NamedTuple):
    """Puts opening balances in force."""

    unit: bytes
    accounts: tuple[bytes, ...]
    """Ascending."""


class ClosePeriod(NamedTuple):
    """Says that a unit's books were looked at."""

    unit: bytes
    end_time_ms: int
    digest: bytes


class ChargeDemurrage(NamedTuple):
    """Takes the demurrage that is due."""

    accounts: tuple[bytes, ...]
    """Ascending."""
