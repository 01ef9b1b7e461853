"""The loader, the same for both sides: `icn_client.submitter.Submitter` over the side's doors.

A transfer counts when the loader has heard from every living validator that its block is applied there.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

from icn_client.submitter import Submitter
from icn_client.transactions import Signed
from icn_kit.lifecycle import cancel_all

from benches.consensus.figures import Heights, applied_on_all, longest_gap, percentile
from benches.consensus.side import SEATS, Side

APPLIED_SECONDS_MAX: Final = 60.0
KILLED_SEAT: Final = 3
"""Not the one that the loader talks to."""
MEMORY_LOOKS: Final = 60
"""Evenly spread over the transfers."""
SIGNED_AT_ONCE: Final = 500
"""Signing holds up the loader, and what is signed ahead is memory of the loader only."""
BEFORE_KILL_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 0.5
"""Until those who watch are connected."""
FINAL_SEAT: Final = 0
FINAL_LOOK_SECONDS: Final = 0.02
"""A height that another one follows sooner is taken for final with that one."""


class Watched:
    """What each validator has applied; use `watching`."""

    def __init__(self, side: Side) -> None:
        self.nodes = [Heights() for _ in range(SEATS)]
        self.proposed_at_ms: dict[int, int] = {}
        """By height, 0 where its block does not say."""
        self.living = set(range(SEATS))
        self._side = side
        self._has_news = asyncio.Event()

    async def follow(self, seat: int) -> None:
        async for height, proposed_at_ms in self._side.watch(seat):
            self.nodes[seat].note(height, time.perf_counter())
            self.proposed_at_ms[height] = proposed_at_ms
            self._has_news.set()
        self.living.discard(seat)
        self._has_news.set()

    def applied_at(self, height: int) -> float | None:
        return applied_on_all([self.nodes[seat] for seat in self.living], height)

    async def wait(self, height: int) -> float:
        """When all living validators had applied this height."""
        async with asyncio.timeout(APPLIED_SECONDS_MAX):
            while (at := self.applied_at(height)) is None:
                self._has_news.clear()
                await self._has_news.wait()
        return at


@asynccontextmanager
async def watching(side: Side) -> AsyncIterator[Watched]:
    """Follow every validator meanwhile."""
    watched = Watched(side)
    tasks = [asyncio.create_task(watched.follow(seat)) for seat in range(SEATS)]
    try:
        await asyncio.sleep(CONNECT_SECONDS)
        yield watched
    finally:
        await cancel_all(tasks)


async def burst(side: Side, count: int, window: int) -> dict[str, float]:
    """As fast as it goes with so many under way: transfers a second, CPU time per transfer."""
    signed, expire_time_ms = side.sign(count)
    async with watching(side) as watched, Submitter(side.doors(), window) as submitter:
        cpu_before, loader_before = side.cpu_seconds(), time.process_time()
        begun = time.perf_counter()
        put, settled, height = 0, 0, 0
        while settled < count:
            while put < count and submitter.room > 0:
                submitter.put(signed[put], expire_time_ms)
                put += 1
            for outcome in await submitter.take():
                side.check(outcome)
                height = max(height, outcome.height)
                settled += 1
        ended = await watched.wait(height)
        loader_seconds = time.process_time() - loader_before
        await asyncio.sleep(side.settle_seconds)
        cpu_after = side.cpu_seconds()
    figures = {
        f"{name}_cpu_us": (seconds - cpu_before[name]) / count * 1e6 for name, seconds in cpu_after.items()
    }
    return {"rate": count / (ended - begun), **figures, "loader_cpu_us": loader_seconds / count * 1e6}


async def memory_over(side: Side, count: int, window: int) -> dict[str, float]:
    """Memory of the nodes while so many transfers go through, as fast as they do: the mean of the last third
    of the looks at it, in bytes, and what it is to the mean of the middle third."""
    looks: list[int] = []
    put, settled = 0, 0
    signed: list[Signed] = []
    expire_time_ms = 0
    async with Submitter(side.doors(), window) as submitter:
        while settled < count:
            while put < count and submitter.room > 0:
                if not signed:
                    signed, expire_time_ms = side.sign(min(SIGNED_AT_ONCE, count - put))
                    signed.reverse()
                submitter.put(signed.pop(), expire_time_ms)
                put += 1
            for outcome in await submitter.take():
                side.check(outcome)
                settled += 1
                if settled * MEMORY_LOOKS >= (len(looks) + 1) * count:
                    looks.append(await asyncio.to_thread(side.memory_bytes))
    third = MEMORY_LOOKS // 3
    middle, last = statistics.fmean(looks[third:-third]), statistics.fmean(looks[-third:])
    return {"memory_bytes": last, "memory_growth": last / middle}


async def steady(side: Side, rate: int, seconds: float) -> list[float]:
    """Milliseconds from handing each transfer over, on a fixed timetable, until it is applied everywhere."""
    signed, expire_time_ms = side.sign(int(rate * seconds))
    async with watching(side) as watched:
        sent_at, heights = await _send(side, signed, expire_time_ms, rate)
        await watched.wait(max(heights.values()))
        return _latencies(watched.applied_at, sent_at, heights)


async def look_for_finality(side: Side, final: Heights) -> None:
    """Note since when heights are final at one validator, until cancelled; returns where nobody can ask."""
    while await note_finality(side, final):  # noqa: ASYNC110 - the side is other processes
        await asyncio.sleep(FINAL_LOOK_SECONDS)


async def note_finality(side: Side, final: Heights) -> bool:
    """Look once; False where nobody can ask."""
    newest = await side.newest_final(FINAL_SEAT)
    if newest is None:
        return False
    height, since_seconds = newest
    final.note(height, since_seconds - (time.time() - time.perf_counter()))
    return True


async def steady_far_apart(side: Side, rate: int, seconds: float) -> dict[str, float]:
    """Medians in milliseconds at a rate: between blocks; from a block's proposal, and from handing a transfer
    over, until it is final at one validator and until it is applied everywhere."""
    signed, expire_time_ms = side.sign(int(rate * seconds))
    final = Heights()
    async with watching(side) as watched:
        looking = asyncio.create_task(look_for_finality(side, final))
        sent_at, heights = await _send(side, signed, expire_time_ms, rate)
        await watched.wait(max(heights.values()))
        await cancel_all([looking])
        await note_finality(side, final)  # what was applied everywhere became final before
        wall_seconds = time.time() - time.perf_counter()
        filled = sorted(set(heights.values()))
        applied = {height: watched.applied_at(height) or 0.0 for height in filled}
        proposed = {height: watched.proposed_at_ms[height] for height in filled}
        figures = {
            "delay_p50_ms": percentile(_latencies(watched.applied_at, sent_at, heights), 0.5),
            "delay_interval_ms": percentile(
                [(later - earlier) * 1_000 for earlier, later in pairwise(watched.nodes[0].at_seconds)], 0.5
            ),
        }
        if all(proposed.values()):
            figures["delay_applied_ms"] = percentile(
                [(applied[height] + wall_seconds) * 1_000 - proposed[height] for height in filled], 0.5
            )
        if final.heights:
            known = {height: final.applied_at(height) or 0.0 for height in filled}
            figures["delay_final_ms"] = percentile(
                [(known[height] + wall_seconds) * 1_000 - proposed[height] for height in filled], 0.5
            )
            figures["delay_submit_final_ms"] = percentile(_latencies(final.applied_at, sent_at, heights), 0.5)
        return figures


async def one_dead(side: Side, rate: int, seconds: float) -> dict[str, float]:
    """Longest gap between commits after a validator was killed, and the median of what was sent since."""
    signed, expire_time_ms = side.sign(int(rate * (BEFORE_KILL_SECONDS + seconds)))
    killed_at = 0.0

    async def kill() -> None:
        nonlocal killed_at
        await asyncio.sleep(BEFORE_KILL_SECONDS)
        killed_at = time.perf_counter()
        await asyncio.to_thread(side.kill, KILLED_SEAT)

    async with watching(side) as watched:
        killing = asyncio.create_task(kill())
        sent_at, heights = await _send(side, signed, expire_time_ms, rate)
        await killing
        watched.living.discard(KILLED_SEAT)
        await watched.wait(max(heights.values()))
        applied = [watched.applied_at(height) for height in set(heights.values())]
        commits = [at for at in applied if at is not None]
        since = {number: at for number, at in sent_at.items() if at >= killed_at}
        return {
            "gap_ms": longest_gap(commits, killed_at, max(commits)) * 1_000,
            "dead_p50_ms": percentile(_latencies(watched.applied_at, since, heights), 0.5),
        }


async def idle(side: Side, seconds: float) -> float:
    """Share of a core that the validators with their databases use without any load."""
    before = side.cpu_seconds()["nodes"]
    await asyncio.sleep(seconds)
    return (side.cpu_seconds()["nodes"] - before) / seconds


async def _send(
    side: Side, signed: Sequence[Signed], expire_time_ms: int, rate: int
) -> tuple[dict[bytes, float], dict[bytes, int]]:
    """Open loop: a slow answer does not slow the load down. When each was sent, and its block's height."""
    sent_at: dict[bytes, float] = {}
    heights: dict[bytes, int] = {}
    async with Submitter(side.doors(), len(signed) + 1) as submitter:

        async def hear() -> None:
            while len(heights) < len(signed):
                if not submitter.outstanding:
                    await asyncio.sleep(0.001)
                    continue
                for outcome in await submitter.take():
                    side.check(outcome)
                    heights[outcome.signed.transaction_id] = outcome.height

        hearing = asyncio.create_task(hear())
        try:
            begun = time.perf_counter()
            for number, one in enumerate(signed):
                ahead = begun + number / rate - time.perf_counter()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                if hearing.done():
                    break
                sent_at[one.transaction_id] = time.perf_counter()
                submitter.put(one, expire_time_ms)
            await hearing
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await cancel_all([hearing])
    return sent_at, heights


def _latencies(
    reached_at: Callable[[int], float | None], sent_at: dict[bytes, float], heights: dict[bytes, int]
) -> list[float]:
    found = []
    for identifier, sent in sent_at.items():
        at = reached_at(heights[identifier])
        assert at is not None, "all were waited for"
        found.append((at - sent) * 1_000)
    return found
