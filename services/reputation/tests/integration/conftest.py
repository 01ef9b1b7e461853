"""Reputation over a real Postgres and a NATS of its own, beside a ledger that answers what a test says."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.service_pb2_grpc import LedgerServiceServicer, add_LedgerServiceServicer_to_server
from icn.reputation.v1 import service_pb2 as pb
from icn.reputation.v1.service_pb2_grpc import ReputationServiceStub
from icn_crypto.suites import SigningKey, Suite
from icn_kit.bus import DEAD_LETTER_SUBJECT, DEAD_LETTERS, Bus
from icn_kit.lifecycle import Stop
from icn_kit.server import GrpcServer
from icn_kit.service import HostedService
from icn_localnet.files import sealing_key
from icn_localnet.nats import NatsServer
from icn_localnet.network import Founder, create_network
from icn_localnet.pytest_plugin import DatabaseFor
from icn_reputation.main import build
from icn_reputation.settings import ReputationSettings

from services.reputation.tests.conftest import FOUNDERS, principal

WAIT_SECONDS_MAX = 30.0


async def until(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the answer is true, which it has to become."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not (answer := await ask()):  # noqa: ASYNC110 - what is asked is elsewhere
            await asyncio.sleep(0.02)
        return answer


@pytest.fixture(scope="session")
def genesis_path() -> Iterator[Path]:
    """The genesis file of a zone with the four founders."""
    with tempfile.TemporaryDirectory(prefix="icn-reputation-") as directory:
        founders = [
            Founder(
                name.title(),
                [{suite: SigningKey.generate(suite).public_key for suite in Suite}],
                principal=principal(name),
            )
            for name in FOUNDERS
        ]
        yield create_network(Path(directory) / "network", founders).genesis_path


@pytest.fixture
def dsn(database_for: DatabaseFor) -> str:
    """Connection string of a fresh database with reputation's tables."""
    return database_for("icn_reputation")


Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def query(dsn: str) -> Query:
    """Runs one statement in reputation's schema, on a connection of its own."""

    def run(text: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(dsn, autocommit=True, options="-c search_path=reputation") as connection:
            cursor = connection.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def nats(localnet_directory: Path) -> Iterator[NatsServer]:
    """A NATS of this test's own: streams and consumers have their names in production."""
    with tempfile.TemporaryDirectory(prefix="nats-", dir=localnet_directory) as directory:
        server = NatsServer(Path(directory) / "nats")
        server.start()
        yield server
        server.stop()


class Ledger(LedgerServiceServicer):  # type: ignore[misc]
    """Answers what a test put in."""

    def __init__(self) -> None:
        self.duties = ledger.ListDutiesResponse()
        self.accounts = ledger.ListAccountsResponse()
        self.asked: list[Any] = []

    async def ListDuties(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        return self.duties

    async def ListAccounts(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        return self.accounts


@pytest.fixture
async def ledger_server() -> AsyncIterator[tuple[Ledger, str]]:
    """The ledger and its address."""
    servicer = Ledger()
    server = GrpcServer("127.0.0.1:0", [(add_LedgerServiceServicer_to_server, servicer)])
    await server.start()
    yield servicer, server.address
    await server.drain(0.1)


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    """With the streams that others publish."""
    connected = await Bus.connect(nats.url, "test")
    for service in ("marketplace", "ledger"):
        await connected.ensure_stream(service)
    yield connected
    await connected.close()


class Reputation:
    """A running service."""

    def __init__(self, service: HostedService, bus: Bus, channel: grpc.aio.Channel) -> None:
        self.service = service
        self.bus = bus
        self.channel = channel
        self.stub = ReputationServiceStub(channel)

    async def tell(self, *events: EventEnvelope) -> None:
        """Publish events as other services' relays would."""
        for event in events:
            await self.bus.streams.publish(event.subject, event.SerializeToString())

    async def until_computed(self, evidence_count: int, dimension: str = "delivery") -> Any:
        """Return the dimension once a computation has used so many pieces."""

        async def ask() -> Any:
            answer = await self.stub.ListDimensions(pb.ListDimensionsRequest())
            (found,) = [found for found in answer.dimensions if found.name == dimension]
            is_there = found.HasField("computation") and found.computation.evidence_count >= evidence_count
            return found if is_there else None

        return await until(ask)

    async def scores(self, dimension: str = "delivery") -> dict[str, int]:
        """All scores of a dimension."""
        answer = await self.stub.ListScores(pb.ListScoresRequest(dimension=dimension, page_size=500))
        return {score.principal: score.score_nano for score in answer.scores}

    async def dead_letters(self, service: str, consumer: str) -> list[Any]:
        """What a consumer has put aside."""
        found: list[Any] = []
        sequence = 1
        while True:
            try:
                letter = await self.bus.streams.get_msg(
                    DEAD_LETTERS,
                    seq=sequence,
                    subject=f"{DEAD_LETTER_SUBJECT}.{service}.{consumer}",
                    next=True,
                )
            except Exception:  # noqa: BLE001 - no more of them, or no such stream
                return found
            found.append(letter)
            assert letter.seq is not None
            sequence = letter.seq + 1


def variables(
    genesis_path: Path, dsn: str, nats_url: str, ledger_address: str, **more: str
) -> dict[str, str]:
    """The environment of the service."""
    validators = [{"seat": 0, "consensus": ledger_address, "ledger": ledger_address}]
    settings = {
        "GENESIS": str(genesis_path),
        "VALIDATORS": json.dumps(validators),
        "DATABASE_URL": dsn,
        "SEALING_KEY_FILE": str(sealing_key(genesis_path.with_name("sealing.key"))),
        "ADDRESS": "127.0.0.1:0",
        "NATS_URL": nats_url,
        **more,
    }
    return {f"ICN_REPUTATION_{name}": value for name, value in settings.items()}


Start = Callable[..., Awaitable[Reputation]]


@pytest.fixture
async def start(
    genesis_path: Path,
    dsn: str,
    nats: NatsServer,
    bus: Bus,
    ledger_server: tuple[Ledger, str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Start]:
    """Starts the service on the test's database: ``await start()``; settings by name."""
    running: list[Reputation] = []

    async def run(**settings: str) -> Reputation:
        for name, value in variables(genesis_path, dsn, nats.url, ledger_server[1], **settings).items():
            monkeypatch.setenv(name, value)
        service = await build(ReputationSettings(), Stop())  # type: ignore[call-arg]
        await service.start()
        channel = grpc.aio.insecure_channel(service.address)
        running.append(Reputation(service, bus, channel))
        return running[-1]

    yield run
    for one in running:
        await one.channel.close()
        await one.service.drain()


@pytest.fixture
async def reputation(start: Start) -> Reputation:
    """The running service."""
    return await start()
