from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit import inbox as inbox_module
from icn_kit.bus import DEAD_LETTER_SUBJECT, DEAD_LETTERS, Bus, stream_name
from icn_kit.database import Connection, Database
from icn_kit.errors import FailedPrecondition, Unavailable
from icn_kit.inbox import (
    RETRY_SECONDS,
    RUN_EVENTS_MAX,
    Consumer,
    handle_once,
    is_level,
)
from icn_kit.lease import LEASE_SECONDS
from icn_kit.lifecycle import cancel_all
from icn_kit.relay import Relay, rebuild
from icn_kit.trace import current_trace
from icn_localnet.nats import NatsServer
from nats.aio.msg import Msg
from nats.js import api
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from .conftest import AddEvents, MakeEvent, until, until_published


class Effects:
    """A handler that writes what it sees, and fails as a test wants."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.seen: list[int] = []
        self.fail: Callable[[EventEnvelope], None] = lambda _event: None

    async def __call__(self, event: EventEnvelope, connection: Connection) -> None:
        await connection.execute(
            "INSERT INTO effect (event_id, note) VALUES (%s, %s)", (event.id, str(event.height))
        )
        self.seen.append(event.height)
        self.fail(event)

    async def written(self) -> list[int]:
        async with self._database.connection() as connection:
            cursor = await connection.execute("SELECT note FROM effect ORDER BY position")
            return [int(note) for (note,) in await cursor.fetchall()]

    async def until_written(self, count: int, seconds: float = 20) -> list[int]:
        async def is_there() -> bool:
            return len(await self.written()) >= count

        await until(is_there, seconds)
        return await self.written()


@pytest.fixture
def effects(database: Database) -> Effects:
    return Effects(database)


@pytest.fixture
async def relay(database: Database, bus: Bus, service: str) -> AsyncIterator[Relay]:
    started = Relay(database, bus, service)
    started.start()
    yield started
    await started.stop()


StartConsumer = Callable[..., Consumer]


@pytest.fixture
async def start_consumer(
    database: Database, bus: Bus, service: str, effects: Effects
) -> AsyncIterator[StartConsumer]:
    tasks: list[asyncio.Task[None]] = []

    def start(over: Bus = bus, name: str = f"{service}_effects", **options: Any) -> Consumer:
        arguments = {"subjects": [f"icn.{service}.>"], "handler": effects, **options}
        consumer = Consumer(database, over, service, name=name, **arguments)
        tasks.append(asyncio.create_task(consumer.run()))
        return consumer

    yield start
    await cancel_all(tasks)


@pytest.fixture
def fast_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "RETRY_SECONDS", (0.01,) * len(RETRY_SECONDS))


async def dead_letters(bus: Bus, service: str, name: str) -> list[Any]:
    found = []
    sequence = 1
    while True:
        try:
            letter = await bus.streams.get_msg(
                DEAD_LETTERS, seq=sequence, subject=f"{DEAD_LETTER_SUBJECT}.{service}.{name}", next=True
            )
        except Exception:  # noqa: BLE001 - no more of them, or no such stream
            return found
        found.append(letter)
        assert letter.seq is not None
        sequence = letter.seq + 1


async def test_events_are_handled_in_order_from_the_first_on(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, add_events: AddEvents
) -> None:
    await add_events(database, 0, 20)
    start_consumer()
    await effects.until_written(20)
    await add_events(database, 20, 40)
    assert await effects.until_written(40) == list(range(40))


async def test_a_consumer_may_start_before_there_is_a_stream(
    database: Database,
    bus: Bus,
    service: str,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    start_consumer()
    await asyncio.sleep(0.5)
    relay = Relay(database, bus, service)
    relay.start()
    await add_events(database, 0, 3)
    assert await effects.until_written(3) == [0, 1, 2]
    await relay.stop()


async def test_only_the_subjects_asked_for_are_handled(
    database: Database,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    make_event: MakeEvent,
) -> None:
    from icn_kit.outbox import Outbox

    async with database.transaction() as connection:
        events = [make_event(height=height, event=("opened", "closed")[height % 2]) for height in range(6)]
        await Outbox().add_many(connection, events)
    start_consumer(subjects=[f"icn.{service}.v1.closed"])
    assert await effects.until_written(3) == [1, 3, 5]


async def test_what_is_asked_before_an_event_is_asked_outside_of_its_transaction_and_may_make_it_wait(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, add_events: AddEvents
) -> None:
    asked: list[int] = []

    async def is_true(event: EventEnvelope) -> bool:
        assert event.height not in effects.seen, "its handler has not begun"
        asked.append(event.height)
        if event.height == 1 and asked.count(1) < 4:
            raise Unavailable("LEDGER_BEHIND", "not yet")
        return event.height != 2

    await add_events(database, 0, 4)
    start_consumer(check=is_true)
    assert await effects.until_written(3) == [0, 1, 3], "what is not true has no effect"
    assert asked.count(1) == 4


async def test_events_that_come_twice_have_one_effect(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    await add_events(database, 0, 10)
    start_consumer()
    await effects.until_written(10)
    await rebuild(bus, service)
    await add_events(database, 10, 12)
    await until_published(bus, service, 12)
    assert await effects.until_written(12) == list(range(12))
    assert effects.seen == list(range(12)), "the handler did not even run"


async def test_a_wiped_nats_server_interrupts_a_consumer_and_doubles_nothing(
    database: Database,
    own_nats: NatsServer,
    service: str,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    bus = await Bus.connect(own_nats.url, "test")
    relay = Relay(database, bus, service)
    relay.start()
    start_consumer(over=bus)
    await add_events(database, 0, 5)
    await effects.until_written(5)
    own_nats.kill()
    own_nats.wipe()
    await add_events(database, 5, 8)
    own_nats.start()
    assert await effects.until_written(8, seconds=60) == list(range(8))
    await relay.stop()
    await bus.close()


async def test_a_handler_that_fails_leaves_nothing_and_is_tried_again_before_any_other_event(
    database: Database,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    fast_tries: None,
) -> None:
    def fail_twice(event: EventEnvelope) -> None:
        if event.height == 1 and effects.seen.count(1) < 3:
            raise RuntimeError("not yet")

    effects.fail = fail_twice
    with capture_logs():
        await add_events(database, 0, 4)
        start_consumer()
        assert await effects.until_written(4) == [0, 1, 2, 3]
    assert effects.seen[effects.seen.index(1) :].count(1) == 3
    assert effects.seen[-2:] == [2, 3] and effects.seen.count(2) == 1, "nothing behind it ran before"


async def test_after_five_tries_an_event_is_put_aside_and_can_be_replayed(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    fast_tries: None,
) -> None:
    def refuse(event: EventEnvelope) -> None:
        if event.height == 1:
            raise FailedPrecondition("NO_SUCH_OFFER", "no such offer")

    effects.fail = refuse
    with capture_logs() as logs:
        events = await add_events(database, 0, 3)
        consumer = start_consumer()
        assert await effects.until_written(2) == [0, 2]
    shown = {"consumer": consumer.name, "outcome": "dead"}
    assert REGISTRY.get_sample_value("icn_kit_events_total", shown) == 1
    tries = len(RETRY_SECONDS) + 1
    assert effects.seen.count(1) in (tries, tries + 1), "alone, and before perhaps in a run with others"
    assert effects.seen[-1] == 2 and effects.seen.count(2) == 1
    (put_aside,) = [entry for entry in logs if entry["event"] == "event put aside"]
    assert put_aside["reason"] == "NO_SUCH_OFFER"
    (letter,) = await dead_letters(bus, service, f"{service}_effects")
    assert EventEnvelope.FromString(letter.data) == events[1]
    assert letter.headers["Icn-Reason"] == "NO_SUCH_OFFER"
    assert letter.headers["Icn-Stream"] == stream_name(service)
    assert letter.headers["Icn-Sequence"] == "2"

    with capture_logs():
        assert await consumer.replay_dead_letters() == (0, 1)
    assert await effects.written() == [0, 2]
    effects.fail = lambda _event: None
    assert await consumer.replay_dead_letters() == (1, 0)
    assert await effects.written() == [0, 2, 1]
    assert await consumer.replay_dead_letters() == (0, 0)


async def test_a_process_that_starts_tries_again_what_was_put_aside_before_it_goes_on(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    fast_tries: None,
) -> None:
    away = 0

    def refuse(event: EventEnvelope) -> None:
        if event.height in (1, 2):
            raise FailedPrecondition("NO_SUCH_OFFER", "no such offer")

    def be_away_then_refuse_one(event: EventEnvelope) -> None:
        nonlocal away
        if event.height == 1 and away < 2:
            away += 1
            raise Unavailable("DATABASE_UNAVAILABLE", "Postgres is away")
        if event.height == 2:
            raise FailedPrecondition("NO_SUCH_OFFER", "no such offer")

    effects.fail = refuse
    with capture_logs():
        await add_events(database, 0, 4)
        named = {"name": f"{service}_effects", "subjects": [f"icn.{service}.>"]}
        older = asyncio.create_task(Consumer(database, bus, service, handler=effects, **named).run())
        assert await effects.until_written(2) == [0, 3]
        await cancel_all([older])
        effects.fail = be_away_then_refuse_one
        await add_events(database, 4, 5)
        start_consumer()
        assert await effects.until_written(4) == [0, 3, 1, 4]
    assert away == 2, "who is away is waited for"
    (letter,) = await dead_letters(bus, service, f"{service}_effects")
    assert EventEnvelope.FromString(letter.data).height == 2


async def test_bytes_that_are_no_event_are_put_aside_at_once(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    await add_events(database, 0, 1)
    await until_published(bus, service, 1)
    await relay.stop()
    for garbage in (b"\xff\xff", b"", EventEnvelope(id=b"short").SerializeToString()):
        await bus.streams.publish(f"icn.{service}.v1.changed", garbage)
    with capture_logs():
        start_consumer()

        async def are_aside() -> bool:
            return len(await dead_letters(bus, service, f"{service}_effects")) == 3

        await until(are_aside)
    letters = await dead_letters(bus, service, f"{service}_effects")
    assert {letter.headers["Icn-Reason"] for letter in letters} == {"MALFORMED_EVENT"}
    assert await effects.written() == [0]


async def test_an_outage_is_waited_for_and_counts_as_no_try(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox_module, "UNAVAILABLE_SECONDS_MAX", 0.02)

    def be_away(event: EventEnvelope) -> None:
        if len(effects.seen) < 3 * len(RETRY_SECONDS):
            raise Unavailable("PEER_AWAY", "restarting")

    effects.fail = be_away
    with capture_logs() as logs:
        await add_events(database, 0, 2)
        start_consumer()
        assert await effects.until_written(2) == [0, 1]
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []
    assert await dead_letters(bus, service, f"{service}_effects") == []


async def test_of_the_processes_of_one_consumer_one_works_and_the_order_is_kept(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    for _ in range(3):
        start_consumer()
    await add_events(database, 0, 60)
    assert await effects.until_written(60) == list(range(60))
    assert effects.seen == list(range(60))


async def test_two_consumers_each_have_their_effect(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, add_events: AddEvents
) -> None:
    await add_events(database, 0, 3)
    start_consumer(name="first")
    start_consumer(name="second")
    assert sorted(await effects.until_written(6)) == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def spawn_consumer(dsn: str, service: str) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    spawned: list[subprocess.Popen[str]] = []

    def spawn(url: str) -> subprocess.Popen[str]:
        program = Path(__file__).with_name("consumer_process.py")
        process = subprocess.Popen(
            [sys.executable, program, dsn, url, service, f"{service}_effects"],
            stdout=subprocess.PIPE,
            text=True,
        )
        spawned.append(process)
        return process

    yield spawn
    for process in spawned:
        process.kill()
        process.communicate()


async def test_a_consumer_killed_in_the_middle_of_an_effect_loses_and_doubles_nothing(
    database: Database,
    nats_server: NatsServer,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    spawn_consumer: Callable[[str], subprocess.Popen[str]],
) -> None:
    await add_events(database, 0, 5)
    process = spawn_consumer(nats_server.url)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert await effects.written() == []
    start_consumer()
    assert await effects.until_written(5, seconds=60) == list(range(5))


async def test_the_trace_of_an_event_is_its_handlers(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, make_event: MakeEvent
) -> None:
    from icn_kit.outbox import Outbox

    traces: list[str] = []

    async def note_trace(event: EventEnvelope, connection: Connection) -> None:
        trace = current_trace.get()
        assert trace is not None
        traces.append(trace.trace_id)
        await effects(event, connection)

    start_consumer(handler=note_trace)
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with database.transaction() as connection:
        await Outbox().add_many(connection, [make_event(traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")])
    await effects.until_written(1)
    assert traces == [trace_id]


async def test_handling_once_is_part_of_the_callers_transaction(
    database: Database, effects: Effects, make_event: MakeEvent
) -> None:
    event = make_event(height=1)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            assert await handle_once(connection, "test", [event], effects) == [True]
            raise ZeroDivisionError
    for ran in ([True, False], [False, False]):
        async with database.transaction() as connection:
            assert await handle_once(connection, "test", [event, event], effects) == ran
    assert await effects.written() == [1]


async def test_what_arrived_together_is_handled_in_one_transaction(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, add_events: AddEvents
) -> None:
    transactions: list[int] = []

    async def note_transaction(event: EventEnvelope, connection: Connection) -> None:
        cursor = await connection.execute("SELECT txid_current()")
        row = await cursor.fetchone()
        assert row is not None
        transactions.append(row[0])
        await effects(event, connection)

    await add_events(database, 0, 3 * RUN_EVENTS_MAX)
    start_consumer(handler=note_transaction)
    assert await effects.until_written(3 * RUN_EVENTS_MAX) == list(range(3 * RUN_EVENTS_MAX))
    assert max(Counter(transactions).values()) <= RUN_EVENTS_MAX
    assert len(set(transactions)) <= RUN_EVENTS_MAX, "three at best"


async def test_what_is_not_wanted_is_passed_over_and_not_remembered(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, add_events: AddEvents
) -> None:
    handled = "SELECT count(*) FROM inbox"
    await add_events(database, 0, 3 * RUN_EVENTS_MAX)
    start_consumer(wants=lambda event: event.height % RUN_EVENTS_MAX == 1)
    assert await effects.until_written(3) == [1, RUN_EVENTS_MAX + 1, 2 * RUN_EVENTS_MAX + 1]
    async with database.connection() as connection:
        assert await (await connection.execute(handled)).fetchone() == (3,)


async def test_what_is_not_wanted_leaves_a_failing_event_to_be_put_aside_alone(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    fast_tries: None,
) -> None:
    async def fail_at_four(event: EventEnvelope, connection: Connection) -> None:
        if event.height == 4:
            raise RuntimeError("four")
        await effects(event, connection)

    await add_events(database, 0, 10)
    start_consumer(handler=fail_at_four, wants=lambda event: event.height % 2 == 0)
    assert await effects.until_written(4) == [0, 2, 6, 8]
    (letter,) = await dead_letters(bus, service, f"{service}_effects")
    assert EventEnvelope.FromString(letter.data).height == 4


async def test_a_run_that_waits_for_a_row_gives_way_before_postgres_calls_it_a_deadlock(
    database: Database, relay: Relay, start_consumer: StartConsumer, effects: Effects, add_events: AddEvents
) -> None:
    """A command holds what the second event wants and wants what the first has: it is the run that yields."""
    touched = asyncio.Event()

    async def lock(event: EventEnvelope, connection: Connection) -> None:
        if event.height < 2:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (event.height,))
        if event.height == 0:
            touched.set()
            await asyncio.sleep(0.05)
        await effects(event, connection)

    await add_events(database, 0, 3)
    async with database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(1)")
        start_consumer(handler=lock)
        await touched.wait()
        await connection.execute("SELECT pg_advisory_xact_lock(0)")
    assert await effects.until_written(3) == [0, 1, 2]


async def test_a_process_that_slept_through_a_takeover_handles_nothing_out_of_order(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both believe that they hold the lease, and each removes the other's consumer."""
    monkeypatch.setattr(inbox_module.Lease, "acquire", AsyncMock(return_value=True))
    monkeypatch.setattr(inbox_module.Lease, "renew_if_due", AsyncMock())
    monkeypatch.setattr(inbox_module.Lease, "renew", AsyncMock())
    with capture_logs() as logs:
        start_consumer()
        await add_events(database, 0, 20)
        await effects.until_written(20)
        start_consumer()
        for first in range(20, 400, 20):
            await add_events(database, first, first + 20)
        assert await effects.until_written(400) == list(range(400))
    errors = [str(entry.get("error")) for entry in logs]
    assert any("status" in error for error in errors), errors


async def test_a_late_acknowledgement_of_who_lost_the_lease_moves_nothing(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    async def sleep_once(event: EventEnvelope, connection: Connection) -> None:
        if event.height == 100 and 100 not in effects.seen:
            effects.seen.append(100)
            await asyncio.sleep(LEASE_SECONDS + 1.5)
        await effects(event, connection)

    with capture_logs() as logs:
        await add_events(database, 0, 100)
        start_consumer(handler=sleep_once)
        await effects.until_written(100)
        start_consumer()
        await add_events(database, 100, 400)
        assert await effects.until_written(400) == list(range(400))

        async def has_handled_all() -> bool:
            return await is_level(bus, service, f"{service}_effects")

        await until(has_handled_all)
    assert any(entry["event"] == "consumer lost its lease" for entry in logs)
    assert len(await bus.streams.consumers_info(stream_name(service))) == 1


async def test_a_consumer_that_died_while_it_took_over_leaves_the_position_where_it_was(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
) -> None:
    """Between making its own consumer and removing the one before it."""
    name = f"{service}_effects"
    await add_events(database, 0, 10)
    await until_published(bus, service, 10)
    for floor in (7, 2):
        config = api.ConsumerConfig(
            durable_name=f"{name}-{floor}",
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=floor + 1,
            ack_policy=api.AckPolicy.ALL,
        )
        await bus.streams.add_consumer(stream_name(service), config)
    start_consumer()
    assert await effects.until_written(3) == [7, 8, 9]
    (left,) = await bus.streams.consumers_info(stream_name(service))
    assert left.name not in (f"{name}-7", f"{name}-2")


async def test_an_acknowledgement_that_is_lost_is_noticed_by_an_idle_consumer(
    database: Database,
    bus: Bus,
    service: str,
    relay: Relay,
    start_consumer: StartConsumer,
    effects: Effects,
    add_events: AddEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox_module, "PULL_SECONDS", 1.0)
    monkeypatch.setattr(inbox_module, "HEARTBEAT_SECONDS", 0.4)
    monkeypatch.setattr(Msg, "ack", AsyncMock())
    with capture_logs() as logs:
        await add_events(database, 0, 3)
        start_consumer()
        await effects.until_written(3)
        assert not await is_level(bus, service, f"{service}_effects")
        monkeypatch.undo()

        async def has_handled_all() -> bool:
            return await is_level(bus, service, f"{service}_effects")

        await until(has_handled_all, 20)
    assert any("acknowledgement was lost" in str(entry.get("error")) for entry in logs)
    assert effects.seen == [0, 1, 2]
