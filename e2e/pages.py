"""The commands of a page of the documentation, run as they stand there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_in(text: str) -> list[str]:
    """The blocks of commands (```sh) of Markdown, in order."""
    return _BLOCK.findall(text)


def steps_of(page: str) -> list[str]:
    """Its blocks of commands (```sh), in order; ``page`` is a path within docs."""
    found = blocks_in((DOCS / page).read_text("utf-8"))
    assert found, f"docs/{page} has no commands"
    return found


def run_step(
    commands: str, environment: Mapping[str, str], folder: Path | None = None, seconds_max: float = 120.0
) -> str:
    """What a block printed; each of its commands must succeed. Raises AssertionError with what it said."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    assert done.returncode == 0, (commands, done.stdout, done.stderr)
    return done.stdout
