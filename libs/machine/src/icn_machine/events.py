"""What a block did, as others are told. Source: protos/icn/ledger/v1/events.proto."""

from __future__ import annotations

from typing import Final, NamedTuple

from icn_machine.credit_messages import UnitPolicy
from icn_machine.records import (
    Account,
    Authority,
    Ballot,
    Decision,
    Hold,
    Membership,
    Period,
    Poll,
    RecordedEquivocation,
    Recovery,
    StandingOrder,
)
from icn_machine.refusals import Figures

NO_TRANSACTION: Final = -1
"""Position of the transaction of what happens by itself, such as a hold that ends."""


class Movement(NamedTuple):
    """Credit that moved: two postings."""

    transaction_index: int
    """Position of its transaction in the block, or NO_TRANSACTION."""
    payer: bytes
    source: bytes
    destination: bytes
    unit: bytes
    amount_minor: int
    source_balance_minor: int
    """After it."""
    destination_balance_minor: int
    """After it."""
    memo_hash: bytes
    hold: bytes
    """Or order; empty for a transfer."""
    kind: int
    """`entries.PostingKind`."""
    reference: bytes


class ContractResult(NamedTuple):
    """What a contract transaction left besides its postings."""

    fuel_used: int
    data: bytes = b""
    events: bytes = b""
    """Hash of its events; empty for none."""


class ContractEvent(NamedTuple):
    """An event that a contract wrote."""

    type: str
    attributes: tuple[tuple[str, str], ...]
    """Key and value."""


class ContractCalled(NamedTuple):
    """A contract was made or executed, with effect."""

    transaction_index: int
    payer: bytes
    contract: bytes
    sender: bytes
    fuel_used: int
    events: tuple[ContractEvent, ...]


class Receipt(NamedTuple):
    """What became of a transaction."""

    transaction_id: bytes
    reason: str
    """Empty when every message took effect."""
    message_index: int
    figures: Figures
    contract: ContractResult | None = None
    """None for native transactions."""


class TransactionRefused(NamedTuple):
    """A transaction without effect."""

    payer: bytes
    principal: bytes
    receipt: Receipt


class AccountOpened(NamedTuple):
    """A new account."""

    payer: bytes
    account: Account


class HoldPlaced(NamedTuple):
    """A new hold."""

    hold: Hold


class HoldCaptured(NamedTuple):
    """A payee took part or all of a hold; a `Movement` tells of the same."""

    transaction_index: int
    """Position of its transaction in the block."""
    hold: Hold
    """As it stood before."""
    destination: bytes
    """Account that got it."""
    amount_minor: int


class HoldReleased(NamedTuple):
    """A hold that ended with something left."""

    hold: Hold
    """As it last stood."""
    is_expired: bool


class FloorChanged(NamedTuple):
    """An account's floor was set."""

    payer: bytes
    account: bytes
    unit: bytes
    previous_floor_minor: int
    floor_minor: int
    set_by: bytes
    """Principal or authority."""
    transaction_index: int
    """Position of its transaction in the block."""


class RecoveryStarted(NamedTuple):
    """New keys were announced for a principal."""

    tenant: bytes
    """The principal's sponsor, or itself: where the member is at home, not who pays for the recovery."""
    recovery: Recovery


class RecoveryCancelled(NamedTuple):
    """Announced keys will not be put in force."""

    tenant: bytes
    recovery: Recovery
    cancelled_by: bytes


class RecoveryCompleted(NamedTuple):
    """Announced keys are in force."""

    tenant: bytes
    recovery: Recovery


class ControllerOpened(NamedTuple):
    """A principal has keys."""

    principal: bytes
    sponsor: bytes


class ControllerChanged(NamedTuple):
    """Other keys are in force."""

    tenant: bytes
    """As of RecoveryStarted."""
    principal: bytes


class AuthorityFounded(NamedTuple):
    """A new authority."""

    authority: Authority


class MembershipChanged(NamedTuple):
    """Applied for, vouched for, admitted or ended."""

    membership: Membership


class PollOpened(NamedTuple):
    """A new poll."""

    poll: Poll


class PollClosed(NamedTuple):
    """A poll that takes no ballot any more."""

    poll: Poll


class BallotCast(NamedTuple):
    """A ballot, for the first time or instead of an earlier one."""

    organization: bytes
    """Of the poll."""
    ballot: Ballot
    is_recast: bool


class DecisionEnacted(NamedTuple):
    """What an authority's members countersigned is in force."""

    decision_id: bytes
    decision: Decision
    body: bytes
    """Canonical bytes of what was countersigned."""


class EquivocationRecorded(NamedTuple):
    """A validator's equivocation."""

    equivocation: RecordedEquivocation


class UnitPolicySet(NamedTuple):
    """A unit has another policy from the next block on."""

    payer: bytes
    unit: bytes
    previous: UnitPolicy | None
    policy: UnitPolicy
    set_by: bytes
    """Principal or authority."""
    transaction_index: int
    """Position of its transaction in the block."""


class SoftLimitPassed(NamedTuple):
    """A debit took an account past the soft limit; it was not refused."""

    payer: bytes
    account: bytes
    balance_minor: int
    """After the debit."""
    held_minor: int
    """After the debit."""
    limit_minor: int
    soft_limit_minor: int


class AccountFrozen(NamedTuple):
    """An account is kept from voluntary debits, or no longer."""

    payer: bytes
    account: bytes
    previous_until_ms: int
    until_ms: int
    frozen_by: bytes


class AccountClosed(NamedTuple):
    """An account that takes no posting any more."""

    payer: bytes
    account: Account


class OrderPlaced(NamedTuple):
    """A new order."""

    order: StandingOrder


class StandingOrderMissed(NamedTuple):
    """A time of an order passed without a posting."""

    order: StandingOrder
    """As it stands then."""
    reason: str
    figures: Figures


class StandingOrderEnded(NamedTuple):
    """An order that is gone."""

    order: StandingOrder
    """As it last stood."""
    reason: str


class PeriodClosed(NamedTuple):
    """A unit's authority looked at its books."""

    payer: bytes
    unit: bytes
    period: Period


Event = (
    Movement
    | TransactionRefused
    | AccountOpened
    | HoldPlaced
    | HoldCaptured
    | HoldReleased
    | FloorChanged
    | RecoveryStarted
    | RecoveryCancelled
    | RecoveryCompleted
    | ControllerOpened
    | ControllerChanged
    | AuthorityFounded
    | MembershipChanged
    | PollOpened
    | PollClosed
    | BallotCast
    | DecisionEnacted
    | EquivocationRecorded
    | ContractCalled
    | UnitPolicySet
    | SoftLimitPassed
    | AccountFrozen
    | AccountClosed
    | OrderPlaced
    | StandingOrderMissed
    | StandingOrderEnded
    | PeriodClosed
)
