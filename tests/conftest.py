"""What the rules about the repository look at."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {".git", ".venv", "build", "generated", "node_modules", "target", ".icn"}


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Files of the repository relative to its root: those git knows or would take; all without git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [name.decode() for name in listed.stdout.split(b"\0") if name]
        return [Path(name) for name in names if (ROOT / name).is_file()]
    paths = (path for path in ROOT.rglob("*") if path.is_file() and not path.is_symlink())
    return [path.relative_to(ROOT) for path in paths if not NOT_OURS & set(path.relative_to(ROOT).parts)]
