"""Epochs as a verifier meets them: walked from genesis, also over those in which no block was made."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from icn_client.platforms import found_network
from icn_localnet.network import NetworkOptions
from icn_localnet.platform import launch

from e2e.waiting import until

EPOCH_MS = 60_000
AGE_MS = 3 * 86_400_000


@pytest.mark.xdist_group("platform")
@pytest.mark.timeout(300)
def test_a_proof_walks_every_edge_since_genesis_over_epochs_without_blocks(icn: Any, tmp_path: Path) -> None:
    founded_at_ms = time.time_ns() // 1_000_000 - AGE_MS
    network = found_network(
        tmp_path / "zone",
        validators=4,
        options=NetworkOptions(epoch_ms=EPOCH_MS, genesis_time_ms=founded_at_ms),
    )
    running = launch(network)
    try:
        data = ("--data", str(network.directory))

        def status() -> Any:
            return json.loads(icn("status", "--json", *data).stdout)

        until(status, lambda shown: shown["validators"][0]["epoch"] >= AGE_MS // EPOCH_MS)
        made = icn("unit", "create", "OLD", "--as", "harvest-farm", "--json", *data)
        assert made.returncode == 0, made.stderr
        unit = json.loads(made.stdout)
        fetched = icn("proof", "fetch", f"units/{unit['unit']}", "--out", "proof.json", *data)
        assert fetched.returncode == 0, fetched.stderr
    finally:
        running.stop()
    genesis = str(network.genesis_path)
    found = json.loads(icn("proof", "verify", "proof.json", "--genesis", genesis).stdout)
    assert found["valid"] is True
    assert found["statement"]["unit"] == unit["unit"]
    assert found["height"] >= unit["height"] > 1, "block 1 ends epoch 0, three days late"
    assert 1 <= found["epochs"] <= 3

    document = json.loads((tmp_path / "proof.json").read_text())
    document["epochs"] = []
    (tmp_path / "short.json").write_text(json.dumps(document))
    refused = icn("proof", "verify", "short.json", "--genesis", genesis)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["reason"] == "HEADER_CHAIN_INVALID"
