"""Nothing in the repository knows on which machine it was written."""

from __future__ import annotations

import re
from pathlib import Path

HOMES = re.compile(r"(?<![\w.])(?:/root/|/home/[a-z]|/Users/[A-Za-z]|/work/|/var/folders/|[A-Z]:\\\\Users)")


def machine_paths(text: str) -> list[str]:
    """Lines with a path of somebody's home or workplace."""
    return [line.strip()[:120] for line in text.splitlines() if HOMES.search(line)]


def test_no_file_names_a_path_of_a_machine(root: Path, tracked: list[Path]) -> None:
    found = {}
    for path in tracked:
        if path == Path("tests") / Path(__file__).name:
            continue
        lines = machine_paths((root / path).read_text("utf-8", errors="ignore"))
        if lines:
            found[str(path)] = lines
    assert found == {}


def test_this_rule_can_fail() -> None:
    assert machine_paths('x = "/home/ana/icn"') != []
    assert machine_paths("see https://example.org/home/page and docs/work/x") == []
