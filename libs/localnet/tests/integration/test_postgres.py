from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from icn_localnet import postgres, processes
from icn_localnet.postgres import PostgresServer
from icn_localnet.postgres_binaries import PostgresUnavailable
from icn_localnet.postgres_settings import DURABLE, UnsafeSettings
from icn_localnet.processes import ProcessFailed


@pytest.fixture
def server(localnet_directory: Path, request: pytest.FixtureRequest) -> PostgresServer:
    made = PostgresServer(localnet_directory / f"own-{abs(hash(request.node.name))}")
    request.addfinalizer(made.stop)
    return made


def test_a_server_listens_on_a_private_socket_and_on_no_port(postgres_server: PostgresServer) -> None:
    with postgres_server.connect() as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert (postgres_server.socket_directory.stat().st_mode & 0o777) == 0o700
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    inodes = {line.split()[9] for line in listening.splitlines()[1:] if line.split()[3] == "0A"}
    owned = {
        str(link.readlink()).removeprefix("socket:[").removesuffix("]")
        for pid in processes.processes_in(postgres_server.data_directory)
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink() and str(link.readlink()).startswith("socket:")
    }
    assert not inodes & owned


def test_a_running_server_flushes_every_commit(postgres_server: PostgresServer) -> None:
    with postgres_server.connect() as connection:
        for name, value in DURABLE.items():
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)


@pytest.mark.parametrize("name", sorted(DURABLE))
def test_a_server_that_could_lose_commits_is_refused_and_stopped(server: PostgresServer, name: str) -> None:
    unsafe = PostgresServer(server.directory, settings={name: "off"})
    with pytest.raises(UnsafeSettings, match=f"{name} is off, must be on"):
        unsafe.start()
    assert unsafe.pid is None
    assert processes.processes_in(unsafe.data_directory) == []


def test_a_role_that_would_not_wait_for_the_disk_is_refused(server: PostgresServer) -> None:
    server.start()
    server.create_database("icn")
    server.create_role_and_schema("ledger")
    with server.connect() as connection:
        connection.execute("ALTER ROLE ledger SET synchronous_commit = off")
    server.stop()
    with pytest.raises(UnsafeSettings, match="synchronous_commit is set to off for a role or database"):
        server.start()


def test_a_service_cannot_read_the_schema_of_another(server: PostgresServer) -> None:
    server.start()
    server.create_database("icn")
    ledger, consensus = (server.create_role_and_schema(name) for name in ("ledger", "consensus"))
    with psycopg.connect(ledger) as connection:
        connection.execute("CREATE TABLE account (id integer)")
        connection.execute("INSERT INTO account VALUES (7)")
    with psycopg.connect(consensus, autocommit=True) as connection:
        for statement in (
            "SELECT * FROM ledger.account",
            "INSERT INTO ledger.account VALUES (1)",
            "CREATE TABLE ledger.other (id integer)",
            "CREATE TABLE public.other (id integer)",
            "CREATE SCHEMA other",
            "SET ROLE ledger",
            "ALTER ROLE ledger PASSWORD 'x'",
            "SELECT rolpassword FROM pg_authid",
            "COPY (SELECT 1) TO PROGRAM 'cat'",
            "SELECT pg_read_file('postgresql.conf')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[arg-type]
    with psycopg.connect(ledger) as connection:
        assert connection.execute("SELECT id FROM account").fetchall() == [(7,)]


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_a_service_connects_to_its_own_database_only(server: PostgresServer, database: str) -> None:
    server.start()
    server.create_database("icn")
    server.create_database("of_another_federation")
    server.create_role_and_schema("ledger")
    for other in (database, "of_another_federation"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(server.dsn("ledger", other))


def test_a_wrong_password_is_refused(postgres_server: PostgresServer) -> None:
    dsn = psycopg.conninfo.make_conninfo(postgres_server.dsn(database="postgres"), password="guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn)


def test_the_passwords_are_readable_by_their_owner_only(postgres_server: PostgresServer) -> None:
    assert (postgres_server.directory / "passwords.json").stat().st_mode & 0o777 == 0o600


def test_what_was_committed_is_there_after_a_kill(server: PostgresServer) -> None:
    server.start()
    with server.connect() as connection:
        connection.execute("CREATE TABLE kept (id integer)")
        connection.execute("INSERT INTO kept VALUES (1)")
    server.kill()
    server.start()
    with server.connect() as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]


def test_a_lock_file_whose_process_id_a_stranger_took_over_is_no_obstacle(server: PostgresServer) -> None:
    server.start()
    server.kill()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        lock = server.data_directory / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        socket_lock = server.socket_directory / ".s.PGSQL.5432.lock"
        socket_lock.write_text(f"{stranger.pid}\n")
        server.start()
        assert server.pid is not None
        assert stranger.poll() is None, "a process that is not Postgres must be left alone"
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_left_running_by_a_killed_parent_is_replaced(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LEFTOVER_SECONDS_MAX", 0.5)
    server.start()
    left_behind = server.pid
    again = PostgresServer(server.directory)
    # The first server does not die by itself here: its parent, this process, lives on.
    again.start()
    try:
        assert left_behind is not None
        assert not processes.is_alive(left_behind)
        assert again.pid != left_behind
    finally:
        again.stop()


def test_a_path_too_long_for_a_socket_gets_a_short_one(localnet_directory: Path) -> None:
    deep = localnet_directory / ("d" * 90)
    server = PostgresServer(deep)
    server.start()
    try:
        short = server.socket_directory
        assert len(str(short / ".s.PGSQL.5432")) <= 107
        with server.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        server.stop()
    assert not short.exists()


def test_a_copied_cluster_answers_to_its_own_passwords_only(server: PostgresServer) -> None:
    server.start()
    server.create_database("icn")
    dsn = server.create_role_and_schema("ledger")
    server.stop()
    server.set_passwords(["icn_administrator", "ledger"])
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn)
    with psycopg.connect(server.dsn("ledger")) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("ledger",)


def test_setting_the_password_of_an_unknown_role_fails(server: PostgresServer) -> None:
    server.initialize()
    with pytest.raises(ProcessFailed, match='role "nobody_we_know" does not exist'):
        server.set_passwords(["nobody_we_know"])


def test_every_test_gets_a_database_of_its_own(database_for: Callable[[str], str]) -> None:
    first, second = database_for("icn_consensus"), database_for("icn_consensus")
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mark (id integer)")
    with psycopg.connect(second) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM mark")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_becomes_nobody_where_user_namespaces_are_forbidden(
    localnet_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "can_enter_user_namespace", lambda: False)
    server = PostgresServer(localnet_directory / "as-nobody")
    try:
        server.start()
    except PostgresUnavailable as refusal:
        assert "nobody cannot enter" in str(refusal)
        pytest.skip(f"nobody cannot reach this checkout: {refusal}")
    try:
        nobody = pwd.getpwnam("nobody").pw_uid
        assert server.pid is not None
        assert Path(f"/proc/{server.pid}").stat().st_uid == nobody
        assert server.data_directory.stat().st_uid == nobody
        with server.connect() as connection:
            connection.execute("CREATE TABLE kept (id integer)")
    finally:
        server.stop()
    # Namespaces are allowed again: the data still belongs to nobody, so nobody goes on.
    monkeypatch.undo()
    server.start()
    with server.connect() as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_a_directory_that_nobody_cannot_enter_is_named_in_the_refusal(
    localnet_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "can_enter_user_namespace", lambda: False)
    closed = localnet_directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(PostgresUnavailable, match=f"nobody cannot enter {closed}"):
        PostgresServer(closed / "postgres").start()
