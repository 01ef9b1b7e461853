"""Follows the ledger's memberships: who is a member, from which height on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1.events_pb2 import MembershipChanged
from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE, MEMBERSHIP_STATUS_ENDED
from icn_kit.block_clock import Heights, check_reached, wait_until_reached
from icn_kit.bus import Bus
from icn_kit.database import Connection, Database
from icn_kit.errors import FailedPrecondition
from icn_kit.inbox import Consumer
from icn_kit.outbox import Outbox

from icn_identity.events.permissions import OwnPermissions
from icn_identity.usecases.ports import Ledger, Tuples
from icn_identity.usecases.publish_credential import ACTIVE, MEMBER

CONSUMER: Final = "identity_memberships"
SUBJECT: Final = "icn.ledger.v1.membership_changed"
_STATUSES: Final = (MEMBERSHIP_STATUS_ACTIVE, MEMBERSHIP_STATUS_ENDED)

_log = structlog.get_logger(__name__)


class Memberships:
    """Turns `membership_changed` into tuples, once f + 1 validators say that it is so."""

    def __init__(
        self,
        tuples_on: Callable[[Connection], Tuples],
        permissions: OwnPermissions,
        ledger: Ledger,
        heights: Heights,
    ) -> None:
        self._tuples_on = tuples_on
        self._permissions = permissions
        self._ledger = ledger
        self._heights = heights

    def consumer(self, database: Database, bus: Bus) -> Consumer:
        """What takes the events, one after the other."""
        return Consumer(
            database,
            bus,
            "ledger",
            name=CONSUMER,
            subjects=[SUBJECT],
            handler=self.handle,
            check=self.is_true,
            on_handled=self._handled,
        )

    async def is_true(self, event: EventEnvelope) -> bool:
        """Ask the ledger whether the event is so: anybody with the bus's password can publish one.

        Raises:
            Unavailable: too few validators answer, or have come so far.
            FailedPrecondition: EVENT_FROM_FUTURE, MEMBERSHIP_UNKNOWN.
        """
        changed = MembershipChanged.FromString(event.payload)
        leaf = changed.membership
        if leaf.status not in _STATUSES:
            return True
        seen = await self._ledger.membership(leaf.organization, leaf.member)
        if seen is None:
            await wait_until_reached(self._heights, changed.height)
            seen = await self._ledger.membership(leaf.organization, leaf.member)
        if seen is None:
            raise FailedPrecondition("MEMBERSHIP_UNKNOWN", "the ledger has no such membership")
        check_reached(changed.height, seen.height)
        if leaf.status == MEMBERSHIP_STATUS_ACTIVE:
            is_so = seen.status == ACTIVE
        else:
            # Who was admitted again since then is told so by a later event.
            is_so = seen.status != ACTIVE or seen.since_time_ms > changed.block_time_ms
        if not is_so:
            _log.warning("a membership is not as an event says", event_id=event.id.hex(), status=seen.status)
        return is_so

    async def handle(self, event: EventEnvelope, connection: Connection) -> None:
        """The effect of one event."""
        changed = MembershipChanged.FromString(event.payload)
        leaf = changed.membership
        if leaf.status not in _STATUSES:
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
