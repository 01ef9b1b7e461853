from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope, EventRun
from icn_kit import relay as relay_module
from icn_kit.bus import ATOMIC_EVENTS_MIN, BATCH_EVENTS_MAX, Bus, OutgoingEvent, StreamChanged, stream_name
from icn_kit.database import Database
from icn_kit.envelope import ledger_event_id, new_event_id, serialize_envelope
from icn_kit.lease import LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS, Lease, LeaseLost
from icn_kit.outbox import Outbox, create_outbox_statements, events_of_row
from icn_kit.relay import BATCH_BYTES_MAX, OutboxRestored, Relay, rebuild
from icn_localnet.nats import NatsServer
from icn_localnet.postgres import PostgresServer
from icn_localnet.pytest_plugin import DatabaseFor
from nats.js.kv import KeyValue
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from .conftest import AddEvents, MakeEvent, heights, stream_of, until, until_published

StartRelay = Callable[..., Relay]


@pytest.fixture
def quick_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle relay looks at its stream at every renewal."""
    monkeypatch.setattr(relay_module, "IDLE_CHECK_SECONDS", 0.1)


@pytest.fixture
async def start_relay(database: Database, bus: Bus, service: str) -> AsyncIterator[StartRelay]:
    started: list[Relay] = []

    def start(source: Database = database, over: Bus = bus, is_whole: bool | None = None) -> Relay:
        async def answer() -> bool:
            return bool(is_whole)

        started.append(Relay(source, over, service, None if is_whole is None else answer))
        started[-1].start()
        return started[-1]

    yield start
    for relay in started:
        await relay.stop()


@pytest.fixture
def spawn_relay(dsn: str, service: str) -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    spawned: list[subprocess.Popen[str]] = []

    def spawn(url: str, holder: str) -> subprocess.Popen[str]:
        program = Path(__file__).with_name("relay_process.py")
        process = subprocess.Popen(
            [sys.executable, program, dsn, url, service, holder], stdout=subprocess.PIPE, text=True
        )
        spawned.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    yield spawn
    for process in spawned:
        process.kill()
        process.communicate()


# -- nothing lost, in order


async def test_a_commit_wakes_the_relay(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_events: AddEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "IDLE_CHECK_SECONDS", 1_000)
    relay = start_relay()
    await until(lambda: _is_publishing(relay))
    assert _shown_publishing(service) == 1
    await asyncio.sleep(0.2)
    await add_events(database, 0, 3)
    assert heights(await until_published(bus, service, 3)) == [0, 1, 2]
    await relay.stop()
    assert _shown_publishing(service) == 0


def _shown_publishing(service: str) -> float | None:
    return REGISTRY.get_sample_value("icn_kit_relay_publishing_bool", {"stream": service})


def _shown_rewound(service: str) -> float:
    return REGISTRY.get_sample_value("icn_kit_stream_rewound_total", {"stream": service}) or 0.0


async def _is_publishing(relay: Relay) -> bool:
    return relay.is_publishing


@pytest.mark.parametrize("seed", [1, 2])
async def test_concurrent_writers_with_long_transactions_lose_nothing_and_keep_the_order(
    database: Database, bus: Bus, service: str, start_relay: StartRelay, make_event: MakeEvent, seed: int
) -> None:
    chance = random.Random(seed)
    accounts = 4
    committed: set[bytes] = set()
    async with database.transaction() as connection:
        for account in range(accounts):
            await connection.execute(
                "INSERT INTO effect (position, note) VALUES (0, %s)", [f"accounts/{account}"]
            )

    async def write(pauses: list[tuple[float, float, int, bool]]) -> None:
        for before, after, account, gives_up in pauses:
            try:
                async with database.transaction() as connection:
                    if chance.random() < 0.5:  # an early id
                        await connection.execute("INSERT INTO effect (note) VALUES ('other')")
                    await asyncio.sleep(before)
                    cursor = await connection.execute(
                        "UPDATE effect SET position = position + 1 WHERE note = %s RETURNING position",
                        [f"accounts/{account}"],
                    )
                    row = await cursor.fetchone()
                    assert row is not None
                    event = make_event(aggregate=f"accounts/{account}", height=row[0])
                    await Outbox().add_many(connection, [event])
                    await asyncio.sleep(after)
                    if gives_up:
                        raise ZeroDivisionError
                committed.add(event.id)
            except ZeroDivisionError:
                pass

    def plan() -> list[tuple[float, float, int, bool]]:
        return [
            (
                chance.choice([0, 0, 0.001, 0.05]),
                chance.choice([0, 0, 0.001, 0.05, 0.3]),
                chance.randrange(accounts),
                chance.random() < 0.2,
            )
            for _ in range(25)
        ]

    start_relay()
    await asyncio.gather(*(write(plan()) for _ in range(6)))
    published = await until_published(bus, service, len(committed))
    assert {event.id for event in published} == committed
    assert len(published) == len(committed), "nothing twice"
    by_account = defaultdict(list)
    for event in published:
        by_account[event.aggregate].append(event.height)
    for order in by_account.values():
        assert order == list(range(1, len(order) + 1))


async def test_more_events_than_a_batch_and_large_ones_are_published_in_order(
    database: Database, bus: Bus, service: str, start_relay: StartRelay, make_event: MakeEvent
) -> None:
    large = [make_event(height=height, payload=b"x" * 250_000) for height in range(12)]
    assert sum(event.ByteSize() for event in large) > BATCH_BYTES_MAX
    small = [make_event(height=12 + step) for step in range(BATCH_EVENTS_MAX + 1)]
    async with database.transaction() as connection:
        await Outbox().add_many(connection, [*large, *small])
    start_relay()
    total = len(large) + len(small)
    assert heights(await until_published(bus, service, total)) == list(range(total))


async def test_an_event_carries_its_id_and_trace_in_the_headers(
    database: Database, bus: Bus, service: str, start_relay: StartRelay, make_event: MakeEvent
) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    event = make_event(traceparent=traceparent)
    async with database.transaction() as connection:
        await Outbox().add_many(connection, [event])
    start_relay()
    await until_published(bus, service, 1)
    message = await bus.streams.get_msg(stream_name(service), seq=1)
    assert message.headers is not None
    assert message.headers["Nats-Msg-Id"] == event.id.hex()
    assert message.headers["traceparent"] == traceparent
    assert message.subject == event.subject


async def test_an_idle_relay_leaves_postgres_alone(
    database: Database, start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = relay_module._read

    async def counted(*arguments: object) -> object:
        nonlocal reads
        reads += 1
        return await read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(relay_module, "_read", counted)
    relay = start_relay()
    await until(lambda: _is_publishing(relay))
    await asyncio.sleep(relay_module.IDLE_CHECK_SECONDS + 2 * RENEW_SECONDS)
    assert reads <= 3
    assert relay_module.IDLE_CHECK_SECONDS >= 5


# -- the stream was lost


async def test_a_stream_that_is_removed_while_idle_is_filled_again(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_events: AddEvents,
    quick_checks: None,
) -> None:
    await add_events(database, 0, 5)
    start_relay()
    await until_published(bus, service, 5)
    await bus.delete_stream(service)
    assert heights(await until_published(bus, service, 5)) == [0, 1, 2, 3, 4]


async def test_a_stream_that_is_removed_before_the_next_event_is_filled_from_the_start(
    database: Database, bus: Bus, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    await add_events(database, 0, 5)
    start_relay()
    await until_published(bus, service, 5)
    await bus.delete_stream(service)
    await add_events(database, 5, 6)
    assert heights(await until_published(bus, service, 6)) == [0, 1, 2, 3, 4, 5]


async def test_a_stream_that_lost_its_end_gets_it_again(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_events: AddEvents,
    quick_checks: None,
) -> None:
    events = await add_events(database, 0, 5)
    start_relay()
    await until_published(bus, service, 5)
    await bus.delete_stream(service)
    await bus.ensure_stream(service)
    kept = [OutgoingEvent(event.id, event.subject, serialize_envelope(event)) for event in events[:3]]
    before = _shown_rewound(service)
    await bus.publish_batch(service, kept, 0)
    assert heights(await until_published(bus, service, 5)) == [0, 1, 2, 3, 4]
    assert _shown_rewound(service) > before


async def test_a_purged_stream_is_filled_again_although_it_remembers_the_ids(
    database: Database, bus: Bus, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    await add_events(database, 0, 5)
    relay = start_relay()
    await until_published(bus, service, 5)
    await bus.streams.purge_stream(stream_name(service))
    await relay.stop()
    start_relay()

    async def is_full() -> bool:
        state = await bus.stream_state(service)
        return state is not None and state.messages == 5

    await until(is_full)
    assert heights(await stream_of(bus, service)) == [0, 1, 2, 3, 4]


async def test_a_wiped_nats_server_is_filled_again(
    database: Database, own_nats: NatsServer, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    bus = await Bus.connect(own_nats.url, "test")
    await add_events(database, 0, 5)
    start_relay(database, bus)
    await until_published(bus, service, 5)
    before = _shown_rewound(service)
    own_nats.kill()
    own_nats.wipe()
    await add_events(database, 5, 8)
    own_nats.start()
    assert heights(await until_published(bus, service, 8, seconds=40)) == list(range(8))
    assert _shown_rewound(service) > before
    await bus.close()


async def test_nats_may_start_after_the_relay(
    database: Database, own_nats: NatsServer, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    own_nats.stop()
    await add_events(database, 0, 3)
    bus = await Bus.connect(own_nats.url, "test")
    assert not bus.is_connected
    start_relay(database, bus)
    await asyncio.sleep(0.5)
    own_nats.start()
    assert heights(await until_published(bus, service, 3, seconds=40)) == [0, 1, 2]
    await bus.close()


async def test_a_rebuild_restores_all(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_events: AddEvents,
    quick_checks: None,
) -> None:
    await add_events(database, 0, 30)
    relay = start_relay()
    before = await until_published(bus, service, 30)
    await relay.rebuild()
    assert await until_published(bus, service, 30) == before
    await rebuild(bus, service)
    assert await until_published(bus, service, 30) == before


async def test_a_relay_survives_the_loss_of_postgres(
    localnet_directory: Path, bus: Bus, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    server = PostgresServer(localnet_directory / f"postgres-{service}")
    server.start()
    try:
        server.create_database("icn")
        database = await Database.open(server.create_role_and_schema("kit"), "kit", pool_size=2)
        async with database.transaction() as connection:
            for statement in create_outbox_statements():
                await connection.execute(statement)
        start_relay(database)
        await add_events(database, 0, 3)
        await until_published(bus, service, 3)
        server.kill()
        await asyncio.sleep(0.5)
        server.start()

        async def is_added() -> bool:
            try:
                await add_events(database, 3, 5)
            except Exception:  # noqa: BLE001 - the pool notices the restart
                return False
            return True

        await until(is_added)
        assert heights(await until_published(bus, service, 5)) == [0, 1, 2, 3, 4]
        await database.close()
    finally:
        server.stop()


async def test_an_outbox_of_another_server_is_refused(
    database: Database, bus: Bus, service: str, add_events: AddEvents
) -> None:
    await add_events(database, 0, 3)
    async with database.transaction() as connection:
        await connection.execute("UPDATE outbox SET fence = '9000000000000000000' WHERE position = 3")
    relay = Relay(database, bus, service)
    with pytest.raises(OutboxRestored, match="kit"):
        await asyncio.wait_for(relay.run(), 20)
    async with database.transaction() as connection:
        await connection.execute("UPDATE outbox SET fence = '3'")
    relay.start()
    assert heights(await until_published(bus, service, 3)) == [0, 1, 2]
    await relay.stop()


# -- runs


@pytest.fixture
def add_run(make_event: MakeEvent) -> Callable[..., Awaitable[list[EventEnvelope]]]:
    """Commits events of one height in one row, as the ledger does; they have no ids of their own."""

    async def add(database: Database, height: int, count: int) -> list[EventEnvelope]:
        common = EventEnvelope(zone=b"z" * 16, height=height, schema_version=1)
        own = [make_event(aggregate=f"accounts/{step}", zone=b"", schema_version=0) for step in range(count)]
        for event in own:
            event.ClearField("id")
        run = EventRun(common=common, events=own).SerializeToString()
        events = events_of_row("", run)
        async with database.transaction() as connection:
            await connection.execute(
                "INSERT INTO outbox (id, subject, envelope) VALUES (%s, '', %s)", (events[-1].id, run)
            )
        return events

    return add


AddRun = Callable[..., Awaitable[list[EventEnvelope]]]


async def test_runs_and_single_events_are_published_in_order(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_events: AddEvents,
    add_run: AddRun,
) -> None:
    expected = [
        *await add_events(database, 0, 3),
        *await add_run(database, 3, 5),
        *await add_run(database, 4, BATCH_EVENTS_MAX + 30),
        *await add_events(database, 5, 6),
        *await add_run(database, 6, 1),
    ]
    assert expected[3].id == ledger_event_id(b"z" * 16, 3, 0)
    relay = start_relay()
    assert await until_published(bus, service, len(expected)) == expected
    await relay.stop()
    expected += await add_run(database, 7, 2)
    start_relay()
    assert await until_published(bus, service, len(expected)) == expected, "goes on behind a whole run"


@pytest.mark.parametrize("published", [1, 4, 5, 6, BATCH_EVENTS_MAX, BATCH_EVENTS_MAX + 4])
async def test_a_run_that_was_published_in_part_is_gone_on_with_behind_its_last_event(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_run: AddRun,
    published: int,
) -> None:
    expected = [*await add_run(database, 1, 5), *await add_run(database, 2, BATCH_EVENTS_MAX + 30)]
    await bus.ensure_stream(service)
    before = [
        OutgoingEvent(event.id, event.subject, serialize_envelope(event)) for event in expected[:published]
    ]
    for start in range(0, published, BATCH_EVENTS_MAX):
        await bus.publish_batch(service, before[start : start + BATCH_EVENTS_MAX], start)
    start_relay()
    assert await until_published(bus, service, len(expected)) == expected
    state = await bus.stream_state(service)
    assert state is not None and state.last_sequence == len(expected), "nothing twice"


async def test_a_stream_that_ends_within_a_run_that_is_not_here_is_left_to_others(
    database: Database,
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_run: AddRun,
    make_event: MakeEvent,
) -> None:
    await add_run(database, 1, 2)
    strange = make_event(zone=b"z" * 16, height=1)
    await bus.ensure_stream(service)
    await bus.publish_batch(
        service, [OutgoingEvent(strange.id, strange.subject, serialize_envelope(strange))], 0
    )
    with capture_logs() as logs:
        relay = start_relay()
        await asyncio.sleep(1)
        assert not relay.is_publishing
    assert [entry["event"] for entry in logs] == ["stream ends with an event that the outbox does not have"]


# -- one of several


async def test_when_the_publishing_relay_is_killed_another_goes_on(
    database: Database,
    bus: Bus,
    nats_server: NatsServer,
    service: str,
    spawn_relay: Callable[[str, str], subprocess.Popen[str]],
    add_events: AddEvents,
) -> None:
    first = spawn_relay(nats_server.url, "first")
    await add_events(database, 0, 3)
    await until_published(bus, service, 3)
    spawn_relay(nats_server.url, "second")
    first.send_signal(signal.SIGKILL)
    first.wait()
    await add_events(database, 3, 6)
    assert heights(await until_published(bus, service, 6)) == list(range(6))
    assert LEASE_SECONDS + RETRY_SECONDS <= 5, "what was promised"
    assert 2 * RENEW_SECONDS < LEASE_SECONDS


async def test_a_relay_that_slept_past_its_lease_cannot_publish_out_of_turn(
    database: Database,
    bus: Bus,
    nats_server: NatsServer,
    service: str,
    spawn_relay: Callable[[str, str], subprocess.Popen[str]],
    add_events: AddEvents,
) -> None:
    first = spawn_relay(nats_server.url, "first")
    await add_events(database, 0, 3)
    await until_published(bus, service, 3)
    first.send_signal(signal.SIGSTOP)
    spawn_relay(nats_server.url, "second")
    await add_events(database, 3, 6)
    await until_published(bus, service, 6)
    first.send_signal(signal.SIGCONT)
    await add_events(database, 6, 9)
    await asyncio.sleep(1)
    published = await until_published(bus, service, 9)
    assert heights(published) == list(range(9))


async def test_a_relay_that_stops_gives_its_lease_back(
    database: Database, bus: Bus, service: str, start_relay: StartRelay
) -> None:
    first = start_relay()
    await until(lambda: _is_publishing(first))
    second = start_relay()
    await asyncio.sleep(0.5)
    assert not second.is_publishing
    began = asyncio.get_running_loop().time()
    await first.stop()
    await until(lambda: _is_publishing(second))
    assert asyncio.get_running_loop().time() - began < LEASE_SECONDS


@pytest.fixture
async def copies(database_for: DatabaseFor) -> AsyncIterator[list[Database]]:
    """Outboxes of two validators."""
    opened = []
    for _ in range(2):
        database = await Database.open(database_for("icn_kit"), "kit")
        async with database.transaction() as connection:
            for statement in create_outbox_statements():
                await connection.execute(statement)
        opened.append(database)
    yield opened
    for database in opened:
        await database.close()


async def copy_events(source: Database, target: Database, first: int, last: int) -> None:
    """What consensus does: the same events, in the same order, in the other's own transactions."""
    async with source.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, subject, envelope FROM outbox WHERE position BETWEEN %s AND %s ORDER BY position",
            (first, last),
        )
        rows = await cursor.fetchall()
    for row in rows:
        async with target.transaction() as connection:
            await connection.execute("INSERT INTO outbox (id, subject, envelope) VALUES (%s, %s, %s)", row)


async def test_another_validators_relay_goes_on_behind_the_last_event_of_the_stream(
    copies: list[Database], bus: Bus, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    ours, theirs = copies
    first = start_relay(ours)
    await add_events(ours, 0, 5)
    await until_published(bus, service, 5)
    await first.stop()
    await add_events(ours, 5, 8)
    await copy_events(ours, theirs, 1, 8)
    start_relay(theirs)
    assert heights(await until_published(bus, service, 8)) == list(range(8))
    assert (await bus.stream_state(service)).last_sequence == 8  # type: ignore[union-attr]


async def test_a_validator_that_is_behind_leaves_publishing_to_the_others_and_catches_up(
    copies: list[Database], bus: Bus, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    ours, behind = copies
    first = start_relay(ours)
    await add_events(ours, 0, 5)
    await until_published(bus, service, 5)
    await first.stop()
    await copy_events(ours, behind, 1, 3)
    with capture_logs() as logs:
        late = start_relay(behind)
        await asyncio.sleep(1)
        assert not late.is_publishing
        assert [entry["event"] for entry in logs] == [
            "stream ends with an event that the outbox does not have"
        ]
    second = start_relay(ours)
    await add_events(ours, 5, 7)
    assert heights(await until_published(bus, service, 7)) == list(range(7))
    await second.stop()
    await add_events(ours, 7, 8)
    await copy_events(ours, behind, 4, 8)
    assert heights(await until_published(bus, service, 8)) == list(range(8))


async def test_an_empty_stream_is_left_to_who_has_the_first_events(
    copies: list[Database], bus: Bus, service: str, start_relay: StartRelay, add_events: AddEvents
) -> None:
    """A validator that began with a snapshot filled a wiped bus, and what was before it was in no stream."""
    ours, later = copies
    await add_events(ours, 0, 5)
    await copy_events(ours, later, 3, 5)
    with capture_logs() as logs:
        partial = start_relay(later, is_whole=False)
        await asyncio.sleep(1)
        assert not partial.is_publishing
        left = "the outbox lacks the first events: the empty stream is left to others"
        assert [entry["event"] for entry in logs] == [left]
    whole = start_relay(ours, is_whole=True)
    assert heights(await until_published(bus, service, 5)) == list(range(5))
    await whole.stop()
    await add_events(ours, 5, 6)
    await copy_events(ours, later, 6, 6)
    assert heights(await until_published(bus, service, 6)) == list(range(6)), "from there on any will do"


async def test_a_stream_that_nobody_could_begin_is_made_anew_by_who_can(
    copies: list[Database],
    bus: Bus,
    service: str,
    start_relay: StartRelay,
    add_events: AddEvents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "LEFT_TO_OTHERS_SECONDS", 0.1)
    ours, later = copies
    await add_events(ours, 0, 5)
    await copy_events(ours, later, 3, 5)
    with capture_logs():
        partial = start_relay(later, is_whole=False)
        assert heights(await until_published(bus, service, 3)) == [2, 3, 4]
        await partial.stop()
        whole = start_relay(ours, is_whole=True)
        assert heights(await until_published(bus, service, 5)) == list(range(5))
        await whole.stop()
        last = (await bus.stream_state(service)).last_sequence  # type: ignore[union-attr]
        start_relay(later, is_whole=False)
        await add_events(ours, 5, 6)
        await copy_events(ours, later, 6, 6)
        assert heights(await until_published(bus, service, 6)) == list(range(6))
    assert (await bus.stream_state(service)).last_sequence == last + 1  # type: ignore[union-attr]


# -- what the rest stands on


async def test_a_batch_is_taken_only_behind_the_message_it_names(
    bus: Bus, service: str, make_event: MakeEvent
) -> None:
    def batch(count: int) -> list[OutgoingEvent]:
        events = [make_event() for _ in range(count)]
        return [OutgoingEvent(event.id, event.subject, serialize_envelope(event)) for event in events]

    with pytest.raises(StreamChanged):
        await bus.publish_batch(service, batch(1), 0)
    with pytest.raises(StreamChanged):
        await bus.publish_batch(service, batch(2), 0)
    await bus.ensure_stream(service)
    assert await bus.publish_batch(service, batch(1), 0) == 1
    assert await bus.publish_batch(service, batch(BATCH_EVENTS_MAX), 1) == 1 + BATCH_EVENTS_MAX
    for wrong in (0, BATCH_EVENTS_MAX, BATCH_EVENTS_MAX + 2):
        for count in (1, 3, ATOMIC_EVENTS_MIN):
            with pytest.raises(StreamChanged):
                await bus.publish_batch(service, batch(count), wrong)
    known, new = batch(1), batch(1)
    assert await bus.publish_batch(service, known, 1 + BATCH_EVENTS_MAX) == 2 + BATCH_EVENTS_MAX
    # Another relay was faster with the first of two:
    assert await bus.publish_batch(service, known + new, 1 + BATCH_EVENTS_MAX) == 3 + BATCH_EVENTS_MAX
    state = await bus.stream_state(service)
    assert state is not None
    assert state.messages == state.last_sequence == 3 + BATCH_EVENTS_MAX, "nothing twice and nothing left out"
    for distance, event in ((1, known[0]), (0, new[0])):
        found = await bus.event_at(service, state.last_sequence - distance)
        assert found is not None and serialize_envelope(found) == event.envelope


async def test_a_lease_has_one_holder_until_it_is_released_or_runs_out(bus: Bus, service: str) -> None:
    first, second = (Lease(bus, f"test.{service}") for _ in range(2))
    assert await first.acquire()
    assert not await second.acquire()
    await asyncio.sleep(RENEW_SECONDS)
    await first.renew_if_due()
    await first.release()
    assert await second.acquire()
    await second.release()
    assert await first.acquire()
    await until(second.acquire, seconds=3 * LEASE_SECONDS)
    with pytest.raises(LeaseLost):
        await first.renew_if_due()
    await first.release()
    assert not await first.acquire(), "releasing what was lost takes nothing from the new holder"


async def test_a_lease_that_runs_out_while_another_asks_is_taken_by_the_next_try(
    bus: Bus, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Lease(bus, f"test.{service}") for _ in range(2))
    assert await first.acquire()
    look = KeyValue._get

    async def look_too_late(bucket: KeyValue, key: str, revision: int | None = None) -> KeyValue.Entry:
        await bus.streams.purge_stream("KV_icn_leases", subject=f"$KV.icn_leases.{key}")
        return await look(bucket, key, revision)

    monkeypatch.setattr(KeyValue, "_get", look_too_late)
    assert not await second.acquire()
    assert await second.acquire()


def test_ids_differ_within_a_batch() -> None:
    assert len({new_event_id() for _ in range(BATCH_EVENTS_MAX)}) == BATCH_EVENTS_MAX
