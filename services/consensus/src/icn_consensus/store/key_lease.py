"""The right to vote with a consensus key, held in the validator's own Postgres. Source: docs/spec/wal.md.

A session's advisory lock keeps others out while the session lives; the number in the key's row shows whether
somebody held it meanwhile when it did not. Nothing is asked of the database for a message.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import AsyncExitStack, suppress
from typing import Final

import psycopg
import structlog
from icn_crypto.hashing import sha256
from icn_kit.database import Connection, Database
from icn_kit.errors import Unavailable

LEASE_SECONDS: Final = 3.0
"""How long a confirmation counts. Who stands still for longer asks again before it says anything."""
CONFIRM_SECONDS: Final = 1.0
"""Two confirmations may be late."""
TAKE_OVER_SECONDS: Final = LEASE_SECONDS + 0.5
"""How long a new holder waits where the old one may still believe its last confirmation."""
LOCK_SECONDS_MAX: Final = 2.0
"""For the server to notice that a process that died is gone."""
RETRY_SECONDS: Final = 0.2
ASK_SECONDS_MAX: Final = 5.0
"""A server that takes longer is away."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps."""
_TAKE: Final = (
    "INSERT INTO key_leases AS held (public_key, fence, holder, place)"
    " VALUES (%(key)b, 1, %(holder)s, %(place)s)"
    " ON CONFLICT (public_key) DO UPDATE SET fence = held.fence + 1, holder = %(holder)s, place = %(place)s"
    " RETURNING fence"
)
_TAKE_BACK: Final = (
    "UPDATE key_leases SET fence = fence + 1 WHERE public_key = %b AND fence = %s RETURNING fence"
)
_SELECT: Final = "SELECT fence, holder, place FROM key_leases WHERE public_key = %b"
_RELEASE: Final = "UPDATE key_leases SET holder = '', place = '' WHERE public_key = %b AND fence = %s"

_log = structlog.get_logger(__name__)


class KeyInUse(Exception):
    """Another process may vote with this key: this one must not."""


class KeyLease:
    """One process's lease of a key. Made by `take`; `run` keeps it."""

    def __init__(self, database: Database, public_key: bytes, place: str) -> None:
        self._database = database
        self._public_key = public_key
        self._place = place
        self._lock_number = int.from_bytes(sha256(b"consensus key" + public_key)[:8], "big", signed=True)
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._confirmed_at = -LEASE_SECONDS
        self.fence = 0
        """Grows with every holder."""

    @classmethod
    async def take(cls, database: Database, public_key: bytes, place: str) -> KeyLease:
        """Become the one process that votes with the key.

        Args:
            database: with the schema's search path.
            public_key: Ed25519 consensus key.
            place: names a lock that this process holds, and that whoever held it before has let go; empty
                where there is none.

        Raises:
            KeyInUse: another process holds it.
            Unavailable: the database does not answer.
        """
        lease = cls(database, public_key, place)
        try:
            await lease._take()
        except BaseException:
            await lease._stack.aclose()
            raise
        return lease

    @property
    def is_fresh(self) -> bool:
        """Whether nobody else can have taken the key yet. Asks nobody."""
        return time.clock_gettime(_CLOCK) - self._confirmed_at < LEASE_SECONDS

    async def hold(self) -> None:
        """Return once this process is known to hold the key; at once while the lease is fresh.

        Raises:
            KeyInUse: another process has taken it.
        """
        while not self.is_fresh:
            await self._confirm()

    async def run(self) -> None:
        """Confirm the lease in time, until cancelled. Raises as `hold`."""
        while True:
            await asyncio.sleep(CONFIRM_SECONDS)
            await self._confirm()

    async def release(self) -> None:
        """Let the next holder begin at once."""
        connection, self._connection = self._connection, None
        self._confirmed_at = -LEASE_SECONDS
        if connection is not None:
            with suppress(psycopg.Error):
                await connection.execute(_RELEASE, (self._public_key, self.fence))
        await self._stack.aclose()

    async def _take(self) -> None:
        connection = await self._connect()
        await connection.execute(f"SET lock_timeout = {int(1_000 * LOCK_SECONDS_MAX)}")
        try:
            await connection.execute("SELECT pg_advisory_lock(%s)", (self._lock_number,))
        except psycopg.errors.LockNotAvailable:
            row = await self._row(connection)
            raise KeyInUse(
                f"another process votes with this key: {row[1] if row is not None else 'it has just begun'}; "
                "two would contradict each other"
            ) from None
        before = await self._row(connection)
        if before is not None and before[1] and not (self._place and before[2] == self._place):
            _log.warning("the key's last holder did not let go", holder=before[1], seconds=TAKE_OVER_SECONDS)
            await asyncio.sleep(TAKE_OVER_SECONDS)
        asked_at = time.clock_gettime(_CLOCK)
        holder = f"{socket.gethostname()}, process {os.getpid()}"
        cursor = await connection.execute(
            _TAKE, {"key": self._public_key, "holder": holder, "place": self._place}
        )
        [self.fence] = await cursor.fetchone() or (0,)
        self._confirmed_at = asked_at

    async def _confirm(self) -> None:
        """Ask once; where the server is away, try a little later.

        Raises:
            KeyInUse: see there.
        """
        async with self._turn:
            asked_at = time.clock_gettime(_CLOCK)
            try:
                async with asyncio.timeout(ASK_SECONDS_MAX):
                    await (self._take_back() if self._connection is None else self._ask(self._connection))
            except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable, TimeoutError) as error:
                _log.warning("the lease of the key is not confirmed", problem=str(error))
                await self._disconnect()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._confirmed_at = asked_at

    async def _ask(self, connection: Connection) -> None:
        row = await self._row(connection)
        if row is None or row[0] != self.fence:
            raise KeyInUse(f"another process has taken this key: {row[1] if row is not None else 'unknown'}")

    async def _take_back(self) -> None:
        """After the session was lost: go on only if nobody held the key meanwhile."""
        connection = await self._connect()
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (self._lock_number,))
        if await cursor.fetchone() == (True,):
            cursor = await connection.execute(_TAKE_BACK, (self._public_key, self.fence))
            if (row := await cursor.fetchone()) is not None:
                [self.fence] = row
                return
        row = await self._row(connection)
        if row is not None and row[0] == self.fence:
            raise Unavailable("KEY_LOCKED", "the server has not ended the lost session yet")
        raise KeyInUse(f"another process has taken this key: {row[1] if row is not None else 'unknown'}")

    async def _row(self, connection: Connection) -> tuple[int, str, str] | None:
        cursor = await connection.execute(_SELECT, (self._public_key,))
        return await cursor.fetchone()

    async def _connect(self) -> Connection:
        self._connection = await self._stack.enter_async_context(
            self._database.connection_alone(application_name="icn-key-lease")
        )
        # A machine that vanished holds the lock until the server misses it.
        await self._connection.execute(
            "SELECT set_config(name, setting, false) FROM (VALUES ('tcp_keepalives_idle', '5'),"
            " ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3')) AS wanted (name, setting)"
        )
        return self._connection

    async def _disconnect(self) -> None:
        self._connection = None
        with suppress(psycopg.Error):
            await self._stack.aclose()
