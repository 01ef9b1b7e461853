"""Watchers see every block once and in order, whether they keep up or not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from icn_ledger.usecases.watch_blocks import BLOCKS_AHEAD_MAX, BLOCKS_KEPT, BlockFeed
from icn_machine.blocks.execute_block import Execution
from icn_machine.blocks.ports import StateBehind

from libs.machine.tests.zone import Ledger


class Shelf:
    """What the store would read."""

    def __init__(self) -> None:
        self.executions: list[Execution] = []
        self.reads = 0

    async def read(self, from_height: int, count: int) -> Sequence[Execution]:
        self.reads += 1
        return self.executions[from_height - 1 : from_height - 1 + count]


class Reader:
    def __init__(self, shelf: Shelf) -> None:
        self.executions = shelf.read


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def grow(ledger: Ledger, feed: BlockFeed, shelf: Shelf, blocks: int) -> None:
    for _ in range(blocks):
        execution = await ledger.execute()
        shelf.executions.append(execution)
        feed.publish(execution)


async def take(feed: BlockFeed, shelf: Shelf, from_height: int, count: int) -> list[int]:
    heights: list[int] = []
    if count == 0:
        return heights
    async for execution in feed.watch(from_height, Reader(shelf)):
        heights.append(execution.block.height)
        if len(heights) == count:
            break
    return heights


async def test_a_watcher_waits_for_the_next_block(ledger: Ledger, shelf: Shelf) -> None:
    feed = BlockFeed(0)
    watching = [asyncio.create_task(take(feed, shelf, 0, 3)) for _ in range(2)]
    await asyncio.sleep(0)
    await grow(ledger, feed, shelf, 3)
    assert await asyncio.gather(*watching) == [[1, 2, 3], [1, 2, 3]]
    assert shelf.reads == 0


async def test_a_watcher_that_comes_late_reads_the_store_and_then_memory(
    ledger: Ledger, shelf: Shelf
) -> None:
    feed = BlockFeed(0)
    blocks = BLOCKS_KEPT + 30
    await grow(ledger, feed, shelf, blocks)
    assert await take(feed, shelf, 1, blocks) == list(range(1, blocks + 1))
    assert shelf.reads == 2


async def test_a_watcher_may_ask_for_a_height_to_come(ledger: Ledger, shelf: Shelf) -> None:
    feed = BlockFeed(0)
    watching = asyncio.create_task(take(feed, shelf, 3, 2))
    await asyncio.sleep(0)
    await grow(ledger, feed, shelf, 4)
    assert await watching == [3, 4]


async def test_a_watcher_that_leaves_does_not_disturb_the_others(ledger: Ledger, shelf: Shelf) -> None:
    feed = BlockFeed(0)
    leaving = asyncio.create_task(take(feed, shelf, 0, 1))
    staying = asyncio.create_task(take(feed, shelf, 0, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    await grow(ledger, feed, shelf, 2)
    assert await staying == [1, 2]


async def test_after_a_restart_the_next_block_is_the_one_behind_the_newest(
    ledger: Ledger, shelf: Shelf
) -> None:
    await grow(ledger, BlockFeed(0), shelf, 5)
    feed = BlockFeed(5)
    watching = asyncio.create_task(take(feed, shelf, 0, 1))
    await asyncio.sleep(0)
    await grow(ledger, feed, shelf, 1)
    assert await watching == [6]
    assert await take(feed, shelf, 4, 3) == [4, 5, 6]


async def test_a_height_is_waited_for_until_its_block_is_executed(ledger: Ledger, shelf: Shelf) -> None:
    feed = BlockFeed(0)
    await feed.reach(0, 0.0)
    reaching = asyncio.create_task(feed.reach(2, 60.0))
    await asyncio.sleep(0)
    await grow(ledger, feed, shelf, 1)
    await asyncio.sleep(0.01)
    assert not reaching.done()
    await grow(ledger, feed, shelf, 1)
    await asyncio.wait_for(reaching, 1)
    await feed.reach(2, 0.0)


async def test_a_height_that_does_not_come_in_time_is_behind_with_both_numbers() -> None:
    for seconds in (0.01, 0.0, -1.0):
        with pytest.raises(StateBehind) as refusal:
            await BlockFeed(7).reach(8, seconds)
        assert refusal.value.metadata == {"height": 8, "executed_height": 7}


async def test_a_height_too_far_ahead_is_refused_at_once() -> None:
    feed = BlockFeed(7)
    with pytest.raises(StateBehind):
        await asyncio.wait_for(feed.reach(7 + BLOCKS_AHEAD_MAX + 1, 60.0), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(feed.reach(7 + BLOCKS_AHEAD_MAX, 60.0), 0.05)
