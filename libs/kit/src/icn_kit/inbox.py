"""The inbox: events are delivered at least once and have one effect.

Source: docs/spec/events.md, "Inbox".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import perf_counter, time

import structlog
from icn.kit.v1.envelope_pb2 import EventEnvelope
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import api
from nats.js.errors import NotFoundError
from prometheus_client import Counter, Histogram

from icn_kit.bus import BUS_FAILURES, DEAD_LETTER_SUBJECT, DEAD_LETTERS, Bus, check_not_cancelled, stream_name
from icn_kit.database import Connection, Database
from icn_kit.envelope import MalformedEvent, parse_envelope
from icn_kit.errors import DomainError, Unavailable
from icn_kit.spans import log_span
from icn_kit.trace import current_trace, parse_traceparent

RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Waits before the second to the fifth try. All other events of the consumer wait too: order comes first."""
UNAVAILABLE_SECONDS_MAX = 5.0
REPORT_EVERY = 12
"""Waits of that length: about once a minute."""
ACKNOWLEDGE_SECONDS_MAX = 15.0
"""NATS gives the event to another process of the consumer after this; longer than a wait and a statement's
time."""
PULL_EVENTS = 256
PULL_SECONDS = 30.0
"""An idle consumer asks again twice a minute."""
HEARTBEAT_SECONDS = 2.0
"""A consumer that is silent for twice this time is made again."""
MALFORMED_EVENT = "MALFORMED_EVENT"

EVENTS = Counter("icn_kit_events_total", "Events that were taken from a stream.", ["consumer", "outcome"])

LAG_SECONDS = Histogram(
    "icn_kit_event_lag_seconds",
    "From an event's arrival in its stream until its effect was committed.",
    ["consumer"],
    buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0),
)

_REMEMBER = "INSERT INTO inbox (consumer, event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"

_log = structlog.get_logger(__name__)

Handler = Callable[[EventEnvelope, Connection], Awaitable[None]]
"""Writes the effect of an event with the connection it is given, and only with that; anything else could
happen twice."""


Listener = Callable[[EventEnvelope], Awaitable[None]]
"""Told of an event whose effect is committed, also when it was a repeat; for memories over the effect, and
must not fail."""


def create_inbox_statements() -> tuple[str, ...]:
    """What a service's migration executes, in its own schema, to get an inbox."""
    return (
        """
        CREATE TABLE inbox (
            consumer text NOT NULL,
            event_id bytea NOT NULL CHECK (octet_length(event_id) = 16),
            handled_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (consumer, event_id)
        )
        """,
    )


async def handle_once(connection: Connection, consumer: str, event: EventEnvelope, handler: Handler) -> bool:
    """Run ``handler`` in the open transaction unless ``consumer`` has handled the event before; whether it
    ran."""
    remembered = await connection.execute(_REMEMBER, (consumer, event.id))
    if remembered.rowcount == 0:
        return False
    await handler(event, connection)
    return True


class Consumer:
    """Takes the events of one service's stream, in order, and has each handled once.

    Args:
        database: of the consuming service; its schema has the inbox.
        service: whose events.
        name: of the consumer, unique on the bus: ``<consuming service>_<purpose>``. It remembers how far
            it is.
        subjects: which events; wildcards as in NATS.
        before: awaited before each try's transaction is opened, to ask others whether the event is true; what
            it raises counts as the handler's.
        on_handled: awaited after the commit, before the next event.

    Any number of processes may run the same consumer: NATS hands out one event at a time.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        service: str,
        *,
        name: str,
        subjects: Sequence[str],
        handler: Handler,
        before: Listener | None = None,
        on_handled: Listener | None = None,
    ) -> None:
        self._database = database
        self._bus = bus
        self._service = service
        self._stream = stream_name(service)
        self.name = name
        self._subjects = list(subjects)
        self._handler = handler
        self._before = before
        self._on_handled = on_handled

    async def run(self) -> None:
        """Consume for ever, through losses of NATS and of Postgres."""
        failures = 0
        while True:
            try:
                await self._ensure_consumer()
                async for message in self._messages():
                    failures = 0
                    await self._handle(message)
            except (Unavailable, *BUS_FAILURES) as error:
                check_not_cancelled()
                failures += 1
                if failures % REPORT_EVERY == 1:
                    _log.warning("consumer interrupted", consumer=self.name, error=str(error))
                await asyncio.sleep(min(0.1 * 2**failures, UNAVAILABLE_SECONDS_MAX))

    async def replay_dead_letters(self) -> tuple[int, int]:
        """Handle again what was put aside; what succeeds is removed. Gives how many succeeded and how many
        did not."""
        handled = left = 0
        sequence = 1
        subject = f"{DEAD_LETTER_SUBJECT}.{self._service}.{self.name}"
        while True:
            try:
                letter = await self._bus.streams.get_msg(
                    DEAD_LETTERS, seq=sequence, subject=subject, next=True
                )
            except NotFoundError:
                return handled, left
            assert letter.seq is not None, "a stored message has a sequence"
            try:
                await self._try(parse_envelope(letter.data or b""))
            except Exception as error:  # noqa: BLE001 - whatever the handler raises: it stays where it is
                _log.warning(
                    "dead letter failed again", consumer=self.name, sequence=letter.seq, error=str(error)
                )
                left += 1
            else:
                await self._bus.streams.delete_msg(DEAD_LETTERS, letter.seq)
                handled += 1
            sequence = letter.seq + 1

    async def _ensure_consumer(self) -> None:
        """Durable, and one unacknowledged event at a time: what keeps the order across processes and
        restarts."""
        await self._bus.streams.add_consumer(
            self._stream,
            api.ConsumerConfig(
                durable_name=self.name,
                filter_subjects=self._subjects,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ACKNOWLEDGE_SECONDS_MAX,
                max_ack_pending=1,
                max_deliver=-1,
            ),
        )

    async def _messages(self) -> AsyncIterator[Msg]:
        """Pull until something is wrong with the consumer; NATS sends the next event after an
        acknowledgement."""
        request = json.dumps(
            {
                "batch": PULL_EVENTS,
                "expires": int(PULL_SECONDS * 1e9),
                "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
            }
        ).encode()
        async with self._bus.inbox() as answers:
            while True:
                await self._bus.send(
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self.name}", request, answers.subject
                )
                async for message in _answers(answers):
                    yield message

    async def _handle(self, message: Msg) -> None:
        """Five tries, then aside. Returns when the event needs nothing more from us."""
        try:
            event = parse_envelope(message.data)
        except MalformedEvent as error:
            await self._put_aside(message, MALFORMED_EVENT, error)
            return
        trace = parse_traceparent(event.traceparent)
        current_trace.set(trace)
        started = perf_counter()
        tries = 0
        waits = 0
        while True:
            try:
                is_first = await self._try(event)
            except Unavailable as error:
                waits += 1
                if waits % REPORT_EVERY == 1:
                    _log.warning("event waits", consumer=self.name, event_id=event.id.hex(), error=str(error))
                await self._wait(message, min(0.1 * 2**waits, UNAVAILABLE_SECONDS_MAX))
            except Exception as error:  # noqa: BLE001 - the edge: logged, tried again, then put aside
                tries += 1
                _log.error(
                    "event failed", consumer=self.name, event_id=event.id.hex(), tries=tries, exc_info=error
                )
                if tries > len(RETRY_SECONDS):
                    reason = error.reason if isinstance(error, DomainError) else type(error).__name__
                    await self._put_aside(message, reason, error)
                    return
                await self._wait(message, RETRY_SECONDS[tries - 1])
            else:
                outcome = "handled" if is_first else "repeated"
                EVENTS.labels(self.name, outcome).inc()
                LAG_SECONDS.labels(self.name).observe(
                    max(0.0, time() - message.metadata.timestamp.timestamp())
                )
                log_span(trace, f"{self.name} {event.subject}", perf_counter() - started, outcome=outcome)
                await message.ack()
                return

    async def _try(self, event: EventEnvelope) -> bool:
        if self._before is not None:
            await self._before(event)
        async with self._database.transaction() as connection:
            is_first = await handle_once(connection, self.name, event, self._handler)
        if self._on_handled is not None:
            await self._on_handled(event)
        return is_first

    async def _wait(self, message: Msg, seconds: float) -> None:
        await message.in_progress()
        await asyncio.sleep(seconds)
        await message.in_progress()

    async def _put_aside(self, message: Msg, reason: str, error: Exception) -> None:
        headers = {
            "Icn-Reason": reason,
            "Icn-Stream": self._stream,
            "Icn-Sequence": str(message.metadata.sequence.stream),
        }
        await self._bus.publish_dead_letter(self._service, self.name, message.data, headers)
        await message.ack()
        EVENTS.labels(self.name, "dead").inc()
        _log.error("event put aside", consumer=self.name, reason=reason, error=str(error), **headers)


async def _answers(answers: Subscription) -> AsyncIterator[Msg]:
    """Events of one pull request, until it is used up or has run out.

    Raises:
        ConsumerGone: the consumer does not answer any more.
    """
    left = PULL_EVENTS
    while left:
        try:
            message = await answers.next_msg(timeout=2 * HEARTBEAT_SECONDS + 1)
        except NatsTimeoutError as error:
            raise ConsumerGone("no heartbeat") from error
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            left -= 1
            yield message
        elif status in ("404", "408"):
            return
        elif status != "100":
            raise ConsumerGone(f"status {status}")


class ConsumerGone(ConnectionError):
    """The durable consumer was removed or lost; it is made again, and the inbox knows what was handled."""
