"""Plants bugs one by one in a copy of the repository and has tests and simulator find them.

`make mutants`, or ``python -m scripts.mutants [NAME ...]`` for some of them.

The bugs are those of libs/sim/planted_bugs.toml, each with the tests that are to find it. First these must
pass without any bug. A bug is found when one of its tests fails, with the words that the entry says, if any;
where the entry says that it hangs, also when they do not end. Whatever else happens proves nothing: the bug
counts as missed. The last line is JSON; exit status 1 unless every bug was found.
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
"""The simulator's seeds take a few minutes."""
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
    """One planted bug and what is to find it."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Ids for pytest, each of one test."""
    says: str = ""
    """What the failing test says; empty where its failing says enough."""
    hangs: bool = False
    """Whether a test that does not end finds it."""

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
        tests = tuple(_full_path(test, listed["tests"]) for test in entry["found_by"])
        says, hangs = entry.get("says", ""), entry.get("hangs", False)
        bugs.append(Bug(entry["name"], tuple(edits), tests, says, hangs))
    return bugs


def _full_path(test: str, folders: dict[str, str]) -> str:
    place, _, rest = test.partition("/")
    return f"{folders[place]}/{rest}"


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
        tests = sorted({test for bug in bugs for test in bug.tests})
        if (outcome := run_tests(tree, tests)) is not PASSED:
            print(f"without any bug: {outcome.told}", file=sys.stderr)
            return 1
        missed = [bug.name for bug in bugs if not is_found(bug, tree)]
    print(json.dumps({"bugs": len(bugs), "found": len(bugs) - len(missed), "missed": missed}))
    return 1 if missed else 0


def is_found(bug: Bug, tree: Path) -> bool:
    """Plant a bug, run its tests, take it out again."""
    started = monotonic()
    originals = bug.plant(tree)
    try:
        outcome = run_tests(tree, bug.tests)
    finally:
        for path, text in originals.items():
            path.write_text(text, "utf-8")
    is_it = outcome.finds(bug)
    verdict = "found" if is_it else "MISSED"
    print(f"{verdict:6} {bug.name}: {outcome.told} ({monotonic() - started:.0f} s)", flush=True)
    return is_it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run of tests."""

    told: str
    """For who reads along."""
    failed: tuple[str, ...] = ()
    """Ids of tests that failed."""
    output: str = ""
    has_ended: bool = True

    def finds(self, bug: Bug) -> bool:
        """Whether it is what the bug's entry says."""
        if not self.has_ended:
            return bug.hangs
        is_named = any(failed.partition("[")[0] in bug.tests for failed in self.failed)
        return is_named and bug.says in self.output


PASSED: Final = Outcome("all passed")


def run_tests(tree: Path, tests: Sequence[str]) -> Outcome:
    """Run tests in a tree until one fails."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-vv", "-p", "no:cacheprovider", *tests]
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
        return Outcome(f"not done after {TESTS_SECONDS_MAX} s", has_ended=False)
    if run.returncode == 0:
        return PASSED
    if run.returncode != PYTEST_TESTS_FAILED:
        return Outcome(f"pytest ended with {run.returncode}: {run.stdout[-2_000:]}")
    failed = tuple(re.findall(r"^FAILED (\S+)", run.stdout, re.MULTILINE))
    if not failed:
        return Outcome(f"no test failed: {run.stdout[-2_000:]}")
    return Outcome(", ".join(name.rpartition("/")[2] for name in failed), failed, run.stdout)


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
