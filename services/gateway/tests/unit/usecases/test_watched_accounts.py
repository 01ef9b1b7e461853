"""A watched account: its news, signs of life between them, and every way in which a stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from icn.ledger.v1.service_pb2 import Account, WatchAccountRequest, WatchAccountResponse
from icn_gateway.usecases.watched_accounts import WatchedAccounts
from icn_kit.errors import NotFound, ResourceExhausted, Unavailable

ID = "ab" * 16


class Source:
    """One stream, told by the test."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.asked: list[WatchAccountRequest] = []
        self.open = 0
        self.ended = asyncio.Event()

    async def watch_account(self, request: WatchAccountRequest) -> AsyncIterator[WatchAccountResponse]:
        self.asked.append(request)
        self.open += 1
        try:
            while (item := await self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.open -= 1
            self.ended.set()

    def tell(self, *items: Any) -> None:
        for item in items:
            self.queue.put_nowait(item)


def news(height: int) -> WatchAccountResponse:
    return WatchAccountResponse(account=Account(height=height))


@pytest.fixture
def source() -> Source:
    return Source()


async def heights(following: AsyncIterator[Any]) -> list[int | None]:
    async with asyncio.timeout(10):
        return [None if one is None else one.account.height async for one in following]


@pytest.mark.parametrize("end", [None, Unavailable("STREAM_ENDED", "gone")])
async def test_news_are_told_until_the_stream_ends_however(source: Source, end: Any) -> None:
    source.tell(news(3), news(5), end)
    assert await heights(WatchedAccounts(source).watch(ID, 2)) == [3, 5]
    assert [(one.name, one.from_height) for one in source.asked] == [(f"accounts/{ID}", 2)]
    assert source.open == 0


async def test_a_refusal_comes_before_the_first_answer(source: Source) -> None:
    source.tell(NotFound("ACCOUNT_UNKNOWN", "none"))
    with pytest.raises(NotFound):
        await anext(WatchedAccounts(source).watch(ID, 0))
    assert source.open == 0


async def test_a_quiet_stream_shows_that_it_lives_and_loses_nothing(source: Source) -> None:
    following = WatchedAccounts(source, heartbeat_seconds=0.02).watch(ID, 0)
    source.tell(news(1))
    assert (await anext(following)) == news(1)
    assert [await anext(following) for _ in range(3)] == [None] * 3
    source.tell(news(2), None)
    assert [one for one in await heights(following) if one is not None] == [2]


async def test_a_stream_ends_after_a_while(source: Source) -> None:
    source.tell(news(1))
    watched = WatchedAccounts(source, heartbeat_seconds=60, stream_seconds_max=0.05)
    assert [one for one in await heights(watched.watch(ID, 0)) if one is not None] == [1]
    assert source.open == 0


async def test_a_drain_ends_every_stream_and_takes_no_new_one(source: Source) -> None:
    watched = WatchedAccounts(source)
    following = watched.watch(ID, 0)
    source.tell(news(1))
    await anext(following)
    ending = asyncio.ensure_future(heights(following))
    await asyncio.sleep(0)
    watched.drain()
    assert await ending == []
    assert source.open == 0
    with pytest.raises(Unavailable):
        await anext(watched.watch(ID, 0))


async def test_the_last_place_is_taken_and_given_back(source: Source) -> None:
    watched = WatchedAccounts(source, watches_max=1)
    first = watched.watch(ID, 0)
    source.tell(news(1))
    await anext(first)
    with pytest.raises(ResourceExhausted) as refusal:
        await anext(watched.watch(ID, 0))
    assert refusal.value.reason == "WATCHERS_FULL"
    await first.aclose()  # type: ignore[attr-defined]
    assert source.open == 0
    source.tell(news(2), None)
    assert await heights(watched.watch(ID, 0)) == [2]


async def test_a_client_that_is_gone_before_it_reads_on_gives_its_place_back(source: Source) -> None:
    watched = WatchedAccounts(source, watches_max=1)
    source.tell(news(1))
    await anext(watched.watch(ID, 0))
    await asyncio.wait_for(source.ended.wait(), 10)
    assert source.open == 0
