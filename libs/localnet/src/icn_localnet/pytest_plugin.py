"""Fixtures: real Postgres, NATS and a running platform, one of each per pytest worker.

- ``postgres_server``: a `PostgresServer` for the session.
- ``database_for(service_package)``: connection string of a fresh database with the service's schema migrated.
- ``nats_server``: a `NatsServer` for the session.
- ``hosted_settings(service_package)``: settings of a service of the host, as a mapping, over the above.
- ``span_collector``: where the platform's processes send the spans of sampled traces.
- ``platform``: a running platform of four validators; the root conftest keeps its tests on one worker.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from icn_crypto.suites import SigningKey, Suite
from icn_kit import migrate
from icn_kit.spans import COLLECTOR_VARIABLE
from psycopg import sql

from icn_localnet import files
from icn_localnet.nats import USER as NATS_USER
from icn_localnet.nats import NatsServer
from icn_localnet.network import Founder, NetworkOptions, create_network
from icn_localnet.platform import RunningPlatform, launch
from icn_localnet.postgres import PostgresServer
from icn_localnet.span_collector import SpanCollector, collecting_spans
from icn_localnet.template import cache_directory

DatabaseFor = Callable[[str], str]


def pytest_configure() -> None:
    """Let commands that tests start with a home of their own share the ready-made cluster."""
    os.environ.setdefault("ICN_CACHE", str(cache_directory()))


@pytest.fixture(scope="session")
def localnet_directory() -> Iterator[Path]:
    """A short directory for servers' data, removed at the end (pytest would keep that of three runs)."""
    directory = Path(tempfile.mkdtemp(prefix="icn-test-"))
    directory.chmod(0o711)  # Postgres may run as nobody where this is root
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(localnet_directory: Path) -> Iterator[PostgresServer]:
    """A running Postgres, durable as in production."""
    server = PostgresServer(localnet_directory / "postgres", settings={"max_connections": "100"})
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_server(localnet_directory: Path) -> Iterator[NatsServer]:
    """A running NATS with JetStream; tests name their streams differently."""
    server = NatsServer(localnet_directory / "nats")
    server.start()
    yield server
    server.stop()


class Templates:
    """Migrated databases of one server, made when first asked for and copied for every test."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._templates: dict[str, str] = {}
        self._count = 0

    def copy(self, package: str) -> tuple[str, str]:
        """A fresh database for ``package``: its name and the service's connection string."""
        schema = migrate.schema_of(package)
        if package not in self._templates:
            template = f"template_{schema}"
            self.server.create_database(template)
            dsn = self.server.create_role_and_schema(schema, template)
            try:
                versions = migrate.versions_folder_of(package)
            except FileNotFoundError:
                pass  # a service without tables still gets its schema
            else:
                migrate.upgrade(dsn, schema, versions)
            self._templates[package] = template
        self._count += 1
        database = f"test_{schema}_{self._count}"
        self.server.create_database(database, template=self._templates[package])
        with self.server.connect() as connection:
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    sql.Identifier(database), sql.Identifier(schema)
                )
            )
        return database, self.server.dsn(schema, database)

    def drop(self, database: str) -> None:
        """Remove a copy; connections still open are cut."""
        with self.server.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


@pytest.fixture(scope="session")
def database_templates(postgres_server: PostgresServer) -> Templates:
    """The migrated templates of this worker's server."""
    return Templates(postgres_server)


@pytest.fixture
def database_for(database_templates: Templates) -> Iterator[DatabaseFor]:
    """Call it with a package (``icn_ledger``) for a connection string to a fresh database with its tables."""
    copies: list[str] = []

    def make(package: str) -> str:
        database, dsn = database_templates.copy(package)
        copies.append(database)
        return dsn

    yield make
    for database in copies:
        database_templates.drop(database)


HostedSettingsFor = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def zone_directory(localnet_directory: Path) -> Path:
    """The files of a network of four that nobody runs; its ``genesis.json`` is what services read."""
    founders = [FounderKeys.generate(name).founder for name in ("Bakery", "Housing", "Farm", "Workshop")]
    return create_network(localnet_directory / "zone", founders).directory


@pytest.fixture
def hosted_settings(
    database_for: DatabaseFor, nats_server: NatsServer, zone_directory: Path
) -> HostedSettingsFor:
    """Call it with a package (``icn_identity``) for the settings of the service with a fresh database, in
    plain text on a free port, where no validator answers."""

    def make(package: str) -> dict[str, Any]:
        return {
            "genesis": zone_directory / "genesis.json",
            "validators": [{"seat": 0, "consensus": "127.0.0.1:1", "ledger": "127.0.0.1:1"}],
            "database_url": database_for(package),
            "sealing_key_file": files.sealing_key(zone_directory / "sealing.key"),
            "address": "127.0.0.1:0",
            "nats_url": nats_server.address,
            "nats_user": NATS_USER,
            "nats_password": nats_server.password,
        }

    return make


@dataclass(frozen=True)
class FounderKeys:
    """A founding organization with its secret keys, which only the test has."""

    founder: Founder
    keys: dict[Suite, SigningKey]

    @classmethod
    def generate(cls, name: str) -> FounderKeys:
        """One key of both suites."""
        keys = {suite: SigningKey.generate(suite) for suite in Suite}
        return cls(Founder(name, [{suite: key.public_key for suite, key in keys.items()}]), keys)


class PlatformUnderTest(RunningPlatform):
    """A running platform with the keys of its founders, in seat order."""

    def __init__(self, running: RunningPlatform, founders: list[FounderKeys]) -> None:
        super().__init__(running.directory)
        self.founders = founders


@pytest.fixture(scope="session")
def span_collector() -> Iterator[SpanCollector]:
    """A collector that keeps what it is sent."""
    with collecting_spans() as collector:
        yield collector


@pytest.fixture(scope="session")
def platform(localnet_directory: Path, span_collector: SpanCollector) -> Iterator[PlatformUnderTest]:
    """Four validators with their servers and a gateway. Tests that kill something start it again."""
    founders = [FounderKeys.generate(name) for name in ("Bakery", "Housing", "Farm", "Workshop")]
    directory = localnet_directory / "platform"
    network = create_network(
        directory,
        [keys.founder for keys in founders],
        options=NetworkOptions(zone="Federation under test", heartbeat_ms=5_000, recovery_delay_ms_min=1_000),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(COLLECTOR_VARIABLE, span_collector.address)
        running = launch(network)
    yield PlatformUnderTest(running, founders)
    running.stop()
