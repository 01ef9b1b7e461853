"""Migrations of one service: ``python -m icn_kit.migrate SERVICE_PACKAGE DSN``.

A service keeps its alembic revisions in ``migrations/`` (beside ``src``, or inside the installed package).
A revision is a Python file with ``revision``, ``down_revision`` and ``upgrade()``; there is no ``env.py``
to copy around. Each revision runs in its own transaction with a lock and a statement time-out, in the
service's schema, under a lock that keeps two migrating processes apart.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

LOCK_TIMEOUT_MS = 5_000
"""A migration that waits for a lock stops everybody behind it; rather fail and try again."""
STATEMENT_TIMEOUT_MS = 60_000
ADVISORY_LOCK = 0x49434E01
"""Any number that all releases agree on ("ICN", 1); the second key is the schema's hash."""
REVISION_TABLE = "schema_revision"


def upgrade(dsn: str, schema: str, versions_folder: Path) -> None:
    """Bring ``schema`` (made if missing and allowed) to the one head of ``versions_folder``.

    Raises:
        alembic.util.CommandError: the folder has several heads or an unknown revision is in the database.
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
        connection.commit()
        with EnvironmentContext(config, scripts, fn=to_head) as environment:
            environment.configure(
                connection=connection,
                version_table=REVISION_TABLE,
                version_table_schema=schema,
                transaction_per_migration=True,
            )
            with environment.begin_transaction():
                environment.run_migrations()
        connection.commit()
    engine.dispose()


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
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m icn_kit.migrate SERVICE_PACKAGE DSN\n")
        return 2
    package, dsn = arguments
    upgrade(dsn, schema_of(package), versions_folder_of(package))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
