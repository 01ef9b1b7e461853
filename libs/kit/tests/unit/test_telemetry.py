from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from icn_kit.lifecycle import EXIT_FATAL
from icn_kit.telemetry import CONNECTIONS_MAX, REQUEST_BYTES_MAX, MetricsServer
from prometheus_client import CollectorRegistry, Counter

PROGRAM = """
import logging
import structlog
from icn_kit.telemetry import Trace, configure_logging, current_trace

configure_logging("ledger")
structlog.get_logger("a").info("outside", height=7)
current_trace.set(Trace("4bf92f3577b34da6a3ce929d0e0e4736"))
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("a").error("inside", exc_info=True)
logging.getLogger("nats").warning("from a %s", "library")
structlog.get_logger("a").debug("not wanted")
logging.getLogger("nats").info("not wanted")
"""


def test_every_log_line_is_one_json_object_on_stderr() -> None:
    finished = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert finished.stdout == ""
    outside, inside, library = (json.loads(line) for line in finished.stderr.splitlines())
    assert (outside["event"], outside["height"], outside["level"]) == ("outside", 7, "info")
    assert outside["service"] == inside["service"] == library["service"] == "ledger"
    assert not {"trace_id", "span_id"} & set(outside)
    assert inside["trace_id"] == library["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert inside["span_id"] == library["span_id"] and len(inside["span_id"]) == 16
    assert "ZeroDivisionError" in inside["exception"]
    assert library["event"] == "from a library"
    assert outside["time"].endswith("Z")


FULL_DISK = """
import asyncio, resource, sys
import structlog
from icn_kit.lifecycle import run_service
from icn_kit.telemetry import configure_logging

configure_logging("test")
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))

class Service:
    def __init__(self, stop): self.stop = stop
    async def start(self):
        for number in range(100):
            structlog.get_logger("a").warning("a line that may be lost", number=number)
        async def fail(): raise OSError(28, "No space left on device")
        self.stop.guard(fail(), "core")
        await self.stop.wait()
        print(self.stop.reason, flush=True)
    async def drain(self): print("drained", flush=True)

async def build(stop): return Service(stop)

sys.exit(run_service(build))
"""


def test_logs_that_a_full_disk_does_not_take_stop_nothing_least_of_all_a_stop(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.run(
            [sys.executable, "-c", FULL_DISK], stdout=subprocess.PIPE, stderr=log, text=True, check=False
        )
    assert run.stdout.splitlines() == [
        "task core failed: [Errno 28] No space left on device",
        "drained",
    ]
    assert run.returncode == EXIT_FATAL
    assert (tmp_path / "log").stat().st_size == 300


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
async def metrics(faults: list[str]) -> AsyncIterator[MetricsServer]:
    registry = CollectorRegistry()
    Counter("icn_test_things_total", "Things.", registry=registry).inc(3)
    server = MetricsServer(is_healthy=lambda: "; ".join(faults), registry=registry)
    await server.start()
    yield server
    await server.close()


async def ask(server: MetricsServer, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_metrics_are_served_as_prometheus_text(metrics: MetricsServer) -> None:
    answer = await ask(metrics, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\nicn_test_things_total 3.0\n" in answer


async def test_health_says_what_is_wrong(metrics: MetricsServer, faults: list[str]) -> None:
    assert (await ask(metrics, b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    faults.append("no quorum")
    answer = await ask(metrics, b"GET /healthz HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"\r\n\r\nno quorum\n")


async def test_who_cannot_serve_is_alive_all_the_same(metrics: MetricsServer, faults: list[str]) -> None:
    faults.append("no quorum")
    assert (await ask(metrics, b"GET /livez HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /metrics\r\n\r\n", b"405"),
        (b"\xff\xfe\r\n\r\n", b"405"),
    ],
)
async def test_anything_else_is_refused(metrics: MetricsServer, request_bytes: bytes, status: bytes) -> None:
    assert (await ask(metrics, request_bytes)).split(b" ")[1] == status


async def test_endless_headers_and_too_many_connections_are_cut_off(metrics: MetricsServer) -> None:
    assert await ask(metrics, b"GET / HTTP/1.1\r\nX: " + b"x" * 4 * REQUEST_BYTES_MAX) == b""
    held = [await asyncio.open_connection("127.0.0.1", metrics.port) for _ in range(CONNECTIONS_MAX)]
    await asyncio.sleep(0.1)
    assert await ask(metrics, b"GET /healthz HTTP/1.1\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.1)
    assert (await ask(metrics, b"GET /healthz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
