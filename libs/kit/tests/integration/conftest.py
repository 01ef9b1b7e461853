from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.bus import Bus, stream_name
from icn_kit.database import Database
from icn_kit.envelope import new_event_id, parse_envelope
from icn_kit.inbox import create_inbox_statements
from icn_kit.outbox import Outbox, create_outbox_statements
from icn_kit.server import GrpcServer
from icn_localnet.nats import NatsServer
from icn_localnet.pytest_plugin import DatabaseFor

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


@pytest.fixture
def dsn(database_for: DatabaseFor) -> str:
    """A fresh database with an empty schema ``kit`` that the role ``kit`` owns."""
    return database_for("icn_kit")


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """The fresh database, opened, with an outbox, an inbox and a table of effects."""
    opened = await Database.open(dsn, "kit", pool_size=8)
    async with opened.transaction() as connection:
        for statement in (*create_outbox_statements(), *create_inbox_statements()):
            await connection.execute(statement)
        await connection.execute("CREATE TABLE effect (position bigserial, event_id bytea, note text)")
    yield opened
    await opened.close()


@pytest.fixture
def service() -> str:
    """A service name of the test's own, and so a stream of its own."""
    return f"test_{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def bus(nats_server: NatsServer, service: str) -> AsyncIterator[Bus]:
    connected = await Bus.connect(nats_server.url, "test")
    yield connected
    await connected.delete_stream(service)  # NATS reserves its space
    await connected.close()


@pytest.fixture
def make_event(service: str) -> Callable[..., EventEnvelope]:
    def make(aggregate: str = "accounts/a", event: str = "changed", **fields: Any) -> EventEnvelope:
        return EventEnvelope(
            **{
                "id": new_event_id(),
                "zone": b"z" * 16,
                "schema_version": 1,
                "subject": f"icn.{service}.v1.{event}",
                "aggregate": aggregate,
                **fields,
            }
        )

    return make


MakeEvent = Callable[..., EventEnvelope]
AddEvents = Callable[..., Awaitable[list[EventEnvelope]]]


@pytest.fixture
def add_events(make_event: MakeEvent) -> AddEvents:
    """Commits events numbered by their height: ``await add_events(database, 0, 10)``."""

    async def add(database: Database, start: int, stop: int) -> list[EventEnvelope]:
        events = [make_event(height=height) for height in range(start, stop)]
        async with database.transaction() as connection:
            await Outbox().add_many(connection, events)
        return events

    return add


@pytest.fixture
async def own_nats(localnet_directory: Path, service: str) -> AsyncIterator[NatsServer]:
    """A NATS server of the test's own, which it may kill and wipe."""
    server = NatsServer(localnet_directory / service)
    server.start()
    yield server
    server.stop()


async def stream_of(bus: Bus, service: str) -> list[EventEnvelope]:
    """Everything that is in the stream of a service, in its order."""
    state = await bus.stream_state(service)
    if state is None:
        return []
    found = []
    for sequence in range(1, state.last_sequence + 1):
        message = await bus.streams.get_msg(stream_name(service), seq=sequence)
        found.append(parse_envelope(message.data or b""))
    return found


async def until(claim: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Return once ``claim()`` holds."""
    async with asyncio.timeout(seconds):
        while not await claim():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(0.05)


async def until_published(bus: Bus, service: str, count: int, seconds: float = 20) -> list[EventEnvelope]:
    """The stream once it has ``count`` events."""

    async def is_there() -> bool:
        state = await bus.stream_state(service) if bus.is_connected else None
        return state is not None and state.last_sequence >= count

    await until(is_there, seconds)
    return await stream_of(bus, service)


def heights(events: list[EventEnvelope]) -> list[int]:
    return [event.height for event in events]
