"""Who watches an account sees every change of it, or the newest state where it is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, cast

import pytest
from icn.ledger.v1.service_pb2 import Entry
from icn_kit.errors import NotFound, ResourceExhausted
from icn_ledger.usecases.reads import CreditAt, Reader
from icn_ledger.usecases.watch_account import ENTRIES_MAX, WATCHERS_MAX, AccountNews, AccountWatch
from icn_ledger.usecases.watch_blocks import BlockFeed
from icn_machine.blocks.ports import HistoryMissing
from icn_machine.credit_messages import UnitPolicy
from icn_machine.records import Account, CreditLine, PolicyInForce

from libs.machine.tests.zone import Ledger

ANA = b"\xaa" * 16


class Shelf:
    """What the store would read of ana's account, which stands where a test puts it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.feed = BlockFeed(0)
        self.watch = AccountWatch(self.feed, cast(Reader, self))
        account = Account(ANA, bytes(16), bytes(16), 0, 0, -100)
        self.credit_at = CreditAt(account, 0, 0, None, None)
        self.booked: list[Entry] = []
        self.snapshot = 0
        self.reads = 0

    async def grow(self, *, entries: int = 0, time_ms: int = 0, **changes: Any) -> None:
        """The next block, which books entries and changes what the credit follows from."""
        block = (await self._ledger.execute()).block
        account = changes.pop("account", self.credit_at.account)
        for index in range(entries):
            account = account._replace(balance_minor=account.balance_minor - 1, entries=account.entries + 1)
            self.booked.append(Entry(height=block.height, index=index, number=account.entries))
        self.credit_at = self.credit_at._replace(
            account=account, height=block.height, block_time_ms=time_ms, **changes
        )
        self.feed.publish(self._ledger.executed[-1])

    async def credit(self, account: bytes) -> CreditAt | None:
        self.reads += 1
        return self.credit_at if account == ANA else None

    async def entries(self, account: bytes, before: tuple[int, int] | None, count: int) -> Sequence[Entry]:
        assert before is not None
        return [entry for entry in self.booked[::-1] if (entry.height, entry.index) < before][:count]

    async def snapshot_height(self) -> int:
        return self.snapshot


@pytest.fixture
def shelf(ledger: Ledger) -> Shelf:
    return Shelf(ledger)


def told(news: AccountNews) -> tuple[int, int, list[int]]:
    """Height, balance and the numbers of the entries."""
    return (
        news.credit.height,
        news.credit.account.balance_minor,
        [entry.number for entry in news.entries],
    )


async def following(watch: AsyncIterator[AccountNews]) -> asyncio.Task[AccountNews]:
    """The watcher, once it waits."""
    task = asyncio.ensure_future(anext(watch))
    for _ in range(20):
        await asyncio.sleep(0)
    return cast("asyncio.Task[AccountNews]", task)


async def test_a_watcher_is_shown_the_account_and_then_every_block_that_changes_it(shelf: Shelf) -> None:
    await shelf.grow(entries=2)
    async with aclosing(shelf.watch.watch(ANA, 0)) as watch:
        assert told(await anext(watch)) == (1, -2, [])
        coming = await following(watch)
        await shelf.grow()
        await shelf.grow(entries=3)
        assert told(await coming) == (3, -5, [3, 4, 5])


async def test_a_block_that_changes_nothing_of_it_is_not_told(shelf: Shelf) -> None:
    async with aclosing(shelf.watch.watch(ANA, 0)) as watch:
        await anext(watch)
        coming = await following(watch)
        for _ in range(3):
            await shelf.grow()
            await asyncio.sleep(0.001)
        assert not coming.done() and shelf.reads == 4, "one read per block"
        await shelf.grow(entries=1)
        assert told(await coming) == (4, -1, [1])


FROZEN = Account(ANA, bytes(16), bytes(16), 0, 0, -100).with_terms(frozen_until_ms=5_000)
CHANGES: list[dict[str, Any]] = [
    {"in_force": PolicyInForce(UnitPolicy(soft_ppm=500_000), 0, 0)},
    {"line": CreditLine(ANA, 5, 7)},
    {"account": FROZEN},
]


@pytest.mark.parametrize("change", CHANGES, ids=["policy", "credit line", "freeze"])
async def test_what_the_credit_follows_from_is_told_though_nothing_is_booked(
    shelf: Shelf, change: dict[str, Any]
) -> None:
    async with aclosing(shelf.watch.watch(ANA, 0)) as watch:
        await anext(watch)
        coming = await following(watch)
        await shelf.grow(**change)
        assert told(await coming) == (1, 0, [])


async def test_a_freeze_that_ends_by_time_alone_is_told_at_its_very_end(shelf: Shelf) -> None:
    await shelf.grow(account=FROZEN)
    async with aclosing(shelf.watch.watch(ANA, 0)) as watch:
        assert (await anext(watch)).credit.spendable_minor == 0
        coming = await following(watch)
        await shelf.grow(time_ms=4_999)
        await asyncio.sleep(0.001)
        assert not coming.done()
        await shelf.grow(time_ms=5_000)
        assert (await coming).credit.spendable_minor == 100


async def test_who_is_slow_gets_the_newest_state_with_all_entries_since(shelf: Shelf) -> None:
    async with aclosing(shelf.watch.watch(ANA, 0)) as watch:
        await anext(watch)
        for _ in range(5):
            await shelf.grow(entries=1)
        news = await anext(watch)
        assert told(news) == (5, -5, [1, 2, 3, 4, 5]) and not news.has_skipped


async def test_it_is_said_when_older_entries_are_skipped(shelf: Shelf) -> None:
    async with aclosing(shelf.watch.watch(ANA, 0)) as watch:
        await anext(watch)
        await shelf.grow(entries=ENTRIES_MAX)
        news = await anext(watch)
        assert len(news.entries) == ENTRIES_MAX and not news.has_skipped
        await shelf.grow(entries=1)
        await shelf.grow(entries=ENTRIES_MAX)
        news = await anext(watch)
        assert news.has_skipped
        assert [entry.number for entry in news.entries] == list(range(ENTRIES_MAX + 2, 2 * ENTRIES_MAX + 2))


async def test_resumed_from_the_height_after_the_last_nothing_is_missed_or_told_twice(shelf: Shelf) -> None:
    for _ in range(4):
        await shelf.grow(entries=1)
    for from_height, numbers in ((1, [1, 2, 3, 4]), (3, [3, 4]), (4, [4]), (5, [])):
        async with aclosing(shelf.watch.watch(ANA, from_height)) as watch:
            assert told(await anext(watch)) == (4, -4, numbers)


async def test_what_cannot_be_watched_is_refused(shelf: Shelf) -> None:
    with pytest.raises(NotFound):
        await anext(shelf.watch.watch(b"\xbb" * 16, 0))
    shelf.snapshot = 3
    await shelf.grow()
    with pytest.raises(HistoryMissing):
        await anext(shelf.watch.watch(ANA, 3))
    async with aclosing(shelf.watch.watch(ANA, 4)) as watch:
        await anext(watch)


async def test_one_watcher_too_many_is_refused_until_another_leaves(shelf: Shelf) -> None:
    async with AsyncExitStack() as stack:
        watchers = [shelf.watch.watch(ANA, 0) for _ in range(WATCHERS_MAX)]
        for watcher in watchers:
            await stack.enter_async_context(aclosing(watcher))
            await anext(watcher)
        with pytest.raises(ResourceExhausted) as refusal:
            await anext(shelf.watch.watch(ANA, 0))
        assert refusal.value.reason == "WATCHERS_FULL"
        assert refusal.value.metadata == {"taken": WATCHERS_MAX, "taken_max": WATCHERS_MAX}
        await watchers[0].aclose()
        async with aclosing(shelf.watch.watch(ANA, 0)) as again:
            await anext(again)
