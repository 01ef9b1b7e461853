from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from icn_crypto.suites import SigningKey, Suite
from icn_kit.genesis import GenesisInvalid, TrustProfile
from icn_localnet.network import (
    KEY_FILE,
    SERVICES,
    Founder,
    KeyUsed,
    Network,
    NetworkInvalid,
    NetworkOptions,
    create_network,
    found_zone,
)


def founder(number: int) -> Founder:
    keys = {suite: SigningKey.from_seed(suite, bytes([number]) * 32).public_key for suite in Suite}
    return Founder(name=f"Co-op {number}", keys=[keys], principal=bytes([number]) * 16)


FOUNDERS = [founder(number) for number in range(1, 7)]


def test_a_new_network_is_read_back_as_it_was_made(tmp_path: Path) -> None:
    made = create_network(tmp_path / "net", FOUNDERS, options=NetworkOptions(zone="North", genesis_time_ms=7))
    read = Network.load(tmp_path / "net")
    assert read.genesis == made.genesis
    assert read.validators == made.validators
    assert read.services == made.services
    assert list(read.services) == list(SERVICES)
    assert (read.gateway, read.gateway_metrics, read.nats) == (made.gateway, made.gateway_metrics, made.nats)
    assert read.processes == {}
    assert read.ready_pid is None


def test_genesis_seats_the_first_founders_and_hears_all_of_them(tmp_path: Path) -> None:
    genesis = create_network(tmp_path / "net", FOUNDERS, validators=5).genesis
    assert [seat.organization[0] for seat in genesis.validators] == [1, 2, 3, 4, 5]
    assert len(genesis.organizations) == 6
    assert len(genesis.zone_authority.keys) == 6
    assert genesis.zone_authority.threshold == 5, "more than two thirds of six"
    assert genesis.trust_profile is TrustProfile.HOSTED, "it is one host"


def test_each_validator_has_a_consensus_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    network = create_network(tmp_path / "net", FOUNDERS)
    for seat in network.genesis.validators:
        path = network.validator_directory(seat.seat) / "keys" / "consensus.json"
        assert path.stat().st_mode & 0o777 == 0o600
        seeds = json.loads(path.read_text())
        for suite, name in ((Suite.ED25519, "ed25519"), (Suite.ML_DSA_65, "ml_dsa_65")):
            key = SigningKey.from_seed(suite, bytes.fromhex(seeds[name]))
            assert key.public_key == seat.public_keys[suite]


def test_the_public_files_hold_no_secret(tmp_path: Path) -> None:
    network = create_network(tmp_path / "net", FOUNDERS)
    public = network.genesis_path.read_text() + (network.directory / "network.json").read_text()
    for seat in range(4):
        seeds = json.loads((network.validator_directory(seat) / "keys" / "consensus.json").read_text())
        assert not any(seed in public for seed in seeds.values())


def test_a_directory_that_holds_a_network_is_not_overwritten(tmp_path: Path) -> None:
    before = create_network(tmp_path, FOUNDERS).genesis
    with pytest.raises(FileExistsError):
        create_network(tmp_path, FOUNDERS)
    assert Network.load(tmp_path).genesis == before


@pytest.mark.parametrize("validators", [3, 51])
def test_fewer_than_four_or_more_than_fifty_validators_are_refused(tmp_path: Path, validators: int) -> None:
    with pytest.raises(ValueError, match="must be 4 to 50"):
        create_network(tmp_path, FOUNDERS * 10, validators=validators)


def test_every_validator_needs_a_founding_organization(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="7 validators need as many founding organizations, got 6"):
        create_network(tmp_path, FOUNDERS, validators=7)
    assert not (tmp_path / "genesis.json").exists()


def test_founders_that_genesis_refuses_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(GenesisInvalid, match="stands there twice"):
        create_network(tmp_path / "net", [*FOUNDERS[:3], FOUNDERS[0]])
    assert not (tmp_path / "net").exists()


def test_addresses_are_kept_unless_somebody_else_listens_there(tmp_path: Path) -> None:
    network = create_network(tmp_path, FOUNDERS)
    before = [network.validators[0].ledger, network.gateway]
    network.choose_free_ports()
    assert [network.validators[0].ledger, network.gateway] == before
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", int(before[0].rpartition(":")[2])))
        stranger.listen()
        network.choose_free_ports()
    assert network.validators[0].ledger != before[0]
    assert network.gateway == before[1]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"format": 3, "validators": [{}], "gateway": {}, "nats": {}}']
)
def test_a_directory_of_something_else_is_refused_with_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "network.json").write_text(text)
    with pytest.raises(NetworkInvalid, match=r"network\.json"):
        Network.load(tmp_path)


def key_file(number: int) -> bytes:
    return json.dumps({"ed25519": bytes([number]).hex() * 32}).encode()


def test_another_key_begins_with_an_empty_record_and_the_old_ones_are_kept_and_refused(
    tmp_path: Path,
) -> None:
    network = create_network(tmp_path / "net", FOUNDERS)
    directory = network.validator_directory(2)
    first = (directory / "keys" / KEY_FILE).read_bytes()
    (directory / "keys" / f"{KEY_FILE}.log-id").write_text("of the first")
    (directory / "record").mkdir()
    (directory / "record" / "1.log").write_bytes(b"what the first key signed")
    for number in (1, 2):
        network.replace_key(2, key_file(number))
        assert (directory / "keys" / KEY_FILE).read_bytes() == key_file(number)
        assert (directory / "keys" / KEY_FILE).stat().st_mode & 0o077 == 0
        assert {path.name for path in (directory / "keys").iterdir()} == {KEY_FILE}
        assert not (directory / "record").exists()
    retired = directory / "retired"
    assert (retired / "1" / KEY_FILE).read_bytes() == first
    assert (retired / "1" / "record" / "1.log").read_bytes() == b"what the first key signed"
    assert (retired / "1" / f"{KEY_FILE}.log-id").read_text() == "of the first"
    assert {path.name for path in (retired / "2").iterdir()} == {KEY_FILE}
    others = (network.validator_directory(0) / "keys" / KEY_FILE).read_bytes()
    for used in (first, key_file(1), key_file(2), others):
        with pytest.raises(KeyUsed):
            network.replace_key(2, used)
    assert (directory / "keys" / KEY_FILE).read_bytes() == key_file(2)


def test_validators_can_be_called_at_another_address_with_the_ports_they_have(tmp_path: Path) -> None:
    network = create_network(tmp_path / "net", FOUNDERS)
    before = [(one.consensus, one.ledger, one.metrics) for one in network.validators]
    network.call_validators("192.0.2.1")
    network.save()
    read = Network.load(tmp_path / "net")
    assert [(one.consensus, one.ledger, one.metrics) for one in read.validators] == [
        (consensus.replace("127.0.0.1", "192.0.2.1"), ledger.replace("127.0.0.1", "192.0.2.1"), metrics)
        for consensus, ledger, metrics in before
    ]
    assert read.listening(read.validators[0].consensus) == read.validators[0].consensus


def test_a_network_of_a_release_before_is_read(tmp_path: Path) -> None:
    """It says neither which validators run here nor where they listen: all, and where they are called."""
    made = create_network(tmp_path / "net", FOUNDERS)
    file = tmp_path / "net" / "network.json"
    document = json.loads(file.read_text())
    del document["hosted"], document["listen"]
    file.write_text(json.dumps(document))
    read = Network.load(tmp_path / "net")
    assert read.hosted == made.hosted == (0, 1, 2, 3)
    assert read.listen == ""
    assert not read.is_joined


def test_a_founder_s_own_consensus_keys_stand_in_genesis_and_are_nowhere_else(tmp_path: Path) -> None:
    own = {suite: SigningKey.from_seed(suite, bytes([9]) * 32).public_key for suite in Suite}
    founders = [replace(FOUNDERS[0], consensus_keys=own), *FOUNDERS[1:]]
    zone = found_zone(founders, 4, NetworkOptions())
    assert dict(zone.genesis.validators[0].public_keys) == own
    assert zone.key_files[0] is None
    assert all(zone.key_files[1:])
