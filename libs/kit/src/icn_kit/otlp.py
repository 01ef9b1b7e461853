"""Sends spans to a collector by OTLP over HTTP, as protobuf. Imported only where a collector is set."""

from __future__ import annotations

from socket import gethostname
from threading import Thread
from time import time_ns

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from icn_kit.trace import Trace

QUEUE_SPANS_MAX = 2048
"""About 2 MB; what comes while it is full is lost."""
BATCH_SPANS_MAX = 512
SEND_EVERY_SECONDS = 2.0
ANSWER_SECONDS_MAX = 3.0
"""Of the collector, further tries included; then the batch is lost."""
CLOSE_SECONDS_MAX = 2.0
"""What a process that ends still gives to the spans of its last calls."""

_KINDS = {
    "server": api.SpanKind.SERVER,
    "consumer": api.SpanKind.CONSUMER,
    "internal": api.SpanKind.INTERNAL,
}
_SAMPLED = api.TraceFlags(api.TraceFlags.SAMPLED)


class SpanSender:
    """A bounded queue and the thread that empties it; no call waits for either.

    The standard's variables (OTEL_EXPORTER_OTLP_…, OTEL_RESOURCE_ATTRIBUTES) say where to and with what.
    """

    def __init__(self, service: str) -> None:
        self._resource = Resource.create(
            {"service.name": f"icn-{service}", "service.instance.id": gethostname()}
        )
        self._processor = BatchSpanProcessor(
            OTLPSpanExporter(timeout=ANSWER_SECONDS_MAX),
            max_queue_size=QUEUE_SPANS_MAX,
            max_export_batch_size=BATCH_SPANS_MAX,
            schedule_delay_millis=SEND_EVERY_SECONDS * 1000,
        )

    def add(self, trace: Trace, name: str, kind: str, seconds: float, fields: dict[str, str | int]) -> None:
        """A span that has just ended."""
        ended = time_ns()
        self._processor.on_end(
            ReadableSpan(
                name,
                context=_context(trace.trace_id, trace.span_id),
                parent=_context(trace.trace_id, trace.parent_span_id) if trace.parent_span_id else None,
                resource=self._resource,
                attributes=fields,
                kind=_KINDS[kind],
                start_time=ended - round(seconds * 1_000_000_000),
                end_time=ended,
            )
        )

    def close(self) -> None:
        """Send what waits, for CLOSE_SECONDS_MAX at most."""
        thread = Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        thread.start()
        thread.join(CLOSE_SECONDS_MAX)


def _context(trace_id: str, span_id: str) -> api.SpanContext:
    return api.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
