"""Books a resource, or waits for it."""

from __future__ import annotations

from dataclasses import replace

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import NotFound

from icn_marketplace.domain.booking import (
    Booking,
    BookingState,
    IfTaken,
    booking_overlaps,
    check_count,
    check_queue,
    own_booking_overlaps,
)
from icn_marketplace.domain.fields import check_bytes, field_invalid
from icn_marketplace.domain.identifiers import derive_identifier
from icn_marketplace.domain.limits import BUSY_SPANS_MAX, IDENTIFIER_BYTES
from icn_marketplace.domain.resource import Resource, Span
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_booking, describe_slot
from icn_marketplace.usecases.end_waits import end_waits
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.permissions import check_may_book
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found

_IF_TAKEN = {
    pb.IF_TAKEN_UNSPECIFIED: IfTaken.REFUSE,
    pb.IF_TAKEN_REFUSE: IfTaken.REFUSE,
    pb.IF_TAKEN_WAIT: IfTaken.WAIT,
    pb.IF_TAKEN_NEXT_SLOT: IfTaken.NEXT_SLOT,
}


async def book_resource(command: Command[pb.BookResource], context: Context) -> pb.BookResourceResponse:
    """Book a span; when it is taken wait for it, take the next free one, or be refused with its name.

    Raises:
        InvalidArgument: FIELD_INVALID, LENGTH_OUT_OF_RANGE.
        NotFound: RESOURCE_UNKNOWN, NO_FREE_SLOT.
        PermissionDenied: NOT_IN_AUDIENCE.
        FailedPrecondition: RESOURCE_REMOVED, START_OUT_OF_RANGE, OUTSIDE_OPENING_HOURS, BOOKING_OVERLAPS,
            OWN_BOOKING_OVERLAPS.
        ResourceExhausted: TOO_MANY_BOOKINGS, WAITING_LIST_FULL.
    """
    request = command.request
    check_bytes("resource", request.resource, IDENTIFIER_BYTES)
    if_taken = _IF_TAKEN.get(request.if_taken)
    if if_taken is None:
        raise field_invalid("if_taken", f"{request.if_taken} is not known")
    wish = Booking(
        booking=derive_identifier(context.genesis_hash, command.id, "booking"),
        resource=request.resource,
        booker=command.principal,
        span=Span(request.start_time_ms, request.end_time_ms),
        state=BookingState.BOOKED,
        made_at_ms=0,
    )

    async def book(uow: UnitOfWork) -> pb.BookResourceResponse:
        resource = found(await uow.resources.lock(wish.resource), "resource", wish.resource)
        now_ms = context.clock.now_ms()
        resource.check_there()
        check_may_book(wish.booker, resource, context.permissions)
        resource.rules.check_span(wish.span, now_ms)
        check_count(await uow.bookings.count_own(wish.resource, wish.booker, now_ms))
        booking, slot = replace(wish, made_at_ms=now_ms), None
        if await uow.bookings.is_taken(wish.resource, wish.span):
            slot = await next_free_slot(uow, resource, wish, now_ms)
            booking = _otherwise(booking, if_taken, slot)
        place = 0
        if booking.state is BookingState.WAITING:
            if await uow.bookings.has_own(wish.resource, wish.booker, wish.span):
                raise own_booking_overlaps()
            check_queue(await uow.bookings.count_waiting(wish.resource, now_ms))
            place = await uow.bookings.add(booking)
            await uow.outbox.add(context.announcer.booking_queued(booking, resource.owner))
            return pb.BookResourceResponse(
                booking=describe_booking(booking, place), next_free_slot=describe_slot(slot)
            )
        await uow.bookings.add(booking)
        await uow.outbox.add(context.announcer.booking_made(booking, resource.owner))
        ended = await end_waits(uow, resource, booking, now_ms, context)
        return pb.BookResourceResponse(
            booking=describe_booking(booking), replaced=[describe_booking(wait) for wait in ended]
        )

    return await once(command, pb.BookResourceResponse, context, book)


async def next_free_slot(uow: UnitOfWork, resource: Resource, wish: Booking, now_ms: int) -> Span | None:
    """The first free slot as long as the wish that starts with it or later, one that nobody else waits for
    where there is one."""
    start_ms, end_ms = wish.span
    booked = await uow.bookings.booked_spans(resource.resource, start_ms, BUSY_SPANS_MAX + 1)
    waited = await uow.bookings.waited_spans(resource.resource, wish.booker, start_ms, now_ms)
    seen = booked[:BUSY_SPANS_MAX]
    slot = resource.rules.best_free_slot(seen, waited, end_ms - start_ms, start_ms, now_ms)
    if slot is not None and len(booked) > BUSY_SPANS_MAX and slot.end_ms > seen[-1].end_ms:
        # Beyond the last span looked at nothing is known to be free.
        return None
    return slot


def _otherwise(booking: Booking, if_taken: IfTaken, slot: Span | None) -> Booking:
    """What becomes of a wish whose span is taken."""
    if if_taken is IfTaken.REFUSE:
        raise booking_overlaps(slot)
    if if_taken is IfTaken.WAIT:
        return replace(booking, state=BookingState.WAITING)
    if slot is None:
        raise NotFound("NO_FREE_SLOT", "none is free before the last moment at which a booking may start")
    return replace(booking, span=slot)
