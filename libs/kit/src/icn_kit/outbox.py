"""The outbox: events written by the transaction whose change they tell of.

`icn_kit.relay` publishes them. Source: docs/spec/events.md, "Outbox"; docs/adr/0005.
"""

from __future__ import annotations

from collections.abc import Sequence

from icn.kit.v1.envelope_pb2 import EventEnvelope, EventRun

from icn_kit.database import Connection
from icn_kit.envelope import ledger_event_id, serialize_envelope

EVENTS_PER_STATEMENT_MAX = 65_536
"""One block's events; an array of more would have been cut by the block's own limits."""
RUN_BYTES_MAX = 1024**2
"""Of an `EventRun`, unless it is of one event: what a relay reads at once."""

_FENCE = """greatest(
        pg_current_xact_id(), ((pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text)::xid8
    )"""
"""SQL of a row's fence; one for all rows of a statement."""
_CREATE_TABLE = f"""
CREATE TABLE outbox (
    fence xid8 NOT NULL DEFAULT {_FENCE},
    position bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    id bytea NOT NULL UNIQUE CHECK (octet_length(id) = 16),
    subject text NOT NULL,
    envelope bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (fence, position)
)
"""
_CREATE_FUNCTION = """
CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox_' || TG_TABLE_SCHEMA, '');
    RETURN NULL;
END
$$
"""
_CREATE_TRIGGER = """
CREATE TRIGGER notify_outbox AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()
"""
_INSERT = (
    "INSERT INTO outbox (id, subject, envelope) SELECT * FROM unnest(%s::bytea[], %s::text[], %s::bytea[])"
)


def create_outbox_statements() -> tuple[str, ...]:
    """What a service's migration executes, in its own schema, to get an outbox."""
    return (_CREATE_TABLE, _CREATE_FUNCTION, _CREATE_TRIGGER)


def notification_channel(schema: str) -> str:
    """The channel that a new row in ``schema`` notifies."""
    return f"outbox_{schema}"


def events_of_row(subject: str, envelope: bytes) -> list[EventEnvelope]:
    """The events of an outbox row, in order; without a subject it has an `EventRun`."""
    if subject:
        return [EventEnvelope.FromString(envelope)]
    run = EventRun.FromString(envelope)
    common = run.common
    found = []
    for index, own in enumerate(run.events, run.first_index):
        event = EventEnvelope()
        event.CopyFrom(common)
        event.MergeFrom(own)
        if not event.id:
            event.id = ledger_event_id(common.zone, common.height, index)
        found.append(event)
    return found


class Outbox:
    """Writes events in their order."""

    async def add_many(self, connection: Connection, events: Sequence[EventEnvelope]) -> None:
        """Write ``events`` in one statement, inside the caller's transaction and after the change they
        tell of.

        Raises:
            MalformedEvent: an envelope breaks a rule of the specification.
            psycopg.errors.UniqueViolation: an event of this id was written before.
        """
        if not events:
            return
        assert len(events) <= EVENTS_PER_STATEMENT_MAX, "callers split what is larger than a block"
        await connection.execute(
            _INSERT,
            (
                [event.id for event in events],
                [event.subject for event in events],
                [serialize_envelope(event) for event in events],
            ),
        )
