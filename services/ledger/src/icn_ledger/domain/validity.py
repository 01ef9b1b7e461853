"""Whether a block may include a transaction: a pure function of small records and of what came before it.

It never asks about balances; what only execution can tell becomes a receipt
(docs/adr/0007-validity-apart-from-execution.md).

Source: docs/spec/transaction.md, "Validity". Rule 1 is `parsing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from icn_ledger.domain import limits
from icn_ledger.domain.authority import find_fault
from icn_ledger.domain.messages import CancelRecovery, Transaction
from icn_ledger.domain.records import Allowance, Controller
from icn_ledger.domain.refusals import (
    ALLOWANCE_EXCEEDED,
    BLOCK_FUEL_EXCEEDED,
    CONTROLLER_UNKNOWN,
    EXPIRED,
    EXPIRY_TOO_FAR,
    PAYER_NOT_ALLOWED,
    SEQUENCE_GAP,
    SEQUENCE_USED,
    SIGNATURE_INVALID,
    NotValid,
)


class Moment(NamedTuple):
    """Where in time a block stands."""

    epoch: int
    time_ms: int


class Door(NamedTuple):
    """How strict the place is that a transaction wants to enter."""

    cofactored_only_max: int
    sequence_ahead_max: int


BLOCK_DOOR = Door(limits.COFACTORED_ONLY_PER_BLOCK_MAX, 0)
POOL_DOOR = Door(0, limits.SEQUENCE_AHEAD_MAX)
VETO_LANE = 0
"""The lane on which a principal's objection needs no allowance: one, so that it cannot be multiplied."""


@dataclass(frozen=True, slots=True)
class ValidityView:
    """The records that validity reads, all as they stood after one height."""

    controllers: Mapping[bytes, Controller | None]
    """By principal; holds the principal of every transaction that is judged."""
    allowances: Mapping[bytes, Allowance | None]
    """By organization; holds every payer and every organization that an allowance is set for."""


class SignatureVerdict(NamedTuple):
    """What verification said of all signatures of a transaction."""

    is_valid: bool
    """Every one verifies by ZIP-215 or its suite's own rule."""
    cofactored_only: int
    """How many do so only with the cofactor."""


class Charge(NamedTuple):
    """What including transactions costs."""

    size_bytes: int
    signatures: int
    leaves: int
    cofactored_only: int = 0
    """Signatures that count against the block's bound, not against an allowance."""
    fuel: int = 0


_NO_CHARGE = Charge(0, 0, 0)


@dataclass(slots=True)
class Use:
    """Lane numbers and allowances used by transactions that are not executed yet."""

    epoch: int
    lanes: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """Last sequence by (principal, lane)."""
    charges: dict[bytes, Charge] = field(default_factory=dict)
    """By payer."""
    cofactored_only: int = 0
    """Such signatures among them."""
    fuel: int = 0
    """Of the block's own contract calls, by their limits."""
    before: Use | None = None
    """What the unexecuted ancestors of the block use, while it is judged."""

    @classmethod
    def after(cls, ancestors: Iterable[Use], epoch: int) -> Use:
        """The empty use of a block of ``epoch`` behind its unexecuted ancestors, oldest first.

        Of ancestors, bytes, signatures and fuel count per epoch, leaves and lanes whatever the epoch.
        """
        before = cls(epoch)
        for ancestor in ancestors:
            before.lanes.update(ancestor.lanes)
            is_same_epoch = ancestor.epoch == epoch
            for payer, charge in ancestor.charges.items():
                before._add(payer, charge if is_same_epoch else Charge(0, 0, charge.leaves))
        return cls(epoch, before=before)

    def last_sequence(self, principal: bytes, lane: int) -> int | None:
        """The last number used in a lane, None when neither the block nor an ancestor uses it."""
        last = self.lanes.get((principal, lane))
        if last is None and self.before is not None:
            last = self.before.lanes.get((principal, lane))
        return last

    def charged(self, payer: bytes) -> Charge:
        """What the block and its ancestors take from an allowance."""
        own = self.charges.get(payer, _NO_CHARGE)
        if self.before is None or (before := self.before.charges.get(payer)) is None:
            return own
        return Charge(
            before.size_bytes + own.size_bytes,
            before.signatures + own.signatures,
            before.leaves + own.leaves,
            0,
            before.fuel + own.fuel,
        )

    def alone(self) -> Use:
        """The block's own use, as its descendants will count it."""
        return Use(self.epoch, self.lanes, self.charges)

    def include(self, transaction: Transaction, charge: Charge) -> None:
        """Count a transaction that was judged valid."""
        self.lanes[transaction.principal, transaction.lane] = transaction.sequence
        self.cofactored_only += charge.cofactored_only
        self.fuel += charge.fuel
        self._add(transaction.payer, charge)

    def _add(self, payer: bytes, charge: Charge) -> None:
        before = self.charges.get(payer)
        if before is not None:
            charge = Charge(
                before.size_bytes + charge.size_bytes,
                before.signatures + charge.signatures,
                before.leaves + charge.leaves,
                0,
                before.fuel + charge.fuel,
            )
        self.charges[payer] = charge


def judge(
    transaction: Transaction,
    view: ValidityView,
    use: Use,
    moment: Moment,
    *,
    verdict_of: Callable[[Transaction, Controller], SignatureVerdict],
    door: Door = BLOCK_DOOR,
) -> Charge:
    """What including the transaction would charge.

    Args:
        transaction: passed rule 1.
        view: the state after the parent branch's executed height.
        use: what unexecuted ancestors and the block's earlier transactions have used.
        moment: epoch and time of the block.
        verdict_of: what verification of its signatures said; asked only when every rule before holds.
        door: BLOCK_DOOR, or POOL_DOOR for a look before the pool.

    Raises:
        NotValid: with the reason of the first rule that fails.
    """
    time_ms = moment.time_ms
    if transaction.expire_time_ms < time_ms:
        raise NotValid(EXPIRED, f"expired at {transaction.expire_time_ms}, block time is {time_ms}")
    if transaction.expire_time_ms > time_ms + limits.EXPIRY_AHEAD_MS_MAX:
        raise NotValid(
            EXPIRY_TOO_FAR,
            f"expires at {transaction.expire_time_ms}, more than 24 h after block time {time_ms}",
        )
    controller = view.controllers[transaction.principal]
    if controller is None:
        raise NotValid(CONTROLLER_UNKNOWN, f"principal {transaction.principal.hex()} has no controller")
    allowance = view.allowances[transaction.payer]
    if allowance is None or transaction.payer not in (transaction.principal, controller.sponsor):
        raise NotValid(
            PAYER_NOT_ALLOWED,
            f"{transaction.payer.hex()} is neither the principal nor its sponsor, or has no allowance",
        )
    _check_sequence(transaction, controller, use, door)
    if (fault := find_fault(transaction, controller, time_ms)) is not None:
        raise NotValid(fault.reason, fault.message)
    verdict = verdict_of(transaction, controller)
    if not verdict.is_valid:
        raise NotValid(SIGNATURE_INVALID, "a signature does not verify")
    if verdict.cofactored_only and use.cofactored_only + verdict.cofactored_only > door.cofactored_only_max:
        raise NotValid(SIGNATURE_INVALID, "too many signatures verify only with the cofactor")
    charge = _charge(transaction, view)
    if not _is_veto(transaction, controller, use):
        _check_allowance(charge, allowance, use.charged(transaction.payer), use.epoch)
    if charge.fuel and use.fuel + charge.fuel > limits.FUEL_PER_BLOCK_MAX:
        raise NotValid(
            BLOCK_FUEL_EXCEEDED,
            f"fuel: {use.fuel} used, {charge.fuel} more, the limit is {limits.FUEL_PER_BLOCK_MAX}",
        )
    return charge._replace(cofactored_only=verdict.cofactored_only) if verdict.cofactored_only else charge


def include(
    transaction: Transaction,
    view: ValidityView,
    use: Use,
    moment: Moment,
    *,
    verdict_of: Callable[[Transaction, Controller], SignatureVerdict],
) -> Charge:
    """Judge the transaction for a block and count what it uses.

    Raises:
        NotValid: as `judge`; then nothing is counted.
    """
    charge = judge(transaction, view, use, moment, verdict_of=verdict_of)
    use.include(transaction, charge)
    return charge


def _check_sequence(transaction: Transaction, controller: Controller, use: Use, door: Door) -> None:
    last = use.last_sequence(transaction.principal, transaction.lane)
    if last is None:
        last = controller.last_sequence(transaction.lane)
    if transaction.sequence <= last:
        raise NotValid(SEQUENCE_USED, f"sequence {transaction.sequence}, the lane stands at {last}")
    if transaction.sequence > last + 1 + door.sequence_ahead_max:
        raise NotValid(SEQUENCE_GAP, f"sequence {transaction.sequence}, the lane stands at {last}")


def _charge(transaction: Transaction, view: ValidityView) -> Charge:
    charge = Charge(
        transaction.size_bytes,
        transaction.signatures_charged,
        transaction.leaves_made_max,
        0,
        transaction.fuel_limit,
    )
    if transaction.organizations_set:
        new = sum(view.allowances[organization] is None for organization in transaction.organizations_set)
        charge = charge._replace(leaves=charge.leaves + new)
    return charge


def _is_veto(transaction: Transaction, controller: Controller, use: Use) -> bool:
    """Whether it does nothing but take back the announced recovery of its own principal, at most one of them
    unexecuted: who guards the principal may set or use up the allowance that would pay for its objection."""
    return (
        controller.is_being_recovered
        and transaction.messages == (CancelRecovery(transaction.principal),)
        and transaction.lane == VETO_LANE
        and use.last_sequence(transaction.principal, VETO_LANE) is None
        and transaction.sequence == controller.last_sequence(VETO_LANE) + 1
    )


def _check_allowance(charge: Charge, allowance: Allowance, pending: Charge, epoch: int) -> None:
    is_current = allowance.epoch == epoch
    bounds = allowance.limits
    used_bytes = (allowance.used_bytes if is_current else 0) + pending.size_bytes
    if used_bytes + charge.size_bytes > bounds.bytes_per_epoch:
        raise _exceeded("bytes", used_bytes, charge.size_bytes, bounds.bytes_per_epoch)
    used_signatures = (allowance.used_signatures if is_current else 0) + pending.signatures
    if used_signatures + charge.signatures > bounds.signatures_per_epoch:
        raise _exceeded("signatures", used_signatures, charge.signatures, bounds.signatures_per_epoch)
    used_fuel = (allowance.used_fuel if is_current else 0) + pending.fuel
    if charge.fuel and used_fuel + charge.fuel > bounds.fuel_per_epoch:
        raise _exceeded("fuel", used_fuel, charge.fuel, bounds.fuel_per_epoch)
    used_leaves = allowance.used_state_leaves + pending.leaves
    # A transaction that makes no leaf is not stopped by a limit that was lowered below what is occupied.
    if charge.leaves and used_leaves + charge.leaves > bounds.state_leaves:
        raise _exceeded("state leaves", used_leaves, charge.leaves, bounds.state_leaves)


def _exceeded(name: str, used: int, more: int, limit: int) -> NotValid:
    return NotValid(ALLOWANCE_EXCEEDED, f"{name}: {used} used, {more} more, the limit is {limit}")
