"""What the ledger tells of holds, taken in through the inbox.

Source: docs/spec/marketplace.md, "Agreement"; protos/icn/ledger/v1/events.proto.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from google.protobuf.message import DecodeError
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2 as ledger
from icn_kit.block_clock import Heights, check_reached, wait_until_reached
from icn_kit.bus import Bus
from icn_kit.database import Connection, Database
from icn_kit.envelope import MalformedEvent
from icn_kit.inbox import Consumer, is_level

from icn_marketplace.domain.agreement import Hold
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.ports import Ledger, UnitOfWork
from icn_marketplace.usecases.record_hold import (
    record_hold_captured,
    record_hold_placed,
    record_hold_released,
)

SERVICE = "ledger"
CONSUMER = "marketplace_holds"
PLACED = "icn.ledger.v1.hold_placed"
CAPTURED = "icn.ledger.v1.hold_captured"
RELEASED = "icn.ledger.v1.hold_released"

_log = structlog.get_logger(__name__)


UnitInside = Callable[[Connection], UnitOfWork]
"""A unit of work inside the transaction of an event."""


class LedgerHolds:
    """Consumes holds; implements `LedgerEvents`."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        unit_inside: UnitInside,
        announcer: Announcer,
        *,
        ledger: Ledger,
        heights: Heights,
    ) -> None:
        self._bus = bus
        self._ledger = ledger
        self._heights = heights
        self._unit_inside = unit_inside
        self._announcer = announcer
        self.consumer = Consumer(
            database,
            bus,
            SERVICE,
            name=CONSUMER,
            subjects=(PLACED, CAPTURED, RELEASED),
            handler=self.handle,
            check=self.is_true,
        )

    async def is_true(self, event: EventEnvelope) -> bool:
        """Before goods are given up because a hold has ended, see that it has: whoever has the bus's password
        can publish an event. What was placed again since then has not ended either.

        Raises:
            FailedPrecondition: EVENT_FROM_FUTURE.
            MalformedEvent: its payload is not what its subject says.
            Unavailable: too few validators answer, or have come so far.
        """
        if event.subject != RELEASED:
            return True
        try:
            released = ledger.HoldReleased.FromString(event.payload)
        except DecodeError as error:
            raise MalformedEvent(f"the payload is no {event.subject}") from error
        await wait_until_reached(self._heights, released.height)
        held_at = await self._ledger.held_at(released.hold.hold)
        if held_at is None:
            return True
        check_reached(released.height, held_at)
        _log.warning("a hold lasts that an event says has ended", event_id=event.id.hex())
        return False

    async def handle(self, event: EventEnvelope, connection: Connection) -> None:
        """The effect of one event.

        Raises:
            MalformedEvent: its payload is not what its subject says.
        """
        async with self._unit_inside(connection) as uow:
            try:
                await self._record(event, uow)
            except DecodeError as error:
                raise MalformedEvent(f"the payload is no {event.subject}") from error
            await uow.commit()

    async def is_level(self) -> bool:
        """See `LedgerEvents`.

        Raises:
            Unavailable: the bus does not answer (BUS_UNAVAILABLE).
        """
        return await is_level(self._bus, SERVICE, CONSUMER)

    async def _record(self, event: EventEnvelope, uow: UnitOfWork) -> None:
        if event.subject == PLACED:
            leaf = ledger.HoldPlaced.FromString(event.payload).hold
            hold = Hold(
                hold=leaf.hold,
                source=leaf.source,
                destination=leaf.destination,
                placed_minor=leaf.remaining_minor,
                captured_minor=0,
                captured_at_ms=0,
                expires_at_ms=leaf.expire_time_ms,
                release=None,
            )
            await record_hold_placed(uow, hold)
        elif event.subject == CAPTURED:
            captured = ledger.HoldCaptured.FromString(event.payload)
            await record_hold_captured(
                uow, captured.hold, captured.amount_minor, captured.block_time_ms, self._announcer
            )
        else:
            released = ledger.HoldReleased.FromString(event.payload)
            await record_hold_released(
                uow,
                released.hold.hold,
                # An expiry says itself that block time has reached it; a void says nothing of the time.
                released.hold.expire_time_ms if released.is_expired else 0,
                self._announcer,
                is_expired=released.is_expired,
            )
