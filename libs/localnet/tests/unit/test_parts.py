from __future__ import annotations

import json
from pathlib import Path

import pytest
from icn_crypto.suites import SigningKey, Suite
from icn_localnet import parts
from icn_localnet.hosted import HostedProcess
from icn_localnet.nats import NatsServer
from icn_localnet.network import Founder, Network, create_network
from icn_localnet.postgres import PostgresServer


@pytest.fixture
def network(tmp_path: Path) -> Network:
    founders = [
        Founder(f"Co-op {number}", [{suite: SigningKey.generate(suite).public_key for suite in Suite}])
        for number in range(4)
    ]
    return create_network(tmp_path / "net", founders)


def test_what_stores_starts_before_what_serves(network: Network) -> None:
    stores, serving = parts.stages(network)
    seats = range(4)
    assert list(stores.parts) == [*(f"postgres-{seat}" for seat in seats), "postgres-shared", "nats"]
    assert list(serving.parts) == [
        *(f"validator-{seat}" for seat in seats),
        *(f"vm-{seat}" for seat in seats),
        "identity",
        "governance",
        "marketplace",
        "reputation",
        "gateway",
    ]


def test_a_platform_starts_without_one_seat_and_its_vm_but_not_without_a_service(network: Network) -> None:
    serving = parts.stages(network)[1]
    assert serving.spare_max == 1
    assert {name for name, seat in serving.spare.items() if seat == 2} == {"validator-2", "vm-2"}
    assert set(serving.parts) - set(serving.spare) == {*network.services, "gateway"}


def test_what_opens_a_keystore_does_not_reach_the_platform(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in parts.SECRETS_OF_MEMBERS:
        monkeypatch.setenv(name, "a secret of a member")
    for part in parts.stages(network)[1].parts.values():
        assert isinstance(part, HostedProcess)
        assert "a secret of a member" not in part.environment.values()


def test_grpc_has_no_threads_of_its_own_unless_the_operator_wants_them(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> set[str]:
        hosted = [part for part in parts.stages(network)[1].parts.values() if isinstance(part, HostedProcess)]
        return {part.environment["GRPC_EXPERIMENTS"] for part in hosted}

    monkeypatch.delenv("GRPC_EXPERIMENTS", raising=False)
    assert told() == {parts.GRPC_EXPERIMENTS}
    monkeypatch.setenv("GRPC_EXPERIMENTS", "event_engine_fork")
    assert told() == {"event_engine_fork"}


def test_every_validator_knows_the_others_and_only_its_own_database(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresServer, "dsn", lambda self, role: f"{role}@{self.directory}")
    nats = NatsServer(network.shared_directory / "nats", port=4222)
    nats.directory.mkdir(parents=True)
    certificates = parts.issue_certificates(network)
    for seat in range(4):
        database = PostgresServer(network.validator_directory(seat) / "postgres")
        document = parts.validator_document(network, seat, database, nats, certificates)
        others = [peer for peer in network.validators if peer.seat != seat]
        assert document["consensus"]["peers"] == [peer.consensus for peer in others]
        assert document["ledger"]["database_url"].endswith(f"validator-{seat}/postgres")
        text = json.dumps(document)
        assert not any(f"validator-{other.seat}/" in text for other in others)
        assert document["ledger"]["vm_address"] == parts.socket_of(network, seat, "vm")


def test_a_service_is_told_of_the_others_and_gets_its_own_database(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresServer, "dsn", lambda self, role: f"{role}@{self.directory}")
    nats = NatsServer(network.shared_directory / "nats", port=4222)
    nats.directory.mkdir(parents=True)
    database = PostgresServer(network.shared_directory / "postgres")
    tls = parts.issue_certificates(network)["identity"]
    process = parts.ServiceProcess(network, "identity", database, nats, tls)
    process.prepare()
    environment = process.environment
    assert environment["ICN_IDENTITY_DATABASE_URL"] == f"identity@{database.directory}"
    assert json.loads(environment["ICN_IDENTITY_SERVICES"]) == {
        name: addresses.address for name, addresses in network.services.items()
    }
    assert len(json.loads(environment["ICN_IDENTITY_VALIDATORS"])) == 4


def test_a_validators_settings_are_readable_by_their_owner_only(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PostgresServer, "dsn", lambda _self, _role: "password=secret")
    nats = NatsServer(network.shared_directory / "nats", port=4222)
    nats.directory.mkdir(parents=True)
    database = PostgresServer(network.validator_directory(0) / "postgres")
    process = parts.ValidatorProcess(network, 0, database, nats, parts.issue_certificates(network))
    process.prepare()
    written = network.validator_directory(0) / "validator.json"
    assert "password=secret" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o600
