from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from icn_kit import lifecycle
from icn_kit.lifecycle import EXIT_FATAL, EXIT_FORCED, Stop

SERVICE = """
import asyncio, sys
from icn_kit.lifecycle import run_service
from icn_kit.telemetry import configure_logging

configure_logging("test")

class Service:
    def __init__(self, stop): self.stop = stop
    async def start(self):
        {start}
        print("started", flush=True)
    async def drain(self):
        print("draining", flush=True)
        {drain}
        print("drained", flush=True)

async def build(stop):
    return Service(stop)

sys.exit(run_service(build))
"""


def start(tmp_path: Path, *, on_start: str = "pass", on_drain: str = "pass") -> subprocess.Popen[str]:
    program = tmp_path / "service.py"
    program.write_text(SERVICE.format(start=on_start, drain=on_drain))
    return subprocess.Popen(
        [sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_zero(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path)
    assert read_line(process) == "started"
    process.send_signal(number)
    output, _ = process.communicate(timeout=20)
    assert output.split() == ["draining", "drained"]
    assert process.returncode == 0


def test_a_second_signal_cuts_the_drain_off(tmp_path: Path) -> None:
    process = start(tmp_path, on_drain="await asyncio.sleep(60)")
    assert read_line(process) == "started"
    process.send_signal(signal.SIGTERM)
    assert read_line(process) == "draining"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert "drained" not in output
    assert process.returncode == EXIT_FORCED


def test_a_failed_task_under_guard_drains_and_exits_with_one(tmp_path: Path) -> None:
    process = start(tmp_path, on_start="self.stop.guard(asyncio.sleep('long'), 'clock')")
    output, logged = process.communicate(timeout=20)
    assert output.split() == ["started", "draining", "drained"]
    assert process.returncode == EXIT_FATAL
    assert logged.count("task failed") == 1


def test_a_service_that_cannot_start_is_logged_once_and_exits_with_one(tmp_path: Path) -> None:
    process = start(tmp_path, on_start="raise OSError('port taken')")
    _, logged = process.communicate(timeout=20)
    assert process.returncode == EXIT_FATAL
    assert logged.count("process failed") == 1


async def test_the_first_reason_to_stop_counts() -> None:
    stop = Stop()
    stop.request("breach of an invariant", EXIT_FATAL)
    stop.request("SIGTERM")
    await asyncio.wait_for(stop.wait(), 1)
    assert (stop.reason, stop.exit_code, stop.is_requested) == ("breach of an invariant", EXIT_FATAL, True)


async def test_a_guarded_task_that_ends_well_or_is_cancelled_stops_nothing() -> None:
    stop = Stop()
    ended = stop.guard(asyncio.sleep(0), "short")
    cancelled = stop.guard(asyncio.sleep(60), "long")
    await ended
    cancelled.cancel()
    await asyncio.wait({cancelled})
    assert not stop.is_requested


def test_an_interrupt_during_start_up_is_not_lost(tmp_path: Path) -> None:
    process = start(tmp_path, on_start="print('starting', flush=True); await asyncio.sleep(0.3)")
    assert read_line(process) == "starting"
    os.kill(process.pid, signal.SIGTERM)
    began = time.monotonic()
    output, _ = process.communicate(timeout=20)
    assert output.split() == ["started", "draining", "drained"]
    assert time.monotonic() - began < 10


async def test_a_task_that_forgets_a_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `asyncio.wait_for` of Python 3.11 does when its result comes with the cancellation."""
    monkeypatch.setattr(lifecycle, "CANCEL_SECONDS", 0.01)
    forgotten = 0

    async def for_ever() -> None:
        nonlocal forgotten
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if forgotten == 2:
                    raise
                forgotten += 1

    async def done() -> int:
        return 1

    tasks = [asyncio.create_task(for_ever()), asyncio.create_task(done())]
    await asyncio.sleep(0)
    await lifecycle.cancel_all(tasks)
    assert forgotten == 2
    assert tasks[0].cancelled() and tasks[1].result() == 1
    await lifecycle.cancel_all([])


def test_the_reason_of_the_end_is_left_where_kubernetes_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "termination-log"
    left.touch()
    monkeypatch.setattr(lifecycle.leave_reason, "__defaults__", (left,))

    async def main(_stop: Stop) -> None:
        raise OSError("the sealing key\nis no key")

    assert lifecycle.run(main) == EXIT_FATAL
    assert left.read_text("utf-8") == "OSError: the sealing key is no key\n"


def test_of_a_task_that_failed_it_is_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / "termination-log"
    left.touch()
    monkeypatch.setattr(lifecycle.leave_reason, "__defaults__", (left,))

    async def fail() -> None:
        raise ValueError("no room")

    async def main(stop: Stop) -> None:
        stop.guard(fail(), "relay")
        await stop.wait()

    assert lifecycle.run(main) == EXIT_FATAL
    assert left.read_text("utf-8") == "task relay failed: no room\n"


def test_a_clean_end_leaves_no_reason_and_a_long_one_is_cut(tmp_path: Path) -> None:
    left = tmp_path / "termination-log"
    lifecycle.leave_reason("nobody asks", left)
    assert not left.exists()
    left.touch()
    lifecycle.leave_reason("x" * 2000, left)
    assert left.read_text("utf-8") == "x" * lifecycle.TERMINATION_CHARACTERS_MAX + "\n"
