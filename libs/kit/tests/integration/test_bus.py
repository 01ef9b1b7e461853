from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.bus import Bus, OutgoingEvent
from icn_kit.envelope import serialize_envelope
from icn_kit.errors import ResourceExhausted, Unavailable
from icn_kit.password import password_of
from icn_localnet.nats import NatsServer
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from .conftest import MakeEvent, heights, until


async def _connected(bus: Bus) -> bool:
    return bus.is_connected


async def _is_shown_connected(expected: float) -> bool:
    return REGISTRY.get_sample_value("icn_kit_bus_connected_bool") == expected


async def take(bus: Bus, subject: str, count: int, ready: asyncio.Event) -> list[EventEnvelope]:
    found: list[EventEnvelope] = []
    events = bus.subscribe(subject)
    pending = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    ready.set()
    found.append(await pending)
    while len(found) < count:
        found.append(await anext(events))
    await events.aclose()  # type: ignore[attr-defined]
    return found


async def test_a_live_subscriber_sees_events_and_passes_over_what_is_none(
    bus: Bus, service: str, make_event: MakeEvent
) -> None:
    ready = asyncio.Event()
    taking = asyncio.create_task(take(bus, f"icn.{service}.>", 3, ready))
    await ready.wait()
    with capture_logs() as logs:
        for height in range(3):
            await bus.send(f"icn.{service}.v1.changed", b"\xff no event")
            await bus.send(f"icn.{service}.v1.changed", serialize_envelope(make_event(height=height)))
        assert heights(await asyncio.wait_for(taking, 10)) == [0, 1, 2]
    assert [entry["event"] for entry in logs] == ["not an event"] * 3


async def test_a_subscriber_that_is_too_slow_is_told(bus: Bus, service: str, make_event: MakeEvent) -> None:
    events = bus.subscribe(f"icn.{service}.>", events_max=4)
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    for height in range(10):
        await bus.send(f"icn.{service}.v1.changed", serialize_envelope(make_event(height=height)))
    await asyncio.sleep(0.3)
    with pytest.raises(ResourceExhausted) as refused:
        await first
        for _ in range(10):
            await anext(events)
    assert refused.value.reason == "SUBSCRIBER_TOO_SLOW"


async def test_without_nats_the_process_starts_and_what_needs_it_is_unavailable(own_nats: NatsServer) -> None:
    own_nats.stop()
    bus = await Bus.connect(own_nats.url, "test")
    assert not bus.is_connected
    for use in (bus.stream_state("ledger"), bus.ensure_stream("ledger"), anext(bus.subscribe("icn.>"))):
        with pytest.raises(Unavailable) as refused:
            await use
        assert refused.value.reason == "BUS_UNAVAILABLE"
    own_nats.start()
    await until(lambda: _connected(bus))
    assert await bus.stream_state("ledger") is None
    await bus.close()


async def test_a_bus_that_never_connected_can_be_closed(own_nats: NatsServer) -> None:
    own_nats.stop()
    bus = await Bus.connect(own_nats.url, "test")
    await asyncio.wait_for(bus.close(), 5)
    assert not bus.is_connected


async def test_a_connection_that_breaks_comes_back_by_itself(own_nats: NatsServer) -> None:
    bus = await Bus.connect(own_nats.url, "test")
    assert await _is_shown_connected(1)
    own_nats.kill()

    async def is_away() -> bool:
        return not bus.is_connected

    await until(is_away)
    await until(lambda: _is_shown_connected(0))
    own_nats.start()
    await until(lambda: _connected(bus))
    await until(lambda: _is_shown_connected(1))
    assert await bus.stream_state("ledger") is None
    await bus.close()


async def test_a_password_that_was_changed_is_read_again_for_the_next_connection(
    own_nats: NatsServer, tmp_path: Path
) -> None:
    file = tmp_path / "nats-password"
    file.write_text(f"{own_nats.password}\n")
    password = password_of(SecretStr(""), file)
    bus = await Bus.connect(own_nats.address, "test", user="icn", password=password)
    try:
        assert bus.is_connected
        (own_nats.directory / "password").write_text("another")
        own_nats.prepare()
        assert own_nats.pid is not None
        os.kill(own_nats.pid, signal.SIGHUP)  # it cuts off who has another password
        await until(lambda: _is_connected(bus, False))
        await asyncio.sleep(1.5)
        assert not bus.is_connected
        file.write_text("another")
        await until(lambda: _is_connected(bus, True))
        await bus.send("icn.test", b"")
    finally:
        await bus.close()


async def _is_connected(bus: Bus, expected: bool) -> bool:
    return bus.is_connected == expected


async def test_no_password_reaches_the_logs(own_nats: NatsServer) -> None:
    with capture_logs() as logs:
        wrong = own_nats.url.replace(own_nats.password, "hunter2")
        bus = await Bus.connect(wrong, "test")
        assert not bus.is_connected
        await bus.close()
    assert logs
    assert "hunter2" not in json.dumps(logs)
    assert own_nats.password not in json.dumps(logs)


async def test_the_newest_event_of_a_stream_is_named_by_id_and_height(
    bus: Bus, service: str, make_event: MakeEvent
) -> None:
    assert await bus.newest_event(service) is None
    await bus.ensure_stream(service)
    assert await bus.newest_event(service) is None
    events = [make_event(height=height) for height in (3, 5)]
    await bus.publish_batch(
        service, [OutgoingEvent(event.id, event.subject, serialize_envelope(event)) for event in events], 0
    )
    assert await bus.newest_event(service) == (events[-1].id, 5)
    await bus.delete_stream(service)
