"""The watch sleeps until block time reaches the next close; it looks again only when something changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from icn_governance.usecases import watch_polls
from icn_governance.usecases.watch_polls import PollWatch
from icn_kit.block_clock import BlockMoment
from icn_kit.errors import DeadlineExceeded, Unavailable


class Timer:
    def __init__(self) -> None:
        self.time_ms = 1_000
        self.changed = asyncio.Condition()

    async def now(self) -> BlockMoment:
        return BlockMoment(1, self.time_ms)

    async def wait_for_time(self, time_ms: int) -> BlockMoment:
        async with self.changed:
            await self.changed.wait_for(lambda: self.time_ms >= time_ms)
        return await self.now()

    async def reach(self, time_ms: int) -> None:
        async with self.changed:
            self.time_ms = time_ms
            self.changed.notify_all()


class Work:
    """In the place of the use cases: what is due, and what was done about it."""

    def __init__(self) -> None:
        self.due: list[tuple[bytes, int]] = []
        self.waiting: list[bytes] = []
        self.looked = 0
        self.advanced: list[tuple[bytes, int]] = []
        self.failures: list[Exception] = []

    async def next_due(self, _begin: Any) -> tuple[bytes, int] | None:
        self.looked += 1
        return min(self.due, key=lambda one: one[1], default=None)

    async def advance(self, proposal: bytes, block_time_ms: int, _needs: Any) -> None:
        if self.failures:
            raise self.failures.pop()
        self.advanced.append((proposal, block_time_ms))
        self.due = [one for one in self.due if one[0] != proposal]


class Needs:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.records = self

    def begin(self) -> Needs:
        return self

    async def __aenter__(self) -> Needs:
        return self

    async def __aexit__(self, *exception: object) -> None: ...

    async def closed_uncounted(self) -> list[bytes]:
        return self.work.waiting


@pytest.fixture
async def watching(monkeypatch: pytest.MonkeyPatch) -> Any:
    work, timer = Work(), Timer()
    monkeypatch.setattr(watch_polls, "next_due", work.next_due)
    monkeypatch.setattr(watch_polls, "advance", work.advance)
    monkeypatch.setattr(watch_polls, "RETRY_SECONDS", 0.01)
    watch = PollWatch(Needs(work), timer)  # type: ignore[arg-type]
    task = asyncio.create_task(watch.run())
    yield work, timer, watch
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    await asyncio.sleep(0.05)


async def test_nothing_is_looked_at_while_nothing_is_due(watching: Any) -> None:
    work, timer, watch = watching
    await settle()
    assert work.looked == 1
    await timer.reach(10**12)
    await settle()
    assert work.looked == 1, "blocks alone change nothing"
    watch.note_change()
    await settle()
    assert work.looked == 2


async def test_a_poll_is_moved_on_when_block_time_reaches_it_and_not_before(watching: Any) -> None:
    work, timer, watch = watching
    work.due = [(b"late", 9_000), (b"soon", 5_000)]
    watch.note_change()
    await settle()
    await timer.reach(4_999)
    await settle()
    assert work.advanced == []
    looked = work.looked
    await timer.reach(5_000)
    await settle()
    assert work.advanced == [(b"soon", 5_000)]
    assert work.looked <= looked + 3
    work.due.append((b"sooner", 6_000))
    watch.note_change()
    await timer.reach(6_000)
    await settle()
    assert (b"sooner", 6_000) in work.advanced


async def test_closed_polls_are_tried_again_when_an_opening_has_come(watching: Any) -> None:
    work, _, watch = watching
    work.waiting = [b"closed"]
    watch.note_change()
    await settle()
    assert work.advanced == [(b"closed", 1_000)]


async def test_a_validator_that_is_behind_ends_nothing(watching: Any) -> None:
    work, _, watch = watching
    work.failures = [DeadlineExceeded("DEADLINE_EXCEEDED", "slow"), Unavailable("LEDGER_BEHIND", "behind")]
    work.due = [(b"poll", 1_000)]
    watch.note_change()
    await settle()
    await settle()
    assert work.advanced == [(b"poll", 1_000)]
