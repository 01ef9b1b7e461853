"""What members say to the marketplace, and what they sign on the ledger to pay.

Builds the inner messages of commands (`icn_client.commands` signs and sends them) and the two transactions
of a sale.
Source: docs/spec/marketplace.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from icn.kit.v1.command_pb2 import SignedCommand
from icn.ledger.v1.transaction_pb2 import Message
from icn.marketplace.v1 import service_pb2 as pb
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_machine.limits import IDENTIFIER_BYTES

from icn_client import transactions
from icn_client.commands import command, command_id, sign_command

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity

METHODS: Final = "/icn.marketplace.v1.MarketplaceService/"
PAGE_SIZE: Final = 200
ITEMS_MAX: Final = 100_000
"""Of one list; a longer one is not read to its end by a command."""
ACTIONS: Final = {
    "transfer": pb.OFFER_ACTION_TRANSFER,
    "transferCustody": pb.OFFER_ACTION_TRANSFER_CUSTODY,
    "deliverService": pb.OFFER_ACTION_DELIVER_SERVICE,
    "work": pb.OFFER_ACTION_WORK,
    "use": pb.OFFER_ACTION_USE,
}
"""ValueFlows actions of offers."""
PHOTO_BYTES_MAX: Final = 1_000_000
PHOTOS_MAX: Final = 8
"""Of a resource or offer; both are the marketplace's limits."""
DELIVERY, PAYMENT = 0, 1
"""Places of the two commitments in an agreement."""


@dataclass(frozen=True, slots=True)
class AgreementIds:
    """What an acceptance makes, known as soon as it is signed; 16 bytes each."""

    agreement: bytes
    delivery: bytes
    payment: bytes
    """Also the id of the hold that pays."""


def bare_id(name: str) -> bytes:
    """The id in a resource name: ``agreements/<hex>``."""
    return bytes.fromhex(name.rpartition("/")[2])


def derived_id(genesis_hash: bytes, command_identifier: bytes, kind: str) -> bytes:
    """Id of the ``kind`` (``resource``, ``booking``, ``offer``, …) that a command makes, 16 bytes."""
    body = command_identifier + kind.encode("ascii")
    return domain_hash(tags.MARKETPLACE_ID, genesis_hash, body)[:IDENTIFIER_BYTES]


def agreement_ids(genesis_hash: bytes, acceptance: SignedCommand) -> AgreementIds:
    """Ids of what a signed AcceptOffer makes, before anybody has answered."""
    identifier = command_id(genesis_hash, acceptance)
    return AgreementIds(
        *(derived_id(genesis_hash, identifier, kind) for kind in ("agreement", "delivery", "payment"))
    )


def place_payment(agreement: pb.Agreement, source: bytes) -> Message:
    """The hold that pays for an agreement out of an account (16 bytes) of its unit; the receiver signs it."""
    return transactions.place_hold(
        bare_id(agreement.commitments[PAYMENT].name),
        source,
        bare_id(agreement.account),
        agreement.amount_minor,
        agreement.expire_time_ms,
    )


def capture_payment(agreement: pb.Agreement) -> Message:
    """Takes all of the hold; the provider signs it."""
    return transactions.capture_hold(bare_id(agreement.commitments[PAYMENT].name), agreement.amount_minor)


def release_payment(agreement: pb.Agreement) -> Message:
    """Gives what is held back to whoever pays; the provider signs it."""
    return transactions.void_hold(bare_id(agreement.commitments[PAYMENT].name))


def booking_rules(
    *,
    audience: bytes = b"",
    open_minute: int = 0,
    close_minute: int = 1_440,
    utc_offset_minutes: int = 0,
    minutes_min: int = 15,
    minutes_max: int = 1_440,
    ahead_days_max: int = 60,
) -> pb.BookingRules:
    """When and by whom a resource may be booked; by default always, by anybody, for up to a day."""
    return pb.BookingRules(
        audience=audience,
        open_minute=open_minute,
        close_minute=close_minute,
        utc_offset_minutes=utc_offset_minutes,
        minutes_min=minutes_min,
        minutes_max=minutes_max,
        ahead_days_max=ahead_days_max,
    )


async def write(connection: Connection, identity: Identity, request: Any) -> Any:
    """Sign an inner message (an ``AcceptOffer``) as a command of its method, send it, give the answer.

    Raises:
        DomainError: the marketplace's refusal, or Unavailable when it does not answer.
    """
    method = request.DESCRIPTOR.name
    response_type = getattr(pb, f"{method}Response")
    return await command(connection, identity, METHODS + method, request, response_type)


def is_photo(content: bytes) -> bool:
    """Whether the marketplace takes it: JPEG, PNG or WebP by its first bytes, and not too large."""
    is_known = content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        content.startswith(b"RIFF") and content[8:12] == b"WEBP"
    )
    return is_known and len(content) <= PHOTO_BYTES_MAX


async def add_photo(
    connection: Connection, identity: Identity, content: bytes, *, resource: bytes = b"", offer: bytes = b""
) -> pb.AddPhotoResponse:
    """Add a photo to a resource or an offer; the signed command names its digest.

    Raises:
        DomainError: as `write`.
    """
    method = METHODS + "AddPhoto"
    request = pb.AddPhoto(resource=resource, offer=offer, digest=sha256(content).digest())
    keys = identity.keys[: identity.threshold]
    signed = sign_command(connection.genesis.hash, keys, identity.principal, method, request)
    carried = pb.AddPhotoRequest(command=signed, content=content)
    return await connection.call_service(method, carried, pb.AddPhotoResponse)


async def read(connection: Connection, request: Any) -> Any:
    """Ask for one thing or one page: a ``GetOfferRequest`` gives a ``GetOfferResponse``.

    Raises:
        DomainError: as `write`.
    """
    method = request.DESCRIPTOR.name.removesuffix("Request")
    return await connection.call_service(METHODS + method, request, getattr(pb, f"{method}Response"))


async def read_all(connection: Connection, request: Any, field: str) -> AsyncIterator[Any]:
    """Every item of a list, page by page, at most ITEMS_MAX.

    Raises:
        DomainError: as `write`.
    """
    request.page_size = PAGE_SIZE
    for _ in range(ITEMS_MAX // PAGE_SIZE):
        answer = await read(connection, request)
        for item in getattr(answer, field):
            yield item
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


async def get_agreement(connection: Connection, agreement: bytes) -> pb.Agreement:
    """One agreement by its id, 16 bytes.

    Raises:
        DomainError: AGREEMENT_UNKNOWN, and as `write`.
    """
    found = await read(connection, pb.GetAgreementRequest(name=f"agreements/{agreement.hex()}"))
    shown: pb.Agreement = found.agreement
    return shown
