"""Another protocol version in a zone with live data: activated, missed by an older release, and caught up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from icn_client.connection import Connection, NetworkFile
from icn_client.platforms import found_network
from icn_client.replay import agreed_root
from icn_localnet.network import NetworkOptions
from icn_localnet.platform import launch

from e2e.waiting import until

PAGE = Path(__file__).resolve().parent.parent / "docs/operating/upgrade.md"
EPOCH_MS = 60_000
"""The shortest."""
NAMES = ("harvest-farm", "sunrise-bakery", "riverside-housing", "wheelwright-workshop")
OLDER_RELEASE = '''
"""Makes the process of a validator that has a mark one of a release that knows protocol version 1 alone."""
import sys
from pathlib import Path

configuration = Path(sys.orig_argv[-1])
if configuration.name == "validator.json" and (Path(__file__).parent / configuration.parent.name).exists():
    from icn_chain import protocols

    del protocols.KNOWN_PROTOCOLS[2]
    protocols.NEWEST_PROTOCOL = 1
'''


class Releases:
    """Which validators are of an older release at their next start."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(OLDER_RELEASE)
        self.folder = folder

    def age(self, seat: int) -> None:
        (self.folder / f"validator-{seat}").touch()

    def renew(self, seat: int) -> None:
        (self.folder / f"validator-{seat}").unlink()


def health(address: str) -> str:
    """What a validator's ``/healthz`` says; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/healthz", timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


async def same_root(directory: Path, height: int) -> bytes:
    async with Connection(NetworkFile.load(directory)) as connection:
        return await agreed_root(connection, height)


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(600)
def test_an_older_release_stops_at_the_edge_and_catches_up_after_its_upgrade(
    icn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = Releases(tmp_path / "releases")
    monkeypatch.setenv("PYTHONPATH", str(releases.folder))
    network = found_network(
        tmp_path / "zone",
        validators=4,
        options=NetworkOptions(epoch_ms=EPOCH_MS, heartbeat_ms=2_000, protocol_version=1),
    )
    for seat in (2, 3):
        releases.age(seat)
    running = launch(network)
    monkeypatch.delenv("PYTHONPATH")

    def answer(*arguments: str) -> Any:
        done = icn(*arguments, "--json", "--data", str(network.directory))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stands(seat: int) -> Any:
        return answer("status")["validators"][seat]

    def restart(seat: int) -> None:
        running.kill_process(f"validator-{seat}")

    try:
        unit = answer("unit", "create", "SEED", "--scale", "0", "--floor", "-1000", "--as", NAMES[0])["unit"]
        first, second = (
            answer("account", "open", "--unit", unit, "--as", one)["account"] for one in NAMES[:2]
        )
        pay = ("pay", second, "1", "--from", first, "--as", NAMES[0])
        answer(*pay)

        ready = answer("protocol", "status")
        assert (ready["in_force"], ready["next"]) == (1, 1)
        assert [seat["newest"] for seat in ready["seats"]] == [2, 2, 1, 1]
        data = ("--data", str(network.directory))
        unready = icn("protocol", "activate", "2", *data)
        assert unready.returncode == 1
        assert "2 of 4 seats are not known to decide by version 2: seat 2 (1), seat 3 (1)" in unready.stderr
        skipped = icn("protocol", "activate", "3", "--force", *data)
        assert (skipped.returncode, "version 3 is named, 1 is in force" in skipped.stderr) == (1, True)
        shown = PAGE.read_text("utf-8")
        assert all(f"\nicn {command}\n" in shown for command in ("protocol status", "protocol activate 2"))
        answer("protocol", "activate", "2", "--force")
        assert (ready["in_force"], answer("protocol", "status")["next"]) == (1, 2)
        again = icn("protocol", "activate", "2", "--force", *data)
        assert (again.returncode, "PROTOCOL_PENDING" in again.stderr) == (1, True)

        until(lambda: stands(2), lambda shown: shown["state"] == "halted", seconds=150)
        halted = until(lambda: stands(3), lambda shown: shown["state"] == "halted", seconds=30)
        height = halted["final_height"]
        sentence = (
            f"protocol version 2 is in force from height {height + 1} on; this release knows 1: upgrade icn"
        )
        assert halted["halted"] == sentence
        assert sentence in health(network.validators[3].metrics), "it is not ready, and says why"
        assert sentence in icn("status", *data).stdout
        (report,) = [
            line
            for line in (network.validator_directory(3) / "validator.log").read_text().splitlines()
            if "protocol_unknown" in line
        ]
        assert sentence in report
        assert stands(0)["protocol_version"] == 2
        assert stands(0)["final_height"] == height, "two of four are no quorum"

        releases.renew(2)
        restart(2)
        until(lambda: stands(0), lambda shown: shown["final_height"] > height, seconds=60)
        answer(*pay)
        assert stands(3)["final_height"] == height

        releases.renew(3)
        restart(3)
        paid = answer(*pay)
        until(lambda: stands(3), lambda shown: shown["final_height"] >= paid["height"], seconds=60)
        assert asyncio.run(same_root(network.directory, paid["height"]))
        assert [seat["newest"] for seat in answer("protocol", "status")["seats"]] == [2] * 4

        releases.age(3)
        running_as_new = running.pid("validator-3")
        assert running_as_new is not None
        os.kill(running_as_new, signal.SIGKILL)
        log = network.validator_directory(3) / "validator.log"
        refusal = "in this database is of protocol version 2; this release knows 1: upgrade icn"
        until(log.read_text, lambda text: refusal in text, seconds=60)
        answer(*pay)
        releases.renew(3)
        paid = answer(*pay)
        running.wait_until("validator-3", "running")
        until(lambda: stands(3), lambda shown: shown.get("final_height", 0) >= paid["height"], seconds=60)
        assert asyncio.run(same_root(network.directory, paid["height"]))

        fetched = icn("proof", "fetch", f"accounts/{first}", "--out", "proof.json", *data)
        assert fetched.returncode == 0, fetched.stderr
    finally:
        running.stop()
    genesis = str(network.genesis_path)
    found = json.loads(icn("proof", "verify", "proof.json", "--genesis", genesis).stdout)
    assert found["valid"] is True and found["epochs"] >= 1
    assert found["statement"]["balance_minor"] == "-5"
