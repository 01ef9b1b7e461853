"""Resources with their bookings, offers and agreements."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from icn_crypto.sealed_memo import MEDIA_TYPE

from icn_gateway.api.fields import HEIGHT_MAX
from icn_gateway.api.reads.route import (
    Content,
    Read,
    digest,
    flag,
    identifier,
    malformed_answer,
    only_of,
    paging,
    whole,
)
from icn_gateway.usecases.contracts import method

_PAGING = paging(200)
_RESOURCE = "Resource"
_TIMES = (
    whole(
        "from_time_ms",
        "Only those that end after this, unix milliseconds; 0: no bound.",
        HEIGHT_MAX,
        0,
        0,
    ),
    whole(
        "until_time_ms",
        "Only those that start before this, unix milliseconds; 0: no bound.",
        HEIGHT_MAX,
        0,
        0,
    ),
    flag("include_cancelled", "include_cancelled", "Whether to list cancelled ones too"),
)

_PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp")
"""Nothing that a browser could run."""
_BLOB_SECONDS = 86_400
"""A blob never changes, but its owner may have it erased."""


def _photo(request: Any, response: Any) -> Content:
    """The photo, if it is the one that was asked for and of a kind that is shown."""
    if response.media_type not in _PHOTO_TYPES:
        raise malformed_answer(f"content of type {response.media_type} instead of a photo")
    return _blob(request, response.content, response.media_type, "inline")


def _blob(request: Any, content: bytes, media_type: str, disposition: str) -> Content:
    asked = request.name.rpartition("/")[2]
    if sha256(content).hexdigest() != asked:
        raise malformed_answer("something else than the content asked for")
    return Content(
        content,
        media_type,
        {
            "cache-control": f"public, max-age={_BLOB_SECONDS}",
            "content-disposition": disposition,
            "content-security-policy": "default-src 'none'; sandbox",
            "etag": f'"{asked}"',
        },
    )


def _memo(request: Any, response: Any) -> Content:
    """The sealed memo, if it is the one that was asked for."""
    return _blob(request, response.content, MEDIA_TYPE, "attachment")


READS = (
    Read(
        "/v1/blobs/{digest:str}",
        "GetBlob",
        "Marketplace",
        method("marketplace", "GetPhoto"),
        (digest("digest", "name", "photos", "SHA-256 of a photo"),),
        content=_photo,
        media_types=_PHOTO_TYPES,
    ),
    Read(
        "/v1/memos/{digest:str}",
        "GetMemo",
        "Marketplace",
        method("marketplace", "GetMemo"),
        (digest("digest", "name", "memos", "SHA-256 of a sealed memo: the memo hash of an entry"),),
        content=_memo,
        media_types=(MEDIA_TYPE,),
    ),
    Read(
        "/v1/resources",
        "ListResources",
        "Marketplace",
        method("marketplace", "ListResources"),
        (only_of("owner", "owner", "principals", "Only of this owner"), *_PAGING),
    ),
    Read(
        "/v1/resources/{resource_id:str}",
        "GetResource",
        "Marketplace",
        method("marketplace", "GetResource"),
        (identifier("resource_id", "name", "resources", _RESOURCE),),
    ),
    Read(
        "/v1/resources/{resource_id:str}/bookings",
        "ListBookingsOfResource",
        "Marketplace",
        method("marketplace", "ListBookings"),
        (
            identifier("resource_id", "resource", "resources", _RESOURCE),
            only_of("booker", "booker", "principals", "Only of this principal"),
            *_TIMES,
            *_PAGING,
        ),
    ),
    Read(
        "/v1/resources/{resource_id:str}/free-slot",
        "FindFreeSlot",
        "Marketplace",
        method("marketplace", "FindFreeSlot"),
        (
            identifier("resource_id", "resource", "resources", _RESOURCE),
            whole("minutes", "Its length, minutes.", 43_200, None, 60),
            whole("from_time_ms", "Earliest start, unix milliseconds; 0: now.", HEIGHT_MAX, 0, 0),
        ),
    ),
    Read(
        "/v1/bookings",
        "ListBookings",
        "Marketplace",
        method("marketplace", "ListBookings"),
        (only_of("booker", "booker", "principals", "Only of this principal"), *_TIMES, *_PAGING),
    ),
    Read(
        "/v1/bookings/{booking_id:str}",
        "GetBooking",
        "Marketplace",
        method("marketplace", "GetBooking"),
        (identifier("booking_id", "name", "bookings", "Booking"),),
    ),
    Read(
        "/v1/offers",
        "ListOffers",
        "Marketplace",
        method("marketplace", "ListOffers"),
        (
            only_of("provider", "provider", "principals", "Only of this provider"),
            flag("include_closed", "include_closed", "Whether to list those that are over too"),
            *_PAGING,
        ),
    ),
    Read(
        "/v1/offers/{offer_id:str}",
        "GetOffer",
        "Marketplace",
        method("marketplace", "GetOffer"),
        (identifier("offer_id", "name", "offers", "Offer"),),
    ),
    Read(
        "/v1/agreements",
        "ListAgreements",
        "Marketplace",
        method("marketplace", "ListAgreements"),
        (only_of("party", "party", "principals", "Only with this party"), *_PAGING),
    ),
    Read(
        "/v1/agreements/{agreement_id:str}",
        "GetAgreement",
        "Marketplace",
        method("marketplace", "GetAgreement"),
        (identifier("agreement_id", "name", "agreements", "Agreement"),),
    ),
)
