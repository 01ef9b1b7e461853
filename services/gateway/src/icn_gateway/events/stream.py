"""A service's stream on JetStream as a source of envelopes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import nats.errors
import structlog
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.bus import BUS_FAILURES, Bus, stream_name
from icn_kit.envelope import MalformedEvent, parse_envelope
from icn_kit.errors import Unavailable
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy

IDLE_SECONDS = 5.0
"""After so long without an event the consumer is looked after: a wiped or restarted store takes it away
silently."""
PENDING_EVENTS_MAX = 8_192
PENDING_BYTES_MAX = 16 * 1024 * 1024
"""What the client library buffers when a replay outruns this process; beyond it events are fetched again."""

_log = structlog.get_logger(__name__)


class ServiceStream:
    """Reads the newest part of the stream, then what comes. Implements `icn_gateway.events.feed.EventSource`.

    Not `Bus.subscribe`, which starts with the next event: who reconnects to a new process still resumes.
    """

    def __init__(self, bus: Bus, service: str, idle_seconds: float = IDLE_SECONDS) -> None:
        self._bus = bus
        self._service = service
        self._idle_seconds = idle_seconds

    async def read(self, tail_max: int) -> AsyncIterator[EventEnvelope | None]:
        """See `EventSource`."""
        try:
            async for envelope in self._read(self._bus.streams, tail_max):
                yield envelope
        except Unavailable as error:
            raise ConnectionError(error.message) from error
        except BUS_FAILURES as error:  # nats-py's errors, a missing stream and a lost consumer among them
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def _read(self, streams: JetStreamContext, tail_max: int) -> AsyncIterator[EventEnvelope | None]:
        name = stream_name(self._service)
        made = await streams.stream_info(name)
        first = max(made.state.first_seq, made.state.last_seq - tail_max + 1, 1)
        if first > 1:
            yield None
        subscription = await streams.subscribe(
            f"icn.{self._service}.v1.>",
            stream=name,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=first),
            pending_msgs_limit=PENDING_EVENTS_MAX,
            pending_bytes_limit=PENDING_BYTES_MAX,
        )
        try:
            while True:
                try:
                    message = await subscription.next_msg(timeout=self._idle_seconds)
                except nats.errors.TimeoutError:
                    await subscription.consumer_info()  # raises when it is gone
                    if (await streams.stream_info(name)).created != made.created:
                        raise ConnectionError("the stream was made anew") from None
                    continue
                try:
                    yield parse_envelope(message.data)
                except MalformedEvent as error:
                    _log.warning("not an event", subject=message.subject, error=str(error))
        finally:
            if self._bus.is_connected:
                await subscription.unsubscribe()
