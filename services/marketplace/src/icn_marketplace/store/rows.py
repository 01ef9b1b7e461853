"""Rows as domain values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from icn_marketplace.domain.agreement import (
    Agreement,
    AgreementSeen,
    AgreementState,
    CommitmentState,
    Hold,
    Release,
)
from icn_marketplace.domain.booking import Booking, BookingState
from icn_marketplace.domain.offer import Offer, OfferAction
from icn_marketplace.domain.resource import BookingRules, Resource, Span

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RESOURCE_COLUMNS = (
    "id, owner, added_by, title, note, specification, audience, open_minute, close_minute, "
    "utc_offset_minutes, "
    "minutes_min, minutes_max, ahead_days_max, photos, added_at_ms, removed_at_ms"
)
BOOKING_COLUMNS = "id, resource, booker, start_at, end_at, state, made_at_ms, is_promoted"
OFFER_COLUMNS = (
    "id, provider, action, title, note, specification, quantity, quantity_left, measure, price_minor, unit, "
    "account, fulfil_within_ms, expires_at_ms, is_closed, photos, published_at_ms"
)
AGREEMENT_COLUMNS = (
    "id, offer, provider, receiver, action, title, quantity, amount_minor, unit, account, expires_at_ms, "
    "delivery, "
    "payment, made_at_ms, delivery_state, payment_state, state, return_owed_minor, ended_at_ms"
)
HOLD_COLUMNS = "id, source, destination, placed_minor, captured_minor, captured_at_ms, expires_at_ms, release"


def qualified(columns: str, table: str) -> str:
    """The columns with their table's name in front."""
    return ", ".join(f"{table}.{column.strip()}" for column in columns.split(","))


def to_timestamp(time_ms: int) -> datetime:
    """Unix milliseconds as the database keeps them, exactly."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def to_ms(timestamp: datetime) -> int:
    """Back, exactly."""
    return (timestamp - _EPOCH) // timedelta(milliseconds=1)


def to_resource(row: Sequence[Any]) -> Resource:
    """From RESOURCE_COLUMNS."""
    identifier, owner, added_by, title, note, specification = row[:6]
    return Resource(
        resource=identifier,
        owner=owner,
        added_by=added_by,
        title=title,
        note=note,
        specification=specification,
        rules=BookingRules(*row[6:13]),
        photos=tuple(row[13]),
        added_at_ms=row[14],
        removed_at_ms=row[15],
    )


def to_booking(row: Sequence[Any]) -> Booking:
    """From BOOKING_COLUMNS."""
    identifier, resource, booker, start_at, end_at, state, made_at_ms, is_promoted = row
    span = Span(to_ms(start_at), to_ms(end_at))
    return Booking(identifier, resource, booker, span, BookingState(state), made_at_ms, is_promoted)


def to_offer(row: Sequence[Any]) -> Offer:
    """From OFFER_COLUMNS."""
    values: list[Any] = list(row)
    values[2] = OfferAction(row[2])
    values[15] = tuple(row[15])
    return Offer(*values)


def to_agreement(row: Sequence[Any]) -> Agreement:
    """From AGREEMENT_COLUMNS."""
    values: list[Any] = list(row)
    values[14] = CommitmentState(row[14])
    values[15] = CommitmentState(row[15])
    values[16] = AgreementState(row[16])
    return Agreement(*values)


def to_hold(row: Sequence[Any]) -> Hold | None:
    """From HOLD_COLUMNS; None for one that is only expected, or not there at all."""
    if row[0] is None or row[3] == 0:
        return None
    values: list[Any] = list(row)
    values[7] = None if row[7] is None else Release(row[7])
    return Hold(*values)


AGREEMENTS = (
    f"SELECT {qualified(AGREEMENT_COLUMNS, 'agreements')}, {qualified(HOLD_COLUMNS, 'holds')}, "  # noqa: S608
    "agreements.number FROM agreements LEFT JOIN holds ON holds.id = agreements.payment"
)
"""Every agreement with its hold as last seen and its number; a condition follows."""
_AGREEMENT_WIDTH = len(AGREEMENT_COLUMNS.split(","))
_HOLD_WIDTH = len(HOLD_COLUMNS.split(","))


def to_agreement_seen(row: Sequence[Any]) -> AgreementSeen:
    """From AGREEMENTS."""
    hold = to_hold(row[_AGREEMENT_WIDTH : _AGREEMENT_WIDTH + _HOLD_WIDTH])
    return AgreementSeen(to_agreement(row[:_AGREEMENT_WIDTH]), hold)
