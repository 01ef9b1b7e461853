"""`make bench-ledger`: what the ledger must reach, with the wheels only and with the accelerator.

    python -m benches.ledger [--pairs 5] [--growth 1000000] [PART …]

Parts: apply, tree, reads, proofs, audit, growth; all without.

Each configuration is a process that takes figures when it is told to; configurations and the peer take turns,
in the opposite order every other round, so that what else the machine does falls on all. Ratios are of one
round; medians are printed. Times on shared machines are noise: compare ratios and CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from icn_localnet.postgres_binaries import find_postgres

from benches.checkout import commit
from benches.ledger import growth, peer
from benches.ledger.apply import ACCOUNTS, LARGE, SMALL
from benches.ledger.table import Rounds, Row, table
from benches.ledger.worker import NATIVE, WHEELS, Figures, configurations, worker

PARTS: Final = ("apply", "tree", "reads", "proofs", "audit")
GROWTH: Final = "growth"
PEER_SECONDS: Final = 5
PAGE_RATIO_MAX, PAGE_BAR_AT = 1.5, 10_000_000
"""How many times as long a page of history may take when there are so many transfers."""
ONLY_WHEELS: Final = ("reads",)
"""Where the accelerator has nothing to do."""


def rate(value: float) -> str:
    """Of something a second."""
    return f"{value:,.0f} /s"


def micros(value: float) -> str:
    """CPU time or time by the clock."""
    return f"{value:,.1f} µs"


def millis(value: float) -> str:
    """CPU time."""
    return f"{value:.2f} ms"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:.2f} ×"


def size(value: float) -> str:
    """Of something that is sent."""
    return f"{value:,.0f} bytes"


def both(native: float, wheels: float) -> dict[str, float]:
    """A bar by configuration."""
    return {WHEELS: wheels, NATIVE: native}


ROWS: Final = (
    *(
        row
        for transfers in (SMALL, LARGE)
        for row in (
            Row(f"rate_{transfers}", f"apply, blocks of {transfers:,}: transfers by the clock", rate),
            Row(
                f"rate_{transfers}_to_few",
                f"the same, to the peer with up to {peer.FEW[-1]} clients",
                times,
                both(5, 3),
                more_is_better=True,
            ),
            Row(
                f"rate_{transfers}_to_many",
                f"the same, to the peer with up to {peer.MANY[-1]} clients",
                times,
                both(5, 3),
                more_is_better=True,
            ),
            Row(f"own_us_{transfers}", "CPU time a transfer: the process", micros),
            Row(f"database_us_{transfers}", "CPU time a transfer: its Postgres", micros),
            Row(
                f"cpu_{transfers}_to_many",
                "transfers per CPU-second, to the peer's where it is fastest",
                times,
                more_is_better=True,
            ),
        )
    ),
    Row(
        "sum_us", "state root, 4,000 of 131,072 leaves, CPU time a transfer (2 leaves)", micros, both(10, 25)
    ),
    Row("update_us", "of it the update", micros),
    Row("write_us", "of it handing over the pages", micros),
    Row("database_us", "of it Postgres", micros),
    Row("use_case_us_ratio", "a balance by the clock, to a bare SELECT by primary key", times, both(2, 2)),
    Row("use_case_cpu_us_ratio", "the same in CPU time", times),
    Row("bare_us", "the bare SELECT by the clock", micros),
    Row("grpc_us_ratio", "apart: GetAccount over gRPC by the clock, to the bare SELECT", times),
    Row("grpc_cpu_us_ratio", "apart: the same in CPU time, of both ends", times),
    Row(
        "statement_rate",
        "statement of 10,000 entries: entries per CPU-second",
        rate,
        both(50_000, 50_000),
        more_is_better=True,
    ),
    Row("rate", "audit: transfers per CPU-second", rate, both(20_000, 8_000), more_is_better=True),
    Row("bytes", "proof of a balance at 131,072 accounts, binary", size, both(2_048, 2_048)),
    Row("json_bytes", "the same as the JSON file of today", size),
    Row("verify_ms", "reading that file and verifying it, CPU time", millis, both(2, 2)),
    Row("step_bytes", "an epoch that keeps its set adds", size),
    Row("changed_set_bytes", "one that changes its set of 4 adds", size),
)


def run_rounds(part: str, pairs: int) -> dict[str, dict[str, list[float]]]:
    """Figures of a part by configuration and name, one for each round."""
    labels = [WHEELS] if part in ONLY_WHEELS else configurations()
    found: dict[str, dict[str, list[float]]] = {label: {} for label in labels}
    with ExitStack() as stack:
        beside: Callable[[], Figures] | None = None
        if part == "apply":
            beside = measure_peer(stack.enter_context(peer.peer(ACCOUNTS)))
        measures = {label: stack.enter_context(worker(part, label)) for label in labels}
        for number in range(pairs):
            theirs = beside() if beside and number % 2 == 0 else {}
            figures = {label: measures[label]() for label in (labels if number % 2 else labels[::-1])}
            if beside and not theirs:
                theirs = beside()
            for label, taken in figures.items():
                for name, value in {**taken, **(compared(taken, theirs) if theirs else {})}.items():
                    found[label].setdefault(name, []).append(value)
            load = os.getloadavg()[0]
            print(
                f"{part} {number + 1}, load {load:.1f}: {json.dumps(figures | {'peer': theirs})}",
                file=sys.stderr,
            )
    return found


def measure_peer(one: peer.Peer) -> Callable[[], Figures]:
    """Takes the peer's figures with the numbers of clients that suit it best."""
    few, many = one.best_of(PEER_SECONDS, peer.FEW), one.best_of(PEER_SECONDS, peer.MANY)
    print(
        f"The peer is fastest with {few} clients of {peer.FEW}, and with {many} of {peer.MANY}.\n", flush=True
    )

    def measure() -> Figures:
        narrow, wide = one.measure(PEER_SECONDS, few), one.measure(PEER_SECONDS, many)
        fastest = max(narrow, wide, key=lambda figures: figures["rate"])
        return {
            "few": narrow["rate"],
            "many": fastest["rate"],
            "many_us": fastest["database_us"] + fastest["client_us"],
        }

    return measure


def compared(ours: Figures, theirs: Figures) -> Figures:
    """Ratios of one round."""
    ratios = {}
    for transfers in (SMALL, LARGE):
        spent_us = ours[f"own_us_{transfers}"] + ours[f"database_us_{transfers}"]
        ratios[f"rate_{transfers}_to_few"] = ours[f"rate_{transfers}"] / theirs["few"]
        ratios[f"rate_{transfers}_to_many"] = ours[f"rate_{transfers}"] / theirs["many"]
        ratios[f"cpu_{transfers}_to_many"] = theirs["many_us"] / spent_us
    return ratios


def heading(pairs: int) -> str:
    """What was measured, and where."""
    settings = ", ".join(f"{name} {value}" for name, value in peer.SETTINGS.items())
    return (
        f"commit {commit()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Postgres {find_postgres().major_version}, {' and '.join(configurations())}, load average "
        f"{os.getloadavg()[0]:.1f} at the beginning. Medians (extremes) of {pairs} rounds.\n\n"
        f"{ACCOUNTS:,} accounts. The peer: `benches/ledger/peer.sql` under pgbench, prepared, "
        f"{PEER_SECONDS} s; fsync, synchronous_commit and full_page_writes on; {settings}; "
        "the rest as ICN's Postgres.\n"
    )


def main() -> None:
    """Measure what is asked for, all parts without; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PARTS, GROWTH)))
    parser.add_argument("--pairs", type=int, default=5, help="rounds of every configuration")
    parser.add_argument(
        "--growth", type=int, default=growth.TRANSFERS_DEFAULT, help="transfers, 10^7 takes hours"
    )
    options = parser.parse_args()
    parts = options.parts or [*PARTS, GROWTH]
    if unknown := set(parts) - {*PARTS, GROWTH}:
        raise SystemExit(f"unknown parts: {', '.join(sorted(unknown))}")
    if options.growth < growth.FIRST_MARK:
        raise SystemExit(
            f"--growth {options.growth}: at least {growth.FIRST_MARK}, the first size that is told"
        )
    print(heading(options.pairs), flush=True)
    measured: dict[str, dict[str, Rounds]] = {label: {} for label in configurations()}
    for part in PARTS:
        if part in parts:
            for label, figures in run_rounds(part, options.pairs).items():
                measured[label].update(figures)
    if rows := rows_of(measured):
        print(table(rows, measured), flush=True)
    if GROWTH in parts:
        print_growth(options.growth)


def rows_of(measured: dict[str, dict[str, Rounds]]) -> list[Row]:
    """Those of which something was measured."""
    return [row for row in ROWS if any(row.key in figures for figures in measured.values())]


def print_growth(transfers: int) -> None:
    """The table of growth, and whether a page of history keeps its bar at the largest size."""
    marks: dict[int, Any] = {}
    asyncio.run(growth.grow(transfers, marks.__setitem__))
    print(f"\n{growth.table(marks)}\n")
    count, figures = max(marks.items())
    title = f"a history page at {count:,} transfers, to one at {growth.FIRST_MARK:,} (bar at {PAGE_BAR_AT:,})"
    bar = dict.fromkeys((WHEELS, NATIVE), PAGE_RATIO_MAX) if count >= PAGE_BAR_AT else {}
    page = Row("page", title, times, bar)
    print(table([page], {configurations()[-1]: {"page": [figures["page_ratio"]]}}))


if __name__ == "__main__":
    main()
