"""The ledger's stream on a real NATS server: its tail, what comes, and what a wipe does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2
from icn_gateway.domain.events import CommittedEvent, subject_filter
from icn_gateway.events.feed import Feed
from icn_gateway.events.stream import ServiceStream
from icn_kit.bus import Bus, OutgoingEvent
from icn_kit.envelope import serialize_envelope
from icn_localnet.nats import NatsServer

SUBJECT = "icn.ledger.v1.transfer_committed"


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    """A connection to a NATS server whose ledger stream is empty."""
    connected = await Bus.connect(nats_server.url, "test")
    await connected.delete_stream("ledger")
    await connected.ensure_stream("ledger")
    yield connected
    await connected.close()


def outgoing(number: int) -> OutgoingEvent:
    identifier = number.to_bytes(16, "big")
    envelope = EventEnvelope(
        id=identifier,
        zone=bytes(16),
        height=number,
        schema_version=1,
        subject=SUBJECT,
        aggregate=f"accounts/{number:032x}",
        payload=events_pb2.TransferCommitted(height=number).SerializeToString(),
    )
    return OutgoingEvent(identifier, SUBJECT, serialize_envelope(envelope))


async def publish(bus: Bus, numbers: range, after: int) -> None:
    await bus.publish_batch("ledger", [outgoing(number) for number in numbers], after)


async def take(source: AsyncIterator[Any], count: int) -> list[int | None]:
    async with asyncio.timeout(20):
        found = [await anext(source) for _ in range(count)]
    return [None if envelope is None else envelope.height for envelope in found]


async def test_what_is_stored_comes_first_and_then_what_happens(bus: Bus) -> None:
    await publish(bus, range(1, 4), 0)
    async with aclosing(ServiceStream(bus, "ledger").read(100)) as source:
        assert await take(source, 3) == [1, 2, 3]
        await publish(bus, range(4, 6), 3)
        assert await take(source, 2) == [4, 5]


async def test_only_the_tail_is_read_and_said_to_be_one(bus: Bus) -> None:
    await publish(bus, range(1, 11), 0)
    async with aclosing(ServiceStream(bus, "ledger").read(3)) as source:
        assert await take(source, 4) == [None, 8, 9, 10]


async def test_an_empty_stream_is_waited_on(bus: Bus) -> None:
    async with aclosing(ServiceStream(bus, "ledger", idle_seconds=0.1).read(3)) as source:
        waiting = asyncio.ensure_future(anext(source))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await publish(bus, range(1, 2), 0)
        assert (await asyncio.wait_for(waiting, 20)).height == 1


async def test_what_is_no_event_is_passed_over(bus: Bus) -> None:
    await bus.streams.publish(SUBJECT, b"\xff\xff not an envelope")
    await publish(bus, range(1, 2), 1)
    async with aclosing(ServiceStream(bus, "ledger").read(10)) as source:
        assert await take(source, 1) == [1]


async def test_a_missing_stream_is_a_lost_connection_not_a_crash(bus: Bus) -> None:
    await bus.delete_stream("ledger")
    with pytest.raises(ConnectionError):
        await take(ServiceStream(bus, "ledger").read(10), 1)


async def test_a_wiped_stream_is_noticed_while_it_is_quiet(bus: Bus) -> None:
    await publish(bus, range(1, 2), 0)
    async with aclosing(ServiceStream(bus, "ledger", idle_seconds=0.2).read(10)) as source:
        assert await take(source, 1) == [1]
        await bus.delete_stream("ledger")
        await bus.ensure_stream("ledger")
        with pytest.raises(ConnectionError):
            await take(source, 1)


async def test_followers_live_through_a_wipe_and_a_rebuild_without_repeats(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_gateway.events.feed.RECONNECT_SECONDS_MIN", 0.05)
    feed = Feed({"ledger": ServiceStream(bus, "ledger", idle_seconds=0.2)})
    running = asyncio.create_task(feed.run())
    following = feed.follow(subject_filter("icn.>"), {})
    seen: list[int] = []

    async def follow() -> None:
        async for item in following:
            if isinstance(item, CommittedEvent):
                seen.append(item.height)
                if item.height == 5:
                    return

    reading = asyncio.create_task(follow())
    await publish(bus, range(1, 4), 0)
    await bus.delete_stream("ledger")
    await bus.ensure_stream("ledger")
    await publish(bus, range(1, 6), 0)
    await asyncio.wait_for(reading, 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert seen == [1, 2, 3, 4, 5]
