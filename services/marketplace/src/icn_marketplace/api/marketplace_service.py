# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""MarketplaceService. Source: protos/icn/marketplace/v1/service.proto."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from icn.marketplace.v1 import service_pb2 as pb
from icn.marketplace.v1 import service_pb2_grpc
from icn_kit.commands import Command, CommandVerifier
from icn_kit.errors import NotFound
from icn_kit.pages import PageTokens, check_page_size

from icn_marketplace.api.names import parse_identifier, parse_optional
from icn_marketplace.api.reading import PhotoReader, Reader
from icn_marketplace.domain.fields import check_range, field_invalid
from icn_marketplace.domain.limits import (
    BOOKING_MINUTES_MAX,
    DIGEST_BYTES,
    HEIGHT_MAX,
    IDENTIFIER_BYTES,
    MINUTE_MS,
    TIME_MS_MAX,
)
from icn_marketplace.usecases.accept_offer import accept_offer
from icn_marketplace.usecases.add_photo import add_photo
from icn_marketplace.usecases.add_resource import add_resource
from icn_marketplace.usecases.book_resource import book_resource
from icn_marketplace.usecases.cancel_booking import cancel_booking
from icn_marketplace.usecases.close_offer import close_offer
from icn_marketplace.usecases.confirm_delivery import confirm_delivery
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.describe import (
    describe_agreement,
    describe_booking,
    describe_offer,
    describe_resource,
    describe_slot,
)
from icn_marketplace.usecases.end_booking import end_booking
from icn_marketplace.usecases.memos import Memos
from icn_marketplace.usecases.patience import with_newest_permissions
from icn_marketplace.usecases.publish_offer import publish_offer
from icn_marketplace.usecases.remove_resource import remove_resource
from icn_marketplace.usecases.repeats import with_first_answer
from icn_marketplace.usecases.report_delivery import report_delivery
from icn_marketplace.usecases.report_return import report_return
from icn_marketplace.usecases.unknown import found
from icn_marketplace.usecases.withdraw_agreement import withdraw_agreement

METHODS = "/icn.marketplace.v1.MarketplaceService/"
PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200
PLACE_NUMBER_BYTES = 8

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class MarketplaceServicer(service_pb2_grpc.MarketplaceServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(
        self,
        context: Context,
        commands: CommandVerifier,
        reader: Reader,
        photos: PhotoReader,
        memos: Memos,
    ) -> None:
        self._context = context
        self._commands = commands
        self._reader = reader
        self._photos = photos
        self._memos = memos
        self._tokens = PageTokens(context.genesis_hash)

    # Writes.

    async def AddResource(self, request: Any, _context: Any) -> pb.AddResourceResponse:
        return await self._write(request, "AddResource", pb.AddResource, add_resource)

    async def RemoveResource(self, request: Any, _context: Any) -> pb.RemoveResourceResponse:
        return await self._write(request, "RemoveResource", pb.RemoveResource, remove_resource)

    async def AddPhoto(self, request: Any, _context: Any) -> pb.AddPhotoResponse:
        async def add(command: Command[pb.AddPhoto], context: Context) -> pb.AddPhotoResponse:
            return await add_photo(command, request.content, context)

        return await self._write(request, "AddPhoto", pb.AddPhoto, add)

    async def BookResource(self, request: Any, _context: Any) -> pb.BookResourceResponse:
        return await self._write(request, "BookResource", pb.BookResource, book_resource)

    async def CancelBooking(self, request: Any, _context: Any) -> pb.CancelBookingResponse:
        return await self._write(request, "CancelBooking", pb.CancelBooking, cancel_booking)

    async def EndBooking(self, request: Any, _context: Any) -> pb.EndBookingResponse:
        return await self._write(request, "EndBooking", pb.EndBooking, end_booking)

    async def PublishOffer(self, request: Any, _context: Any) -> pb.PublishOfferResponse:
        return await self._write(request, "PublishOffer", pb.PublishOffer, publish_offer)

    async def CloseOffer(self, request: Any, _context: Any) -> pb.CloseOfferResponse:
        return await self._write(request, "CloseOffer", pb.CloseOffer, close_offer)

    async def AcceptOffer(self, request: Any, _context: Any) -> pb.AcceptOfferResponse:
        return await self._write(request, "AcceptOffer", pb.AcceptOffer, accept_offer)

    async def ReportDelivery(self, request: Any, _context: Any) -> pb.ReportDeliveryResponse:
        return await self._write(request, "ReportDelivery", pb.ReportDelivery, report_delivery)

    async def ConfirmDelivery(self, request: Any, _context: Any) -> pb.ConfirmDeliveryResponse:
        return await self._write(request, "ConfirmDelivery", pb.ConfirmDelivery, confirm_delivery)

    async def WithdrawAgreement(self, request: Any, _context: Any) -> pb.WithdrawAgreementResponse:
        return await self._write(request, "WithdrawAgreement", pb.WithdrawAgreement, withdraw_agreement)

    async def ReportReturn(self, request: Any, _context: Any) -> pb.ReportReturnResponse:
        return await self._write(request, "ReportReturn", pb.ReportReturn, report_return)

    async def KeepMemo(self, request: Any, _context: Any) -> pb.KeepMemoResponse:
        if request.payment.startswith("orders/"):
            order = parse_identifier(request.payment, "orders")
            check_range("height", request.height, 0, 0)
            memo = await self._memos.keep_of_order(order, request.content)
        else:
            account = parse_identifier(request.payment, "accounts")
            check_range("height", request.height, 1, HEIGHT_MAX)
            memo = await self._memos.keep_of_entry(account, request.height, request.content)
        return pb.KeepMemoResponse(memo=f"memos/{memo}")

    # Reads.

    async def GetResource(self, request: Any, _context: Any) -> pb.GetResourceResponse:
        identifier = parse_identifier(request.name, "resources")
        resource = found(await self._reader.resource(identifier), "resource", identifier)
        return pb.GetResourceResponse(resource=describe_resource(resource))

    async def ListResources(self, request: Any, _context: Any) -> pb.ListResourcesResponse:
        owner = parse_optional(request.owner, "principals")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"resources of {owner.hex()}"
        rows = await self._reader.resources(owner, self._before(listing, request.page_token), size + 1)
        return pb.ListResourcesResponse(
            resources=[describe_resource(resource) for _, resource in rows[:size]],
            next_page_token=self._next(listing, rows, size),
        )

    async def GetPhoto(self, request: Any, _context: Any) -> pb.GetPhotoResponse:
        digest = parse_identifier(request.name, "photos", DIGEST_BYTES)
        content, media_type = found(await self._photos.get(digest), "photo", digest)
        return pb.GetPhotoResponse(content=content, media_type=media_type)

    async def GetMemo(self, request: Any, _context: Any) -> pb.GetMemoResponse:
        digest = parse_identifier(request.name, "memos", DIGEST_BYTES)
        return pb.GetMemoResponse(content=found(await self._memos.get(digest), "memo", digest))

    async def ListMemos(self, request: Any, _context: Any) -> pb.ListMemosResponse:
        check_range("names", len(request.names), 1, PAGE_SIZE_MAX)
        digests = [parse_identifier(name, "memos", DIGEST_BYTES) for name in request.names]
        return pb.ListMemosResponse(contents=await self._memos.list(digests))

    async def GetBooking(self, request: Any, _context: Any) -> pb.GetBookingResponse:
        identifier = parse_identifier(request.name, "bookings")
        booking, place = found(await self._reader.booking(identifier), "booking", identifier)
        return pb.GetBookingResponse(booking=describe_booking(booking, place))

    async def ListBookings(self, request: Any, _context: Any) -> pb.ListBookingsResponse:
        resource = parse_optional(request.resource, "resources")
        booker = parse_optional(request.booker, "principals")
        if not resource and not booker and not request.from_time_ms:
            raise field_invalid("resource", "resource, booker or from_time_ms must be set")
        check_range("from_time_ms", request.from_time_ms, 0, TIME_MS_MAX)
        check_range("until_time_ms", request.until_time_ms, 0, TIME_MS_MAX)
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        wanted = (
            resource,
            booker,
            request.from_time_ms,
            request.until_time_ms,
            request.include_cancelled,
        )
        listing = f"bookings {wanted!r}"
        place = self._tokens.read(listing, request.page_token, PLACE_NUMBER_BYTES + IDENTIFIER_BYTES)
        after = (
            None
            if place is None
            else (int.from_bytes(place[:PLACE_NUMBER_BYTES], "big"), place[PLACE_NUMBER_BYTES:])
        )
        rows = await self._reader.bookings(wanted, after, size + 1)
        token = ""
        if len(rows) > size:
            last = rows[size - 1][0]
            token = self._tokens.write(listing, _number(last.span.start_ms) + last.booking)
        return pb.ListBookingsResponse(
            bookings=[describe_booking(booking, queue_place) for booking, queue_place in rows[:size]],
            next_page_token=token,
        )

    async def FindFreeSlot(self, request: Any, _context: Any) -> pb.FindFreeSlotResponse:
        identifier = parse_identifier(request.resource, "resources")
        check_range("from_time_ms", request.from_time_ms, 0, TIME_MS_MAX)
        check_range("minutes", request.minutes, 1, BOOKING_MINUTES_MAX)
        resource = found(await self._reader.resource(identifier), "resource", identifier)
        resource.check_there()
        resource.rules.check_length(request.minutes)
        now_ms = self._context.clock.now_ms()
        from_ms = max(request.from_time_ms, now_ms)
        booked = await self._reader.booked_spans(identifier, from_ms)
        waited = await self._reader.waited_spans(identifier, from_ms, now_ms)
        length_ms = request.minutes * MINUTE_MS
        slot = resource.rules.best_free_slot(booked, waited, length_ms, from_ms, now_ms)
        if slot is None:
            raise NotFound("NO_FREE_SLOT", "none is free before the last moment at which a booking may start")
        return pb.FindFreeSlotResponse(slot=describe_slot(slot))

    async def GetOffer(self, request: Any, _context: Any) -> pb.GetOfferResponse:
        identifier = parse_identifier(request.name, "offers")
        offer = found(await self._reader.offer(identifier), "offer", identifier)
        return pb.GetOfferResponse(offer=describe_offer(offer, self._context.clock.now_ms()))

    async def ListOffers(self, request: Any, _context: Any) -> pb.ListOffersResponse:
        provider = parse_optional(request.provider, "principals")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"offers of {provider.hex()} {request.include_closed}"
        now_ms = self._context.clock.now_ms()
        rows = await self._reader.offers(
            provider,
            None if request.include_closed else now_ms,
            self._before(listing, request.page_token),
            size + 1,
        )
        return pb.ListOffersResponse(
            offers=[describe_offer(offer, now_ms) for _, offer in rows[:size]],
            next_page_token=self._next(listing, rows, size),
        )

    async def GetAgreement(self, request: Any, _context: Any) -> pb.GetAgreementResponse:
        identifier = parse_identifier(request.name, "agreements")
        agreement, hold = found(await self._reader.agreement(identifier), "agreement", identifier)
        return pb.GetAgreementResponse(agreement=describe_agreement(agreement, hold))

    async def ListAgreements(self, request: Any, _context: Any) -> pb.ListAgreementsResponse:
        party = parse_optional(request.party, "principals")
        size = check_page_size(request.page_size, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        listing = f"agreements of {party.hex()}"
        rows = await self._reader.agreements(party, self._before(listing, request.page_token), size + 1)
        return pb.ListAgreementsResponse(
            agreements=[describe_agreement(agreement, hold) for _, (agreement, hold) in rows[:size]],
            next_page_token=self._next(listing, rows, size),
        )

    async def _write(
        self,
        request: Any,
        method: str,
        request_type: type[RequestT],
        use_case: Callable[[Command[RequestT], Context], Awaitable[ResponseT]],
    ) -> ResponseT:
        command = await self._commands.read(request.command, METHODS + method, request_type)
        response_type: type[ResponseT] = getattr(pb, f"{method}Response")

        async def answer(context: Context) -> ResponseT:
            return await with_first_answer(
                lambda: use_case(command, context), command, response_type, context.units
            )

        return await with_newest_permissions(answer, self._context)

    def _before(self, listing: str, page_token: str) -> int:
        """The number that a list that is newest first goes on below."""
        place = self._tokens.read(listing, page_token, PLACE_NUMBER_BYTES)
        return 2**63 - 1 if place is None else int.from_bytes(place, "big")

    def _next(self, listing: str, rows: Sequence[tuple[int, Any]], size: int) -> str:
        return self._tokens.write(listing, _number(rows[size - 1][0])) if len(rows) > size else ""


def _number(number: int) -> bytes:
    return number.to_bytes(PLACE_NUMBER_BYTES, "big")
