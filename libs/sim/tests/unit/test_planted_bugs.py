"""The list of planted bugs fits the code as it is; `make mutants` plants them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def load_script(name: str) -> ModuleType:
    """A program of the repository that is no part of any package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[4] / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = load_script("mutants")
BUGS = {bug.name: bug for bug in mutants.read_bugs()}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_still_fits(name: str) -> None:
    bug = BUGS[name]
    texts: dict[str, str] = {}
    for edit in bug.edits:
        before = texts.get(edit.file) or (mutants.ROOT / edit.file).read_text("utf-8")
        texts[edit.file] = edit.apply(before)
        assert texts[edit.file] != before
    for text in texts.values():
        ast.parse(text)
    assert all((mutants.ROOT / test).exists() for test in bug.tests)


def test_a_bug_that_does_not_fit_leaves_the_tree_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "rule.py"
    file.write_text("a = 1\nb = 1\n")
    wrong = mutants.Bug(
        "wrong", (mutants.Edit("rule.py", "a = 1", "a = 2"), mutants.Edit("rule.py", "c = 1", "c = 2")), ()
    )
    with pytest.raises(ValueError, match="has 0 times, not once"):
        wrong.plant(tmp_path)
    twice = mutants.Bug("twice", (mutants.Edit("rule.py", "= 1", "= 2"),), ())
    with pytest.raises(ValueError, match="has 2 times, not once"):
        twice.plant(tmp_path)
    assert file.read_text() == "a = 1\nb = 1\n"
    right = mutants.Bug("right", (mutants.Edit("rule.py", "a = 1", "a = 2"),), ())
    assert right.plant(tmp_path) == {file: "a = 1\nb = 1\n"}
    assert file.read_text() == "a = 2\nb = 1\n"
