"""`icn doctor` on the platform of this machine: well, with a validator gone, and stopped."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from icn_client.platforms import found_network

from e2e.conftest import Icn


def test_it_tells_what_is_well_and_then_which_validator_is_gone(
    icn: Icn, federation: Any, tmp_path: Path
) -> None:
    where = ("--data", str(federation.directory))
    done = icn("doctor", *where, "--json")
    found = json.loads(done.stdout)["findings"]
    well = {one["check"]: one["found"] for one in found if one["severity"] == "fine"}
    assert (
        well["processes"] == f"{len(federation.processes())} of {len(federation.processes())} processes run"
    )
    assert well["quorum"] == "4 of 4 validators answer, 3 are a quorum: 1 may fail"
    assert well["schema"] == "17 schemas are at the revision that their code knows"
    assert "certificates are in force" in well["certificate"]
    federation.kill(3)
    try:
        archive = tmp_path / "help.tar.gz"
        done = icn("doctor", *where, "--bundle", str(archive))
    finally:
        federation.start(3)
    assert done.returncode == 1
    assert (
        "problem  quorum: 3 of 4 validators answer, 3 are a quorum: 0 more may fail. Away: seat 3"
        in done.stdout
    )
    assert "problem  processes: validator-3 is held" in done.stdout
    assert "look through it before you send it on" in done.stderr
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
        everything = b"".join(packed.extractfile(one).read() for one in packed.getmembers())  # type: ignore[union-attr]
    assert {
        "help/findings.json",
        "help/network.json",
        "help/logs/validator-0.log",
        "help/logs/gateway.log",
    } <= names
    for file in federation.directory.glob("**/passwords.json"):
        for password in json.loads(file.read_text("utf-8")).values():
            assert password.encode() not in everything


def test_of_a_platform_that_does_not_run_it_says_how_to_start_it(icn: Icn, tmp_path: Path) -> None:
    network = found_network(tmp_path / "zone", validators=4)
    done = icn("doctor", "--data", str(network.directory))
    assert done.returncode == 1
    assert f"start it: icn up --data {network.directory}" in done.stdout
    done = icn("doctor", "--data", str(tmp_path))
    assert done.returncode == 3
    assert "icn doctor --release NAME" in done.stderr
