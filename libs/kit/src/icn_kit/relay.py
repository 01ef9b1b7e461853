"""Publishes the outbox: from Postgres, which is the truth, to JetStream, which is a copy.

Source: docs/spec/events.md, "Outbox" and "Streams"; docs/adr/0005.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
import structlog
from icn.kit.v1.envelope_pb2 import EventEnvelope
from prometheus_client import Counter, Gauge, Histogram
from psycopg.sql import SQL, Identifier

from icn_kit.bus import (
    BATCH_EVENTS_MAX,
    BUS_FAILURES,
    Bus,
    OutgoingEvent,
    StreamChanged,
    StreamState,
    check_not_cancelled,
)
from icn_kit.database import Connection, Database
from icn_kit.envelope import ledger_event_tag
from icn_kit.errors import Unavailable
from icn_kit.lease import RENEW_SECONDS, RETRY_SECONDS, Lease, LeaseLost
from icn_kit.lifecycle import cancel_all
from icn_kit.outbox import EVENTS_PER_STATEMENT_MAX, events_of_row, notification_channel
from icn_kit.pauses import doubled

BATCH_BYTES_MAX = 2 * 1024**2
"""Envelopes in one batch: what the relay holds in memory and NATS in one transaction."""
IDLE_CHECK_SECONDS = 5.0
"""An idle relay looks at the stream and the outbox this often; a notification wakes it at once."""
UNSETTLED_SECONDS_MIN = 0.05
UNSETTLED_SECONDS_MAX = 1.0
"""Rows that wait for somebody's older transaction are looked at again after 50 ms, doubling up to a
second."""
BEHIND_SECONDS = 2.0
"""A relay that is behind the stream leaves the lease to others for longer than they need to take it."""
LEFT_TO_OTHERS_SECONDS = 30.0
"""For so long an outbox that lacks the first events fills no empty stream."""
FAILED_SECONDS_MIN = 0.1
FAILED_SECONDS_MAX = 5.0
BEHIND_REPORT_EVERY = 30
FAILED_REPORT_EVERY = 12
"""About once a minute, as long as it lasts."""

EVENTS_PUBLISHED = Counter("icn_kit_events_published_total", "Events appended to a stream.", ["stream"])
OUTBOX_LAG_SECONDS = Histogram(
    "icn_kit_outbox_lag_seconds",
    "From an event's row until it was appended to its stream, for the oldest of each batch.",
    ["stream"],
    buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0),
)
STREAM_REWOUND = Counter(
    "icn_kit_stream_rewound_total",
    "Times a stream did not end where the relay left it, or had nothing of what the outbox holds.",
    ["stream"],
)

PUBLISHING = Gauge(
    "icn_kit_relay_publishing_bool",
    "1 while this process publishes to the stream; of all processes that may, one does.",
    ["stream"],
)

_HAS_ROWS = "SELECT EXISTS (SELECT FROM outbox)"
_FIRST_ROW = "SELECT subject, envelope FROM outbox ORDER BY fence, position LIMIT 1"
_ROW_OF_EVENT = "SELECT fence::text, position, subject, envelope FROM outbox WHERE id = %s"
_ROWS_OF_BLOCK = """
SELECT fence::text, position, subject, envelope FROM outbox
WHERE id IN (SELECT substring(sha256(%s || int4send(index)) FOR 16) FROM generate_series(0, %s) AS index)
ORDER BY fence, position
"""
"""Where a block's events may be: a row has the id of its last event, and ids follow from the index."""
_FROM_THE_FUTURE = """
SELECT EXISTS (SELECT FROM outbox WHERE fence >= pg_snapshot_xmax(pg_current_snapshot())
               ORDER BY fence DESC LIMIT 1)
"""
_NEXT_ROWS = """
SELECT fence::text AS fence_digits, position, subject,
       CASE WHEN fence < pg_snapshot_xmin(pg_current_snapshot()) AND bytes_before < %(bytes_max)s THEN
       envelope END,
       extract(epoch FROM clock_timestamp() - created_at)::float8
FROM (
    SELECT fence, position, subject, created_at, envelope,
           sum(octet_length(envelope)) OVER (ORDER BY fence, position) - octet_length(envelope) AS
           bytes_before
    FROM (
        SELECT fence, position, subject, created_at, envelope FROM outbox
        WHERE (fence, position) > (%(fence)s::text::xid8, %(position)s::bigint)
        ORDER BY fence, position LIMIT %(events_max)s
    ) AS page
) AS measured
ORDER BY measured.fence, position
"""

_log = structlog.get_logger(__name__)


class OutboxRestored(Exception):
    """The outbox was written by another Postgres server: its fences mean nothing here."""


class _Behind(Exception):
    """Others have what the stream needs; the message says why."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The last row that was read."""

    fence: str
    position: int


_START = _Cursor("0", 0)


@dataclass(slots=True)
class _Reading:
    """How far the outbox was read, and what of it is not published yet."""

    cursor: _Cursor = _START
    events: deque[OutgoingEvent] = field(default_factory=deque)
    has_unsettled: bool = False
    """Whether rows wait that are visible but not settled."""
    oldest_seconds: float = 0.0
    """How long ago the first of the rows read last was written."""

    def next_batch(self) -> list[OutgoingEvent]:
        """Take the next events, as many as one batch may hold."""
        batch: list[OutgoingEvent] = []
        room_bytes = BATCH_BYTES_MAX
        while self.events and len(batch) < BATCH_EVENTS_MAX and room_bytes > 0:
            batch.append(self.events.popleft())
            room_bytes -= len(batch[-1].envelope)
        return batch


class Relay:
    """Publishes the outbox of ``service``, whose schema ``database`` is of, to the service's stream.

    Any number of relays may run for one stream, also on copies of the outbox in several servers, as long
    as these hold the same events in the same order; one of them publishes at a time.

    Args:
        is_whole: whether this copy has the events from the first on; one that began later leaves an empty
            stream to those that have them all, and these make one anew that somebody else began. None where
            there is one outbox.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        service: str,
        is_whole: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._database = database
        self._is_whole = is_whole
        self._left_since: float | None = None
        self._bus = bus
        self._service = service
        self._lease = Lease(bus, f"relay.{service}")
        self._task: asyncio.Task[None] | None = None
        self._published = EVENTS_PUBLISHED.labels(service)
        self._lag_seconds = OUTBOX_LAG_SECONDS.labels(service)
        self._rewound = STREAM_REWOUND.labels(service)
        self._publishing = PUBLISHING.labels(service)
        self._is_publishing = False

    @property
    def is_publishing(self) -> bool:
        """Whether we hold the lease and know where the stream ends."""
        return self._is_publishing

    def _set_publishing(self, is_publishing: bool) -> None:
        self._is_publishing = is_publishing
        self._publishing.set(is_publishing)

    def start(self) -> asyncio.Task[None]:
        """Run beside everything else until `stop`. The task ends by itself only with OutboxRestored or a
        bug."""
        assert self._task is None, "started already"
        self._task = asyncio.create_task(self.run(), name=f"relay.{self._service}")
        return self._task

    async def stop(self) -> None:
        """Stop publishing and give the lease back."""
        if self._task is not None:
            await cancel_all([self._task])
            self._task = None

    async def rebuild(self) -> None:
        """Forget the stream; whichever relay holds the lease publishes everything again from the first
        row."""
        await rebuild(self._bus, self._service)

    async def run(self) -> None:
        """Publish for ever, through losses of NATS, of Postgres and of the lease.

        Raises:
            OutboxRestored: the outbox came from another server; the message says what to do.
        """
        failures = 0
        while True:
            try:
                if not await self._lease.acquire():
                    failures = 0
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                try:
                    await self._publish()
                finally:
                    self._set_publishing(False)
                    await self._lease.release()
            except LeaseLost:
                failures = 0
                _log.warning("relay lost its lease", service=self._service)
            except _Behind as behind:
                failures += 1
                if failures == 1:
                    _log.warning(str(behind), service=self._service)
                await asyncio.sleep(BEHIND_SECONDS)
            except (Unavailable, psycopg.OperationalError, psycopg.InterfaceError, *BUS_FAILURES) as error:
                check_not_cancelled()
                failures += 1
                if failures % FAILED_REPORT_EVERY == 1:
                    _log.warning("relay interrupted", service=self._service, error=str(error))
                await asyncio.sleep(doubled(FAILED_SECONDS_MIN, failures, FAILED_SECONDS_MAX))

    async def _publish(self) -> None:
        """Publish while we hold the lease."""
        async with self._listening() as connection:
            await self._refuse_restored(connection)
            reading, last_sequence = await self._find_end(connection)
            self._set_publishing(True)
            checked_at = asyncio.get_running_loop().time()
            unsettled_seconds = UNSETTLED_SECONDS_MIN
            while True:
                await self._lease.renew_if_due()
                if not reading.events:
                    reading = await _read(connection, reading.cursor)
                if batch := reading.next_batch():
                    try:
                        last_sequence = await self._bus.publish_batch(self._service, batch, last_sequence)
                    except StreamChanged as change:
                        reading, last_sequence = await self._start_over(connection, change)
                        continue
                    self._published.inc(len(batch))
                    self._lag_seconds.observe(max(0.0, reading.oldest_seconds))
                    unsettled_seconds = UNSETTLED_SECONDS_MIN
                    continue
                if reading.has_unsettled:
                    await asyncio.sleep(unsettled_seconds)
                    unsettled_seconds = min(2 * unsettled_seconds, UNSETTLED_SECONDS_MAX)
                    continue
                while not await _is_notified(connection, RENEW_SECONDS):
                    await self._lease.renew_if_due()
                    now = asyncio.get_running_loop().time()
                    if now - checked_at >= IDLE_CHECK_SECONDS:
                        checked_at = now
                        state = await self._bus.stream_state(self._service)
                        if state is None or state.last_sequence != last_sequence:
                            reading, last_sequence = await self._start_over(connection, state)
                        break

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[Connection]:
        """A connection of our own that hears of new rows; statements see what is committed when they
        start."""
        async with self._database.connection_alone() as connection:
            await connection.execute(
                SQL("LISTEN {}").format(Identifier(notification_channel(self._database.schema)))
            )
            yield connection

    async def _refuse_restored(self, connection: Connection) -> None:
        if await _is_true(connection, _FROM_THE_FUTURE):
            raise OutboxRestored(
                f"the outbox in schema {self._database.schema} was written by another Postgres server;"
                " docs/spec/events.md says under Outbox how to mend it"
            )

    async def _start_over(self, connection: Connection, found: object) -> tuple[_Reading, int]:
        _log.warning("stream does not end where it was left", service=self._service, found=str(found))
        self._set_publishing(False)
        reading, last_sequence = await self._find_end(connection)
        if last_sequence:  # an empty one was counted when that was found
            self._rewound.inc()
        self._set_publishing(True)
        return reading, last_sequence

    async def _find_end(self, connection: Connection) -> tuple[_Reading, int]:
        """What follows the stream's last event in its row, and that event's sequence; makes the stream where
        there is nothing.

        Raises:
            _Behind: the last event is not in our outbox, or the first ones are not, and others may have them.
        """
        state = await self._bus.stream_state(self._service)
        if state is not None and state.messages == 0 and state.last_sequence > 0:
            # Purged. It may remember the ids and take our events for duplicates, so it is made anew.
            await self._bus.delete_stream(self._service)
            state = None
        elif state is not None and await self._lacks_beginning(connection, state):
            _log.warning("stream lacks the first events: it is made anew", service=self._service)
            await self._bus.delete_stream(self._service)
            state = None
        if state is None or state.last_sequence == 0:
            await self._leave_to_others()
            await self._bus.ensure_stream(self._service)
            if await _is_true(connection, _HAS_ROWS):  # NATS was lost: the relay was interrupted, too
                self._rewound.inc()
            return _Reading(), 0
        self._left_since = None
        behind = "stream ends with an event that the outbox does not have"
        last = await self._bus.event_at(self._service, state.last_sequence)
        if last is None:
            raise _Behind(behind)
        for fence, position, subject, envelope in await _rows_around(connection, last):
            events = deque(_outgoing(subject, envelope))
            while events:
                if events.popleft().id == last.id:
                    return _Reading(_Cursor(fence, position), events), state.last_sequence
        raise _Behind(behind)

    async def _lacks_beginning(self, connection: Connection, state: StreamState) -> bool:
        """Whether whoever began the stream did not have the first events, and we do."""
        if self._is_whole is None or state.first_sequence > 1 or not await self._is_whole():
            return False
        row = await (await connection.execute(_FIRST_ROW)).fetchone()
        first = await self._bus.event_at(self._service, 1)
        return row is not None and first is not None and first.id != _outgoing(*row)[0].id

    async def _leave_to_others(self) -> None:
        """Return where an empty stream is ours to fill.

        Raises:
            _Behind: we lack the first events, and others have not had the time to fill it.
        """
        if self._is_whole is None or await self._is_whole():
            return
        now = asyncio.get_running_loop().time()
        if self._left_since is None:
            self._left_since = now
        if now - self._left_since < LEFT_TO_OTHERS_SECONDS:
            raise _Behind("the outbox lacks the first events: the empty stream is left to others")
        _log.warning("nobody with the first events fills the stream: it begins later", service=self._service)


async def rebuild(bus: Bus, service: str) -> None:
    """Make the stream of ``service`` anew and empty. Its relay notices within IDLE_CHECK_SECONDS and fills
    it."""
    await bus.delete_stream(service)
    await bus.ensure_stream(service)


async def _read(connection: Connection, cursor: _Cursor) -> _Reading:
    """The events of the next settled rows."""
    rows = await (
        await connection.execute(
            _NEXT_ROWS,
            {
                "bytes_max": BATCH_BYTES_MAX,
                "fence": cursor.fence,
                "position": cursor.position,
                "events_max": BATCH_EVENTS_MAX,
            },
        )
    ).fetchall()
    settled = [
        row for row in rows if row[3] is not None
    ]  # a prefix: fences ascend, and so do the bytes before
    reading = _Reading(cursor, has_unsettled=len(settled) < len(rows))
    if settled:
        reading.cursor = _Cursor(settled[-1][0], settled[-1][1])
        reading.oldest_seconds = settled[0][4]
    for row in settled:
        reading.events.extend(_outgoing(*row[2:4]))
    return reading


async def _is_true(connection: Connection, query: LiteralString) -> bool:
    row = await (await connection.execute(query)).fetchone()
    return row is not None and bool(row[0])


async def _rows_around(connection: Connection, event: EventEnvelope) -> list[tuple[str, int, str, bytes]]:
    """The row of an event, or those of its block: one of them may have it in a run."""
    cursor = await connection.execute(_ROW_OF_EVENT, [event.id])
    if not (rows := await cursor.fetchall()) and event.height:
        cursor = await connection.execute(
            _ROWS_OF_BLOCK, (ledger_event_tag(event.zone, event.height), EVENTS_PER_STATEMENT_MAX - 1)
        )
        rows = await cursor.fetchall()
    return rows


def _outgoing(subject: str, envelope: bytes) -> list[OutgoingEvent]:
    return [
        OutgoingEvent(event.id, event.subject, event.SerializeToString(), event.traceparent)
        for event in events_of_row(subject, envelope)
    ]


async def _is_notified(connection: Connection, seconds: float) -> bool:
    """Whether rows were added, at the latest after ``seconds``.

    psycopg's own waiting wakes up ten times a second.
    """
    if not await _takes_notification(connection):
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptor = connection.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            async with asyncio.timeout(seconds):
                await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
        return await _takes_notification(connection)
    return True


async def _takes_notification(connection: Connection) -> bool:
    taken = False
    async for _ in connection.notifies(timeout=0):
        taken = True
    return taken
