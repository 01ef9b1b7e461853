"""Every RPC through a real server: good calls, pages, and input that is not as it should be."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from icn.kit.v1.command_pb2 import SignedCommand
from icn.marketplace.v1 import service_pb2 as pb
from icn.marketplace.v1 import service_pb2_grpc
from icn_crypto.sealed_memo import MEMO_BYTES_MAX, Payment, seal_memo
from icn_crypto.suites import SigningKey, Suite
from icn_kit.blobs import PostgresBlobStore
from icn_kit.commands import CommandVerifier
from icn_kit.errors import DomainError, Unavailable, from_rpc_error
from icn_kit.server import GrpcServer
from icn_marketplace.api.marketplace_service import METHODS, MarketplaceServicer
from icn_marketplace.domain.limits import MINUTE_MS
from icn_marketplace.store.photos import PhotoQueries
from icn_marketplace.usecases.memos import Memos
from icn_marketplace.usecases.ports import AccountSeen, PaymentSeen

from services.marketplace.tests.conftest import (
    GENESIS,
    NOW,
    SEALING_KEY,
    Market,
    Person,
    always_open,
    wish,
)

SERVICE = pb.DESCRIPTOR.services_by_name["MarketplaceService"]
WRITES = [method.name for method in SERVICE.methods if "command" in method.input_type.fields_by_name]
READS = [method.name for method in SERVICE.methods if method.name not in WRITES]
UNKNOWN = "ab" * 16
PAYER, PAYEE = b"account of payer", b"account of payee"
MEMO = seal_memo(
    "two loaves",
    {b"k" * 16: SigningKey.generate(Suite.ED25519).public_key},
    Payment(PAYER, PAYEE),
    GENESIS,
)
JPEG = b"\xff\xd8\xff\xe0 a photo"


@dataclass
class Served:
    market: Market
    stub: Any
    channel: grpc.aio.Channel

    async def write(self, person: Person, request: Message, **more: Any) -> Any:
        method = request.DESCRIPTOR.name
        signed = person.sign(method, request, self.market.clock.ms)
        return await self.send(method, signed, **more)

    async def send(self, method: str, signed: SignedCommand, **more: Any) -> Any:
        envelope = getattr(pb, f"{method}Request")(command=signed, **more)
        return await getattr(self.stub, method)(envelope, timeout=10)

    async def refusal(self, call: Any) -> DomainError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        return from_rpc_error(failed.value)

    async def resource(self, owner: Person, title: str = "Tractor") -> pb.Resource:
        request = pb.AddResource(
            owner=owner.principal, title=title, specification="tractor", rules=always_open()
        )
        return (await self.write(owner, request)).resource


@pytest.fixture
async def served(market: Market) -> AsyncIterator[Served]:
    servicer = MarketplaceServicer(
        market.context,
        CommandVerifier(GENESIS, market.people, market.clock),
        market.queries,
        PhotoQueries(market.database, market.blobs),
        Memos(market.ledger, PostgresBlobStore(market.database, SEALING_KEY)),
    )
    server = GrpcServer(
        "127.0.0.1:0", [(service_pb2_grpc.add_MarketplaceServiceServicer_to_server, servicer)]
    )
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield Served(market, service_pb2_grpc.MarketplaceServiceStub(channel), channel)
    await server.drain(1.0)


def bare(name: str) -> bytes:
    return bytes.fromhex(name.rpartition("/")[2])


async def test_every_call_answers(served: Served) -> None:
    market, stub = served.market, served.stub
    farm, anna = market.people.person("farm"), market.people.person("anna")
    resource = await served.resource(farm)
    digest = sha256(JPEG).digest()
    photo = pb.AddPhoto(resource=bare(resource.name), digest=digest)
    added = await served.write(farm, photo, content=JPEG)
    assert (await stub.GetPhoto(pb.GetPhotoRequest(name=added.photo))).content == JPEG
    shown = (await stub.GetResource(pb.GetResourceRequest(name=resource.name))).resource
    assert list(shown.photos) == [digest.hex()]
    booked = (await served.write(anna, wish(bare(resource.name), 60, 120))).booking
    assert (await stub.GetBooking(pb.GetBookingRequest(name=booked.name))).booking == booked
    slot = await stub.FindFreeSlot(
        pb.FindFreeSlotRequest(resource=resource.name, from_time_ms=NOW + 60 * MINUTE_MS, minutes=30)
    )
    assert slot.slot.start_time_ms == NOW + 120 * MINUTE_MS
    end = pb.EndBooking(booking=bare(booked.name), end_time_ms=NOW + 90 * MINUTE_MS)
    assert (await served.write(anna, end)).booking.end_time_ms == NOW + 90 * MINUTE_MS
    assert (await served.write(anna, pb.CancelBooking(booking=bare(booked.name)))).booking.state == 3
    market.ledger.accounts[b"c" * 16] = AccountSeen(farm.principal, b"u" * 16)
    publish = pb.PublishOffer(
        action=pb.OFFER_ACTION_TRANSFER,
        title="Potatoes",
        specification="potato",
        quantity=5,
        measure="kg",
        price_minor=3,
        account=b"c" * 16,
        fulfil_within_ms=60_000,
    )
    offer = (await served.write(farm, publish)).offer
    assert (await stub.GetOffer(pb.GetOfferRequest(name=offer.name))).offer == offer
    accept = pb.AcceptOffer(offer=bare(offer.name), quantity=1, price_minor=3, expire_time_ms=NOW + 60_000)
    agreement = (await served.write(anna, accept)).agreement
    reported = await served.write(farm, pb.ReportDelivery(agreement=bare(agreement.name)))
    assert reported.agreement.commitments[0].state == pb.COMMITMENT_STATE_REPORTED
    confirmed = await served.write(anna, pb.ConfirmDelivery(agreement=bare(agreement.name)))
    read = await stub.GetAgreement(pb.GetAgreementRequest(name=agreement.name))
    assert read.agreement == confirmed.agreement
    withdraw = pb.WithdrawAgreement(agreement=bare(agreement.name))
    assert (await served.refusal(served.write(anna, withdraw))).reason == "DELIVERY_ENDED"
    market.ledger.transactions[b"t" * 32] = []
    give_back = pb.ReportReturn(agreement=bare(agreement.name), transaction_id=b"t" * 32)
    assert (await served.refusal(served.write(farm, give_back))).reason == "NOTHING_OWED"
    closed = await served.write(farm, pb.CloseOffer(offer=bare(offer.name)))
    assert not closed.offer.is_open


async def test_lists_come_in_pages_that_miss_nothing_and_repeat_nothing(served: Served) -> None:
    market, stub = served.market, served.stub
    farm, anna = market.people.person("farm"), market.people.person("anna")
    resources = [await served.resource(farm, f"Tractor {number}") for number in range(5)]
    bookings = [
        (await served.write(anna, wish(bare(resources[0].name), 10 * number, 10 * number + 10))).booking
        for number in range(1, 6)
    ]
    market.ledger.accounts[b"c" * 16] = AccountSeen(farm.principal, b"u" * 16)
    offers, agreements = [], []
    for number in range(5):
        publish = pb.PublishOffer(
            action=pb.OFFER_ACTION_WORK,
            title=f"Hour {number}",
            specification="hour",
            quantity=2,
            measure="h",
            price_minor=3,
            account=b"c" * 16,
            fulfil_within_ms=60_000,
        )
        offers.append((await served.write(farm, publish)).offer)
        accept = pb.AcceptOffer(
            offer=bare(offers[-1].name), quantity=1, price_minor=3, expire_time_ms=NOW + 60_000
        )
        agreements.append((await served.write(anna, accept)).agreement)
    owner, party = f"principals/{farm.principal.hex()}", f"principals/{anna.principal.hex()}"

    async def names(call: Any, request: Any, field: str) -> list[str]:
        found: list[str] = []
        while True:
            request.page_size = 2
            answer = await call(request, timeout=10)
            page = [item.name for item in getattr(answer, field)]
            assert len(page) <= 2
            found += page
            if not answer.next_page_token:
                return found
            request.page_token = answer.next_page_token

    def newest(items: list[Any]) -> list[str]:
        return [item.name for item in reversed(items)]

    for filtered in ("", owner):
        request = pb.ListResourcesRequest(owner=filtered)
        assert await names(stub.ListResources, request, "resources") == newest(resources)
        offered = pb.ListOffersRequest(provider=filtered)
        assert await names(stub.ListOffers, offered, "offers") == newest(offers)
    for filtered in ("", owner, party):
        listed = pb.ListAgreementsRequest(party=filtered)
        assert await names(stub.ListAgreements, listed, "agreements") == newest(agreements)
    whole = pb.ListBookingsRequest(resource=resources[0].name)
    assert await names(stub.ListBookings, whole, "bookings") == [item.name for item in bookings]
    part = pb.ListBookingsRequest(
        booker=party, from_time_ms=NOW + 20 * MINUTE_MS, until_time_ms=NOW + 40 * MINUTE_MS
    )
    assert await names(stub.ListBookings, part, "bookings") == [item.name for item in bookings[1:3]]
    elsewhere = pb.BookResource(
        resource=bare(resources[1].name), start_time_ms=NOW + 15 * MINUTE_MS, end_time_ms=NOW + 25 * MINUTE_MS
    )
    other = (await served.write(farm, elsewhere)).booking.name
    of_all = pb.ListBookingsRequest(from_time_ms=NOW + 12 * MINUTE_MS)
    ended_later = [item.name for item in bookings if item.end_time_ms > NOW + 12 * MINUTE_MS]
    found = await names(stub.ListBookings, of_all, "bookings")
    assert other in found
    assert [name for name in found if name != other] == ended_later
    await served.write(anna, pb.CancelBooking(booking=bare(bookings[0].name)))
    await served.write(farm, pb.CloseOffer(offer=bare(offers[4].name)))
    assert len(await names(stub.ListBookings, pb.ListBookingsRequest(booker=party), "bookings")) == 4
    everything = pb.ListBookingsRequest(booker=party, include_cancelled=True)
    assert len(await names(stub.ListBookings, everything, "bookings")) == 5
    assert len(await names(stub.ListOffers, pb.ListOffersRequest(), "offers")) == 4
    closed_too = pb.ListOffersRequest(include_closed=True)
    assert len(await names(stub.ListOffers, closed_too, "offers")) == 5


async def test_the_memo_of_a_payment_is_kept_whoever_brings_it(served: Served) -> None:
    stub, ledger = served.stub, served.market.ledger
    digest, seen = sha256(MEMO).digest(), PaymentSeen(PAYER, NOW)
    for account in (PAYER, PAYEE):
        ledger.accounts[account] = AccountSeen(b"o" * 16, b"u" * 16)
        ledger.memos[account, 7] = {sha256(b"another").digest(): seen, digest: seen}
    requests = [
        pb.KeepMemoRequest(payment=f"accounts/{account.hex()}", height=7, content=MEMO)
        for account in (PAYEE, PAYER)
    ]
    kept = await stub.KeepMemo(requests[0])
    assert kept.memo == f"memos/{digest.hex()}"
    ledger.order_memos[b"o" * 16] = digest
    of_order = pb.KeepMemoRequest(payment=f"orders/{(b'o' * 16).hex()}", content=MEMO)
    assert [await stub.KeepMemo(request) for request in (*requests, of_order)] == [kept] * 3
    assert await served.market.subjects() == [f"accounts/{PAYER.hex()}/memos/2027-01"], "once, for who pays"
    assert (await stub.GetMemo(pb.GetMemoRequest(name=kept.memo))).content == MEMO
    names = [f"memos/{UNKNOWN * 2}", kept.memo]
    assert list((await stub.ListMemos(pb.ListMemosRequest(names=names))).contents) == [MEMO]
    digest_as_photo = pb.GetPhotoRequest(name=f"photos/{digest.hex()}")
    assert (await served.refusal(stub.GetPhoto(digest_as_photo))).reason == "PHOTO_UNKNOWN"


async def test_the_memo_of_an_order_is_kept_before_it_pays(served: Served) -> None:
    order, digest = b"o" * 16, sha256(MEMO).digest()
    served.market.ledger.order_memos[order] = digest
    request = pb.KeepMemoRequest(payment=f"orders/{order.hex()}", content=MEMO)
    assert (await served.stub.KeepMemo(request)).memo == f"memos/{digest.hex()}"
    assert await served.market.subjects() == [f"orders/{order.hex()}"]


async def test_a_memo_that_no_payment_has_is_not_kept(served: Served) -> None:
    """Else the host would keep whatever anybody brings, and show it as somebody's payment's."""
    account, order, ledger = b"a" * 16, b"o" * 16, served.market.ledger
    ledger.accounts[account] = AccountSeen(b"o" * 16, b"u" * 16)
    ledger.memos[account, 7] = {sha256(MEMO).digest(): PaymentSeen(account, NOW)}
    ledger.order_memos[order] = b""
    changed = MEMO[:-1] + bytes((MEMO[-1] ^ 1,))
    for payment, height, content in (
        (f"accounts/{account.hex()}", 8, MEMO),
        (f"accounts/{account.hex()}", 7, changed),
        (f"orders/{order.hex()}", 0, MEMO),
    ):
        request = pb.KeepMemoRequest(payment=payment, height=height, content=content)
        assert (await served.refusal(served.stub.KeepMemo(request))).reason == "PAYMENT_UNKNOWN"
    large = pb.KeepMemoRequest(
        payment=f"accounts/{account.hex()}", height=7, content=MEMO + bytes(MEMO_BYTES_MAX)
    )
    assert (await served.refusal(served.stub.KeepMemo(large))).reason == "MEMO_MALFORMED"
    assert await served.market.subjects() == []


async def test_a_photo_is_no_memo(served: Served) -> None:
    farm = served.market.people.person("farm")
    resource = await served.resource(farm)
    digest = sha256(JPEG).digest()
    await served.write(farm, pb.AddPhoto(resource=bare(resource.name), digest=digest), content=JPEG)
    name = f"memos/{digest.hex()}"
    assert (await served.refusal(served.stub.GetMemo(pb.GetMemoRequest(name=name)))).reason == "MEMO_UNKNOWN"
    assert not (await served.stub.ListMemos(pb.ListMemosRequest(names=[name]))).contents


def test_the_writes_and_reads_are_those_of_the_specification() -> None:
    assert (len(WRITES), len(READS)) == (13, 13)


@pytest.mark.parametrize("method", WRITES)
async def test_no_write_takes_what_is_not_signed_as_it_must_be(served: Served, method: str) -> None:
    anna, mallory = served.market.people.person("anna"), Person("mallory")
    good = anna.sign(method, b"")
    other = WRITES[(WRITES.index(method) + 1) % len(WRITES)]
    stolen = SignedCommand(body=good.body, signatures=mallory.sign(method, b"").signatures)
    broken = SignedCommand()
    broken.CopyFrom(good)
    broken.signatures[0].signature = bytes(64)
    for signed, reason in (
        (SignedCommand(), "METHOD_MISMATCH"),
        (SignedCommand(body=secrets.token_bytes(40)), "COMMAND_MALFORMED"),
        (SignedCommand(body=good.body), "COMMAND_MALFORMED"),
        (anna.sign(other, b""), "METHOD_MISMATCH"),
        (anna.sign(method, b"\xff\xff"), "COMMAND_MALFORMED"),
        (anna.sign(method, b"\xf8\x07\x01"), "COMMAND_MALFORMED"),
        (anna.sign(method, b"", NOW - 600_001), "COMMAND_EXPIRED"),
        (anna.sign(method, b"", NOW + 120_001), "COMMAND_FROM_FUTURE"),
        (mallory.sign(method, b""), "CONTROLLER_UNKNOWN"),
        (stolen, "KEY_UNKNOWN"),
        (broken, "COMMAND_SIGNATURE_INVALID"),
    ):
        refused = await served.refusal(served.send(method, signed))
        assert refused.reason == reason, (method, reason)
    # Signed well, and nothing in it: a field is missing, which is the sender's fault and nobody else's.
    refused = await served.refusal(served.send(method, good))
    assert (refused.kind.name, refused.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert await served.market.events() == []


@pytest.mark.parametrize("method", [*WRITES, *READS])
async def test_bytes_that_are_no_request_are_refused(served: Served, method: str) -> None:
    call = served.channel.unary_unary(METHODS + method)
    for data in (b"\xff", b"\x0a\xff", secrets.token_bytes(1_000)):
        refused = await served.refusal(call(data, timeout=10))
        assert refused.kind.name == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.GetResourceRequest(), "MALFORMED_NAME"),
        (pb.GetResourceRequest(name="resources/" + "AB" * 16), "MALFORMED_NAME"),
        (pb.GetResourceRequest(name="resources/" + "ab" * 17), "MALFORMED_NAME"),
        (pb.GetResourceRequest(name=f"bookings/{UNKNOWN}"), "MALFORMED_NAME"),
        (pb.GetResourceRequest(name=f"resources/{UNKNOWN}"), "RESOURCE_UNKNOWN"),
        (pb.GetPhotoRequest(name=f"photos/{UNKNOWN}"), "MALFORMED_NAME"),
        (pb.GetPhotoRequest(name=f"photos/{UNKNOWN * 2}"), "PHOTO_UNKNOWN"),
        (pb.GetMemoRequest(name=f"photos/{UNKNOWN * 2}"), "MALFORMED_NAME"),
        (pb.GetMemoRequest(name=f"memos/{UNKNOWN * 2}"), "MEMO_UNKNOWN"),
        (pb.ListMemosRequest(), "FIELD_INVALID"),
        (pb.ListMemosRequest(names=["x"]), "MALFORMED_NAME"),
        (pb.ListMemosRequest(names=[f"memos/{UNKNOWN * 2}"] * 201), "FIELD_INVALID"),
        (pb.KeepMemoRequest(), "MALFORMED_NAME"),
        (pb.KeepMemoRequest(payment=f"memos/{UNKNOWN}", height=1), "MALFORMED_NAME"),
        (pb.KeepMemoRequest(payment=f"accounts/{UNKNOWN}"), "FIELD_INVALID"),
        (pb.KeepMemoRequest(payment=f"accounts/{UNKNOWN}", height=2**62 + 1), "FIELD_INVALID"),
        (pb.KeepMemoRequest(payment=f"orders/{UNKNOWN}", height=1), "FIELD_INVALID"),
        (pb.KeepMemoRequest(payment=f"orders/{UNKNOWN}", content=b"x"), "MEMO_MALFORMED"),
        (pb.KeepMemoRequest(payment=f"orders/{UNKNOWN}", content=MEMO), "ORDER_UNKNOWN"),
        (pb.KeepMemoRequest(payment=f"accounts/{UNKNOWN}", height=1, content=MEMO), "ACCOUNT_UNKNOWN"),
        (pb.GetBookingRequest(name=f"bookings/{UNKNOWN}"), "BOOKING_UNKNOWN"),
        (pb.GetBookingRequest(name="bookings/'; DROP TABLE bookings"), "MALFORMED_NAME"),
        (pb.GetOfferRequest(name=f"offers/{UNKNOWN}"), "OFFER_UNKNOWN"),
        (pb.GetOfferRequest(name="offers"), "MALFORMED_NAME"),
        (pb.GetAgreementRequest(name=f"agreements/{UNKNOWN}"), "AGREEMENT_UNKNOWN"),
        (pb.GetAgreementRequest(name="\n"), "MALFORMED_NAME"),
        (pb.ListResourcesRequest(owner="x"), "MALFORMED_NAME"),
        (pb.ListResourcesRequest(page_size=201), "PAGE_SIZE_OUT_OF_RANGE"),
        (pb.ListResourcesRequest(page_token="AAAA"), "INVALID_PAGE_TOKEN"),
        (pb.ListBookingsRequest(), "FIELD_INVALID"),
        (pb.ListBookingsRequest(resource="x"), "MALFORMED_NAME"),
        (pb.ListBookingsRequest(booker=f"principals/{UNKNOWN}", page_size=201), "PAGE_SIZE_OUT_OF_RANGE"),
        (pb.ListBookingsRequest(booker=f"principals/{UNKNOWN}", page_token="?"), "INVALID_PAGE_TOKEN"),
        (pb.ListBookingsRequest(booker=f"principals/{UNKNOWN}", from_time_ms=2**64 - 1), "FIELD_INVALID"),
        (pb.ListBookingsRequest(booker=f"principals/{UNKNOWN}", until_time_ms=2**63), "FIELD_INVALID"),
        (pb.FindFreeSlotRequest(resource=f"resources/{UNKNOWN}"), "FIELD_INVALID"),
        (pb.FindFreeSlotRequest(resource=f"resources/{UNKNOWN}", minutes=1), "RESOURCE_UNKNOWN"),
        (pb.FindFreeSlotRequest(resource=f"resources/{UNKNOWN}", minutes=2**32 - 1), "FIELD_INVALID"),
        (pb.FindFreeSlotRequest(resource="x", minutes=1), "MALFORMED_NAME"),
        (pb.ListOffersRequest(provider="x"), "MALFORMED_NAME"),
        (pb.ListOffersRequest(page_size=2**32 - 1), "PAGE_SIZE_OUT_OF_RANGE"),
        (pb.ListOffersRequest(page_token="x" * 100), "INVALID_PAGE_TOKEN"),
        (pb.ListAgreementsRequest(party="x"), "MALFORMED_NAME"),
        (pb.ListAgreementsRequest(page_size=201), "PAGE_SIZE_OUT_OF_RANGE"),
        (pb.ListAgreementsRequest(page_token="x"), "INVALID_PAGE_TOKEN"),
    ],
)
async def test_reads_of_what_is_malformed_or_not_there_are_refused(
    served: Served, request_: Message, reason: str
) -> None:
    method = request_.DESCRIPTOR.name.removesuffix("Request")
    refused = await served.refusal(getattr(served.stub, method)(request_, timeout=10))
    assert refused.reason == reason


async def test_a_token_of_one_list_is_none_of_another(served: Served) -> None:
    farm = served.market.people.person("farm")
    for number in range(3):
        await served.resource(farm, str(number))
    page = await served.stub.ListResources(pb.ListResourcesRequest(page_size=1))
    owner = f"principals/{farm.principal.hex()}"
    for request in (
        pb.ListResourcesRequest(owner=owner, page_token=page.next_page_token),
        pb.ListOffersRequest(page_token=page.next_page_token),
    ):
        method = request.DESCRIPTOR.name.removesuffix("Request")
        refused = await served.refusal(getattr(served.stub, method)(request, timeout=10))
        assert refused.reason == "INVALID_PAGE_TOKEN"


async def test_a_repeat_gets_the_first_answer_whatever_would_refuse_it_now(served: Served) -> None:
    market = served.market
    farm, anna, ben = (market.people.person(name) for name in ("farm", "anna", "ben"))
    market.join(anna, farm)
    market.ledger.accounts[b"c" * 16] = AccountSeen(farm.principal, b"u" * 16)
    sent: list[tuple[str, SignedCommand, Any]] = []

    async def write(person: Person, request: Message) -> Any:
        method = request.DESCRIPTOR.name
        signed = person.sign(method, request, market.clock.ms)
        sent.append((method, signed, await served.send(method, signed)))
        return sent[-1][2]

    tractor = pb.AddResource(
        owner=farm.principal, title="Tractor", specification="tractor", rules=always_open()
    )
    added = (await write(anna, tractor)).resource
    publish = pb.PublishOffer(
        action=pb.OFFER_ACTION_WORK,
        title="Hour",
        specification="hour",
        quantity=2,
        measure="h",
        price_minor=3,
        account=b"c" * 16,
        fulfil_within_ms=60_000,
        expire_time_ms=NOW + 1,
    )
    offer = (await write(farm, publish)).offer
    accept = pb.AcceptOffer(offer=bare(offer.name), quantity=2, price_minor=3, expire_time_ms=NOW + 60_000)
    agreement = (await write(ben, accept)).agreement
    await write(ben, pb.WithdrawAgreement(agreement=bare(agreement.name)))
    await write(anna, pb.RemoveResource(resource=bare(added.name)))
    # Anna is a member no more, the account is gone, the offer has expired, and no peer answers.
    market.permissions.known.clear()
    market.ledger.accounts.clear()
    market.clock.ms += 1_000

    async def nobody_answers(*_: object) -> Any:
        raise Unavailable("TOO_FEW_VALIDATORS_AGREE", "nobody answers")

    market.ledger.now_ms = market.ledger.held_at = nobody_answers  # type: ignore[method-assign]
    before = await market.event_names()
    for method, signed, first in sent:
        assert await served.send(method, signed) == first, method
    assert await market.event_names() == before
    assert (await served.refusal(served.write(anna, tractor))).reason == "NOT_A_MEMBER"


async def test_owners_members_and_providers_have_bounds_and_what_is_removed_counts_no_more(
    served: Served,
) -> None:
    market, stub = served.market, served.stub
    farm, anna, ben = (market.people.person(name) for name in ("farm", "anna", "ben"))
    market.join(anna, farm)
    market.join(ben, farm)
    tractor = pb.AddResource(
        owner=farm.principal, title="Tractor", specification="tractor", rules=always_open()
    )
    async with market.database.transaction() as connection:  # as if they had been added one by one
        values = "'t', '', 't', '', 0, 1440, 0, 1, 9, 9, ARRAY[]::bytea[], 0, 0"
        await connection.execute(
            "INSERT INTO resources (id, owner, added_by, title, note, specification, audience, open_minute, "
            "close_minute, utc_offset_minutes, minutes_min, minutes_max, ahead_days_max, photos, "
            f"added_at_ms, removed_at_ms) SELECT decode(md5(n::text), 'hex'), %s, "
            f"CASE WHEN n <= 49 THEN %s ELSE %s END, {values} FROM generate_series(1, 198) n",
            (farm.principal, anna.principal, farm.principal),
        )
    mine = (await served.write(anna, tractor)).resource
    refused = await served.refusal(served.write(anna, tractor))
    assert (refused.reason, refused.metadata["resources_max"]) == ("TOO_MANY_RESOURCES", "50")
    await served.write(ben, tractor)
    refused = await served.refusal(served.write(farm, tractor))
    assert (refused.reason, refused.metadata["resources_max"]) == ("TOO_MANY_RESOURCES", "200")
    booking = (await served.write(ben, wish(bare(mine.name), 60, 120))).booking
    remove = pb.RemoveResource(resource=bare(mine.name))
    assert (await served.refusal(served.write(ben, remove))).reason == "NOT_YOUR_RESOURCE"
    refused = await served.refusal(served.write(anna, remove))
    assert (refused.reason, refused.metadata["bookings"]) == ("RESOURCE_BOOKED", "1")
    await served.write(ben, pb.CancelBooking(booking=bare(booking.name)))
    removed = (await served.write(anna, remove)).resource
    assert removed.remove_time_ms == NOW
    for request in (remove, wish(bare(mine.name), 60, 120)):
        assert (await served.refusal(served.write(anna, request))).reason == "RESOURCE_REMOVED"
    slot = pb.FindFreeSlotRequest(resource=mine.name, minutes=9)
    assert (await served.refusal(stub.FindFreeSlot(slot))).reason == "RESOURCE_REMOVED"
    listed = (await stub.ListResources(pb.ListResourcesRequest(page_size=200))).resources
    assert len(listed) == 199 and mine.name not in {one.name for one in listed}
    assert (await stub.GetResource(pb.GetResourceRequest(name=mine.name))).resource == removed
    history = pb.ListBookingsRequest(resource=mine.name, include_cancelled=True)
    assert [one.name for one in (await stub.ListBookings(history)).bookings] == [booking.name]
    assert (await market.event_names())[-1] == "resource_removed"
    await served.write(farm, tractor)
    market.ledger.accounts[b"c" * 16] = AccountSeen(farm.principal, b"u" * 16)
    publish = pb.PublishOffer(
        action=pb.OFFER_ACTION_WORK,
        title="Hour",
        specification="hour",
        quantity=2,
        measure="h",
        price_minor=3,
        account=b"c" * 16,
        fulfil_within_ms=60_000,
    )
    offers = [(await served.write(farm, publish)).offer for _ in range(200)]
    refused = await served.refusal(served.write(farm, publish))
    assert (refused.reason, refused.metadata["offers"]) == ("TOO_MANY_OFFERS", "200")
    await served.write(farm, pb.CloseOffer(offer=bare(offers[0].name)))
    await served.write(farm, publish)


async def test_fields_of_the_wrong_size_are_refused(served: Served) -> None:
    anna = served.market.people.person("anna")
    for request in (
        pb.AddResource(owner=b"x" * 17, title="x", specification="x", rules=always_open()),
        pb.AddResource(owner=anna.principal, title="x" * 121, specification="x", rules=always_open()),
        pb.BookResource(resource=b"x"),
        pb.BookResource(resource=b"x" * 16, if_taken=9),  # type: ignore[arg-type]
        pb.CancelBooking(booking=b"x" * 15),
        pb.EndBooking(booking=b""),
        pb.CloseOffer(offer=b"x"),
        pb.AcceptOffer(offer=b"x"),
        pb.ReportDelivery(agreement=b"x"),
        pb.ConfirmDelivery(agreement=b"x" * 32),
        pb.ReportReturn(agreement=b"x" * 16, transaction_id=b"x"),
    ):
        refused = await served.refusal(served.write(anna, request))
        assert refused.reason == "FIELD_INVALID", request
    for request, reason in (
        (wish(b"x" * 16, 1, 2), "RESOURCE_UNKNOWN"),
        (pb.CancelBooking(booking=b"x" * 16), "BOOKING_UNKNOWN"),
        (pb.EndBooking(booking=b"x" * 16), "BOOKING_UNKNOWN"),
        (pb.CloseOffer(offer=b"x" * 16), "OFFER_UNKNOWN"),
        (pb.AcceptOffer(offer=b"x" * 16, quantity=1), "OFFER_UNKNOWN"),
        (pb.ReportDelivery(agreement=b"x" * 16), "AGREEMENT_UNKNOWN"),
        (pb.ConfirmDelivery(agreement=b"x" * 16), "AGREEMENT_UNKNOWN"),
    ):
        assert (await served.refusal(served.write(anna, request))).reason == reason
