"""Spans of sampled traces, as lines of the log: name, trace, span, parent, microseconds.

A collector reads them there; nothing is made or sent for what is not sampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import structlog

from icn_kit.trace import Trace, current_trace, parse_traceparent

_log = structlog.get_logger(__name__)


def log_span(trace: Trace, name: str, seconds: float, **fields: object) -> None:
    """Say that our span of ``trace`` took so long, if it is sampled."""
    if not trace.is_sampled:
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


@contextmanager
def span(traceparent: str, name: str, **fields: object) -> Iterator[Trace]:
    """Continue the trace in ``traceparent`` for the block, as the current one, and say how long it took."""
    trace = parse_traceparent(traceparent)
    token = current_trace.set(trace)
    started = perf_counter()
    try:
        yield trace
    finally:
        current_trace.reset(token)
        log_span(trace, name, perf_counter() - started, **fields)
