"""Promotes who waits when booked time becomes free, in the transaction that frees it."""

from __future__ import annotations

from icn_marketplace.domain.booking import Booking, promote
from icn_marketplace.domain.resource import Resource, Span
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.end_waits import end_waits
from icn_marketplace.usecases.ports import UnitOfWork


async def free_time(
    uow: UnitOfWork, resource: Resource, freed: Span, now_ms: int, context: Context
) -> list[Booking]:
    """Book those who waited for ``freed`` and fit now, in the order in which they asked; who does not fit
    keeps waiting and is in nobody's way. The caller holds the resource's lock."""
    waiting = await uow.bookings.waiting(resource.resource, freed, now_ms)
    if not waiting:
        return []
    booked = await uow.bookings.booked_over(resource.resource, [wait.span for wait in waiting])
    promoted = promote(waiting, booked, freed, now_ms)
    for booking in promoted:
        await uow.bookings.change(booking)
    await uow.outbox.add(
        *(context.announcer.booking_promoted(booking, resource.owner, now_ms) for booking in promoted)
    )
    for booking in promoted:
        await end_waits(uow, resource, booking, now_ms, context)
    return promoted
