"""Lock files: every package pinned with hashes, no registry named, one version per package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = (
    "requirements-bootstrap.lock",
    "requirements.lock",
    "requirements-dev.lock",
    "benches/tally/requirements.lock",
    "scripts/fuzzing/requirements.lock",
)


def addresses(text: str) -> list[str]:
    """Lines that name an address or choose an index."""
    return re.findall(r"^.*(?:https?://|--(?:extra-)?index-url|--find-links).*$", text, flags=re.MULTILINE)


def pins(text: str) -> dict[tuple[str, str], str]:
    """Version of each package and environment marker."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))?(?: \\)?$", text, flags=re.MULTILINE
    )
    return {(name.lower(), marker): version for name, version, marker in found}


def without_hash(text: str) -> list[str]:
    """Requirements that are not followed by a SHA-256."""
    blocks = re.split(r"\n(?=\S)", text.strip())
    return [
        block.splitlines()[0]
        for block in blocks
        if not block.startswith("#") and "--hash=sha256:" not in block
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_names_no_registry(root: Path, name: str) -> None:
    assert addresses((root / name).read_text()) == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_pins_every_package_with_a_hash(root: Path, name: str) -> None:
    text = (root / name).read_text()
    assert pins(text)
    assert without_hash(text) == []


def test_running_and_developing_use_the_same_versions(root: Path) -> None:
    running, developing = (pins((root / name).read_text()) for name in LOCKS[1:3])
    # What runs on some machines only may be needed on all of them for developing.
    found = {
        (name, marker): developing.get((name, marker), developing.get((name, ""))) for name, marker in running
    }
    assert found == running


def test_no_lock_file_of_another_tool_is_committed(tracked: list[Path]) -> None:
    assert [path for path in tracked if path.name in ("uv.lock", "poetry.lock", "Pipfile.lock")] == []


def test_the_npm_lock_files_name_no_registry(root: Path, tracked: list[Path]) -> None:
    locks = [path for path in tracked if path.name == "package-lock.json"]
    assert [path for path in locks if '"resolved"' in (root / path).read_text()] == []


def test_these_rules_can_fail() -> None:
    assert addresses("a==1 \\\n    --hash=sha256:0\n--index-url https://example.org\n") != []
    assert without_hash("a==1 \\\n    --hash=sha256:0\nb==2\n") == ["b==2"]
    assert pins("a==1 \\\n    --hash=sha256:0\nb==2 ; sys_platform == 'win32' \\\n") == {
        ("a", ""): "1",
        ("b", "sys_platform == 'win32'"): "2",
    }
