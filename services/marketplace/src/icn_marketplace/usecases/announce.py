"""The events that the marketplace publishes. Source: protos/icn/marketplace/v1/events.proto."""

from __future__ import annotations

from google.protobuf.message import Message
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.marketplace.v1 import events_pb2 as pb
from icn_kit.envelope import new_event_id
from icn_kit.trace import current_trace

from icn_marketplace.domain.agreement import Agreement, Evidence
from icn_marketplace.domain.booking import Booking
from icn_marketplace.domain.offer import Offer
from icn_marketplace.domain.resource import Resource

SCHEMA_VERSION = 1
ZONE_BYTES = 16


class Announcer:
    """Makes envelopes of one zone; ``occurred_at_ms`` is by the service's clock unless it says block time."""

    def __init__(self, genesis_hash: bytes) -> None:
        self._zone = genesis_hash[:ZONE_BYTES]

    def resource_added(self, resource: Resource) -> EventEnvelope:
        """A resource is there."""
        payload = pb.ResourceAdded(
            resource=resource.resource,
            owner=resource.owner,
            added_by=resource.added_by,
            specification=resource.specification,
            occurred_time_ms=resource.added_at_ms,
        )
        return self._envelope(
            "resource_added", f"resources/{resource.resource.hex()}", payload, resource.owner
        )

    def resource_removed(self, resource: Resource, by: bytes) -> EventEnvelope:
        """A resource is booked no more."""
        payload = pb.ResourceRemoved(
            resource=resource.resource,
            owner=resource.owner,
            removed_by=by,
            occurred_time_ms=resource.removed_at_ms,
        )
        return self._envelope(
            "resource_removed", f"resources/{resource.resource.hex()}", payload, resource.owner
        )

    def booking_made(self, booking: Booking, owner: bytes) -> EventEnvelope:
        """A span is booked at once."""
        payload = pb.BookingMade(
            booking=booking.booking,
            resource=booking.resource,
            booker=booking.booker,
            start_time_ms=booking.span.start_ms,
            end_time_ms=booking.span.end_ms,
            occurred_time_ms=booking.made_at_ms,
        )
        return self._of_booking("booking_made", booking, payload, owner)

    def booking_queued(self, booking: Booking, owner: bytes) -> EventEnvelope:
        """Somebody waits."""
        payload = pb.BookingQueued(
            booking=booking.booking,
            resource=booking.resource,
            booker=booking.booker,
            start_time_ms=booking.span.start_ms,
            end_time_ms=booking.span.end_ms,
            occurred_time_ms=booking.made_at_ms,
        )
        return self._of_booking("booking_queued", booking, payload, owner)

    def booking_cancelled(
        self,
        booking: Booking,
        owner: bytes,
        by: bytes,
        occurred_at_ms: int,
        *,
        is_from_queue: bool,
        replaced_by: bytes = b"",
    ) -> EventEnvelope:
        """A booking or a place in the queue was given back, or the booking ``replaced_by`` took the place."""
        payload = pb.BookingCancelled(
            booking=booking.booking,
            resource=booking.resource,
            booker=booking.booker,
            cancelled_by=by,
            is_from_queue=is_from_queue,
            occurred_time_ms=occurred_at_ms,
            replaced_by=replaced_by,
        )
        return self._of_booking("booking_cancelled", booking, payload, owner)

    def booking_ended(self, booking: Booking, owner: bytes, occurred_at_ms: int) -> EventEnvelope:
        """A booking ends earlier than booked."""
        payload = pb.BookingEnded(
            booking=booking.booking,
            resource=booking.resource,
            booker=booking.booker,
            end_time_ms=booking.span.end_ms,
            occurred_time_ms=occurred_at_ms,
        )
        return self._of_booking("booking_ended", booking, payload, owner)

    def booking_promoted(self, booking: Booking, owner: bytes, occurred_at_ms: int) -> EventEnvelope:
        """Who waited is booked."""
        payload = pb.BookingPromoted(
            booking=booking.booking,
            resource=booking.resource,
            booker=booking.booker,
            start_time_ms=booking.span.start_ms,
            end_time_ms=booking.span.end_ms,
            occurred_time_ms=occurred_at_ms,
        )
        return self._of_booking("booking_promoted", booking, payload, owner)

    def offer_published(self, offer: Offer) -> EventEnvelope:
        """Something is offered."""
        payload = pb.OfferPublished(
            offer=offer.offer,
            provider=offer.provider,
            specification=offer.specification,
            quantity=offer.quantity,
            price_minor=offer.price_minor,
            unit=offer.unit,
            occurred_time_ms=offer.published_at_ms,
        )
        return self._envelope("offer_published", f"offers/{offer.offer.hex()}", payload)

    def offer_closed(self, offer: Offer, occurred_at_ms: int) -> EventEnvelope:
        """Its provider ended an offer."""
        payload = pb.OfferClosed(offer=offer.offer, provider=offer.provider, occurred_time_ms=occurred_at_ms)
        return self._envelope("offer_closed", f"offers/{offer.offer.hex()}", payload)

    def agreement_made(self, agreement: Agreement) -> EventEnvelope:
        """An offer was accepted."""
        payload = pb.AgreementMade(
            agreement=agreement.agreement,
            offer=agreement.offer,
            provider=agreement.provider,
            receiver=agreement.receiver,
            quantity=agreement.quantity,
            amount_minor=agreement.amount_minor,
            unit=agreement.unit,
            delivery=agreement.delivery,
            payment=agreement.payment,
            expire_time_ms=agreement.expires_at_ms,
            occurred_time_ms=agreement.made_at_ms,
        )
        return self._of_agreement("agreement_made", agreement, payload)

    def agreement_ended(self, agreement: Agreement) -> EventEnvelope:
        """Nothing is open in an agreement any more, or more is owed back than was told before."""
        payload = pb.AgreementEnded(
            agreement=agreement.agreement,
            state=agreement.state.value,
            return_owed_minor=agreement.return_owed_minor,
            occurred_time_ms=agreement.ended_at_ms,
        )
        return self._of_agreement("agreement_ended", agreement, payload)

    def commitment_ended(self, agreement: Agreement, evidence: Evidence) -> EventEnvelope:
        """Evidence for reputation."""
        payload: pb.CommitmentFulfilled | pb.CommitmentFailed
        event = "commitment_failed" if evidence.failure else "commitment_fulfilled"
        payload = (
            pb.CommitmentFailed(reason=evidence.failure) if evidence.failure else pb.CommitmentFulfilled()
        )
        payload.commitment = evidence.commitment
        payload.agreement = agreement.agreement
        payload.who = evidence.who
        payload.about = evidence.about
        payload.dimension = evidence.dimension
        payload.weight = evidence.weight
        payload.occurred_time_ms = evidence.occurred_at_ms
        payload.source_id = f"commitments/{evidence.commitment.hex()}"
        return self._of_agreement(event, agreement, payload)

    def _of_booking(self, event: str, booking: Booking, payload: Message, owner: bytes) -> EventEnvelope:
        return self._envelope(event, f"resources/{booking.resource.hex()}", payload, owner)

    def _of_agreement(self, event: str, agreement: Agreement, payload: Message) -> EventEnvelope:
        return self._envelope(event, f"agreements/{agreement.agreement.hex()}", payload)

    def _envelope(self, event: str, aggregate: str, payload: Message, tenant: bytes = b"") -> EventEnvelope:
        trace = current_trace.get()
        return EventEnvelope(
            id=new_event_id(),
            zone=self._zone,
            schema_version=SCHEMA_VERSION,
            tenant=tenant,
            traceparent=trace.traceparent if trace is not None and trace.is_sampled else "",
            subject=f"icn.marketplace.v1.{event}",
            aggregate=aggregate,
            payload=payload.SerializeToString(),
        )
