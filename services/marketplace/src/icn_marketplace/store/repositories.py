"""What a transaction reads and writes, each table with its own class. They implement `usecases.ports`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import psycopg
from icn_kit.commands import Command
from icn_kit.database import Connection

from icn_marketplace.domain.agreement import Agreement, AgreementSeen, AgreementState, Hold
from icn_marketplace.domain.booking import Booking, BookingState, booking_overlaps
from icn_marketplace.domain.offer import Offer
from icn_marketplace.domain.resource import Resource, Span
from icn_marketplace.store.rows import (
    AGREEMENT_COLUMNS,
    AGREEMENTS,
    BOOKING_COLUMNS,
    HOLD_COLUMNS,
    OFFER_COLUMNS,
    RESOURCE_COLUMNS,
    to_agreement_seen,
    to_booking,
    to_hold,
    to_ms,
    to_offer,
    to_resource,
    to_timestamp,
)


class _Table:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _one(self, text: str, parameters: Sequence[Any]) -> Any:
        return await (await self._connection.execute(text, parameters)).fetchone()

    async def _all(self, text: str, parameters: Sequence[Any]) -> list[Any]:
        return await (await self._connection.execute(text, parameters)).fetchall()

    async def _take_turn(self, what: bytes) -> None:
        """Wait until nobody else counts the same; others do until this transaction ends."""
        key = int.from_bytes(sha256(what).digest()[:8], "big", signed=True)
        await self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))


class CommandTable(_Table):
    """Implements `Commands`."""

    async def claim(self, command: Command[Any]) -> bytes | None:
        """See `Commands`. The unique id makes a repeat wait until the first has ended."""
        claimed = await self._one(
            "INSERT INTO commands (id, method, principal, body, signatures) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING RETURNING 1",
            (command.id, command.method, command.principal, command.body, command.signatures),
        )
        if claimed is not None:
            return None
        (response,) = await self._one("SELECT response FROM commands WHERE id = %s", (command.id,))
        assert response is not None, "it is set before the claim is committed"
        return bytes(response)

    async def find(self, command_id: bytes) -> bytes | None:
        """See `Commands`."""
        row = await self._one("SELECT response FROM commands WHERE id = %s", (command_id,))
        return None if row is None else bytes(row[0])

    async def answer(self, command_id: bytes, response: bytes, judged_at: int | None) -> None:
        """See `Commands`."""
        await self._connection.execute(
            "UPDATE commands SET response = %s, judged_at_height = %s WHERE id = %s",
            (response, judged_at, command_id),
        )


class ResourceTable(_Table):
    """Implements `Resources`."""

    async def add(self, resource: Resource) -> None:
        """See `Resources`."""
        rules = resource.rules
        await self._connection.execute(
            f"INSERT INTO resources ({RESOURCE_COLUMNS}) VALUES "  # noqa: S608 - column names are ours
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                resource.resource,
                resource.owner,
                resource.added_by,
                resource.title,
                resource.note,
                resource.specification,
                rules.audience,
                rules.open_minute,
                rules.close_minute,
                rules.utc_offset_minutes,
                rules.minutes_min,
                rules.minutes_max,
                rules.ahead_days_max,
                list(resource.photos),
                resource.added_at_ms,
                resource.removed_at_ms,
            ),
        )

    async def count(self, owner: bytes, added_by: bytes) -> tuple[int, int]:
        """See `Resources`."""
        await self._take_turn(b"resources" + owner)
        owned, added = await self._one(
            "SELECT count(*), count(*) FILTER (WHERE added_by = %s) FROM resources "
            "WHERE owner = %s AND removed_at_ms = 0",
            (added_by, owner),
        )
        return int(owned), int(added)

    async def remove(self, resource: bytes, removed_at_ms: int) -> None:
        """See `Resources`."""
        await self._connection.execute(
            "UPDATE resources SET removed_at_ms = %s WHERE id = %s", (removed_at_ms, resource)
        )

    async def lock(self, resource: bytes) -> Resource | None:
        """See `Resources`."""
        row = await self._one(
            f"SELECT {RESOURCE_COLUMNS} FROM resources WHERE id = %s FOR NO KEY UPDATE",  # noqa: S608
            (resource,),
        )
        return None if row is None else to_resource(row)

    async def set_photos(self, resource: bytes, photos: tuple[bytes, ...]) -> None:
        """See `Resources`."""
        await self._connection.execute(
            "UPDATE resources SET photos = %s WHERE id = %s", (list(photos), resource)
        )


class BookingTable(_Table):
    """Implements `Bookings`."""

    async def add(self, booking: Booking) -> int:
        """See `Bookings`."""
        await self._write(
            "INSERT INTO bookings (id, resource, booker, start_at, end_at, state, is_promoted, made_at_ms) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING 1",
            (
                booking.booking,
                booking.resource,
                booking.booker,
                to_timestamp(booking.span.start_ms),
                to_timestamp(booking.span.end_ms),
                booking.state.value,
                booking.is_promoted,
                booking.made_at_ms,
            ),
        )
        if booking.state is not BookingState.WAITING:
            return 0
        (place,) = await self._one(
            "SELECT count(*) FROM bookings WHERE resource = %s AND state = 'waiting' AND start_at > %s",
            (booking.resource, to_timestamp(booking.made_at_ms)),
        )
        return int(place)

    async def get(self, booking: bytes) -> Booking | None:
        """See `Bookings`."""
        row = await self._one(
            f"SELECT {BOOKING_COLUMNS} FROM bookings WHERE id = %s",  # noqa: S608
            (booking,),
        )
        return None if row is None else to_booking(row)

    async def change(self, booking: Booking) -> None:
        """See `Bookings`."""
        await self._write(
            "UPDATE bookings SET start_at = %s, end_at = %s, state = %s, is_promoted = %s WHERE id = %s "
            "RETURNING 1",
            (
                to_timestamp(booking.span.start_ms),
                to_timestamp(booking.span.end_ms),
                booking.state.value,
                booking.is_promoted,
                booking.booking,
            ),
        )

    async def count_own(self, resource: bytes, booker: bytes, now_ms: int) -> int:
        """See `Bookings`. A wait whose start has passed has ended."""
        (count,) = await self._one(
            "SELECT count(*) FROM bookings WHERE resource = %s AND booker = %s AND "
            "(state = 'booked' AND end_at > %s OR state = 'waiting' AND start_at > %s)",
            (resource, booker, to_timestamp(now_ms), to_timestamp(now_ms)),
        )
        return int(count)

    async def count_booked(self, resource: bytes, now_ms: int) -> int:
        """See `Bookings`."""
        (count,) = await self._one(
            "SELECT count(*) FROM bookings WHERE resource = %s AND state = 'booked' "
            "AND tstzrange(start_at, end_at) && tstzrange(%s, NULL)",
            (resource, to_timestamp(now_ms)),
        )
        return int(count)

    async def is_taken(self, resource: bytes, span: Span) -> bool:
        """See `Bookings`."""
        row = await self._one(
            "SELECT 1 FROM bookings WHERE resource = %s AND state = 'booked' "
            "AND tstzrange(start_at, end_at) && tstzrange(%s, %s) LIMIT 1",
            (resource, to_timestamp(span.start_ms), to_timestamp(span.end_ms)),
        )
        return row is not None

    async def booked_spans(self, resource: bytes, from_ms: int, limit: int) -> list[Span]:
        """See `Bookings`."""
        rows = await self._all(
            "SELECT start_at, end_at FROM bookings WHERE resource = %s AND state = 'booked' "
            "AND tstzrange(start_at, end_at) && tstzrange(%s, NULL) ORDER BY start_at LIMIT %s",
            (resource, to_timestamp(from_ms), limit),
        )
        return [Span(to_ms(start_at), to_ms(end_at)) for start_at, end_at in rows]

    async def waiting(self, resource: bytes, freed: Span, now_ms: int) -> list[Booking]:
        """See `Bookings`. The queue's bound bounds the answer."""
        rows = await self._all(
            f"SELECT {BOOKING_COLUMNS} FROM bookings "  # noqa: S608
            "WHERE resource = %s AND state = 'waiting' AND start_at > %s AND start_at < %s AND end_at > %s "
            "ORDER BY number",
            (
                resource,
                to_timestamp(now_ms),
                to_timestamp(freed.end_ms),
                to_timestamp(freed.start_ms),
            ),
        )
        return [to_booking(row) for row in rows]

    async def own_waits(self, resource: bytes, booker: bytes, span: Span, now_ms: int) -> list[Booking]:
        """See `Bookings`."""
        waiting = await self.waiting(resource, span, now_ms)
        return [wait for wait in waiting if wait.booker == booker]

    async def has_own(self, resource: bytes, booker: bytes, span: Span) -> bool:
        """See `Bookings`."""
        row = await self._one(
            "SELECT 1 FROM bookings WHERE resource = %s AND state = 'booked' AND booker = %s "
            "AND tstzrange(start_at, end_at) && tstzrange(%s, %s) LIMIT 1",
            (resource, booker, to_timestamp(span.start_ms), to_timestamp(span.end_ms)),
        )
        return row is not None

    async def waited_spans(self, resource: bytes, but_of: bytes, from_ms: int, now_ms: int) -> list[Span]:
        """See `Bookings`. The queue's bound bounds the answer."""
        rows = await self._all(
            "SELECT start_at, end_at FROM bookings WHERE resource = %s AND state = 'waiting' "
            "AND booker <> %s AND start_at > %s AND end_at > %s",
            (resource, but_of, to_timestamp(now_ms), to_timestamp(from_ms)),
        )
        return [Span(to_ms(start_at), to_ms(end_at)) for start_at, end_at in rows]

    async def count_waiting(self, resource: bytes, now_ms: int) -> int:
        """See `Bookings`."""
        (count,) = await self._one(
            "SELECT count(*) FROM bookings WHERE resource = %s AND state = 'waiting' AND start_at > %s",
            (resource, to_timestamp(now_ms)),
        )
        return int(count)

    async def booked_over(self, resource: bytes, spans: Sequence[Span]) -> list[Span]:
        """See `Bookings`."""
        rows = await self._all(
            "SELECT start_at, end_at FROM bookings WHERE resource = %s AND state = 'booked' "
            "AND tstzrange(start_at, end_at) && tstzrange(%s, %s)",
            (
                resource,
                to_timestamp(min(span.start_ms for span in spans)),
                to_timestamp(max(span.end_ms for span in spans)),
            ),
        )
        return [Span(to_ms(start_at), to_ms(end_at)) for start_at, end_at in rows]

    async def _write(self, text: str, parameters: Sequence[Any]) -> None:
        try:
            await self._one(text, parameters)  # fetched, so that a violation is met here
        except psycopg.errors.ExclusionViolation:
            raise booking_overlaps(None) from None


class OfferTable(_Table):
    """Implements `Offers`."""

    async def count_kept(self, provider: bytes, now_ms: int) -> int:
        """See `Offers`."""
        await self._take_turn(b"offers" + provider)
        (count,) = await self._one(
            "SELECT count(*) FROM offers WHERE provider = %s AND NOT is_closed "
            "AND (expires_at_ms = 0 OR expires_at_ms >= %s)",
            (provider, now_ms),
        )
        return int(count)

    async def add(self, offer: Offer) -> None:
        """See `Offers`."""
        await self._connection.execute(
            f"INSERT INTO offers ({OFFER_COLUMNS}) VALUES "  # noqa: S608
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                offer.offer,
                offer.provider,
                offer.action.value,
                offer.title,
                offer.note,
                offer.specification,
                offer.quantity,
                offer.quantity_left,
                offer.measure,
                offer.price_minor,
                offer.unit,
                offer.account,
                offer.fulfil_within_ms,
                offer.expires_at_ms,
                offer.is_closed,
                list(offer.photos),
                offer.published_at_ms,
            ),
        )

    async def lock(self, offer: bytes) -> Offer | None:
        """See `Offers`."""
        row = await self._one(
            f"SELECT {OFFER_COLUMNS} FROM offers WHERE id = %s FOR NO KEY UPDATE",  # noqa: S608
            (offer,),
        )
        return None if row is None else to_offer(row)

    async def change(self, offer: Offer) -> None:
        """See `Offers`."""
        await self._connection.execute(
            "UPDATE offers SET quantity_left = %s, is_closed = %s WHERE id = %s",
            (offer.quantity_left, offer.is_closed, offer.offer),
        )

    async def set_photos(self, offer: bytes, photos: tuple[bytes, ...]) -> None:
        """See `Offers`."""
        await self._connection.execute("UPDATE offers SET photos = %s WHERE id = %s", (list(photos), offer))

    async def give_back(self, offer: bytes, quantity: int) -> None:
        """See `Offers`."""
        await self._connection.execute(
            "UPDATE offers SET quantity_left = quantity_left + %s WHERE id = %s", (quantity, offer)
        )


class AgreementTable(_Table):
    """Implements `Agreements`."""

    async def add(self, agreement: Agreement, look_at_ms: int) -> None:
        """See `Agreements`."""
        await self._connection.execute(
            f"INSERT INTO agreements ({AGREEMENT_COLUMNS}, look_at_ms) VALUES "  # noqa: S608
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                agreement.agreement,
                agreement.offer,
                agreement.provider,
                agreement.receiver,
                agreement.action,
                agreement.title,
                agreement.quantity,
                agreement.amount_minor,
                agreement.unit,
                agreement.account,
                agreement.expires_at_ms,
                agreement.delivery,
                agreement.payment,
                agreement.made_at_ms,
                agreement.delivery_state.value,
                agreement.payment_state.value,
                agreement.state.value,
                agreement.return_owed_minor,
                agreement.ended_at_ms,
                look_at_ms,
            ),
        )

    async def lock(self, agreement: bytes) -> AgreementSeen | None:
        """See `Agreements`."""
        return await self._lock("id", agreement)

    async def lock_by_payment(self, payment: bytes) -> AgreementSeen | None:
        """See `Agreements`."""
        return await self._lock("payment", payment)

    async def _lock(self, column: str, value: bytes) -> AgreementSeen | None:
        row = await self._one(
            f"{AGREEMENTS} WHERE agreements.{column} = %s FOR NO KEY UPDATE OF agreements",
            (value,),
        )
        return None if row is None else to_agreement_seen(row)

    async def change(self, agreement: Agreement) -> None:
        """See `Agreements`."""
        await self._connection.execute(
            "UPDATE agreements SET delivery_state = %s, payment_state = %s, state = %s, return_owed_minor = "
            "%s, "
            "ended_at_ms = %s WHERE id = %s",
            (
                agreement.delivery_state.value,
                agreement.payment_state.value,
                agreement.state.value,
                agreement.return_owed_minor,
                agreement.ended_at_ms,
                agreement.agreement,
            ),
        )

    async def look_at(self, agreement: bytes, block_time_ms: int) -> None:
        """See `Agreements`."""
        await self._connection.execute(
            "UPDATE agreements SET look_at_ms = %s WHERE id = %s", (block_time_ms, agreement)
        )

    async def count(self, offer: bytes, receiver: bytes, state: AgreementState) -> int:
        """See `Agreements`. The indexes hold these two states only."""
        assert state in (AgreementState.OPEN, AgreementState.LAPSED), "others have no index"
        (count,) = await self._one(
            "SELECT count(*) FROM agreements WHERE offer = %s AND receiver = %s "  # noqa: S608 - ours
            f"AND state = '{state.value}'",
            (offer, receiver),
        )
        return int(count)

    async def note_return(self, agreement: bytes, transaction_id: bytes) -> bool:
        """See `Agreements`. Two at once meet at the primary key, and the one that loses is refused."""
        noted = await self._one(
            "INSERT INTO returns (transaction_id, agreement) VALUES (%s, %s) "
            "ON CONFLICT DO NOTHING RETURNING 1",
            (transaction_id, agreement),
        )
        return noted is not None


class HoldTable(_Table):
    """Implements `Holds`."""

    async def expect(self, hold: bytes) -> Hold | None:
        """See `Holds`. Two that insert the same id wait for each other."""
        row = await self._one(
            "INSERT INTO holds (id) VALUES (%s) ON CONFLICT (id) DO UPDATE SET id = excluded.id "  # noqa: S608
            f"RETURNING {HOLD_COLUMNS}",
            (hold,),
        )
        return to_hold(row)

    async def place(self, hold: Hold) -> bool:
        """See `Holds`. An id is placed again only after its hold has ended: then the new one counts."""
        written = await self._one(
            "INSERT INTO holds AS known (id, source, destination, placed_minor, expires_at_ms) "
            "SELECT %s, %s, %s, %s, %s WHERE EXISTS (SELECT 1 FROM offers WHERE account = %s) "
            "ON CONFLICT (id) DO UPDATE SET source = excluded.source, destination = excluded.destination, "
            "placed_minor = excluded.placed_minor, expires_at_ms = excluded.expires_at_ms, captured_minor = "
            "0, "
            "captured_at_ms = 0, release = NULL RETURNING 1",
            (
                hold.hold,
                hold.source,
                hold.destination,
                hold.placed_minor,
                hold.expires_at_ms,
                hold.destination,
            ),
        )
        return written is not None

    async def capture(self, hold: bytes, amount_minor: int, block_time_ms: int) -> bool:
        """See `Holds`."""
        written = await self._one(
            "UPDATE holds SET captured_minor = captured_minor + %s, captured_at_ms = %s "
            "WHERE id = %s AND placed_minor > 0 RETURNING 1",
            (amount_minor, block_time_ms, hold),
        )
        return written is not None

    async def release(self, hold: bytes, is_expired: bool) -> bool:
        """See `Holds`."""
        written = await self._one(
            "UPDATE holds SET release = %s WHERE id = %s AND placed_minor > 0 RETURNING 1",
            ("expired" if is_expired else "voided", hold),
        )
        return written is not None
