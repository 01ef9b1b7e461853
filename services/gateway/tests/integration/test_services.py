"""The services over real gRPC: bytes arrive as signed, traces go on, a service that is away is named."""

# ruff: noqa: N802 - methods are named by the protos
from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from icn.ledger.v1 import service_pb2 as ledger
from icn.marketplace.v1 import service_pb2 as marketplace
from icn.marketplace.v1.service_pb2_grpc import (
    MarketplaceServiceServicer,
    add_MarketplaceServiceServicer_to_server,
)
from icn_gateway.api.fields import EXAMPLE_COMMAND, EXAMPLE_ID
from icn_gateway.peers.services import METHODS_OF_SERVICES, ServicePeers
from icn_gateway.usecases.contracts import COMMANDS, method
from icn_gateway.usecases.send_command import name_command, send_command
from icn_kit.channel import ChannelFactory
from icn_kit.errors import FailedPrecondition, NotFound, RemoteError, Unavailable
from icn_kit.server import GrpcServer
from icn_kit.trace import Trace, current_trace
from icn_localnet.files import free_port

SIGNED = base64.b64decode(EXAMPLE_COMMAND)


class Market(MarketplaceServiceServicer):  # type: ignore[misc]
    """Remembers what reached it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, str]] = []
        self.refusal: Exception | None = None

    def _take(self, request: Any) -> None:
        trace = current_trace.get()
        self.seen.append((request, "" if trace is None else trace.trace_id))
        if self.refusal is not None:
            raise self.refusal

    async def CloseOffer(self, request: Any, _context: Any) -> Any:
        self._take(request)
        return marketplace.CloseOfferResponse(offer=marketplace.Offer(name="offers/1"))

    async def GetOffer(self, request: Any, _context: Any) -> Any:
        self._take(request)
        return marketplace.GetOfferResponse(offer=marketplace.Offer(name=request.name))


@pytest.fixture
async def market() -> AsyncIterator[tuple[Market, str]]:
    """A marketplace on a port of its own."""
    servicer = Market()
    server = GrpcServer("127.0.0.1:0", [(add_MarketplaceServiceServicer_to_server, servicer)])
    await server.start()
    yield servicer, server.address
    await server.drain(0)


@pytest.fixture
async def peers(market: Any, validators: Any) -> AsyncIterator[ServicePeers]:
    channels = ChannelFactory(idempotent_methods=METHODS_OF_SERVICES)
    yield ServicePeers({"marketplace": market[1]}, channels, validators)
    await channels.close()


async def test_a_command_arrives_byte_for_byte_with_its_trace(peers: Any, market: Any, zone: Any) -> None:
    odd = SIGNED + b"\x7a\x01x"
    trace = Trace("ab" * 16, "cd" * 8, is_sampled=True)
    token = current_trace.set(trace)
    try:
        answer: Any = await send_command(name_command(odd, zone.genesis.hash), peers)
    finally:
        current_trace.reset(token)
    assert answer.offer.name == "offers/1"
    ((request, trace_id),) = market[0].seen
    assert trace_id == "ab" * 16
    assert request.command.SerializeToString() == odd, "an unknown field too"


async def test_a_read_is_answered_and_a_refusal_keeps_its_reason_and_numbers(peers: Any, market: Any) -> None:
    asked = method("marketplace", "GetOffer")
    answer = await peers.ask(asked, marketplace.GetOfferRequest(name=f"offers/{EXAMPLE_ID}"))
    assert answer.offer.name == f"offers/{EXAMPLE_ID}"
    market[0].refusal = FailedPrecondition("OFFER_CLOSED", "too late", quantity_left=0)
    with pytest.raises(FailedPrecondition) as refusal:
        await peers.ask(asked, marketplace.GetOfferRequest())
    assert (refusal.value.reason, refusal.value.metadata) == ("OFFER_CLOSED", {"quantity_left": "0"})


async def test_the_ledger_is_asked_through_the_validators(peers: Any, zone: Any) -> None:
    name = next(iter(zone.accounts)).hex()
    answer = await peers.ask(
        method("ledger", "GetAccount"), ledger.GetAccountRequest(name=f"accounts/{name}")
    )
    assert answer.account.leaf.account.hex() == name
    with pytest.raises(NotFound):
        await peers.ask(method("ledger", "GetAccount"), ledger.GetAccountRequest(name="accounts/" + "9" * 32))


async def test_a_service_that_is_away_is_named(validators: Any) -> None:
    channels = ChannelFactory()
    peers = ServicePeers({"marketplace": f"127.0.0.1:{free_port()}"}, channels, validators)
    with pytest.raises(Unavailable) as refusal:
        await peers.ask(method("marketplace", "GetOffer"), marketplace.GetOfferRequest())
    assert refusal.value.reason == "SERVICE_UNREACHABLE"
    assert "marketplace" in refusal.value.message
    with pytest.raises(Unavailable) as refusal:
        await peers.ask(
            method("reputation", "ListDimensions"), method("reputation", "ListDimensions").request()
        )
    assert refusal.value.reason == "SERVICE_NOT_CONFIGURED"
    await channels.close()


async def test_an_answer_that_is_none_is_a_fault_of_the_service(validators: Any) -> None:
    async def answer(_request: bytes, _context: Any) -> bytes:
        return b"\xff\xff"

    server = grpc.aio.server()
    handlers = {"GetOffer": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("icn.marketplace.v1.MarketplaceService", handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channels = ChannelFactory()
    peers = ServicePeers({"marketplace": f"127.0.0.1:{port}"}, channels, validators)
    try:
        with pytest.raises(RemoteError) as refusal:
            await peers.ask(method("marketplace", "GetOffer"), marketplace.GetOfferRequest())
        assert refusal.value.reason == "MALFORMED_ANSWER"
    finally:
        await channels.close()
        await server.stop(0)


def test_a_command_of_every_service_may_be_tried_again() -> None:
    assert set(COMMANDS) <= set(METHODS_OF_SERVICES), "its id makes a repeat harmless"
