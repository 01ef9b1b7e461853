"""Final blocks in Postgres. Source: docs/spec/consensus-store.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from icn_kit.database import Database
from icn_kit.writer import Writer

from icn_consensus.usecases.ports import StoredBlock

SCHEMA: Final = "consensus"
PAGE_BLOCKS_MAX: Final = 64
PAGE_BYTES_MAX: Final = 1024 * 1024
"""As peer.proto says of a FetchResponse; a first block alone may be larger."""

_SELECT: Final = (
    "SELECT height, hash, epoch, view, block, finalization, descendant_headers FROM final_blocks "
)
_ADD_ONE: Final = (
    "WITH bound AS (UPDATE record_log SET sequence = greatest(sequence, %s) WHERE log_id = %b RETURNING 1)"
    " INSERT INTO final_blocks (height, hash, epoch, view, block, finalization, descendant_headers)"
    " SELECT %s, %b, %s, %s, %b, %b, %b FROM bound ON CONFLICT (height) DO NOTHING"
)
"""One round trip for what happens once a block; it inserts nothing when the log is another or the block is
there, which `_ADVANCE` tells apart."""
_ADVANCE: Final = "UPDATE record_log SET sequence = greatest(sequence, %s) WHERE log_id = %b"
_INSERT: Final = (
    "INSERT INTO final_blocks (height, hash, epoch, view, block, finalization, descendant_headers)"
    " VALUES (%s, %b, %s, %s, %b, %b, %b) ON CONFLICT (height) DO NOTHING"
)


class RecordLogStale(Exception):
    """The record log is not the one this store was filled with, or an older copy of it."""


class BlockStore:
    """The final blocks of one validator. Made by `open`."""

    def __init__(self, database: Database, log_id: bytes) -> None:
        self._database = database
        self._writer = Writer(database)
        self._log_id = log_id

    @classmethod
    async def open(cls, database: Database, public_key: bytes, log_id: bytes, sequence: int) -> BlockStore:
        """Bind the store to the record log of a key; a key that it does not know yet brings its own.

        Args:
            database: with the schema's search path.
            public_key: Ed25519 consensus key that votes with the log.
            log_id: of the record log.
            sequence: of its last record.

        Raises:
            RecordLogStale: see there.
            Unavailable: the database does not answer.
        """
        async with database.transaction() as connection:
            await connection.execute(
                "UPDATE record_log SET public_key = %b WHERE public_key IS NULL AND log_id = %b",
                (public_key, log_id),
            )
            await connection.execute(
                "INSERT INTO record_log (public_key, log_id, sequence) VALUES (%b, %b, 0)"
                " ON CONFLICT (public_key) DO NOTHING",
                (public_key, log_id),
            )
            cursor = await connection.execute(
                "SELECT log_id, sequence FROM record_log WHERE public_key = %b", (public_key,)
            )
            row = await cursor.fetchone()
        if row is None or bytes(row[0]) != log_id:
            raise RecordLogStale("the record log is not the one that the block store knows of this key")
        if row[1] > sequence:
            raise RecordLogStale(
                f"the record log ends at record {sequence}, but record {row[1]} was durable already"
            )
        return cls(database, log_id)

    async def add(self, blocks: Sequence[StoredBlock], sequence: int) -> None:
        """Store the next final blocks and the number of the last durable record, all or nothing.

        Raises:
            Unavailable: the database does not answer; whether they are stored is unknown, and adding them
                again is safe.
            RecordLogStale: another process stores blocks here with another log.
        """
        rows = [
            (
                block.height,
                block.hash,
                block.epoch,
                block.view,
                block.block,
                block.finalization,
                list(block.descendant_headers),
            )
            for block in blocks
        ]
        if len(rows) == 1 and await self._writer.execute(_ADD_ONE, (sequence, self._log_id, *rows[0])):
            return
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_ADVANCE, (sequence, self._log_id))
            if cursor.rowcount != 1:
                raise RecordLogStale("the block store belongs to another record log now")
            await cursor.executemany(_INSERT, rows)

    async def close(self) -> None:
        """Close the connection that writes."""
        await self._writer.close()

    async def newest(self) -> StoredBlock | None:
        """The highest final block; None before the first."""
        rows = await self._select("ORDER BY height DESC LIMIT 1", ())
        return rows[0] if rows else None

    async def recent_hashes(self, count: int) -> list[bytes]:
        """Of the highest final blocks, ascending, at most so many."""
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute("SELECT hash FROM final_blocks ORDER BY height DESC LIMIT %s", (count,))
            return [block_hash for (block_hash,) in reversed(await cursor.fetchall())]

    async def by_hash(self, block_hash: bytes) -> StoredBlock | None:
        """The final block of this hash."""
        rows = await self._select("WHERE hash = %b", (block_hash,))
        return rows[0] if rows else None

    async def at(self, height: int) -> StoredBlock | None:
        """The final block of this height."""
        rows = await self._select("WHERE height = %s", (height,))
        return rows[0] if rows else None

    async def lowest_height(self, from_height: int) -> int:
        """Of the blocks that are here from this height on; 0 where none is."""
        rows = await self._select("WHERE height >= %s ORDER BY height LIMIT 1", (from_height,))
        return rows[0].height if rows else 0

    async def page(self, from_height: int) -> list[StoredBlock]:
        """Final blocks from this height on, ascending: as many as a page holds, at least one if any."""
        return await self._select(
            "JOIN (SELECT height AS inside, sum(octet_length(block)) OVER (ORDER BY height) AS total"
            " FROM final_blocks WHERE height >= %s AND height < %s) AS sizes ON height = inside"
            " WHERE total <= %s OR height = %s ORDER BY height",
            (from_height, from_height + PAGE_BLOCKS_MAX, PAGE_BYTES_MAX, from_height),
        )

    async def _select(self, rest: str, parameters: tuple[Any, ...]) -> list[StoredBlock]:
        async with self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(_SELECT + rest, parameters)
            return [
                StoredBlock(height, block_hash, epoch, view, block, finalization, tuple(headers))
                for height, block_hash, epoch, view, block, finalization, headers in await cursor.fetchall()
            ]
