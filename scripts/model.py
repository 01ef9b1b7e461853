"""Checks the model of consensus (docs/spec/model/simplex.qnt) by simulation; `make model`.

``python -m scripts.model [NAME ...]`` for some of the checks, ``--traces`` to write the runs again that
services/consensus/tests/unit/test_model_traces.py tells the core.

Needs node 18 or newer and npm, which bring Quint into build/. Seeds are fixed, so two runs of one version of
the model find the same after the same number of samples. The last line is JSON; exit status 1 unless every
check ended as it must: a rule that is broken on purpose must be found out, too.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
MODEL: Final = ROOT / "docs" / "spec" / "model"
BUILD: Final = ROOT / "build" / "model"
TRACES: Final = ROOT / "services" / "consensus" / "tests" / "unit" / "model_traces"
PACKAGE_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
RUN_SECONDS_MAX: Final = 1_800
SIDE_BY_SIDE: Final = 2
"""Quint's simulator uses one core."""

SAFETY: Final = ("agreement", "validity", "oneNotarizedBlockPerView", "noFinalViewIsNullified")
GOALS: Final = (
    "hasTwoFinal",
    "hasFinalOverGap",
    "hasNotarizedAndNullified",
    "hasForgedFinal",
    "hasNamedHeight",
)
"""What some sample of each check that holds must reach."""


@dataclass(frozen=True, slots=True)
class Check:
    """An instance of the model, what is looked at in it, and how long."""

    module: str
    invariants: tuple[str, ...]
    samples: int
    is_broken: bool = False
    """Whether a run that breaks an invariant must be found."""
    steps: int = 60
    seed: int = 1

    @property
    def name(self) -> str:
        """What is looked at where."""
        return self.module if self.invariants == SAFETY else f"{self.module} {' '.join(self.invariants)}"


CHECKS: Final = (
    Check("holds", SAFETY, 200),
    Check("sevenSeats", SAFETY, 60, steps=120),
    Check("lateNullify", SAFETY, 100),
    Check("tooManyLiars", ("agreement",), 500, is_broken=True),
    Check("quorumOfLiars", ("validity",), 500, is_broken=True),
    Check("shortQuorum", ("agreement",), 500, is_broken=True),
    Check("nullifyAfterFinalize", ("agreement",), 2_000, is_broken=True, steps=40),
    Check("finalizeAfterNullify", ("noFinalViewIsNullified",), 2_000, is_broken=True),
    Check("finalizeAfterNullify", ("agreement",), 5_000, is_broken=True),
    Check("gapUnchecked", ("agreement",), 2_000, is_broken=True),
    Check("gapUnchecked", ("validity",), 500, is_broken=True),
)
TRACED: Final = (*GOALS, "hasFinalByProposal", "hasLateBody", "hasRefused")
"""For each, the first run of "holds" that reaches it is written, each from a seed of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a simulation found."""

    is_broken: bool
    samples: int
    steps: int
    """Of the last run written."""
    reached: dict[str, int]
    """Samples that reached each goal."""


def main() -> int:
    """Type-check, then run all checks or those named, or write the traces."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only checks of these modules")
    parser.add_argument("--traces", action="store_true", help="write the runs that the core is told")
    options = parser.parse_args()
    if unknown := set(options.names) - {check.module for check in CHECKS}:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    if (trouble := install()) is not None:
        print(trouble, file=sys.stderr)
        return 1
    quint("typecheck")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        if options.traces:
            TRACES.mkdir(exist_ok=True)
            for line in pool.map(write_trace, TRACED):
                print(line, flush=True)
            return 0
        chosen = [check for check in CHECKS if not options.names or check.module in options.names]
        failed = [name for name in pool.map(report, chosen) if name]
    print(json.dumps({"checks": len(chosen), "failed": failed}))
    return 1 if failed else 0


def install() -> str | None:
    """Bring Quint into build/, at the version and with the hashes of the lock file; why not, if not."""
    if shutil.which("npm") is None:
        return "The model needs node 18 or newer with npm, and npm is not on this machine."
    texts = {name: (MODEL / name).read_text("utf-8") for name in PACKAGE_FILES}
    installed = BUILD / "installed.json"
    if installed.exists() and json.loads(installed.read_text("utf-8")) == texts:
        return None
    BUILD.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (BUILD / name).write_text(text, "utf-8")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=BUILD, check=False).returncode != 0:
        return "npm could not install Quint"
    installed.write_text(json.dumps(texts), "utf-8")
    return None


def quint(command: str, *arguments: str) -> str:
    """What Quint prints about the model.

    Raises:
        SystemExit: neither a success nor a broken invariant.
    """
    program = str(BUILD / "node_modules" / ".bin" / "quint")
    done = subprocess.run(
        [program, command, "simplex.qnt", *arguments],
        cwd=MODEL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0 and "[violation]" not in done.stdout:
        raise SystemExit(done.stdout)
    return done.stdout


def simulate(check: Check, trace: Path, goals: tuple[str, ...] = ()) -> Outcome:
    """Sample runs until one breaks an invariant; that one, or one of the others, is written to a file."""
    printed = quint(
        "run",
        "--backend=typescript",
        f"--main={check.module}",
        f"--max-samples={check.samples}",
        f"--max-steps={check.steps}",
        f"--seed={check.seed}",
        f"--out-itf={trace}",
        "--invariants",
        *check.invariants,
        "--witnesses",
        *(goals or ("hasFinal",)),
    )
    found = re.findall(r"(\w+) was witnessed in (\d+) trace\(s\) out of (\d+) explored", printed)
    states = json.loads(trace.read_text("utf-8"))["states"]
    return Outcome(
        is_broken="[violation]" in printed,
        samples=int(found[0][2]),
        steps=len(states) - 1,
        reached={name: int(count) for name, count, _ in found},
    )


def report(check: Check) -> str:
    """Run a check and print how it ended; its name when it ended as it must not, else nothing."""
    started = monotonic()
    with TemporaryDirectory(prefix="icn-model-") as folder:
        outcome = simulate(check, Path(folder) / "run.itf.json", () if check.is_broken else GOALS)
    if outcome.is_broken:
        text = f"broken by sample {outcome.samples} in {outcome.steps} steps"
    else:
        reached = ", ".join(f"{name} {count}" for name, count in outcome.reached.items())
        text = f"holds in {outcome.samples} samples of {check.steps} steps ({reached})"
    is_well = outcome.is_broken == check.is_broken and (check.is_broken or all(outcome.reached.values()))
    verdict = "ok    " if is_well else "FAILED"
    print(f"{verdict} {check.name}: {text} ({monotonic() - started:.0f} s)", flush=True)
    return "" if is_well else check.name


def write_trace(goal: str) -> str:
    """Write the first run that reaches a goal, as far as the replay looks at it; says how long it is."""
    check = Check("holds", (f"not({goal})",), 2_000, is_broken=True, steps=80, seed=1 + TRACED.index(goal))
    with TemporaryDirectory(prefix="icn-model-") as folder:
        path = Path(folder) / "run.itf.json"
        outcome = simulate(check, path)
        states = json.loads(path.read_text("utf-8"))["states"]
    assert outcome.is_broken, f"no run reaches {goal}"
    lines = ",\n".join(json.dumps(slim(state), separators=(",", ":")) for state in states)
    head = {"format": "ITF", "source": "docs/spec/model/simplex.qnt", "goal": goal, "seed": check.seed}
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", goal.removeprefix("has")).lower()
    text = f'{{"#meta":{json.dumps(head)},\n"vars":["faulty","did","shown"],\n"states":[\n{lines}\n]}}\n'
    (TRACES / f"{name}.itf.json").write_text(text, "utf-8")
    return f"{name}: sample {outcome.samples}, {outcome.steps} steps"


def slim(state: dict[str, Any]) -> dict[str, Any]:
    """Without what the replay does not compare, and with plain integers, which ITF allows."""
    kept = {name.rpartition("::")[2]: value for name, value in state.items()}
    return {name: plain_integers(kept[name]) for name in ("faulty", "did", "shown")}


def plain_integers(value: Any) -> Any:
    """Small integers as JSON has them."""
    if isinstance(value, list):
        return [plain_integers(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "#bigint" in value:
        return int(value["#bigint"])
    return {key: plain_integers(item) for key, item in value.items()}


if __name__ == "__main__":
    sys.exit(main())
