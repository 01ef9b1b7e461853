"""Tells the stories onboard, booking, credit and delegates with ever new seeds (`make campaign`, or
``python -m scripts.stories``).

Each round is a platform of its own; each story is told on it through REST, through gRPC, and through REST
while every service, one vm and one validator are killed once at the points that the seed chooses. The last
line is JSON with what was told; a round that fails ends the campaign with exit status 1 and the command that
tells it again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from e2e.stories import SEED_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
STORIES = ("onboard", "booking", "credit", "delegates")
ROUNDS_MAX = 1_000
ROUND_SECONDS_MAX = 1_800


def main() -> int:
    """Tell until so many rounds are done or one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help=f"how many, at most {ROUNDS_MAX}")
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()
    if not 0 < options.rounds <= ROUNDS_MAX:
        parser.error(f"--rounds: 1 to {ROUNDS_MAX}")
    command = [sys.executable, "-m", "pytest", "-q", *(f"e2e/test_{name}.py" for name in STORIES)]
    for seed in range(options.first_seed, options.first_seed + options.rounds):
        environment = {**os.environ, SEED_VARIABLE: str(seed)}
        told = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=ROUND_SECONDS_MAX, stdout=sys.stderr, check=False
        )
        if told.returncode != 0:
            sys.stderr.write(f"tell it again: {SEED_VARIABLE}={seed} {' '.join(command)}\n")
            sys.stdout.write(json.dumps({"stories": STORIES, "violation": seed}) + "\n")
            return 1
    sys.stdout.write(json.dumps({"stories": STORIES, "rounds": options.rounds, "violation": None}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
