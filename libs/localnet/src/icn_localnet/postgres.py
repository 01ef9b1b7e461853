"""A Postgres server of our own: made, started, checked, stopped, and started again after anything.

It listens on a unix socket in a private directory and on no port. Every service has a role and a schema that
no other role can read, and connects with a password of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from icn_localnet import files, processes
from icn_localnet.postgres_binaries import (
    EXTENSIONS_NEEDED,
    PostgresBinaries,
    PostgresUnavailable,
    find_postgres,
)
from icn_localnet.postgres_settings import (
    HOST_BASED_AUTHENTICATION,
    SETTINGS,
    UnsafeSettings,
    configuration,
    refuse_unsafe,
)
from icn_localnet.processes import Confinement, Identity, ProcessFailed

ADMINISTRATOR = "icn_administrator"
DATABASE = "icn"
START_SECONDS_MAX = 60.0
"""Recovery after a kill reads at most ``max_wal_size`` of log."""
STOP_SECONDS_MAX = 20.0
LEFTOVER_SECONDS_MAX = 5.0
"""How long processes of an earlier, killed server get to finish by themselves."""


class PostgresServer:
    """One cluster under ``directory``: ``cluster/`` (data), ``run/`` (socket), passwords and log."""

    def __init__(
        self,
        directory: Path,
        *,
        binaries: PostgresBinaries | None = None,
        settings: Mapping[str, str] | None = None,
        extensions: Sequence[str] = EXTENSIONS_NEEDED,
        on_any_thread: bool = False,
        confinement: Confinement | None = None,
    ) -> None:
        self.confinement = confinement
        self.directory = directory.absolute()
        self.data_directory = self.directory / "cluster"
        self.log = self.directory / "postgres.log"
        self._given_binaries = binaries
        self._extensions = tuple(extensions)
        self._on_any_thread = on_any_thread
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_directory: Path | None = None

    # -- files

    @property
    def is_initialized(self) -> bool:
        """Whether there is a cluster to start."""
        return (self.data_directory / "PG_VERSION").is_file()

    @property
    def socket_directory(self) -> Path:
        """Where the socket is: ``run/``, or a short path where that would be too long."""
        if self._socket_directory is None:
            self._socket_directory = files.socket_directory(self.directory / "run")
        return self._socket_directory

    def binaries(self) -> PostgresBinaries:
        """The programs for this cluster.

        Raises:
            PostgresUnavailable: none fits, or none has the cluster's version.
        """
        if self._given_binaries is None:
            version = None
            if self.is_initialized:
                version = int((self.data_directory / "PG_VERSION").read_text().split(".")[0])
            self._given_binaries = find_postgres(major_version=version, extensions=self._extensions)
        return self._given_binaries

    def initialize(self) -> None:
        """Make the cluster, with no password yet.

        Raises:
            PostgresUnavailable: no usable Postgres.
            ProcessFailed: initdb refused; the message says why.
        """
        identity = self._prepare_directories()
        processes.run_to_end(
            [
                self.binaries().initdb,
                f"--pgdata={self.data_directory}",
                f"--username={ADMINISTRATOR}",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=trust",  # replaced before the first start
                "--data-checksums",
                "--no-sync",  # synced once, below
                "--no-instructions",
            ],
            identity=identity,
            environment=_environment(),
        )
        # Everybody may connect to these two unless told otherwise.
        self._write_configuration()
        self._run_single_user(
            ["REVOKE ALL ON DATABASE postgres FROM PUBLIC", "REVOKE ALL ON DATABASE template1 FROM PUBLIC"]
        )
        self.set_passwords([ADMINISTRATOR])
        files.sync_file_system(self.directory)

    def adopt(self, cluster: Path) -> None:
        """Replace the stopped server's data with a copy of another's; `set_passwords` should follow."""
        identity = self._prepare_directories()
        shutil.rmtree(self.data_directory)
        # A tenth of what shutil.copytree takes for a thousand small files.
        copy = shutil.which("cp") or "/bin/cp"
        processes.run_to_end([copy, "-R", "-p", str(cluster), str(self.data_directory)])
        self.data_directory.chmod(0o700)
        if identity == "nobody":
            nobody = pwd.getpwnam("nobody")
            for path in (self.data_directory, *self.data_directory.rglob("*")):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def set_passwords(self, roles: Sequence[str]) -> None:
        """Give each role a new random password while the server is stopped.

        In single-user mode, so that a copied cluster never answers to the passwords of its template.

        Raises:
            ProcessFailed: a role does not exist, or the server runs.
        """
        passwords = {
            **self._passwords(),
            **{role: secrets.token_urlsafe(files.SECRET_BYTES) for role in roles},
        }
        self._write_configuration()
        self._run_single_user(
            [
                f"ALTER ROLE {sql.Identifier(role).as_string(None)} PASSWORD '{passwords[role]}'"
                for role in roles
            ]
        )
        files.write_private(
            self.directory / "passwords.json", json.dumps(passwords, indent=1).encode(), may_replace=True
        )

    # -- life

    def start(self) -> None:
        """Start, return when the server answers and is durable; makes the cluster first where there is none.

        Raises:
            PostgresUnavailable, ProcessFailed, UnsafeSettings: see there.
        """
        if not self.is_initialized:
            self.initialize()
        self.prepare()
        self.spawn()
        self.wait_until_ready()

    def prepare(self) -> None:
        """Clean up after an earlier server and write the configuration.

        Raises:
            PostgresUnavailable: no usable Postgres.
            ProcessFailed: an earlier server does not end.
        """
        self._prepare_directories()
        self._remove_leftovers()
        self._write_configuration()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the prepared process; `wait_until_ready` must follow."""
        assert self.pid is None, "already started"
        self._process = processes.spawn(
            [self.binaries().postgres, "-D", str(self.data_directory)],
            log=self.log,
            # Fast shutdown: roll back what is open, write a checkpoint, end.
            death_signal=signal.SIGINT,
            identity=self._identity(),
            environment=_environment(),
            on_any_thread=self._on_any_thread,
            confinement=self.confinement,
        )
        return self._process

    def wait_until_ready(self) -> None:
        """Return when the server accepts connections and its settings are those that lose nothing.

        Raises:
            ProcessFailed: it ended or took longer than START_SECONDS_MAX; one that replays an archive may.
            UnsafeSettings: it would lose acknowledged commits; it is stopped.
        """
        process = self._process
        assert process is not None, "spawn() comes first"
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._says_ready(process.pid):
            if process.poll() is not None:
                raise ProcessFailed(f"Postgres ended with {process.returncode}: {processes.tail(self.log)}")
            if time.monotonic() > deadline and not self._is_restoring():
                self.stop()
                raise ProcessFailed(
                    f"Postgres was not ready in {START_SECONDS_MAX} s: {processes.tail(self.log)}"
                )
            time.sleep(processes.POLL_SECONDS)
        try:
            with self.connect() as connection:
                refuse_unsafe(connection)
        except UnsafeSettings:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down: open transactions are rolled back, a checkpoint is written."""
        if self._process is not None:
            processes.stop(self._process, first=signal.SIGINT, seconds=STOP_SECONDS_MAX)
            self._process = None
            self._socket_directory = None
            files.remove_socket_directory(self.directory / "run")

    def kill(self) -> None:
        """End every process of the server at once, as a power cut would; for tests."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pid in processes.processes_in(self.data_directory):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            processes.wait_until_gone(processes.processes_in(self.data_directory), LEFTOVER_SECONDS_MAX)
            self._process = None

    @property
    def pid(self) -> int | None:
        """Id of the running server process."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    # -- use

    def dsn(self, role: str = ADMINISTRATOR, database: str = DATABASE) -> str:
        """Connection string of a role; holds its password, so it goes into private files and no log.

        Raises:
            ProcessFailed: the role has no password, as while a lost cluster is made again.
        """
        password = self._passwords().get(role)
        if password is None:
            raise ProcessFailed(f"{self.directory} has no role {role} yet")
        return psycopg.conninfo.make_conninfo(
            host=str(self.socket_directory), user=role, password=password, dbname=database
        )

    def administrator_environment(self) -> dict[str, str]:
        """What Postgres' own programs need in their environment to connect as the administrator.

        Raises:
            ProcessFailed: as `dsn`.
        """
        values = psycopg.conninfo.conninfo_to_dict(self.dsn())
        names = {"host": "PGHOST", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        return {name: str(values[key]) for key, name in names.items()}

    @contextlib.contextmanager
    def connect(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """A connection of the administrator in autocommit mode."""
        with psycopg.connect(self.dsn(database=database), autocommit=True, connect_timeout=10) as connection:
            yield connection

    def create_role(self, role: str) -> None:
        """Make a role that may log in and owns nothing, with a random password, unless it exists."""
        with self.connect() as connection:
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                return
            password = secrets.token_urlsafe(files.SECRET_BYTES)
            connection.execute(
                sql.SQL(
                    "CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT PASSWORD {}"
                ).format(sql.Identifier(role), sql.Literal(password))
            )
        passwords = {**self._passwords(), role: password}
        files.write_private(
            self.directory / "passwords.json", json.dumps(passwords, indent=1).encode(), may_replace=True
        )

    def create_database(self, database: str, *, template: str = "template0") -> None:
        """Make a database that nobody but the administrator may connect to, as a copy of ``template``."""
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(database), sql.Identifier(template)
                )
            )
            connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database))
            )

    def create_role_and_schema(self, service: str, database: str = DATABASE) -> str:
        """Give ``service`` a role and, in ``database``, a schema of the same name that only the role can use.

        Returns the service's connection string. The role may not connect to any other database that
        `create_database` made, nor read another service's schema.
        """
        self.create_role(service)
        role = sql.Identifier(service)
        with self.connect(database) as connection:
            for statement in (
                sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
                sql.SQL("GRANT CONNECT, CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), role),
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(role, role),
                sql.SQL("REVOKE CREATE ON DATABASE {} FROM {}").format(sql.Identifier(database), role),
                sql.SQL("ALTER ROLE {} SET search_path = {}").format(role, role),
                # Its operator classes are found by type, so they need no place in anybody's search path.
                sql.SQL("CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public"),
            ):
                connection.execute(statement)
        return self.dsn(service, database)

    # -- inside

    def _passwords(self) -> dict[str, str]:
        try:
            stored: dict[str, str] = json.loads((self.directory / "passwords.json").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return stored

    def _run_single_user(self, statements: Sequence[str]) -> None:
        """Execute statements on the stopped cluster, without anybody's password."""
        printed = processes.run_to_end(
            [self.binaries().postgres, "--single", "-j", "-D", str(self.data_directory), "postgres"],
            identity=self._identity(),
            # With -j a statement ends with a semicolon and an empty line.
            standard_input="".join(f"{statement};\n\n" for statement in statements),
            environment=_environment(),
        )
        if "ERROR:" in printed or "FATAL:" in printed:
            raise ProcessFailed(f"Postgres in single-user mode: {printed[-500:]}")

    def _says_ready(self, pid: int) -> bool:
        """Postgres writes its id on the first and its state on the eighth line of postmaster.pid."""
        try:
            lines = (self.data_directory / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # In a user namespace the id is the same: only users are mapped there.
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _is_restoring(self) -> bool:
        """Postgres takes the file away when it has reached its target."""
        return (self.data_directory / "recovery.signal").exists()

    def _identity(self) -> Identity:
        """Whom the server runs as. Postgres refuses root."""
        if os.geteuid() != 0:
            return "keep"
        nobody = pwd.getpwnam("nobody").pw_uid
        if self.data_directory.exists() and self.data_directory.stat().st_uid == nobody:
            return "nobody"
        return "namespace" if processes.can_enter_user_namespace() else "nobody"

    def _prepare_directories(self) -> Identity:
        """Make the directories, owned by whom the server runs as.

        Raises:
            PostgresUnavailable: it would run as nobody, who cannot reach the programs or the data.
        """
        identity = self._identity()
        files.make_private_directory(self.directory)
        self.data_directory.mkdir(mode=0o700, exist_ok=True)
        run = self.socket_directory
        if identity == "nobody":
            nobody = pwd.getpwnam("nobody")
            self.directory.chmod(0o711)
            for owned in (self.data_directory, run):
                os.chown(owned, nobody.pw_uid, nobody.pw_gid)
            for path in (self.data_directory, run, Path(self.binaries().postgres)):
                if (closed := _closed_to_others(path)) is not None:
                    raise PostgresUnavailable(
                        "Postgres does not run as root, user namespaces are forbidden here, and nobody "
                        f"cannot enter {closed}: run as an ordinary user, or open it (chmod o+x)"
                    )
        return identity

    def _write_configuration(self) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self.socket_directory)}
        for name, text in (
            ("postgresql.conf", configuration(settings)),
            ("pg_hba.conf", HOST_BASED_AUTHENTICATION),
        ):
            path = self.data_directory / name
            files.write_private(path, text.encode(), may_replace=True)
            owner = self.data_directory.stat()
            if owner.st_uid != os.geteuid():
                os.chown(path, owner.st_uid, owner.st_gid)

    def _remove_leftovers(self) -> None:
        """Wait for, then end, what an earlier server left running on the data; remove its lock files.

        Postgres itself trusts a lock file whose process id a stranger has taken over since.
        """
        leftover = processes.processes_in(self.data_directory)
        if leftover and not processes.wait_until_gone(leftover, LEFTOVER_SECONDS_MAX):
            for pid in processes.processes_in(self.data_directory):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)  # immediate shutdown; the log makes it safe
            if not processes.wait_until_gone(leftover, LEFTOVER_SECONDS_MAX):
                raise ProcessFailed(f"processes {leftover} hold {self.data_directory} and do not end")
        (self.data_directory / "postmaster.pid").unlink(missing_ok=True)
        for stale in self.socket_directory.glob(".s.PGSQL.*"):
            stale.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """What a Postgres program gets of our environment: nothing that could change its behaviour."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "TZ": "UTC", "LC_ALL": "C"}


def _closed_to_others(path: Path) -> Path | None:
    """The first directory above ``path`` that other users may not enter."""
    for parent in reversed(path.resolve().parents):
        if not parent.stat().st_mode & 0o001:
            return parent
    return None
