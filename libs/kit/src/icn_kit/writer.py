"""A connection for one statement per block: in autocommit mode, so that each is a single round trip."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import structlog

from icn_kit.database import Connection, Database
from icn_kit.errors import Unavailable

_log = structlog.get_logger(__name__)


END_SECONDS = 10.0
"""A server ends a statement within milliseconds, unless its disk hangs."""
END_POLL_SECONDS = 0.05

_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = %(name)s AND usename = current_user
"""


class Writer:
    """A connection of its own, made again after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = f"icn-writer-{secrets.token_hex(8)}"
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None

    async def execute(self, text: str, parameters: Mapping[str, Any] | Sequence[Any]) -> int:
        """Execute a statement; it is committed on return. The answer is how many rows it wrote.

        Raises:
            Unavailable: the connection was lost (DATABASE_UNAVAILABLE) or the statement ran into its time-out
                (DATABASE_TIMEOUT); whether a lost one was committed is unknown.
            psycopg.Error: the statement was refused and changed nothing.
        """
        if self._connection is None:
            connection = await self._stack.enter_async_context(
                self._database.connection_alone(application_name=self._name)
            )
            # A plan lives as long as the connection; one made while a table was small would read all of it.
            await connection.execute("SET enable_seqscan = off")
            self._connection = connection
        try:
            cursor = await self._connection.execute(text, parameters, prepare=True)
            return cursor.rowcount
        except psycopg.errors.QueryCanceled as error:
            raise Unavailable("DATABASE_TIMEOUT", "a statement ran into its time-out") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if not self._connection.broken:
                raise
            _log.warning("connection of the writer lost", error=str(error))
            await self.close()
            raise Unavailable("DATABASE_UNAVAILABLE", "the connection to Postgres was lost") from error

    async def end(self, connection: Connection) -> None:
        """After an outcome that is unknown: return once the server has ended what this writer left behind, so
        that nothing of it is committed any more.

        Raises:
            Unavailable: it did not end in END_SECONDS (DATABASE_BUSY).
        """
        await self.close()
        for _ in range(round(END_SECONDS / END_POLL_SECONDS)):
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            cursor = await connection.execute(_END, {"name": self._name})
            if await cursor.fetchone() is None:
                return
            await asyncio.sleep(END_POLL_SECONDS)
        raise Unavailable("DATABASE_BUSY", f"the server has not ended a lost statement in {END_SECONDS} s")

    async def close(self) -> None:
        """Disconnect; the next statement connects again."""
        self._connection = None
        await self._stack.aclose()
