"""`make bench-tally`: what counts cost, beside another library where it does the same, and where results
differ.

    python -m benches.tally [--rounds 5] [costs] [lotteries] [differences] [--profiles 200]
        [--rules RULE ...] [--oracles PYTHON]

Only counting is timed, ballots already parsed, one process, CPU time; medians. The other libraries run in an
environment of their own (`requirements.lock`), made under `build/` where `--oracles` does not name one.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.blt import read_blt
from icn_tally.comparisons import Comparison, compare
from icn_tally.contest import Contest
from icn_tally.delegation import Chosen, resolve
from icn_tally.meek import MEEK, WARREN, Meek
from icn_tally.meek import count as count_meek
from icn_tally.scottish_stv import ScottishStv, count

from benches.checkout import commit
from benches.tally import differences
from benches.tally.differences import Oracle
from benches.tally.lotteries import compare_lotteries, tests_of_release

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SHARED: Final = Path(os.environ.get("ICN_SHARED_DATA") or ROOT.parent / "shared" / "data")
HERE: Final = Path(__file__).resolve().parent
ENVIRONMENT: Final = ROOT / "build" / "oracles"
FIXTURES: Final = ROOT / "build" / "sortition-tests"
PARTS: Final = ("costs", "lotteries", "differences")


def wards() -> list[bytes]:
    """The files of the 180 wards; none where the folder is missing."""
    archive = SHARED / "stv-scotland-2017" / "ballots.zip"
    if not archive.exists():
        return []
    with zipfile.ZipFile(archive) as files:
        return [files.read(name) for name in sorted(files.namelist()) if name.endswith(".blt")]


def random_ballots(ballots: int, candidates: int, randomness: random.Random) -> Ballots:
    """Ballots that each rank some candidates; low numbers are ranked higher."""
    numbers = range(1, candidates + 1)
    bundles = []
    for _ in range(ballots):
        order = sorted(numbers, key=lambda number: randomness.random() * (number + 3))
        bundles.append(([[number] for number in order[: randomness.randrange(1, candidates + 1)]], 1))
    return ranked_ballots([f"c{number}" for number in numbers], bundles)


def random_delegations(voters: int, share: float, seed: int) -> tuple[np.ndarray, Chosen]:
    """Who voted, and one delegate for each of a share of the voters, chosen evenly; all others voted."""
    randomness = np.random.default_rng(seed)
    delegating = randomness.random(voters) < share
    places = np.flatnonzero(delegating)
    delegates = randomness.integers(0, voters, len(places))
    return ~delegating, Chosen(places, delegates, np.ones(len(places), np.int64))


def median_seconds(rounds: int, work: Callable[[], object]) -> float:
    """CPU time of a call."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def count_wards(contests: Sequence[Contest]) -> None:
    """Each by Scottish STV, lots in the order of the file."""
    for contest in contests:
        assert contest.seats is not None, "every ward says its seats"
        count(ScottishStv(contest.seats), contest.ballots, range(1, len(contest.ballots.candidates) + 1))


def peer_of_wards(contests: Sequence[Contest], asked: Oracle) -> float:
    """CPU-seconds of pref_voting for the same wards, its profiles already made."""
    return float(
        sum(
            asked.ask(
                {
                    "library": "stv",
                    "rule": "scottish-stv",
                    "candidates": len(contest.ballots.candidates),
                    "seats": contest.seats,
                    "orders": [
                        ([rank[0] - 1 for rank in ranking], weight)
                        for ranking, weight in contest.ballots.bundles()
                        if ranking
                    ],
                }
            )["counting_seconds"]
            for contest in contests
        )
    )


def costs(rounds: int, asked: Oracle) -> None:
    """Print the table of costs."""
    rows: list[tuple[str, str, str]] = []
    files = wards()
    if files:
        contests = [read_blt(content) for content in files]
        ours = median_seconds(rounds, partial(count_wards, contests))
        theirs = statistics.median(peer_of_wards(contests, asked) for _ in range(rounds))
        rows.append(("180 Scottish wards, counting", f"{ours * 1e3:,.0f} CPU-ms", ""))
        rows.append(
            (
                "the same, pref_voting",
                f"{theirs * 1e3:,.0f} CPU-ms",
                verdict(theirs / ours, "≥", 10, f"{theirs / ours:.0f} ×"),
            )
        )
        whole = median_seconds(rounds, lambda: count_wards([read_blt(content) for content in files]))
        rows.append(("the same wards from files", f"{whole:.2f} CPU-s", verdict(whole, "≤", 1, "")))
    drawn = random_ballots(100_000, 20, random.Random(1))
    for rule in (MEEK, WARREN):
        spent = median_seconds(rounds, partial(count_meek, Meek(rule, 9), drawn, range(1, 21)))
        bar = verdict(spent, "≤", 2, "") if rule == MEEK else ""
        rows.append((f"{rule}, 100,000 ballots, 20 candidates, 9 seats", f"{spent:.2f} CPU-s", bar))
    many = random_ballots(2_000, 200, random.Random(2))
    compare(Comparison("schulze"), many, range(1, 201))
    spent = median_seconds(rounds, lambda: compare(Comparison("schulze"), many, range(1, 201)))
    rows.append(
        ("Schulze, 200 candidates, 2,000 ballots", f"{spent * 1e3:.0f} CPU-ms", verdict(spent, "≤", 0.05, ""))
    )
    few = random_ballots(200, 200, random.Random(3))
    spent = median_seconds(rounds, lambda: compare(Comparison("schulze"), few, range(1, 201)))
    rows.append(("the same, 200 ballots", f"{spent * 1e3:.0f} CPU-ms", verdict(spent, "≤", 0.05, "")))
    voted, chosen = random_delegations(1_000_000, 0.6, 4)
    weights = np.ones(len(voted), np.int64)
    spent = median_seconds(rounds, lambda: resolve(voted, weights, chosen))
    rows.append(
        ("delegation, 10^6 voters, 60 % delegating", f"{spent:.2f} CPU-s", verdict(spent, "≤", 0.5, ""))
    )
    print("| figure | measured | bar |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def verdict(value: float, sign: str, bar: float, shown: str) -> str:
    """Whether a figure reaches its bar."""
    met = value >= bar if sign == "≥" else value <= bar
    return f"{shown} (bar {sign} {bar:g}: {'met' if met else '**missed**'})".strip()


def differing(rules: Sequence[str], profiles: int, seed: int, asked: Oracle) -> int:
    """Print what differs, then a row for each rule; how many differences."""
    found = [
        differences.compare(rule, profiles, seed, asked, lambda line: print(line, flush=True))
        for rule in rules
    ]
    print("| rule | profiles | differing | lots decided | no answer |\n|---|---|---|---|---|")
    for one in found:
        print(f"| {one.rule} | {one.profiles:,} | {one.differing} | {one.left_open} | {one.not_answered} |")
    return sum(one.differing for one in found)


def made_environment() -> Path:
    """The other libraries' Python, installed where it is not."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT)], check=True)
        lock = HERE / "requirements.lock"
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--require-hashes",
            "-r",
            str(lock),
        ]
        subprocess.run(command, check=True)
    return python


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profiles", type=int, default=200)
    parser.add_argument(
        "--rules", nargs="+", choices=differences.RULES, default=differences.RULES, metavar="RULE"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--oracles", type=Path)
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    print(
        f"commit {commit()}, Python {sys.version.split()[0]}, numpy {np.__version__}, seed {arguments.seed}"
    )
    python = arguments.oracles or made_environment()
    with differences.oracle(python) as asked:
        if "costs" in parts:
            costs(arguments.rounds, asked)
        if "lotteries" in parts:
            compare_lotteries(asked, tests_of_release(python, FIXTURES, HERE / "requirements.in"))
        if "differences" in parts:
            differing(arguments.rules, arguments.profiles, arguments.seed, asked)


if __name__ == "__main__":
    main()
