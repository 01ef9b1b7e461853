"""The event bus: NATS with JetStream.

Source: docs/spec/events.md, "Streams". JetStream holds a copy; whatever is only here may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from icn.kit.v1.envelope_pb2 import EventEnvelope
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError
from prometheus_client import REGISTRY, Gauge

from icn_kit.envelope import ENVELOPE_BYTES_MAX, MalformedEvent, parse_envelope
from icn_kit.errors import ResourceExhausted, Unavailable
from icn_kit.password import Password
from icn_kit.tls import TlsFiles, TlsWatch
from icn_kit.trace import TRACEPARENT_KEY

STREAM_BYTES_MAX = 256 * 1024**2
"""Reserved by NATS when the stream is made. A stream is a copy: above this the oldest events go, and are
read from the service that published them."""
DEAD_LETTERS_BYTES_MAX = 64 * 1024**2
DUPLICATE_WINDOW_SECONDS = 120
"""Only a second line of defence: each batch names the sequence that it must follow."""
REQUEST_SECONDS_MAX = 5.0
BATCH_EVENTS_MAX = 500
"""NATS takes up to 1,000 messages as one atomic batch; one flush for 500 is already a small share of each."""
ATOMIC_EVENTS_MIN = 16
"""NATS opens and removes a store for each atomic batch; fewer events are flushed one by one in less time."""
RECONNECT_SECONDS = 1
CONNECT_SECONDS_MAX = 2
"""A validator does not wait longer for NATS before it serves without."""
PING_SECONDS = 20
HEADER_BYTES_MAX = 4096
"""Id, trace and batch headers take a few hundred bytes."""
PENDING_BYTES_MAX = 8 * 1024**2
"""What a connection keeps for sending while it is broken: one batch with room to spare."""
SUBSCRIPTION_EVENTS_MAX = 4096
"""Events a live subscriber may be behind; one that is slower is told and starts again."""

DEAD_LETTERS = "ICN_DEAD_LETTERS"
DEAD_LETTER_SUBJECT = "icn_dead_letter"

_WRONG_LAST = (10070, 10071, 10164)
"""NATS' codes for another id or sequence."""
_MESSAGE_ID = "Nats-Msg-Id"
_EXPECTED_LAST_SEQUENCE = "Nats-Expected-Last-Sequence"
_EXPECTED_LAST_ID = "Nats-Expected-Last-Msg-Id"
_BATCH_ID = "Nats-Batch-Id"
_BATCH_SEQUENCE = "Nats-Batch-Sequence"
_BATCH_COMMIT = "Nats-Batch-Commit"

BUS_FAILURES = (NatsError, TimeoutError, OSError)
"""What a lost or confused NATS raises; whoever publishes or consumes backs off and looks again."""

CONNECTED = Gauge("icn_kit_bus_connected_bool", "1 while this process is connected to NATS.", registry=None)
"""Told from `Bus.connect` on: of a process without a bus, 0 would be an alarm."""

_log = structlog.get_logger(__name__)


class StreamChanged(Exception):
    """The stream is not in the state the writer left it in: missing, shortened, or written to by somebody
    else."""


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event of a settled outbox row."""

    id: bytes
    subject: str
    envelope: bytes
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class StreamState:
    """Where a stream begins and ends."""

    messages: int
    first_sequence: int
    """Above 1 where the oldest were discarded."""
    last_sequence: int


def check_not_cancelled() -> None:
    """Called where BUS_FAILURES are handled: nats-py turns a cancellation into an error when it is closed.

    Raises:
        asyncio.CancelledError: the current task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def stream_name(service: str) -> str:
    """The stream of a service's events: ``ledger`` has ``ICN_LEDGER``."""
    return f"ICN_{service.upper()}"


class Bus:
    """A process' connection to NATS, which mends itself for ever. Made by `connect`.

    A process does not need NATS to start or to serve: without it, what uses the bus raises Unavailable
    (BUS_UNAVAILABLE) or waits.
    """

    def __init__(self, url: str, name: str, stream_replicas: int) -> None:
        self._client = Client()
        self._streams = self._client.jetstream(timeout=REQUEST_SECONDS_MAX)
        self._url = url
        self._address = urlsplit(url).netloc.rpartition("@")[2]
        """For logs: without the credentials that a URL may hold."""
        self.name = name
        """Of the process, as NATS shows it."""
        self._stream_replicas = stream_replicas
        self._tls: TlsWatch | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._last_error = ""

    @classmethod
    async def connect(
        cls,
        url: str,
        name: str,
        *,
        user: str | None = None,
        password: Password | None = None,
        tls: TlsFiles | None = None,
        stream_replicas: int = 1,
    ) -> Bus:
        """Connect to NATS at ``url`` (``nats://host:port``), where the connection is shown as ``name``.

        Returns when connected, or after CONNECT_SECONDS_MAX while it goes on trying.

        Args:
            password: of ``user``; asked for again at each new connection where it is a callable.
            tls: files for mutual TLS, used where ``url`` begins with ``tls://``; read again when they change
                and a new connection is made.
            stream_replicas: servers of a NATS cluster that keep each stream, 1 to 5.

        Raises:
            OSError, CertificateInvalid: see `TlsWatch.read`.
        """
        with contextlib.suppress(ValueError):  # another bus of this process has registered it
            REGISTRY.register(CONNECTED)
        bus = cls(url, name, stream_replicas)
        if tls is not None and url.startswith("tls://"):
            bus._tls = TlsWatch(tls)
            bus._tls.read()
        bus._connecting = asyncio.create_task(bus._connect(user, password), name="bus")
        await asyncio.wait({bus._connecting}, timeout=CONNECT_SECONDS_MAX)
        return bus

    async def _connect(self, user: str | None, password: Password | None) -> None:
        async def on_disconnected() -> None:
            CONNECTED.set(0)
            self._renew_tls()

        async def on_error(error: Exception) -> None:
            self._renew_tls()  # what was wrong may have been the certificate
            text = str(error) or type(error).__name__
            if text != self._last_error:  # once per outage, not once per try
                self._last_error = text
                _log.warning("bus error", address=self._address, error=text)

        async def on_connected() -> None:
            CONNECTED.set(1)
            self._last_error = ""
            _log.info("bus connected", address=self._address)

        await self._client.connect(
            self._url,
            name=self.name,
            user=user,
            password=password,
            tls=None if self._tls is None else _tls_context(self._tls.files),
            error_cb=on_error,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_connected,
            connect_timeout=CONNECT_SECONDS_MAX,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_SECONDS,
            pending_size=PENDING_BYTES_MAX,
            ping_interval=PING_SECONDS,
        )
        CONNECTED.set(1)

    def _renew_tls(self) -> None:
        """Let the next connection show and trust what is in the files by now."""
        if self._tls is not None and self._tls.read_if_changed() is not None:
            with contextlib.suppress(OSError):  # replaced again meanwhile: the next try reads that
                self._client.options["tls"] = _tls_context(self._tls.files)

    @property
    def is_connected(self) -> bool:
        """Whether requests have a chance at this moment."""
        return self._client.is_connected

    @property
    def streams(self) -> JetStreamContext:
        """JetStream as nats-py offers it.

        Raises:
            Unavailable: not connected (BUS_UNAVAILABLE).
        """
        self._check_connected()
        return self._streams

    async def close(self) -> None:
        """Send what is pending, then disconnect."""
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        await self._client.close()

    def _check_connected(self) -> None:
        if not self._client.is_connected:
            raise Unavailable("BUS_UNAVAILABLE", "not connected to NATS")

    # -- streams

    async def ensure_stream(self, service: str) -> None:
        """Make the stream of a service's events unless it is there."""
        await self._ensure(
            api.StreamConfig(
                name=stream_name(service),
                subjects=[f"icn.{service}.>"],
                storage=api.StorageType.FILE,
                max_bytes=STREAM_BYTES_MAX,
                max_msg_size=ENVELOPE_BYTES_MAX + HEADER_BYTES_MAX,
                duplicate_window=DUPLICATE_WINDOW_SECONDS,
                num_replicas=self._stream_replicas,
                allow_atomic=True,
            )
        )

    async def ensure_dead_letters(self) -> None:
        """Make the stream of events that nobody could handle unless it is there."""
        await self._ensure(
            api.StreamConfig(
                name=DEAD_LETTERS,
                subjects=[f"{DEAD_LETTER_SUBJECT}.>"],
                storage=api.StorageType.FILE,
                max_bytes=DEAD_LETTERS_BYTES_MAX,
                num_replicas=self._stream_replicas,
            )
        )

    async def _ensure(self, config: api.StreamConfig) -> None:
        assert config.name is not None, "streams have names"
        try:
            await self.streams.stream_info(config.name)
        except NotFoundError:
            await self.streams.add_stream(config)

    async def delete_stream(self, service: str) -> None:
        """Forget every event of a service on the bus, and who has read how far; its relay publishes them
        again."""
        with contextlib.suppress(NotFoundError):
            await self.streams.delete_stream(stream_name(service))

    async def stream_state(self, service: str) -> StreamState | None:
        """Where the stream of a service ends; None when there is no stream."""
        try:
            state = (await self.streams.stream_info(stream_name(service))).state
        except NotFoundError:
            return None
        return StreamState(state.messages, state.first_seq, state.last_seq)

    async def event_at(self, service: str, sequence: int) -> EventEnvelope | None:
        """The event at ``sequence``; None when there is no such message or it is no event."""
        try:
            message = await self.streams.get_msg(stream_name(service), seq=sequence)
            return parse_envelope(message.data or b"")
        except (NotFoundError, MalformedEvent):
            return None

    async def newest_event(self, service: str) -> tuple[bytes, int] | None:
        """Id and height of the last event in the stream of a service; None while there is none of ours."""
        state = await self.stream_state(service)
        if state is None or state.messages == 0:
            return None
        event = await self.event_at(service, state.last_sequence)
        return None if event is None else (event.id, event.height)

    # -- publishing

    async def publish_batch(self, service: str, events: Sequence[OutgoingEvent], last_sequence: int) -> int:
        """Append ``events`` behind ``last_sequence``, each behind the one before; returns the new last
        sequence.

        Raises:
            StreamChanged: the stream is missing or did not end with what an event was to follow: that event
                was not appended. From ATOMIC_EVENTS_MIN events on, none was.
            BUS_FAILURES: how many were appended is unknown.
        """
        assert 0 < len(events) <= BATCH_EVENTS_MAX, "callers cut batches"
        self._check_connected()
        batch = secrets.token_hex(12) if len(events) >= ATOMIC_EVENTS_MIN else ""
        last = len(events) - 1
        for index, event in enumerate(events):
            headers = {_MESSAGE_ID: event.id.hex()}
            if index == 0:
                headers[_EXPECTED_LAST_SEQUENCE] = str(last_sequence)
            elif not batch:
                headers[_EXPECTED_LAST_ID] = events[index - 1].id.hex()
            if event.traceparent:
                headers[TRACEPARENT_KEY] = event.traceparent
            if batch:
                headers[_BATCH_ID] = batch
                headers[_BATCH_SEQUENCE] = str(index + 1)
                if index == last:
                    headers[_BATCH_COMMIT] = "1"
            if index < last:
                await self._client.publish(event.subject, event.envelope, headers=headers)
        try:  # only the last is answered: where one was refused, so is it
            answer = await self._streams.publish(event.subject, event.envelope, headers=headers)
        except NoStreamResponseError as error:
            raise StreamChanged("no stream takes the subject") from error
        except APIError as error:
            if error.err_code in _WRONG_LAST:
                raise StreamChanged(error.description) from error
            raise
        if (
            answer.stream != stream_name(service)
            or answer.seq != last_sequence + len(events)
            or answer.duplicate
        ):
            raise StreamChanged(
                f"appended at {answer.seq} of {answer.stream}, expected {last_sequence + len(events)}"
            )
        return answer.seq

    async def publish_dead_letter(
        self, service: str, consumer: str, body: bytes, headers: dict[str, str]
    ) -> None:
        """Put aside what a consumer could not handle; returns once it is stored."""
        await self.ensure_dead_letters()
        await self._streams.publish(f"{DEAD_LETTER_SUBJECT}.{service}.{consumer}", body, headers=headers)

    # -- subscribing

    @contextlib.asynccontextmanager
    async def inbox(self) -> AsyncIterator[Subscription]:
        """A subject of our own for answers, as long as the block lasts."""
        self._check_connected()
        subscription = await self._client.subscribe(self._client.new_inbox())
        try:
            yield subscription
        finally:
            if not self._client.is_closed:  # while it reconnects too, or it would be subscribed for ever
                await subscription.unsubscribe()

    async def send(self, subject: str, body: bytes, reply: str = "") -> None:
        """Publish on plain NATS: at most once, no acknowledgement."""
        self._check_connected()
        await self._client.publish(subject, body, reply=reply)

    async def subscribe(
        self, subject: str, *, events_max: int = SUBSCRIPTION_EVENTS_MAX
    ) -> AsyncIterator[EventEnvelope]:
        """Events of ``subject`` (wildcards as in NATS) from now on, live: none while disconnected, some
        repeated.

        For screens. Whoever must not miss an event uses `icn_kit.inbox`. What is no event is passed over.

        Raises:
            ResourceExhausted: more than ``events_max`` events waited for the reader (SUBSCRIBER_TOO_SLOW).
        """
        waiting: asyncio.Queue[Msg] = asyncio.Queue(events_max)
        overflown = False

        async def receive(message: Msg) -> None:
            nonlocal overflown
            try:
                waiting.put_nowait(message)
            except asyncio.QueueFull:
                overflown = True

        self._check_connected()
        subscription = await self._client.subscribe(subject, cb=receive)
        try:
            while True:
                message = await waiting.get()
                if overflown:
                    raise ResourceExhausted(
                        "SUBSCRIBER_TOO_SLOW", f"more than {events_max} events waited", events_max=events_max
                    )
                try:
                    yield parse_envelope(message.data)
                except MalformedEvent as error:
                    _log.warning("not an event", subject=message.subject, error=str(error))
        finally:
            if not self._client.is_closed:
                await subscription.unsubscribe()


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.authority)
    context.load_cert_chain(files.certificate, files.key)
    return context
