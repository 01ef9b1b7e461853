"""CPU-ms of Scottish STV counts: `.venv/bin/python benches/tally.py`.

Reading and counting apart, medians, for the largest ward of `../shared/data/stv-scotland-2017` (or
ICN_SHARED_DATA), for all its wards, and for random ballots, which need no data.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from icn_tally.blt import read_blt
from icn_tally.contest import Contest
from icn_tally.scottish_stv import ScottishStv, count

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ICN_SHARED_DATA") or ROOT.parent / "shared" / "data")


def wards() -> list[bytes]:
    """The files of the wards, the largest first; none where the folder is missing."""
    archive = SHARED / "stv-scotland-2017" / "ballots.zip"
    if not archive.exists():
        return []
    with zipfile.ZipFile(archive) as files:
        found = [files.read(name) for name in sorted(files.namelist()) if name.endswith(".blt")]
    return sorted(found, key=lambda content: content.count(b"\n"), reverse=True)


def random_ballots(ballots: int, candidates: int, seats: int, randomness: random.Random) -> bytes:
    """A file of ballots that each rank some candidates; low numbers are ranked more often."""
    lines = [f"{candidates} {seats}"]
    numbers = range(1, candidates + 1)
    for _ in range(ballots):
        order = sorted(numbers, key=lambda number: randomness.random() * (number + 3))
        lines.append(" ".join(map(str, [1, *order[: randomness.randrange(1, candidates + 1)], 0])))
    return "\n".join([*lines, "0", *(f"c{number}" for number in numbers), ""]).encode()


def read_all(files: Sequence[bytes]) -> list[Contest]:
    """The contests of files."""
    return [read_blt(content) for content in files]


def count_all(contests: Sequence[Contest]) -> None:
    """Count each."""
    for contest in contests:
        counted(contest)


def counted(contest: Contest) -> None:
    """One count, lots in the order of the file."""
    assert contest.seats is not None
    count(ScottishStv(contest.seats), contest.ballots, range(1, len(contest.ballots.candidates) + 1))


def millis(rounds: int, work: Callable[[], object]) -> float:
    """Median CPU-ms of a call."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append((time.process_time() - started) * 1e3)
    return statistics.median(taken)


def main() -> None:
    """Print one line per set of files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    found = wards()
    drawn = random_ballots(100_000, 20, 9, random.Random(arguments.seed))
    sets = {"100,000 random, 20 candidates, 9 seats": [drawn]}
    if found:
        sets = {"largest ward": found[:1], f"all {len(found)} wards": found, **sets}
    print(f"seed {arguments.seed}; CPU-ms: reading, counting")
    for name, files in sets.items():
        reading = millis(arguments.rounds, partial(read_all, files))
        counting = millis(arguments.rounds, partial(count_all, read_all(files)))
        print(f"{name:<40} {reading:>8.1f} {counting:>8.1f}")


if __name__ == "__main__":
    main()
