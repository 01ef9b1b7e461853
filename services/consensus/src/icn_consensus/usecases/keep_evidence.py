"""What seats did wrong, on its way to disk: the first proof of each seat and epoch.

It is kept beside the protocol, which never waits for it: what is not on disk when the process dies is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import structlog
from icn_kit.errors import Unavailable

from icn_consensus.domain.actions import Report
from icn_consensus.metrics import EVIDENCE
from icn_consensus.usecases.ports import Evidence, EvidenceStore

WAITING_MAX: Final = 256
"""Five full sets of liars, while Postgres is away."""
RETRY_SECONDS: Final = 1.0

_log = structlog.get_logger(__name__)


class EvidenceKeeper:
    """Takes reports with evidence; `run` keeps it going."""

    def __init__(self, store: EvidenceStore) -> None:
        self._store = store
        self._waiting: deque[Evidence] = deque()
        self._has_waiting = asyncio.Event()
        self._newest: dict[int, int] = {}
        """By seat, the epoch of the newest proof that was taken."""

    def put(self, report: Report) -> None:
        """Take a report, unless one of its seat and epoch was taken before or too many wait."""
        if self._newest.get(report.seat, -1) >= report.epoch or len(self._waiting) >= WAITING_MAX:
            return
        self._newest[report.seat] = report.epoch
        EVIDENCE.inc()
        self._waiting.append(Evidence(report.epoch, report.seat, report.view, report.evidence))
        self._has_waiting.set()

    async def run(self) -> None:
        """Store what was taken, until cancelled."""
        while True:
            await self._has_waiting.wait()
            while self._waiting:
                await self._store_persistently(self._waiting[0])
                self._waiting.popleft()
            self._has_waiting.clear()

    async def _store_persistently(self, evidence: Evidence) -> None:
        while True:
            try:
                await self._store.add(evidence)
            except Unavailable as error:
                _log.warning("evidence cannot be stored", seat=evidence.seat, problem=error.message)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
