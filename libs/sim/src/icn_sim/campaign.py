"""Many seeds, each played under two hash seeds, in as many processes as there are cores.

``python -m icn_sim.campaign FIRST SEEDS STEP`` plays a share of them and prints a line of JSON for each seed;
`run` starts such processes and adds up what they say. Source: docs/spec/simulator.md.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Final

from icn_sim.tally import Tally, missed

HASH_SEEDS: Final = ("1", "2")
"""Of Python's hashing: what depends on the order of a set differs between them."""
SEEDS_MAX: Final = 10_000_000
_DONE: Final = None


class WorkerFailed(Exception):
    """A process of the campaign ended early; the message is what it printed last."""


@dataclass(slots=True)
class Result:
    """What a campaign found."""

    seeds: int = 0
    tally: Tally = field(default_factory=Tally)
    violations: dict[int, str] = field(default_factory=dict)
    """Message by seed."""
    views_to_resume_max: int = 0

    @property
    def missed(self) -> dict[str, tuple[int, int]]:
        """States that were reached too seldom: name → (reached, minimum)."""
        return missed(self.tally.reached, self.seeds)

    @property
    def is_clean(self) -> bool:
        """Whether no promise was broken and enough was reached."""
        return not self.violations and not self.missed

    def to_dict(self) -> dict[str, Any]:
        """As `icn sim` prints it."""
        return {
            "seeds": self.seeds,
            "forks": sum("two final blocks" in message for message in self.violations.values()),
            "violations": [
                {"seed": seed, "message": message} for seed, message in sorted(self.violations.items())
            ],
            "faults": dict(sorted(self.tally.faults.items())),
            "reached": dict(sorted(self.tally.reached.items())),
            "missed": {name: {"reached": a, "minimum": b} for name, (a, b) in sorted(self.missed.items())},
            "views_to_resume_max": self.views_to_resume_max,
        }


def run(first: int, seeds: int, progress: Callable[[int], None], processes: int | None = None) -> Result:
    """Play the seeds ``first`` … ``first + seeds - 1``.

    Args:
        progress: told how many seeds are done, now and then.

    Raises:
        WorkerFailed: a process died.
    """
    assert 0 < seeds <= SEEDS_MAX, "callers bound it"
    result, digests = Result(), dict[int, str]()
    step = min(seeds, max(1, (processes or os.cpu_count() or 2) // len(HASH_SEEDS)))
    shares = [(first + offset, hash_seed) for offset in range(step) for hash_seed in HASH_SEEDS]
    lines: SimpleQueue[dict[str, Any] | None] = SimpleQueue()

    def follow(begin: int, hash_seed: str) -> None:
        try:
            for line in _play_share(begin, first + seeds, step, hash_seed):
                lines.put(line)
        finally:
            lines.put(_DONE)

    with ThreadPoolExecutor(len(shares)) as pool:
        following = [pool.submit(follow, begin, hash_seed) for begin, hash_seed in shares]
        left = len(shares)
        while left:
            line = lines.get()
            if line is _DONE:
                left -= 1
            else:
                _take(result, digests, line)
                progress(result.seeds)
    for done in following:
        done.result()
    return result


def _take(result: Result, digests: dict[int, str], line: dict[str, Any]) -> None:
    """Add up a seed that was played once, or compare it with how it was played before."""
    seed, digest = line["seed"], line["digest"]
    if seed not in digests:
        digests[seed] = digest
        return
    if digests.pop(seed) != digest:
        result.violations[seed] = "two runs of the seed under different hash seeds differ"
    elif line["violation"]:
        result.violations[seed] = line["violation"]
    result.seeds += 1
    result.tally.faults.update(line["faults"])
    result.tally.reached.update(line["reached"])
    result.views_to_resume_max = max(result.views_to_resume_max, line["views_to_resume"])


def _play_share(begin: int, end: int, step: int, hash_seed: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "icn_sim.campaign", str(begin), str(end), str(step)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                yield json.loads(line)
            said = process.stderr.read()
        finally:
            process.terminate()
    if process.returncode:
        raise WorkerFailed(said[-2_000:] or f"exit status {process.returncode}")


def main(first: int, end: int, step: int) -> None:
    """Play every ``step``-th seed and print how each ended."""
    from icn_sim.seeds import play

    # What a seed leaves is collected at once after it: looking for it meanwhile costs a twentieth.
    gc.disable()
    gc.freeze()
    for seed in range(first, end, step):
        outcome = play(seed)
        gc.collect()
        sys.stdout.write(
            json.dumps(
                {
                    "seed": seed,
                    "digest": outcome.digest,
                    "violation": outcome.violation,
                    "faults": outcome.tally.faults,
                    "reached": outcome.tally.reached,
                    "views_to_resume": outcome.views_to_resume,
                }
            )
            + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
