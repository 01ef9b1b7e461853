"""A validator's database is restored to an instant: the same root, no vote with what it signed, then level.

Runs the commands of docs/backup.md as they stand there; then makes the restored ledger anew from its blocks.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn_client.connection import NetworkFile
from icn_client.platforms import found_network
from icn_client.status import NetworkStatus, read_status
from icn_localnet import supervisor
from icn_localnet.network import Network, NetworkOptions
from icn_localnet.platform import PARTS_OF_A_SEAT, RunningPlatform, launch
from icn_localnet.postgres import DATABASE, PostgresServer

from e2e.pages import run_step, steps_of

N = 3
WAIT_SECONDS = 60.0
NAMES = ("harvest-farm", "sunrise-bakery")
ROOT = "SELECT encode(state_root, 'hex') FROM ledger.blocks"
NEWEST = "SELECT height, encode(state_root, 'hex') FROM ledger.blocks ORDER BY height DESC LIMIT 1"


class Operator:
    """Who has the platform's folder and a folder for backups."""

    def __init__(self, network: Network, home: Path) -> None:
        self.network = network
        self.data = network.directory
        self.seat = network.validator_directory(N)
        self.backup = home / "backup"
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DATA": str(self.data),
            "BACKUP": str(self.backup),
            "N": str(N),
            "PRINCIPAL": network.validators[N].organization,
            "KEY": str(home / "key.json"),
        }

    def shell(self, commands: str, **variables: str) -> str:
        """Commands of the manual, every one of which must succeed."""
        return run_step(commands, {**self.environment, **variables})

    def icn(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "icn_client.cli", *arguments, "--data", str(self.data)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def answer(self, *arguments: str) -> Any:
        done = self.icn(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(self, query: str, seat: int = N) -> list[tuple[Any, ...]]:
        """Rows of a query on a validator's database, as its administrator."""
        server = PostgresServer(self.network.validator_directory(seat) / "postgres")
        with server.connect(DATABASE) as connection:
            return connection.execute(query).fetchall()  # type: ignore[arg-type]

    def log(self) -> str:
        return (self.seat / "validator.log").read_text("utf-8")

    def wait(self, what: str, is_so: Callable[[NetworkStatus], bool]) -> NetworkStatus:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_so(status := asyncio.run(read_status(NetworkFile.load(self.data)))):
            assert time.monotonic() < deadline, (what, status.to_dict())
            time.sleep(0.3)
        return status


def at_rest(status: NetworkStatus) -> bool:
    answers = [one.answer for one in status.validators]
    return None not in answers and len({answer.executed_height for answer in answers if answer}) == 1


@pytest.mark.timeout(600)
def test_a_validator_restored_to_an_instant_has_its_root_follows_with_a_new_key_and_comes_level(
    tmp_path: Path,
) -> None:
    switch_on, base_backup, archive_now, restore, look, new_key = steps_of("backup.md")
    options = NetworkOptions(heartbeat_ms=5_000)
    operator = Operator(found_network(tmp_path / "zone", validators=4, options=options), tmp_path)
    operator.backup.mkdir()
    running = launch(operator.network)
    try:
        operator.shell(switch_on)
        running.hold(f"postgres-{N}")
        running.release(f"postgres-{N}")
        pay = trade(operator)
        pay(5)
        operator.shell(base_backup)
        assert not signing_state(operator) & {path.name for path in operator.backup.rglob("*")}
        pay(7)
        operator.wait("rest", at_rest)
        instant, height, root = instant_of(operator)
        pay(11)
        archive_all(operator, archive_now)

        lose_everything(running, operator)
        operator.shell(restore, INSTANT=instant)
        said_before = len(operator.log())
        come_back(running)
        assert operator.shell(look).split() == [str(height), root]
        assert operator.ask(f"{ROOT} WHERE height = {height}", seat=0) == [(root,)], "as the others have it"
        refuses_its_key(operator, said_before)

        operator.shell(new_key)
        status = operator.wait("rest", lambda now: at_rest(now) and has_left(now, height))
        (level,) = {one.answer.state_root for one in status.validators if one.answer is not None}
        assert [one.answer.is_seated for one in status.validators if one.answer] == [True, True, True, False]
        refused(operator.icn("ledger", "rebuild", "--validator", str(N), "--replace"), "runs; stop it first")
    finally:
        running.stop()
    rebuilt(operator, level)


def trade(operator: Operator) -> Callable[[int], None]:
    """Two accounts, and payments from one to the other."""
    unit = operator.answer("unit", "create", "SEED", "--scale", "0", "--floor", "-1000", "--as", NAMES[0])[
        "unit"
    ]
    opened = [operator.answer("account", "open", "--unit", unit, "--as", name)["account"] for name in NAMES]

    def pay(amount: int) -> None:
        operator.answer("pay", opened[1], str(amount), "--from", opened[0], "--as", NAMES[0])

    return pay


def signing_state(operator: Operator) -> set[str]:
    """Names of files that no backup may hold."""
    found = {path.name for part in ("record", "keys") for path in (operator.seat / part).iterdir()}
    assert {"consensus.json", "consensus.json.log-id"} < found
    return found


def instant_of(operator: Operator) -> tuple[str, int, str]:
    """A time around which nothing was committed, with height and root."""
    while True:
        before = operator.ask(NEWEST)
        time.sleep(0.3)
        ((instant,),) = operator.ask("SELECT clock_timestamp()::text")
        time.sleep(0.3)
        if operator.ask(NEWEST) == before:
            return (instant, *before[0])


def archive_all(operator: Operator, commands: str) -> None:
    """Archive what was written until now."""
    ((file,),) = operator.ask("SELECT pg_walfile_name(pg_current_wal_lsn())")
    operator.shell(commands)
    deadline = time.monotonic() + WAIT_SECONDS
    while not (operator.backup / "wal" / f"{file}.gz").exists():
        assert time.monotonic() < deadline, operator.ask("SELECT * FROM pg_stat_archiver")
        time.sleep(0.3)


def lose_everything(running: RunningPlatform, operator: Operator) -> None:
    """Database, signing record and its note, as a new machine has none."""
    running.lose(N, with_record=True)
    (operator.seat / "keys" / "consensus.json.log-id").unlink()


def come_back(running: RunningPlatform) -> None:
    for part in PARTS_OF_A_SEAT:
        supervisor.release(running.directory, f"{part}-{N}")
    running.wait_until(f"postgres-{N}", "running")


def refuses_its_key(operator: Operator, said_before: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while "not the one that the block store knows of this key" not in operator.log()[said_before:]:
        assert time.monotonic() < deadline, operator.log()[said_before:][-2000:]
        time.sleep(0.3)


def has_left(status: NetworkStatus, height: int) -> bool:
    return all(one.answer is not None and one.answer.executed_height > height for one in status.validators)


def refused(finished: subprocess.CompletedProcess[str], said: str) -> None:
    assert (finished.returncode, finished.stdout) == (1, "")
    assert said in finished.stderr


def rebuilt(operator: Operator, state_root: bytes) -> None:
    """The restored ledger, made anew from the restored blocks and those that came later."""
    command = ("ledger", "rebuild", "--validator", str(N))
    refused(operator.icn(*command), "LEDGER_NOT_EMPTY")
    done = operator.icn(*command, "--replace")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["validator"], found["state_root"]) == (N, state_root.hex())
    assert "the roots are those that they name" in done.stderr
