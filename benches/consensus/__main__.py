"""`make bench-consensus`: ICN's validators and CometBFT's beside each other, in interleaved rounds.

    python -m benches.consensus [--pairs 5] [--idle-seconds 30] [--only load|delay|memory]

Each round starts every configuration afresh, one after the other, the next round in the opposite order, so
that only one runs at a time and what else the machine does falls on all. Ratios are of one round; their
median is printed. Times on shared machines are noise: compare ratios and CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

from icn_client.submitter import BATCH_TRANSACTIONS_MAX, WINDOW_DEFAULT

from benches.checkout import commit
from benches.consensus import icn, load, peer
from benches.consensus.figures import Row, percentile, table
from benches.consensus.side import PARTIES, SEATS, Side

PEERS: Final = {"CometBFT, tuned": peer.TUNED, "CometBFT, defaults": peer.DEFAULT}
WARM_UP: Final = 2_000
BURST: Final = 6_000
STEADY_SECONDS: Final = 4.0
DELAY_MS: Final = 50
DELAYED_SECONDS: Final = 8.0
DEAD_SECONDS: Final = 12.0
"""Four turns of the dead validator and more, whatever they cost."""
MEMORY_TRANSFERS: Final = 1_000_000
RATE_LOW, RATE_HIGH, RATE_DEAD = 500, 2_000, 200
LOAD, DELAY, MEMORY = "load", "delay", "memory"
"""Parts of the table that are measured apart; the memory only of ours, in the first round."""
BOTH: Final = (icn.NATIVE, icn.WHEELS)


def whole(value: float) -> str:
    """A count or a time that needs no decimals."""
    return f"{value:,.0f}"


def milliseconds(value: float) -> str:
    """A time."""
    return f"{value:,.0f} ms"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.2f} ×"


def mebibytes(value: float) -> str:
    """An amount of memory."""
    return f"{value / 2**20:,.0f} MiB"


def share(value: float) -> str:
    """Of a core."""
    return f"{value:.1%}"


ROWS: Final = (
    Row("rate", "committed transfers/s", whole, {icn.NATIVE: 2.0, icn.WHEELS: 0.8}, more_is_better=True),
    Row(
        "nodes_cpu_us",
        "CPU-µs per committed transfer, 4 nodes + databases",
        whole,
        {icn.NATIVE: 0.6, icn.WHEELS: 1.2},
    ),
    Row("databases_cpu_us", "of the above: the databases", whole, {}, is_only_ours=True),
    Row("p50_ms", f"commit p50 at {RATE_LOW} tx/s", milliseconds, dict.fromkeys(BOTH, 0.6)),
    Row("p99_ms", f"commit p99 at {RATE_HIGH:,} tx/s", milliseconds, dict.fromkeys(BOTH, 0.6)),
    Row(
        "gap_ms",
        f"longest commit gap after kill -9 of a validator, {RATE_DEAD} tx/s",
        milliseconds,
        dict.fromkeys(BOTH, 0.3),
    ),
    Row("dead_p50_ms", f"commit p50 with it dead, {RATE_DEAD} tx/s", milliseconds, dict.fromkeys(BOTH, 0.1)),
    Row("idle", "idle CPU of 4 nodes + databases, of a core", share, dict.fromkeys(BOTH, 1.0)),
    Row(
        "nats_cpu_us",
        "apart: CPU-µs per transfer of NATS, which gets ICN's events",
        whole,
        {},
        is_only_ours=True,
    ),
    Row("loader_cpu_us", "apart: CPU-µs per transfer of the loader", whole, {}),
    Row(
        "delay_interval_ms",
        f"{DELAY_MS} ms one way, {RATE_DEAD} tx/s: between blocks (bar: 2 hops + 25 ms)",
        milliseconds,
        dict.fromkeys(BOTH, 2.0 * DELAY_MS + 25),
        is_absolute=True,
    ),
    Row(
        "delay_final_ms",
        f"{DELAY_MS} ms one way, {RATE_DEAD} tx/s: proposal to final at one, p50 (bar: 3 hops + 25 ms)",
        milliseconds,
        dict.fromkeys(BOTH, 3.0 * DELAY_MS + 25),
        is_absolute=True,
    ),
    *(
        Row(key, f"{DELAY_MS} ms one way, {RATE_DEAD} tx/s: {what}, p50", milliseconds, {})
        for key, what in (
            ("delay_applied_ms", "proposal to applied everywhere"),
            ("delay_submit_final_ms", "submitted to final at one"),
            ("delay_p50_ms", "submitted to applied everywhere"),
        )
    ),
    Row(
        "memory_growth",
        f"memory of 4 nodes + databases over {MEMORY_TRANSFERS:,} transfers, last third to middle third",
        times,
        dict.fromkeys(BOTH, 1.1),
        is_only_ours=True,
        is_absolute=True,
    ),
    Row("memory_bytes", "the same, in the last third", mebibytes, {}, is_only_ours=True),
)


async def measure(label: str, directory: Path, transfer_bytes: int, idle_seconds: float) -> dict[str, float]:
    """All figures of one configuration but those with a delay, on a network of its own."""
    async with side_of(label, directory, transfer_bytes) as side:
        await load.burst(side, WARM_UP, WINDOW_DEFAULT)
        figures = await load.burst(side, BURST, WINDOW_DEFAULT)
        figures["p50_ms"] = percentile(await load.steady(side, RATE_LOW, STEADY_SECONDS), 0.5)
        figures["p99_ms"] = percentile(await load.steady(side, RATE_HIGH, STEADY_SECONDS), 0.99)
        figures["idle"] = await load.idle(side, idle_seconds)
        figures.update(await load.one_dead(side, RATE_DEAD, DEAD_SECONDS))
    return figures


async def measure_delayed(label: str, directory: Path, transfer_bytes: int) -> dict[str, float]:
    """The figures with a delay, on a network of its own."""
    async with side_of(label, directory, transfer_bytes, DELAY_MS) as side:
        await load.burst(side, WARM_UP, WINDOW_DEFAULT)
        return await load.steady_far_apart(side, RATE_DEAD, DELAYED_SECONDS)


async def measure_memory(label: str, directory: Path, transfer_bytes: int) -> dict[str, float]:
    """The figures of memory, on a network of its own."""
    async with side_of(label, directory, transfer_bytes) as side:
        return await load.memory_over(side, MEMORY_TRANSFERS, WINDOW_DEFAULT)


def side_of(
    label: str, directory: Path, transfer_bytes: int, delay_ms: int = 0
) -> AbstractAsyncContextManager[Side]:
    """A new network of one configuration."""
    if label in PEERS:
        return peer.peer_side(PEERS[label], directory, transfer_bytes, delay_ms)
    return icn.icn_side(label, directory, delay_ms)


def in_new_folder(measuring: Callable[[Path], Coroutine[Any, Any, dict[str, float]]]) -> dict[str, float]:
    """What is measured with a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder:
        Path(folder).chmod(0o711)  # Postgres may run as nobody where this is root
        return asyncio.run(measuring(Path(folder)))


def main() -> int:
    """Measure, and print the table; 1 when a configuration failed in some round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="rounds of every configuration")
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--only", choices=[LOAD, DELAY, MEMORY], help="one part of the rows")
    options = parser.parse_args()
    measuring: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
        LOAD: partial(measure, idle_seconds=options.idle_seconds),
        DELAY: measure_delayed,
        MEMORY: measure_memory,
    }
    parts = [options.only] if options.only else list(measuring)
    peer.build()
    transfer_bytes = icn.transfer_bytes()
    ours = icn.configurations()
    labels = [*ours, *PEERS]
    print(heading(options.pairs, options.idle_seconds, transfer_bytes), flush=True)
    measured: dict[str, dict[str, dict[int, float]]] = {label: {} for label in labels}
    failures = []
    for number in range(options.pairs):
        for label in labels if number % 2 == 0 else reversed(labels):
            try:
                figures: dict[str, float] = {}
                for part in parts:
                    if part != MEMORY or (number == 0 and label in ours):
                        figures |= in_new_folder(
                            partial(measuring[part], label, transfer_bytes=transfer_bytes)
                        )
            except Exception as error:  # noqa: BLE001 - one round must not cost the others
                traceback.print_exc()
                failures.append(f"round {number + 1}, {label}: {type(error).__name__}: {error}")
                continue
            said = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
            print(f"round {number + 1}, {label}: {said}", file=sys.stderr, flush=True)
            for name, value in figures.items():
                measured[label].setdefault(name, {})[number] = value
    print(table(ROWS, measured, ours, list(PEERS)))
    for failure in failures:
        print(f"\nFailed: {failure}")
    return 1 if failures else 0


def heading(pairs: int, idle_seconds: float, transfer_bytes: int) -> str:
    """What was measured, exactly."""
    lines = [
        f"commit {commit()}, {os.cpu_count()} cores, Python {platform.python_version()}, {go_version()}",
        "",
        f"{SEATS} validators on loopback, {PARTIES:,} accounts, signed transfers of {transfer_bytes} bytes, "
        f"client batches of up to {BATCH_TRANSACTIONS_MAX}, {WINDOW_DEFAULT:,} under way; {BURST:,} "
        f"transfers per burst, {STEADY_SECONDS:.0f} s per rate, {idle_seconds:.0f} s idle, {pairs} rounds. "
        "Medians (extremes) of the rounds; ratios are medians of the rounds' ratios to the tuned peer.",
        "",
    ]
    for name, configuration in PEERS.items():
        lines += [f"{name} ({peer.version()}): {'; '.join(peer.describe(configuration))}.", ""]
    return "\n".join(lines)


def go_version() -> str:
    """As `go version` says it, without the platform."""
    done = subprocess.run(["go", "version"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split()[1:3])


if __name__ == "__main__":
    sys.exit(main())
