"""The Makefile is small and explains itself; set-up says clearly what is missing."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

TARGETS_MAX = 25
SENTENCE_LINES = 1


def targets(makefile: str) -> dict[str, str]:
    """Target → its help, empty where there is none."""
    found = re.findall(r"^([a-z][a-z-]*):(?!=)(?:[^#\n]*## (.*)|.*)$", makefile, flags=re.MULTILINE)
    return dict(found)


def test_the_makefile_has_few_targets_and_help_lists_them(root: Path) -> None:
    known = targets((root / "Makefile").read_text())
    assert len(known) <= TARGETS_MAX
    printed = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name, text in known.items():
        if text:
            assert re.search(rf"make {name} +{re.escape(text)}", printed)
    assert {"setup", "run", "demo", "test", "check", "bench", "help"} <= {
        name for name, text in known.items() if text
    }


def test_a_missing_interpreter_gets_one_sentence(root: Path) -> None:
    done = subprocess.run(
        ["make", "setup", "PYTHON=python3-that-is-not-there"],
        cwd=root,
        env={name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    sentence, *rest = done.stderr.splitlines()
    assert sentence.startswith(
        "ICN needs Python 3.11 or newer, and python3-that-is-not-there is not on this machine"
    )
    assert all(re.match(r"make(\[\d+\])?: ", line) for line in rest)


def run_setup_with(preparation: str, root: Path) -> subprocess.CompletedProcess[str]:
    """scripts/setup.py in an interpreter that was changed first."""
    script = str(root / "scripts" / "setup.py")
    program = f"{preparation}\nimport runpy\nrunpy.run_path({script!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )


def test_an_old_python_gets_one_sentence(root: Path) -> None:
    done = run_setup_with("import sys; sys.version_info = (3, 10, 9, 'final', 0)", root)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == SENTENCE_LINES
    assert "ICN needs Python 3.11 or newer" in done.stderr
    assert "is 3.10" in done.stderr


def test_a_python_without_ensurepip_gets_one_sentence(root: Path) -> None:
    hidden = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'ensurepip' else real(name, *rest)"
    )
    done = run_setup_with(hidden, root)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == SENTENCE_LINES
    assert "lacks its module ensurepip" in done.stderr
    assert "python3-venv" in done.stderr


def test_set_up_keeps_to_syntax_that_an_old_python_reads(root: Path) -> None:
    text = (root / "scripts" / "setup.py").read_text()
    assert ast.parse(text, feature_version=(3, 6)).body


def test_these_rules_can_fail() -> None:
    assert targets("a: b ## text\nc:\nX := 1\n") == {"a": "text", "c": ""}
