"""Which processes a network consists of, and what each is told."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from icn_chain.quorum import faults_of
from icn_kit.tls import TlsFiles

from icn_localnet import files
from icn_localnet.certificates import Authority
from icn_localnet.hosted import HostedProcess
from icn_localnet.nats import USER as NATS_USER
from icn_localnet.nats import NatsServer
from icn_localnet.network import CHECKPOINT_FILE, KEY_FILE, SERVICES, Network
from icn_localnet.postgres import PostgresServer
from icn_localnet.processes import Confinement
from icn_localnet.supervisor import Part, Stage
from icn_localnet.template import is_made, make_clusters, migrate_again

VALIDATOR_PACKAGES = ("icn_consensus", "icn_ledger", "icn_vm")
"""Packages whose schema every validator's Postgres holds."""
SHARED_PACKAGES = (*(f"icn_{name}" for name in SERVICES), "icn_gateway")
"""Packages whose schema the shared Postgres holds."""
SHARED_POSTGRES = {"max_connections": "64"}
"""Five or six per service and its migrations, with room for those who look."""
SECRETS_OF_MEMBERS = ("ICN_PASSPHRASE", "ICN_PASSPHRASE_FILE", "ICN_KEYSTORE", "ICN_STEWARD_KEYSTORE")
"""What opens a person's keystore does not reach the platform's processes."""
GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""gRPC reads and writes on the thread that waits for its events, not on threads of an engine behind it: half
the CPU time of a message (docs/adr/0032-grpc-without-its-event-engine.md). What the operator sets counts."""

HIDDEN_VARIABLE = "ICN_HIDDEN"
"""Folders outside the platform's own that no part may reach, separated as in PATH: a person's keystores."""


def stages(network: Network) -> list[Stage]:
    """All parts in the order they start: first what stores, then what serves."""
    certificates = issue_certificates(network)
    databases = {
        seat: ValidatorPostgres(directory, confinement=confined_to(network, directory))
        for seat, directory in (
            (seat, network.validator_directory(seat) / "postgres") for seat in network.hosted
        )
    }
    stores: dict[str, Part] = {f"postgres-{seat}": database for seat, database in databases.items()}
    serving: dict[str, Part] = {}
    shared, nats = None, None
    if not network.is_joined:
        shared_directory, nats_directory = (network.shared_directory / name for name in ("postgres", "nats"))
        stores["postgres-shared"] = shared = PostgresServer(
            shared_directory, settings=SHARED_POSTGRES, confinement=confined_to(network, shared_directory)
        )
        stores["nats"] = nats = NatsServer(
            nats_directory, port=port_of(network.nats), confinement=confined_to(network, nats_directory)
        )
    for seat, database in databases.items():
        serving[f"validator-{seat}"] = validator_process(network, seat, database, nats, certificates)
    for seat, database in databases.items():
        serving[f"vm-{seat}"] = VmProcess(network, seat, database)
    if shared is not None and nats is not None:
        for name in network.services:
            serving[name] = ServiceProcess(network, name, shared, nats, certificates[name])
        serving["gateway"] = GatewayProcess(network, shared, nats, certificates["gateway"])
    migrated: list[tuple[PostgresServer, Sequence[str]]] = [
        *((database, VALIDATOR_PACKAGES) for database in databases.values()),
        *([] if shared is None else [(shared, SHARED_PACKAGES)]),
    ]
    return [
        Stage(stores, before=[partial(_make_missing, list(databases.values()), shared)]),
        Stage(
            serving,
            before=[partial(migrate_again, database, packages) for database, packages in migrated],
            spare={f"{kind}-{seat}": seat for kind in ("validator", "vm") for seat in network.hosted},
            spare_max=faults_of(len(network.hosted)),
        ),
    ]


def confined_to(network: Network, *own: Path) -> Confinement:
    """What a part can reach: its own in the platform's directory, the genesis file, and what is neither there
    nor a person's. So it can open neither a keystore nor what is another part's."""
    told = os.environ.get(HIDDEN_VARIABLE, "").split(os.pathsep)
    hidden = (network.directory, *(Path(path) for path in told if path))
    return Confinement(hidden, (network.genesis_path, *own))


class ValidatorPostgres(PostgresServer):
    """The server of one seat. What is lost of it comes back from the other validators."""

    def prepare(self) -> None:
        """As `PostgresServer.prepare`; where the cluster is lost, an empty one is made."""
        if not is_made(self):
            self.stop()  # what was remembered of the server before is lost, too
            make_clusters([self], VALIDATOR_PACKAGES)
        super().prepare()


def issue_certificates(network: Network) -> dict[str, TlsFiles]:
    """Certificates of all processes and of the clients on this machine, by name. A validator that joined a
    zone shows what it was given."""
    if network.is_joined:
        shown = network.client_tls_directory
        given = TlsFiles(shown / "certificate.pem", shown / "key.pem", shown / "authority.pem")
        return {f"validator-{seat}": given for seat in network.hosted}
    authority = Authority(network.shared_directory / "authority")
    authority.ensure(network.genesis.zone)
    issued = {
        f"validator-{validator.seat}": authority.issue(
            f"validator-{validator.seat}",
            network.validator_directory(validator.seat) / "tls",
            (host_of(validator.consensus),),
        )
        for validator in network.validators
    }
    for name in ("gateway", "client", *network.services):
        issued[name] = authority.issue(name, network.shared_directory / name / "tls")
    return issued


class ValidatorProcess(HostedProcess):
    """Consensus and ledger of one seat; its configuration is written before each start."""

    def __init__(
        self,
        network: Network,
        seat: int,
        database: PostgresServer,
        nats: NatsServer | None,
        certificates: dict[str, TlsFiles],
    ) -> None:
        self._directory = network.validator_directory(seat)
        self._inputs = (network, seat, database, nats, certificates)
        super().__init__(
            ["icn_localnet.validator", str(self._directory / "validator.json")],
            health=network.validators[seat].metrics,
            log=self._directory / "validator.log",
            environment=_environment(),
            confinement=confined_to(network, self._directory),
        )

    def prepare(self) -> None:
        """Write ``validator.json``, which only the owner can read."""
        document = validator_document(*self._inputs)
        files.write_private(
            self._directory / "validator.json", json.dumps(document, indent=1).encode(), may_replace=True
        )


def validator_document(
    network: Network,
    seat: int,
    database: PostgresServer,
    nats: NatsServer | None,
    certificates: dict[str, TlsFiles],
) -> dict[str, Any]:
    """What `icn_localnet.validator` reads: the settings of ledger and consensus of one seat."""
    addresses = network.validators[seat]
    directory = network.validator_directory(seat)
    tls = certificates[f"validator-{seat}"]
    shared = {
        "genesis": str(network.genesis_path),
        "tls_certificate": str(tls.certificate),
        "tls_key": str(tls.key),
        "tls_authority": str(tls.authority),
    }
    bus = (
        {}
        if nats is None
        else {"nats_url": nats.address, "nats_user": NATS_USER, "nats_password": nats.password}
    )
    checkpoint = directory / CHECKPOINT_FILE
    return {
        "seat": seat,
        "metrics": addresses.metrics,
        "ledger": {
            **shared,
            **bus,
            **({"checkpoint": str(checkpoint)} if checkpoint.is_file() else {}),
            "address": network.listening(addresses.ledger),
            "database_url": database.dsn("ledger"),
            "name": f"validator-{seat}",
            "vm_address": socket_of(network, seat, "vm"),
        },
        "consensus": {
            **shared,
            "address": network.listening(addresses.consensus),
            "peers": [peer.consensus for peer in network.validators if peer.seat != seat],
            "database_url": database.dsn("consensus"),
            "key_file": str(directory / "keys" / KEY_FILE),
            "record_directory": str(files.make_private_directory(directory / "record")),
        },
    }


def validator_process(
    network: Network,
    seat: int,
    database: PostgresServer,
    nats: NatsServer | None,
    certificates: dict[str, TlsFiles],
) -> ValidatorProcess:
    """The process of one seat."""
    return ValidatorProcess(network, seat, database, nats, certificates)


def socket_of(network: Network, seat: int, name: str) -> str:
    """Address of a socket between the processes of one validator."""
    return f"unix:{files.socket_directory(_run_directory(network, seat)) / f'{name}.sock'}"


def remove_socket_directories(network: Network) -> None:
    """Leave nothing in the temporary folder once every part has ended."""
    for seat in network.hosted:
        files.remove_socket_directory(_run_directory(network, seat))


def _run_directory(network: Network, seat: int) -> Path:
    return network.validator_directory(seat) / "run"


class VmProcess(HostedProcess):
    """The vm of one seat. It stays when its validator is killed, and starts again by itself."""

    def __init__(self, network: Network, seat: int, database: PostgresServer) -> None:
        self._database = database
        self._address = socket_of(network, seat, "vm")
        metrics = network.validators[seat].vm_metrics
        super().__init__(
            ["icn_vm.main"],
            health=metrics,
            log=network.validator_directory(seat) / "vm.log",
            environment={**_environment(), **_door("VM", metrics)},
            confinement=confined_to(network, _run_directory(network, seat)),
        )

    def prepare(self) -> None:
        """Fill in what is known only once the database is made."""
        self.environment["ICN_VM_ADDRESS"] = self._address
        self.environment["ICN_VM_DATABASE_URL"] = self._database.dsn("vm")


class ServiceProcess(HostedProcess):
    """A service of the host, told everything through its environment."""

    def __init__(
        self, network: Network, name: str, database: PostgresServer, nats: NatsServer, tls: TlsFiles
    ) -> None:
        self._name = name
        self._database = database
        self._nats = nats
        addresses = network.services[name]
        own = network.shared_directory / name
        settings = {
            "GENESIS": str(network.genesis_path),
            "VALIDATORS": _validators(network),
            "SERVICES": _services(network),
            "SEALING_KEY_FILE": str(files.sealing_key(own / "sealing.key")),
            "ADDRESS": addresses.address,
            "TLS_CERTIFICATE": str(tls.certificate),
            "TLS_KEY": str(tls.key),
            "TLS_AUTHORITY": str(tls.authority),
        }
        super().__init__(
            [f"icn_{name}.main"],
            health=addresses.metrics,
            log=files.make_private_directory(own) / f"{name}.log",
            environment={
                **_environment(),
                **{f"ICN_{name.upper()}_{key}": value for key, value in settings.items()},
                **_door(name.upper(), addresses.metrics),
            },
            confinement=confined_to(network, own),
        )

    def prepare(self) -> None:
        """Fill in what is known only once database and NATS are made."""
        prefix = f"ICN_{self._name.upper()}_"
        self.environment[f"{prefix}DATABASE_URL"] = self._database.dsn(self._name)
        self.environment[f"{prefix}NATS_URL"] = self._nats.address
        self.environment[f"{prefix}NATS_USER"] = NATS_USER
        self.environment[f"{prefix}NATS_PASSWORD"] = self._nats.password


class GatewayProcess(HostedProcess):
    """The public door, told everything through its environment."""

    def __init__(self, network: Network, database: PostgresServer, nats: NatsServer, tls: TlsFiles) -> None:
        self._database = database
        own = network.shared_directory / "gateway"
        settings = {
            "GENESIS": str(network.genesis_path),
            "VALIDATORS": _validators(network),
            "SERVICES": _services(network),
            "NATS_URL": nats.url,
            "HOST": network.gateway.rpartition(":")[0],
            "PORT": str(port_of(network.gateway)),
            "TLS_CERTIFICATE": str(tls.certificate),
            "TLS_KEY": str(tls.key),
            "TLS_AUTHORITY": str(tls.authority),
        }
        environment = {f"ICN_GATEWAY_{name}": value for name, value in settings.items()}
        super().__init__(
            ["icn_gateway.main"],
            health=network.gateway_metrics,
            log=files.make_private_directory(own) / "gateway.log",
            environment={**_environment(), **environment, **_door("GATEWAY", network.gateway_metrics)},
            confinement=confined_to(network, own),
        )

    def prepare(self) -> None:
        """Fill in what is known only once the database is made."""
        self.environment["ICN_GATEWAY_DATABASE_URL"] = self._database.dsn("gateway")


def port_of(address: str) -> int:
    """The port of ``host:port``."""
    return int(address.rpartition(":")[2])


def host_of(address: str) -> str:
    """The host of ``host:port``."""
    return address.rpartition(":")[0]


def _environment() -> dict[str, str]:
    kept_back = (*SECRETS_OF_MEMBERS, HIDDEN_VARIABLE)
    told = {name: value for name, value in os.environ.items() if name not in kept_back}
    return {"GRPC_EXPERIMENTS": GRPC_EXPERIMENTS, **told}


def _door(prefix: str, metrics: str) -> dict[str, str]:
    """Settings of the door for metrics and probes."""
    host, _, port = metrics.rpartition(":")
    return {f"ICN_{prefix}_METRICS_HOST": host, f"ICN_{prefix}_METRICS_PORT": port}


def _validators(network: Network) -> str:
    """The setting VALIDATORS of whoever asks all of them."""
    return json.dumps(
        [
            {"seat": validator.seat, "consensus": validator.consensus, "ledger": validator.ledger}
            for validator in network.validators
        ]
    )


def _services(network: Network) -> str:
    """The setting SERVICES."""
    return json.dumps({name: service.address for name, service in network.services.items()})


def _make_missing(databases: Sequence[PostgresServer], shared: PostgresServer | None) -> None:
    make_clusters([database for database in databases if not is_made(database)], VALIDATOR_PACKAGES)
    make_clusters([] if shared is None or is_made(shared) else [shared], SHARED_PACKAGES)
