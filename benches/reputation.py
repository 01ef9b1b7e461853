"""Time, CPU and memory of one computation of scores: `.venv/bin/python benches/reputation.py [PAIRS…]`.

Random trust, ten partners per member, twenty seeds. Each size runs in a process of its own.
"""

import random
import resource
import subprocess
import sys
import time

from icn_reputation.domain.computation import Basis, PairSum, compute
from icn_reputation.domain.seeds import Seeds

SIZES = ("1000", "100000", "1000000")
PARTNERS = 10
SEEDS = 20


def measure(pairs: int) -> None:
    dice = random.Random(1)
    people = [dice.randbytes(16) for _ in range(max(SEEDS, pairs // PARTNERS))]
    sums = [
        PairSum(person, people[(place + step) % len(people)], dice.randrange(1, 1_000), 0)
        for place, person in enumerate(people)
        for step in dice.sample(range(1, len(people)), pairs // len(people))
    ]
    basis = Basis("delivery", len(sums), 0, Seeds(tuple(sorted(people[:SEEDS])), 0))
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    found = compute(basis, sums)
    found.rounded()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    more_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    print(
        f"{len(sums):>9} pairs {found.members:>7} members {wall:>7.2f} s {cpu:>6.2f} CPU-s"
        f" {more_kib // 1024:>5} MiB more, {found.scores.iterations} iterations",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        measure(int(sys.argv[2]))
        return
    for size in sys.argv[1:] or SIZES:
        subprocess.run([sys.executable, __file__, "--one", size], check=True)


if __name__ == "__main__":
    main()
