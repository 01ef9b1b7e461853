"""Gives a booking, or a place in the queue, back."""

from __future__ import annotations

from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command

from icn_marketplace.domain.booking import BookingState
from icn_marketplace.domain.fields import check_bytes
from icn_marketplace.domain.limits import IDENTIFIER_BYTES
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import describe_booking
from icn_marketplace.usecases.free_time import free_time
from icn_marketplace.usecases.lock_booking import lock_booking
from icn_marketplace.usecases.once import once
from icn_marketplace.usecases.permissions import check_may_cancel
from icn_marketplace.usecases.ports import UnitOfWork


async def cancel_booking(command: Command[pb.CancelBooking], context: Context) -> pb.CancelBookingResponse:
    """Cancel it and promote who waits for its time.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: BOOKING_UNKNOWN.
        PermissionDenied: NOT_YOUR_BOOKING.
        FailedPrecondition: BOOKING_OVER.
    """
    identifier = command.request.booking
    check_bytes("booking", identifier, IDENTIFIER_BYTES)

    async def cancel(uow: UnitOfWork) -> pb.CancelBookingResponse:
        booking, resource = await lock_booking(uow, identifier)
        now_ms = context.clock.now_ms()
        check_may_cancel(command.principal, booking, resource, context.permissions)
        cancelled = booking.cancel(now_ms)
        await uow.bookings.change(cancelled)
        was_waiting = booking.state is BookingState.WAITING
        await uow.outbox.add(
            context.announcer.booking_cancelled(
                cancelled, resource.owner, command.principal, now_ms, is_from_queue=was_waiting
            )
        )
        promoted = [] if was_waiting else await free_time(uow, resource, booking.span, now_ms, context)
        return pb.CancelBookingResponse(
            booking=describe_booking(cancelled), promoted=[describe_booking(one) for one in promoted]
        )

    return await once(command, pb.CancelBookingResponse, context, cancel)
