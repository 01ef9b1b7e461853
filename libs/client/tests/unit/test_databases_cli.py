"""`icn ledger rebuild` and `icn validators postgres` on a platform that does not run: usage and refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from icn_client.platforms import found_network
from icn_localnet.network import Network
from icn_localnet.supervisor import locked

PASSWORD = "known to nobody"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return found_network(tmp_path_factory.mktemp("founded") / "zone", validators=4)


def icn(network: Network | Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr; ``DIR`` is the platform's folder."""
    directory = network if isinstance(network, Path) else network.directory
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "icn_client.cli",
            *(str(directory) if one == "DIR" else one for one in arguments),
        ],
        cwd=directory.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(directory.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_ledger_is_rebuilt_only_of_a_validator_that_there_is(network: Network, tmp_path: Path) -> None:
    command = ("ledger", "rebuild", "--data", "DIR", "--validator")
    for given, status, said in (
        ("4", 2, "--validator: 4, the platform has 4"),
        ("-1", 2, "--validator"),
        ("3", 1, "NO_BLOCKS: validator-3 has no database"),
    ):
        assert icn(network, *command, given)[:2] == (status, "")
        assert said in icn(network, *command, given)[2]
    status, told, said = icn(tmp_path / "none", *command, "0")
    assert (status, told) == (1, "") and "none" in said
    with locked(network.directory):
        status, told, said = icn(network, *command, "0")
    assert (status, told) == (1, "") and "runs; stop it first" in said


def test_a_program_of_postgres_is_run_with_what_it_is_told_and_its_exit_status(network: Network) -> None:
    command = ("validators", "postgres", "--data", "DIR")
    status, told, said = icn(network, *command, "2", "pg_config", "--version")
    assert (status, told) == (1, "") and "has no role icn_administrator yet" in said
    postgres = network.validator_directory(2) / "postgres"
    postgres.mkdir(exist_ok=True)
    (postgres / "passwords.json").write_text(json.dumps({"icn_administrator": PASSWORD}))
    assert icn(network, *command, "2", "pg_config", "--version")[1].startswith("PostgreSQL ")
    status, told, said = icn(network, *command, "2", "psql", "-c", "SELECT 1")
    assert (status, told) == (2, "") and str(postgres / "run") in said, "psql's own status and message"
    assert PASSWORD not in said
    for wrong in ("sh", "../bin/psql", "/bin/sh", ""):
        status, told, said = icn(network, *command, "2", wrong)
        assert (status, told) == (2, "") and "PROGRAM: Postgres in" in said, wrong
    assert icn(network, *command, "4", "psql")[0] == 2
    assert icn(network, *command, "2")[0] == 2
