"""Runs the consensus simulation over ever new seeds for some minutes (`make campaign`, or ``python -m
scripts.campaign``).

The last line is JSON with what was run. A seed that breaks an invariant ends the campaign with exit status 1
and the command that plays it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback

from services.consensus.tests.unit.test_simplex_seeds import (
    test_honest_seats_agree_and_resume as honest_seats,
)
from services.consensus.tests.unit.test_simplex_seeds import (
    test_honest_seats_agree_and_resume_though_f_seats_lie as lying_seats,
)

MINUTES_MAX = 24 * 60
HONEST_PER_LYING = 2
"""Of three seeds, one has seats that lie; as in the runs that every test does."""


def main() -> int:
    """Run until the time is over or an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help=f"how long, at most {MINUTES_MAX}")
    parser.add_argument("--first-seed", type=int, default=1_000, help="tests run the seeds below it")
    parser.add_argument("--seeds", type=int, default=sys.maxsize, help="stop after so many")
    options = parser.parse_args()
    if not 0 < options.minutes <= MINUTES_MAX:
        parser.error(f"--minutes: more than 0, at most {MINUTES_MAX}")
    deadline = time.monotonic() + 60 * options.minutes
    seed, done = options.first_seed, 0
    while time.monotonic() < deadline and done < options.seeds:
        scenario = lying_seats if seed % (HONEST_PER_LYING + 1) == 0 else honest_seats
        try:
            scenario(seed)
        except Exception:  # noqa: BLE001 - whatever a seed finds is what the campaign is for
            traceback.print_exc()
            print(f"play it again: .venv/bin/python -m scripts.campaign --first-seed {seed} --seeds 1")
            print(json.dumps({"first_seed": options.first_seed, "seeds": done + 1, "violation": seed}))
            return 1
        seed, done = seed + 1, done + 1
    print(json.dumps({"first_seed": options.first_seed, "seeds": done, "violation": None}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
