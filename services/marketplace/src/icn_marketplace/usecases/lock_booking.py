"""Finds a booking and locks its resource, which orders all changes of its bookings."""

from __future__ import annotations

from icn_marketplace.domain.booking import Booking
from icn_marketplace.domain.resource import Resource
from icn_marketplace.usecases.ports import UnitOfWork
from icn_marketplace.usecases.unknown import found


async def lock_booking(uow: UnitOfWork, identifier: bytes) -> tuple[Booking, Resource]:
    """The booking as it stands under the lock, and its resource.

    Raises:
        NotFound: BOOKING_UNKNOWN.
    """
    seen = found(await uow.bookings.get(identifier), "booking", identifier)
    resource = await uow.resources.lock(seen.resource)
    assert resource is not None, "resources never go"
    booking = await uow.bookings.get(identifier)  # somebody else may have changed it before we had the lock
    assert booking is not None, "bookings never go"
    return booking, resource
