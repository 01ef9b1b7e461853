"""Tests say what they prove, and prove it."""

from __future__ import annotations

import ast
from pathlib import Path

WORDS_MIN = 2
"""After ``test``: a sentence about behaviour has a subject and a verb."""
CHECKING = ("assert", "check", "expect", "raises", "validate", "verify", "must", "refuse", "reject", "until")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def weak_tests(source: str, elsewhere: frozenset[str] = frozenset()) -> list[str]:
    """Tests whose name is no sentence, and tests that check nothing.

    A call of a function of the same file that checks counts, as does one of ``elsewhere``.
    """
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    checking = elsewhere | checking_functions(functions)
    found = []
    for function in functions:
        if function.name.startswith("test_"):
            if len(function.name.split("_")) - 1 < WORDS_MIN:
                found.append(f"{function.name}: not a sentence")
            if function.name not in checking:
                found.append(f"{function.name}: checks nothing")
    return found


def checking_functions(functions: list[Function]) -> frozenset[str]:
    """Names of functions that check something, themselves or through another of these."""
    checking: frozenset[str] = frozenset()
    while True:
        more = frozenset(function.name for function in functions if checks(function, checking))
        if more == checking:
            return checking
        checking = more


def checks(function: ast.AST, checking: frozenset[str]) -> bool:
    """Whether there is an assert, a ``with raises``, or a call of a function that checks or is named so."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in checking or any(word in name.lower() for word in CHECKING):
                return True
    return False


def test_every_test_is_a_sentence_that_checks_something(root: Path, tracked: list[Path]) -> None:
    files = [path for path in tracked if path.name.startswith("test_") and path.suffix == ".py"]
    assert files
    found = {}
    for path in files:
        shared = [
            root / folder / "conftest.py"
            for folder in path.parents
            if (root / folder / "conftest.py").exists()
        ]
        helpers = [
            node
            for conftest in shared
            for node in ast.walk(ast.parse(conftest.read_text()))
            if isinstance(node, Function)
        ]
        weak = weak_tests((root / path).read_text(), checking_functions(helpers))
        if weak:
            found[str(path)] = weak
    assert found == {}


def test_this_rule_can_fail() -> None:
    assert weak_tests("def test_it():\n    assert True") == ["test_it: not a sentence"]
    assert weak_tests("def test_a_balance_is_kept():\n    print(1)") == [
        "test_a_balance_is_kept: checks nothing"
    ]
    assert weak_tests("def same(a):\n    assert a\n\ndef test_a_balance_is_kept():\n    same(1)") == []
