"""A transaction with its records and events (`icn_governance.usecases.ports.UnitOfWork`)."""

from __future__ import annotations

from collections.abc import Callable

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.database import Connection, Database
from icn_kit.envelope import new_event_id
from icn_kit.outbox import Outbox
from icn_kit.trace import current_trace
from icn_kit.unit_of_work import UnitOfWork

from icn_governance.domain.events import Event
from icn_governance.store.records import PostgresRecords

SCHEMA_VERSION = 1
ZONE_BYTES = 16


def envelope_of(event: Event, genesis_hash: bytes) -> EventEnvelope:
    """An event as it travels."""
    trace = current_trace.get()
    return EventEnvelope(
        id=new_event_id(),
        zone=genesis_hash[:ZONE_BYTES],
        schema_version=SCHEMA_VERSION,
        tenant=event.tenant,
        traceparent=trace.traceparent if trace is not None and trace.is_sampled else "",
        subject=event.subject,
        aggregate=event.aggregate,
        payload=event.payload.SerializeToString(deterministic=True),
    )


class GovernanceUnitOfWork(UnitOfWork):
    """One transaction of a use case."""

    def __init__(self, database: Database, genesis_hash: bytes) -> None:
        super().__init__(database)
        self._genesis_hash = genesis_hash

    @property
    def records(self) -> PostgresRecords:
        """What is stored."""
        return PostgresRecords(self.connection)

    async def publish(self, event: Event) -> None:
        """Tell others if the transaction commits."""
        await self.outbox.add(envelope_of(event, self._genesis_hash))


class HandlerUnitOfWork:
    """The transaction of a consumer, which commits it itself."""

    def __init__(self, connection: Connection, genesis_hash: bytes) -> None:
        self.records = PostgresRecords(connection)
        self._connection = connection
        self._genesis_hash = genesis_hash
        self._events: list[Event] = []

    async def __aenter__(self) -> HandlerUnitOfWork:
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Nothing: the consumer ends the transaction."""

    async def publish(self, event: Event) -> None:
        """Tell others if the transaction commits."""
        self._events.append(event)

    async def commit(self) -> None:
        """Write the events; the consumer commits."""
        events, self._events = self._events, []
        await Outbox().add_many(
            self._connection, [envelope_of(event, self._genesis_hash) for event in events]
        )


def begin_with(database: Database, genesis_hash: bytes) -> Callable[[], GovernanceUnitOfWork]:
    """Makes units of work."""
    return lambda: GovernanceUnitOfWork(database, genesis_hash)
