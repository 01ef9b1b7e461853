"""Migrations of one service: ``python -m icn_kit.migrate SERVICE_PACKAGE [DSN]``.

Without a DSN it is the service's own setting, ``ICN_<SERVICE>_DATABASE_URL``, and a server that does not
answer yet is waited for: it may be starting beside us.

A service keeps its alembic revisions in ``migrations/`` (beside ``src``, or inside the installed package).
A revision is a Python file with ``revision``, ``down_revision`` and ``upgrade()``; there is no ``env.py``
to copy around. Each revision runs in its own transaction with a lock and a statement time-out, in the
service's schema, under a lock that keeps two migrating processes apart.

Each works with the release before still running, which also takes the schema as it is when one goes back to
it. One that takes something away says in ``oldest_head`` which is the oldest head whose code works with it;
releases that do not know that one refuse the schema.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from icn_kit.database_url import check_database_url, database_place
from icn_kit.lifecycle import leave_reason

LOCK_TIMEOUT_MS = 5_000
"""A migration that waits for a lock stops everybody behind it; rather fail and try again."""
STATEMENT_TIMEOUT_MS = 60_000
ADVISORY_LOCK = 0x49434E01
"""Any number that all releases agree on ("ICN", 1); the second key is the schema's hash."""
REVISION_TABLE = "schema_revision"
WAIT_SECONDS_MAX = 120.0
"""For a server that replays its log after a crash."""
WAIT_SECONDS = 1.0


class SchemaTooNew(Exception):
    """The schema was migrated by a newer release, which this one does not work with."""


def upgrade(dsn: str, schema: str, versions_folder: Path) -> None:
    """Bring ``schema`` (made if missing and allowed) to the one head of ``versions_folder``; one that a newer
    release has migrated is left as it is.

    Raises:
        SchemaTooNew: see there.
        alembic.util.CommandError: the folder has several heads.
        sqlalchemy.exc.OperationalError: a lock or statement time-out, or no server.
    """
    import psycopg
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(versions_folder))
    config.set_main_option("version_locations", str(versions_folder))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()

    def connect() -> Any:
        options = f"-c lock_timeout={LOCK_TIMEOUT_MS} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        return psycopg.connect(dsn, options=options)

    def to_head(current: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(head or "heads", current)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(%s, hashtext(%s))", (ADVISORY_LOCK, schema))
        _ensure_schema(connection, schema)
        connection.exec_driver_sql("SELECT set_config('search_path', %s, false)", (_quoted(schema),))
        known = {revision.revision: revision for revision in scripts.walk_revisions()}
        is_newer = _is_of_a_newer_release(connection, schema, known)
        connection.commit()  # before the revisions: each has a transaction of its own
        if is_newer:
            return
        with EnvironmentContext(config, scripts, fn=to_head) as environment:
            environment.configure(
                connection=connection,
                version_table=REVISION_TABLE,
                version_table_schema=schema,
                transaction_per_migration=True,
            )
            with environment.begin_transaction():
                environment.run_migrations()
        oldest = [getattr(revision.module, "oldest_head", "") for revision in known.values()]
        _note_oldest_head(connection, max(oldest, default=""))
        connection.commit()
    engine.dispose()


def _is_of_a_newer_release(connection: Any, schema: str, known: Collection[str]) -> bool:
    """Whether the schema is at a revision that is not among ``known``.

    Raises:
        SchemaTooNew: and those who wrote it do not say that it works for a head that is.
    """
    table = f"{_quoted(schema)}.{REVISION_TABLE}"
    if connection.exec_driver_sql("SELECT to_regclass(%s)", (table,)).scalar() is None:
        return False
    current = connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalar()  # noqa: S608 - quoted
    if current is None or current in known:
        return False
    oldest = connection.exec_driver_sql("SELECT obj_description(to_regclass(%s))", (table,)).scalar()
    if oldest and oldest not in known:
        raise SchemaTooNew(
            f"the schema {schema} is at revision {current}, which works with releases that know {oldest}, "
            f"and the newest that this one knows is {max(known)}: go on with the newer release, or restore a "
            "backup of before its migration (docs/operating/upgrade.md)"
        )
    return True


def _note_oldest_head(connection: Any, oldest_head: str) -> None:
    """For older releases, as the comment of the table that names the revision."""
    assert oldest_head.isalnum() or not oldest_head, "revisions are numbers"
    connection.exec_driver_sql(f"COMMENT ON TABLE {REVISION_TABLE} IS '{oldest_head}'")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _ensure_schema(connection: Any, schema: str) -> None:
    """CREATE SCHEMA IF NOT EXISTS asks for the right to create even when the schema is there."""
    found = connection.exec_driver_sql("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).first()
    if found is None:
        connection.exec_driver_sql(f"CREATE SCHEMA {_quoted(schema)}")


def schema_of(package: str) -> str:
    """The schema of a service's package: ``icn_ledger`` has ``ledger``."""
    return package.removeprefix("icn_")


def versions_folder_of(package: str) -> Path:
    """Where ``package`` keeps its revisions.

    Raises:
        FileNotFoundError: the package is not installed or has no migrations.
    """
    specification = importlib.util.find_spec(package)
    if specification is None or specification.origin is None:
        raise FileNotFoundError(f"no package {package}")
    home = Path(specification.origin).parent
    for folder in (home / "migrations", home.parent.parent / "migrations"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{package} has no migrations folder")


def main(arguments: list[str]) -> int:
    """The command; 2 for wrong usage."""
    if len(arguments) not in (1, 2):
        sys.stderr.write("usage: python -m icn_kit.migrate SERVICE_PACKAGE [DSN]\n")
        return 2
    package = arguments[0]
    schema = schema_of(package)
    if len(arguments) == 2:
        dsn = arguments[1]
    else:
        variable = f"ICN_{schema.upper()}_DATABASE_URL"
        dsn = os.environ.get(variable, "")
        if not dsn:
            sys.stderr.write(f"{variable} is not set: it says where {package} keeps its tables\n")
            return 2
        try:
            check_database_url(dsn)
        except ValueError as error:
            return _refused(f"{variable} {error}")
        if refusal := wait_for_server(dsn, WAIT_SECONDS_MAX):
            return _refused(
                f"{variable} leads to no server that lets {package} in, within {WAIT_SECONDS_MAX:.0f} s, "
                f"{database_place(dsn)}: {refusal}. Compare host, database, role and password in the "
                "Secret with the server's, and see whether it runs"
            )
    return _upgrade_or_refuse(dsn, schema, package)


def _upgrade_or_refuse(dsn: str, schema: str, package: str) -> int:
    from sqlalchemy.exc import DBAPIError

    try:
        upgrade(dsn, schema, versions_folder_of(package))
    except SchemaTooNew as error:
        return _refused(str(error))
    except DBAPIError as error:
        return _refused(
            f"the schema {schema} stays as it was, {database_place(dsn)}: {error.orig}. The statement "
            "is tried again at the next start; docs/operating/doctor.md says what each refusal asks for"
        )
    return 0


def _refused(why: str) -> int:
    """Told in the log and to whoever asks Kubernetes why; the exit status."""
    why = " ".join(why.split())
    sys.stderr.write(f"{why}\n")
    leave_reason(why)
    return 1


def wait_for_server(dsn: str, seconds_max: float = WAIT_SECONDS_MAX) -> str:
    """Return when the server lets us in: an empty string, or why it did not in ``seconds_max``.

    Each refusal is told when it is new: a wrong password too may be one that is just being changed.
    """
    import psycopg

    deadline = time.monotonic() + seconds_max
    told = ""
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            refusal = " ".join(str(error).split())
            if time.monotonic() > deadline:
                return refusal
            if refusal != told:
                told = refusal
                sys.stderr.write(f"waiting for Postgres: {refusal}\n")
            time.sleep(WAIT_SECONDS)
        else:
            return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
