from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from icn_localnet import template
from icn_localnet.postgres import DATABASE, PostgresServer

PACKAGES = ("icn_ledger",)


@pytest.fixture
def cache(localnet_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cache for this module, so that only the first test makes a template."""
    monkeypatch.setenv("ICN_CACHE", str(localnet_directory / "cache"))
    return localnet_directory / "cache"


@pytest.fixture
def server(localnet_directory: Path, cache: Path, request: pytest.FixtureRequest) -> PostgresServer:
    made = PostgresServer(localnet_directory / f"copy-{abs(hash(request.node.name))}")
    request.addfinalizer(made.stop)
    template.make_clusters([made], PACKAGES)
    return made


def test_a_copy_has_the_tables_of_every_service_and_its_own_passwords(
    server: PostgresServer, localnet_directory: Path
) -> None:
    other = PostgresServer(localnet_directory / "another-copy")
    template.make_clusters([other], PACKAGES)
    assert server.dsn("ledger").replace(str(server.directory), "") != other.dsn("ledger").replace(
        str(other.directory), ""
    )
    server.start()
    with psycopg.connect(server.dsn("ledger")) as connection:
        count = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'ledger'").fetchone()
        assert count is not None
        assert count[0] > 1
    password = psycopg.conninfo.conninfo_to_dict(other.dsn("ledger"))["password"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(psycopg.conninfo.make_conninfo(server.dsn("ledger"), password=password))


def test_a_template_is_made_once(cache: Path, server: PostgresServer, localnet_directory: Path) -> None:
    templates = [path for path in (cache / "postgres-template").iterdir() if path.is_dir()]
    assert len(templates) == 1
    made_at = (templates[0] / "cluster" / "PG_VERSION").stat().st_mtime_ns
    template.make_clusters([PostgresServer(localnet_directory / "third-copy")], PACKAGES)
    assert (templates[0] / "cluster" / "PG_VERSION").stat().st_mtime_ns == made_at


def test_an_interrupted_copy_is_made_again(server: PostgresServer) -> None:
    assert template.is_made(server)
    (server.directory / template.MARK).unlink()
    (server.data_directory / "PG_VERSION").unlink()
    assert not template.is_made(server)
    template.make_clusters([server], PACKAGES)
    server.start()
    with server.connect(DATABASE) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_cluster_of_an_older_release_is_migrated_and_a_current_one_is_left_alone(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start()
    migrated: list[str] = []
    monkeypatch.setattr(template, "migrate", lambda package, _dsn: migrated.append(package))
    template.migrate_again(server, PACKAGES)
    assert migrated == []
    (server.directory / template.MARK).write_text("older")
    template.migrate_again(server, PACKAGES)
    assert migrated == ["icn_ledger"]
    template.migrate_again(server, PACKAGES)
    assert migrated == ["icn_ledger"]


def test_a_changed_revision_is_another_template(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = template.template_key(server.binaries(), PACKAGES)
    (tmp_path / "0001_other.py").write_text("revision = '0001'\n")
    monkeypatch.setattr(template, "versions_folder_of", lambda _package: tmp_path)
    assert template.template_key(server.binaries(), PACKAGES) != before


def test_only_the_templates_used_last_are_kept(tmp_path: Path) -> None:
    for number in range(template.TEMPLATES_KEPT + 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "complete").touch()

    for number in range(template.TEMPLATES_KEPT + 2):
        os.utime(tmp_path / str(number) / "complete", (number, number))
    template.forget_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        str(number) for number in range(2, template.TEMPLATES_KEPT + 2)
    ]


def test_a_migration_shows_no_password_on_its_command_line(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def record(command: list[str], **_options: object) -> str:
        seen.append(command)
        return ""

    monkeypatch.setattr("icn_localnet.processes.run_to_end", record)
    dsn = server.dsn("ledger")
    template.migrate("icn_ledger", dsn)
    password = str(psycopg.conninfo.conninfo_to_dict(dsn)["password"])
    assert seen
    assert password not in " ".join(seen[0])
