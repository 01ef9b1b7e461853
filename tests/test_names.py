"""Modules are named after what they hold."""

from __future__ import annotations

from pathlib import Path

SAY_NOTHING = {"utils", "util", "manager", "managers", "helper", "helpers", "misc", "data", "info"}


def empty_names(paths: list[Path]) -> list[Path]:
    """Python modules and packages whose name could be anything's."""
    return [
        path
        for path in paths
        if path.suffix == ".py"
        and any(set(part.removesuffix(".py").split("_")) & SAY_NOTHING for part in path.parts)
    ]


def test_no_module_is_named_utils_or_manager(tracked: list[Path]) -> None:
    assert empty_names(tracked) == []


def test_this_rule_can_fail() -> None:
    named = [Path("libs/kit/src/icn_kit/string_utils.py"), Path("a/manager/x.py"), Path("a/database.py")]
    assert empty_names(named) == named[:2]
