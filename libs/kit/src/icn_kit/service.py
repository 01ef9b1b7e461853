"""A service of the host, put together: what every ``main.py`` does alike.

A service's ``main.py`` names its parts and nothing else::

    async def assemble(foundation: Foundation) -> Parts:
        return Parts(servicers=[(add_IdentityServiceServicer_to_server, IdentityServicer(foundation))])

    async def build(settings: IdentitySettings, stop: Stop) -> HostedService:
        return await HostedService.build("identity", settings, stop, assemble)

    def main() -> None:
        run_hosted("identity", IdentitySettings, build)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from icn_kit.block_clock import BlockClock
from icn_kit.bus import Bus
from icn_kit.channel import ChannelFactory
from icn_kit.clock import Clock, SystemClock
from icn_kit.commands import CommandVerifier
from icn_kit.database import POOL_SIZE_DEFAULT, Database
from icn_kit.genesis import Genesis, load_genesis
from icn_kit.inbox import Consumer
from icn_kit.key_directory import LedgerKeyDirectory
from icn_kit.ledger_streams import WATCH_BLOCKS
from icn_kit.lifecycle import Stop, cancel_all, run_service
from icn_kit.relay import Relay
from icn_kit.sealing import read_sealing_key
from icn_kit.server import AddServicer, GrpcServer
from icn_kit.server_certificates import ServerCertificates
from icn_kit.settings import HostedSettings, read_settings
from icn_kit.telemetry import MetricsServer, configure_logging
from icn_kit.validators import Validators

DRAIN_SECONDS = 5.0
"""What is under way gets this long; nothing of a service takes longer than a call."""

SettingsT = TypeVar("SettingsT", bound=HostedSettings)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Foundation:
    """What a service stands on, open before its own parts are made."""

    genesis: Genesis
    clock: Clock
    database: Database
    """Its schema."""
    sealing_key: bytes
    """For `icn_kit.blobs` and `icn_kit.sealing`."""
    bus: Bus
    channels: ChannelFactory
    """To the services in ``addresses``; calls are tried again where the method is named idempotent."""
    addresses: Mapping[str, str]
    """Of the services of the host, by name."""
    validators: Validators
    """The ledger and the pool. What authority or money rests on is read from ``validators.agreed``."""
    keys: LedgerKeyDirectory
    commands: CommandVerifier
    block_clock: BlockClock


@dataclass(frozen=True)
class Parts:
    """What a service is made of."""

    servicers: Sequence[tuple[AddServicer, Any]]
    """Pairs of a generated ``add_…Servicer_to_server`` and the servicer."""
    consumers: Sequence[Consumer] = ()
    tasks: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)
    """What runs for ever beside the calls, by name; the process ends when one fails."""
    long_lived_streams: Collection[str] = ()
    """Full names of streams that no deadline ends."""
    before_serving: Callable[[], Awaitable[None]] | None = None
    """Awaited before the first call is taken, for instance to fill a memory from the database."""


Assemble = Callable[[Foundation], Awaitable[Parts]]


class HostedService:
    """A service with its database, bus, relay, consumers, server and door for probes. Made by `build`."""

    def __init__(
        self, name: str, settings: HostedSettings, stop: Stop, assemble: Assemble, clock: Clock
    ) -> None:
        self._name = name
        self._settings = settings
        self._stop = stop
        self._assemble = assemble
        self._clock = clock
        self._genesis = load_genesis(settings.genesis)
        self._fault = "starting"
        self._metrics = MetricsServer(settings.metrics_host, settings.metrics_port, lambda: self._fault)
        self._opened = AsyncExitStack()
        """Closed in the opposite order when the service drains."""
        self._server: GrpcServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def build(
        cls,
        name: str,
        settings: HostedSettings,
        stop: Stop,
        assemble: Assemble,
        clock: Clock | None = None,
    ) -> HostedService:
        """The service ``name``, whose schema and events are called so too, not yet started.

        Raises:
            GenesisInvalid, OSError: the genesis file.
        """
        return cls(name, settings, stop, assemble, clock or SystemClock())

    @property
    def address(self) -> str:
        """Where it listens, port filled in."""
        assert self._server is not None, "started first"
        return self._server.address

    @property
    def metrics_port(self) -> int:
        """Port of the door for metrics and probes."""
        return self._metrics.port

    async def start(self) -> None:
        """Open what it stands on, make its parts, take calls. Validators and NATS may come later.

        Raises:
            UnsafeDatabase, Unavailable: the database; nothing is served.
            SealingKeyInvalid, OSError: the sealing key.
        """
        await self._metrics.start()
        self._opened.push_async_callback(self._metrics.close)
        foundation = await self._open()
        parts = await self._assemble(foundation)
        if parts.before_serving is not None:
            await parts.before_serving()
        self._server = GrpcServer(
            self._settings.address,
            parts.servicers,
            self._settings.tls,
            long_lived_streams=parts.long_lived_streams,
        )
        if self._settings.tls is not None:
            url, dsn = self._settings.nats_url, self._settings.database_url.get_secret_value()
            self._guard("server certificates", ServerCertificates(self._settings.tls, url, dsn).run())
        self._guard("validator standings", foundation.validators.watch())
        self._guard("block clock", foundation.block_clock.run())
        self._guard("relay", Relay(foundation.database, foundation.bus, self._name).run())
        for consumer in parts.consumers:
            self._guard(f"consumer {consumer.name}", consumer.run())
        for name, work in parts.tasks.items():
            self._guard(name, work())
        await self._server.start()
        self._fault = ""
        _log.info("serving", address=self._server.address, metrics_port=self._metrics.port)

    async def drain(self) -> None:
        """Refuse new calls, finish those under way, release everything."""
        self._fault = "draining"
        if self._server is not None:
            await self._server.drain(DRAIN_SECONDS)
        await cancel_all(self._tasks)
        await self._opened.aclose()

    async def _open(self) -> Foundation:
        settings = self._settings
        database = await Database.open(
            settings.database_url.get_secret_value(), self._name, pool_size=POOL_SIZE_DEFAULT
        )
        self._opened.push_async_callback(database.close)
        bus = await Bus.connect(
            settings.nats_url,
            self._name,
            user=settings.nats_user or None,
            password=settings.bus_password,
            tls=settings.tls,
            stream_replicas=settings.nats_stream_replicas,
        )
        self._opened.push_async_callback(bus.close)
        channels = ChannelFactory(settings.tls, long_lived_streams=(WATCH_BLOCKS,))
        self._opened.push_async_callback(channels.close)
        validators = Validators(settings.validator_addresses, channels)
        keys = LedgerKeyDirectory(validators.agreed)
        return Foundation(
            genesis=self._genesis,
            clock=self._clock,
            database=database,
            sealing_key=read_sealing_key(settings.sealing_key_file),
            bus=bus,
            channels=channels,
            addresses=settings.services,
            validators=validators,
            keys=keys,
            commands=CommandVerifier(self._genesis.hash, keys, self._clock),
            block_clock=BlockClock(validators.sources(), validators.faulty_max + 1),
        )

    def _guard(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._stop.guard(work, f"{self._name}: {name}"))


def run_hosted(
    name: str,
    settings_type: type[SettingsT],
    build: Callable[[SettingsT, Stop], Awaitable[HostedService]],
) -> None:
    """Run the service from the environment's settings until a signal; exits with 0 after a clean drain."""
    configure_logging(name)
    settings = read_settings(settings_type)

    async def make(stop: Stop) -> HostedService:
        return await build(settings, stop)

    sys.exit(run_service(make))
