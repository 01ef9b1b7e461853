"""Runs tests against every change mutmut makes to what nodes must agree on, and counts which they notice.

`make mutation`, or ``python -m scripts.mutate_core [--of ledger|tally] [PATTERN ...]``: of the core of
consensus, of the ledger's rules or of the rules that count votes, for mutants whose names match, such as
``icn_consensus.domain.voting.*``; with ``--every N`` for one in so many. A verdict holds until the function
changes, so a run that is broken off goes on from there, and runs over parts add up. What survived is tried
again by ``--again``; after tests were written, ``--again --tests FILE`` tries it against these alone. Prints
each survivor, a table of what has been run so far, and as the last line JSON; exit status 1 below SCORE_MIN.

mutmut makes the mutants. They are run here, because its runner starts pytest anew for each, looks up in the
environment at each call which mutant is meant, and lets one that loops for ever run for half an hour.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import gc
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from mutmut.mutation import trampoline
from mutmut.mutation.file_mutation import mutate_file_contents

ROOT: Final = Path(__file__).resolve().parent.parent
SCORE_MIN: Final = 0.85


@dataclass(frozen=True)
class Subject:
    """What is changed, and what is to notice."""

    name: str
    source: str
    """Folder that holds its package, from the repository's root."""
    package: str
    """Dotted; every module below is mutated, unless `modules` says which."""
    tests: tuple[str, ...]
    """Files and folders of tests."""
    copied: tuple[str, ...]
    """What these need of the repository; what else they import is used where it is installed."""
    left_out: tuple[str, ...] = ()
    """Tests that take minutes and have quicker ones beside them."""
    modules: tuple[str, ...] = ()
    """Those that are mutated, by name below the package; a package's is all that is in it."""
    examples: int = 100
    """Of each random test that does not say how many it needs."""

    @property
    def tree(self) -> Path:
        """Where the tests run, at the same places as in the repository; its `src` has the mutated package."""
        return ROOT / "build" / "mutation" / self.name

    @property
    def folder(self) -> str:
        """Of the mutated modules, from the tree's `src` and from `source`."""
        return self.package.replace(".", "/")

    def mutated(self, source: Path) -> list[Path]:
        """The modules that are mutated, where the package lies below this folder."""
        paths = sorted((source / self.folder).rglob("*.py"))
        if not self.modules:
            return paths
        names = [path.relative_to(source / self.folder).with_suffix("").parts[0] for path in paths]
        assert set(self.modules) <= set(names), "a subject names modules that there are"
        return [path for path, name in zip(paths, names, strict=True) if name in self.modules]


CONSENSUS: Final = Subject(
    "consensus",
    "services/consensus/src",
    "icn_consensus.domain",
    ("services/consensus/tests/unit", "libs/sim/tests/unit/test_seeds.py"),
    ("services/consensus/tests", "libs/sim/tests/unit"),
    (
        "libs/sim/tests/unit/test_seeds.py::test_no_seed_breaks_a_promise_and_enough_of_what_may_go_wrong_does",
    ),
)
LEDGER: Final = Subject(
    "ledger",
    "libs/machine/src",
    "icn_machine",
    ("libs/machine/tests/unit", "services/ledger/tests/unit/usecases/test_snapshots.py"),
    ("libs/machine/tests", "services/ledger/tests", "docs/spec/vectors/chain"),
)
TALLY: Final = Subject(
    "tally",
    "libs/tally/src",
    "icn_tally",
    ("libs/tally/tests/unit",),
    ("libs/tally/tests",),
    ("libs/tally/tests/unit/test_declared_results.py",),
    (
        "apportionment",
        "ballots",
        "budgeting",
        "budgets",
        "closeness",
        "committees",
        "comparisons",
        "delegation",
        "levels",
        "lots",
        "meek",
        "pairwise",
        "runoff",
        "scores",
        "scottish_stv",
        "sortition",
        "stages",
        "transfers",
        "wigm",
    ),
    examples=20,
)
SUBJECTS: Final = {subject.name: subject for subject in (CONSENSUS, LEDGER, TALLY)}

TEST_SECONDS_MAX: Final = 0.1
"""Of processor time. Slower tests are left out: a mutant that nothing else notices counts as unnoticed."""
PYTEST: Final = ("-q", "--no-header", "--tb=no", "--assert=plain", "--capture=sys", "--import-mode=importlib")
SETTINGS: Final = """\
[tool.mutmut]
source_paths = ["src/{folder}"]

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""


def main() -> int:
    """Run what is asked for and say how the core stands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names of mutants; all by default")
    parser.add_argument("--of", choices=list(SUBJECTS), default=CONSENSUS.name, help="what is changed")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one mutant in so many")
    parser.add_argument("--again", action="store_true", help="try what survived once more")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="tests to run")
    parser.add_argument(
        "--test-seconds-max", type=float, default=TEST_SECONDS_MAX, help="slower are left out"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    subject = SUBJECTS[options.of]
    tests = options.tests or subject.tests
    lay_out(subject)
    tree = subject.tree
    os.chdir(tree)
    sys.path[:] = [str(tree / "src"), *(path for path in sys.path if Path(path).resolve() != ROOT)]
    core = Core(subject)
    verdicts = Verdicts(core.mutants, tree / "verdicts.jsonl")
    open_verdicts = {None, "survived", "unreached"} if options.again else {None}
    wanted = [
        name
        for pattern in options.patterns or ["*"]
        for name in list(core.mutants)[:: options.every]
        if fnmatch(name, pattern) and verdicts.of.get(name) in open_verdicts
    ]
    if wanted:
        reach = measured(subject, tests, options.test_seconds_max)
        in_tree(subject, tests, Run(core, verdicts, reach, wanted, options.processes))
    return report(core, verdicts)


def report(core: Core, verdicts: Verdicts) -> int:
    """Print how each module stands, and the whole."""
    by_module: dict[str, Counter[str]] = defaultdict(Counter)
    for name in core.mutants:
        by_module[name.split(".")[-2]][verdicts.of.get(name, "not run")] += 1
    total: Counter[str] = Counter()
    for module, counts in sorted(by_module.items()):
        total.update(counts)
        print(f"{module:22} {score_of(counts):7.1%}  {dict(sorted(counts.items()))}")
    print(json.dumps({**total, "mutants": total.total(), "score": round(score_of(total), 4)}))
    return int(score_of(total) < SCORE_MIN)


def score_of(counts: Counter[str]) -> float:
    """Share of the mutants that were run which a test noticed; what no test reaches went unnoticed."""
    noticed = counts["killed"] + counts["timeout"]
    return noticed / max(1, noticed + counts["survived"] + counts["unreached"])


def lay_out(subject: Subject) -> None:
    """Bring the tree up to date: what is as it was keeps its times, what is gone goes."""
    tree = subject.tree
    left = {path for folder in ("src", "services", "libs") for path in (tree / folder).rglob("*.py")}
    whole = subject.package.partition(".")[0]
    copied = {f"{subject.source}/{whole}": f"src/{whole}", "conftest.py": "conftest.py"}
    copied.update({folder: folder for folder in subject.copied})
    for source, target in copied.items():
        path = ROOT / source
        files = [path] if path.is_file() else [one for one in path.rglob("*") if is_copied(one)]
        for file in files:
            place = tree / target if file == path else tree / target / file.relative_to(path)
            left.discard(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists() or place.read_bytes() != file.read_bytes():
                shutil.copyfile(file, place)
    for place in left:
        place.unlink()
    (tree / "pyproject.toml").write_text(SETTINGS.format(folder=subject.folder), "utf-8")


def is_copied(path: Path) -> bool:
    """A file that the tests need; those that need a database are not among them."""
    return path.is_file() and not {"__pycache__", "integration"} & set(path.parts)


class Core:
    """The mutated modules, in the place of the subject's in the tree."""

    def __init__(self, subject: Subject) -> None:
        self.mutants: dict[str, str] = {}
        """Name to the hash of the function that is changed."""
        self._sources: dict[str, list[str]] = {}
        tree, source = subject.tree, ROOT / subject.source
        for path in subject.mutated(source):
            module = path.relative_to(source).with_suffix("")
            place = f"src/{module}.py"
            mutated = _mutated(tree / "modules", place, path.read_text("utf-8"))
            if (tree / place).read_text("utf-8") != mutated["code"]:
                (tree / place).write_text(mutated["code"], "utf-8")
            name_of_module = ".".join(module.parts).removesuffix(".__init__")
            lines = mutated["code"].splitlines()
            for name, (start, end) in mutated["spans"].items():
                self._sources[f"{name_of_module}.{name}"] = lines[start - 1 : end]
            for name in mutated["mutants"]:
                self.mutants[f"{name_of_module}.{name}"] = mutated["hashes"][name.partition("__mutmut_")[0]]

    def change(self, name: str) -> str:
        """The lines that the mutant removes and adds."""
        original = self._sources[name.partition("__mutmut_")[0] + "__mutmut_orig"]
        lines = difflib.unified_diff(original[1:], self._sources[name][1:], n=0, lineterm="")
        return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _mutated(folder: Path, place: str, source: str) -> dict[str, Any]:
    """What mutmut makes of a module; kept in the folder, for it takes seconds."""
    kept = folder / f"{hashlib.sha256((place + source).encode()).hexdigest()}.json"
    if not kept.exists():
        mutated = mutate_file_contents(place, source)
        spans = {name: (span.start, span.end) for name, span in mutated.line_span_by_function_name.items()}
        kept.parent.mkdir(exist_ok=True)
        told = {"code": mutated.code, "mutants": list(mutated.mutant_names), "spans": spans}
        kept.write_text(json.dumps({**told, "hashes": dict(mutated.hash_by_function_name)}), "utf-8")
    return dict(json.loads(kept.read_text("utf-8")))


class Verdicts:
    """What became of each mutant, in a file that only grows."""

    def __init__(self, mutants: dict[str, str], path: Path) -> None:
        self.of: dict[str, str] = {}
        self._mutants = mutants
        self._path = path
        for line in self._path.read_text("utf-8").splitlines() if self._path.exists() else ():
            name, function_hash, verdict, _killer = json.loads(line)
            if mutants.get(name) == function_hash:
                self.of[name] = verdict

    def add(self, name: str, verdict: str, killer: str) -> None:
        """Keep it; a survivor stays one until it is killed."""
        self.of[name] = verdict
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, self._mutants[name], verdict, killer]) + "\n")


def in_tree(subject: Subject, tests: Iterable[str], plugin: object) -> None:
    """Run pytest on the tree's tests with this plugin."""
    left_out = [f"--deselect={test}" for test in subject.left_out]
    ended = pytest.main([*PYTEST, "-p", "no:cacheprovider", *left_out, *tests], [plugin])
    if ended != pytest.ExitCode.OK:
        sys.exit("the tests fail without a mutation")


def seconds_of_processor() -> float:
    """Of this process and of those it has waited for."""
    return sum(os.times()[:4])


def have_random_tests_repeat(examples: int) -> None:
    """Have them do the same in each process, so many examples, and not look for a smaller one that fails."""
    settings.register_profile(
        "mutation",
        settings(),
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
    )
    settings.load_profile("mutation")


@dataclass
class Reach:
    """Which functions each test calls, and the seconds it takes."""

    examples: int
    functions: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _called: set[str] = field(default_factory=set)

    def wrap(self, mutants: dict[str, Any], is_classmethod: bool = False) -> Callable[[Any], Any]:
        """In place of mutmut's decorator."""

        def wrapped(function: Any) -> Any:
            @functools.wraps(function)
            def told(*args: Any, **kwargs: Any) -> Any:
                self._called.add(name_of(mutants))
                return function(*args, **kwargs)

            return told

        return wrapped

    def pytest_collection(self) -> None:
        """Have random tests do what they do for mutants."""
        have_random_tests_repeat(self.examples)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Watch one test."""
        self._called.clear()
        began = seconds_of_processor()
        result = yield
        self.seconds[item.nodeid] = seconds_of_processor() - began
        self.functions[item.nodeid] = sorted(self._called)
        return result


def name_of(mutants: dict[str, Any]) -> str:
    """The function that these are mutants of, as mutmut names it."""
    original = mutants["_mutmut_orig"]
    return f"{original.__module__}.{original.__name__.removesuffix('__mutmut_orig')}"


def measured(subject: Subject, tests: Iterable[str], seconds_max: float) -> Reach:
    """Run tests once without a mutation, unless that was done; keep those that are quick enough."""
    tree = subject.tree
    modules = sorted((tree / "src" / subject.folder).rglob("*.py"))
    core = hashlib.sha256(b"".join(path.read_bytes() for path in modules)).digest()
    digests = {
        str(path.relative_to(tree)): hashlib.sha256(core + path.read_bytes()).hexdigest()
        for path in sorted(tree.rglob("test_*.py"))
        if any(path.is_relative_to(tree / chosen) for chosen in tests)
    }
    place = tree / "reach.json"
    known = json.loads(place.read_text("utf-8")) if place.exists() else {}
    fresh = [file for file, digest in digests.items() if file not in known or known[file]["digest"] != digest]
    if fresh:
        child = os.fork()
        if not child:
            reach = Reach(subject.examples)
            vars(trampoline)["wrap_in_trampoline"] = reach.wrap
            in_tree(subject, fresh, reach)
            for file in fresh:
                known[file] = {"digest": digests[file], "functions": {}, "seconds": {}}
            for test, seconds in reach.seconds.items():
                entry = known[test.partition("::")[0]]
                entry["functions"][test], entry["seconds"][test] = reach.functions[test], seconds
            place.write_text(json.dumps(known), "utf-8")
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("the tests fail without a mutation")
        known = json.loads(place.read_text("utf-8"))
    found = Reach(subject.examples)
    for file in digests:
        found.functions.update(known[file]["functions"])
        found.seconds.update({test: s for test, s in known[file]["seconds"].items() if s <= seconds_max})
    return found


class Run:
    """Tries mutants in forks of a process that has collected the tests."""

    def __init__(
        self, core: Core, verdicts: Verdicts, reach: Reach, wanted: list[str], processes: int
    ) -> None:
        self._core = core
        self._verdicts = verdicts
        self._reach = reach
        self._wanted = wanted
        self._processes = processes
        self._mutable: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._found: list[tuple[Any, dict[str, Any]]] = []
        self._killers: dict[str, set[str]] = defaultdict(set)
        self._running: dict[int, tuple[str, int]] = {}
        vars(trampoline)["wrap_in_trampoline"] = self._wrap

    def _wrap(self, mutants: dict[str, Any], is_classmethod: bool = False) -> Callable[[Any], Any]:
        """In place of mutmut's decorator: a mutant's code is put into the function itself."""

        def kept(function: Any) -> Any:
            self._found.append((function, mutants))
            return function

        return kept

    def pytest_collection(self) -> None:
        """Have random tests do what they did when they were measured."""
        have_random_tests_repeat(self._reach.examples)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of the tests' own loop."""
        self._mutable = {name_of(mutants): (function, mutants) for function, mutants in self._found}
        tests: dict[str, list[pytest.Item]] = defaultdict(list)
        seconds = self._reach.seconds
        quick = [item for item in session.items if item.nodeid in seconds]
        for item in sorted(quick, key=lambda item: seconds[item.nodeid]):
            for function in self._reach.functions[item.nodeid]:
                tests[function].append(item)
        gc.freeze()
        for done, name in enumerate(self._wanted):
            while len(self._running) >= self._processes:
                self._reap()
            function = name.partition("__mutmut_")[0]
            if function in tests:
                self._start(name, function, tests[function])
            else:
                self._settle(name, "unreached", "")
            if done % 50 == 0:
                print(f"{time.strftime('%H:%M:%S')} {done} of {len(self._wanted)}", flush=True)
        while self._running:
            self._reap()
        return True

    def _start(self, name: str, function: str, tests: list[pytest.Item]) -> None:
        read, write = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child:
            os.close(write)
            self._running[child] = (name, read)
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        self._mutate(name, function)
        killers = self._killers[function]
        for item in sorted(tests, key=lambda item: item.nodeid not in killers):
            seconds = self._reach.seconds[item.nodeid]
            signal.setitimer(signal.ITIMER_VIRTUAL, 1 + 5 * seconds)
            signal.setitimer(signal.ITIMER_REAL, 60 + 20 * seconds)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if item.session.testsfailed:
                os.write(write, item.nodeid.encode())
                os._exit(1)
        os._exit(0)

    def _mutate(self, name: str, function: str) -> None:
        original, mutants = self._mutable[function]
        mutant = mutants[name.rpartition(".")[2]]
        mutant = getattr(mutant, "__func__", mutant)
        original.__code__ = mutant.__code__
        original.__defaults__ = mutant.__defaults__
        original.__kwdefaults__ = mutant.__kwdefaults__

    def _reap(self) -> None:
        child, status = os.wait()
        name, read = self._running.pop(child)
        killer = os.read(read, 4096).decode()
        os.close(read)
        if os.WIFSIGNALED(status):
            self._settle(name, "timeout", "")
        elif os.WEXITSTATUS(status):
            self._killers[name.partition("__mutmut_")[0]].add(killer)
            self._settle(name, "killed", killer)
        else:
            self._settle(name, "survived", "")

    def _settle(self, name: str, verdict: str, killer: str) -> None:
        self._verdicts.add(name, verdict, killer)
        if verdict != "killed":
            print(f"{verdict} {name}\n{self._core.change(name)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
