"""The process of one validator: consensus and ledger in one event loop.

``python -m icn_localnet.validator CONFIGURATION.json``; the file is written by `icn_localnet.parts` and holds
the settings of both services, which in an image come from the environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Protocol

from icn_consensus.main import build as build_consensus
from icn_consensus.settings import ConsensusSettings
from icn_kit.lifecycle import Service, Stop, run_service
from icn_kit.telemetry import MetricsServer, configure_logging
from icn_ledger.main import build as build_ledger
from icn_ledger.settings import LedgerSettings


class Part(Service, Protocol):
    """A service that says why it can do no more."""

    @property
    def fault(self) -> str:
        """Empty while it serves."""
        ...


class Validator:
    """Ledger and consensus of one seat, and one door for metrics and probes."""

    def __init__(self, ledger: Part, consensus: Part, metrics_host: str, metrics_port: int) -> None:
        self._parts = (ledger, consensus)
        self._phase = "starting"
        self._metrics = MetricsServer(metrics_host, metrics_port, self._fault)

    async def start(self) -> None:
        """Start the ledger, then consensus, which shakes hands with it; healthy once both serve."""
        await self._metrics.start()
        for part in self._parts:
            await part.start()
        self._phase = ""

    async def drain(self) -> None:
        """Drain in the opposite order."""
        self._phase = "draining"
        for part in reversed(self._parts):
            await part.drain()
        await self._metrics.close()

    def _fault(self) -> str:
        return next((fault for fault in (self._phase, *(part.fault for part in self._parts)) if fault), "")


async def build(document: dict[str, Any], stop: Stop) -> Validator:
    """Both services over their settings, not yet started."""
    ledger = await build_ledger(LedgerSettings(**document["ledger"]), stop)
    consensus = await build_consensus(
        ConsensusSettings(**document["consensus"]),
        stop,
        application=lambda: ledger.application,
    )
    host, _, port = document["metrics"].rpartition(":")
    return Validator(ledger, consensus, host, int(port))


def main() -> None:
    """Run until a signal; exits with 0 after a clean drain."""
    document = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    configure_logging(f"validator-{document['seat']}")

    async def make(stop: Stop) -> Validator:
        return await build(document, stop)

    sys.exit(run_service(make))


if __name__ == "__main__":
    main()
