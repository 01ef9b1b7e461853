"""A connection for one statement per block: in autocommit mode, so that each is a single round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import structlog

from icn_kit.database import Connection, Database
from icn_kit.errors import Unavailable

_log = structlog.get_logger(__name__)


class Writer:
    """A connection of its own, made again after it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
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
            self._connection = await self._stack.enter_async_context(self._database.connection_alone())
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

    async def close(self) -> None:
        """Disconnect; the next statement connects again."""
        self._connection = None
        await self._stack.aclose()
