"""The table of what the platform must reach; `make bench` prints it.

    python benches/run.py [ROW …]   rows: memory idle latency booking orders replay demo commands (all)

Short runs are repeated RUNS times and the median is printed. Times on shared machines are noise: compare CPU.
Every row needs nothing but this checkout; the replay needs `../shared/data` (or ICN_SHARED_DATA).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes import usage

ROOT = Path(__file__).resolve().parent.parent
ICN = ROOT / ".venv" / "bin" / "icn"
SHARED = Path(os.environ.get("ICN_SHARED_DATA") or ROOT.parent / "shared" / "data")
RUNS = 5
SETTLE_SECONDS = 20
IDLE_SECONDS = 120
READY_SECONDS_MAX = 120
ON_A_PLATFORM = ("memory", "idle", "latency", "booking", "orders", "replay")
"""Rows that share one running platform, in this order: the quiet ones first."""


def main(rows: list[str]) -> None:
    """Print the rows asked for, all when none is named."""
    wanted = rows or [*ON_A_PLATFORM, "demo", "commands"]
    if unknown := set(wanted) - {*ON_A_PLATFORM, "demo", "commands"}:
        raise SystemExit(f"unknown rows: {', '.join(sorted(unknown))}")
    print("| figure | bar | measured |\n|---|---|---|", flush=True)
    if set(ON_A_PLATFORM) & set(wanted):
        on_a_platform(wanted)
    if "demo" in wanted:
        demo()
    if "commands" in wanted:
        row("`make check` warm", "≤ 60 s", f"{timed(['make', 'check'], ROOT):.0f} s")
        row("`make test` warm", "≤ 600 s", f"{timed(['make', 'test'], ROOT):.0f} s")


def on_a_platform(wanted: list[str]) -> None:
    """The rows that share one running platform, the quiet ones first."""
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder, platform(Path(folder)) as pid:
        directory = Path(folder)
        if {"memory", "idle"} & set(wanted):
            time.sleep(SETTLE_SECONDS)
        if "memory" in wanted:
            now = usage(pid)
            row(
                "memory of the embedded platform, sum of PSS",
                "≤ 2048 MiB",
                f"{now.pss_bytes / 2**20:.0f} MiB in {now.processes} processes",
            )
        if "idle" in wanted:
            before = usage(pid).cpu_seconds
            time.sleep(IDLE_SECONDS)
            share = (usage(pid).cpu_seconds - before) / IDLE_SECONDS
            row(f"idle, mean over {IDLE_SECONDS} s, all processes", "≤ 10 % of a core", f"{share:.1%}")
        if "latency" in wanted:
            latency(directory / "data")
        if "booking" in wanted:
            booking(directory / "data")
        if "orders" in wanted:
            orders(directory / "data")
        if "replay" in wanted:
            replay(directory, pid)


def booking(directory: Path) -> None:
    """The booking race of benches/booking.py."""
    results = [bench("booking.py", directory) for _ in range(RUNS)]
    seconds = statistics.median(result["same_hour_seconds"] for result in results)
    overlaps = sum(result["overlaps"] for result in results)
    answered = all(set(result["same_hour"]) == {"booked", "BOOKING_OVERLAPS"} for result in results)
    row(
        "200 people want one hour of a resource",
        "0 overlaps, everybody answered",
        f"{overlaps} overlaps, {'all' if answered else 'NOT all'} answered in {seconds:.2f} s",
    )


def orders(directory: Path) -> None:
    """Whole sales, as benches/orders.py has them."""
    results = [bench("orders.py", directory) for _ in range(RUNS)]
    rate = statistics.median(result["per_second"] for result in results)
    platform_ms = statistics.median(result["platform_cpu_ms_per_cycle"] for result in results)
    client_ms = statistics.median(result["client_cpu_ms_per_cycle"] for result in results)
    row(
        "order life cycles: agreed, held, delivered, settled",
        "≥ 40 /s",
        f"{rate:.0f} /s, {platform_ms:.0f} CPU-ms each on the platform, {client_ms:.0f} in the client",
    )


def bench(name: str, directory: Path) -> dict[str, Any]:
    """The JSON object that a bench of its own prints."""
    command = [sys.executable, str(ROOT / "benches" / name), str(directory)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(printed)
    return result


def latency(directory: Path) -> None:
    """Commit latency at the steady rate of benches/latency.py."""
    results = [bench("latency.py", directory) for _ in range(RUNS)]
    p50 = statistics.median(result["p50_ms"] for result in results)
    p99 = statistics.median(result["p99_ms"] for result in results)
    row("commit p50 at 200 tx/s", "≤ 100 ms", f"{p50:.0f} ms (p99 {p99:.0f} ms)")


def replay(directory: Path, pid: int) -> None:
    """Rate of the replay over its transfers, registration apart; CPU of all processes, the client's too."""
    file = SHARED / "sarafu" / "sarafu-10k.csv.gz"
    if not file.exists():
        row("replay, four validators durable", "≥ 1,500 transfers/s", f"not measured: {file.name} is missing")
        return
    rates, costs = [], []
    for _ in range(RUNS):
        platform_before, client_before = usage(pid).cpu_seconds, children_cpu_seconds()
        run = subprocess.run(
            [ICN, "replay", str(file), "--json"],
            capture_output=True,
            text=True,
            check=False,
            env=data(directory),
        )
        if run.returncode != 0:
            raise SystemExit(f"icn replay failed: {run.stderr[-2000:]}")
        result = json.loads(run.stdout.splitlines()[-1])
        cpu_seconds = usage(pid).cpu_seconds - platform_before + children_cpu_seconds() - client_before
        rates.append(float(result["per_second"]))
        costs.append(cpu_seconds / int(result["rows"]) * 1e6)
    row(
        "replay, four validators durable",
        "≥ 1,500 transfers/s",
        f"{statistics.median(rates):,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f}), "
        f"{statistics.median(costs):,.0f} CPU-µs per transfer with registration",
    )


def demo() -> None:
    """`make demo` from a clone without .venv, and again."""
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder:
        clone = Path(folder) / "icn"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        row(
            "`make demo`, no .venv, warm download cache", "≤ 180 s", f"{timed(['make', 'demo'], clone):.0f} s"
        )
        warm = statistics.median(timed(["make", "demo"], clone) for _ in range(RUNS))
        row("`make demo`, warm", "≤ 40 s", f"{warm:.0f} s")


@contextmanager
def platform(directory: Path) -> Iterator[int]:
    """A running platform; yields the pid of `icn up`."""
    log = directory / "up.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [ICN, "up", "--data", str(directory / "data")], stdout=stream, stderr=stream, env=data(directory)
        )
    try:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while "http://" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the platform did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def data(directory: Path) -> dict[str, str]:
    """The environment in which `icn` finds this platform and no other."""
    return {**os.environ, "ICN_DATA": str(directory / "data")}


def timed(command: list[str], folder: Path) -> float:
    """Seconds a command takes; it must succeed."""
    started = time.monotonic()
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {(run.stdout + run.stderr)[-2000:]}")
    return time.monotonic() - started


def children_cpu_seconds() -> float:
    """CPU time of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def row(figure: str, bar: str, measured: str) -> None:
    """One line of the table, at once."""
    print(f"| {figure} | {bar} | {measured} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
