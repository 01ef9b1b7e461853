"""One transaction of a use case, with the outbox in it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from icn.kit.v1.envelope_pb2 import EventEnvelope

from icn_kit.database import Connection, Database
from icn_kit.outbox import Outbox


class PendingEvents:
    """Events of one unit of work, written as its last statement when it commits."""

    def __init__(self) -> None:
        self._events: list[EventEnvelope] = []

    async def add(self, *events: EventEnvelope) -> None:
        """Publish ``events``, in this order, if the unit of work commits."""
        self._events.extend(events)

    def take(self) -> list[EventEnvelope]:
        """All events so far, which are then no longer pending."""
        events, self._events = self._events, []
        return events


class UnitOfWork:
    """``async with uow: …; await uow.commit()``. Leaving the block without a commit rolls everything back.

    A service derives its own and adds repositories that use ``connection``. One instance serves one block
    at a time and can be entered again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lent: AbstractAsyncContextManager[Connection] | None = None
        self._connection: Connection | None = None
        self.outbox = PendingEvents()

    @property
    def connection(self) -> Connection:
        """The connection of the open transaction."""
        assert self._connection is not None, "used outside of its block"
        return self._connection

    async def __aenter__(self) -> Self:
        assert self._lent is None, "entered twice"
        lent = self._database.connection()
        self._connection = await lent.__aenter__()
        self._lent = lent
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lent, self._lent = self._lent, None
        assert lent is not None, "left without being entered"
        self.outbox.take()
        try:
            if error is None:
                await self.connection.rollback()  # of what was not committed
        finally:
            self._connection = None
            await lent.__aexit__(kind, error, traceback)

    async def commit(self) -> None:
        """Write the pending events, then make everything since the start or the last commit durable.

        Raises:
            MalformedEvent: a pending event breaks a rule; nothing was committed.
        """
        await Outbox().add_many(self.connection, self.outbox.take())
        await self.connection.commit()
