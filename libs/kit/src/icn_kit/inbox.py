"""The inbox: events are delivered at least once and have one effect.

Source: docs/spec/events.md, "Inbox".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from time import monotonic, perf_counter, time

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
from icn_kit.lease import RENEW_SECONDS, Lease, LeaseLost
from icn_kit.lease import RETRY_SECONDS as LEASE_RETRY_SECONDS
from icn_kit.pauses import doubled
from icn_kit.spans import record_span
from icn_kit.trace import Trace, current_trace, parse_traceparent

RUN_EVENTS_MAX = 64
"""Events that share one transaction and one acknowledgement."""
RUN_LOCK_MS_MAX = 100
"""A run waits no longer for a row: shorter than the second after which Postgres ends one side of a deadlock,
which could be a command's."""
RETRY_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Waits before the second to the fifth try. All other events of the consumer wait too: order comes first."""
UNAVAILABLE_SECONDS_MIN = 0.1
UNAVAILABLE_SECONDS_MAX = 5.0
"""Between two tries, doubling."""
REPORT_EVERY = 12
"""Waits of that length: about once a minute."""
REDELIVERY_SECONDS = 3600.0
"""NATS delivers nothing again before: whoever takes a consumer over starts behind what was acknowledged."""
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

_REMEMBER = """
INSERT INTO inbox (consumer, event_id) SELECT %s, unnest(%s::bytea[]) ON CONFLICT DO NOTHING
RETURNING event_id
"""
_LOCK_BRIEFLY = f"SET LOCAL lock_timeout = {RUN_LOCK_MS_MAX}"

_log = structlog.get_logger(__name__)

Handler = Callable[[EventEnvelope, Connection], Awaitable[None]]
"""Writes the effect of an event with the connection it is given, and only with that; anything else could
happen twice."""


Check = Callable[[EventEnvelope], Awaitable[bool]]
"""Asks others whether an event is true."""

Wants = Callable[[EventEnvelope], bool]
"""Says, by the event alone, whether it has an effect here; must not fail."""

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


async def handle_once(
    connection: Connection, consumer: str, events: Sequence[EventEnvelope], handler: Handler
) -> list[bool]:
    """Run ``handler``, in the open transaction, for the ``events`` that ``consumer`` has not handled before;
    for each whether it ran."""
    cursor = await connection.execute(_REMEMBER, (consumer, [event.id for event in events]))
    new = {event_id for (event_id,) in await cursor.fetchall()}
    ran = []
    for event in events:
        ran.append(event.id in new)
        if ran[-1]:
            new.remove(event.id)
            await handler(event, connection)
    return ran


class Consumer:
    """Takes the events of one service's stream, in order, and has each handled once.

    Args:
        database: of the consuming service; its schema has the inbox.
        service: whose events.
        name: of the consumer, unique on the bus: ``<consuming service>_<purpose>``. It remembers how far
            it is.
        subjects: which events; wildcards as in NATS.
        wants: the others of these are passed over without a transaction, and not remembered: for a subject
            of which most events are nothing here.
        check: awaited before each try's transaction is opened; an event that is not true has no effect, and
            what it raises counts as the handler's.
        on_handled: awaited after the commit.

    Any number of processes may run the same consumer: one of them takes events, the others stand by.
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
        wants: Wants | None = None,
        check: Check | None = None,
        on_handled: Listener | None = None,
    ) -> None:
        self._database = database
        self._bus = bus
        self._service = service
        self._stream = stream_name(service)
        self.name = name
        self._subjects = list(subjects)
        self._handler = handler
        self._wants = wants
        self._check = check
        self._on_handled = on_handled
        self._lease = Lease(bus, f"consumer.{name}")
        self._has_replayed = False
        EVENTS.labels(name, "dead")  # shown as 0 from the start: an increase from nothing is none

    async def run(self) -> None:
        """Consume for ever, through losses of NATS, of Postgres and of the lease.

        What was put aside is tried once more first, once in a process: its release may be the one that can.
        """
        failures = 0
        while True:
            try:
                if not await self._lease.acquire():
                    failures = 0
                    await asyncio.sleep(LEASE_RETRY_SECONDS)
                    continue
                try:
                    if not self._has_replayed:
                        await self.replay_dead_letters()
                        self._has_replayed = True
                    incarnation = await self._begin_incarnation()
                    async for messages in self._runs(incarnation):
                        failures = 0
                        await self._handle(messages)
                finally:
                    await self._lease.release()
            except LeaseLost:
                _log.warning("consumer lost its lease", consumer=self.name)
            except (Unavailable, *BUS_FAILURES) as error:
                check_not_cancelled()
                failures += 1
                if failures % REPORT_EVERY == 1:
                    _log.warning("consumer interrupted", consumer=self.name, error=str(error))
                await asyncio.sleep(doubled(UNAVAILABLE_SECONDS_MIN, failures, UNAVAILABLE_SECONDS_MAX))

    async def replay_dead_letters(self) -> tuple[int, int]:
        """Handle again what was put aside; what succeeds is removed. Gives how many succeeded and how many
        did not.

        Raises:
            Unavailable: Postgres or a peer is away; the rest waits for the next time.
        """
        handled = left = 0
        sequence = 1
        subject = f"{DEAD_LETTER_SUBJECT}.{self._service}.{self.name}"
        while True:
            try:
                letter = await self._bus.streams.get_msg(
                    DEAD_LETTERS, seq=sequence, subject=subject, next=True
                )
            except NotFoundError:
                if handled or left:
                    _log.info("dead letters tried again", consumer=self.name, handled=handled, left=left)
                return handled, left
            assert letter.seq is not None, "a stored message has a sequence"
            try:
                events = [parse_envelope(letter.data or b"")]
                await self._try(events, _traces(events))
            except (Unavailable, LeaseLost, *BUS_FAILURES):
                raise
            except Exception as error:  # noqa: BLE001 - whatever the handler raises: it stays where it is
                _log.warning(
                    "dead letter failed again", consumer=self.name, sequence=letter.seq, error=str(error)
                )
                left += 1
            else:
                handled += 1
                with contextlib.suppress(*BUS_FAILURES):  # the inbox knows it: the next time it is a repeat
                    await self._bus.streams.delete_msg(DEAD_LETTERS, letter.seq)
            sequence = letter.seq + 1

    async def _begin_incarnation(self) -> str:
        """Make a consumer of a name of its own behind what earlier ones acknowledged, then remove those; its
        name.

        Under its own name no late acknowledgement of an earlier holder can move it, and where this stops half
        way the next finds the position in one or the other.

        Raises:
            ConsumerGone: the stream was made anew meanwhile.
            LeaseLost: another process may have taken over.
        """
        streams = self._bus.streams
        created = (await streams.stream_info(self._stream)).created
        earlier = await _incarnations(self._bus, self._stream, self.name)
        incarnation = f"{self.name}-{secrets.token_hex(4)}"
        await streams.add_consumer(
            self._stream,
            api.ConsumerConfig(
                durable_name=incarnation,
                filter_subjects=self._subjects,
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=max((known.floor for known in earlier), default=0) + 1,
                ack_policy=api.AckPolicy.ALL,
                ack_wait=REDELIVERY_SECONDS,
                max_ack_pending=RUN_EVENTS_MAX,
                max_deliver=-1,
            ),
        )
        if (await streams.stream_info(self._stream)).created != created:
            await streams.delete_consumer(self._stream, incarnation)
            raise ConsumerGone("the stream was made anew")
        await self._lease.renew()
        for known in earlier:
            with contextlib.suppress(NotFoundError):
                await streams.delete_consumer(self._stream, known.name)
        return incarnation

    async def _runs(self, incarnation: str) -> AsyncIterator[list[Msg]]:
        """Pull until something is wrong with the consumer: whatever is there, in the stream's order; nothing
        when a pull has run out.

        Raises:
            ConsumerGone: it does not answer any more, or a delivery or an acknowledgement was lost.
            LeaseLost: another process may have taken over.
        """
        request = json.dumps(
            {
                "batch": RUN_EVENTS_MAX,
                "expires": int(PULL_SECONDS * 1e9),
                "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
            }
        ).encode()
        delivered = 0
        async with self._bus.inbox() as answers:
            while True:
                await self._lease.renew_if_due()
                await self._bus.send(
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{incarnation}", request, answers.subject
                )
                left = RUN_EVENTS_MAX
                while left:
                    run, is_used_up = await self._take(answers, left)
                    for message in run:
                        delivered += 1
                        if message.metadata.sequence.consumer != delivered:
                            raise ConsumerGone("a delivery was lost")
                    yield run
                    left = 0 if is_used_up else left - len(run)
                    if is_used_up and not run:
                        await self._check_nothing_lost(incarnation, delivered)

    async def _take(self, answers: Subscription, events_max: int) -> tuple[list[Msg], bool]:
        """What has arrived, once something has; and whether the pull request has run out.

        Raises:
            ConsumerGone, LeaseLost.
        """
        run: list[Msg] = []
        silent_seconds = 0.0
        while len(run) < events_max and (not run or answers.pending_msgs):
            try:
                message = await answers.next_msg(timeout=RENEW_SECONDS)
            except NatsTimeoutError as error:
                silent_seconds += RENEW_SECONDS
                if silent_seconds > 2 * HEARTBEAT_SECONDS:
                    raise ConsumerGone("no heartbeat") from error
                await self._lease.renew_if_due()
                continue
            silent_seconds = 0.0
            await self._lease.renew_if_due()
            if message.subject != answers.subject:  # an event keeps its own
                run.append(message)
                continue
            status = (message.headers or {}).get("Status")
            if status in ("404", "408"):
                return run, True
            if status != "100":
                raise ConsumerGone(f"status {status}")
        return run, False

    async def _check_nothing_lost(self, incarnation: str, delivered: int) -> None:
        """An idle consumer has delivered what we got and got what we acknowledged, or a connection broke in
        between.

        Raises:
            ConsumerGone: it is not so.
        """
        known = await self._bus.streams.consumer_info(self._stream, incarnation)
        assert known.delivered is not None and known.ack_floor is not None, "NATS always tells"
        if (known.delivered.consumer_seq, known.ack_floor.consumer_seq) != (delivered, delivered):
            raise ConsumerGone("a delivery or an acknowledgement was lost")

    async def _handle(self, messages: list[Msg]) -> None:
        """Have all of them handled in one transaction; where that fails, each in one of its own.

        Returns when they need nothing more from us.

        Raises:
            LeaseLost: another process may have taken over, and handles them.
        """
        if len(messages) > 1:
            try:
                events = [parse_envelope(message.data) for message in messages]
                await self._try_and_tell(messages, events)
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - tried again one by one, which tells what is wrong
                _log.info("events are handled one by one", consumer=self.name, cause=repr(error))
            else:
                await messages[-1].ack()
                return
        for message in messages:
            await self._handle_alone(message)
            await message.ack()

    async def _handle_alone(self, message: Msg) -> None:
        """Five tries, then aside."""
        try:
            event = parse_envelope(message.data)
        except MalformedEvent as error:
            await self._put_aside(message, MALFORMED_EVENT, error)
            return
        tries = 0
        waits = 0
        while True:
            try:
                await self._try_and_tell([message], [event])
            except Unavailable as error:
                waits += 1
                if waits % REPORT_EVERY == 1:
                    _log.warning("event waits", consumer=self.name, event_id=event.id.hex(), error=str(error))
                await self._wait(doubled(UNAVAILABLE_SECONDS_MIN, waits, UNAVAILABLE_SECONDS_MAX))
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - the edge: logged, tried again, then put aside
                tries += 1
                _log.error(
                    "event failed", consumer=self.name, event_id=event.id.hex(), tries=tries, exc_info=error
                )
                if tries > len(RETRY_SECONDS):
                    reason = error.reason if isinstance(error, DomainError) else type(error).__name__
                    await self._put_aside(message, reason, error)
                    return
                await self._wait(RETRY_SECONDS[tries - 1])
            else:
                return

    async def _try_and_tell(self, messages: Sequence[Msg], events: Sequence[EventEnvelope]) -> None:
        """One try, and what logs and metrics say of its success."""
        started = perf_counter()
        traces = _traces(events)
        ran = await self._try(events, traces)
        seconds = (perf_counter() - started) / len(events)
        for message, event, is_first in zip(messages, events, ran, strict=True):
            if is_first is None:
                EVENTS.labels(self.name, "passed_over").inc()
                continue
            outcome = "handled" if is_first else "repeated"
            EVENTS.labels(self.name, outcome).inc()
            LAG_SECONDS.labels(self.name).observe(max(0.0, time() - message.metadata.timestamp.timestamp()))
            record_span(
                traces[event.id], f"{self.name} {event.subject}", seconds, kind="consumer", outcome=outcome
            )

    async def _try(self, events: Sequence[EventEnvelope], traces: Mapping[bytes, Trace]) -> list[bool | None]:
        """For each whether it ran; None where it is not wanted."""
        is_wanted = [self._wants is None or self._wants(event) for event in events]
        wanted = list(compress(events, is_wanted))
        ran = iter(await self._try_wanted(wanted, traces) if wanted else ())
        return [next(ran) if one else None for one in is_wanted]

    async def _try_wanted(self, events: Sequence[EventEnvelope], traces: Mapping[bytes, Trace]) -> list[bool]:
        false = {event.id for event in events if not await self._is_true(event, traces[event.id])}

        async def handle(event: EventEnvelope, connection: Connection) -> None:
            await self._lease.renew_if_due()
            current_trace.set(traces[event.id])
            if event.id not in false:
                await self._handler(event, connection)

        async with self._database.transaction() as connection:
            if len(events) > 1:
                await connection.execute(_LOCK_BRIEFLY)
            ran = await handle_once(connection, self.name, events, handle)
        if self._on_handled is not None:
            for event in events:
                await self._on_handled(event)
        return ran

    async def _is_true(self, event: EventEnvelope, trace: Trace) -> bool:
        if self._check is None:
            return True
        await self._lease.renew_if_due()
        current_trace.set(trace)
        return await self._check(event)

    async def _wait(self, seconds: float) -> None:
        """Wait, and keep the lease meanwhile."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            await asyncio.sleep(min(left, RENEW_SECONDS))
            await self._lease.renew_if_due()

    async def _put_aside(self, message: Msg, reason: str, error: Exception) -> None:
        sequence = message.metadata.sequence.stream
        headers = {
            "Nats-Msg-Id": f"{self.name} {self._stream} {sequence}",
            "Icn-Reason": reason,
            "Icn-Stream": self._stream,
            "Icn-Sequence": str(sequence),
        }
        await self._bus.publish_dead_letter(self._service, self.name, message.data, headers)
        EVENTS.labels(self.name, "dead").inc()
        _log.error("event put aside", consumer=self.name, reason=reason, error=str(error), **headers)


@dataclass(frozen=True, slots=True)
class _Incarnation:
    """A durable consumer on NATS."""

    name: str
    floor: int
    """Sequence in the stream up to which everything is acknowledged."""
    waiting: int
    """Events not delivered, or not acknowledged."""


def _traces(events: Sequence[EventEnvelope]) -> dict[bytes, Trace]:
    """Each event's, by its id: what its handler logs and causes belongs to the span that we tell of."""
    return {event.id: parse_traceparent(event.traceparent) for event in events}


async def _incarnations(bus: Bus, stream: str, name: str) -> list[_Incarnation]:
    """Consumers on NATS that are, or were, ``name``."""
    found: list[_Incarnation] = []
    offset = 0
    while page := await bus.streams.consumers_info(stream, offset):
        for known in page:
            if known.name.rpartition("-")[0] == name:
                assert known.ack_floor is not None, "NATS always tells"
                waiting = (known.num_pending or 0) + (known.num_ack_pending or 0)
                found.append(_Incarnation(known.name, known.ack_floor.stream_seq, waiting))
        offset += len(page)
    return found


async def is_level(bus: Bus, service: str, name: str) -> bool:
    """Whether the consumer ``name`` has handled every event that the stream of ``service`` has for it.

    Raises:
        Unavailable: the bus does not answer (BUS_UNAVAILABLE).
    """
    try:
        known = await _incarnations(bus, stream_name(service), name)
    except BUS_FAILURES as error:
        check_not_cancelled()
        raise Unavailable("BUS_UNAVAILABLE", f"the stream of {service} does not answer") from error
    return bool(known) and max(known, key=lambda one: one.floor).waiting == 0


class ConsumerGone(ConnectionError):
    """The consumer on NATS was removed, lost or taken over; the inbox knows what was handled."""
