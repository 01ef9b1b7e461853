"""Follows the ledger's memberships: who is a member, from which height on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1.events_pb2 import MembershipChanged
from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE, MEMBERSHIP_STATUS_ENDED
from icn_kit.bus import Bus
from icn_kit.database import Connection, Database
from icn_kit.inbox import Consumer
from icn_kit.outbox import Outbox

from icn_identity.events.permissions import OwnPermissions
from icn_identity.usecases.ports import Tuples

CONSUMER: Final = "identity_memberships"
MEMBER: Final = "member"
"""The relation."""
SUBJECT: Final = "icn.ledger.v1.membership_changed"


class Memberships:
    """Turns `membership_changed` into tuples."""

    def __init__(self, tuples_on: Callable[[Connection], Tuples], permissions: OwnPermissions) -> None:
        self._tuples_on = tuples_on
        self._permissions = permissions

    def consumer(self, database: Database, bus: Bus) -> Consumer:
        """What takes the events, one after the other."""
        return Consumer(
            database,
            bus,
            "ledger",
            name=CONSUMER,
            subjects=[SUBJECT],
            handler=self.handle,
            on_handled=self._handled,
        )

    async def handle(self, event: EventEnvelope, connection: Connection) -> None:
        """The effect of one event."""
        changed = MembershipChanged.FromString(event.payload)
        leaf = changed.membership
        if leaf.status not in (MEMBERSHIP_STATUS_ACTIVE, MEMBERSHIP_STATUS_ENDED):
            return
        object_ = f"organizations/{leaf.organization.hex()}"
        subject = f"principals/{leaf.member.hex()}"
        tuples = self._tuples_on(connection)
        height = max(changed.height, await tuples.lock() + 1)
        if leaf.status == MEMBERSHIP_STATUS_ACTIVE:
            await tuples.write(object_, MEMBER, subject, height)
        else:
            await tuples.remove(object_, MEMBER, subject, height)
            await tuples.end_offices(leaf.organization, leaf.member)
            await tuples.settle_offices(changed.block_time_ms, height)
        await Outbox().add_many(connection, tuples.events)

    async def _handled(self, _event: EventEnvelope) -> None:
        await self._permissions.take_in()
