"""Has mutmut change the core of consensus, mutation by mutation, and counts which its tests notice.

`make mutation`, or ``python -m scripts.mutate_core [PATTERN ...]`` for mutants whose names match, such as
``icn_consensus.domain.voting.*``. mutmut wants a package in ``src`` and tests beside it, so both are laid
out in ``build/mutation``; a run that is broken off goes on from there, until the core or its tests change.
The last line is JSON; exit status 1 below SCORE_MIN.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
TREE: Final = ROOT / "build" / "mutation"
SCORE_MIN: Final = 0.85
COPIED: Final = {
    "services/consensus/src/icn_consensus": "src/icn_consensus",
    "services/consensus/tests": "services/consensus/tests",
    "libs/sim/tests/unit": "libs/sim/tests/unit",
    "conftest.py": "conftest.py",
}
"""From the repository's root to the tree's; what else tests import is used where it is installed."""
SETTINGS: Final = """\
[tool.mutmut]
source_paths = ["src/icn_consensus/domain"]
also_copy = ["src", "services", "libs", "conftest.py"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "--import-mode=importlib"]
pytest_add_cli_args_test_selection = [
    "services/consensus/tests/unit",
    "libs/sim/tests/unit/test_seeds.py",
    "--deselect=libs/sim/tests/unit/test_seeds.py::test_no_seed_breaks_a_promise_and_enough_of_what_may_go_wrong_does",
]
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""


def main() -> int:
    """Run mutmut and say how it ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names of mutants; all by default")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    lay_out()
    mutmut = Path(sys.executable).parent / "mutmut"
    subprocess.run(
        [mutmut, "run", "--max-children", str(options.processes), *options.patterns], cwd=TREE, check=True
    )
    subprocess.run([mutmut, "export-cicd-stats"], cwd=TREE, check=True, stdout=subprocess.DEVNULL)
    counts = json.loads((TREE / "mutants" / "mutmut-cicd-stats.json").read_text("utf-8"))
    score = score_of(counts)
    print(json.dumps({**counts, "score": round(score, 4)}))
    return int(score < SCORE_MIN)


def score_of(counts: dict[str, Any]) -> float:
    """Share of the mutants that were run which a test noticed; what no test reaches went unnoticed."""
    noticed = counts["killed"] + counts["timeout"] + counts["segfault"]
    return float(noticed / max(1, noticed + counts["survived"] + counts["no_tests"] + counts["suspicious"]))


def lay_out() -> None:
    """Bring the tree up to date; files that are as they were keep their times, and so mutmut its verdicts."""
    for source, target in COPIED.items():
        path = ROOT / source
        files = [path] if path.is_file() else [one for one in path.rglob("*") if is_copied(one)]
        for file in files:
            place = TREE / target if file == path else TREE / target / file.relative_to(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists() or place.read_bytes() != file.read_bytes():
                shutil.copyfile(file, place)
    (TREE / "pyproject.toml").write_text(SETTINGS, "utf-8")


def is_copied(path: Path) -> bool:
    """A file that the tests need; those that need a database are not among them."""
    return path.is_file() and not {"__pycache__", "integration"} & set(path.parts)


if __name__ == "__main__":
    sys.exit(main())
