"""Spans that a collector is sent: a real one, over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic

import pytest
from icn_kit.otlp import CLOSE_SECONDS_MAX, QUEUE_SPANS_MAX, SpanSender
from icn_kit.spans import COLLECTOR_VARIABLE
from icn_kit.trace import Trace, parse_traceparent
from icn_localnet.span_collector import SpanCollector, collecting_spans

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"

SERVICE = """
import asyncio, sys
from icn_kit.lifecycle import run_service
from icn_kit.spans import record_span
from icn_kit.telemetry import configure_logging
from icn_kit.trace import parse_traceparent

class Service:
    def __init__(self, stop): self.stop = stop
    async def start(self):
        for flags in ("00", "01"):
            trace = parse_traceparent(sys.argv[1] + flags)
            record_span(trace, f"a call {flags}", 0.25, kind="server", code="OK")
        self.stop.request("done")
    async def drain(self): print("opentelemetry" in sys.modules)

async def build(stop): return Service(stop)

configure_logging("ledger")
sys.exit(run_service(build))
"""


@pytest.fixture
def collector() -> Iterator[SpanCollector]:
    with collecting_spans() as collector:
        yield collector


def run_service(address: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SERVICE, f"00-{TRACE_ID}-{PARENT_ID}-"],
        env={**os.environ, COLLECTOR_VARIABLE: address},
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_process_sends_what_is_sampled_before_it_ends(collector: SpanCollector) -> None:
    ended = run_service(collector.address)
    (span,) = collector.of_trace(TRACE_ID)
    assert (span.service, span.name, span.kind) == ("icn-ledger", "a call 01", "server")
    assert (span.parent_span_id, span.nanoseconds, span.fields) == (PARENT_ID, 250_000_000, {"code": "OK"})
    assert len(span.span_id) == 16 and span.span_id != PARENT_ID
    assert collector.faults == []
    assert '"event": "span"' not in ended.stderr


def test_without_a_collector_spans_are_lines_of_the_log_and_nothing_is_imported() -> None:
    ended = run_service("")
    assert ended.stdout == "False\n"
    (line,) = [line for line in ended.stderr.splitlines() if '"event": "span"' in line]
    assert TRACE_ID in line and "a call 01" in line


def test_a_first_span_has_no_parent(collector: SpanCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COLLECTOR_VARIABLE, collector.address)
    sender = SpanSender("gateway")
    trace = Trace(is_sampled=True)
    sender.add(trace, "GET /", "server", 0.001, {})
    sender.close()
    (span,) = collector.of_trace(trace.trace_id)
    assert (span.span_id, span.parent_span_id) == (trace.span_id, "")


@pytest.fixture
def silent_address() -> Iterator[str]:
    """Of one that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_collector_that_does_not_answer_holds_up_neither_calls_nor_the_end(
    silent_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COLLECTOR_VARIABLE, silent_address)
    sender = SpanSender("ledger")
    trace = parse_traceparent(f"00-{TRACE_ID}-{PARENT_ID}-01")
    longest = 0.0
    for _ in range(3 * QUEUE_SPANS_MAX):
        began = monotonic()
        sender.add(trace, "a call", "server", 0.001, {})
        longest = max(longest, monotonic() - began)
    assert longest < 1.0
    began = monotonic()
    sender.close()
    assert monotonic() - began < CLOSE_SECONDS_MAX + 1.0
