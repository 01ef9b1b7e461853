"""An archive of everything, checked in another directory with nothing running."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from icn_client.platforms import found_network
from icn_localnet.network import NetworkOptions
from icn_localnet.platform import launch
from icn_wasm.assembly import contract

EPOCH_MS = 60_000
AGE_MS = 2 * 86_400_000
"""Block 1 ends epoch 0, two days late."""
FLIPPED_EVERY_BYTES = 50_021


def set_up_fund(answer: Any, wasm: Path, unit: str, *accounts: str) -> str:
    """A contract of the owners of these accounts, of whom one other approves what one asks for."""
    wasm.write_bytes(contract("mutual_aid_fund"))
    code = answer("contract", "store", str(wasm), "--as", "sunrise-bakery")["code"]
    owners = ",".join(answer("account", "show", account)["owner"] for account in accounts)
    start = json.dumps({"unit": unit, "approvals": "1", "members": owners}, separators=(",", ":"))
    made = answer("contract", "instantiate", code, start, "--unit", unit, "--as", "sunrise-bakery")
    found: str = made["contract"]
    return found


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(300)
def test_an_archive_shows_every_transfer_to_whoever_has_the_genesis_file(icn: Any, tmp_path: Path) -> None:
    founded_at_ms = time.time_ns() // 1_000_000 - AGE_MS
    network = found_network(
        tmp_path / "zone",
        validators=4,
        options=NetworkOptions(epoch_ms=EPOCH_MS, genesis_time_ms=founded_at_ms),
    )
    running = launch(network)
    try:
        data = ("--data", str(network.directory))

        def answer(*arguments: str) -> Any:
            made = icn(*arguments, "--json", *data)
            assert made.returncode == 0, made.stderr
            return json.loads(made.stdout)

        unit = answer("unit", "create", "HOUR", "--floor", "-100", "--as", "harvest-farm")["unit"]
        farm = answer("account", "open", "--unit", unit, "--as", "harvest-farm")["account"]
        bakery = answer("account", "open", "--unit", unit, "--as", "sunrise-bakery")["account"]
        for _ in range(3):
            answer("pay", bakery, "1.25", "--as", "harvest-farm", "--from", farm)
        fund = set_up_fund(answer, tmp_path / "fund.wasm", unit, farm, bakery)
        call = ("contract", "execute", fund)
        answer(*call, '{"pay_in":{}}', "--pay", "2.00", "--from", farm, "--as", "harvest-farm")
        answer(*call, '{"ask":{"amount":"150"}}', "--as", "sunrise-bakery")
        answer(*call, '{"approve":{"ask":"1"}}', "--declare", bakery, "--as", "harvest-farm")
        exported = icn("audit", "export", "--out", "archive.icn", *data)
        assert exported.returncode == 0, exported.stderr
        assert icn("audit", "export", "--out", "archive.icn", *data).returncode == 2, "it is there already"
    finally:
        running.stop()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    genesis = shutil.copy(network.genesis_path, elsewhere / "genesis.json")
    archive = elsewhere / "archive.icn"
    (tmp_path / "archive.icn").rename(archive)
    shutil.rmtree(network.directory)

    checked = icn("audit", "verify", str(archive), "--genesis", str(genesis))
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert (found["valid"], found["transfers"]) == (True, 5)
    assert found["heights"] >= 11

    content = archive.read_bytes()
    for place in range(0, len(content), FLIPPED_EVERY_BYTES):
        changed = bytearray(content)
        changed[place] ^= 1
        (elsewhere / "changed.icn").write_bytes(changed)
        refused = icn("audit", "verify", str(elsewhere / "changed.icn"), "--genesis", str(genesis))
        assert refused.returncode == 1
        divergence = json.loads(refused.stdout)["divergence"]
        assert divergence["key"].startswith("chunk/")
        assert divergence["expected"] != divergence["found"]
    archive.write_bytes(content[:-1])
    cut = icn("audit", "verify", str(archive), "--genesis", str(genesis))
    assert json.loads(cut.stdout)["valid"] is False
    assert icn("audit", "verify", str(elsewhere / "none"), "--genesis", str(genesis)).returncode == 1
