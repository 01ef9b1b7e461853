"""WatchBlocks: executed blocks as they come.

A watcher pulls: what it is sent is read when it is ready for it, from the newest blocks in memory or from the
store, so a slow one costs nothing but its own delay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Protocol

from icn_machine.blocks.execute_block import Execution
from icn_machine.blocks.ports import StateBehind

BLOCKS_KEPT = 64
"""Newest blocks in memory; a watcher that is behind by more reads them from the store."""
TRANSACTIONS_KEPT = 20_000
"""In these blocks, about 10 MB; the newest block is kept whatever it holds."""
BLOCKS_PER_READ = 16
BLOCKS_AHEAD_MAX = 1_000
"""Nobody waits for a height that is further ahead: this ledger has to catch up first, or there is no such
block."""


class ExecutionReader(Protocol):
    """Where older blocks are read."""

    async def executions(self, from_height: int, count: int) -> Sequence[Execution]:
        """Blocks with their receipts from a height on, ascending; one at least where there are any."""


class BlockFeed:
    """The newest blocks, and a way to wait for the next one."""

    def __init__(self, newest_height: int) -> None:
        self._newest_height = newest_height
        self._recent: dict[int, Execution] = {}
        self._transactions = 0
        self._next: asyncio.Future[None] | None = None

    @property
    def newest_height(self) -> int:
        """Of the block that was executed last."""
        return self._newest_height

    def publish(self, execution: Execution) -> None:
        """Show a block to everybody who watches."""
        self._newest_height = execution.block.height
        self._recent[execution.block.height] = execution
        self._transactions += len(execution.outcomes)
        while len(self._recent) > 1 and (
            len(self._recent) > BLOCKS_KEPT or self._transactions > TRANSACTIONS_KEPT
        ):
            oldest = self._recent.pop(next(iter(self._recent)))
            self._transactions -= len(oldest.outcomes)
        if self._next is not None:
            self._next.set_result(None)
            self._next = None

    def begin_at(self, height: int) -> None:
        """The state was restored: the next block is the one above this height."""
        self._newest_height = height

    async def watch(self, from_height: int, reader: ExecutionReader) -> AsyncIterator[Execution]:
        """Blocks from ``from_height`` on, for ever; 0 means from the next one on."""
        height = from_height or self._newest_height + 1
        while True:
            await self.wait_above(height - 1)
            if height in self._recent:
                batch: Sequence[Execution] = (self._recent[height],)
            else:
                batch = await reader.executions(height, BLOCKS_PER_READ)
            assert batch, "every height up to the newest can be read"
            for execution in batch:
                yield execution
                height = execution.block.height + 1

    async def wait_above(self, height: int) -> None:
        """Until a block above ``height`` is executed."""
        while self._newest_height <= height:
            if self._next is None:
                self._next = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._next)

    async def reach(self, height: int, seconds: float) -> None:
        """Until the block at ``height`` is executed.

        Raises:
            StateBehind: it is not within ``seconds``, or it is more than BLOCKS_AHEAD_MAX ahead.
        """
        if height - self._newest_height <= BLOCKS_AHEAD_MAX:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.wait_above(height - 1)
                return
        raise StateBehind(height, self._newest_height)
