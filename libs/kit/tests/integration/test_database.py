from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from icn_kit import migrate as migrations
from icn_kit.database import Database, UnsafeDatabase, migrate
from icn_kit.errors import NotFound, Unavailable
from icn_kit.migrate import LOCK_TIMEOUT_MS, SchemaTooNew, schema_of, versions_folder_of, wait_for_server
from icn_localnet.postgres import PostgresServer
from prometheus_client import REGISTRY
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus

FIRST = """
revision = "0001"
down_revision = None

def upgrade():
    from alembic import op
    op.execute("CREATE TABLE account (id bigint PRIMARY KEY)")
"""
SECOND = """
revision = "0002"
down_revision = "0001"

def upgrade():
    from alembic import op
    op.execute("ALTER TABLE account ADD COLUMN floor_minor bigint NOT NULL DEFAULT 0")
"""
THIRD = """
revision = "0003"
down_revision = "0002"
oldest_head = "0002"

def upgrade():
    from alembic import op
    op.execute("ALTER TABLE account DROP COLUMN id")
"""


async def rows(database: Database, query: str) -> list[Any]:
    async with database.connection() as connection:
        return list(await (await connection.execute(query)).fetchall())


async def test_a_session_has_its_schema_and_time_outs(dsn: str) -> None:
    database = await Database.open(dsn, "kit", statement_timeout_ms=12_345)
    try:
        (found,) = await rows(
            database,
            "SELECT current_setting('search_path'), current_setting('statement_timeout'),"
            " current_setting('idle_in_transaction_session_timeout')",
        )
        assert found == ('"kit"', "12345ms", "1min")
    finally:
        await database.close()


@pytest.mark.parametrize("setting", ["synchronous_commit"])
async def test_a_role_that_could_lose_commits_is_refused(
    dsn: str, postgres_server: PostgresServer, setting: str
) -> None:
    parameters = conninfo_to_dict(dsn)
    place = sql.SQL("ALTER ROLE kit IN DATABASE {} ").format(sql.Identifier(str(parameters["dbname"])))
    with postgres_server.connect() as connection:
        connection.execute(place + sql.SQL("SET synchronous_commit = off"))
    try:
        with pytest.raises(UnsafeDatabase, match="synchronous_commit = off"):
            await Database.open(dsn, "kit")
    finally:
        with postgres_server.connect() as connection:
            connection.execute(place + sql.SQL("RESET synchronous_commit"))
    await (await Database.open(dsn, "kit")).close()


async def test_nobody_at_the_address_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        await Database.open(make_conninfo(host=str(tmp_path), dbname="none"), "kit")
    assert refused.value.reason == "DATABASE_UNAVAILABLE"


async def test_a_transaction_commits_as_a_whole_or_not_at_all(database: Database) -> None:
    with pytest.raises(NotFound):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO effect (note) VALUES ('lost')")
            raise NotFound("ACCOUNT_UNKNOWN", "no such account")
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO effect (note) VALUES ('kept')")
    assert await rows(database, "SELECT note FROM effect") == [("kept",)]


async def test_while_reading_no_transaction_stays_open_and_afterwards_there_are_some_again(
    database: Database,
) -> None:
    async with database.reading() as connection:
        await connection.execute("SELECT 1")
        assert connection.info.transaction_status == TransactionStatus.IDLE
    with pytest.raises(psycopg.errors.DivisionByZero):
        async with database.reading() as connection:
            await connection.execute("SELECT 1 / 0")
    async with database.connection() as connection:
        await connection.execute("SELECT 1")
        assert connection.info.transaction_status == TransactionStatus.INTRANS


async def test_a_connection_that_is_lost_while_reading_is_unavailable(
    database: Database, postgres_server: PostgresServer
) -> None:
    with pytest.raises(Unavailable) as refusal:
        async with database.reading() as connection:
            pid = connection.info.backend_pid
            with postgres_server.connect() as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            await connection.execute("SELECT 1")
    assert refusal.value.reason == "DATABASE_UNAVAILABLE"
    assert await rows(database, "SELECT 1") == [(1,)]


async def test_a_statement_above_its_time_is_unavailable_and_the_connection_goes_on(dsn: str) -> None:
    database = await Database.open(dsn, "kit", pool_size=1, statement_timeout_ms=100)
    try:
        with pytest.raises(Unavailable) as refused:
            await rows(database, "SELECT pg_sleep(5)")
        assert refused.value.reason == "DATABASE_TIMEOUT"
        assert await rows(database, "SELECT 1") == [(1,)]
    finally:
        await database.close()


def failures(reason: str) -> float:
    return REGISTRY.get_sample_value("icn_kit_database_failures_total", {"reason": reason}) or 0.0


async def test_waiting_for_a_connection_has_an_end(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = failures("busy")
    monkeypatch.setattr("icn_kit.database.WAIT_SECONDS_MAX", 0.2)
    database = await Database.open(dsn, "kit", pool_size=1)
    try:
        async with database.connection():
            with pytest.raises(Unavailable) as refused:
                await rows(database, "SELECT 1")
        assert refused.value.reason == "DATABASE_BUSY"
        assert failures("busy") == before + 1
    finally:
        await database.close()


async def test_a_lost_connection_is_unavailable_and_replaced(
    database: Database, postgres_server: PostgresServer
) -> None:
    with pytest.raises(Unavailable) as refused:
        async with database.connection() as connection:
            pid = connection.info.backend_pid
            with postgres_server.connect() as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            await connection.execute("SELECT 1")
    assert refused.value.reason == "DATABASE_UNAVAILABLE"
    assert await rows(database, "SELECT 1") == [(1,)]


async def test_a_broken_statement_is_a_bug_and_not_an_outage(database: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await rows(database, "SELECT * FROM nothing")


async def test_a_server_killed_and_started_again_is_used_again(localnet_directory: Path) -> None:
    server = PostgresServer(localnet_directory / "killed")
    server.start()
    try:
        server.create_database("icn")
        database = await Database.open(server.create_role_and_schema("kit"), "kit", pool_size=2)
        assert await rows(database, "SELECT 1") == [(1,)]
        server.kill()
        with pytest.raises(Unavailable):
            await rows(database, "SELECT 1")
        server.start()
        for _ in range(20):
            try:
                assert await rows(database, "SELECT 1") == [(1,)]
                break
            except Unavailable:
                await asyncio.sleep(0.2)
        else:
            raise AssertionError("never came back")
        await database.close()
    finally:
        server.stop()


# -- migrations


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    (tmp_path / "0001_accounts.py").write_text(FIRST)
    return tmp_path


def columns(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'kit' AND table_name = 'account'"
        )
        return {name for (name,) in found}


def test_a_schema_is_migrated_from_zero_and_then_step_by_step(dsn: str, versions: Path) -> None:
    migrate(dsn, "kit", versions)
    assert columns(dsn) == {"id"}
    migrate(dsn, "kit", versions)
    (versions / "0002_floors.py").write_text(SECOND)
    migrate(dsn, "kit", versions)
    assert columns(dsn) == {"id", "floor_minor"}


def test_a_failed_step_leaves_nothing_and_the_steps_before_it(dsn: str, versions: Path) -> None:
    (versions / "0002_broken.py").write_text(SECOND + '    op.execute("SELECT nothing")\n')
    with pytest.raises(Exception, match="nothing"):
        migrate(dsn, "kit", versions)
    assert columns(dsn) == {"id"}


def test_a_migration_does_not_wait_long_for_a_lock(dsn: str, versions: Path) -> None:
    migrate(dsn, "kit", versions)
    (versions / "0002_floors.py").write_text(SECOND)
    with psycopg.connect(dsn) as reader:
        reader.execute("SELECT * FROM kit.account")
        with pytest.raises(Exception, match="lock timeout"):
            migrate(dsn, "kit", versions)
    assert LOCK_TIMEOUT_MS <= 5_000
    assert columns(dsn) == {"id"}


def test_a_release_before_takes_the_schema_of_the_next_as_it_is(dsn: str, versions: Path) -> None:
    newer = versions / "0002_floors.py"
    newer.write_text(SECOND)
    migrate(dsn, "kit", versions)
    newer.unlink()
    migrate(dsn, "kit", versions)
    assert columns(dsn) == {"id", "floor_minor"}
    newer.write_text(SECOND)
    migrate(dsn, "kit", versions)


def test_a_schema_that_took_something_away_is_refused_by_who_still_needs_it(
    dsn: str, versions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    second, third = versions / "0002_floors.py", versions / "0003_no_id.py"
    second.write_text(SECOND)
    third.write_text(THIRD)
    migrate(dsn, "kit", versions)
    third.unlink()
    migrate(dsn, "kit", versions)  # knows 0002, the oldest head that works
    second.unlink()
    with pytest.raises(SchemaTooNew, match="at revision 0003, which works with releases that know 0002"):
        migrate(dsn, "kit", versions)
    assert columns(dsn) == {"floor_minor"}
    monkeypatch.setattr(migrations, "versions_folder_of", lambda _package: versions)
    assert migrations.main(["icn_kit", dsn]) == 1
    assert "the newest that this one knows is 0001: go on with the newer release" in capsys.readouterr().err


WRONG = {
    "password": ({"password": "hunter2"}, "password authentication failed"),
    "database": ({"dbname": "nowhere"}, "does not exist"),
    "host": ({"host": "nowhere.invalid"}, "nowhere.invalid"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_server_that_does_not_let_it_in_is_told_with_everything_but_the_password(
    dsn: str, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, says = WRONG[what]
    monkeypatch.setattr(migrations, "WAIT_SECONDS_MAX", 0.0)
    monkeypatch.setenv("ICN_KIT_DATABASE_URL", make_conninfo(dsn, **changed))
    assert migrations.main(["icn_kit"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "ICN_KIT_DATABASE_URL leads to no server that lets icn_kit in, within 0 s, as role "
    )
    assert says in said
    assert "Compare host, database, role and password in the Secret" in said
    assert "hunter2" not in said
    assert str(conninfo_to_dict(dsn)["password"]) not in said


def test_what_is_no_address_is_refused_at_once_and_not_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ICN_KIT_DATABASE_URL", "postgresql//kit:hunter2@host")
    assert migrations.main(["icn_kit"]) == 1
    said = capsys.readouterr().err
    assert "ICN_KIT_DATABASE_URL is not how Postgres is addressed" in said
    assert "hunter2" not in said


def test_a_statement_that_postgres_refuses_is_told_on_one_line(
    dsn: str, versions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(migrations, "versions_folder_of", lambda _package: versions)
    with psycopg.connect(dsn) as connection:
        name = connection.info.user
        connection.execute(f'ALTER ROLE "{name}" SET default_transaction_read_only = on')
    try:
        assert migrations.main(["icn_kit", dsn]) == 1
    finally:
        with psycopg.connect(dsn, options="-c default_transaction_read_only=off") as connection:
            connection.execute(f'ALTER ROLE "{name}" RESET default_transaction_read_only')
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "the schema kit stays as it was" in said
    assert "read-only transaction" in said


def test_two_heads_are_refused(dsn: str, versions: Path) -> None:
    (versions / "0002_other.py").write_text(SECOND)
    (versions / "0002_another.py").write_text(SECOND.replace('"0002"', '"0002b"'))
    with pytest.raises(Exception, match="head"):
        migrate(dsn, "kit", versions)


async def test_two_processes_may_migrate_at_once(dsn: str, versions: Path) -> None:
    (versions / "0002_floors.py").write_text(SECOND)
    await asyncio.gather(*(asyncio.to_thread(migrate, dsn, "kit", versions) for _ in range(3)))
    assert columns(dsn) == {"id", "floor_minor"}


def test_a_service_names_its_schema_and_keeps_its_migrations_beside_its_source() -> None:
    assert schema_of("icn_ledger") == "ledger"
    with pytest.raises(FileNotFoundError, match="icn_kit has no migrations"):
        versions_folder_of("icn_kit")
    with pytest.raises(FileNotFoundError, match="no package"):
        versions_folder_of("icn_nothing")


def test_the_command_tells_its_usage() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "icn_kit.migrate"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert "SERVICE_PACKAGE [DSN]" in finished.stderr


async def test_a_connection_that_is_cancelled_while_it_connects_leaves_no_backend(
    dsn: str, postgres_server: PostgresServer
) -> None:
    database = await Database.open(dsn, "kit", pool_size=1)

    async def connect() -> None:
        async with database.connection_alone(application_name="cancelled"):
            await asyncio.sleep(30)

    kept = []  # as a log or a traceback keeps them
    for turns in range(40):
        task = asyncio.create_task(connect())
        for _ in range(turns // 4):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.wait({task})
        kept.append(task)
    await database.close()
    name = conninfo_to_dict(dsn)["dbname"]
    with postgres_server.connect() as connection:
        for _ in range(100):
            left = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s OR state IS NULL"
                " AND backend_type = 'client backend'",
                [name],
            ).fetchone()
            if left == (0,):
                break
            await asyncio.sleep(0.05)
    assert left == (0,)
    assert all(task.cancelled() for task in kept)


def test_a_server_that_is_coming_up_is_waited_for(
    dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = iter(["refused", "refused", "starting"])
    connect = psycopg.connect

    def sometimes(*arguments: Any, **options: Any) -> Any:
        if (refusal := next(tries, None)) is not None:
            raise psycopg.OperationalError(refusal)
        return connect(*arguments, **options)

    monkeypatch.setattr(migrations, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(psycopg, "connect", sometimes)
    assert wait_for_server(dsn) == ""
    assert capsys.readouterr().err.splitlines() == [
        "waiting for Postgres: refused",
        "waiting for Postgres: starting",
    ]


def test_a_server_that_does_not_come_is_told_of_once_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrations, "WAIT_SECONDS", 0.01)
    nowhere = make_conninfo("", host="127.0.0.1", port="1", user="ledger", password="not shown", dbname="icn")
    refusal = wait_for_server(nowhere, 0.05)
    assert "Connection refused" in refusal
    assert "not shown" not in refusal


def test_migrations_take_the_address_of_their_service_s_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ICN_LEDGER_DATABASE_URL", raising=False)
    assert migrations.main(["icn_ledger"]) == 2
    assert "ICN_LEDGER_DATABASE_URL is not set" in capsys.readouterr().err
    monkeypatch.setattr(migrations, "WAIT_SECONDS_MAX", 0.0)
    monkeypatch.setenv("ICN_LEDGER_DATABASE_URL", "host=127.0.0.1 port=1")
    assert migrations.main(["icn_ledger"]) == 1
    assert "leads to no server that lets icn_ledger in" in capsys.readouterr().err
