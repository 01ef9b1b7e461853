"""One reader per stream for any number of clients; each client has a queue that cannot grow without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.errors import ResourceExhausted
from prometheus_client import Counter, Gauge

from icn_gateway.domain.events import (
    DISORDER_MS,
    EVENTS_KEPT_MAX,
    LEDGER,
    CommittedEvent,
    Cursor,
    FeedSignal,
    RecentEvents,
)
from icn_gateway.events.documents import committed_event

CLIENTS_MAX = 256
"""Half of the requests that may be under way."""
QUEUE_EVENTS_MAX = 256
"""A client that far behind is too slow or gone; it reconnects and resumes from what is kept."""
HEARTBEAT_SECONDS = 15.0
"""Below the idle time-out of common proxies (30 to 60 s)."""
STREAM_SECONDS_MAX = 900.0
"""Then a client connects anew, so that clients spread again over the gateways there are."""
RECONNECT_SECONDS_MIN = 0.5
RECONNECT_SECONDS_MAX = 10.0

CLIENTS = Gauge("icn_gateway_event_clients", "Clients following events now.")
EVENTS = Counter("icn_gateway_events_total", "Events taken from the bus, repeats left out.")
TOO_SLOW = Counter("icn_gateway_event_clients_cut_off_total", "Clients cut off because they read too slowly.")

_log = structlog.get_logger(__name__)


class EventSource(Protocol):
    """Where envelopes come from."""

    def read(self, tail_max: int) -> AsyncIterator[EventEnvelope | None]:
        """The last ``tail_max`` events that are stored, then each new one.

        Yields None once, before the first event, if older events are stored that were left out.

        Raises:
            ConnectionError: the bus cannot be reached, or its stream is gone.
        """
        ...


@dataclass(eq=False, slots=True)
class _Client:
    wants: Callable[[str], bool]
    queue: asyncio.Queue[CommittedEvent | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_EVENTS_MAX + 1)
    )
    is_cut_off: bool = False

    def offer(self, event: CommittedEvent) -> None:
        if self.is_cut_off or not self.wants(event.subject):
            return
        if self.queue.qsize() >= QUEUE_EVENTS_MAX:
            TOO_SLOW.inc()
            self.end()
        else:
            self.queue.put_nowait(event)

    def end(self) -> None:
        """Let the client's stream end after what is queued; the one place more in the queue is for this."""
        if not self.is_cut_off:
            self.is_cut_off = True
            self.queue.put_nowait(None)


class Feed:
    """Keeps the newest events of each stream and hands each new one to the clients that want it.

    Args:
        sources: one per service that publishes; none without a bus, and then there are no events.
    """

    def __init__(
        self,
        sources: Mapping[str, EventSource],
        *,
        kept_max: int = EVENTS_KEPT_MAX,
        clients_max: int = CLIENTS_MAX,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stream_seconds_max: float = STREAM_SECONDS_MAX,
    ) -> None:
        self._sources = dict(sources)
        self._kept_max = kept_max
        self._clients_max = clients_max
        self._heartbeat_seconds = heartbeat_seconds
        self._stream_seconds_max = stream_seconds_max
        self._recent = {
            service: RecentEvents(kept_max, disorder=0 if service == LEDGER else DISORDER_MS)
            for service in sources
        }
        self._clients: set[_Client] = set()
        self._is_draining = False

    async def run(self) -> None:
        """Read the bus until cancelled; connects again after every fault. Without a bus there is nothing to
        do."""
        async with asyncio.TaskGroup() as reading:
            for service, source in self._sources.items():
                reading.create_task(self._read(service, source), name=f"events of {service}")

    async def _read(self, service: str, source: EventSource) -> None:
        wait_seconds = RECONNECT_SECONDS_MIN
        while True:
            try:
                async with aclosing(source.read(self._kept_max)) as envelopes:  # type: ignore[type-var]
                    async for envelope in envelopes:
                        wait_seconds = RECONNECT_SECONDS_MIN
                        self._take(service, envelope)
            except ConnectionError as error:
                _log.warning(
                    "events interrupted", stream=service, error=str(error), again_in_seconds=wait_seconds
                )
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, RECONNECT_SECONDS_MAX)

    def _take(self, service: str, envelope: EventEnvelope | None) -> None:
        recent = self._recent[service]
        if envelope is None:
            recent.mark_incomplete()
            return
        event = committed_event(envelope)
        if event is None or event.service != service or not recent.add(event):
            return
        EVENTS.inc()
        for client in self._clients:
            client.offer(event)

    def newest(self) -> dict[str, Cursor]:
        """See `icn_gateway.usecases.ports.EventFeed`."""
        return {service: recent.newest for service, recent in self._recent.items()}

    def recent(self, wants: Callable[[str], bool], count_max: int) -> list[CommittedEvent]:
        """See `icn_gateway.usecases.ports.EventFeed`."""
        return [event for recent in self._recent.values() for event in recent.newest_first(wants, count_max)]

    def follow(
        self, wants: Callable[[str], bool], cursors: Mapping[str, Cursor]
    ) -> AsyncIterator[CommittedEvent | FeedSignal]:
        """See `icn_gateway.usecases.ports.EventFeed`."""
        if self._is_draining or len(self._clients) >= self._clients_max:
            raise ResourceExhausted("TOO_MANY_STREAMS", "this process serves no more event streams")
        return self._follow(_Client(wants), cursors)

    async def _follow(
        self, client: _Client, cursors: Mapping[str, Cursor]
    ) -> AsyncIterator[CommittedEvent | FeedSignal]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._stream_seconds_max
        # Registered before the past is read, with nothing awaited between: no event is lost or told twice.
        self._clients.add(client)
        CLIENTS.inc()
        missed = [
            self._recent[service].since(cursor)
            for service, cursor in cursors.items()
            if service in self._recent
        ]
        try:
            if any(past.has_gap for past in missed):
                yield FeedSignal.GAP
            for past in missed:
                for event in past.events:
                    if client.wants(event.subject):
                        yield event
            while (now := loop.time()) < ends_at:
                try:
                    async with asyncio.timeout(min(self._heartbeat_seconds, ends_at - now)):
                        item = await client.queue.get()
                except TimeoutError:
                    yield FeedSignal.HEARTBEAT
                    continue
                if item is None:
                    return
                yield item
        finally:
            self._clients.discard(client)
            CLIENTS.dec()

    def drain(self) -> None:
        """End every stream after what is queued, and take no new one."""
        self._is_draining = True
        for client in self._clients:
            client.end()
