"""Block time: how far the zone has come, as its validators say.

Everything that expires by agreement expires in block time; a service waits for it here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.service_pb2 import ListBlocksResponse, WatchBlocksResponse
from prometheus_client import Gauge

from icn_kit.errors import DomainError

RETRY_SECONDS_MIN = 0.1
RETRY_SECONDS_MAX = 2.0
REPORT_EVERY = 30
"""Failures in a row between two reports: about once a minute."""

HEIGHT = Gauge("icn_kit_block_height", "Newest executed height that this process knows.")
TIME = Gauge("icn_kit_block_time_seconds", "Time of that block, unix seconds.")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BlockMoment:
    """A block that was executed."""

    height: int
    time_ms: int
    """Block time, unix milliseconds."""


class BlockSource(Protocol):
    """Where blocks are seen; `icn_kit.validators.Validators` is one."""

    def watch_blocks(self, from_height: int) -> AsyncIterator[WatchBlocksResponse]:
        """Executed blocks from a height on; raises a DomainError when it ends."""
        ...

    async def list_blocks(self, page_size: int, page_token: str) -> ListBlocksResponse:
        """Executed blocks, newest first."""
        ...


class BlockClock:
    """The newest executed block that this process knows of. Only goes forward."""

    def __init__(self, source: BlockSource) -> None:
        self._source = source
        self._newest: BlockMoment | None = None
        self._changed = asyncio.Condition()

    @property
    def newest(self) -> BlockMoment | None:
        """None until the first block is known."""
        return self._newest

    async def now(self) -> BlockMoment:
        """The newest block, once one is known."""
        return await self.wait_until(lambda _: True)

    async def wait_for_height(self, height: int) -> BlockMoment:
        """Return once a block of at least this height was executed."""
        return await self.wait_until(lambda moment: moment.height >= height)

    async def wait_for_time(self, time_ms: int) -> BlockMoment:
        """Return once block time has reached ``time_ms``."""
        return await self.wait_until(lambda moment: moment.time_ms >= time_ms)

    async def wait_until(self, is_reached: Callable[[BlockMoment], bool]) -> BlockMoment:
        """Return the first newest block for which the question is answered with yes."""
        async with self._changed:
            while self._newest is None or not is_reached(self._newest):
                await self._changed.wait()
            return self._newest

    async def run(self) -> None:
        """Follow the blocks for ever, from one validator or another."""
        failures = 0
        while True:
            try:
                page = await self._source.list_blocks(1, "")
                for block in page.blocks:
                    await self._see(block.header)
                known = self._newest
                async for response in self._source.watch_blocks(0 if known is None else known.height + 1):
                    failures = 0
                    await self._see(response.block.header)
            except DomainError as error:
                failures += 1
                if failures % REPORT_EVERY == 1:
                    _log.info("block stream interrupted", reason=error.reason)
            await asyncio.sleep(min(RETRY_SECONDS_MIN * 2 ** min(failures, 8), RETRY_SECONDS_MAX))

    async def _see(self, header_bytes: bytes) -> None:
        header = BlockHeader.FromString(header_bytes)
        if self._newest is not None and header.height <= self._newest.height:
            return
        async with self._changed:
            self._newest = BlockMoment(header.height, header.time_ms)
            self._changed.notify_all()
        HEIGHT.set(header.height)
        TIME.set(header.time_ms / 1000)
