"""A cooperative's own validator on a machine of its own: docs/operating/join.md, as it is written.

The two machines are network namespaces with the addresses of the page. Its blocks marked ``host`` run in the
one, those marked ``cooperative`` in the other; files go from one folder to the other as the page says.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from icn_client.platforms import found_network
from icn_localnet import files
from icn_localnet.certificates import Authority, read_request
from icn_localnet.network import NetworkOptions
from icn_localnet.platform import RunningPlatform

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operating" / "join.md"
BLOCK = re.compile(r"^```(host|cooperative)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LASTING = ("icn up", "icn validator join")
EPOCH_MS = 60_000
COMMAND_SECONDS_MAX = 120
HEAR_SECONDS_MAX = 180
"""A platform that starts on a busy machine; an epoch, and its edge."""
ADDRESSES = {"host": "192.0.2.1", "cooperative": "192.0.2.2"}


@dataclass
class Machine:
    """A network namespace with a folder; where it has no name, this machine as it is."""

    name: str
    folder: Path
    environment: dict[str, str]
    lasting: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, line: str) -> list[str]:
        inside = ["ip", "netns", "exec", self.name] if self.name else []
        return [*inside, "bash", "-c", line]

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line of the page, to its end."""
        return subprocess.run(
            self.command(line),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )

    def start(self, line: str) -> subprocess.Popen[bytes]:
        """One that runs on; what it says is in ``said``."""
        with (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(
                self.command(f"exec {line}"),
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.lasting.append(process)
        return process

    def said(self) -> str:
        return (self.folder / "said").read_text("utf-8")

    def icn(self, *words: str) -> Any:
        done = self.run(" ".join(("icn", *words, "--json")))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> None:
        for process in self.lasting:
            if process.poll() is None:
                process.terminate()
        for process in self.lasting:
            process.wait(COMMAND_SECONDS_MAX)


@pytest.fixture
def make_machine(tmp_path: Path) -> Callable[[str, str], Machine]:
    """A machine in a folder of this name, and a network namespace of that."""
    program = tmp_path / "bin" / "icn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m icn_client.cli "$@"\n')
    program.chmod(0o755)

    def make(kind: str, name: str) -> Machine:
        folder = tmp_path / kind
        folder.mkdir()
        own = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "ICN_KEYSTORE": str(folder / "keys"),
            "ICN_PASSPHRASE": "a passphrase for tests",
        }
        told = {key: value for key, value in os.environ.items() if key != "ICN_DATA"}
        return Machine(name, folder, {**told, **own})

    return make


@pytest.fixture
def machines(make_machine: Callable[[str, str], Machine]) -> Iterator[dict[str, Machine]]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces are made by root with the program `ip` (iproute2)")
    names = {kind: f"icn-{os.getpid()}-{kind[0]}" for kind in ADDRESSES}
    made = subprocess.run(["ip", "netns", "add", names["host"]], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {made.stderr.strip()}")
    found: dict[str, Machine] = {}
    try:
        subprocess.run(["ip", "netns", "add", names["cooperative"]], check=True)
        ends = [f"icn{os.getpid()}{kind[0]}" for kind in ADDRESSES]
        pair = ["ip", "-n", names["host"], "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]]
        subprocess.run([*pair, "netns", names["cooperative"]], check=True)
        for (kind, address), end in zip(ADDRESSES.items(), ends, strict=True):
            inside = ["ip", "-n", names[kind]]
            subprocess.run([*inside, "addr", "add", f"{address}/24", "dev", end], check=True)
            for device in (end, "lo"):
                subprocess.run([*inside, "link", "set", device, "up"], check=True)
            found[kind] = make_machine(kind, names[kind])
        yield found
    finally:
        for machine in reversed(found.values()):
            machine.stop()
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], check=False)


def read_page() -> list[tuple[str, str]]:
    """The page's lines of shell, each with the machine it is for."""
    return [
        (machine, line)
        for machine, block in BLOCK.findall(PAGE.read_text("utf-8"))
        for line in block.splitlines()
    ]


def carry(machines: dict[str, Machine]) -> None:
    """What the page has people send, as far as it is there."""
    for sender, path in (
        ("host", "zone/genesis.json"),
        ("cooperative", "public.json"),
        ("cooperative", "seat/offer.json"),
        ("cooperative", "seat/request.pem"),
        ("host", "admission.json"),
    ):
        receiver = "host" if sender == "cooperative" else "cooperative"
        source = machines[sender].folder / path
        if source.is_file():
            shutil.copy(source, machines[receiver].folder / source.name)


@pytest.mark.long
@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(900)
def test_a_validator_on_another_machine_gets_a_seat_and_takes_part_as_the_page_says(
    machines: dict[str, Machine],
) -> None:
    host, cooperative = machines["host"], machines["cooperative"]
    found_zone_with_short_epochs(host)
    lines = read_page()
    assert {machine for machine, _ in lines} == set(machines)
    for machine, written in lines:
        carry(machines)
        public = cooperative.folder / "public.json"
        principal = json.loads(public.read_text())["principal"] if public.is_file() else ""
        line = written.replace("PRINCIPAL", principal)
        if line.startswith(LASTING):
            machines[machine].start(line)
            wait_to_hear(machines[machine], "ready: " if line.startswith("icn up") else "follows at height")
        else:
            done = machines[machine].run(line)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    wait_to_hear(cooperative, "takes part as seat 4 of epoch")

    # With one of the other four away its vote is needed: the quorum of five is four.
    platform = RunningPlatform(host.folder / "zone")
    platform.hold("validator-3")
    create_unit(host, "ONE")
    cooperative.lasting[-1].kill()
    cooperative.lasting[-1].wait()
    cooperative.start("icn validator join seat")
    wait_to_hear(cooperative, "takes part as seat 4 of epoch")
    create_unit(host, "TWO")
    mine, *others = cooperative.icn("status", "--data", "seat")["validators"]
    assert mine["state"] == "ok"
    assert mine["executed_height"] > 0
    assert [one["state"] for one in others].count("away") == 1

    refuse_bad_input(machines)
    stop_by_hand(cooperative)
    start_with_nobody_there(cooperative)


def wait_to_hear(machine: Machine, words: str) -> None:
    deadline = time.monotonic() + HEAR_SECONDS_MAX
    while words not in machine.said():
        assert time.monotonic() < deadline, machine.said()
        assert machine.lasting[-1].poll() is None, machine.said()
        time.sleep(0.2)


def found_zone_with_short_epochs(host: Machine) -> None:
    """Where `icn up` finds it; a day's epoch would be too long for a test."""
    found_network(host.folder / "zone", validators=4, options=NetworkOptions(epoch_ms=EPOCH_MS))


def create_unit(host: Machine, name: str) -> None:
    """A transaction, which ends only when it is final."""
    made = host.icn("unit", "create", name, "--as", "sunrise-bakery", "--data", "zone")
    assert made["height"] > 0


def stop_by_hand(machine: Machine) -> None:
    process = machine.lasting[-1]
    process.send_signal(signal.SIGINT)
    assert process.wait(COMMAND_SECONDS_MAX) == 0
    assert machine.said().endswith("stopped\n")


def start_with_nobody_there(cooperative: Machine) -> None:
    """As after a power cut that hit all: it says what to look at, and waits for the others."""
    admission = json.loads((cooperative.folder / "third.json").read_text())
    for one in admission["validators"]:
        one["consensus"] = "192.0.2.1:9"
    (cooperative.folder / "nobody.json").write_text(json.dumps(admission))
    cooperative.start("icn validator join third --admission nobody.json")
    wait_to_hear(cooperative, "no other validator is connected; trying again")
    assert "4 of 4 validators are not reached (192.0.2.1:9: connection refused" in cooperative.said()
    stop_by_hand(cooperative)


def refuse_bad_input(machines: dict[str, Machine]) -> None:
    """What is wrong is said in a sentence, and nothing is started."""
    host, cooperative = machines["host"], machines["cooperative"]
    taken = cooperative.run("icn validator join seat")
    assert (taken.returncode, "is running already" in taken.stderr) == (1, True), taken.stderr

    principal = json.loads((cooperative.folder / "public.json").read_text())["principal"]
    ports = "--consensus-port 17001 --ledger-port 17002"
    made = f"--genesis genesis.json --for {principal} --host 192.0.2.2"
    for folder, more in (("second", ""), ("third", ports)):
        assert cooperative.run(f"icn validator init {folder} {made} {more}").returncode == 0
        shutil.copy(cooperative.folder / folder / "request.pem", host.folder / "request.pem")
        admitted = host.run("icn validators admit request.pem --data zone")
        (cooperative.folder / f"{folder}.json").write_text(admitted.stdout)
    taken = cooperative.run("icn validator join second --admission second.json")
    assert taken.returncode == 1
    assert "cannot listen on 0.0.0.0:7001 and 0.0.0.0:7002" in taken.stderr

    good = json.loads((cooperative.folder / "third.json").read_text())
    foreign = Authority(cooperative.folder / "authority")
    foreign.ensure("Another zone")
    request = read_request((cooperative.folder / "third" / "request.pem").read_bytes())
    signed = {
        "certificate": foreign.certify(request).decode("ascii"),
        "authority": foreign.certificate.read_text("ascii"),
    }
    both = {**signed, "authority": signed["authority"] + good["authority"]}
    other_zone = json.loads((host.folder / "zone" / "genesis.json").read_text())
    other_zone["zone"] = "Another zone"
    (cooperative.folder / "other.json").write_text(json.dumps(other_zone))
    for change, sentence in (
        (signed, "the certificate there is of none of the authorities in the admission"),
        (both, "this validator's certificate is not accepted there"),
        ({"certificate": signed["certificate"]}, "no authority that came with the certificate has signed it"),
        ({"genesis": "00" * 32}, "of the zone with genesis 0000"),
    ):
        (cooperative.folder / "bad.json").write_text(json.dumps({**good, **change}))
        refused = cooperative.run("icn validator join third --admission bad.json")
        assert refused.returncode == 1, refused.stdout
        assert sentence in refused.stderr
        assert not (cooperative.folder / "third" / "validator-0" / "record").exists()

    wrong = made.replace("genesis.json", "other.json")
    assert cooperative.run(f"icn validator init fourth {wrong} {ports}").returncode == 0
    shutil.copy(cooperative.folder / "fourth" / "request.pem", host.folder / "request.pem")
    admitted = json.loads(host.run("icn validators admit request.pem --data zone").stdout)
    hash_of_other = json.loads((cooperative.folder / "fourth" / "offer.json").read_text())["genesis"]
    (cooperative.folder / "bad.json").write_text(json.dumps({**admitted, "genesis": hash_of_other}))
    refused = cooperative.run("icn validator join fourth --admission bad.json")
    assert refused.returncode == 1
    assert "ask for the genesis file of that zone" in refused.stderr


@pytest.mark.long
@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(600)
def test_founders_with_keys_of_their_own_begin_a_chain(make_machine: Callable[[str, str], Machine]) -> None:
    """Three of four, each with its own folder; the fourth's key went to a release, which is not installed."""
    names = ("Valley Bakery", "Valley Mill", "Valley Farm", "Valley Press")
    coops = [make_machine(f"coop-{number}", "") for number in range(len(names))]
    convener = coops[0].folder
    for number, (coop, name) in enumerate(zip(coops, names, strict=True)):
        ports = [files.free_port() for _ in range(2)]
        for line in (
            "icn keys new coop --post-quantum",
            "icn keys export coop > public.json",
            f'icn validator init seat --founder public.json --name "{name}" --host 127.0.0.1'
            f" --consensus-port {ports[0]} --ledger-port {ports[1]} --listen 127.0.0.1",
            f"cp seat/founder.json {convener}/{number}.json",
        ):
            done = coop.run(line)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    offered = " ".join(f"--founder {number}.json" for number in range(len(names)))
    prepared = coops[0].icn("cluster", "prepare", "federation", offered, "--validator", "seat")
    genesis = convener / "federation" / "genesis.json"
    try:
        for coop, admission in zip(coops[1:], prepared["admissions"], strict=True):
            coop.start(f"icn validator join seat --genesis {genesis} --admission {admission}")
        for seat, coop in enumerate(coops[1:], 1):
            wait_to_hear(coop, f"takes part as seat {seat} of epoch 0")
        shown = coops[1].icn("validators", "show", "--data", "seat")
        assert len(shown["in_force"]["seats"]) == len(names)
        made = coops[1].icn("unit", "create", "HOUR", "--as", "coop", "--data", "seat")
        assert made["height"] > 0
    finally:
        for coop in coops:
            coop.stop()
