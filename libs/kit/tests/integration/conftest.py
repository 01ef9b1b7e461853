from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.server import GrpcServer

SERVICE = "icn.test.v1.EchoService"
UNARY = f"/{SERVICE}/Unary"
UPLOAD = f"/{SERVICE}/Upload"
WATCH = f"/{SERVICE}/Watch"
CHAT = f"/{SERVICE}/Chat"


class Echo:
    """A service of the four shapes of call whose behaviour each test puts in."""

    async def unary(self, request: EventEnvelope, context: Any) -> EventEnvelope:
        return request

    async def upload(self, requests: Any, context: Any) -> EventEnvelope:
        return EventEnvelope(height=len([request async for request in requests]))

    async def watch(self, request: EventEnvelope, context: Any) -> Any:
        for height in range(request.height):
            yield EventEnvelope(height=height)

    async def chat(self, requests: Any, context: Any) -> Any:
        async for request in requests:
            yield request


def add_echo(servicer: Echo, server: Any) -> None:
    parse, serialize = EventEnvelope.FromString, EventEnvelope.SerializeToString
    server.add_registered_method_handlers(
        SERVICE,
        {
            "Unary": grpc.unary_unary_rpc_method_handler(servicer.unary, parse, serialize),
            "Upload": grpc.stream_unary_rpc_method_handler(servicer.upload, parse, serialize),
            "Watch": grpc.unary_stream_rpc_method_handler(servicer.watch, parse, serialize),
            "Chat": grpc.stream_stream_rpc_method_handler(servicer.chat, parse, serialize),
        },
    )


Serve = Callable[..., Awaitable[GrpcServer]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers for one test: ``await serve(Echo(), ...)``."""
    servers: list[GrpcServer] = []

    async def start(servicer: Echo, address: str = "127.0.0.1:0", **arguments: Any) -> GrpcServer:
        server = GrpcServer(address, [(add_echo, servicer)], **arguments)
        await server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.drain(0.1)
