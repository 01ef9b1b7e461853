"""Final blocks on their way to disk and through the application: in height order, each once.

Storing and executing overlap: while a block is executed, those behind it are stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog
from icn.consensus.v1 import block_pb2
from icn_chain.block import Block
from icn_kit.errors import Unavailable
from icn_kit.spans import record_span
from icn_kit.trace import parse_traceparent

from icn_consensus.domain.actions import Execute
from icn_consensus.metrics import BLOCKS, COMMITTED, EXECUTION_SECONDS
from icn_consensus.usecases.ports import (
    Application,
    BlockStore,
    Execution,
    FinalBlock,
    RecordLog,
    StoredBlock,
)
from icn_consensus.usecases.traces import TraceBook

STORE_BLOCKS_MAX: Final = 64
"""Of one transaction: a page of a catch-up."""
UNSTORED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Final blocks in memory that Postgres does not take; beyond it the node stops rather than the machine."""
STORED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bodies kept in memory for execution; beyond it they are read from the store again."""
RETRY_SECONDS: Final = 0.2

_log = structlog.get_logger(__name__)

OnExecuted = Callable[[FinalBlock, bytes, Execution], None]
"""Told of each block with its hash, after its effects are on disk."""


class StoreUnreachable(Exception):
    """Postgres has not taken final blocks for so long that they fill our memory."""


class Executor:
    """Takes `Execute` actions; `run_storing` and `run_executing` keep it going."""

    def __init__(
        self,
        application: Application,
        store: BlockStore,
        record_log: RecordLog,
        *,
        executed_height: int,
        on_executed: OnExecuted,
        traces: TraceBook | None = None,
    ) -> None:
        self._application = application
        self._traces = TraceBook() if traces is None else traces
        self._store = store
        self._record_log = record_log
        self._on_executed = on_executed
        self.executed_height = executed_height
        """Height whose effects are on disk."""
        self._stored_height = executed_height
        self._unstored: deque[Execute] = deque()
        self._unstored_bytes = 0
        self._bodies: dict[int, Execute] = {}
        """Stored blocks that wait for execution, as far as memory allows."""
        self._bodies_bytes = 0
        self._unexecuted: dict[bytes, Block] = {}
        """Blocks of both, by hash."""
        self._has_unstored = asyncio.Event()
        self._has_stored = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def backlog(self) -> int:
        """Final blocks not executed yet."""
        return self._stored_height - self.executed_height + len(self._unstored)

    def block(self, block_hash: bytes) -> Block | None:
        """A final block that waits for execution, if it is in memory."""
        return self._unexecuted.get(block_hash)

    def put(self, execute: Execute) -> None:
        """Take the next final block.

        Raises:
            StoreUnreachable: see there.
        """
        self._unstored.append(execute)
        self._unexecuted[execute.block.hash] = execute.block
        self._unstored_bytes += len(execute.block.data)
        if self._unstored_bytes > UNSTORED_BYTES_MAX:
            raise StoreUnreachable(f"{len(self._unstored)} final blocks wait to be stored")
        self._has_unstored.set()

    async def run_storing(self) -> None:
        """Store what becomes final, until cancelled."""
        while True:
            await self._has_unstored.wait()
            batch = [
                self._unstored[position] for position in range(min(STORE_BLOCKS_MAX, len(self._unstored)))
            ]
            await self._store_persistently(batch)
            for execute in batch:
                self._unstored.popleft()
                self._move_on(execute)
            if not self._unstored:
                self._has_unstored.clear()
            self._has_stored.set()
            newest = batch[-1].block.header
            self._record_log.prune(newest.epoch, newest.view)

    async def run_executing(self) -> None:
        """Execute what is stored, until cancelled."""
        while True:
            await self._has_stored.wait()
            while self.executed_height < self._stored_height:
                execute = self._bodies.pop(self.executed_height + 1, None)
                if execute is not None:
                    self._bodies_bytes -= len(execute.block.data)
                    await self._execute(final_block_of(execute), execute.block.hash)
                else:
                    await self._execute_page()
            self._has_stored.clear()

    async def drain(self, seconds: float) -> None:
        """Wait for the block under execution, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()

    def _move_on(self, execute: Execute) -> None:
        block = execute.block
        size_bytes = len(block.data)
        self._unstored_bytes -= size_bytes
        self._stored_height = block.header.height
        if self._bodies_bytes + size_bytes <= STORED_BYTES_MAX:
            self._bodies[block.header.height] = execute
            self._bodies_bytes += size_bytes
        else:
            self._unexecuted.pop(block.hash, None)

    async def _store_persistently(self, batch: list[Execute]) -> None:
        blocks = [stored_block_of(execute) for execute in batch]
        while True:
            try:
                await self._store.add(blocks, self._record_log.synced_sequence)
                return
            except Unavailable as error:
                _log.warning("final blocks cannot be stored", blocks=len(blocks), problem=error.message)
            await asyncio.sleep(RETRY_SECONDS)

    async def _execute_page(self) -> None:
        """Execute blocks whose bodies did not stay in memory."""
        try:
            page = await self._store.page(self.executed_height + 1)
        except Unavailable as error:
            _log.warning("final blocks cannot be read", problem=error.message)
            await asyncio.sleep(RETRY_SECONDS)
            return
        assert page, "stored blocks are in the store"
        for stored in page:
            if stored.height > self._stored_height or stored.height in self._bodies:
                return
            await self._execute(final_block_from(stored), stored.hash)

    async def _execute(self, block: FinalBlock, block_hash: bytes) -> None:
        assert block.height == self.executed_height + 1, "blocks are executed in height order"
        self._is_idle.clear()
        started = time.perf_counter()
        traces = self._traces.take(block.transactions)
        if traces:
            block = replace(block, traces=traces)
        try:
            execution = await self._application.execute(block)
        finally:
            self._is_idle.set()
        EXECUTION_SECONDS.observe(time.perf_counter() - started)
        BLOCKS.inc()
        COMMITTED.inc(len(execution.outcomes))
        self.executed_height = block.height
        self._unexecuted.pop(block_hash, None)
        for _, traceparent in traces:
            trace = parse_traceparent(traceparent)
            record_span(trace, "consensus: executed", time.perf_counter() - started, height=block.height)
        self._on_executed(block, block_hash, execution)


def final_block_of(execute: Execute) -> FinalBlock:
    """What the application gets of an action."""
    block = execute.block
    return FinalBlock(
        block.header.height,
        block.header.data,
        block.transactions,
        execute.finalization,
        execute.descendant_headers,
        block.parent_certificate,
        block.recovery,
    )


def final_block_from(stored: StoredBlock) -> FinalBlock:
    """What the application gets of a stored block."""
    message = block_pb2.Block.FromString(stored.block)
    return FinalBlock(
        stored.height,
        message.header,
        message.transactions,
        stored.finalization,
        stored.descendant_headers,
        message.parent_certificate,
        message.recovery,
    )


def stored_block_of(execute: Execute) -> StoredBlock:
    """What the store keeps of an action."""
    header = execute.block.header
    return StoredBlock(
        header.height,
        header.hash,
        header.epoch,
        header.view,
        execute.block.data,
        execute.finalization,
        execute.descendant_headers,
    )
