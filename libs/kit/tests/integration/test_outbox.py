from __future__ import annotations

import psycopg
import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.database import Connection, Database
from icn_kit.envelope import MalformedEvent, new_event_id
from icn_kit.outbox import Outbox, notification_channel
from icn_kit.relay import _START, _read
from icn_kit.unit_of_work import UnitOfWork

from .conftest import MakeEvent, heights


async def settled(database: Database) -> list[EventEnvelope]:
    """What a relay that starts now would publish first."""
    async with database.connection_alone() as connection:
        reading = await _read(connection, _START)
    return [EventEnvelope.FromString(event.envelope) for event in reading.events]


async def test_events_are_read_in_the_order_they_were_added(
    database: Database, make_event: MakeEvent
) -> None:
    for first in (0, 3):
        async with database.transaction() as connection:
            await Outbox().add_many(connection, [make_event(height=first + step) for step in range(3)])
    assert heights(await settled(database)) == [0, 1, 2, 3, 4, 5]


async def test_fences_are_ordered_as_numbers_and_not_as_text(
    database: Database, make_event: MakeEvent
) -> None:
    async with database.transaction() as connection:
        await Outbox().add_many(connection, [make_event(height=height) for height in range(4)])
        for position, fence in enumerate(("9", "10", "99", "100"), start=1):
            await connection.execute("UPDATE outbox SET fence = %s WHERE position = %s", (fence, position))
    assert heights(await settled(database)) == [0, 1, 2, 3]


async def test_no_events_write_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        await Outbox().add_many(connection, [])
    assert await settled(database) == []


async def test_a_rolled_back_event_never_happened(database: Database, make_event: MakeEvent) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await Outbox().add_many(connection, [make_event()])
            raise ZeroDivisionError
    assert await settled(database) == []


async def test_an_event_is_written_once(database: Database, make_event: MakeEvent) -> None:
    event = make_event()
    async with database.transaction() as connection:
        await Outbox().add_many(connection, [event])
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.transaction() as connection:
            await Outbox().add_many(connection, [event])


async def test_a_malformed_event_stops_the_transaction_that_adds_it(
    database: Database, make_event: MakeEvent
) -> None:
    with pytest.raises(MalformedEvent, match="aggregate"):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO effect (note) VALUES ('lost')")
            await Outbox().add_many(connection, [make_event(), make_event(aggregate="")])
    async with database.connection() as connection:
        assert await (await connection.execute("SELECT * FROM effect")).fetchall() == []
    assert await settled(database) == []


async def test_nothing_passes_a_transaction_that_is_still_open(
    database: Database, make_event: MakeEvent
) -> None:
    async with database.transaction() as slow:
        await Outbox().add_many(slow, [make_event(height=1)])
        async with database.transaction() as quick:
            await Outbox().add_many(quick, [make_event(height=2)])
        assert await settled(database) == []
    assert heights(await settled(database)) == [1, 2]


async def test_a_transaction_that_only_reads_holds_nothing_back(
    database: Database, make_event: MakeEvent
) -> None:
    async with database.transaction() as reader:
        await reader.execute("SELECT * FROM outbox")
        async with database.transaction() as quick:
            await Outbox().add_many(quick, [make_event(height=1)])
        assert heights(await settled(database)) == [1]


async def test_who_waited_for_the_lock_comes_later_although_its_id_is_smaller(
    database: Database, make_event: MakeEvent
) -> None:
    """The counterexample of ADR 0005: by transaction ids, the second change would come first."""

    async def change(connection: Connection, height: int) -> None:
        await connection.execute("UPDATE effect SET position = position WHERE note = 'account'")
        await Outbox().add_many(connection, [make_event(aggregate="accounts/a", height=height)])

    async with database.transaction() as connection:
        await connection.execute("INSERT INTO effect (note) VALUES ('account')")
    async with database.transaction() as between:
        async with database.transaction() as second:
            await second.execute("INSERT INTO effect (note) VALUES ('takes an id early')")
            await between.execute("INSERT INTO effect (note) VALUES ('takes an id between')")
            async with database.transaction() as first:
                await change(first, height=1)
                ids = [
                    (await (await each.execute("SELECT pg_current_xact_id()::text::bigint")).fetchone())[0]
                    for each in (second, between, first)
                ]
            await change(second, height=2)
        assert ids == sorted(ids), "the later change has the smallest id"
        assert heights(await settled(database)) in ([], [1]), "never the second without the first"
    assert heights(await settled(database)) == [1, 2]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_transaction_with_an_old_snapshot_is_not_passed_either(
    database: Database, make_event: MakeEvent, level: str
) -> None:
    async with database.transaction() as old:
        await old.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        await old.execute("SELECT 1")
        for height in (1, 2):
            async with database.transaction() as quick:
                await Outbox().add_many(quick, [make_event(height=height)])
        assert heights(await settled(database)) == [1, 2]
        await Outbox().add_many(old, [make_event(height=3)])
        async with database.transaction() as quick:
            await Outbox().add_many(quick, [make_event(height=4)])
        assert heights(await settled(database)) == [1, 2], (
            "published already, and nothing may come before them"
        )
    assert heights(await settled(database)) == [1, 2, 3, 4]


async def test_a_commit_notifies_once_and_a_rollback_does_not(
    database: Database, make_event: MakeEvent
) -> None:
    async with database.connection_alone() as listener:
        await listener.execute(f"LISTEN {notification_channel('kit')}")
        async with database.transaction() as connection:
            await Outbox().add_many(connection, [make_event(), make_event()])
            await Outbox().add_many(connection, [make_event()])
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as connection:
                await Outbox().add_many(connection, [make_event()])
                raise ZeroDivisionError
        received = [notice async for notice in listener.notifies(timeout=0.5)]
    assert len(received) == 1


# -- unit of work


async def test_a_unit_of_work_commits_its_change_and_its_events_together(
    database: Database, make_event: MakeEvent
) -> None:
    uow = UnitOfWork(database)
    async with uow:
        await uow.outbox.add(make_event(height=1), make_event(height=2))
        await uow.connection.execute("INSERT INTO effect (note) VALUES ('kept')")
        await uow.commit()
    async with uow:
        await uow.outbox.add(make_event(height=3))
        await uow.commit()
    assert heights(await settled(database)) == [1, 2, 3]


async def test_a_unit_of_work_without_a_commit_leaves_nothing(
    database: Database, make_event: MakeEvent
) -> None:
    uow = UnitOfWork(database)
    async with uow:
        await uow.outbox.add(make_event(height=1))
        await uow.connection.execute("INSERT INTO effect (note) VALUES ('lost')")
    with pytest.raises(ZeroDivisionError):
        async with uow:
            await uow.outbox.add(make_event(height=2))
            raise ZeroDivisionError
    async with uow:
        await uow.commit()
        assert await (await uow.connection.execute("SELECT * FROM effect")).fetchall() == []
    assert await settled(database) == []


async def test_a_malformed_event_takes_the_whole_unit_of_work_with_it(
    database: Database, make_event: MakeEvent
) -> None:
    uow = UnitOfWork(database)
    with pytest.raises(MalformedEvent):
        async with uow:
            await uow.connection.execute("INSERT INTO effect (note) VALUES ('lost')")
            await uow.outbox.add(make_event(id=new_event_id()[:4]))
            await uow.commit()
    async with uow:
        assert await (await uow.connection.execute("SELECT * FROM effect")).fetchall() == []
