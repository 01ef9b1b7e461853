"""Logs, metrics and health of a process.

Logs are JSON lines on stderr with the trace id of the work at hand. Metrics and health are served over
plain HTTP on a port of their own that no public door leads to.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from icn_kit.spans import send_spans
from icn_kit.trace import Trace, current_trace, parse_traceparent, trace_metadata

__all__ = [
    "MetricsServer",
    "Trace",
    "configure_logging",
    "current_trace",
    "parse_traceparent",
    "trace_metadata",
]

REQUEST_BYTES_MAX = 8 * 1024
"""A scraper sends a few hundred bytes of headers."""
REQUEST_SECONDS_MAX = 5.0
CONNECTIONS_MAX = 16
"""One scraper, one probe and a curious operator, with room to spare."""


class _Lossy:
    """A stream on which what cannot be written is lost.

    Logs often lie on the disk that is full: a line that raised would stop whatever was about to be logged,
    the stop of a node included.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, if the stream takes it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Flush, if the stream takes it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def _add_trace(_logger: Any, _method: str, event: Any) -> Any:
    trace = current_trace.get()
    if trace is not None and "trace_id" not in event:
        event["trace_id"] = trace.trace_id
        event["span_id"] = trace.span_id
    return event


def configure_logging(service: str, *, level: int = logging.INFO) -> None:
    """Send this process' structlog and standard-library logs to stderr, one JSON object per line, and its
    spans to the collector that the environment names, if it does (`icn_kit.spans`).

    Called once, in ``main``. Every line has ``service``, ``level``, ``time`` (UTC, ISO 8601), ``event``
    and, inside a call or event, ``trace_id`` and ``span_id``.
    """
    send_spans(service)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
    ]

    def name_service(_logger: Any, _method: str, event: Any) -> Any:
        event.setdefault("service", service)
        return event

    shared.append(name_service)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lossy(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


class MetricsServer:
    """What is asked over HTTP.

    ``GET /metrics``: Prometheus text. ``GET /healthz``, whether to send work here: 200 ``ok``, or 503 with
    what is wrong. ``GET /livez``, whether to start anew: 200 as long as the event loop answers at all.

    Args:
        host: address to listen on; loopback unless a scraper outside of the pod needs it.
        port: 0 takes a free one, see ``port`` after `start`.
        is_healthy: asked on each probe; an empty string means healthy, else one line that says what is wrong.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        is_healthy: Callable[[], str] = lambda: "",
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._host = host
        self.port = port
        self._is_healthy = is_healthy
        self._registry = registry
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._serve, self._host, self.port, limit=REQUEST_BYTES_MAX)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > CONNECTIONS_MAX:
                return
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        finally:
            self._open -= 1
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or words[0] != b"GET":
            return _response("405 Method Not Allowed", b"only GET\n")
        path = words[1].split(b"?", 1)[0]
        if path == b"/metrics":
            return _response("200 OK", generate_latest(self._registry), CONTENT_TYPE_LATEST)
        if path == b"/healthz":
            fault = self._is_healthy()
            if fault:
                return _response("503 Service Unavailable", fault.encode() + b"\n")
            return _response("200 OK", b"ok\n")
        if path == b"/livez":
            return _response("200 OK", b"ok\n")
        return _response("404 Not Found", b"only /metrics, /healthz and /livez\n")


def _response(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
