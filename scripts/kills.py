"""Kills processes of a platform while transaction files are replayed on it (`make campaign`, or
``python -m scripts.kills``).

Each round replays a made-up file and kills processes one after another with SIGKILL, a random one at a random
moment, the next when the last is back, so that never more than one of four validators is away. After every
round every balance must be what an independent fold of the file says, and at the end all validators must
have the same state. The last line is JSON with what was done; exit status 1 and the seed on any violation.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from icn_client.platforms import found_network, without_secrets
from icn_localnet.platform import RunningPlatform, launch

from e2e.chains import chains
from e2e.fold import fold

ROOT = Path(__file__).resolve().parent.parent
ICN = ROOT / ".venv" / "bin" / "icn"
ROWS = 1_500
REPLAY_SECONDS_MAX = 300
PAUSE_SECONDS_MAX = 3.0
"""Between two kills: long enough that some fall on a platform at work and some on one that recovers."""
KILLS_MAX = 10_000


def main() -> int:
    """Run rounds until so many processes were killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help=f"how many, at most {KILLS_MAX}")
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()
    if not 0 < options.kills <= KILLS_MAX:
        parser.error(f"--kills: 1 to {KILLS_MAX}")
    killed: Counter[str] = Counter()
    seed = options.first_seed
    with (
        tempfile.TemporaryDirectory(prefix="icn-kills-") as folder,
        platform(Path(folder) / "data") as running,
    ):
        while killed.total() < options.kills:
            problem = play(running, Path(folder), seed, killed, options.kills)
            if problem:
                print(f"seed {seed}: {problem}", file=sys.stderr)
                print(json.dumps({"kills": dict(killed), "violation": seed}))
                return 1
            print(f"seed {seed}: held, {killed.total()} kills so far", file=sys.stderr, flush=True)
            seed += 1
        status = icn(running.directory, "status")
        if status.returncode != 0 or json.loads(status.stdout)["has_fork"]:
            print(json.dumps({"kills": dict(killed), "violation": "fork", "status": status.stdout}))
            return 1
    print(json.dumps({"rounds": seed - options.first_seed, "kills": dict(killed), "violation": None}))
    return 0


def play(running: RunningPlatform, folder: Path, seed: int, killed: Counter[str], kills: int) -> str:
    """One round; what was wrong, empty when it held."""
    file, balances = folder / f"{seed}.csv", folder / f"{seed}-balances.csv"
    file.write_text(chains(seed, ROWS))
    is_done = threading.Event()
    chance = random.Random(seed)  # noqa: S311 - a seed that is printed
    killing = threading.Thread(target=kill, args=(running, chance, is_done, killed, kills))
    killing.start()
    try:
        run = icn(running.directory, "replay", str(file), "--balances", str(balances))
    finally:
        is_done.set()
        killing.join()
    if run.returncode != 0:
        return f"the replay failed: {run.stderr[-2000:]}"
    result = json.loads(run.stdout.splitlines()[-1])
    if result["committed"] != result["rows"] or result["sum"] != "0":
        return f"rows are missing: {result}"
    expected, _ = fold(str(file))
    with balances.open(newline="") as stream:
        found = {row["party"]: int(row["balance"]) for row in csv.DictReader(stream)}
    return "" if found == expected else "balances differ from the fold"


def kill(
    running: RunningPlatform,
    chance: random.Random,
    is_done: threading.Event,
    killed: Counter[str],
    kills: int,
) -> None:
    """Kill until the round is over or there were enough."""
    while killed.total() < kills and not is_done.wait(chance.uniform(0, PAUSE_SECONDS_MAX)):
        name = chance.choice(sorted(running.processes()))
        running.kill_process(name)
        killed[name] += 1


def icn(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the platform."""
    return subprocess.run(
        [ICN, *arguments, "--json", "--data", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=REPLAY_SECONDS_MAX,
    )


@contextmanager
def platform(directory: Path) -> Iterator[RunningPlatform]:
    """A fresh platform, stopped at the end."""
    network = found_network(directory, validators=4)
    with without_secrets():
        running = launch(network)
    try:
        yield running
    finally:
        running.stop()


if __name__ == "__main__":
    sys.exit(main())
