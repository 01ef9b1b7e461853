"""What is told of things: the messages of service.proto, made from domain values."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb

from icn_marketplace.domain.agreement import (
    Agreement,
    AgreementState,
    CommitmentState,
    Hold,
    HoldState,
    hold_state,
    is_as_agreed,
)
from icn_marketplace.domain.booking import Booking, BookingState
from icn_marketplace.domain.offer import Offer, OfferAction
from icn_marketplace.domain.resource import BookingRules, Resource, Span

ACTIONS = {
    pb.OFFER_ACTION_TRANSFER: OfferAction.TRANSFER,
    pb.OFFER_ACTION_TRANSFER_CUSTODY: OfferAction.TRANSFER_CUSTODY,
    pb.OFFER_ACTION_DELIVER_SERVICE: OfferAction.DELIVER_SERVICE,
    pb.OFFER_ACTION_WORK: OfferAction.WORK,
    pb.OFFER_ACTION_USE: OfferAction.USE,
}
_ACTIONS = {action: number for number, action in ACTIONS.items()}
_BOOKING_STATES = {
    BookingState.BOOKED: pb.BOOKING_STATE_BOOKED,
    BookingState.WAITING: pb.BOOKING_STATE_WAITING,
    BookingState.CANCELLED: pb.BOOKING_STATE_CANCELLED,
}
_AGREEMENT_STATES = {
    AgreementState.OPEN: pb.AGREEMENT_STATE_OPEN,
    AgreementState.SETTLED: pb.AGREEMENT_STATE_SETTLED,
    AgreementState.FAILED: pb.AGREEMENT_STATE_FAILED,
    AgreementState.DISPUTED: pb.AGREEMENT_STATE_DISPUTED,
    AgreementState.WAIVED: pb.AGREEMENT_STATE_WAIVED,
    AgreementState.LAPSED: pb.AGREEMENT_STATE_LAPSED,
}
_COMMITMENT_STATES = {
    CommitmentState.OPEN: pb.COMMITMENT_STATE_OPEN,
    CommitmentState.REPORTED: pb.COMMITMENT_STATE_REPORTED,
    CommitmentState.FULFILLED: pb.COMMITMENT_STATE_FULFILLED,
    CommitmentState.FAILED: pb.COMMITMENT_STATE_FAILED,
    CommitmentState.LAPSED: pb.COMMITMENT_STATE_LAPSED,
}
_HOLD_STATES = {
    HoldState.ABSENT: pb.HOLD_STATE_ABSENT,
    HoldState.HELD: pb.HOLD_STATE_HELD,
    HoldState.CAPTURED: pb.HOLD_STATE_CAPTURED,
    HoldState.RELEASED: pb.HOLD_STATE_RELEASED,
}
PAYMENT_ACTION = "transfer"


def name(collection: str, identifier: bytes) -> str:
    """A resource name, ``collection/<hex>``."""
    return f"{collection}/{identifier.hex()}"


def describe_rules(rules: BookingRules) -> pb.BookingRules:
    """Booking rules as messages have them."""
    return pb.BookingRules(
        audience=rules.audience,
        open_minute=rules.open_minute,
        close_minute=rules.close_minute,
        utc_offset_minutes=rules.utc_offset_minutes,
        minutes_min=rules.minutes_min,
        minutes_max=rules.minutes_max,
        ahead_days_max=rules.ahead_days_max,
    )


def describe_resource(resource: Resource) -> pb.Resource:
    """A resource as shown."""
    return pb.Resource(
        name=name("resources", resource.resource),
        owner=name("principals", resource.owner),
        added_by=name("principals", resource.added_by),
        title=resource.title,
        note=resource.note,
        specification=resource.specification,
        rules=describe_rules(resource.rules),
        photos=[photo.hex() for photo in resource.photos],
        add_time_ms=resource.added_at_ms,
        remove_time_ms=resource.removed_at_ms,
    )


def describe_booking(booking: Booking, queue_place: int = 0) -> pb.Booking:
    """A booking as shown; ``queue_place`` from 1 when it waits."""
    return pb.Booking(
        name=name("bookings", booking.booking),
        resource=name("resources", booking.resource),
        booker=name("principals", booking.booker),
        start_time_ms=booking.span.start_ms,
        end_time_ms=booking.span.end_ms,
        state=_BOOKING_STATES[booking.state],
        queue_place=queue_place,
        is_promoted=booking.is_promoted,
        make_time_ms=booking.made_at_ms,
    )


def describe_slot(slot: Span | None) -> pb.FreeSlot | None:
    """A free slot as shown."""
    return None if slot is None else pb.FreeSlot(start_time_ms=slot.start_ms, end_time_ms=slot.end_ms)


def describe_offer(offer: Offer, now_ms: int) -> pb.Offer:
    """An offer as shown."""
    return pb.Offer(
        name=name("offers", offer.offer),
        provider=name("principals", offer.provider),
        action=_ACTIONS[offer.action],
        title=offer.title,
        note=offer.note,
        specification=offer.specification,
        quantity=offer.quantity,
        quantity_left=offer.quantity_left,
        measure=offer.measure,
        price_minor=offer.price_minor,
        unit=name("units", offer.unit),
        account=name("accounts", offer.account),
        fulfil_within_ms=offer.fulfil_within_ms,
        expire_time_ms=offer.expires_at_ms,
        is_open=offer.is_open(now_ms),
        photos=[photo.hex() for photo in offer.photos],
        publish_time_ms=offer.published_at_ms,
    )


def describe_agreement(agreement: Agreement, hold: Hold | None) -> pb.Agreement:
    """An agreement as shown, with its hold as last seen."""
    provider, receiver = name("principals", agreement.provider), name("principals", agreement.receiver)
    return pb.Agreement(
        name=name("agreements", agreement.agreement),
        offer=name("offers", agreement.offer),
        provider=provider,
        receiver=receiver,
        quantity=agreement.quantity,
        amount_minor=agreement.amount_minor,
        unit=name("units", agreement.unit),
        account=name("accounts", agreement.account),
        expire_time_ms=agreement.expires_at_ms,
        commitments=[
            pb.Commitment(
                name=name("commitments", agreement.delivery),
                action=agreement.action,
                provider=provider,
                receiver=receiver,
                state=_COMMITMENT_STATES[agreement.delivery_state],
            ),
            pb.Commitment(
                name=name("commitments", agreement.payment),
                action=PAYMENT_ACTION,
                provider=receiver,
                receiver=provider,
                state=_COMMITMENT_STATES[agreement.payment_state],
            ),
        ],
        state=_AGREEMENT_STATES[agreement.state],
        hold=_HOLD_STATES[hold_state(agreement, hold)],
        return_owed_minor=agreement.return_owed_minor,
        make_time_ms=agreement.made_at_ms,
        end_time_ms=agreement.ended_at_ms,
        title=agreement.title,
        hold_due_time_ms=agreement.hold_due_ms,
        payer_account=name("accounts", hold.source) if hold and is_as_agreed(agreement, hold) else "",
    )
