"""An agreement and its two commitments, moved by the parties' words, the hold on the ledger and block time.

Source: docs/spec/marketplace.md, "Agreement"; the rule itself is `icn_kit.saga`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from icn_kit.errors import FailedPrecondition, PermissionDenied
from icn_kit.saga import Decision, Observation, Ours, Theirs, decide

from icn_marketplace.domain.limits import ABSENCE_MARGIN_MS, HOLD_DUE_MS, WEIGHT_MAX


class CommitmentState(Enum):
    """How a commitment stands."""

    OPEN = "open"
    REPORTED = "reported"
    FULFILLED = "fulfilled"
    FAILED = "failed"
    LAPSED = "lapsed"


class AgreementState(Enum):
    """Where an agreement stands."""

    OPEN = "open"
    SETTLED = "settled"
    FAILED = "failed"
    DISPUTED = "disputed"
    WAIVED = "waived"
    LAPSED = "lapsed"


class Release(Enum):
    """How a hold ended with something left."""

    VOIDED = "voided"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Hold:
    """What events of the ledger have said of the hold with the id of a commitment to pay."""

    hold: bytes
    source: bytes
    destination: bytes
    placed_minor: int
    """0: never placed."""
    captured_minor: int
    captured_at_ms: int
    """Block time of the last capture; 0 before."""
    expires_at_ms: int
    release: Release | None


class HoldState(Enum):
    """The hold as people are shown it."""

    ABSENT = "absent"
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two parties owe each other. Times are unix milliseconds of block time."""

    agreement: bytes
    offer: bytes
    provider: bytes
    receiver: bytes
    action: str
    title: str
    quantity: int
    amount_minor: int
    unit: bytes
    account: bytes
    expires_at_ms: int
    delivery: bytes
    payment: bytes
    """The id of the hold."""
    made_at_ms: int
    delivery_state: CommitmentState = CommitmentState.OPEN
    payment_state: CommitmentState = CommitmentState.OPEN
    state: AgreementState = AgreementState.OPEN
    return_owed_minor: int = 0
    ended_at_ms: int = 0

    @property
    def hold_due_ms(self) -> int:
        """Block time until which the hold has to be seen."""
        return min(self.made_at_ms + HOLD_DUE_MS, self.expires_at_ms)

    def report(self, by: bytes) -> Agreement:
        """The provider says that it has delivered.

        Raises:
            PermissionDenied: NOT_A_PARTY.
            FailedPrecondition: DELIVERY_ENDED.
        """
        if by != self.provider:
            raise _not_a_party("provider")
        self._check_undelivered()
        return replace(self, delivery_state=CommitmentState.REPORTED)

    def confirm(self, by: bytes) -> Agreement:
        """The receiver says that it has received.

        Raises:
            PermissionDenied: NOT_A_PARTY.
            FailedPrecondition: DELIVERY_ENDED.
        """
        if by != self.receiver:
            raise _not_a_party("receiver")
        self._check_undelivered()
        return replace(self, delivery_state=CommitmentState.FULFILLED)

    def check_withdrawable(self, by: bytes) -> None:
        """Refuse to end it before its time, whatever is held.

        Raises:
            PermissionDenied: NOT_A_PARTY.
            FailedPrecondition: AGREEMENT_ENDED; DELIVERY_ENDED: what was received is to be paid.
        """
        if by not in (self.provider, self.receiver):
            raise _not_a_party("provider or the receiver")
        if self.state is not AgreementState.OPEN:
            raise FailedPrecondition(
                "AGREEMENT_ENDED", f"the agreement is {self.state.value}", agreement=self.state.value
            )
        self._check_undelivered()

    def check_owing(self, by: bytes) -> None:
        """Refuse a return that nobody owes.

        Raises:
            PermissionDenied: NOT_A_PARTY.
            FailedPrecondition: NOTHING_OWED.
        """
        if by != self.provider:
            raise _not_a_party("provider")
        if self.return_owed_minor == 0:
            raise FailedPrecondition("NOTHING_OWED", "no return is owed in this agreement")

    def _check_undelivered(self) -> None:
        if self.state is not AgreementState.OPEN or self.delivery_state not in _UNDELIVERED:
            raise FailedPrecondition(
                "DELIVERY_ENDED",
                f"delivery is {self.delivery_state.value}, the agreement {self.state.value}",
                delivery=self.delivery_state.value,
                agreement=self.state.value,
            )


_UNDELIVERED = (CommitmentState.OPEN, CommitmentState.REPORTED)


class AgreementSeen(NamedTuple):
    """An agreement with its hold as last seen; None when none was placed."""

    agreement: Agreement
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """One commitment that ended, as others are told once."""

    commitment: bytes
    dimension: str
    who: bytes
    """To whom it was owed."""
    about: bytes
    """Who owed it."""
    weight: int
    occurred_at_ms: int
    failure: str = ""
    """`not_paid`, `not_delivered` or `withdrawn`; empty when it was fulfilled."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What an observation changed."""

    agreement: Agreement
    evidence: tuple[Evidence, ...] = ()
    quantity_back: int = 0
    """What the offer gets back."""


def effect_of(agreement: Agreement, hold: Hold | None) -> Theirs:
    """The hold as the saga rule sees it; one that is not as agreed is none."""
    if hold is None or not is_as_agreed(agreement, hold):
        return Theirs.ABSENT
    if hold.captured_minor >= agreement.amount_minor:
        return Theirs.CAPTURED
    return Theirs.HELD if hold.release is None else Theirs.ABSENT


def is_as_agreed(agreement: Agreement, hold: Hold) -> bool:
    """Whether this hold is the payment."""
    return (hold.destination, hold.placed_minor, hold.expires_at_ms) == (
        agreement.account,
        agreement.amount_minor,
        agreement.expires_at_ms,
    )


def hold_state(agreement: Agreement, hold: Hold | None) -> HoldState:
    """The hold as people are shown it."""
    effect = effect_of(agreement, hold)
    if effect is Theirs.CAPTURED:
        return HoldState.CAPTURED
    if effect is Theirs.HELD:
        return HoldState.HELD
    if agreement.payment_state in (CommitmentState.FAILED, CommitmentState.LAPSED):
        return HoldState.RELEASED
    return HoldState.RELEASED if _is_released(agreement, hold) else HoldState.ABSENT


def next_look_ms(agreement: Agreement, hold: Hold | None) -> int:
    """Block time at which an open agreement moves by itself; 0: at once, because the hold was voided.

    A hold that was never placed is awaited until it is due; of what the receiver has confirmed, until the
    expiry, because then it is owed.
    """
    if hold is not None and is_as_agreed(agreement, hold):
        return 0 if hold.release is Release.VOIDED else agreement.expires_at_ms
    is_owed = agreement.delivery_state is CommitmentState.FULFILLED
    return agreement.expires_at_ms if is_owed else agreement.hold_due_ms


def is_another(agreement: Agreement, hold: Hold | None) -> bool:
    """Whether what is on the ledger under the payment's id, as far as events tell, is not the payment."""
    return hold is not None and hold.release is None and not is_as_agreed(agreement, hold)


def needs_certainty(agreement: Agreement, hold: Hold | None, block_time_ms: int) -> bool:
    """Whether the next step depends on an absence that no event proves: the hold was never seen. An expiry
    or a void is proven by its own event, and what is held will have one."""
    return (
        agreement.payment_state is CommitmentState.OPEN
        and block_time_ms >= next_look_ms(agreement, hold) + ABSENCE_MARGIN_MS
        and effect_of(agreement, hold) is Theirs.ABSENT
        and not _is_released(agreement, hold)
    )


def _is_released(agreement: Agreement, hold: Hold | None) -> bool:
    return hold is not None and hold.release is not None and is_as_agreed(agreement, hold)


def observe(
    agreement: Agreement, hold: Hold | None, block_time_ms: int, *, is_absence_certain: bool = False
) -> Progress:
    """The agreement after one look at the ledger.

    Args:
        agreement: as it stands. hold: what events have said of its hold. block_time_ms: newest block time
        known. is_absence_certain: that the hold cannot be there although no event says so; see
        `needs_certainty`.
    """
    effect, last_ms = effect_of(agreement, hold), next_look_ms(agreement, hold)
    is_proven = effect is not Theirs.ABSENT or is_absence_certain or _is_released(agreement, hold)
    seen_at_ms = block_time_ms if is_proven else min(block_time_ms, last_ms - 1)
    decision = decide(_ours(agreement), last_ms, Observation(effect, seen_at_ms))
    if decision is Decision.VOID_BY_TRANSFER_BACK:
        return _repair(agreement)
    evidence: list[Evidence] = []
    if decision is Decision.CONFIRM:
        assert hold is not None, "a captured hold was seen"
        agreement = replace(agreement, payment_state=CommitmentState.FULFILLED)
        evidence.append(payment_evidence(agreement, hold.captured_at_ms))
    if agreement.state is not AgreementState.OPEN:
        return Progress(agreement, tuple(evidence))
    if agreement.payment_state is CommitmentState.FULFILLED:
        return _end_paid(agreement, block_time_ms, evidence)
    if decision is Decision.RELEASE:
        return _end_unpaid(agreement, hold, block_time_ms)
    return Progress(agreement, tuple(evidence))


def withdraw(agreement: Agreement, block_time_ms: int) -> Progress:
    """The agreement ended by a party while nothing is held for it; nobody has failed anybody."""
    return Progress(
        _lapse(agreement, CommitmentState.LAPSED, block_time_ms), quantity_back=agreement.quantity
    )


def delivery_evidence(agreement: Agreement, occurred_at_ms: int, failure: str = "") -> Evidence:
    """The commitment to deliver ended: the receiver's experience of the provider."""
    return Evidence(
        agreement.delivery,
        "delivery",
        who=agreement.receiver,
        about=agreement.provider,
        weight=min(agreement.amount_minor, WEIGHT_MAX),
        occurred_at_ms=occurred_at_ms,
        failure=failure,
    )


def payment_evidence(agreement: Agreement, occurred_at_ms: int, failure: str = "") -> Evidence:
    """The commitment to pay ended: the provider's experience of the receiver."""
    return Evidence(
        agreement.payment,
        "payment",
        who=agreement.provider,
        about=agreement.receiver,
        weight=min(agreement.amount_minor, WEIGHT_MAX),
        occurred_at_ms=occurred_at_ms,
        failure=failure,
    )


def _ours(agreement: Agreement) -> Ours:
    if agreement.payment_state is CommitmentState.OPEN:
        return Ours.RESERVED
    return Ours.CONFIRMED if agreement.payment_state is CommitmentState.FULFILLED else Ours.RELEASED


def _repair(agreement: Agreement) -> Progress:
    """A capture is seen after the end without it. The piece of evidence that was told stays the only one."""
    owed_minor = 0 if agreement.delivery_state is CommitmentState.FULFILLED else agreement.amount_minor
    return Progress(replace(agreement, payment_state=CommitmentState.FULFILLED, return_owed_minor=owed_minor))


def _end_paid(agreement: Agreement, block_time_ms: int, evidence: list[Evidence]) -> Progress:
    if agreement.delivery_state is CommitmentState.FULFILLED:
        ended = replace(agreement, state=AgreementState.SETTLED, ended_at_ms=block_time_ms)
        return Progress(ended, tuple(evidence))
    if block_time_ms < agreement.expires_at_ms:
        return Progress(agreement, tuple(evidence))
    if agreement.delivery_state is CommitmentState.REPORTED:
        return Progress(
            _end(agreement, AgreementState.DISPUTED, delivery=CommitmentState.LAPSED), tuple(evidence)
        )
    failed = _end(
        agreement,
        AgreementState.FAILED,
        delivery=CommitmentState.FAILED,
        return_owed_minor=agreement.amount_minor,
    )
    evidence.append(delivery_evidence(agreement, agreement.expires_at_ms, "not_delivered"))
    return Progress(failed, tuple(evidence))


def _end_unpaid(agreement: Agreement, hold: Hold | None, block_time_ms: int) -> Progress:
    """The payment is not awaited any more."""
    is_delivered = agreement.delivery_state is CommitmentState.FULFILLED
    if hold is None or not is_as_agreed(agreement, hold):
        if is_delivered:
            ended = _end(agreement, AgreementState.FAILED, payment=CommitmentState.FAILED)
            return Progress(ended, (payment_evidence(agreement, agreement.expires_at_ms, "not_paid"),))
        ended = _lapse(agreement, CommitmentState.FAILED, agreement.hold_due_ms)
        failure = payment_evidence(agreement, agreement.hold_due_ms, "not_paid")
        return Progress(ended, (failure,), quantity_back=agreement.quantity)
    at_ms = agreement.expires_at_ms if hold.release is Release.EXPIRED else block_time_ms
    if is_delivered:
        return Progress(_end(agreement, AgreementState.WAIVED, payment=CommitmentState.LAPSED, at_ms=at_ms))
    if hold.release is Release.EXPIRED and agreement.delivery_state is CommitmentState.REPORTED:
        return Progress(
            _end(
                agreement,
                AgreementState.DISPUTED,
                payment=CommitmentState.LAPSED,
                delivery=CommitmentState.LAPSED,
            )
        )
    ended = _end(
        agreement,
        AgreementState.FAILED,
        payment=CommitmentState.LAPSED,
        delivery=CommitmentState.FAILED,
        return_owed_minor=hold.captured_minor,
        at_ms=at_ms,
    )
    failure = delivery_evidence(
        agreement, at_ms, "not_delivered" if hold.release is Release.EXPIRED else "withdrawn"
    )
    back = 0 if hold.captured_minor else agreement.quantity
    return Progress(ended, (failure,), quantity_back=back)


def _lapse(agreement: Agreement, payment: CommitmentState, at_ms: int) -> Agreement:
    return _end(
        agreement, AgreementState.LAPSED, payment=payment, delivery=CommitmentState.LAPSED, at_ms=at_ms
    )


def _end(
    agreement: Agreement,
    state: AgreementState,
    *,
    payment: CommitmentState | None = None,
    delivery: CommitmentState | None = None,
    return_owed_minor: int = 0,
    at_ms: int | None = None,
) -> Agreement:
    """At ``at_ms``, by default the expiry."""
    return replace(
        agreement,
        state=state,
        payment_state=payment or agreement.payment_state,
        delivery_state=delivery or agreement.delivery_state,
        return_owed_minor=return_owed_minor,
        ended_at_ms=agreement.expires_at_ms if at_ms is None else at_ms,
    )


def _not_a_party(role: str) -> PermissionDenied:
    return PermissionDenied("NOT_A_PARTY", f"only the {role} may", role=role)
