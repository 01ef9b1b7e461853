"""Plants bugs one by one in a copy of the repository and has tests and simulator find them.

`make mutants`, or ``python -m scripts.mutants [NAME ...]`` for some of them.

The bugs are those of libs/sim/planted_bugs.toml. First the tests must pass without any. A bug is found when a
test fails; one that breaks an import instead proves nothing and counts as missed. The last line is JSON;
exit status 1 unless every bug was found.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
BUGS: Final = ROOT / "libs" / "sim" / "planted_bugs.toml"
TESTS_SECONDS_MAX: Final = 600
"""A bug may make a test wait for ever; that finds it too."""
SEEDS: Final = "400"
"""Of the simulator, per bug: each of the bugs that only it finds is found by far fewer."""
PYTEST_TESTS_FAILED: Final = 1
"""Exit status; others say that pytest itself could not run."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A replacement in one file."""

    file: str
    """From the repository's root."""
    before: str
    after: str

    def apply(self, text: str) -> str:
        """The file's text with the bug.

        Raises:
            ValueError: the text to be replaced is not there exactly once.
        """
        if (count := text.count(self.before)) != 1:
            raise ValueError(f"{self.file} has {count} times, not once: {self.before!r}")
        return text.replace(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug and the tests that are to find it."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    def plant(self, tree: Path) -> dict[Path, str]:
        """Put it into a tree; gives what to write back afterwards.

        Raises:
            ValueError: an edit does not fit; nothing is left half-done.
        """
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = tree / edit.file
            texts[path] = edit.apply(texts.get(path) or path.read_text("utf-8"))
        originals = {path: path.read_text("utf-8") for path in texts}
        for path, text in texts.items():
            path.write_text(text, "utf-8")
        return originals


def read_bugs() -> list[Bug]:
    """What the list names, in its order."""
    listed = tomllib.loads(BUGS.read_text("utf-8"))
    bugs = []
    for entry in listed["bug"]:
        edits = []
        for edit in entry["edit"]:
            place, _, file = edit["file"].partition("/")
            edits.append(Edit(f"{listed['paths'][place]}/{file}", edit["before"], edit["after"]))
        bugs.append(Bug(entry["name"], tuple(edits), tuple(entry.get("tests", listed["tests"]))))
    return bugs


def main() -> int:
    """Plant them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these bugs; all by default")
    options = parser.parse_args()
    bugs = read_bugs()
    if unknown := set(options.names) - {bug.name for bug in bugs}:
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    if options.names:
        bugs = [bug for bug in bugs if bug.name in options.names]
    with tempfile.TemporaryDirectory(prefix="icn-mutants-") as folder:
        tree = copy_of_repository(Path(folder))
        for tests in sorted({bug.tests for bug in bugs}):
            if (found := failing(tree, tests)) is not None:
                print(f"without any bug, {found}", file=sys.stderr)
                return 1
        missed = [bug.name for bug in bugs if not is_found(bug, tree)]
    print(json.dumps({"bugs": len(bugs), "found": len(bugs) - len(missed), "missed": missed}))
    return 1 if missed else 0


def is_found(bug: Bug, tree: Path) -> bool:
    """Plant a bug, run its tests, take it out again."""
    started = monotonic()
    originals = bug.plant(tree)
    try:
        found = failing(tree, bug.tests)
    finally:
        for path, text in originals.items():
            path.write_text(text, "utf-8")
    is_failure = found is not None and found.startswith(FAILED)
    verdict = "found" if is_failure else "MISSED"
    print(f"{verdict:6} {bug.name}: {found or 'all passed'} ({monotonic() - started:.0f} s)", flush=True)
    return is_failure


FAILED: Final = "failed: "


def failing(tree: Path, tests: Sequence[str]) -> str | None:
    """The first test that fails in a tree, after FAILED; why pytest could not run; or None."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        run = subprocess.run(
            command,
            check=False,
            cwd=tree,
            env=environment(tree),
            capture_output=True,
            text=True,
            timeout=TESTS_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        return f"{FAILED}not done after {TESTS_SECONDS_MAX} s"
    if run.returncode == 0:
        return None
    if run.returncode != PYTEST_TESTS_FAILED:
        return f"pytest ended with {run.returncode}: {run.stdout[-2_000:]}"
    failed = re.findall(r"^FAILED \S*?([^/\s]+)(?: |$)", run.stdout, re.MULTILINE)
    return FAILED + ", ".join(failed) if failed else f"no test failed: {run.stdout[-2_000:]}"


def environment(tree: Path) -> dict[str, str]:
    """Imports come from the tree and not from where its packages are installed."""
    sources = [str(path) for path in (*tree.glob("*/*/src"), tree / "protos" / "generated", tree)]
    return {
        **os.environ,
        "ICN_SIM_SEEDS": SEEDS,
        "PYTHONPATH": os.pathsep.join(sources),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def copy_of_repository(folder: Path) -> Path:
    """What git tracks, as it is in the working tree, and the generated stubs."""
    tree = folder / "tree"
    for name in tracked():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    shutil.copytree(ROOT / "protos" / "generated", tree / "protos" / "generated")
    return tree


def tracked() -> Iterable[str]:
    """Files of the repository that exist, from its root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return (name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


if __name__ == "__main__":
    sys.exit(main())
