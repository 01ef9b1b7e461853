"""A service's copy of the tuples over real Postgres and NATS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from icn.identity.v1.events_pb2 import PermissionCheckpoint, PermissionTupleRemoved, PermissionTupleWritten
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.bus import Bus
from icn_kit.database import Database
from icn_kit.envelope import new_event_id
from icn_kit.inbox import handle_once
from icn_kit.permission_projection import CHECKPOINT, REMOVED, WRITTEN, Permissions
from icn_kit.permissions import (
    HEIGHT_NONE,
    HeightNotReached,
    PermissionTuple,
    create_permission_statements,
)

FARM = f"organizations/{1:032x}"
ANA, BEN = f"principals/{2:032x}", f"principals/{3:032x}"


def event(subject: str, payload: Any) -> EventEnvelope:
    return EventEnvelope(
        id=new_event_id(),
        zone=b"z" * 16,
        schema_version=1,
        subject=subject,
        aggregate=FARM,
        payload=payload.SerializeToString(),
    )


def written(subject: str, height: int, relation: str = "member") -> EventEnvelope:
    return event(
        WRITTEN, PermissionTupleWritten(object=FARM, relation=relation, subject=subject, height=height)
    )


def removed(subject: str, height: int, relation: str = "member") -> EventEnvelope:
    return event(
        REMOVED, PermissionTupleRemoved(object=FARM, relation=relation, subject=subject, height=height)
    )


def checkpoint(height: int) -> EventEnvelope:
    return event(CHECKPOINT, PermissionCheckpoint(height=height))


@pytest.fixture
async def database(database: Database) -> Database:
    """The fresh database with the tables of a copy."""
    async with database.transaction() as connection:
        for statement in create_permission_statements():
            await connection.execute(statement)
    return database


async def handle(permissions: Permissions, database: Database, *events: EventEnvelope) -> None:
    """What the consumer does with each event."""
    for each in events:
        async with database.transaction() as connection:
            await handle_once(connection, "test_permissions", [each], permissions._store)
        await permissions._remember(each)


async def test_memory_and_table_say_the_same_after_every_event(database: Database) -> None:
    permissions = Permissions(database)
    await permissions.load()
    events = [
        written(ANA, 3),
        written(ANA, 4),  # holds already
        written(BEN, 4, "office.treasurer"),
        removed(ANA, 6),
        checkpoint(6),
        removed(ANA, 7),  # does not hold
        written(ANA, 8),
        written(ANA, 9, "officer"),
        removed(ANA, 9, "officer"),
        written(BEN, 9, "officer"),
        removed(BEN, 9, "officer"),
        written(BEN, 9, "officer"),
        checkpoint(9),
    ]
    for each in events:
        await handle(permissions, database, each)
        copy = Permissions(database)
        await copy.load()
        assert sorted(copy.replica) == sorted(permissions.replica)
        assert copy.replica.height == permissions.replica.height
    assert sorted(permissions.replica) == [
        PermissionTuple(FARM, "member", ANA, 3, 6),
        PermissionTuple(FARM, "member", ANA, 8, HEIGHT_NONE),
        PermissionTuple(FARM, "office.treasurer", BEN, 4, HEIGHT_NONE),
        PermissionTuple(FARM, "officer", BEN, 9, HEIGHT_NONE),
    ]
    assert permissions.replica.check(BEN, "member", FARM, 9).is_allowed


async def test_a_repeat_of_everything_changes_nothing(database: Database) -> None:
    permissions = Permissions(database)
    events = [written(ANA, 3), removed(ANA, 5), written(ANA, 7), checkpoint(8)]
    await handle(permissions, database, *events)
    before = sorted(permissions.replica)
    await handle(permissions, database, *events)
    assert sorted(permissions.replica) == before
    copy = Permissions(database)
    await copy.load()
    assert sorted(copy.replica) == before


async def test_another_process_of_the_service_finds_in_the_table_what_it_was_not_told(
    database: Database,
) -> None:
    told, other = Permissions(database), Permissions(database)
    await handle(told, database, written(ANA, 3), checkpoint(4))
    await other.load()
    await handle(told, database, removed(ANA, 6), written(BEN, 6), checkpoint(7))
    with pytest.raises(HeightNotReached):
        other.replica.check(ANA, "member", FARM, 7)
    await other.wait_for(7, 5.0)
    assert not other.replica.check(ANA, "member", FARM, 7).is_allowed
    assert other.replica.check(ANA, "member", FARM, 5).is_allowed
    with pytest.raises(HeightNotReached) as refusal:
        await other.wait_for(8, 0.05)
    assert (refusal.value.asked, refusal.value.reached) == (8, 7)


async def test_another_process_that_saw_a_tuple_which_never_held_forgets_it(database: Database) -> None:
    told, other = Permissions(database), Permissions(database)
    await handle(told, database, written(ANA, 3))
    await other.load()
    assert len(other.replica) == 1
    await handle(told, database, removed(ANA, 3), checkpoint(3))
    await other.load()
    assert (len(other.replica), other.replica.height) == (0, 3)


async def test_events_arrive_from_the_bus_and_whoever_waits_is_woken(database: Database, bus: Bus) -> None:
    await bus.ensure_stream("identity")
    permissions = Permissions(database)
    await permissions.load()
    running = asyncio.create_task(permissions.consumer(bus, "test_permissions").run())
    waiting = asyncio.create_task(permissions.wait_for(5, 30.0))
    for each in (written(ANA, 3), written(BEN, 4, "office.chair"), checkpoint(5)):
        await bus.streams.publish(each.subject, each.SerializeToString())
    await waiting
    assert permissions.replica.check(BEN, "member", FARM, 5).is_allowed
    running.cancel()
    await asyncio.wait({running})
    await bus.delete_stream("identity")
