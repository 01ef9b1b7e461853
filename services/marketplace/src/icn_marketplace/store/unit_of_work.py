"""The marketplace's transactions: of a command, and inside of an event's."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.blobs import BlobTable
from icn_kit.database import POOL_SIZE_DEFAULT, Connection, Database
from icn_kit.outbox import Outbox
from icn_kit.unit_of_work import PendingEvents
from icn_kit.unit_of_work import UnitOfWork as KitUnitOfWork

from icn_marketplace.store.photos import PhotoTable
from icn_marketplace.store.repositories import (
    AgreementTable,
    BookingTable,
    CommandTable,
    HoldTable,
    OfferTable,
    ResourceTable,
)


class _Tables:
    """Every table over one connection."""

    commands: CommandTable
    resources: ResourceTable
    bookings: BookingTable
    offers: OfferTable
    agreements: AgreementTable
    holds: HoldTable
    photos: PhotoTable

    def _use(self, connection: Connection, blobs: BlobTable) -> None:
        self.commands = CommandTable(connection)
        self.resources = ResourceTable(connection)
        self.bookings = BookingTable(connection)
        self.offers = OfferTable(connection)
        self.agreements = AgreementTable(connection)
        self.holds = HoldTable(connection)
        self.photos = PhotoTable(connection, blobs)


WRITES_AT_ONCE = POOL_SIZE_DEFAULT - 2
"""One connection stays for events, one for reads; more writers would only wait for each other's locks."""


class UnitOfWork(KitUnitOfWork, _Tables):
    """Implements `usecases.ports.UnitOfWork` with a transaction of its own.

    Args:
        turns: as many as may run at once. Whoever waits for a turn has no time-out but the caller's: of two
        hundred
            who want the same hour everybody is answered. What is left of the pool serves reads and events
            meanwhile.
    """

    def __init__(self, database: Database, blobs: BlobTable, turns: asyncio.Semaphore) -> None:
        super().__init__(database)
        self._blobs = blobs
        self._turns = turns
        self._turn = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin, once it is this one's turn."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turns)
            await super().__aenter__()
            self._turn = stack.pop_all()
        self._use(self.connection, self._blobs)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Undo what was not committed."""
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            await self._turn.aclose()


class EventUnitOfWork(_Tables):
    """Implements `usecases.ports.UnitOfWork` inside the transaction that remembers an event, which commits
    it."""

    def __init__(self, connection: Connection, blobs: BlobTable) -> None:
        self._connection = connection
        self.outbox = PendingEvents()
        self._use(connection, blobs)

    async def __aenter__(self) -> Self:
        """Nothing: the event's transaction is open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing: it is undone with the event's transaction."""

    async def commit(self) -> None:
        """Write the pending events; what was written becomes durable with the event."""
        events: list[EventEnvelope] = self.outbox.take()
        await Outbox().add_many(self._connection, events)
