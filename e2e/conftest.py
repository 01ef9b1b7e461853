"""What the stories share: the `icn` command, and the session's platform with its founders' keystores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn_client.keystore import SCRYPT_LOG2_N_MACHINE_MADE, Identity, make_machine_passphrase
from icn_client.platforms import founder_slug, founders_keystore
from icn_client.transactions import KeyPair

Icn = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def icn(tmp_path: Path) -> Icn:
    """Run the command with a home of its own."""

    def run(*arguments: str, seconds: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "ICN_DATA"},
            "HOME": str(tmp_path),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "ICN_KEYSTORE": str(tmp_path / "keys"),
            "ICN_PASSPHRASE": "a passphrase for tests",
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-m", "icn_client.cli", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def federation(platform: Any) -> Any:
    """The session's platform; its founders' identities stand in the keystore where `icn` looks for them."""
    store = founders_keystore(platform.directory)
    if not store.names():
        passphrase = make_machine_passphrase(store.folder)
        for founder in platform.founders:
            identity = Identity(
                founder_slug(founder.founder.name),
                founder.founder.principal,
                founder.founder.threshold,
                (KeyPair(founder.keys.values()),),
            )
            store.add(identity, passphrase, SCRYPT_LOG2_N_MACHINE_MADE)
    return platform


@pytest.fixture
def answer(icn: Icn, federation: Any) -> Callable[..., Any]:
    """Run a command on the federation that must succeed, and return its one JSON object."""

    def run(*arguments: str, **variables: str) -> Any:
        done = icn(*arguments, "--data", str(federation.directory), "--json", **variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
