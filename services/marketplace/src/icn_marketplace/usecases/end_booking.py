"""Ends a booking early."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.domain.resource import Span
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_booking
from icn_marketplace.usecases.free_time import free_time
from icn_marketplace.usecases.lock_booking import lock_booking
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.ports import UnitOfWork


async def end_booking(command: Command[pb.EndBooking], context: Context) -> pb.EndBookingResponse:
    """Shorten it and promote who waits for the freed time.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: BOOKING_UNKNOWN.
        PermissionDenied: NOT_YOUR_BOOKING.
        FailedPrecondition: BOOKING_OVER, END_OUT_OF_RANGE.
    """
    request = command.request
    check_bytes("booking", request.booking, IDENTIFIER_BYTES)

    async def end(uow: UnitOfWork) -> pb.EndBookingResponse:
        booking, resource = await lock_booking(uow, request.booking)
        now_ms = context.clock.now_ms()
        ended = booking.end_early(request.end_time_ms, command.principal, now_ms)
        await uow.bookings.change(ended)
        await uow.outbox.add(context.announcer.booking_ended(ended, resource.owner, now_ms))
        freed = Span(ended.span.end_ms, booking.span.end_ms)
        promoted = await free_time(uow, resource, freed, now_ms, context)
        return pb.EndBookingResponse(
            booking=describe_booking(ended), promoted=[describe_booking(one) for one in promoted]
        )

    return await once(command, pb.EndBookingResponse, context, end)
