"""Tests say what they prove, and prove it."""

from __future__ import annotations

import ast
from pathlib import Path

WORDS_MIN = 3
"""After ``test``: a sentence about behaviour has a subject and a verb."""
CHECKING = ("assert", "check", "expect", "raises", "verify", "must", "refuse", "reject")


def weak_tests(source: str) -> list[str]:
    """Tests whose name is no sentence, and tests that check nothing."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            if len(node.name.split("_")) - 1 < WORDS_MIN:
                found.append(f"{node.name}: not a sentence")
            if not checks(node):
                found.append(f"{node.name}: checks nothing")
    return found


def checks(function: ast.AST) -> bool:
    """Whether there is an assert, a ``with raises`` or a call of something named like a check."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if any(word in name.lower() for word in CHECKING):
                return True
    return False


def test_every_test_is_a_sentence_that_checks_something(root: Path, tracked: list[Path]) -> None:
    files = [path for path in tracked if path.name.startswith("test_") and path.suffix == ".py"]
    assert files
    found = {str(path): weak_tests((root / path).read_text()) for path in files}
    assert {path: weak for path, weak in found.items() if weak} == {}


def test_this_rule_can_fail() -> None:
    assert weak_tests("def test_it():\n    assert True") == ["test_it: not a sentence"]
    assert weak_tests("def test_a_balance_is_kept():\n    print(1)") == [
        "test_a_balance_is_kept: checks nothing"
    ]
