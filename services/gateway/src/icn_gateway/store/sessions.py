"""Sessions in Postgres: hashes of tokens and codes, so that who reads the table cannot sign in with it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from icn_kit.database import Connection, Database
from icn_kit.errors import FailedPrecondition, Unavailable

from icn_gateway.domain.sign_in import CODES_MAX, KEY_BYTES, SESSIONS_MAX, Challenge, Session

SCHEMA = "gateway"
POOL_SIZE = 2
"""A session is one look-up by primary key."""
OPEN_AGAIN_SECONDS = 1.0
"""After a failed try; the door itself opens without a database."""
SWEEP_ROWS_MAX = 200
"""Of what has ended, removed with each new session: more than one can be added meanwhile."""


class PostgresSessions:
    """Implements `icn_gateway.usecases.sign_in.SessionStore`. Connects when first asked, and again after a
    failure.

    Args:
        dsn: of the host's Postgres, as the role ``gateway``; empty: nobody can sign in here.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._database: Database | None = None
        self._opening = asyncio.Lock()
        self._failed_at = float("-inf")
        self._key = b""

    async def challenge_key(self) -> bytes:
        """See `SessionStore`."""
        if not self._key:
            async with self._transaction() as connection:
                await connection.execute(
                    "INSERT INTO challenge_key (key) VALUES (%s) ON CONFLICT DO NOTHING",
                    [secrets.token_bytes(KEY_BYTES)],
                )
                row = await (await connection.execute("SELECT key FROM challenge_key")).fetchone()
            assert row is not None, "inserted above"
            self._key = bytes(row[0])
        return self._key

    async def add_session(
        self, token_hash: bytes, session: Session, challenge: Challenge, now_ms: int
    ) -> None:
        """See `SessionStore`."""
        async with self._transaction() as connection:
            await _use(connection, challenge)
            await _insert(connection, "session", "token_hash", token_hash, session)
            await _bound(connection, "session", "token_hash", session.principal, SESSIONS_MAX)
            await _sweep(connection, now_ms)

    async def add_code(self, code_hash: bytes, session: Session, challenge: Challenge, now_ms: int) -> None:
        """See `SessionStore`."""
        async with self._transaction() as connection:
            await _use(connection, challenge)
            await _insert(connection, "sign_in_code", "code_hash", code_hash, session)
            await _bound(connection, "sign_in_code", "code_hash", session.principal, CODES_MAX)
            await _sweep(connection, now_ms)

    async def exchange_code(
        self, code_hash: bytes, token_hash: bytes, expire_time_ms: int, now_ms: int
    ) -> Session | None:
        """See `SessionStore`."""
        async with self._transaction() as connection:
            cursor = await connection.execute(
                "DELETE FROM sign_in_code WHERE code_hash = %s"
                " RETURNING principal, keys_digest, expire_time_ms",
                [code_hash],
            )
            row = await cursor.fetchone()
            if row is None or row[2] < now_ms:
                return None
            session = Session(bytes(row[0]), bytes(row[1]), expire_time_ms)
            await _insert(connection, "session", "token_hash", token_hash, session)
            await _bound(connection, "session", "token_hash", session.principal, SESSIONS_MAX)
            return session

    async def find(self, token_hash: bytes, now_ms: int) -> Session | None:
        """See `SessionStore`."""
        async with self._transaction() as connection:
            cursor = await connection.execute(
                "SELECT principal, keys_digest, expire_time_ms FROM session"
                " WHERE token_hash = %s AND expire_time_ms >= %s",
                [token_hash, now_ms],
            )
            row = await cursor.fetchone()
        return None if row is None else Session(bytes(row[0]), bytes(row[1]), row[2])

    async def end(self, token_hash: bytes) -> None:
        """See `SessionStore`."""
        async with self._transaction() as connection:
            await connection.execute("DELETE FROM session WHERE token_hash = %s", [token_hash])

    async def end_all(self, principal: bytes) -> int:
        """See `SessionStore`."""
        async with self._transaction() as connection:
            await connection.execute("DELETE FROM sign_in_code WHERE principal = %s", [principal])
            return (
                await connection.execute("DELETE FROM session WHERE principal = %s", [principal])
            ).rowcount

    async def close(self) -> None:
        """Close the connections."""
        if self._database is not None:
            await self._database.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        database = await self._open()
        async with database.transaction() as connection:
            yield connection

    async def _open(self) -> Database:
        if self._database is not None:
            return self._database
        if not self._dsn:
            raise Unavailable("SIGN_IN_NOT_CONFIGURED", "this gateway keeps no sessions")
        async with self._opening:
            if self._database is None:
                if monotonic() - self._failed_at < OPEN_AGAIN_SECONDS:
                    raise Unavailable("DATABASE_UNAVAILABLE", "sessions cannot be read now")
                try:
                    self._database = await Database.open(self._dsn, SCHEMA, pool_size=POOL_SIZE)
                except Unavailable:
                    self._failed_at = monotonic()
                    raise Unavailable("DATABASE_UNAVAILABLE", "sessions cannot be read now") from None
            return self._database


async def _use(connection: Connection, challenge: Challenge) -> None:
    cursor = await connection.execute(
        "INSERT INTO used_challenge (digest, expire_time_ms) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [challenge.digest, challenge.expire_time_ms],
    )
    if cursor.rowcount != 1:
        raise FailedPrecondition(
            "CHALLENGE_USED", "somebody has signed in with this challenge; ask for another"
        )


async def _insert(connection: Connection, table: str, column: str, secret: bytes, session: Session) -> None:
    await connection.execute(
        f"INSERT INTO {table} ({column}, principal, keys_digest, expire_time_ms) VALUES (%s, %s, %s, %s)",  # noqa: S608
        [secret, session.principal, session.keys_digest, session.expire_time_ms],
    )


async def _bound(connection: Connection, table: str, column: str, principal: bytes, rows_max: int) -> None:
    await connection.execute(
        f"DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table} WHERE principal = %s"  # noqa: S608
        f" ORDER BY expire_time_ms DESC, {column} OFFSET %s)",
        [principal, rows_max],
    )


async def _sweep(connection: Connection, now_ms: int) -> None:
    for table, column in (
        ("used_challenge", "digest"),
        ("session", "token_hash"),
        ("sign_in_code", "code_hash"),
    ):
        await connection.execute(
            f"DELETE FROM {table} WHERE {column} IN (SELECT {column} FROM {table}"  # noqa: S608
            " WHERE expire_time_ms < %s ORDER BY expire_time_ms LIMIT %s)",
            [now_ms, SWEEP_ROWS_MAX],
        )
