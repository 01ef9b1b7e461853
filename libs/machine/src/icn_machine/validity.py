"""Whether a block may include a transaction: a pure function of small records and of what came before it.

It never asks about balances; what only execution can tell becomes a receipt
(docs/adr/0007-validity-apart-from-execution.md).

Source: docs/spec/transaction.md, "Validity". Rule 1 is `parsing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from icn_machine import limits
from icn_machine.authority import AuthorityFault, signing_keys
from icn_machine.messages import CancelRecovery, SignatureVerdict, Transaction
from icn_machine.records import Allowance, Controller
from icn_machine.refusals import (
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


VerdictOf = Callable[[Transaction, tuple[bytes, ...]], SignatureVerdict]
"""What verification of a transaction's signatures with these public keys, one for each, said."""


@dataclass(slots=True)
class Charge:
    """What including transactions costs."""

    size_bytes: int
    signatures: int
    leaves: int
    cofactored_only: int = 0
    """Signatures that count against the block's bound, not against an allowance."""
    fuel: int = 0

    def add(self, more: Charge) -> None:
        """Charge an allowance more."""
        self.size_bytes += more.size_bytes
        self.signatures += more.signatures
        self.leaves += more.leaves
        self.fuel += more.fuel


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
    lanes_before: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """As ``lanes``, of the block's unexecuted ancestors."""
    charges_before: dict[bytes, Charge] = field(default_factory=dict)

    @classmethod
    def after(cls, ancestors: Iterable[Use], epoch: int) -> Use:
        """The empty use of a block of ``epoch`` behind its unexecuted ancestors, oldest first.

        Of ancestors, bytes, signatures and fuel count per epoch, leaves and lanes whatever the epoch.
        """
        use = cls(epoch)
        for ancestor in ancestors:
            use.lanes_before.update(ancestor.lanes)
            is_same_epoch = ancestor.epoch == epoch
            for payer, charge in ancestor.charges.items():
                before = use.charges_before.setdefault(payer, Charge(0, 0, 0))
                before.add(charge if is_same_epoch else Charge(0, 0, charge.leaves))
        return use

    def last_sequence(self, principal: bytes, lane: int) -> int | None:
        """The last number used in a lane, None when neither the block nor an ancestor uses it."""
        place = (principal, lane)
        last = self.lanes.get(place)
        return self.lanes_before.get(place) if last is None else last

    def alone(self) -> Use:
        """The block's own use, as its descendants will count it."""
        return Use(self.epoch, self.lanes, self.charges)

    def include(self, transaction: Transaction, charge: Charge) -> None:
        """Count a transaction that was judged valid."""
        self.lanes[transaction.principal, transaction.lane] = transaction.sequence
        self.cofactored_only += charge.cofactored_only
        self.fuel += charge.fuel
        before = self.charges.get(transaction.payer)
        if before is None:
            self.charges[transaction.payer] = charge
        else:
            before.add(charge)


def judge(
    transaction: Transaction,
    view: ValidityView,
    use: Use,
    moment: Moment,
    *,
    verdict_of: VerdictOf,
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
    if not time_ms <= transaction.expire_time_ms <= time_ms + limits.EXPIRY_AHEAD_MS_MAX:
        raise _untimely(transaction.expire_time_ms, time_ms)
    principal, payer = transaction.principal, transaction.payer
    controller = view.controllers[principal]
    if controller is None:
        raise NotValid(CONTROLLER_UNKNOWN, f"principal {principal.hex()} has no controller")
    allowance = view.allowances[payer]
    if allowance is None or payer not in (principal, controller.sponsor):
        raise NotValid(
            PAYER_NOT_ALLOWED,
            f"{payer.hex()} is neither the principal nor its sponsor, or has no allowance",
        )
    _check_sequence(transaction, controller, use, door)
    keys = signing_keys(transaction, controller, time_ms)
    if isinstance(keys, AuthorityFault):
        raise NotValid(keys.reason, keys.message)
    is_valid, cofactored_only = verdict_of(transaction, keys)
    if not is_valid:
        raise NotValid(SIGNATURE_INVALID, "a signature does not verify")
    if cofactored_only and use.cofactored_only + cofactored_only > door.cofactored_only_max:
        raise NotValid(SIGNATURE_INVALID, "too many signatures verify only with the cofactor")
    charge = Charge(
        transaction.size_bytes,
        transaction.signatures_charged,
        transaction.leaves_made_max,
        cofactored_only,
        transaction.fuel_limit,
    )
    if transaction.organizations_set:
        charge.leaves += sum(view.allowances[one] is None for one in transaction.organizations_set)
    if not (controller.is_being_recovered and _is_veto(transaction, controller, use)):
        _check_allowance(charge, allowance, use, payer)
    if charge.fuel and use.fuel + charge.fuel > limits.FUEL_PER_BLOCK_MAX:
        raise NotValid(
            BLOCK_FUEL_EXCEEDED,
            f"fuel: {use.fuel} used, {charge.fuel} more, the limit is {limits.FUEL_PER_BLOCK_MAX}",
        )
    return charge


def include(
    transaction: Transaction, view: ValidityView, use: Use, moment: Moment, *, verdict_of: VerdictOf
) -> None:
    """Judge the transaction for a block and count what it uses.

    Raises:
        NotValid: as `judge`; then nothing is counted.
    """
    use.include(transaction, judge(transaction, view, use, moment, verdict_of=verdict_of))


def _untimely(expire_time_ms: int, time_ms: int) -> NotValid:
    if expire_time_ms < time_ms:
        return NotValid(EXPIRED, f"expired at {expire_time_ms}, block time is {time_ms}")
    return NotValid(EXPIRY_TOO_FAR, f"expires at {expire_time_ms}, more than 24 h after block time {time_ms}")


def _check_sequence(transaction: Transaction, controller: Controller, use: Use, door: Door) -> None:
    last = use.last_sequence(transaction.principal, transaction.lane)
    if last is None:
        last = controller.last_sequence(transaction.lane)
    if transaction.sequence <= last:
        raise NotValid(SEQUENCE_USED, f"sequence {transaction.sequence}, the lane stands at {last}")
    if transaction.sequence > last + 1 + door.sequence_ahead_max:
        raise NotValid(SEQUENCE_GAP, f"sequence {transaction.sequence}, the lane stands at {last}")


def _is_veto(transaction: Transaction, controller: Controller, use: Use) -> bool:
    """Whether it does nothing but take back the announced recovery of its own principal, at most one of them
    unexecuted: who guards the principal may set or use up the allowance that would pay for its objection."""
    return (
        transaction.messages == (CancelRecovery(transaction.principal),)
        and transaction.lane == VETO_LANE
        and use.last_sequence(transaction.principal, VETO_LANE) is None
        and transaction.sequence == controller.last_sequence(VETO_LANE) + 1
    )


def _check_allowance(charge: Charge, allowance: Allowance, use: Use, payer: bytes) -> None:
    own = use.charges.get(payer, _NO_CHARGE)
    before = use.charges_before.get(payer, _NO_CHARGE)
    used_bytes = own.size_bytes + before.size_bytes
    used_signatures = own.signatures + before.signatures
    used_fuel = own.fuel + before.fuel
    leaves_under_way = own.leaves + before.leaves
    made_leaves = leaves_under_way
    if allowance.epoch == use.epoch:
        used_bytes += allowance.used_bytes
        used_signatures += allowance.used_signatures
        used_fuel += allowance.used_fuel
        made_leaves += allowance.used_new_leaves
    used_leaves = allowance.used_state_leaves + leaves_under_way
    bounds = allowance.limits
    if used_bytes + charge.size_bytes > bounds.bytes_per_epoch:
        raise _exceeded("bytes", used_bytes, charge.size_bytes, bounds.bytes_per_epoch)
    if used_signatures + charge.signatures > bounds.signatures_per_epoch:
        raise _exceeded("signatures", used_signatures, charge.signatures, bounds.signatures_per_epoch)
    if charge.fuel and used_fuel + charge.fuel > bounds.fuel_per_epoch:
        raise _exceeded("fuel", used_fuel, charge.fuel, bounds.fuel_per_epoch)
    # A transaction that makes no leaf is not stopped by a limit that was lowered below what is occupied.
    if charge.leaves and used_leaves + charge.leaves > bounds.state_leaves:
        raise _exceeded("state leaves", used_leaves, charge.leaves, bounds.state_leaves)
    if charge.leaves and made_leaves + charge.leaves > bounds.new_leaves_max:
        raise _exceeded("new leaves", made_leaves, charge.leaves, bounds.new_leaves_max)


def _exceeded(name: str, used: int, more: int, limit: int) -> NotValid:
    return NotValid(ALLOWANCE_EXCEEDED, f"{name}: {used} used, {more} more, the limit is {limit}")
