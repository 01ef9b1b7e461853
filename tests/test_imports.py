"""Benches and campaigns run by hand and seldom: each file must at least import, or a renamed function breaks
it unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

IMPORT_EACH = """
import importlib, json, sys, traceback
sys.path.insert(0, "benches")
found = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as fault:
        found[name] = "".join(traceback.format_exception_only(fault)).strip()
print(json.dumps(found))
"""
"""In a process of its own: a bench may set up logging, collection or a loop for itself. Its path is that of a
script in the folder, with the root behind it."""


def faults_of_imports(names: list[str], root: Path) -> dict[str, str]:
    """What importing each of these modules, from the root, ends with; nothing where it ends well."""
    child = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *names], cwd=root, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    found: dict[str, str] = json.loads(child.stdout.splitlines()[-1])
    return found


def module_of(path: Path) -> str:
    """``benches/ledger/reads.py`` as ``benches.ledger.reads``, a package by its own name; ``benches/run.py``,
    which is run as a script, as ``run``."""
    parts = path.with_suffix("").parts
    if len(parts) == 2:
        return parts[1]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_bench_can_be_imported(root: Path, tracked: list[Path]) -> None:
    benches = [path for path in tracked if path.parts[0] == "benches" and path.suffix == ".py"]
    names = [module_of(path) for path in benches if "tests" not in path.parts]
    assert {"run", "benches.consensus", "benches.ledger.reads"} <= set(names)
    assert faults_of_imports(names, root) == {}


def test_every_script_can_be_imported(root: Path, tracked: list[Path]) -> None:
    names = [
        ".".join(path.with_suffix("").parts)
        for path in tracked
        if path.parts[0] == "scripts" and path.suffix == ".py"
    ]
    assert {"scripts.bad_input", "scripts.kills", "scripts.mutants"} <= set(names)
    assert faults_of_imports(names, root) == {}


def test_this_rule_can_fail(tmp_path: Path) -> None:
    (tmp_path / "benches").mkdir()
    (tmp_path / "benches" / "stale.py").write_text("from json import no_such_name\n")
    (tmp_path / "benches" / "ends.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "benches" / "fine.py").write_text("import json\n")
    found = faults_of_imports(["stale", "ends", "fine", "benches.fine"], tmp_path)
    assert set(found) == {"stale", "ends"}
    assert "no_such_name" in found["stale"]
