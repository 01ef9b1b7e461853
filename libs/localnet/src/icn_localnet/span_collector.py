"""A collector of spans that keeps what it is sent: OTLP over HTTP, as protobuf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MEDIA_TYPE = "application/x-protobuf"
REQUEST_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True)
class CollectedSpan:
    """One span as it arrived, ids in hexadecimal."""

    service: str
    """``service.name`` of the process."""
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_span_id: str
    nanoseconds: int
    fields: dict[str, str | int]


@dataclass
class SpanCollector:
    """What was sent so far."""

    address: str = ""
    """``http://host:port``, for OTEL_EXPORTER_OTLP_ENDPOINT."""
    faults: list[str] = field(default_factory=list)
    """Requests that were none of OTLP's."""
    _spans: list[CollectedSpan] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def traces(self) -> set[str]:
        """Ids of the traces of which something came."""
        with self._lock:
            return {span.trace_id for span in self._spans}

    def of_trace(self, trace_id: str) -> list[CollectedSpan]:
        """The spans of one trace, in the order in which they came."""
        with self._lock:
            return [span for span in self._spans if span.trace_id == trace_id]

    def take(self, path: str, media_type: str, body: bytes) -> None:
        """What one request brought."""
        with self._lock:
            if (path, media_type) != ("/v1/traces", MEDIA_TYPE):
                self.faults.append(f"{path} with {media_type}")
                return
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _fields(sent.resource.attributes).get("service.name", "")
                for scope in sent.scope_spans:
                    self._spans += [_collected(str(service), span) for span in scope.spans]


@contextmanager
def collecting_spans(host: str = "127.0.0.1") -> Iterator[SpanCollector]:
    """A collector that listens on a free port of ``host`` for as long as the block runs."""
    collector = SpanCollector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers["content-length"]), REQUEST_BYTES_MAX)
            collector.take(self.path, self.headers["content-type"], self.rfile.read(length))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", MEDIA_TYPE)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((host, 0), Handler) as server:
        collector.address = f"http://{host}:{server.server_address[1]}"
        Thread(target=server.serve_forever, name="span collector", daemon=True).start()
        yield collector
        server.shutdown()


def _collected(service: str, span: Span) -> CollectedSpan:
    return CollectedSpan(
        service=service,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        nanoseconds=span.end_time_unix_nano - span.start_time_unix_nano,
        fields=_fields(span.attributes),
    )


def _fields(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    """Those that are text or whole numbers, as all of ours are."""
    found: dict[str, str | int] = {}
    for one in attributes:
        is_text = one.value.WhichOneof("value") == "string_value"
        found[one.key] = one.value.string_value if is_text else one.value.int_value
    return found
