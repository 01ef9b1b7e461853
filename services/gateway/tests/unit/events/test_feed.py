from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2
from icn_gateway.domain.events import CommittedEvent, FeedSignal, parse_cursors, subject_filter
from icn_gateway.events.feed import QUEUE_EVENTS_MAX, Feed
from icn_kit.errors import ResourceExhausted

EVERYTHING = subject_filter("icn.>")


def envelope(number: int, subject: str = "icn.ledger.v1.transfer_committed") -> EventEnvelope:
    return EventEnvelope(
        id=number.to_bytes(16, "big"),
        height=number,
        subject=subject,
        payload=events_pb2.TransferCommitted(height=number).SerializeToString(),
    )


class QueueSource:
    """Events as a test puts them; a ConnectionError in the queue is raised."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[EventEnvelope | ConnectionError | None] = asyncio.Queue()
        self.reads = 0

    async def read(self, tail_max: int) -> AsyncIterator[EventEnvelope | None]:
        self.reads += 1
        while True:
            item = await self.queue.get()
            if isinstance(item, ConnectionError):
                raise item
            yield item
            self.queue.task_done()


class Running:
    """A feed with its source, run for the length of a test."""

    def __init__(self, **options: Any) -> None:
        self.source = QueueSource()
        self.feed = Feed({"ledger": self.source}, **options)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.feed.run())
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def tell(self, *numbers: int) -> None:
        for number in numbers:
            self.source.queue.put_nowait(envelope(number))
        await self.source.queue.join()


async def take(following: AsyncIterator[Any], count: int) -> list[Any]:
    async with asyncio.timeout(5):
        found = [await anext(following) for _ in range(count)]
    return [item.height if isinstance(item, CommittedEvent) else item for item in found]


async def begin(following: AsyncIterator[Any]) -> asyncio.Task[Any]:
    """Start to follow; the client is registered when this returns."""
    task = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    return task


async def test_a_client_gets_what_happens_after_it_came() -> None:
    async with Running() as running:
        await running.tell(1)
        following = running.feed.follow(EVERYTHING, {})
        first = await begin(following)
        await running.tell(2, 3)
        assert (await first).height == 2
        assert await take(following, 1) == [3]


async def test_a_returning_client_gets_the_past_and_the_present_without_a_seam() -> None:
    async with Running() as running:
        await running.tell(1, 2, 3)
        following = running.feed.follow(EVERYTHING, parse_cursors(f"1-{1:032x}"))
        assert await take(following, 1) == [2]
        await running.tell(4)
        assert await take(following, 2) == [3, 4]


async def test_a_client_is_told_of_a_gap_before_what_is_left() -> None:
    async with Running(kept_max=2) as running:
        await running.tell(1, 2, 3, 4)
        following = running.feed.follow(EVERYTHING, parse_cursors(f"1-{1:032x}"))
        assert await take(following, 3) == [FeedSignal.GAP, 3, 4]


async def test_a_client_gets_only_the_subjects_it_wants() -> None:
    async with Running() as running:
        following = running.feed.follow(subject_filter("icn.ledger.v1.hold_placed"), {})
        first = await begin(following)
        await running.tell(1)
        running.source.queue.put_nowait(envelope(2, "icn.ledger.v1.hold_placed"))
        assert (await asyncio.wait_for(first, 5)).height == 2


async def test_a_repeat_reaches_nobody() -> None:
    async with Running() as running:
        following = running.feed.follow(EVERYTHING, {})
        first = await begin(following)
        await running.tell(1, 1, 2)
        assert (await first).height == 1
        assert await take(following, 1) == [2]


async def test_a_client_that_does_not_read_is_cut_off_and_does_not_hold_up_the_others() -> None:
    async with Running() as running:
        slow, quick = running.feed.follow(EVERYTHING, {}), running.feed.follow(EVERYTHING, {})
        first_of_slow, first_of_quick = await begin(slow), await begin(quick)
        seen = []
        for number in range(1, QUEUE_EVENTS_MAX + 10):
            await running.tell(number)
            seen.append((await first_of_quick if number == 1 else await anext(quick)).height)
        assert seen == list(range(1, QUEUE_EVENTS_MAX + 10))
        got = [(await first_of_slow).height, *[item.height async for item in slow]]
        assert got == list(range(1, len(got) + 1)), "what it did get is without a hole"
        assert QUEUE_EVENTS_MAX <= len(got) < len(seen)


async def test_a_quiet_stream_sends_a_heartbeat() -> None:
    async with Running(heartbeat_seconds=0.01) as running:
        assert await take(running.feed.follow(EVERYTHING, {}), 2) == [
            FeedSignal.HEARTBEAT,
            FeedSignal.HEARTBEAT,
        ]


async def test_a_stream_ends_after_its_longest_time() -> None:
    async with Running(stream_seconds_max=0.02) as running:
        async with asyncio.timeout(5):
            items = [item async for item in running.feed.follow(EVERYTHING, {})]
        assert set(items) <= {FeedSignal.HEARTBEAT}


async def test_no_more_clients_than_the_bound_are_served() -> None:
    async with Running(clients_max=1) as running:
        following = running.feed.follow(EVERYTHING, {})
        waiting = await begin(following)
        with pytest.raises(ResourceExhausted) as refusal:
            running.feed.follow(EVERYTHING, {})
        assert refusal.value.reason == "TOO_MANY_STREAMS"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        running.feed.follow(EVERYTHING, {})


async def test_a_drain_lets_clients_finish_what_is_queued_and_takes_no_new_one() -> None:
    async with Running() as running:
        following = running.feed.follow(EVERYTHING, {})
        first = await begin(following)
        await running.tell(1, 2)
        running.feed.drain()
        assert [(await first).height, *[item.height async for item in following]] == [1, 2]
        with pytest.raises(ResourceExhausted):
            running.feed.follow(EVERYTHING, {})


async def test_the_feed_goes_on_after_the_bus_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icn_gateway.events.feed.RECONNECT_SECONDS_MIN", 0.001)
    async with Running() as running:
        following = running.feed.follow(EVERYTHING, {})
        first = await begin(following)
        running.source.queue.put_nowait(ConnectionError("gone"))
        running.source.queue.put_nowait(envelope(1))
        assert (await asyncio.wait_for(first, 5)).height == 1
        assert running.source.reads == 2


async def test_a_client_that_saw_nothing_resumes_from_where_it_came() -> None:
    async with Running() as running:
        await running.tell(1, 2)
        newest = running.feed.newest()
        await running.tell(3)
        assert await take(running.feed.follow(EVERYTHING, newest), 1) == [3]


async def test_recent_events_of_a_kind_come_newest_first_and_bounded() -> None:
    async with Running() as running:
        await running.tell(1, 2, 3)
        running.source.queue.put_nowait(envelope(4, "icn.ledger.v1.hold_placed"))
        await running.source.queue.join()
        wants = subject_filter("icn.ledger.v1.transfer_committed")
        assert [event.height for event in running.feed.recent(wants, 2)] == [3, 2]


async def test_an_event_in_the_stream_of_another_service_is_passed_over() -> None:
    source = QueueSource()
    feed = Feed({"marketplace": source})
    task = asyncio.create_task(feed.run())
    source.queue.put_nowait(envelope(1))
    await source.queue.join()
    assert feed.recent(EVERYTHING, 10) == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
