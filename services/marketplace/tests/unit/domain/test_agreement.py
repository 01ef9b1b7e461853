"""The table "End" of docs/spec/marketplace.md, row by row, and what must hold in any order of events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_kit.errors import DomainError
from icn_marketplace.domain.agreement import (
    Agreement,
    AgreementState,
    CommitmentState,
    Hold,
    HoldState,
    Release,
    hold_state,
    is_another,
    needs_certainty,
    next_look_ms,
    observe,
    withdraw,
)
from icn_marketplace.domain.limits import ABSENCE_MARGIN_MS, HOLD_DUE_MS, WEIGHT_MAX

EXPIRY = 1_000_000
AMOUNT = 500
PROVIDER, RECEIVER, ACCOUNT = b"p" * 16, b"r" * 16, b"c" * 16
AGREEMENT = Agreement(
    agreement=b"1" * 16,
    offer=b"o" * 16,
    provider=PROVIDER,
    receiver=RECEIVER,
    action="transfer",
    title="bread",
    quantity=5,
    amount_minor=AMOUNT,
    unit=b"u" * 16,
    account=ACCOUNT,
    expires_at_ms=EXPIRY,
    delivery=b"d" * 16,
    payment=b"h" * 16,
    made_at_ms=10,
)
HELD = Hold(b"h" * 16, b"s" * 16, ACCOUNT, AMOUNT, 0, 0, EXPIRY, None)
CAPTURED = replace(HELD, captured_minor=AMOUNT, captured_at_ms=700)
VOIDED = replace(HELD, release=Release.VOIDED)
EXPIRED = replace(HELD, release=Release.EXPIRED)
PART_EXPIRED = replace(EXPIRED, captured_minor=200, captured_at_ms=600)

OPEN, REPORTED, FULFILLED = CommitmentState.OPEN, CommitmentState.REPORTED, CommitmentState.FULFILLED
FAILED, LAPSED = CommitmentState.FAILED, CommitmentState.LAPSED
LATE = EXPIRY + ABSENCE_MARGIN_MS
DUE = AGREEMENT.hold_due_ms
LAPSES = DUE + ABSENCE_MARGIN_MS


@pytest.mark.parametrize(
    ("hold", "delivery", "at", "state", "payment_after", "delivery_after", "owed", "back"),
    [
        (CAPTURED, FULFILLED, 800, AgreementState.SETTLED, FULFILLED, FULFILLED, 0, 0),
        (CAPTURED, REPORTED, EXPIRY - 1, AgreementState.OPEN, FULFILLED, REPORTED, 0, 0),
        (CAPTURED, REPORTED, EXPIRY, AgreementState.DISPUTED, FULFILLED, LAPSED, 0, 0),
        (CAPTURED, OPEN, EXPIRY - 1, AgreementState.OPEN, FULFILLED, OPEN, 0, 0),
        (CAPTURED, OPEN, EXPIRY, AgreementState.FAILED, FULFILLED, FAILED, AMOUNT, 0),
        (None, FULFILLED, LATE, AgreementState.FAILED, FAILED, FULFILLED, 0, 0),
        (None, FULFILLED, LAPSES, AgreementState.OPEN, OPEN, FULFILLED, 0, 0),
        (None, REPORTED, LAPSES, AgreementState.LAPSED, FAILED, LAPSED, 0, 5),
        (None, OPEN, DUE - 1, AgreementState.OPEN, OPEN, OPEN, 0, 0),
        (None, OPEN, LAPSES, AgreementState.LAPSED, FAILED, LAPSED, 0, 5),
        (None, OPEN, LATE, AgreementState.LAPSED, FAILED, LAPSED, 0, 5),
        (HELD, OPEN, LAPSES, AgreementState.OPEN, OPEN, OPEN, 0, 0),
        (VOIDED, FULFILLED, 800, AgreementState.WAIVED, LAPSED, FULFILLED, 0, 0),
        (EXPIRED, FULFILLED, EXPIRY, AgreementState.WAIVED, LAPSED, FULFILLED, 0, 0),
        (EXPIRED, REPORTED, EXPIRY, AgreementState.DISPUTED, LAPSED, LAPSED, 0, 0),
        (EXPIRED, OPEN, EXPIRY, AgreementState.FAILED, LAPSED, FAILED, 0, 5),
        (PART_EXPIRED, OPEN, EXPIRY, AgreementState.FAILED, LAPSED, FAILED, 200, 0),
        (VOIDED, REPORTED, 800, AgreementState.FAILED, LAPSED, FAILED, 0, 5),
        (VOIDED, OPEN, 800, AgreementState.FAILED, LAPSED, FAILED, 0, 5),
        (
            replace(PART_EXPIRED, release=Release.VOIDED),
            OPEN,
            800,
            AgreementState.FAILED,
            LAPSED,
            FAILED,
            200,
            0,
        ),
        (HELD, OPEN, LATE, AgreementState.OPEN, OPEN, OPEN, 0, 0),
        (HELD, FULFILLED, LATE, AgreementState.OPEN, OPEN, FULFILLED, 0, 0),
        (replace(EXPIRED, destination=b"x" * 16), OPEN, LAPSES, AgreementState.LAPSED, FAILED, LAPSED, 0, 5),
        (replace(CAPTURED, placed_minor=AMOUNT + 1), OPEN, LATE, AgreementState.LAPSED, FAILED, LAPSED, 0, 5),
        (
            replace(CAPTURED, expires_at_ms=EXPIRY + 1),
            OPEN,
            LATE,
            AgreementState.LAPSED,
            FAILED,
            LAPSED,
            0,
            5,
        ),
    ],
)
def test_every_row_of_the_table(
    hold: Hold | None,
    delivery: CommitmentState,
    at: int,
    state: AgreementState,
    payment_after: CommitmentState,
    delivery_after: CommitmentState,
    owed: int,
    back: int,
) -> None:
    agreement = replace(AGREEMENT, delivery_state=delivery)
    progress = observe(agreement, hold, at, is_absence_certain=True)
    after = progress.agreement
    assert (after.state, after.payment_state, after.delivery_state) == (state, payment_after, delivery_after)
    assert (after.return_owed_minor, progress.quantity_back) == (owed, back)
    assert (after.ended_at_ms > 0) == (state is not AgreementState.OPEN)
    told = {(piece.dimension, bool(piece.failure)) for piece in progress.evidence}
    expected = set()
    if payment_after in (FULFILLED, FAILED):
        expected.add(("payment", payment_after is FAILED))
    if delivery_after is FAILED:
        expected.add(("delivery", True))
    assert told == expected
    again = observe(after, hold, at + 1, is_absence_certain=True)
    if state is not AgreementState.OPEN:
        assert again.agreement == after and again.evidence == () and again.quantity_back == 0


@pytest.mark.parametrize("at", [0, DUE, LAPSES - 1, LAPSES, EXPIRY - 1, EXPIRY, LATE, 10 * LATE])
def test_an_absence_that_is_not_certain_releases_nothing(at: int) -> None:
    delivered = replace(AGREEMENT, delivery_state=FULFILLED)
    assert observe(AGREEMENT, None, at).agreement == AGREEMENT
    assert observe(delivered, None, at).agreement == delivered
    for hold in (EXPIRED, HELD, VOIDED):
        assert not needs_certainty(AGREEMENT, hold, at)
    assert needs_certainty(AGREEMENT, None, at) == (at >= LAPSES)
    assert needs_certainty(delivered, None, at) == (at >= LATE)


def test_the_hold_is_due_ten_minutes_after_the_agreement_or_at_its_expiry() -> None:
    assert DUE == 10 + HOLD_DUE_MS < EXPIRY
    assert replace(AGREEMENT, expires_at_ms=50).hold_due_ms == 50
    assert next_look_ms(AGREEMENT, None) == DUE
    assert next_look_ms(AGREEMENT, HELD) == EXPIRY
    assert next_look_ms(AGREEMENT, VOIDED) == 0
    assert next_look_ms(AGREEMENT, replace(HELD, placed_minor=1)) == DUE
    assert is_another(AGREEMENT, replace(HELD, placed_minor=1)) and not is_another(AGREEMENT, HELD)
    (told,) = observe(AGREEMENT, None, LATE, is_absence_certain=True).evidence
    assert (told.failure, told.occurred_at_ms) == ("not_paid", DUE)


def test_either_party_withdraws_what_is_neither_received_nor_ended_and_nobody_failed() -> None:
    for by in (PROVIDER, RECEIVER):
        AGREEMENT.check_withdrawable(by)
    for agreement, by, reason in (
        (AGREEMENT, b"x" * 16, "NOT_A_PARTY"),
        (replace(AGREEMENT, state=AgreementState.SETTLED), PROVIDER, "AGREEMENT_ENDED"),
        (replace(AGREEMENT, delivery_state=FULFILLED), RECEIVER, "DELIVERY_ENDED"),
    ):
        with pytest.raises(DomainError) as refused:
            agreement.check_withdrawable(by)
        assert refused.value.reason == reason
    progress = withdraw(AGREEMENT, 70)
    after = progress.agreement
    assert (after.state, after.payment_state, after.delivery_state) == (AgreementState.LAPSED, LAPSED, LAPSED)
    assert (progress.evidence, progress.quantity_back, after.ended_at_ms) == ((), 5, 70)


def test_a_capture_seen_after_the_end_owes_a_return_once_and_makes_no_second_evidence() -> None:
    ended = observe(AGREEMENT, None, LATE, is_absence_certain=True).agreement
    late = observe(ended, CAPTURED, LATE + 1)
    assert late.agreement.return_owed_minor == AMOUNT
    assert late.agreement.state is AgreementState.LAPSED
    assert late.evidence == ()
    returned = replace(late.agreement, return_owed_minor=0)
    assert observe(returned, CAPTURED, LATE + 2).agreement == returned


def test_a_late_capture_for_what_was_delivered_owes_nothing() -> None:
    delivered = replace(AGREEMENT, delivery_state=FULFILLED)
    ended = observe(delivered, None, LATE, is_absence_certain=True).agreement
    assert observe(ended, CAPTURED, LATE + 1).agreement.return_owed_minor == 0


def test_evidence_names_who_about_and_a_bounded_weight() -> None:
    rich = replace(AGREEMENT, amount_minor=2**40)
    hold = replace(CAPTURED, placed_minor=2**40, captured_minor=2**40)
    (payment,) = observe(rich, hold, 800).evidence
    assert (payment.who, payment.about, payment.weight) == (PROVIDER, RECEIVER, WEIGHT_MAX)
    assert payment.occurred_at_ms == 700
    failed = observe(AGREEMENT, EXPIRED, EXPIRY).evidence[0]
    assert (failed.who, failed.about, failed.failure) == (RECEIVER, PROVIDER, "not_delivered")
    assert (failed.weight, failed.occurred_at_ms) == (AMOUNT, EXPIRY)


def test_the_hold_is_shown_as_last_seen() -> None:
    assert hold_state(AGREEMENT, None) is HoldState.ABSENT
    assert hold_state(AGREEMENT, HELD) is HoldState.HELD
    assert hold_state(AGREEMENT, VOIDED) is HoldState.RELEASED
    assert hold_state(AGREEMENT, EXPIRED) is HoldState.RELEASED
    assert hold_state(AGREEMENT, CAPTURED) is HoldState.CAPTURED
    assert hold_state(replace(AGREEMENT, payment_state=FAILED), None) is HoldState.RELEASED


def test_each_party_says_only_its_own_word_and_only_while_it_counts() -> None:
    for act, by in ((Agreement.report, RECEIVER), (Agreement.confirm, PROVIDER)):
        with pytest.raises(DomainError) as refused:
            act(AGREEMENT, by)
        assert refused.value.reason == "NOT_A_PARTY"
    reported = AGREEMENT.report(PROVIDER)
    assert reported.report(PROVIDER) == reported
    confirmed = reported.confirm(RECEIVER)
    assert confirmed.delivery_state is FULFILLED
    assert AGREEMENT.confirm(RECEIVER).delivery_state is FULFILLED
    for agreement in (confirmed, replace(AGREEMENT, state=AgreementState.FAILED)):
        for act, by in ((Agreement.report, PROVIDER), (Agreement.confirm, RECEIVER)):
            with pytest.raises(DomainError) as refused:
                act(agreement, by)
            assert refused.value.reason == "DELIVERY_ENDED"
    with pytest.raises(DomainError) as refused:
        AGREEMENT.check_owing(PROVIDER)
    assert refused.value.reason == "NOTHING_OWED"


events = st.lists(
    st.sampled_from(
        ["place", "capture", "part", "void", "due", "expire", "report", "confirm", "withdraw", "tick"]
    ),
    max_size=14,
)


@given(events=events)
def test_in_any_order_evidence_is_told_at_most_once_and_an_end_is_final(events: list[str]) -> None:
    """A ledger that keeps its own rules: captures and voids need a hold and come before the expiry."""
    agreement, hold, at = AGREEMENT, None, 100
    told: list[tuple[str, bool]] = []
    ended = None
    back = 0
    for event in events:
        is_held = hold is not None and hold.release is None and hold.captured_minor < AMOUNT
        if event == "place" and not is_held and at < EXPIRY:
            hold = HELD
        elif event == "capture" and is_held and at < EXPIRY and hold is not None:
            hold = replace(hold, captured_minor=AMOUNT, captured_at_ms=at)
        elif event == "part" and is_held and at < EXPIRY and hold is not None and hold.captured_minor == 0:
            hold = replace(hold, captured_minor=1, captured_at_ms=at)
        elif event == "void" and is_held and at < EXPIRY and hold is not None:
            hold = replace(hold, release=Release.VOIDED)
        elif event == "expire":
            at = LATE
            if is_held and hold is not None:
                hold = replace(hold, release=Release.EXPIRED)
        elif event == "due":
            at = max(at, LAPSES)
        elif event == "withdraw" and agreement.state is AgreementState.OPEN and hold is None:
            if agreement.delivery_state is not FULFILLED:
                progress = withdraw(agreement, at)
                agreement, back = progress.agreement, back + progress.quantity_back
        elif event == "tick":
            at += 1
        elif event in ("report", "confirm"):
            try:
                is_report = event == "report"
                agreement = agreement.report(PROVIDER) if is_report else agreement.confirm(RECEIVER)
            except DomainError:
                pass
        progress = observe(agreement, hold, at, is_absence_certain=needs_certainty(agreement, hold, at))
        agreement = progress.agreement
        told += [(piece.dimension, bool(piece.failure)) for piece in progress.evidence]
        back += progress.quantity_back
        if ended is not None:
            assert agreement.state is ended
        if agreement.state is not AgreementState.OPEN:
            ended = agreement.state
    assert len({dimension for dimension, _ in told}) == len(told)
    assert back in (0, AGREEMENT.quantity)
    if at >= LATE:
        assert agreement.state is not AgreementState.OPEN or (hold is not None and hold.release is None)
