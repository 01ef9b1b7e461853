"""Same blocks, same roots, whatever the hash seed (promise P7)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]
SEED, BLOCKS = 7, 25


def roots(hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "libs.machine.tests.workload", str(SEED), str(BLOCKS)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_roots_do_not_depend_on_the_hash_seed() -> None:
    first = roots("1")
    assert len(first.splitlines()) == BLOCKS
    assert len({line.split()[0] for line in first.splitlines()}) > BLOCKS // 2
    assert roots("2") == first
