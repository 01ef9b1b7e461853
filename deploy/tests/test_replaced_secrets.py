"""The bundled servers take certificates and passwords that were replaced, and keep their connections.

Runs the scripts of the chart, with folders of the test's own in place of a container's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from icn_client.cluster_files import SHARED_ROLES
from icn_kit.server_certificates import ServerCertificates
from icn_kit.tls import TlsFiles
from icn_localnet import processes
from icn_localnet.certificates import Authority
from icn_localnet.files import free_port
from icn_localnet.nats import find_nats_server
from icn_localnet.postgres_binaries import find_postgres
from prometheus_client import REGISTRY

FILES = Path(__file__).resolve().parents[1] / "helm" / "icn" / "files"
WAIT_SECONDS = 30.0


def until(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Mounted:
    """A folder as Kubernetes mounts a Secret: names lead through ``..data``, which is replaced at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._versions = 0

    def replace(self, values: dict[str, bytes]) -> None:
        self._versions += 1
        version = self.directory / f"..{self._versions}"
        version.mkdir()
        for name, value in values.items():
            (version / name).write_bytes(value)
            (version / name).chmod(0o600)
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(Path("..data") / name)
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.replace(self.directory / "..data")


class Container:
    """What a script of the chart finds in its container."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.authority = Authority(directory / "authority")
        self.authority.ensure("test")
        (directory / "run").mkdir()
        self.tls = Mounted(directory / "run" / "tls")
        self.log = directory / "log"
        self._serial = 0

    def certificate(self) -> tuple[TlsFiles, dict[str, bytes]]:
        """A new one, as files and as they are mounted."""
        self._serial += 1
        files = self.authority.issue("server", self.directory / f"issued-{self._serial}")
        named = {"tls.crt": files.certificate, "tls.key": files.key, "ca.crt": files.authority}
        return files, {name: path.read_bytes() for name, path in named.items()}

    def script(self, name: str, folder: str) -> Path:
        """The chart's, with its folders under ours."""
        made = self.directory / folder.strip("/")
        made.mkdir(parents=True, exist_ok=True)
        for source in (FILES / name, FILES / "supervise.sh"):
            text = source.read_text("utf-8")
            for of_container in ("/run/tls", "/run/passwords", "/run/postgres", "/etc/", "/var/lib/"):
                text = text.replace(of_container, f"{self.directory}{of_container}")
            (made / source.name).write_text(text)
        return made / Path(name).name

    @contextlib.contextmanager
    def running(self, script: Path, *arguments: str, **environment: str) -> Iterator[None]:
        """Until the block ends; then it is asked to end, and does."""
        identity: processes.Identity = "namespace" if os.geteuid() == 0 else "keep"  # Postgres refuses root
        process = processes.spawn(
            ["/bin/sh", str(script), *arguments],
            log=self.log,
            identity=identity,
            environment={**os.environ, **environment},
        )
        try:
            yield
            process.send_signal(signal.SIGINT if "postgres" in str(script) else signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            print(self.log.read_text("utf-8"))


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def shown(container: Container, files: TlsFiles) -> bytes:
    """The certificate that NATS shows to a new connection, in DER form."""
    context = ssl.create_default_context(cafile=str(files.authority))
    context.load_cert_chain(files.certificate, files.key)
    with socket.create_connection(("127.0.0.1", container.port), timeout=5) as connection:
        connection.recv(4096)
        with context.wrap_socket(connection, server_hostname="localhost") as secured:
            return secured.getpeercert(binary_form=True) or b""


def test_nats_shows_a_certificate_that_was_replaced_and_keeps_its_connections(container: Container) -> None:
    files, mounted = container.certificate()
    container.tls.replace(mounted)
    script = container.script("nats/start.sh", "etc/nats")
    (script.parent / "nats.conf").write_text(
        f'listen: "127.0.0.1:{container.port}"\n'
        f"tls {{ cert_file: {container.tls.directory}/tls.crt, key_file: {container.tls.directory}/tls.key, "
        f"ca_file: {container.tls.directory}/ca.crt, verify: true }}\n"
    )
    path = f"{Path(find_nats_server()).parent}:{os.environ['PATH']}"
    with container.running(script, PATH=path):
        until(lambda: _accepts(container.port), "NATS accepts connections")
        first = shown(container, files)
        with socket.create_connection(("127.0.0.1", container.port), timeout=5) as raw:
            raw.recv(4096)
            context = ssl.create_default_context(cafile=str(files.authority))
            context.load_cert_chain(files.certificate, files.key)
            with context.wrap_socket(raw, server_hostname="localhost") as kept:
                kept.sendall(b'CONNECT {"verbose":false}\r\n')
                ping(kept)
                address = f"tls://localhost:{container.port}"
                assert seen("nats", files, nats_url=address) == end_of(files)
                time.sleep(1)  # the next one ends in another second
                new, mounted = container.certificate()
                container.tls.replace(mounted)
                until(lambda: shown(container, files) != first, "the new certificate is shown")
                ping(kept)
                assert seen("nats", files, nats_url=address) == end_of(new) != end_of(files)


def ping(connection: ssl.SSLSocket) -> None:
    connection.sendall(b"PING\r\n")
    while (line := connection.recv(4096)) and b"PONG" not in line:
        pass  # NATS asks the same
    assert line, "NATS has closed the connection"


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def seen(server: str, files: TlsFiles, nats_url: str = "", dsn: str = "") -> float | None:
    """When the certificate ends that the server shows, as a service's metrics tell."""
    asyncio.run(ServerCertificates(files, nats_url, dsn).look())
    return REGISTRY.get_sample_value("icn_kit_server_certificate_expiry_time_seconds", {"server": server})


def end_of(files: TlsFiles) -> float:
    return x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc.timestamp()


def passwords(generation: str) -> dict[str, bytes]:
    names = ("administrator", *SHARED_ROLES)
    return {f"{name}-password": f"{generation} o'{name}\\".encode() for name in names}


def test_postgres_gives_roles_their_new_passwords_shows_its_new_certificate_and_keeps_connections(
    container: Container,
) -> None:
    files, mounted = container.certificate()
    container.tls.replace(mounted)
    secrets = Mounted(container.directory / "run" / "passwords")
    secrets.replace(passwords("first"))
    for folder in ("run/postgres", "var/lib/postgresql"):
        (container.directory / folder).mkdir(parents=True)
    script = container.script("postgres/start.sh", "etc/postgresql")
    sockets = container.directory / "run" / "postgres"
    if len(str(sockets)) > 90:
        pytest.fail(f"{sockets} is too long for a socket's name: set --basetemp to a shorter one")
    configuration = (FILES / "postgres" / "postgresql.conf").read_text("utf-8")
    (script.parent / "postgresql.conf").write_text(configuration.replace("/run/postgres", str(sockets)))
    (script.parent / "pg_hba.conf").write_text(
        "local all all scram-sha-256\nhostssl all all all scram-sha-256\n"
    )

    def connect(role: str, generation: str) -> psycopg.Connection:
        name = "icn_administrator" if role == "administrator" else role
        return psycopg.connect(
            host="localhost", hostaddr="127.0.0.1", port=container.port, dbname="icn", user=name,
            password=passwords(generation)[f"{role}-password"].decode(),
            sslmode="verify-full", sslrootcert=str(files.authority),
        )  # fmt: skip

    def works(role: str, generation: str) -> bool:
        with contextlib.suppress(psycopg.OperationalError), connect(role, generation):
            return True
        return False

    arguments = ("-c", "listen_addresses=localhost", "-c", f"port={container.port}", "-c", "ssl=on",
                 "-c", f"ssl_cert_file={container.tls.directory}/tls.crt",
                 "-c", f"ssl_key_file={container.tls.directory}/tls.key")  # fmt: skip
    environment = {
        "PATH": f"{find_postgres().directory}:{os.environ['PATH']}",
        "PGPORT": str(container.port),
        "ROLES": " ".join(SHARED_ROLES),
        "RESTORE": "false",
        "FOLLOWED": f"{secrets.directory} {container.tls.directory}",
    }
    with container.running(script, *arguments, **environment):
        until(lambda: works("administrator", "first"), "Postgres accepts the administrator")
        with connect("gateway", "first") as kept:
            dsn = f"postgresql://localhost:{container.port}/icn"
            assert seen("postgres", files, dsn=dsn) == end_of(files)
            time.sleep(1)  # the next one ends in another second
            new, mounted = container.certificate()
            container.tls.replace(mounted)
            secrets.replace(passwords("second"))
            until(lambda: works("administrator", "second"), "the administrator's password is the second")
            until(lambda: seen("postgres", files, dsn=dsn) == end_of(new), "the new certificate is shown")
            for role in SHARED_ROLES:
                assert works(role, "second")
                assert not works(role, "first")
            assert kept.execute("SELECT current_user").fetchone() == ("gateway",)
        secrets.replace(passwords("third"))
        until(lambda: works("administrator", "third"), "the administrator's password is the third")
    log = container.log.read_text("utf-8")
    assert log.count("the roles have the new passwords") == 2
    assert "second o" not in log
    with container.running(script, *arguments, **environment):
        until(lambda: works("reputation", "third"), "it starts again with the third")
