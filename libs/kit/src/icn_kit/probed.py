"""Parts of a node that share a process, behind one door for metrics and probes."""

from __future__ import annotations

from typing import Protocol

from icn_kit.lifecycle import Service
from icn_kit.telemetry import MetricsServer


class Part(Service, Protocol):
    """A service that says why it can do no more."""

    @property
    def fault(self) -> str:
        """Empty while it serves."""
        ...


class Probed:
    """What `icn_kit.lifecycle.run_service` keeps alive. The door opens first: a start may take long, and its
    progress shows in the metrics."""

    def __init__(self, parts: tuple[Part, ...], metrics_host: str, metrics_port: int) -> None:
        """``parts``: in the order in which they start; they drain in the opposite one."""
        self._parts = parts
        self._phase = "starting"
        self._metrics = MetricsServer(metrics_host, metrics_port, self._fault)

    async def start(self) -> None:
        """Start the parts; healthy once all serve."""
        await self._metrics.start()
        for part in self._parts:
            await part.start()
        self._phase = ""

    async def drain(self) -> None:
        """Drain the parts."""
        self._phase = "draining"
        for part in reversed(self._parts):
            await part.drain()
        await self._metrics.close()

    def _fault(self) -> str:
        return next((fault for fault in (self._phase, *(part.fault for part in self._parts)) if fault), "")
