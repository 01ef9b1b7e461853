"""Puts vm together: ``icn-vm``, settings from the environment."""

from __future__ import annotations

import sys

import structlog
from icn_kit.database import Database
from icn_kit.lifecycle import Stop, run_service
from icn_kit.server import GrpcServer
from icn_kit.telemetry import MetricsServer, configure_logging

from icn_vm.settings import VmSettings

SCHEMA = "vm"
POOL_SIZE = 1
"""Code is written when it is first seen and read after a start."""
DRAIN_SECONDS = 3.0

_log = structlog.get_logger(__name__)


class Service:
    """A running vm. Made by `build`."""

    def __init__(self, settings: VmSettings) -> None:
        self._settings = settings
        self._fault = "starting"
        self._metrics = MetricsServer(settings.metrics_host, settings.metrics_port, lambda: self._fault)
        self._database: Database | None = None
        self._server = GrpcServer(settings.address, [])

    @property
    def metrics_port(self) -> int:
        """Port of the door for metrics and probes."""
        return self._metrics.port

    async def start(self) -> None:
        """Open the database and serve.

        Raises:
            UnsafeDatabase, Unavailable: the database; nothing is served.
        """
        await self._metrics.start()
        self._database = await Database.open(
            self._settings.database_url.get_secret_value(), SCHEMA, pool_size=POOL_SIZE
        )
        await self._server.start()
        self._fault = ""
        _log.info("vm serves", address=self._server.address, metrics_port=self._metrics.port)

    async def drain(self) -> None:
        """Refuse new calls, finish those under way, release everything."""
        self._fault = "draining"
        await self._server.drain(DRAIN_SECONDS)
        if self._database is not None:
            await self._database.close()
        await self._metrics.close()


async def build(settings: VmSettings, _stop: Stop) -> Service:
    """A vm over ``settings``, not yet started."""
    return Service(settings)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    configure_logging("vm")
    settings = VmSettings()  # type: ignore[call-arg]  # from the environment

    async def make(stop: Stop) -> Service:
        return await build(settings, stop)

    sys.exit(run_service(make))


if __name__ == "__main__":
    main()
