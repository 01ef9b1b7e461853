"""Postgres: one pool per service, in its own schema, refused when the server could lose what it
acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import structlog
from prometheus_client import Counter
from psycopg import sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from icn_kit.errors import Unavailable

POOL_SIZE_DEFAULT = 4
"""Each backend takes about 5 MB; four keep two cores busy."""
CONNECT_SECONDS_MAX = 10
WAIT_SECONDS_MAX = 5.0
"""For a free connection; a caller's deadline is seldom longer."""
STATEMENT_TIMEOUT_MS_DEFAULT = 30_000
"""A statement of a service touches a page or a block; one that runs this long is a fault."""
IDLE_TRANSACTION_TIMEOUT_MS = 60_000
"""A transaction that is left open holds back the outbox relay and vacuum."""

REQUIRED_SETTINGS = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""Without these an acknowledged transaction may be gone after a crash (promise P1)."""

Connection = psycopg.AsyncConnection[Any]

FAILURES = Counter(
    "icn_kit_database_failures_total",
    "Work that failed for Postgres: no connection (unavailable), none free (busy), or too slow (timeout).",
    ["reason"],
)
_UNAVAILABLE, _BUSY, _TIMEOUT = (FAILURES.labels(reason) for reason in ("unavailable", "busy", "timeout"))

_log = structlog.get_logger(__name__)


class UnsafeDatabase(Exception):
    """The server runs with a setting that can lose acknowledged transactions; the service does not start."""


class Database:
    """A service's connections. Made by `open`."""

    def __init__(self, pool: AsyncConnectionPool[Connection], dsn: str, schema: str, options: str) -> None:
        self._pool = pool
        self.dsn = dsn
        self.schema = schema
        self._options = options

    @classmethod
    async def open(
        cls,
        dsn: str,
        schema: str,
        *,
        pool_size: int = POOL_SIZE_DEFAULT,
        statement_timeout_ms: int = STATEMENT_TIMEOUT_MS_DEFAULT,
    ) -> Database:
        """Connect; every connection has ``schema`` as its whole search path, autocommit off, and time-outs.

        Raises:
            UnsafeDatabase: fsync, full_page_writes or synchronous_commit is not on.
            Unavailable: nobody answers at ``dsn`` (reason DATABASE_UNAVAILABLE).
        """

        options = _session_options(schema, statement_timeout_ms)
        try:
            async with await psycopg.AsyncConnection.connect(
                dsn, connect_timeout=CONNECT_SECONDS_MAX, options=options
            ) as first:
                await _check_settings(first)
        except psycopg.OperationalError as error:
            raise Unavailable("DATABASE_UNAVAILABLE", f"no connection to Postgres: {error}") from error
        pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=pool_size,
            timeout=WAIT_SECONDS_MAX,
            configure=_check_settings,
            kwargs={"options": options},
            open=False,
            name=schema,
            num_workers=1,
        )
        try:
            await pool.open(wait=True, timeout=CONNECT_SECONDS_MAX)
        except PoolTimeout as error:
            await pool.close()
            raise Unavailable("DATABASE_UNAVAILABLE", "no connection to Postgres in time") from error
        return cls(pool, dsn, schema, options)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of the pool; committed at the end, rolled back on an exception.

        Raises:
            Unavailable: no connection is free (DATABASE_BUSY), a statement ran into its time-out
                (DATABASE_TIMEOUT), or the server went away (DATABASE_UNAVAILABLE): then whether a commit
                took place is unknown.
        """
        connection: Connection | None = None
        try:
            async with self._pool.connection() as connection:
                yield connection
        except PoolTimeout as error:
            _BUSY.inc()
            raise Unavailable(
                "DATABASE_BUSY", f"no database connection within {WAIT_SECONDS_MAX:g} s"
            ) from error
        except psycopg.errors.QueryCanceled as error:
            _TIMEOUT.inc()
            raise Unavailable("DATABASE_TIMEOUT", "a statement ran into its time-out") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if connection is None or not connection.broken:
                raise
            _log.warning("database connection lost", schema=self.schema, error=str(error))
            _UNAVAILABLE.inc()
            await self._pool.check()  # the others most likely died with it
            raise Unavailable("DATABASE_UNAVAILABLE", "the connection to Postgres was lost") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection of the pool on which each statement is a transaction of its own, which takes one round
        trip instead of three.

        Raises:
            Unavailable: as `connection`.
        """
        async with self.connection() as connection:
            await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                if not connection.closed:
                    await connection.set_autocommit(False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside a transaction, which commits at the end of the block and rolls back on an
        exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def connection_alone(self, application_name: str | None = None) -> AsyncIterator[Connection]:
        """A connection outside of the pool, in autocommit mode, for whoever keeps one for long: a listener.

        ``application_name`` is what the server calls it in its list of sessions.

        Raises:
            UnsafeDatabase: as `open`.
            Unavailable: nobody answers (DATABASE_UNAVAILABLE).
        """
        try:
            connection = await _connected_or_closed(
                psycopg.AsyncConnection.connect(
                    self.dsn,
                    autocommit=True,
                    connect_timeout=CONNECT_SECONDS_MAX,
                    options=self._options,
                    application_name=application_name,
                )
            )
        except psycopg.OperationalError as error:
            _UNAVAILABLE.inc()
            raise Unavailable("DATABASE_UNAVAILABLE", f"no connection to Postgres: {error}") from error
        async with connection:
            await _check_settings(connection)
            yield connection

    async def close(self) -> None:
        """Close every connection; those in use are cut off after five seconds."""
        await self._pool.close(timeout=5.0)


async def _connected_or_closed(connecting: Coroutine[Any, Any, Connection]) -> Connection:
    """The connection; when we are cancelled meanwhile it is closed as soon as it is there.

    psycopg would leave the socket open until its objects are collected: the server waits a minute for the
    password, and everything that waits for all of its backends (DROP DATABASE does) waits with it.
    """
    task = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None:
            await task.result().close()
        raise


def _session_options(schema: str, statement_timeout_ms: int) -> str:
    """libpq's ``options``: settings of every session from its start."""
    settings = {
        "search_path": sql.Identifier(schema).as_string(),
        "statement_timeout": str(statement_timeout_ms),
        "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
    }
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


async def _check_settings(connection: Connection) -> None:
    """Ask the session itself: a role or a database may have a setting of its own."""
    cursor = await connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s) ORDER BY name", [list(REQUIRED_SETTINGS)]
    )
    found: dict[str, str] = dict(await cursor.fetchall())
    await connection.rollback()
    wrong = [
        f"{name} = {found.get(name)}" for name, value in REQUIRED_SETTINGS.items() if found.get(name) != value
    ]
    if wrong:
        raise UnsafeDatabase("refused, an acknowledged transaction could be lost: " + ", ".join(wrong))


def migrate(dsn: str, schema: str, versions_folder: Path) -> None:
    """Bring ``schema`` to the newest revision of ``versions_folder``; see `icn_kit.migrate`."""
    from icn_kit import migrate as entry  # alembic and SQLAlchemy stay out of processes that do not migrate

    entry.upgrade(dsn, schema, versions_folder)
