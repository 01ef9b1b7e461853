"""The platform without the accelerator, where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def has_native() -> bool:
    """Whether the accelerator is installed."""
    return importlib.util.find_spec("icn_native") is not None


def without_native(directory: Path) -> Path:
    """A folder that hides the accelerator from who has it in its path."""
    folder = directory / "wheels"
    folder.mkdir()
    (folder / "icn_native.py").write_text('raise ImportError("wheels only")\n')
    return folder
