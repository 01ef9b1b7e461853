"""Ends the waits of a booker who has got time that overlaps them."""

from __future__ import annotations

from icn_marketplace.domain.booking import Booking
from icn_marketplace.domain.resource import Resource
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.ports import UnitOfWork


async def end_waits(
    uow: UnitOfWork, resource: Resource, booking: Booking, now_ms: int, context: Context
) -> list[Booking]:
    """The booker's own waits that ``booking``, which is booked, overlaps: they could only wait for their own
    booker to give way. The caller holds the resource's lock."""
    waits = await uow.bookings.own_waits(resource.resource, booking.booker, booking.span, now_ms)
    ended = [wait.cancel(now_ms) for wait in waits]
    for wait in ended:
        await uow.bookings.change(wait)
    await uow.outbox.add(
        *(
            context.announcer.booking_cancelled(
                wait,
                resource.owner,
                wait.booker,
                now_ms,
                is_from_queue=True,
                replaced_by=booking.booking,
            )
            for wait in ended
        )
    )
    return ended
