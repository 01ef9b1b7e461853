"""Offers: what somebody gives for credit. Source: docs/spec/marketplace.md, "Offers"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from icn_kit.errors import FailedPrecondition, PermissionDenied, ResourceExhausted

from icn_marketplace.domain.fields import (
    check_bytes,
    check_line,
    check_note,
    check_range,
    check_specification,
    check_time,
    field_invalid,
    show_time,
)
from icn_marketplace.domain.limits import (
    AGREEMENT_MS_MAX,
    AMOUNT_MINOR_MAX,
    FULFIL_MS_MAX,
    FULFIL_MS_MIN,
    IDENTIFIER_BYTES,
    MEASURE_CHARACTERS_MAX,
    OFFERS_OF_ONE_MAX,
    QUANTITY_MAX,
    TIME_MS_MAX,
)


class OfferAction(Enum):
    """ValueFlows actions that an offer may have."""

    TRANSFER = "transfer"
    TRANSFER_CUSTODY = "transferCustody"
    DELIVER_SERVICE = "deliverService"
    WORK = "work"
    USE = "use"


@dataclass(frozen=True, slots=True)
class Offer:
    """Some quantity of something at a price."""

    offer: bytes
    provider: bytes
    action: OfferAction
    title: str
    note: str
    specification: str
    quantity: int
    quantity_left: int
    measure: str
    price_minor: int
    """Of one."""
    unit: bytes
    account: bytes
    """To be paid."""
    fulfil_within_ms: int
    expires_at_ms: int
    """0: never."""
    is_closed: bool
    photos: tuple[bytes, ...]
    published_at_ms: int

    def is_open(self, now_ms: int) -> bool:
        """Whether it can be accepted."""
        return (
            not self.is_closed
            and self.quantity_left > 0
            and (self.expires_at_ms == 0 or now_ms <= self.expires_at_ms)
        )

    def close(self, by: bytes, now_ms: int) -> Offer:
        """End it.

        Raises:
            PermissionDenied: NOT_YOUR_OFFER.
            FailedPrecondition: OFFER_CLOSED.
        """
        if by != self.provider:
            raise not_your_offer()
        if self.is_closed:
            raise _closed(self, now_ms)
        return replace(self, is_closed=True)

    def take(self, receiver: bytes, quantity: int, price_minor: int, now_ms: int) -> Offer:
        """The offer with ``quantity`` less left.

        Raises:
            InvalidArgument: FIELD_INVALID.
            PermissionDenied: OWN_OFFER.
            FailedPrecondition: OFFER_CLOSED, PRICE_CHANGED, QUANTITY_EXCEEDED.
        """
        check_range("quantity", quantity, 1, QUANTITY_MAX)
        if receiver == self.provider:
            raise PermissionDenied("OWN_OFFER", "nobody accepts an offer of its own")
        if not self.is_open(now_ms):
            raise _closed(self, now_ms)
        if price_minor != self.price_minor:
            raise FailedPrecondition(
                "PRICE_CHANGED",
                f"the price is {self.price_minor}, not {price_minor}",
                price_minor=self.price_minor,
                signed_price_minor=price_minor,
            )
        if quantity > self.quantity_left:
            raise FailedPrecondition(
                "QUANTITY_EXCEEDED",
                f"{self.quantity_left} are left, {quantity} were asked for",
                quantity=quantity,
                quantity_left=self.quantity_left,
            )
        return replace(self, quantity_left=self.quantity_left - quantity)

    def check_expiry(self, expires_at_ms: int, issued_at_ms: int) -> None:
        """Refuse an end of an agreement that is too soon to deliver, or too late for a hold.

        Raises:
            InvalidArgument: FIELD_INVALID.
        """
        check_time(
            "expire_time_ms",
            expires_at_ms,
            issued_at_ms + self.fulfil_within_ms,
            issued_at_ms + AGREEMENT_MS_MAX,
        )


def check_offer(offer: Offer, now_ms: int) -> None:
    """Refuse a new offer that breaks a limit.

    Raises:
        InvalidArgument: FIELD_INVALID.
    """
    check_line("title", offer.title)
    check_note("note", offer.note)
    check_specification("specification", offer.specification)
    check_range("quantity", offer.quantity, 1, QUANTITY_MAX)
    check_line("measure", offer.measure, MEASURE_CHARACTERS_MAX)
    check_range("price_minor", offer.price_minor, 1, AMOUNT_MINOR_MAX)
    check_range("quantity × price_minor", offer.quantity * offer.price_minor, 1, AMOUNT_MINOR_MAX)
    check_bytes("account", offer.account, IDENTIFIER_BYTES)
    check_range("fulfil_within_ms", offer.fulfil_within_ms, FULFIL_MS_MIN, FULFIL_MS_MAX)
    check_time("expire_time_ms", offer.expires_at_ms, 0, TIME_MS_MAX)
    if offer.expires_at_ms and offer.expires_at_ms <= now_ms:
        raise field_invalid(
            "expire_time_ms", f"{show_time(offer.expires_at_ms)} is not after {show_time(now_ms)}"
        )


def check_offer_count(offers: int) -> None:
    """Refuse one more offer of a provider that has many.

    Raises:
        ResourceExhausted: TOO_MANY_OFFERS.
    """
    if offers >= OFFERS_OF_ONE_MAX:
        raise ResourceExhausted(
            "TOO_MANY_OFFERS",
            f"{offers} offers of yours are neither closed nor expired, at most {OFFERS_OF_ONE_MAX}",
            offers=offers,
            offers_max=OFFERS_OF_ONE_MAX,
        )


def not_your_offer() -> PermissionDenied:
    """The refusal to change somebody else's."""
    return PermissionDenied("NOT_YOUR_OFFER", "only the provider may")


def _closed(offer: Offer, now_ms: int) -> FailedPrecondition:
    return FailedPrecondition(
        "OFFER_CLOSED",
        "the offer is closed, has expired or nothing of it is left",
        quantity_left=offer.quantity_left,
        is_closed=offer.is_closed,
        expire_time_ms=offer.expires_at_ms,
        now_ms=now_ms,
    )
