"""Reads of things and of lists; every list is a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from icn_kit.database import Connection, Database

from icn_marketplace.domain.agreement import AgreementSeen
from icn_marketplace.domain.booking import Booking
from icn_marketplace.domain.limits import BOOKING_MINUTES_MAX, BUSY_SPANS_MAX, MINUTE_MS
from icn_marketplace.domain.offer import Offer
from icn_marketplace.domain.resource import Resource, Span
from icn_marketplace.store.repositories import BookingTable
from icn_marketplace.store.rows import (
    AGREEMENTS,
    BOOKING_COLUMNS,
    OFFER_COLUMNS,
    RESOURCE_COLUMNS,
    to_agreement_seen,
    to_booking,
    to_offer,
    to_resource,
    to_timestamp,
)

LONGEST_MS = BOOKING_MINUTES_MAX * MINUTE_MS


class ListedBooking(NamedTuple):
    """A booking, and its place among those who wait (0 when it does not)."""

    booking: Booking
    queue_place: int


_QUEUE_PLACE = (
    "CASE WHEN state = 'waiting' AND start_at > now() THEN (SELECT count(*) FROM bookings AS before "
    "WHERE before.resource = bookings.resource AND before.state = 'waiting' AND before.start_at > now() "
    "AND before.number <= bookings.number) ELSE 0 END"
)


@dataclass(frozen=True)
class Queries:
    """Reads, each in a transaction of its own."""

    database: Database

    async def resource(self, resource: bytes) -> Resource | None:
        """One resource."""
        rows = await self._all(f"SELECT {RESOURCE_COLUMNS} FROM resources WHERE id = %s", (resource,))  # noqa: S608
        return to_resource(rows[0]) if rows else None

    async def resources(self, owner: bytes, before: int, limit: int) -> list[tuple[int, Resource]]:
        """Resources, newest first, from before a number on."""
        rows = await self._all(
            f"SELECT number, {RESOURCE_COLUMNS} FROM resources "  # noqa: S608
            f"WHERE removed_at_ms = 0 AND number < %s {'AND owner = %s' if owner else ''} "
            "ORDER BY number DESC LIMIT %s",
            (before, *((owner,) if owner else ()), limit),
        )
        return [(row[0], to_resource(row[1:])) for row in rows]

    async def booking(self, booking: bytes) -> ListedBooking | None:
        """One booking."""
        rows = await self._all(
            f"SELECT {BOOKING_COLUMNS}, {_QUEUE_PLACE} FROM bookings WHERE id = %s",  # noqa: S608
            (booking,),
        )
        return _listed(rows[0]) if rows else None

    async def bookings(
        self, wanted: tuple[bytes, bytes, int, int, bool], after: tuple[int, bytes] | None, limit: int
    ) -> list[ListedBooking]:
        """Bookings by start, then id, from behind a place on.

        ``wanted``: resource, booker, from, until (empty and 0 mean any), whether cancelled ones count.
        """
        resource, booker, from_ms, until_ms, include_cancelled = wanted
        conditions: list[str] = []
        parameters: list[Any] = []
        for condition, value in (
            ("resource = %s", resource),
            ("booker = %s", booker),
            ("end_at > %s", to_timestamp(from_ms) if from_ms else None),
            # No booking is longer, so this changes nothing but where an index by start begins to be read.
            ("start_at > %s", to_timestamp(max(0, from_ms - LONGEST_MS)) if from_ms else None),
            ("start_at < %s", to_timestamp(until_ms) if until_ms else None),
        ):
            if value:
                conditions.append(condition)
                parameters.append(value)
        if not include_cancelled:
            conditions.append("state <> 'cancelled'")
        if after is not None:
            conditions.append("(start_at, id) > (%s, %s)")
            parameters += [to_timestamp(after[0]), after[1]]
        rows = await self._all(
            f"SELECT {BOOKING_COLUMNS}, {_QUEUE_PLACE} FROM bookings "  # noqa: S608
            f"WHERE {' AND '.join(conditions)} ORDER BY start_at, id LIMIT %s",
            (*parameters, limit),
        )
        return [_listed(row) for row in rows]

    async def booked_spans(self, resource: bytes, from_ms: int) -> list[Span]:
        """Booked spans that end after a time, ascending, at most BUSY_SPANS_MAX."""
        async with self.database.connection() as connection:
            return await BookingTable(connection).booked_spans(resource, from_ms, BUSY_SPANS_MAX)

    async def waited_spans(self, resource: bytes, from_ms: int, now_ms: int) -> list[Span]:
        """Spans that somebody waits for, that end after a time and have not begun."""
        async with self.database.connection() as connection:
            return await BookingTable(connection).waited_spans(resource, b"", from_ms, now_ms)

    async def offer(self, offer: bytes) -> Offer | None:
        """One offer."""
        rows = await self._all(f"SELECT {OFFER_COLUMNS} FROM offers WHERE id = %s", (offer,))  # noqa: S608
        return to_offer(rows[0]) if rows else None

    async def offers(
        self, provider: bytes, open_at_ms: int | None, before: int, limit: int
    ) -> list[tuple[int, Offer]]:
        """Offers, newest first; only those open at a time unless that is None."""
        conditions, parameters = ["number < %s"], [before]
        more: list[Any] = []
        if provider:
            conditions.append("provider = %s")
            more.append(provider)
        if open_at_ms is not None:
            conditions.append(
                "NOT is_closed AND quantity_left > 0 AND (expires_at_ms = 0 OR expires_at_ms >= %s)"
            )
            more.append(open_at_ms)
        rows = await self._all(
            f"SELECT number, {OFFER_COLUMNS} FROM offers "  # noqa: S608
            f"WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT %s",
            (*parameters, *more, limit),
        )
        return [(row[0], to_offer(row[1:])) for row in rows]

    async def agreement(self, agreement: bytes) -> AgreementSeen | None:
        """One agreement."""
        rows = await self._all(AGREEMENTS + " WHERE agreements.id = %s", (agreement,))
        return to_agreement_seen(rows[0]) if rows else None

    async def agreements(self, party: bytes, before: int, limit: int) -> list[tuple[int, AgreementSeen]]:
        """Agreements, newest first, of a provider or receiver or of all."""
        if not party:
            text, parameters = " WHERE number < %s ORDER BY number DESC LIMIT %s", (before, limit)
            rows = await self._all(AGREEMENTS + text, parameters)
        else:
            # Two walks along two indexes; a condition with OR would sort everything of the party.
            half = AGREEMENTS + " WHERE {} = %s AND number < %s ORDER BY number DESC LIMIT %s"
            rows = await self._all(
                f"({half.format('provider')}) UNION ({half.format('receiver')}) ORDER BY number DESC LIMIT "
                f"%s",
                (party, before, limit, party, before, limit, limit),
            )
        return [(row[-1], to_agreement_seen(row)) for row in rows]

    async def due(self, block_time_ms: int, after: bytes, limit: int) -> Sequence[AgreementSeen]:
        """Implements `usecases.expire_agreements.DueAgreements`."""
        rows = await self._all(
            AGREEMENTS
            + " WHERE state = 'open' AND agreements.look_at_ms <= %s AND agreements.id > %s "
            + "ORDER BY agreements.id LIMIT %s",
            (block_time_ms, after, limit),
        )
        return [to_agreement_seen(row) for row in rows]

    async def _all(self, text: str, parameters: Sequence[Any]) -> list[Any]:
        connection: Connection
        async with self.database.connection() as connection:
            return await (await connection.execute(text, parameters)).fetchall()


def _listed(row: Sequence[Any]) -> ListedBooking:
    return ListedBooking(to_booking(row[:-1]), row[-1])
