"""What the reads need from outside. Lists give one more than a page, so that the last page is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from icn_marketplace.domain.agreement import Agreement, Hold
from icn_marketplace.domain.booking import Booking
from icn_marketplace.domain.offer import Offer
from icn_marketplace.domain.resource import Resource, Span

BookingFilter = tuple[bytes, bytes, int, int, bool]
"""Resource, booker, from, until (unix milliseconds; empty and 0 mean any), whether cancelled ones count."""


class Reader(Protocol):
    """Reads of what is stored; None when it is not there. Numbers order lists that are newest first."""

    async def resource(self, resource: bytes) -> Resource | None:
        """One resource."""
        ...

    async def resources(self, owner: bytes, before: int, limit: int) -> list[tuple[int, Resource]]:
        """Resources below a number."""
        ...

    async def booking(self, booking: bytes) -> tuple[Booking, int] | None:
        """One booking and its place in the queue, 0 when it does not wait."""
        ...

    async def bookings(
        self, wanted: BookingFilter, after: tuple[int, bytes] | None, limit: int
    ) -> Sequence[tuple[Booking, int]]:
        """Bookings by start and id, from behind a place on."""
        ...

    async def booked_spans(self, resource: bytes, from_ms: int) -> list[Span]:
        """Booked spans that end after a time, ascending."""
        ...

    async def waited_spans(self, resource: bytes, from_ms: int, now_ms: int) -> list[Span]:
        """Spans that somebody waits for, that end after a time and have not begun."""
        ...

    async def offer(self, offer: bytes) -> Offer | None:
        """One offer."""
        ...

    async def offers(
        self, provider: bytes, open_at_ms: int | None, before: int, limit: int
    ) -> list[tuple[int, Offer]]:
        """Offers below a number."""
        ...

    async def agreement(self, agreement: bytes) -> tuple[Agreement, Hold | None] | None:
        """One agreement with its hold as last seen."""
        ...

    async def agreements(
        self, party: bytes, before: int, limit: int
    ) -> Sequence[tuple[int, tuple[Agreement, Hold | None]]]:
        """Agreements below a number."""
        ...


class PhotoReader(Protocol):
    """Reads of photos."""

    async def get(self, digest: bytes) -> tuple[bytes, str] | None:
        """Content and media type; None when it is not there or was erased."""
        ...
