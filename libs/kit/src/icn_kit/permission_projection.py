"""A service's copy of the permission tuples: its own table, kept by events, and the memory that answers.

Source: docs/spec/permissions.md.
"""

from __future__ import annotations

import asyncio
from typing import Final

from icn.identity.v1 import events_pb2
from icn.kit.v1.envelope_pb2 import EventEnvelope

from icn_kit.bus import Bus
from icn_kit.database import Connection, Database
from icn_kit.inbox import Consumer
from icn_kit.permissions import HEIGHT_NONE, HeightNotReached, PermissionReplica, PermissionTuple, check_tuple

WRITTEN: Final = "icn.identity.v1.permission_tuple_written"
REMOVED: Final = "icn.identity.v1.permission_tuple_removed"
CHECKPOINT: Final = "icn.identity.v1.permission_checkpoint"

CATCH_UP_SECONDS = 0.5
"""How often the table is read while somebody waits for a height that another process of the service has
seen."""

_WRITE = """
    INSERT INTO permission_tuples AS known (object, relation, subject, since_height)
    SELECT %(object)s, %(relation)s, %(subject)s, %(height)s WHERE NOT EXISTS (
        SELECT FROM permission_tuples WHERE object = %(object)s AND relation = %(relation)s
        AND subject = %(subject)s AND until_height IS NULL
    )
    ON CONFLICT (object, subject, relation, since_height) DO UPDATE SET until_height = NULL
    WHERE known.until_height = known.since_height
"""
"""What was removed at its own height may be written again at it."""
_REMOVE = """
    UPDATE permission_tuples SET until_height = %(height)s WHERE object = %(object)s
    AND relation = %(relation)s AND subject = %(subject)s AND until_height IS NULL
    AND since_height <= %(height)s
"""
_CHECKPOINT = "UPDATE permission_progress SET height = greatest(height, %s)"
_PROGRESS = "SELECT height FROM permission_progress"
_CHANGED = """
    SELECT object, relation, subject, since_height, until_height FROM permission_tuples
    WHERE since_height > %(height)s OR until_height > %(height)s
"""


class Permissions:
    """The copy of one service. ``replica`` answers; `consumer` keeps it."""

    def __init__(self, database: Database, replica: PermissionReplica | None = None) -> None:
        self._database = database
        self.replica = replica or PermissionReplica()
        self._changed = asyncio.Condition()

    async def load(self) -> None:
        """Read what the table has that the memory does not; before the first check, and whenever another
        process of the service may be ahead.

        Raises:
            Unavailable: the database.
        """
        async with self._database.transaction() as connection:
            # Progress first: what is changed after it was read is above it.
            row = await (await connection.execute(_PROGRESS)).fetchone()
            changed = await connection.execute(_CHANGED, {"height": self.replica.height or -1})
            async for object_, relation, subject, since, until in changed:
                self.replica.restore(
                    PermissionTuple(
                        object_, relation, subject, since, HEIGHT_NONE if until is None else until
                    )
                )
        assert row is not None, "the migration put it there"
        self.replica.reach(row[0])

    def consumer(self, bus: Bus, name: str) -> Consumer:
        """What keeps the copy: run it beside everything else.

        Args:
            name: of the consumer, ``<consuming service>_permissions``.
        """
        return Consumer(
            self._database,
            bus,
            "identity",
            name=name,
            subjects=[WRITTEN, REMOVED, CHECKPOINT],
            handler=self._store,
            on_handled=self._remember,
        )

    async def wait_for(self, height: int, seconds: float) -> None:
        """Return once checks at ``height`` are answered.

        Raises:
            HeightNotReached: not within ``seconds``.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self.replica.height < height:
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                raise HeightNotReached(height, self.replica.height)
            try:
                async with asyncio.timeout(min(remaining, CATCH_UP_SECONDS)), self._changed:
                    await self._changed.wait_for(lambda: self.replica.height >= height)
            except TimeoutError:
                await self.load()

    async def _store(self, event: EventEnvelope, connection: Connection) -> None:
        if event.subject == CHECKPOINT:
            checkpoint = events_pb2.PermissionCheckpoint.FromString(event.payload)
            await connection.execute(_CHECKPOINT, (checkpoint.height,))
            return
        change = _change(event)
        check_tuple(change.object, change.relation, change.subject)
        parameters = {
            "object": change.object,
            "relation": change.relation,
            "subject": change.subject,
            "height": change.height,
        }
        await connection.execute(_WRITE if event.subject == WRITTEN else _REMOVE, parameters)

    async def _remember(self, event: EventEnvelope) -> None:
        """After the commit; a repeat changes nothing."""
        if event.subject == CHECKPOINT:
            self.replica.reach(events_pb2.PermissionCheckpoint.FromString(event.payload).height)
            async with self._changed:
                self._changed.notify_all()
            return
        change = _change(event)
        apply = self.replica.write if event.subject == WRITTEN else self.replica.remove
        apply(change.object, change.relation, change.subject, change.height)


def _change(event: EventEnvelope) -> events_pb2.PermissionTupleWritten | events_pb2.PermissionTupleRemoved:
    kind = (
        events_pb2.PermissionTupleWritten if event.subject == WRITTEN else events_pb2.PermissionTupleRemoved
    )
    return kind.FromString(event.payload)
