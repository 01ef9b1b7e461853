"""Puts vm together: ``icn-vm``, settings from the environment."""

from __future__ import annotations

import sys

import structlog
from icn.vm.v1 import service_pb2_grpc
from icn_kit.database import Database
from icn_kit.lifecycle import EXIT_FATAL, Stop, run_service
from icn_kit.server import GrpcServer
from icn_kit.settings import read_settings
from icn_kit.telemetry import MetricsServer, configure_logging
from icn_wasm.engine import Engine

from icn_vm.api.vm_service import EXECUTE_BATCH, VmServicer
from icn_vm.settings import VmSettings
from icn_vm.store.code_store import PostgresCodeStore
from icn_vm.usecases.worker import Alarm, Worker, arm_alarm

SCHEMA = "vm"
POOL_SIZE = 2
"""One for the block under way, one for a query. Code is written when it is first seen, read after a start."""
DRAIN_SECONDS = 3.0

_log = structlog.get_logger(__name__)


class Service:
    """A running vm. Made by `build`."""

    def __init__(self, settings: VmSettings, stop: Stop, alarm: Alarm | None) -> None:
        self._settings = settings
        self._stop = stop
        self._alarm = alarm
        self._worker: Worker | None = None
        self._fault = "starting"
        self._metrics = MetricsServer(settings.metrics_host, settings.metrics_port, lambda: self._fault)
        self.database: Database | None = None
        self._server: GrpcServer | None = None

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
        self.database = await Database.open(
            self._settings.database_url.get_secret_value(), SCHEMA, pool_size=POOL_SIZE
        )
        worker = self._worker = Worker(self._on_fault, alarm=self._alarm)
        servicer = VmServicer(Engine(), worker, PostgresCodeStore(self.database))
        server = self._server = GrpcServer(
            self._settings.address,
            [(service_pb2_grpc.add_VmServiceServicer_to_server, servicer)],
            long_lived_streams=(EXECUTE_BATCH,),
        )
        await server.start()
        self._fault = ""
        _log.info("vm serves", address=server.address, metrics_port=self._metrics.port)

    async def drain(self) -> None:
        """Refuse new calls, finish those under way, release everything."""
        self._fault = "draining"
        if self._server is not None:
            await self._server.drain(DRAIN_SECONDS)
        if self._worker is not None:
            self._worker.close()
        if self.database is not None:
            await self.database.close()
        await self._metrics.close()

    def _on_fault(self, why: str) -> None:
        """A call that this machine could not run to its end is never refused: the process ends."""
        self._fault = why
        _log.critical("vm stops", why=why)
        self._stop.request(f"engine fault: {why}", EXIT_FATAL)


async def build(settings: VmSettings, stop: Stop, alarm: Alarm | None = None) -> Service:
    """A vm over ``settings``, not yet started; ``stop`` is asked to end the process on an engine fault.

    ``alarm`` ends it where even that cannot be asked for any more.
    """
    return Service(settings, stop, alarm)


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    configure_logging("vm")
    settings = read_settings(VmSettings)

    alarm = arm_alarm()

    async def make(stop: Stop) -> Service:
        return await build(settings, stop, alarm)

    sys.exit(run_service(make))


if __name__ == "__main__":
    main()
