"""Waits for the block time at which a proposal is due, and moves it on. Sleeps while nothing is due."""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from icn_kit.block_clock import BlockMoment
from icn_kit.errors import DeadlineExceeded, Unavailable

from icn_governance.usecases.close_polls import Advancing, advance, next_due

RETRY_SECONDS = 1.0
"""After a validator that is behind or none that answers: about a block's time."""

_log = structlog.get_logger(__name__)


class BlockTimer(Protocol):
    """Where block time is waited for; `icn_kit.block_clock.BlockClock` is one."""

    async def wait_for_time(self, time_ms: int) -> BlockMoment:
        """Return once block time has reached it."""
        ...

    async def now(self) -> BlockMoment:
        """The newest block that is known."""
        ...


class PollWatch:
    """One of it runs per process; several do the same work twice and harm nothing."""

    def __init__(self, needs: Advancing, timer: BlockTimer) -> None:
        self._needs = needs
        self._timer = timer
        self._changed = asyncio.Event()

    def note_change(self) -> None:
        """Something may be due sooner: a document, an opening, a secret has come."""
        self._changed.set()

    async def run(self) -> None:
        """Move proposals on for ever."""
        while True:
            try:
                await self._step()
            except (Unavailable, DeadlineExceeded) as error:
                _log.info("a poll waits", reason=error.reason, why=error.message)
                await asyncio.sleep(RETRY_SECONDS)

    async def _step(self) -> None:
        self._changed.clear()
        now = await self._timer.now()
        for proposal in await self._waiting():
            await advance(proposal, now.time_ms, self._needs)
        due = await next_due(self._needs.begin)
        if due is None:
            await self._changed.wait()
            return
        proposal, time_ms = due
        if now.time_ms < time_ms:
            await self._wait(time_ms)
            return
        await advance(proposal, now.time_ms, self._needs)

    async def _waiting(self) -> list[bytes]:
        """Closed polls whose openings may have become complete."""
        async with self._needs.begin() as uow:
            return list(await uow.records.closed_uncounted())

    async def _wait(self, time_ms: int) -> None:
        waits = [
            asyncio.ensure_future(self._timer.wait_for_time(time_ms)),
            asyncio.ensure_future(self._changed.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
