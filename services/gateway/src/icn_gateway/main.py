"""Puts the gateway together: ``icn-gateway``, settings from the environment."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import structlog
from icn_kit.bus import Bus
from icn_kit.channel import ChannelFactory
from icn_kit.clock import SystemClock
from icn_kit.genesis import GENESIS_BYTES_MAX, parse_genesis
from icn_kit.key_directory import LedgerKeyDirectory
from icn_kit.ledger_streams import WATCH_ACCOUNT, WATCH_BLOCKS
from icn_kit.lifecycle import Stop, cancel_all, run_service
from icn_kit.settings import read_settings
from icn_kit.telemetry import MetricsServer, configure_logging
from icn_kit.validators import Validators

from icn_gateway.api.application import build_application
from icn_gateway.api.context import Context
from icn_gateway.api.edge import Edge
from icn_gateway.api.pages import Website
from icn_gateway.api.server import HttpServer
from icn_gateway.domain.rate_limit import SIGN_INS_BURST, SIGN_INS_PER_SECOND, RateLimit
from icn_gateway.events.documents import EVENT_FILES
from icn_gateway.events.feed import Feed
from icn_gateway.events.stream import ServiceStream
from icn_gateway.peers.services import METHODS_OF_SERVICES, ServicePeers
from icn_gateway.settings import GatewaySettings
from icn_gateway.store.sessions import PostgresSessions
from icn_gateway.usecases.list_validators import ValidatorWatch
from icn_gateway.usecases.name_book import NameBook
from icn_gateway.usecases.seats_in_force import SeatsInForce
from icn_gateway.usecases.shared_reads import SharedReads
from icn_gateway.usecases.sign_in import SignIn
from icn_gateway.usecases.units import UnitCatalog
from icn_gateway.usecases.watched_accounts import WatchedAccounts

_log = structlog.get_logger(__name__)


class Gateway:
    """The running service.

    Raises:
        OSError: the genesis file or the page's folder cannot be read.
        GenesisInvalid: the genesis file is none.
    """

    def __init__(self, settings: GatewaySettings, stop: Stop, bus: Bus | None) -> None:
        self._settings = settings
        self._stop = stop
        with settings.genesis.open("rb") as file:
            genesis_file = file.read(GENESIS_BYTES_MAX + 1)
        self._channels = ChannelFactory(settings.tls, long_lived_streams=(WATCH_BLOCKS, WATCH_ACCOUNT))
        self._service_channels = ChannelFactory(settings.tls, idempotent_methods=METHODS_OF_SERVICES)
        self._validators = Validators(settings.addresses, self._channels)
        self._bus = bus
        self._feed = Feed(
            {} if bus is None else {service: ServiceStream(bus, service) for service in EVENT_FILES}
        )
        self._watched = WatchedAccounts(self._validators)
        genesis = parse_genesis(genesis_file)
        self._sessions = PostgresSessions(settings.database_url.get_secret_value())
        services = ServicePeers(settings.services, self._service_channels, self._validators)
        shared = SharedReads(services)
        context = Context(
            genesis=genesis,
            genesis_file=genesis_file,
            ledger=self._validators,
            pool=self._validators,
            services=services,
            shared=shared,
            book=NameBook(
                {organization.principal: organization.name for organization in genesis.organizations}, shared
            ),
            validators=ValidatorWatch(self._validators),
            seats=SeatsInForce(genesis, self._validators),
            units=UnitCatalog(self._validators),
            feed=self._feed,
            watched=self._watched,
            sign_in=SignIn(
                genesis_hash=genesis.hash,
                origins=settings.public_origins,
                store=self._sessions,
                keys=LedgerKeyDirectory(self._validators.agreed),
                clock=SystemClock(),
            ),
            sign_in_limit=RateLimit(SIGN_INS_PER_SECOND, SIGN_INS_BURST),
        )
        edge = Edge(
            build_application(context, Website(settings.web_folder)),
            RateLimit(settings.requests_per_second, settings.requests_burst),
            settings.trusted_proxy_hops,
            trace_ratio=settings.trace_ratio,
        )
        self._server = HttpServer(edge, settings.host, settings.port)
        self._fault = "starting"
        self._metrics = MetricsServer(settings.metrics_host, settings.metrics_port, lambda: self._fault)
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Accept requests. Validators and the bus may come later: the page says so meanwhile."""
        await self._metrics.start()
        self._tasks.append(self._stop.guard(self._validators.watch(), "validator standings"))
        self._tasks.append(self._stop.guard(self._feed.run(), "event feed"))
        await self._server.start()
        self._tasks.append(self._stop.guard(self._server.wait(), "http server"))
        self._fault = ""
        _log.info(
            "serving",
            url=f"http://{self._settings.host}:{self._settings.port}",
            metrics_port=self._metrics.port,
        )

    async def drain(self) -> None:
        """Refuse new requests, finish those under way, end event streams, release everything."""
        self._fault = "draining"
        self._feed.drain()
        self._watched.drain()
        await self._server.drain()
        await cancel_all(self._tasks)
        await self._channels.close()
        await self._service_channels.close()
        await self._sessions.close()
        if self._bus is not None:
            await self._bus.close()
        await self._metrics.close()


async def build(settings: GatewaySettings, stop: Stop) -> Gateway:
    """A gateway over ``settings``, not yet started. Does not need the bus to be there."""
    bus = None
    if settings.nats_url:
        user = settings.nats_user or None
        bus = await Bus.connect(
            settings.nats_url, "gateway", user=user, password=settings.bus_password, tls=settings.tls
        )
    return Gateway(settings, stop, bus)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    configure_logging("gateway")

    settings = read_settings(GatewaySettings)

    async def make(stop: Stop) -> Gateway:
        return await build(settings, stop)

    sys.exit(run_service(make))


if __name__ == "__main__":
    main()
