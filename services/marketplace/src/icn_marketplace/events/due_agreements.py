"""Watches block time and moves agreements whose time is up, for ever."""

from __future__ import annotations

import asyncio

import structlog
from icn_kit.block_clock import BlockClock
from icn_kit.errors import DomainError

from icn_marketplace.metrics import AGREEMENTS_EXPIRED
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.expire_agreements import DueAgreements, expire_agreements
from icn_marketplace.usecases.ports import Ledger, LedgerEvents, UnitsOfWork

LOOK_SECONDS = 1.0
"""Between two looks: an agreement ends at most this late, besides the margin."""

_log = structlog.get_logger(__name__)


class DueWatcher:
    """The task. Several processes may run it: each agreement is moved under its lock."""

    def __init__(
        self,
        clock: BlockClock,
        source: DueAgreements,
        units: UnitsOfWork,
        *,
        ledger: Ledger,
        events: LedgerEvents,
        announcer: Announcer,
    ) -> None:
        self._clock = clock
        self._source = source
        self._units = units
        self._ledger = ledger
        self._events = events
        self._announcer = announcer

    async def run(self) -> None:
        """Look whenever block time has gone on."""
        seen_ms = 0
        while True:
            moment = await self._clock.wait_for_time(seen_ms + 1)
            try:
                moved = await expire_agreements(
                    moment.time_ms,
                    self._source,
                    self._units,
                    ledger=self._ledger,
                    events=self._events,
                    announcer=self._announcer,
                )
            except DomainError as error:
                _log.warning("agreements that are due wait", reason=error.reason, error=error.message)
            else:
                seen_ms = moment.time_ms
                AGREEMENTS_EXPIRED.inc(moved)
            await asyncio.sleep(LOOK_SECONDS)
