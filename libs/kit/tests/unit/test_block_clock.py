"""Block time goes forward, whoever tells it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1.service_pb2 import BlockSummary, ListBlocksResponse, WatchBlocksResponse
from icn_kit import block_clock
from icn_kit.block_clock import BlockClock, BlockMoment
from icn_kit.errors import FailedPrecondition, Unavailable


def block(height: int) -> BlockSummary:
    header = BlockHeader(height=height, time_ms=min(height * 1_000, 2**62))
    return BlockSummary(height=height, header=header.SerializeToString())


class Source:
    """Blocks that the test hands out; None breaks the stream."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        self.coming: asyncio.Queue[int | None] = asyncio.Queue()
        self.watched_from: list[int] = []

    async def list_blocks(self, page_size: int, page_token: str) -> ListBlocksResponse:
        assert (page_size, page_token) == (1, "")
        return ListBlocksResponse(blocks=[block(self.newest)])

    async def watch_blocks(self, from_height: int) -> AsyncIterator[WatchBlocksResponse]:
        self.watched_from.append(from_height)
        while (height := await self.coming.get()) is not None:
            yield WatchBlocksResponse(block=block(height))
        raise Unavailable("DRAINING", "the server is stopping")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_clock, "RETRY_SECONDS_MIN", 0.001)


async def test_it_starts_at_the_newest_block_and_follows() -> None:
    source = Source(newest=7)
    clock = BlockClock([source], 1)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        assert await clock.now() == BlockMoment(7, 7_000)
        source.coming.put_nowait(8)
        assert await clock.wait_for_height(8) == BlockMoment(8, 8_000)
        assert source.watched_from == [8]
    running.cancel()


async def test_it_goes_on_where_the_stream_broke_and_never_goes_back() -> None:
    source = Source(newest=7)
    clock = BlockClock([source], 1)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        await clock.now()
        source.newest = 5  # another validator, which is behind
        source.coming.put_nowait(None)
        source.coming.put_nowait(6)
        source.coming.put_nowait(9)
        assert (await clock.wait_for_height(8)).height == 9
        assert clock.newest == BlockMoment(9, 9_000)
        assert source.watched_from == [8, 8]
    running.cancel()


async def test_who_waits_for_a_time_is_woken_at_the_first_block_that_has_reached_it() -> None:
    source = Source(newest=1)
    clock = BlockClock([source], 1)
    assert clock.newest is None
    running = asyncio.create_task(clock.run())
    waiting = asyncio.create_task(clock.wait_for_time(3_000))
    async with asyncio.timeout(5):
        source.coming.put_nowait(2)
        await clock.wait_for_height(2)
        assert not waiting.done()
        source.coming.put_nowait(3)
        assert (await waiting).height == 3
    running.cancel()


async def test_one_validator_that_runs_ahead_of_the_truth_moves_nothing() -> None:
    sources = [Source(newest=7) for _ in range(4)]
    sources[3].newest = 2**62
    clock = BlockClock(sources, 2)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        assert await clock.now() == BlockMoment(7, 7_000)
        sources[0].coming.put_nowait(8)
        await asyncio.sleep(0.05)
        assert clock.newest == BlockMoment(7, 7_000)
        sources[1].coming.put_nowait(8)
        assert await clock.wait_for_height(8) == BlockMoment(8, 8_000)
    running.cancel()


async def test_a_height_with_two_headers_counts_when_enough_show_the_same_one() -> None:
    class Liar(Source):
        async def watch_blocks(self, from_height: int) -> AsyncIterator[WatchBlocksResponse]:
            header = BlockHeader(height=from_height, time_ms=2**60)
            yield WatchBlocksResponse(block=BlockSummary(header=header.SerializeToString()))
            await asyncio.Event().wait()

    sources = [Source(newest=7), Liar(newest=7), Source(newest=7), Source(newest=7)]
    clock = BlockClock(sources, 2)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        await clock.now()
        sources[2].coming.put_nowait(8)
        await asyncio.sleep(0.05)
        assert clock.newest == BlockMoment(7, 7_000)
        sources[3].coming.put_nowait(8)
        assert await clock.wait_for_height(8) == BlockMoment(8, 8_000)
    running.cancel()


async def test_headers_that_nobody_else_shows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_clock, "HEADERS_AHEAD_MAX", 3)
    ahead, behind = Source(newest=10), Source(newest=1)
    clock = BlockClock([ahead, behind], 2)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        for height in range(11, 20):
            ahead.coming.put_nowait(height)
        await asyncio.sleep(0.05)
        assert [len(seen) for seen in clock._seen] == [3, 1]
        for height in range(2, 18):
            behind.coming.put_nowait(height)
        assert (await clock.wait_for_height(17)).height == 17
    running.cancel()


async def test_bytes_that_are_no_header_interrupt_only_who_sent_them() -> None:
    class Broken(Source):
        async def list_blocks(self, page_size: int, page_token: str) -> ListBlocksResponse:
            return ListBlocksResponse(blocks=[BlockSummary(header=b"\xff\xff")])

    clock = BlockClock([Broken(newest=1), Source(newest=7), Source(newest=7), Source(newest=7)], 2)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        assert await clock.now() == BlockMoment(7, 7_000)
    running.cancel()


class Standing:
    """A chain at a height that does not change."""

    def __init__(self, height: int | None) -> None:
        self.newest = None if height is None else BlockMoment(height, 0)

    async def wait_for_height(self, height: int) -> None:
        if self.newest is None or self.newest.height < height:
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("standing", "height", "refused"),
    [
        (100, 100, None),
        (100, 101, Unavailable),
        (100, 164, Unavailable),
        (100, 165, FailedPrecondition),
        (None, 5_000, Unavailable),
    ],
)
async def test_an_event_waits_for_its_height_and_one_from_far_ahead_is_none(
    monkeypatch: pytest.MonkeyPatch, standing: int | None, height: int, refused: type[Exception] | None
) -> None:
    monkeypatch.setattr(block_clock, "BEHIND_SECONDS_MAX", 0.01)
    if refused is None:
        await block_clock.wait_until_reached(Standing(standing), height)
        return
    with pytest.raises(refused):
        await block_clock.wait_until_reached(Standing(standing), height)
