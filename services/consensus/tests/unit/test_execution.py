from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from icn_consensus.domain.actions import Execute
from icn_consensus.usecases import execution
from icn_consensus.usecases.execution import Executor, StoreUnreachable
from icn_consensus.usecases.ports import Execution, FinalBlock
from icn_kit.errors import Unavailable

from .fakes import FakeApplication, FakeRecordLog, FakeStore, settle
from .test_judging import some_block


class World:
    def __init__(self) -> None:
        self.application, self.store, self.record_log = FakeApplication(), FakeStore(), FakeRecordLog()
        self.executed: list[tuple[int, bytes]] = []
        self.executor = Executor(
            self.application, self.store, self.record_log, executed_height=0, on_executed=self._on_executed
        )
        self.tasks: list[asyncio.Task[None]] = []

    def _on_executed(self, block: FinalBlock, block_hash: bytes, execution: Execution) -> None:
        assert block.height in self.store.blocks, "a block is stored before it is executed"
        assert execution.state.executed_height == block.height
        self.executed.append((block.height, block_hash))

    def run(self) -> None:
        works = (self.executor.run_storing(), self.executor.run_executing())
        self.tasks = [asyncio.ensure_future(work) for work in works]

    def put(self, *heights: int) -> None:
        for height in heights:
            self.executor.put(Execute(some_block(height), b"finalization", (b"header",)))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for task in world.tasks:
        task.cancel()


async def test_final_blocks_are_stored_together_and_executed_one_by_one_in_order(world: World) -> None:
    world.put(1, 2, 3)
    world.run()
    await settle()
    assert world.store.additions == [[1, 2, 3]]
    assert world.executed == [(height, some_block(height).hash) for height in (1, 2, 3)]
    assert (world.executor.executed_height, world.executor.backlog) == (3, 0)


async def test_the_record_log_is_pruned_below_what_is_stored(world: World) -> None:
    world.put(1, 2)
    world.run()
    await settle()
    assert world.record_log.pruned == [(0, 2)]


async def test_while_a_block_is_executed_the_next_ones_are_stored(world: World) -> None:
    world.application.gate = asyncio.Event()
    world.run()
    world.put(1)
    await settle()
    world.put(2)
    await settle()
    assert (world.store.additions, world.executed, world.executor.backlog) == ([[1], [2]], [], 2)
    world.application.gate.set()
    await settle()
    assert [height for height, _ in world.executed] == [1, 2]


async def test_a_block_that_is_not_stored_yet_is_not_executed(world: World) -> None:
    world.application.gate = asyncio.Event()
    world.run()
    world.put(1)
    await settle()
    world.store.gate = asyncio.Event()
    world.put(2)
    await settle()
    world.application.gate.set()
    await settle()
    assert (world.application.executed, world.executor.backlog) == ([1], 1)
    world.store.gate.set()
    await settle()
    assert world.application.executed == [1, 2]


async def test_a_block_waiting_for_execution_is_found_by_hash_and_later_is_not(world: World) -> None:
    block = some_block(1)
    world.put(1)
    found = world.executor.block(block.hash)
    assert found is not None
    assert found.data == block.data
    world.run()
    await settle()
    assert world.executor.block(block.hash) is None


async def test_a_store_that_is_away_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "RETRY_SECONDS", 0)
    world.store.failures = [Unavailable("DATABASE_UNAVAILABLE", "restarting")] * 3
    world.put(1)
    world.run()
    await settle()
    assert [height for height, _ in world.executed] == [1]


async def test_bodies_that_memory_has_no_room_for_are_read_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(some_block(1).data)
    monkeypatch.setattr(execution, "STORED_BYTES_MAX", 2 * size)
    world.application.gate = asyncio.Event()
    world.put(*range(1, 10))
    world.run()
    await settle()
    world.application.gate.set()
    await settle(100)
    assert world.application.executed == list(range(1, 10))
    assert world.executed == [(height, some_block(height).hash) for height in range(1, 10)]


async def test_final_blocks_that_cannot_be_stored_stop_the_node_before_memory_is_full(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "UNSTORED_BYTES_MAX", 2 * len(some_block(2).data))
    world.put(2, 3)
    with pytest.raises(StoreUnreachable):
        world.put(4)


async def test_draining_waits_for_the_block_under_execution_but_not_for_ever(world: World) -> None:
    world.application.gate = asyncio.Event()
    world.put(1)
    world.run()
    await settle()
    await world.executor.drain(0.01)
    assert world.executed == []
    draining = asyncio.ensure_future(world.executor.drain(5))
    await settle()
    assert not draining.done()
    world.application.gate.set()
    await draining
