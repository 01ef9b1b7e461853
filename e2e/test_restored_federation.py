"""All validators are restored from a backup, which has no signing records, and go on at the same root."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import found_network
from icn_client.status import NetworkStatus, read_status
from icn_localnet import supervisor
from icn_localnet.hosted import last_words
from icn_localnet.network import Network, NetworkOptions
from icn_localnet.platform import RunningPlatform, launch

NAMES = ("harvest-farm", "sunrise-bakery", "riverside-housing", "wheelwright-workshop")
WAIT_SECONDS = 60.0

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a platform of its own lives."""
    home = tmp_path_factory.mktemp("restored")
    yield found_network(home / "zone", validators=4, options=NetworkOptions(heartbeat_ms=2_000)).directory


@pytest.fixture
def icn(directory: Path) -> Run:
    """Run a command on the platform."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "icn_client.cli", *arguments, "--data", str(directory)],
            cwd=directory.parent,
            env={**os.environ, "HOME": str(directory.parent)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    return run


def done(finished: subprocess.CompletedProcess[str]) -> Any:
    """The JSON object of a command that must succeed."""
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def refused(finished: subprocess.CompletedProcess[str], reason: str) -> None:
    assert finished.returncode == 1 and reason in finished.stderr, (finished.returncode, finished.stderr)


def standing(directory: Path) -> NetworkStatus:
    return asyncio.run(read_status(NetworkFile.load(directory)))


def wait(directory: Path, what: str, is_so: Callable[[NetworkStatus], bool]) -> NetworkStatus:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so(status := standing(directory)):
        assert time.monotonic() < deadline, (what, status.to_dict())
        time.sleep(0.3)
    return status


def at_rest(status: NetworkStatus) -> bool:
    answers = [one.answer for one in status.validators]
    heights = {answer.executed_height for answer in answers if answer is not None}
    return None not in answers and len(heights) == 1


def back_up(directory: Path, copy: Path) -> None:
    """Everything but the signing records, while nothing runs."""
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("record", "*.log-id"), symlinks=True)


def restore(directory: Path, copy: Path) -> None:
    shutil.rmtree(directory)
    shutil.copytree(copy, directory, symlinks=True)


def test_all_four_restored_from_backup_go_on_at_the_same_root(
    directory: Path, icn: Run, tmp_path: Path
) -> None:
    network = Network.load(directory)
    running = launch(network)
    unit = done(
        icn("unit", "create", "SEED", "--scale", "0", "--floor", "-1000", "--as", NAMES[0], "--json")
    )["unit"]
    accounts = [
        done(icn("account", "open", "--unit", unit, "--as", name, "--json"))["account"] for name in NAMES[:2]
    ]

    def pay(amount: int) -> None:
        done(icn("pay", accounts[1], str(amount), "--from", accounts[0], "--as", NAMES[0], "--json"))

    pay(5)
    before = wait(directory, "rest", at_rest)
    running.stop()
    back_up(directory, tmp_path / "backup")
    running = launch(Network.load(directory))
    pay(7)
    running.stop()
    old_keys = [
        (directory / f"validator-{seat}" / "keys" / "consensus.json").read_bytes() for seat in range(4)
    ]
    restore(directory, tmp_path / "backup")

    offers = []
    for seat, validator in enumerate(network.validators):
        key = directory.parent / f"key-{seat}.json"
        named = ("--for", validator.organization, "--genesis", str(network.genesis_path))
        made = icn("validators", "key", "new", *named, "--out", str(key))
        offer = directory.parent / f"offer-{seat}.json"
        offer.write_text(json.dumps(done(made)))
        offers.append(offer)
        done(icn("validators", "key", "use", str(key), "--validator", str(seat), "--json"))
    running = launch(Network.load(directory))
    try:
        recover(directory, icn, offers, before)
        pay(11)
        account = done(icn("account", "show", accounts[0], "--json"))
        assert account["balance_minor"] == "-16", "what was paid after the backup is lost, and nothing else"
        check_proof(icn, accounts[0], tmp_path / "proof.json")
        old_key_does_nothing(directory, icn, running, old_keys)
    finally:
        running.stop()


def recover(directory: Path, icn: Run, offers: list[Path], before: NetworkStatus) -> None:
    """The operator prepares, three organizations sign, and the chain goes on."""
    status = wait(directory, "rest", at_rest)
    answers = [one.answer for one in status.validators if one.answer is not None]
    assert not any(answer.is_seated for answer in answers), "keys that no set names only follow"
    file = str(directory.parent / "recovery.json")
    given = [argument for offer in offers for argument in ("--offer", str(offer))]
    refused(icn("validators", "recovery", "prepare", file, *given[:-2]), "OFFERS_MISMATCH")
    terms = done(icn("validators", "recovery", "prepare", file, *given, "--json"))
    assert terms["state_root"] == answers[0].state_root.hex()
    reached = [one.answer.final_height for one in before.validators if one.answer is not None]
    assert int(terms["height"]) >= max(reached)
    refused(icn("validators", "recovery", "prepare", file, *given), "exists")
    for name in NAMES[:2]:
        done(icn("validators", "recovery", "sign", file, "--as", name, "--json"))
    refused(icn("validators", "recovery", "submit", file), "2 of 4 organizations have signed, 3 must")
    shown = done(icn("validators", "recovery", "sign", file, "--as", NAMES[2], "--json"))
    assert shown["complete"] and done(icn("validators", "recovery", "show", file, "--json")) == shown
    begun = done(icn("validators", "recovery", "submit", file, "--json"))
    assert [one["state"] for one in begun["validators"]] == ["begun"] * 4
    epoch = int(begun["epoch"])
    after = wait(
        directory,
        "blocks of the new epoch",
        lambda now: all(
            one.answer is not None and one.answer.final_height > int(terms["height"])
            for one in now.validators
        ),
    )
    for one in after.validators:
        assert one.answer is not None and one.answer.epoch == epoch and one.answer.is_seated
    check_first_block(directory, terms)


def check_first_block(directory: Path, terms: dict[str, Any]) -> None:
    """It names the root that all had before."""
    from icn.consensus.v1.block_pb2 import BlockHeader

    async def read() -> bytes:
        async with Connection(NetworkFile.load(directory)) as connection:
            block = await connection.block_at(connection.network.validators[0], int(terms["height"]) + 1)
            assert block is not None
            return bytes(block.header)

    header = BlockHeader.FromString(asyncio.run(read()))
    assert header.state_root.hex() == terms["state_root"]
    assert header.executed_height == int(terms["height"]) and header.epoch == int(terms["epoch"])


def check_proof(icn: Run, account: str, file: Path) -> None:
    """From genesis, across the recovery."""
    fetched = icn("proof", "fetch", f"accounts/{account}", "--out", str(file))
    assert fetched.returncode == 0, fetched.stderr
    assert "recovery" in json.loads(file.read_bytes())["epochs"][0]
    genesis = str(file.parent / "backup" / "genesis.json")
    verified = subprocess.run(
        [sys.executable, "-m", "icn_client.cli", "proof", "verify", str(file), "--genesis", genesis],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert verified.returncode == 0 and json.loads(verified.stdout)["valid"], verified.stdout


def old_key_does_nothing(directory: Path, icn: Run, running: RunningPlatform, old_keys: list[bytes]) -> None:
    """Neither the command takes the key of before, nor does a validator vote that is given it by hand."""
    old = directory.parent / "old.json"
    old.write_bytes(old_keys[3])
    refused(icn("validators", "key", "use", str(old), "--validator", "3"), "holds the same key")
    running.hold("validator-3")
    seat = directory / "validator-3"
    kept = directory.parent / "kept"
    kept.mkdir()
    for path in (seat / "keys" / "consensus.json", seat / "keys" / "consensus.json.log-id", seat / "record"):
        shutil.move(path, kept / path.name)
    (seat / "keys" / "consensus.json").write_bytes(old_keys[3])
    supervisor.release(directory, "validator-3")
    deadline = time.monotonic() + WAIT_SECONDS
    while "not the one that the block store knows of this key" not in last_words(seat / "validator.log"):
        assert time.monotonic() < deadline, last_words(seat / "validator.log")
        time.sleep(0.3)
    running.hold("validator-3")
    shutil.rmtree(seat / "record")
    for path in kept.iterdir():
        shutil.move(path, (seat if path.name == "record" else seat / "keys") / path.name)
    running.release("validator-3")
    assert wait(directory, "rest", at_rest).validators[3].state == "ok"
