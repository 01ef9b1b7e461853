"""Which processes a network consists of, and what each is told."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from icn_kit.tls import TlsFiles

from icn_localnet import files
from icn_localnet.certificates import Authority
from icn_localnet.hosted import HostedProcess
from icn_localnet.nats import USER as NATS_USER
from icn_localnet.nats import NatsServer
from icn_localnet.network import Network
from icn_localnet.postgres import PostgresServer
from icn_localnet.supervisor import Part, Stage
from icn_localnet.template import is_made, make_clusters, migrate_again

SERVICES_WITH_TABLES = ("icn_consensus", "icn_ledger")
"""Packages whose schema every validator's Postgres holds."""
SECRETS_OF_MEMBERS = ("ICN_PASSPHRASE", "ICN_PASSPHRASE_FILE", "ICN_KEYSTORE")
"""What opens a person's keystore does not reach the platform's processes."""


def stages(network: Network) -> list[Stage]:
    """All parts in the order they start: first what stores, then what serves."""
    certificates = issue_certificates(network)
    seats = range(len(network.validators))
    databases = [PostgresServer(network.validator_directory(seat) / "postgres") for seat in seats]
    nats = NatsServer(network.shared_directory / "nats", port=port_of(network.nats))
    stores: dict[str, Part] = {f"postgres-{seat}": database for seat, database in enumerate(databases)}
    serving: dict[str, Part] = {
        f"validator-{seat}": validator_process(network, seat, databases[seat], nats, certificates)
        for seat in seats
    }
    serving["gateway"] = gateway_process(network, nats, certificates)
    faulty_max = (len(seats) - 1) // 3
    return [
        Stage({**stores, "nats": nats}, before=[partial(_make_missing, databases)]),
        Stage(
            serving,
            before=[partial(migrate_again, database, SERVICES_WITH_TABLES) for database in databases],
            spare=frozenset(f"validator-{seat}" for seat in seats),
            spare_max=faulty_max,
        ),
    ]


def issue_certificates(network: Network) -> dict[str, TlsFiles]:
    """Certificates of all processes and of the clients on this machine, by name."""
    authority = Authority(network.shared_directory / "authority")
    authority.ensure(network.genesis.zone)
    issued = {
        f"validator-{validator.seat}": authority.issue(
            f"validator-{validator.seat}", network.validator_directory(validator.seat) / "tls"
        )
        for validator in network.validators
    }
    for name in ("gateway", "client"):
        issued[name] = authority.issue(name, network.shared_directory / name / "tls")
    return issued


class ValidatorProcess(HostedProcess):
    """Consensus and ledger of one seat; its configuration is written before each start."""

    def __init__(
        self,
        network: Network,
        seat: int,
        database: PostgresServer,
        nats: NatsServer,
        certificates: dict[str, TlsFiles],
    ) -> None:
        self._directory = network.validator_directory(seat)
        self._inputs = (network, seat, database, nats, certificates)
        super().__init__(
            ["icn_localnet.validator", str(self._directory / "validator.json")],
            health=network.validators[seat].metrics,
            log=self._directory / "validator.log",
            environment=_environment(),
        )

    def prepare(self) -> None:
        """Write ``validator.json``, which only the owner can read."""
        document = validator_document(*self._inputs)
        files.write_private(self._directory / "validator.json", json.dumps(document, indent=1).encode())


def validator_document(
    network: Network,
    seat: int,
    database: PostgresServer,
    nats: NatsServer,
    certificates: dict[str, TlsFiles],
) -> dict[str, Any]:
    """What `icn_localnet.validator` reads: the settings of ledger and consensus of one seat."""
    addresses = network.validators[seat]
    directory = network.validator_directory(seat)
    application = f"unix:{files.socket_directory(directory / 'run') / 'application.sock'}"
    tls = certificates[f"validator-{seat}"]
    shared = {
        "genesis": str(network.genesis_path),
        "application_address": application,
        "tls_certificate": str(tls.certificate),
        "tls_key": str(tls.key),
        "tls_authority": str(tls.authority),
    }
    return {
        "seat": seat,
        "metrics": addresses.metrics,
        "ledger": {
            **shared,
            "address": addresses.ledger,
            "database_url": database.dsn("ledger"),
            "nats_url": nats.address,
            "nats_user": NATS_USER,
            "nats_password": nats.password,
            "name": f"validator-{seat}",
        },
        "consensus": {
            **shared,
            "seat": seat,
            "address": addresses.consensus,
            "peers": {str(peer.seat): peer.consensus for peer in network.validators if peer.seat != seat},
            "database_url": database.dsn("consensus"),
            "key_file": str(directory / "keys" / "consensus.json"),
            "record_directory": str(files.make_private_directory(directory / "record")),
        },
    }


def validator_process(
    network: Network,
    seat: int,
    database: PostgresServer,
    nats: NatsServer,
    certificates: dict[str, TlsFiles],
) -> ValidatorProcess:
    """The process of one seat."""
    return ValidatorProcess(network, seat, database, nats, certificates)


def gateway_process(network: Network, nats: NatsServer, certificates: dict[str, TlsFiles]) -> HostedProcess:
    """The gateway, told everything through its environment."""
    tls = certificates["gateway"]
    validators = [
        {"seat": validator.seat, "consensus": validator.consensus, "ledger": validator.ledger}
        for validator in network.validators
    ]
    settings = {
        "GENESIS": str(network.genesis_path),
        "VALIDATORS": json.dumps(validators),
        "NATS_URL": nats.url,
        "HOST": network.gateway.rpartition(":")[0],
        "PORT": str(port_of(network.gateway)),
        "METRICS_HOST": network.gateway_metrics.rpartition(":")[0],
        "METRICS_PORT": str(port_of(network.gateway_metrics)),
        "TLS_CERTIFICATE": str(tls.certificate),
        "TLS_KEY": str(tls.key),
        "TLS_AUTHORITY": str(tls.authority),
    }
    environment = {f"ICN_GATEWAY_{name}": value for name, value in settings.items()}
    return HostedProcess(
        ["icn_gateway.main"],
        health=network.gateway_metrics,
        log=files.make_private_directory(network.shared_directory / "gateway") / "gateway.log",
        environment={**_environment(), **environment},
    )


def port_of(address: str) -> int:
    """The port of ``host:port``."""
    return int(address.rpartition(":")[2])


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SECRETS_OF_MEMBERS}


def _make_missing(databases: Sequence[PostgresServer]) -> None:
    make_clusters([database for database in databases if not is_made(database)], SERVICES_WITH_TABLES)
