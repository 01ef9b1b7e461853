"""Runs every check of the repository side by side and prints what failed; `make check`.

Each check is a command; the exit status is 1 if one of them failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"


@dataclass(frozen=True)
class Check:
    """A command that exits with 0 when all is well."""

    name: str
    command: list[str]


@dataclass(frozen=True)
class Verdict:
    """What became of a check."""

    check: Check
    is_passed: bool
    output: str
    seconds: float


def main() -> int:
    """Run all, report in the order below."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        verdicts = list(pool.map(run, checks()))
    for verdict in verdicts:
        word = "ok    " if verdict.is_passed else "FAILED"
        print(f"{word} {verdict.check.name} ({verdict.seconds:.1f} s)")
    for verdict in verdicts:
        if not verdict.is_passed:
            print(f"\n--- {verdict.check.name}: {' '.join(verdict.check.command)}\n{verdict.output.strip()}")
    return 0 if all(verdict.is_passed for verdict in verdicts) else 1


def checks() -> list[Check]:
    """All checks, the slowest first, so that none is waited for at the end."""
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("libs/*/src"))
    sources += sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("services/*/src"))
    sources += ["benches", "scripts"]
    made = [
        Check("types", [tool("mypy"), *sources]),
        Check("rules about the repository", [tool("pytest"), "-q", "-p", "no:cacheprovider", "tests"]),
        Check("import rules", [tool("lint-imports"), "--no-cache"]),
        Check("lint", [tool("ruff"), "check", "."]),
        Check("format", [tool("ruff"), "format", "--check", "."]),
        Check("protos", [tool("buf"), "lint", "protos"]),
        Check("proto format", [tool("buf"), "format", "--diff", "--exit-code", "protos"]),
    ]
    baseline = proto_baseline()
    if baseline is None:
        print("no earlier commit with protos: nothing to compare them with")
    else:
        against = f".git#ref={baseline},subdir=protos"
        made.append(
            Check("protos stay compatible", [tool("buf"), "breaking", "protos", "--against", against])
        )
    return made


def proto_baseline() -> str | None:
    """The commit whose protos must stay readable: where the branch left origin/main, else HEAD's parent."""
    head = git("rev-parse", "HEAD")
    fork = git("merge-base", "HEAD", "origin/main")
    for commit in (fork if fork != head else None, git("rev-parse", "--verify", "--quiet", "HEAD~1")):
        if commit and git("cat-file", "-t", f"{commit}:protos/buf.yaml") == "blob":
            return commit
    return None


def git(*arguments: str) -> str | None:
    """What git answers; None when it refuses or this is no checkout of git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def tool(name: str) -> str:
    """A program of .venv, so that nothing depends on the caller's PATH."""
    return str(BIN / name)


def run(check: Check) -> Verdict:
    """Run one check to its end."""
    started_at = time.monotonic()
    done = subprocess.run(
        check.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Verdict(check, done.returncode == 0, done.stdout, time.monotonic() - started_at)


if __name__ == "__main__":
    sys.exit(main())
