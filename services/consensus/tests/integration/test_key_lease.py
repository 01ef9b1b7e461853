"""One process votes with a key: also where key and record log were copied, since Postgres is the same."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from icn.consensus.v1 import service_pb2
from icn_consensus.store import key_lease
from icn_consensus.store.block_store import SCHEMA
from icn_consensus.store.key_lease import LEASE_SECONDS, KeyInUse, KeyLease
from icn_kit.database import Database
from icn_localnet.files import free_port

from .conftest import Federation, MakeFederation, Validator, until
from .counting_application import make_transaction
from .test_killed_process import Processes, until_level

KEY = b"k" * 32
END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'icn-key-lease' AND datname = current_database()"
)


@pytest.fixture
async def database(databases: list[str]) -> AsyncIterator[Database]:
    database = await Database.open(databases[0], SCHEMA, pool_size=2)
    yield database
    await database.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long new holders wait for old ones, which is not waited for here."""
    monkeypatch.setattr(key_lease, "LOCK_SECONDS_MAX", 0.1)
    monkeypatch.setattr(key_lease, "TAKE_OVER_SECONDS", 0.25)
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds == key_lease.TAKE_OVER_SECONDS:
            waits.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noted)
    return waits


def end_sessions(database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(END_SESSIONS)


def grow_old(lease: KeyLease) -> None:
    """As if this process had stood still since its last confirmation."""
    lease._confirmed_at -= LEASE_SECONDS


async def test_a_second_process_is_refused_and_told_who_has_the_key(
    database: Database, waits: list[float]
) -> None:
    lease = await KeyLease.take(database, KEY, "here")
    with pytest.raises(KeyInUse, match=f"another process votes with this key: .*process {os.getpid()}"):
        await KeyLease.take(database, KEY, "elsewhere")
    assert lease.is_fresh
    other = await KeyLease.take(database, b"o" * 32, "elsewhere")
    await other.release()
    await lease.release()


async def test_a_key_that_was_released_is_taken_at_once_and_its_number_grows(
    database: Database, waits: list[float]
) -> None:
    fences = []
    for place in ("here", "elsewhere", ""):
        lease = await KeyLease.take(database, KEY, place)
        fences.append(lease.fence)
        await lease.release()
        assert not lease.is_fresh
    assert fences == [1, 2, 3]
    assert waits == []


@pytest.mark.parametrize(("before", "now", "waited"), [("a", "a", []), ("a", "b", [0.25]), ("", "", [0.25])])
async def test_who_takes_over_waits_until_the_old_holder_has_asked_again_unless_it_is_known_to_be_gone(
    database: Database, waits: list[float], before: str, now: str, waited: list[float]
) -> None:
    killed = await KeyLease.take(database, KEY, before)
    await killed._stack.aclose()
    lease = await KeyLease.take(database, KEY, now)
    assert waits == waited
    assert lease.fence == 2
    await lease.release()


async def test_a_lease_that_grew_old_is_confirmed_before_it_is_held_again(database: Database) -> None:
    lease = await KeyLease.take(database, KEY, "here")
    grow_old(lease)
    assert not lease.is_fresh
    await lease.hold()
    assert lease.is_fresh
    assert lease.fence == 1
    await lease.release()


async def test_who_lost_its_session_goes_on_when_nobody_took_the_key_meanwhile(
    database: Database, waits: list[float]
) -> None:
    lease = await KeyLease.take(database, KEY, "here")
    end_sessions(database)
    grow_old(lease)
    await lease.hold()
    assert lease.fence == 2
    with pytest.raises(KeyInUse):
        await KeyLease.take(database, KEY, "elsewhere")
    await lease.release()


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "released again"])
async def test_who_lost_its_session_is_refused_when_another_took_the_key(
    database: Database, waits: list[float], is_held: bool
) -> None:
    lease = await KeyLease.take(database, KEY, "here")
    end_sessions(database)
    other = await KeyLease.take(database, KEY, "elsewhere")
    if not is_held:
        await other.release()
    grow_old(lease)
    with pytest.raises(KeyInUse, match="another process has taken this key"):
        await lease.hold()
    await lease.release()
    await other.release()


async def test_while_another_waits_to_take_over_nothing_is_held(
    database: Database, waits: list[float]
) -> None:
    lease = await KeyLease.take(database, KEY, "here")
    end_sessions(database)
    taking = asyncio.ensure_future(KeyLease.take(database, KEY, "elsewhere"))
    await until(lambda: bool(waits))
    grow_old(lease)
    with pytest.raises(KeyInUse):
        await lease.hold()
    assert taking.done(), "it was not known before"
    await (await taking).release()
    await lease.release()


async def test_a_lease_is_kept_without_anybody_asking(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_lease, "CONFIRM_SECONDS", 0.01)
    lease = await KeyLease.take(database, KEY, "here")
    keeping = asyncio.create_task(lease.run())
    grow_old(lease)
    await until(lambda: lease.is_fresh)
    keeping.cancel()
    await asyncio.wait({keeping})
    await lease.release()


# --- processes


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.kill_all()


def copied(federation: Federation, validator: Validator) -> Validator:
    """The same key, record log and database on another place, as after a move that left the first running."""
    copy = Validator(federation, validator.seat, validator.settings.database_url.get_secret_value())
    directory = federation.sockets.parent / "copy"
    shutil.copytree(validator.directory, directory)
    copy.directory = directory
    copy.application_address = f"unix:{federation.sockets / 'copy'}"
    copy.settings = copy.settings.model_copy(
        update={
            "key_file": directory / "keys" / "consensus.json",
            "record_directory": directory / "record",
            "application_address": copy.application_address,
            "address": f"127.0.0.1:{free_port()}",
        }
    )
    return copy


def records(validator: Validator) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (validator.directory / "record").glob("*.log")}


async def test_a_process_that_wakes_up_after_another_took_over_its_key_signs_nothing(
    make_federation: MakeFederation, processes: Processes
) -> None:
    federation = make_federation()
    *steady, first = federation.validators
    for validator in steady:
        await validator.start()
    processes.start(first)
    sequence = 0

    async def submit() -> None:
        nonlocal sequence
        sequence += 1
        [outcome] = await steady[0].submit([make_transaction(b"ana", sequence)])
        assert outcome.state == service_pb2.SUBMIT_STATE_COMMITTED

    for _ in range(5):
        await submit()
    await until_level(first, steady[0])
    second = copied(federation, first)
    others = Processes()
    try:
        others.start(second)
        assert await ended(others, second) == 1
        assert f"another process votes with this key: {os.uname().nodename}, process" in said(second)

        # Whoever moves it stops it and ends its session, but does not kill it: it wakes up later.
        os.kill(processes.pid(first), signal.SIGSTOP)
        shutil.rmtree(second.directory / "record")
        shutil.copytree(first.directory / "record", second.directory / "record")
        with psycopg.connect(first.settings.database_url.get_secret_value(), autocommit=True) as connection:
            connection.execute(END_SESSIONS)
        others.start(second)
        before = records(second)
        async with asyncio.timeout(30):
            while records(second) == before:
                await submit()
        asleep = records(first)
        os.kill(processes.pid(first), signal.SIGCONT)
        assert await ended(processes, first) == 1
        assert "another process has taken this key" in said(first)
        assert records(first) == asleep, "it has signed nothing"

        others.kill(second)
        others.start(second)
        await until(lambda: said(second).count("consensus takes part") == 2)
    finally:
        others.kill_all()


def said(validator: Validator) -> str:
    return (validator.directory / "log").read_text()


async def ended(processes: Processes, validator: Validator) -> int | None:
    await until(lambda: processes.has_ended(validator) is not None)
    return processes.has_ended(validator)
