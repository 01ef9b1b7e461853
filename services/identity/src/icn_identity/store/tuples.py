"""Permission tuples in Postgres: changed and told in the transaction of what they follow from.

Whoever changes a tuple locks the row of the last checkpoint first, so that no checkpoint passes a change.
Source: docs/spec/identity.md, "Permission tuples".
"""

from __future__ import annotations

from collections.abc import Sequence

from icn.identity.v1 import events_pb2
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.database import Connection
from icn_kit.permissions import HEIGHT_NONE, PermissionTuple

from icn_identity.usecases.telling import envelope

_LOCK = "SELECT height FROM permission_progress FOR UPDATE"
_WRITE = """
    INSERT INTO permission_tuples AS known (object, relation, subject, since_height)
    SELECT %(object)s, %(relation)s, %(subject)s, %(height)s WHERE NOT EXISTS (
        SELECT FROM permission_tuples WHERE object = %(object)s AND relation = %(relation)s
        AND subject = %(subject)s AND until_height IS NULL
    )
    ON CONFLICT (object, subject, relation, since_height) DO UPDATE SET until_height = NULL
    WHERE known.until_height = known.since_height
"""
_REMOVE = """
    UPDATE permission_tuples SET until_height = greatest(%(height)s, since_height)
    WHERE object = %(object)s AND relation = %(relation)s AND subject = %(subject)s AND until_height IS NULL
"""
_NOTE_END = """
    INSERT INTO permission_tuples (object, relation, subject, since_height, until_height)
    VALUES (%(object)s, %(relation)s, %(subject)s, %(height)s, %(height)s) ON CONFLICT DO NOTHING
"""
"""What ended without having held here leaves a tuple of no height: `last_end` finds it, and nobody else."""
_LAST_END = """
    SELECT coalesce(max(until_height), 0) FROM permission_tuples
    WHERE object = %s AND relation = %s AND subject = %s
"""
_REACH = "UPDATE permission_progress SET height = %s"
_IN_FORCE = """
    SELECT DISTINCT 'organizations/' || encode(organization, 'hex') AS object,
    'office.' || office AS relation,
    'principals/' || encode(subject, 'hex') AS subject FROM credentials
    WHERE kind = 2 AND revoked_ms IS NULL AND NOT is_membership_ended
    AND valid_from_ms <= %(time_ms)s AND (valid_until_ms IS NULL OR valid_until_ms > %(time_ms)s)
"""
_LASTING = """
    SELECT object, relation, subject FROM permission_tuples
    WHERE until_height IS NULL AND relation LIKE 'office.%%'
"""
_BEGINNING = f"({_IN_FORCE}) EXCEPT ({_LASTING}) ORDER BY 1, 2, 3"
_ENDING = f"({_LASTING}) EXCEPT ({_IN_FORCE}) ORDER BY 1, 2, 3"
_END_OFFICES = """
    UPDATE credentials SET is_membership_ended = true
    WHERE organization = %s AND subject = %s AND kind = 2 AND NOT is_membership_ended
"""
_HOLDING = """
    SELECT object, relation, subject, since_height, until_height FROM permission_tuples
    WHERE (%(object)s = '' OR object = %(object)s) AND (%(subject)s = '' OR subject = %(subject)s)
    AND since_height <= %(height)s AND (until_height IS NULL OR until_height > %(height)s)
    ORDER BY object, relation, subject, since_height OFFSET %(offset)s LIMIT %(count)s
"""


class PostgresTuples:
    """See `icn_identity.usecases.ports.Tuples`. ``events`` collects what is to be published.

    Args:
        connection: inside a transaction.
        zone: as envelopes name it.
    """

    def __init__(self, connection: Connection, zone: bytes) -> None:
        self._connection = connection
        self._zone = zone
        self.events: list[EventEnvelope] = []

    async def lock(self) -> int:
        """See the port."""
        row = await (await self._connection.execute(_LOCK)).fetchone()
        assert row is not None, "the migration put it there"
        height: int = row[0]
        return height

    async def write(self, object_: str, relation: str, subject: str, height: int) -> bool:
        """It holds from ``height`` on, above the last checkpoint; False where it does already."""
        parameters = {"object": object_, "relation": relation, "subject": subject, "height": height}
        cursor = await self._connection.execute(_WRITE, parameters)
        if cursor.rowcount == 0:
            return False
        change = events_pb2.PermissionTupleWritten(
            object=object_, relation=relation, subject=subject, height=height
        )
        self._tell("permission_tuple_written", change)
        return True

    async def remove(self, object_: str, relation: str, subject: str, height: int) -> bool:
        """It ends at ``height``, above the last checkpoint; False where it does not hold."""
        parameters = {"object": object_, "relation": relation, "subject": subject, "height": height}
        cursor = await self._connection.execute(_REMOVE, parameters)
        if cursor.rowcount == 0:
            await self._connection.execute(_NOTE_END, parameters)
            return False
        change = events_pb2.PermissionTupleRemoved(
            object=object_, relation=relation, subject=subject, height=height
        )
        self._tell("permission_tuple_removed", change)
        return True

    async def last_end(self, object_: str, relation: str, subject: str) -> int:
        """See the port."""
        cursor = await self._connection.execute(_LAST_END, (object_, relation, subject))
        row = await cursor.fetchone()
        assert row is not None, "an aggregate has a row"
        height: int = row[0]
        return height

    async def settle_offices(self, time_ms: int, height: int) -> int:
        """See the port."""
        beginning = await (await self._connection.execute(_BEGINNING, {"time_ms": time_ms})).fetchall()
        ending = await (await self._connection.execute(_ENDING, {"time_ms": time_ms})).fetchall()
        for object_, relation, subject in ending:
            await self.remove(object_, relation, subject, height)
        for object_, relation, subject in beginning:
            await self.write(object_, relation, subject, height)
        return len(beginning) + len(ending)

    async def end_offices(self, organization: bytes, subject: bytes) -> None:
        """Whoever is no member holds no office, also when admitted again."""
        await self._connection.execute(_END_OFFICES, (organization, subject))

    async def reach(self, height: int) -> None:
        """Publish that everything up to ``height`` has been told."""
        await self._connection.execute(_REACH, (height,))
        payload = events_pb2.PermissionCheckpoint(height=height)
        self.events.append(
            envelope(
                self._zone,
                "permission_checkpoint",
                payload,
                aggregate="permissions/checkpoint",
                height=height,
            )
        )

    async def holding(
        self, *, object_: str, subject: str, height: int, offset: int, count: int
    ) -> Sequence[PermissionTuple]:
        """See the port."""
        parameters = {
            "object": object_,
            "subject": subject,
            "height": height,
            "offset": offset,
            "count": count,
        }
        cursor = await self._connection.execute(_HOLDING, parameters)
        return [
            PermissionTuple(
                found, relation, whom, since, HEIGHT_NONE if until is None or until > height else until
            )
            for found, relation, whom, since, until in await cursor.fetchall()
        ]

    def _tell(
        self,
        name: str,
        change: events_pb2.PermissionTupleWritten | events_pb2.PermissionTupleRemoved,
    ) -> None:
        tenant = bytes.fromhex(change.object.rpartition("/")[2])
        self.events.append(
            envelope(self._zone, name, change, aggregate=change.object, tenant=tenant, height=change.height)
        )
