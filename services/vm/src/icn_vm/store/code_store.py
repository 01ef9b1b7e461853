"""Code in Postgres, with what was used last in memory."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from typing import Final

from icn_kit.database import Database

from icn_vm.metrics import CODE_READS

CODES_MAX: Final = 1_024
"""In the database: at most 63 MiB, since code has to fit a transaction."""
CODES_IN_MEMORY_MAX: Final = 64
"""At most 4 MiB."""

_PUT = """
    INSERT INTO codes (sha256, code) VALUES (%(sha256)s, %(code)s)
    ON CONFLICT (sha256) DO UPDATE SET code = excluded.code, stored_at = clock_timestamp()
"""
_PRUNE = """
    DELETE FROM codes WHERE sha256 IN (SELECT sha256 FROM codes ORDER BY stored_at DESC OFFSET %(most)s)
"""


class PostgresCodeStore:
    """Implements `usecases.ports.CodeStore`."""

    def __init__(
        self, database: Database, codes_max: int = CODES_MAX, in_memory_max: int = CODES_IN_MEMORY_MAX
    ) -> None:
        self._database = database
        self._codes_max = codes_max
        self._in_memory_max = in_memory_max
        self._recent: OrderedDict[bytes, bytes] = OrderedDict()

    async def get(self, checksum: bytes) -> bytes | None:
        """The code, None where it is not kept or the row is damaged."""
        code = self._recent.get(checksum)
        if code is not None:
            self._recent.move_to_end(checksum)
            CODE_READS.labels("memory").inc()
            return code
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute("SELECT code FROM codes WHERE sha256 = %s", (checksum,))
            row = await cursor.fetchone()
        if row is None or sha256(row[0]).digest() != checksum:
            CODE_READS.labels("missing").inc()
            return None
        CODE_READS.labels("database").inc()
        stored: bytes = row[0]
        self._remember(checksum, stored)
        return stored

    async def put(self, checksum: bytes, code: bytes) -> None:
        """Keep code; the oldest goes when there is too much."""
        async with self._database.transaction() as connection:
            await connection.execute(_PUT, {"sha256": checksum, "code": code})
            await connection.execute(_PRUNE, {"most": self._codes_max})
        self._remember(checksum, code)

    def _remember(self, checksum: bytes, code: bytes) -> None:
        self._recent[checksum] = code
        while len(self._recent) > self._in_memory_max:
            self._recent.popitem(last=False)
