"""The W3C trace context of the work at hand (https://www.w3.org/TR/trace-context/, version 00).

A context variable holds it, so that tasks started by a call inherit it. Ids are made only when somebody
asks for
them: most calls are not sampled and log nothing.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from random import SystemRandom

TRACEPARENT_KEY = "traceparent"
"""Name of the gRPC metadata entry and NATS header."""

_FORMAT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
_SAMPLED = 0x01
_random = SystemRandom()


class Trace:
    """One trace as this process sees it: its id, our span in it, and whether it is recorded."""

    __slots__ = ("_span_id", "_trace_id", "is_sampled", "parent_span_id")

    def __init__(self, trace_id: str = "", parent_span_id: str = "", is_sampled: bool = False) -> None:
        self._trace_id = trace_id
        self._span_id = ""
        self.parent_span_id = parent_span_id
        self.is_sampled = is_sampled

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, the same in every process the trace passes."""
        if not self._trace_id:
            self._trace_id = f"{_random.getrandbits(128) or 1:032x}"
        return self._trace_id

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits, ours."""
        if not self._span_id:
            self._span_id = f"{_random.getrandbits(64) or 1:016x}"
        return self._span_id

    @property
    def traceparent(self) -> str:
        """What to send on, so that the receiver's span becomes a child of ours."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.is_sampled else 0:02x}"


current_trace: ContextVar[Trace | None] = ContextVar("icn_trace", default=None)
"""The trace of the call or event being handled; None outside of any."""


def begin_trace(value: str | bytes | None, ratio: float) -> Trace:
    """Continue the trace in ``value``, sampled or not as it says; a new one where there is none, sampled with
    probability ``ratio``."""
    trace = parse_traceparent(value)
    if ratio and not trace.parent_span_id:
        trace.is_sampled = _random.random() < ratio
    return trace


def parse_traceparent(value: str | bytes | None) -> Trace:
    """Continue the trace in ``value``; a new unsampled one when it is absent or not a version 00
    traceparent."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    found = _FORMAT.match(value) if value else None
    if found is None:
        return Trace()
    trace_id, parent_span_id, flags = found.groups()
    if trace_id == "0" * 32 or parent_span_id == "0" * 16:
        return Trace()
    return Trace(trace_id, parent_span_id, bool(int(flags, 16) & _SAMPLED))


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """gRPC metadata that carries the current trace to the callee; empty when there is none.

    Passed by hand (``metadata=trace_metadata()``), since a client interceptor of grpc.aio costs as much as
    the call.
    """
    trace = current_trace.get()
    return () if trace is None else ((TRACEPARENT_KEY, trace.traceparent),)
