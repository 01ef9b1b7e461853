"""Bad transactions against the ledger's check, bad frames and messages against the consensus core and against
its driver, by the hundred thousand (`make campaign`, or ``python -m scripts.bad_input``).

Each round has a seed of its own: a ledger in memory, or a simulated federation that must go on meanwhile.
Every case must be refused with a reason of the documented ones or have no effect at all, and memory must stay
flat: the last third of the rounds within a tenth of the middle third. Prints a table; the last line is JSON;
exit status 1 and the seed on any violation.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from libs.machine.tests import bad_transactions
from services.consensus.tests import bad_frames, bad_messages

CASES_PER_ROUND: Final = 2_000
ROUNDS_MIN: Final = 9
"""Three in each third, so that one odd reading decides nothing."""
CASES_MAX: Final = 10_000_000
GROWTH_MAX: Final = 0.10
Outcomes = Counter[tuple[str, str]]

PLAYS: Final[dict[str, Callable[[int, int], Outcomes]]] = {
    "transactions": bad_transactions.play,
    "frames and messages": bad_messages.play,
    "frames at the driver's door": bad_frames.play,
}


def main() -> int:
    """Play rounds of each until there were so many cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000, help=f"of all, at most {CASES_MAX}")
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()
    rounds = max(ROUNDS_MIN, -(-options.cases // (len(PLAYS) * CASES_PER_ROUND)))
    if not 0 < options.cases <= CASES_MAX:
        parser.error(f"--cases: 1 to {CASES_MAX}")
    summary: dict[str, object] = {}
    for name, play in PLAYS.items():
        outcomes: Outcomes = Counter()
        resident: list[int] = []
        for seed in range(options.first_seed, options.first_seed + rounds):
            try:
                outcomes += play(seed, CASES_PER_ROUND)
            except Exception:  # noqa: BLE001 - whatever breaks is a violation, and the seed plays it again
                traceback.print_exc()
                print(json.dumps({"violation": name, "seed": seed}))
                return 1
            gc.collect()  # a round's federation is a ring of objects: what is left of it is not what grows
            resident.append(resident_bytes())
        growth = growth_of(resident)
        print_table(name, outcomes)
        middle, last = (round(value / 2**20) for value in thirds(resident))
        print(f"{name}: memory {middle} MiB in the middle third, {last} MiB in the last")
        summary[name] = {"cases": rounds * CASES_PER_ROUND, "memory_growth": round(growth, 3)}
        if growth > GROWTH_MAX:
            print(json.dumps({"violation": f"memory grows over {name}", "bytes": resident}))
            return 1
    print(json.dumps({**summary, "first_seed": options.first_seed, "violation": None}))
    return 0


def print_table(name: str, outcomes: Outcomes) -> None:
    """Kinds of cases down, verdicts across."""
    kinds = sorted({kind for kind, _ in outcomes})
    verdicts = sorted({verdict for _, verdict in outcomes})
    print(f"\n| {name} | {' | '.join(verdict or 'taken' for verdict in verdicts)} |")
    print(f"|---{'|---' * len(verdicts)}|")
    for kind in kinds:
        print(f"| {kind} | {' | '.join(str(outcomes[kind, verdict] or '') for verdict in verdicts)} |")


def thirds(resident: list[int]) -> tuple[float, float]:
    """Medians of the middle and of the last third."""
    third = len(resident) // 3
    return statistics.median(resident[third:-third]), statistics.median(resident[-third:])


def growth_of(resident: list[int]) -> float:
    """By which share the last third lies above the middle one."""
    middle, last = thirds(resident)
    return last / middle - 1


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
