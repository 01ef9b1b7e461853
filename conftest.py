"""Fixtures of the whole repository, and which tests run on one worker."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's business, which other work may keep busy.
settings.register_profile("icn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("icn")

pytest_plugins = ["icn_localnet.pytest_plugin"]

ON_THE_PLATFORM = ("e2e/", "libs/localnet/tests/integration/test_platform.py")
"""Tests of these run one after another on one worker, so that there is one platform at a time."""


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A folder of official vectors or real data by name; skips the test where it is missing."""
    root = Path(os.environ.get("ICN_SHARED_DATA", Path(__file__).resolve().parent.parent / "shared" / "data"))

    def folder(name: str) -> Path:
        path = root / name
        if not path.is_dir():
            pytest.skip(f"{name} is not at {root}; set ICN_SHARED_DATA")
        return path

    return folder


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """The tests themselves, a million objects, stay: no collection of garbage need walk them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Every test goes to the next free worker, those on the platform to one.

    By path, not by mark: xdist 3.8 writes the group into a private field that pytest 9.2 no longer reads.
    """
    from xdist.scheduler import LoadScopeScheduling

    class PlatformTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "platform" if nodeid.startswith(ON_THE_PLATFORM) else nodeid

    return PlatformTogether(config, log)
