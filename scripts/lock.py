"""Resolves requirements*.in into lock files with hashes and without any registry's address."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKED = (
    "requirements-bootstrap",
    "requirements",
    "requirements-dev",
    "benches/tally/requirements",
    "scripts/fuzzing/requirements",
)


def main() -> None:
    """Write every lock file; the development one is held to the versions of the other."""
    for name in LOCKED:
        command = [str(ROOT / ".venv" / "bin" / "uv"), "pip", "compile", "--quiet", "--universal"]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url"]
        command += ["--python-version", "3.11", f"{name}.in", "--output-file", f"{name}.lock"]
        if name == "requirements-dev":
            command += ["--constraints", "requirements.lock"]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"})


if __name__ == "__main__":
    main()
