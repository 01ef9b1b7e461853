"""Lotteries over panels beside those of sortition-algorithms, on the pools of its own tests."""

from __future__ import annotations

import math
import subprocess
import tarfile
from pathlib import Path
from typing import Any, Final

from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.sortition import Pool, Quota, leximin

from benches.tally.differences import Oracle

FIXTURES_PANEL: Final = 22
"""Members; its quotas ask for 22 or 23."""
EQUAL_WITHIN: Final = 1e-6
"""Both are found in floating point."""


def compare_lotteries(asked: Oracle, tests: Path) -> int:
    """Print a row for each pool: the least probability of a member; how many differ."""
    answer = asked.ask({"library": "sortition", "tests": str(tests), "size": FIXTURES_PANEL})
    assert "error" not in answer, answer
    print("| pool | members | panel | sortition-algorithms | ours |\n|---|---|---|---|---|")
    differing = 0
    for pool in answer["answer"]:
        ours, theirs = _least(pool), pool["least"]
        is_equal = (ours is None) == (theirs is None) and (
            ours is None or math.isclose(ours, theirs, abs_tol=EQUAL_WITHIN)
        )
        differing += not is_equal
        row = (pool["name"], len(pool["members"]), pool["size"], _shown(theirs), _shown(ours))
        print(f"| {' | '.join(map(str, row))} |")
    return differing


def tests_of_release(python: Path, folder: Path, requirements: Path) -> Path:
    """The tests of the locked release, which only its source has; fetched where they are not."""
    name = next(
        line.strip()
        for line in requirements.read_text("utf-8").splitlines()
        if line.startswith("sortition-algorithms==")
    )
    if not folder.exists():
        command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), name], check=True)
        with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
            archive.extractall(folder, filter="data")
    return next(folder.glob("*/tests"))


def _least(pool: dict[str, Any]) -> float | None:
    """Of any member's probabilities; None where no panel keeps the quotas."""
    quotas = {
        name: {value: Quota(*bounds) for value, bounds in values.items()}
        for name, values in pool["quotas"].items()
    }
    try:
        lottery = leximin(Pool(tuple(pool["members"]), quotas, pool["size"]))
    except (InvalidParameter, InvalidBallots):
        return None
    return min(lottery.probabilities)


def _shown(least: float | None) -> str:
    return "no panel" if least is None else f"{least:.6f}"
