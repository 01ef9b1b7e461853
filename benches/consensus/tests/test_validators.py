"""What the bench measures is what `icn up` hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from icn_client.platforms import found_network
from icn_localnet import hosted
from icn_localnet.parts import ValidatorProcess, stages
from icn_localnet.postgres import PostgresServer
from icn_localnet.supervisor import Stage

from benches.consensus.side import SEATS
from benches.consensus.validators import validators_only


def parts_of(found: list[Stage]) -> dict[str, Any]:
    return {name: part for stage in found for name, part in stage.parts.items()}


def test_its_validators_are_those_of_a_platform_with_the_same_settings_databases_and_allowances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durability is not its own to choose: a validator refuses a database that does not sync."""
    network = found_network(tmp_path / "zone", validators=SEATS)
    assert all(one.allowance.signatures_per_epoch > 0 for one in network.genesis.organizations)
    spawned: list[Any] = []
    monkeypatch.setattr(PostgresServer, "dsn", lambda server, role: f"{server.directory} as {role}")
    monkeypatch.setattr(hosted.processes, "spawn", lambda *what, **how: spawned.append((what, how)))
    platform, bench = parts_of(stages(network)), parts_of(validators_only(network, {}))
    assert bench.keys() == {
        "nats",
        *(f"{kind}-{seat}" for kind in ("postgres", "validator") for seat in range(SEATS)),
    }
    for name, part in bench.items():
        assert type(part) is type(platform[name])
        if isinstance(part, ValidatorProcess):
            settings = network.validator_directory(int(name.rpartition("-")[2])) / "validator.json"
            told = []
            for one in (platform[name], part):
                one.prepare()
                told.append(settings.read_text("utf-8"))
                one.spawn()
            assert told[0] == told[1]
            assert spawned[-2] == spawned[-1]
    assert len(spawned) == 2 * SEATS


def test_with_a_delay_only_the_peers_addresses_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = found_network(tmp_path / "zone", validators=SEATS)
    monkeypatch.setattr(PostgresServer, "dsn", lambda server, role: f"{server.directory} as {role}")
    settings = network.validator_directory(2) / "validator.json"
    parts_of(validators_only(network, {}))["validator-2"].prepare()
    plain = json.loads(settings.read_text("utf-8"))
    parts_of(validators_only(network, {"2": {"0": "127.0.0.1:1", "1": "127.0.0.1:2"}}))[
        "validator-2"
    ].prepare()
    delayed = json.loads(settings.read_text("utf-8"))
    assert delayed["consensus"].pop("peers") == ["127.0.0.1:1", "127.0.0.1:2"]
    assert len(plain["consensus"].pop("peers")) == SEATS - 1
    assert delayed == plain
