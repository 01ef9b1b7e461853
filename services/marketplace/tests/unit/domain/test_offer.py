from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from icn_kit.errors import DomainError
from icn_marketplace.domain.identifiers import derive_identifier
from icn_marketplace.domain.limits import AGREEMENT_MS_MAX, AMOUNT_MINOR_MAX, PHOTO_BYTES_MAX
from icn_marketplace.domain.offer import Offer, OfferAction, check_offer
from icn_marketplace.domain.photo import check_photo

NOW = 1_800_000_000_000
PROVIDER, RECEIVER = b"p" * 16, b"r" * 16
OFFER = Offer(
    offer=b"o" * 16,
    provider=PROVIDER,
    action=OfferAction.TRANSFER,
    title="Rye bread",
    note="",
    specification="bread",
    quantity=10,
    quantity_left=10,
    measure="loaf",
    price_minor=450,
    unit=b"u" * 16,
    account=b"c" * 16,
    fulfil_within_ms=60_000,
    expires_at_ms=NOW + 5,
    is_closed=False,
    photos=(),
    published_at_ms=NOW,
)


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"note": "\x00"},
        {"specification": "ä"},
        {"quantity": 0},
        {"quantity": 10**9 + 1},
        {"measure": ""},
        {"measure": "x" * 17},
        {"price_minor": 0},
        {"price_minor": AMOUNT_MINOR_MAX},
        {"account": b"c"},
        {"fulfil_within_ms": 999},
        {"fulfil_within_ms": 31_536_000_001},
        {"expires_at_ms": NOW},
        {"expires_at_ms": 2**64 - 1},
    ],
)
def test_an_offer_that_breaks_a_limit_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(DomainError) as refused:
        check_offer(replace(OFFER, **change), NOW)  # type: ignore[arg-type]
    assert refused.value.reason == "FIELD_INVALID"


def test_the_borders_of_an_offer_are_allowed() -> None:
    check_offer(replace(OFFER, quantity=1, price_minor=AMOUNT_MINOR_MAX, expires_at_ms=0), NOW)
    check_offer(replace(OFFER, quantity=10**9, fulfil_within_ms=31_536_000_000), NOW)


@pytest.mark.parametrize(
    ("change", "take", "reason"),
    [
        ({}, (PROVIDER, 1, 450, NOW), "OWN_OFFER"),
        ({}, (RECEIVER, 0, 450, NOW), "FIELD_INVALID"),
        ({}, (RECEIVER, 11, 450, NOW), "QUANTITY_EXCEEDED"),
        ({}, (RECEIVER, 1, 449, NOW), "PRICE_CHANGED"),
        ({}, (RECEIVER, 1, 450, NOW + 6), "OFFER_CLOSED"),
        ({"is_closed": True}, (RECEIVER, 1, 450, NOW), "OFFER_CLOSED"),
        ({"quantity_left": 0}, (RECEIVER, 1, 450, NOW), "OFFER_CLOSED"),
    ],
)
def test_taking_what_is_not_offered_is_refused(
    change: dict[str, int], take: tuple[bytes, int, int, int], reason: str
) -> None:
    with pytest.raises(DomainError) as refused:
        replace(OFFER, **change).take(*take)  # type: ignore[arg-type]
    assert refused.value.reason == reason


def test_all_of_it_can_be_taken_at_its_last_moment() -> None:
    assert OFFER.take(RECEIVER, 10, 450, NOW + 5).quantity_left == 0


def test_only_the_provider_closes_and_only_once() -> None:
    with pytest.raises(DomainError) as refused:
        OFFER.close(RECEIVER, NOW)
    assert refused.value.reason == "NOT_YOUR_OFFER"
    with pytest.raises(DomainError) as refused:
        OFFER.close(PROVIDER, NOW).close(PROVIDER, NOW)
    assert refused.value.reason == "OFFER_CLOSED"


def test_an_agreement_ends_neither_too_soon_nor_after_what_a_hold_can_last() -> None:
    OFFER.check_expiry(NOW + 60_000, NOW)
    OFFER.check_expiry(NOW + AGREEMENT_MS_MAX, NOW)
    for expiry in (NOW + 59_999, NOW + AGREEMENT_MS_MAX + 1):
        with pytest.raises(DomainError) as refused:
            OFFER.check_expiry(expiry, NOW)
        assert refused.value.reason == "FIELD_INVALID"


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\xff\xd8\xff\xe0rest", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\nrest", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPrest", "image/webp"),
    ],
)
def test_photos_are_known_by_their_first_bytes(content: bytes, media_type: str) -> None:
    assert check_photo(content, sha256(content).digest()) == media_type


@pytest.mark.parametrize(
    ("content", "digest", "reason"),
    [
        (b"\xff\xd8\xff", b"x" * 32, "PHOTO_DIGEST_MISMATCH"),
        (b"<svg onload=alert(1)>", None, "PHOTO_KIND_UNKNOWN"),
        (b"", None, "PHOTO_KIND_UNKNOWN"),
        (b"\xff\xd8\xff" + bytes(PHOTO_BYTES_MAX - 2), None, "PHOTO_TOO_LARGE"),
    ],
)
def test_what_is_no_photo_is_refused(content: bytes, digest: bytes | None, reason: str) -> None:
    with pytest.raises(DomainError) as refused:
        check_photo(content, digest or sha256(content).digest())
    assert refused.value.reason == reason


def test_ids_follow_from_the_command_and_differ_by_kind_and_zone() -> None:
    kinds = ("resource", "booking", "offer", "agreement", "delivery", "payment")
    ids = {derive_identifier(b"g" * 32, b"c" * 32, kind) for kind in kinds}
    assert len(ids) == len(kinds) and all(len(one) == 16 for one in ids)
    assert derive_identifier(b"g" * 32, b"c" * 32, "offer") in ids
    assert derive_identifier(b"z" * 32, b"c" * 32, "offer") not in ids
