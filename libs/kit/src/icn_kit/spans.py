"""Spans of sampled traces: sent to a collector where one is set, else lines of the log.

Nothing is made, imported or sent for what is not sampled.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import structlog

from icn_kit.trace import Trace

if TYPE_CHECKING:
    from icn_kit.otlp import SpanSender

COLLECTOR_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Where the collector listens, as ``http://host:4318``: the standard's name, which its exporter reads."""

_log = structlog.get_logger(__name__)
_sender: SpanSender | None = None
"""Of this process; None where no collector is set."""


def record_span(
    trace: Trace,
    name: str,
    seconds: float,
    *,
    kind: Literal["server", "consumer", "internal"] = "internal",
    **fields: str | int,
) -> None:
    """Say that our span of ``trace`` has just ended and took so long, if it is sampled."""
    if not trace.is_sampled:
        return
    if _sender is not None:
        _sender.add(trace, name, kind, seconds, fields)
        return
    _log.info(
        "span",
        name=name,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_span_id=trace.parent_span_id,
        microseconds=round(seconds * 1_000_000),
        **fields,
    )


def send_spans(service: str) -> None:
    """Send spans to the collector that the environment names, from now on; do nothing where it names none."""
    global _sender  # noqa: PLW0603 - the standard's variables are the process', and so is this
    if os.environ.get(COLLECTOR_VARIABLE):
        from icn_kit.otlp import SpanSender

        _sender = SpanSender(service)


def flush_spans() -> None:
    """Send what waits before the process ends, for two seconds at most."""
    if _sender is not None:
        _sender.close()
