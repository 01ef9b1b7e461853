"""Block time: how far the zone has come, as f + 1 of its validators say alike.

Everything that expires by agreement expires in block time; a service waits for it here. One validator that
runs ahead of the truth, or tells of blocks that are none, moves nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.service_pb2 import ListBlocksResponse, WatchBlocksResponse
from prometheus_client import Gauge

from icn_kit.errors import DomainError, FailedPrecondition, Unavailable
from icn_kit.pauses import doubled

RETRY_SECONDS_MIN = 0.1
RETRY_SECONDS_MAX = 2.0
REPORT_EVERY = 30
"""Failures in a row between two reports: about once a minute."""
HEADERS_AHEAD_MAX = 256
"""Newest headers of one validator that wait for others to say the same; one that is further ahead is met
again when they come close."""
BEHIND_SECONDS_MAX = 2.0
"""Longest that one try waits for f + 1 validators to execute the block an event tells of."""
EVENT_HEIGHTS_AHEAD_MAX = 64
"""An event further above what f + 1 validators have executed is none of the ledger's; what is nearer they
will reach."""

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
    """One validator's blocks; `icn_kit.validators.Validators.sources` gives them."""

    def watch_blocks(self, from_height: int) -> AsyncIterator[WatchBlocksResponse]:
        """Executed blocks from a height on; raises a DomainError when it ends."""
        ...

    async def list_blocks(self, page_size: int, page_token: str) -> ListBlocksResponse:
        """Executed blocks, newest first."""
        ...


class BlockClock:
    """The newest executed block that this process is sure of. Only goes forward.

    Args:
        sources: every validator by itself.
        needed: how many must show the same header: f + 1.
    """

    def __init__(self, sources: Sequence[BlockSource], needed: int) -> None:
        assert 1 <= needed <= len(sources), "as many can agree"
        self._sources = sources
        self._needed = needed
        self._seen: list[OrderedDict[int, bytes]] = [OrderedDict() for _ in sources]
        """Headers above the newest, by source and height."""
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
        """Follow the blocks of every validator for ever."""
        async with asyncio.TaskGroup() as following:
            for number in range(len(self._sources)):
                following.create_task(self._follow(number))

    async def _follow(self, number: int) -> None:
        source = self._sources[number]
        reached = 0
        failures = 0
        while True:
            try:
                page = await source.list_blocks(1, "")
                for block in page.blocks:
                    reached = max(reached, await self._see(number, block.header))
                async for response in source.watch_blocks(reached + 1 if reached else 0):
                    failures = 0
                    reached = await self._see(number, response.block.header)
            except (DomainError, DecodeError) as error:
                failures += 1
                if failures % REPORT_EVERY == 1:
                    _log.info("block stream interrupted", source=number, error=str(error))
            await asyncio.sleep(doubled(RETRY_SECONDS_MIN, failures, RETRY_SECONDS_MAX))

    async def _see(self, number: int, header_bytes: bytes) -> int:
        """Take a header of one source; its height."""
        header = BlockHeader.FromString(header_bytes)
        if self._newest is not None and header.height <= self._newest.height:
            return header.height
        mine = self._seen[number]
        mine[header.height] = header_bytes
        if len(mine) > HEADERS_AHEAD_MAX:
            mine.popitem(last=False)
        if sum(seen.get(header.height) == header_bytes for seen in self._seen) < self._needed:
            return header.height
        for seen in self._seen:
            for height in [height for height in seen if height <= header.height]:
                del seen[height]
        async with self._changed:
            self._newest = BlockMoment(header.height, header.time_ms)
            self._changed.notify_all()
        HEIGHT.set(header.height)
        TIME.set(header.time_ms / 1000)
        return header.height


class Heights(Protocol):
    """How far the chain has come; `BlockClock` is one."""

    @property
    def newest(self) -> BlockMoment | None:
        """None until the first block is known."""
        ...

    async def wait_for_height(self, height: int) -> object:
        """Return once a block of at least this height was executed."""
        ...


async def wait_until_reached(heights: Heights, height: int) -> None:
    """Return once the block that an event tells of was executed by f + 1 validators.

    Raises:
        As `check_reached`, after BEHIND_SECONDS_MAX.
    """
    try:
        async with asyncio.timeout(BEHIND_SECONDS_MAX):
            await heights.wait_for_height(height)
    except TimeoutError:
        if heights.newest is None:
            raise Unavailable(
                "LEDGER_BEHIND", f"it tells of height {height}, and no block is known yet"
            ) from None
        check_reached(height, heights.newest.height)


def check_reached(height: int, executed_height: int) -> None:
    """Refuse to judge an event of ``height`` by a ledger that stands at ``executed_height``.

    Raises:
        Unavailable: LEDGER_BEHIND: not yet there.
        FailedPrecondition: EVENT_FROM_FUTURE: more than EVENT_HEIGHTS_AHEAD_MAX from there.
    """
    if height <= executed_height:
        return
    told = f"it tells of height {height}, the ledger stands at {executed_height}"
    if height > executed_height + EVENT_HEIGHTS_AHEAD_MAX:
        raise FailedPrecondition("EVENT_FROM_FUTURE", told, height=height, executed_height=executed_height)
    raise Unavailable("LEDGER_BEHIND", told)
