from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from icn.consensus.v1 import application_pb2_grpc, service_pb2, service_pb2_grpc
from icn_consensus.main import Service, build
from icn_consensus.settings import ConsensusSettings
from icn_crypto.suites import SigningKey, Suite
from icn_kit.channel import ChannelFactory
from icn_kit.clock import Clock
from icn_kit.lifecycle import Stop
from icn_kit.server import GrpcServer
from icn_kit.tls import TlsFiles
from icn_localnet.certificates import Authority
from icn_localnet.network import Founder, Network, NetworkOptions, create_network
from icn_localnet.pytest_plugin import Templates

from .counting_application import CountingApplication

SEATS = 4
WAIT_SECONDS = 30.0


class Validator:
    """One validator of a test: its application, its files, and the service while it runs."""

    def __init__(self, federation: Federation, seat: int, database_url: str) -> None:
        network = federation.network
        self.seat = seat
        self.federation = federation
        self.directory = network.validator_directory(seat)
        self.tls = federation.authority.issue(f"validator-{seat}", self.directory / "tls")
        self.application_address = f"unix:{federation.sockets / str(seat)}"
        self.settings = ConsensusSettings(
            genesis=network.genesis_path,
            key_file=self.directory / "keys" / "consensus.json",
            database_url=database_url,
            record_directory=self.directory / "record",
            application_address=self.application_address,
            address=network.validators[seat].consensus,
            peers=[other.consensus for other in network.validators],
            tls_certificate=self.tls.certificate,
            tls_key=self.tls.key,
            tls_authority=self.tls.authority,
        )
        self.application = self.new_application()
        self.stop_request = Stop()
        self.service: Service | None = None
        self._server: GrpcServer | None = None

    @property
    def public_key(self) -> bytes:
        """Its Ed25519 consensus key."""
        return self.federation.network.genesis.validators[self.seat].public_keys[Suite.ED25519]

    def new_application(self) -> CountingApplication:
        return CountingApplication.of(self.federation.network.genesis)

    async def start(self, clock: Clock | None = None) -> None:
        self._server = GrpcServer(
            self.application_address,
            [(application_pb2_grpc.add_ApplicationServiceServicer_to_server, self.application)],
        )
        await self._server.start()
        self.stop_request = Stop()
        self.service = await build(self.settings, self.stop_request, clock)
        await self.service.start()

    async def stop(self) -> None:
        assert self.service is not None
        assert self._server is not None
        await self.service.drain()
        await self._server.drain(0.1)
        self.service = None
        self.application.restart()

    def stub(self) -> Any:
        return self.federation.channels.stub(
            service_pb2_grpc.ConsensusServiceStub, self.federation.network.validators[self.seat].consensus
        )

    async def status(self) -> service_pb2.GetStatusResponse:
        answer: service_pb2.GetStatusResponse = await self.stub().GetStatus(service_pb2.GetStatusRequest())
        return answer

    async def node(self) -> service_pb2.GetNodeResponse:
        answer: service_pb2.GetNodeResponse = await self.stub().GetNode(service_pb2.GetNodeRequest())
        return answer

    async def submit(self, transactions: list[bytes], wait_ms: int = 10_000) -> list[Any]:
        request = service_pb2.SubmitTransactionsRequest(transactions=transactions, wait_ms=wait_ms)
        answer = await self.stub().SubmitTransactions(request, timeout=WAIT_SECONDS)
        return list(answer.outcomes)


class Federation:
    """Four validators over loopback gRPC with mutual TLS, each with a database of its own."""

    def __init__(self, directory: Path, databases: list[str], options: NetworkOptions) -> None:
        founders = [
            Founder(
                f"Co-op {seat}",
                [{suite: SigningKey.generate(suite).public_key for suite in Suite}],
            )
            for seat in range(SEATS)
        ]
        self.network: Network = create_network(directory / "network", founders, options=options)
        self.authority = Authority(directory / "authority")
        self.authority.ensure("test")
        self.client_tls: TlsFiles = self.authority.issue("client", directory / "client")
        self.channels = ChannelFactory(
            self.client_tls, long_lived_streams=("/icn.consensus.v1.ConsensusService/StreamTransactions",)
        )
        self.sockets = directory / "s"
        self.sockets.mkdir()
        self.validators = [Validator(self, seat, databases[seat]) for seat in range(SEATS)]

    async def start(self) -> None:
        for validator in self.validators:
            await validator.start()

    async def close(self) -> None:
        running = [validator for validator in self.validators if validator.service is not None]
        await asyncio.gather(*(validator.stop() for validator in running))
        await self.channels.close()

    @property
    def applications(self) -> list[CountingApplication]:
        return [validator.application for validator in self.validators]


MakeFederation = Callable[..., Federation]


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Unix sockets have short paths."""
    directory = Path(tempfile.mkdtemp(prefix="icn-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def four_databases(database_templates: Templates) -> Iterator[list[str]]:
    """Connection strings of a migrated database for each seat; making them takes longer than a test."""
    copies = [database_templates.copy("icn_consensus") for _ in range(SEATS)]
    yield [dsn for _, dsn in copies]
    for name, _ in copies:
        database_templates.drop(name)


@pytest.fixture
def databases(four_databases: list[str]) -> list[str]:
    """The same, emptied."""
    for dsn in four_databases:
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "TRUNCATE consensus.final_blocks, consensus.record_log, consensus.evidence,"
                " consensus.key_leases"
            )
    return four_databases


@pytest.fixture
async def make_federation(short_directory: Path, databases: list[str]) -> AsyncIterator[MakeFederation]:
    made: list[Federation] = []

    def make(**options: Any) -> Federation:
        federation = Federation(short_directory, databases, NetworkOptions(**options))
        made.append(federation)
        return federation

    yield make
    for federation in made:
        await federation.close()


@pytest.fixture
async def federation(make_federation: MakeFederation) -> Federation:
    """Four running validators."""
    federation = make_federation()
    await federation.start()
    return federation


async def until(claim: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Return when the claim holds; fail when it does not in time."""
    async with asyncio.timeout(seconds):
        while not claim():  # noqa: ASYNC110 - other processes' and services' state raises no event here
            await asyncio.sleep(0.02)
