"""Where real data lies, outside the repository. Tests that need it are skipped without it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is not a bug: time is measured by the benches.
settings.register_profile("trust", deadline=None)
settings.load_profile("trust")

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A folder of the shared data by name; skips the test where it is missing."""
    root = Path(os.environ.get("ICN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))

    def folder(name: str) -> Path:
        path = root / name
        if not path.is_dir():
            pytest.skip(f"{name} is not at {root}; set ICN_SHARED_DATA")
        return path

    return folder
