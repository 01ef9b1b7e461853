"""The list of planted bugs fits the code as it is; `make mutants` plants them."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
    assert bug.tests
    for test in bug.tests:
        file, *_, function = test.split("::")
        assert f"def {function}(" in (mutants.ROOT / file).read_text("utf-8")


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


PLACE = "libs/some/tests/unit/test_some.py"


@pytest.mark.parametrize(
    ("outcome", "bug", "is_it"),
    [
        ({"failed": [f"{PLACE}::test_it"]}, {}, True),
        ({"failed": [f"{PLACE}::test_it[4-two"]}, {}, True),
        ({"failed": [f"{PLACE}::test_another"]}, {}, False),
        ({"failed": [f"{PLACE}::test_it"], "output": "two final blocks"}, {"says": "final"}, True),
        ({"failed": [f"{PLACE}::test_it"], "output": "KeyError"}, {"says": "final"}, False),
        ({"has_ended": False}, {}, False),
        ({"has_ended": False}, {"hangs": True}, True),
        ({"failed": []}, {"hangs": True}, False),
        ({"failed": []}, {}, False),
    ],
)
def test_a_bug_is_found_by_what_its_entry_names_and_by_nothing_else(
    outcome: dict[str, Any], bug: dict[str, Any], is_it: bool
) -> None:
    failed = tuple(outcome.pop("failed", ()))
    planted = mutants.Bug("a bug", (), (f"{PLACE}::test_it",), **bug)
    assert mutants.Outcome("told", failed, **outcome).finds(planted) is is_it
