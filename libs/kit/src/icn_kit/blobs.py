"""Blobs: photos, evidence, archives. Named by their content, sealed per subject.

Source: docs/spec/blobs.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from icn_kit.database import Connection, Database
from icn_kit.errors import InvalidArgument, NotFound, ResourceExhausted
from icn_kit.sealing import Sealer, SubjectKey

CONTENT_BYTES_MAX = 1_000_000
"""With its command it stays below 1 MiB."""
SUBJECT_BYTES_MAX = 64 * 1024 * 1024
"""Of one subject: sixty photos of the largest size."""
MEDIA_TYPE_CHARACTERS_MAX = 64

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]*/[a-z0-9][a-z0-9.+-]*\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_USED = "SELECT coalesce(sum(size_bytes), 0)::bigint, bool_or(sha256 = %s) FROM blobs WHERE subject = %s"
_PUT = """
    INSERT INTO blobs (sha256, subject, media_type, size_bytes, sealed) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_GET = "SELECT subject, media_type, sealed FROM blobs WHERE sha256 = %s ORDER BY subject LIMIT 1"

_GET_SEVERAL = """
    SELECT DISTINCT ON (sha256) sha256, subject, sealed FROM blobs
    WHERE sha256 = ANY(%s) AND media_type = %s ORDER BY sha256, subject
"""


@dataclass(frozen=True, slots=True)
class Blob:
    """What was stored."""

    content: bytes
    media_type: str


class BlobStore(Protocol):
    """Where a service keeps files."""

    async def put(self, content: bytes, media_type: str, subject: str) -> str:
        """Store ``content`` for ``subject``; again it is the same blob. The answer is its name: the SHA-256
        of the content in hex.

        Raises:
            InvalidArgument: BLOB_EMPTY, BLOB_TOO_LARGE, MEDIA_TYPE_INVALID, SUBJECT_INVALID.
            ResourceExhausted: the subject has stored too much (BLOB_QUOTA_EXCEEDED).
        """
        ...

    async def get(self, name: str) -> Blob:
        """The blob of this name, whoever stored it.

        Raises:
            NotFound: nobody has, or whoever had is forgotten (BLOB_UNKNOWN).
        """
        ...

    async def get_several(self, digests: Sequence[bytes], media_type: str) -> dict[bytes, bytes]:
        """Contents of this type, by SHA-256; those that are not there, or were forgotten, are left out."""
        ...

    async def delete_subject(self, subject: str) -> bool:
        """Make everything of the subject unreadable for ever; whether there was anything."""
        ...


def create_blob_statements() -> tuple[str, ...]:
    """What a service's migration executes, in its own schema and after `create_sealing_statements`, to keep
    blobs."""
    return (
        f"""
        CREATE TABLE blobs (
            sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
            subject text NOT NULL REFERENCES subject_keys ON DELETE CASCADE,
            media_type text NOT NULL CHECK (length(media_type) <= {MEDIA_TYPE_CHARACTERS_MAX}),
            size_bytes integer NOT NULL CHECK (size_bytes BETWEEN 1 AND {CONTENT_BYTES_MAX}),
            sealed bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (sha256, subject)
        )
        """,
        "ALTER TABLE blobs ALTER COLUMN sealed SET STORAGE EXTERNAL",  # what is sealed does not compress
        "CREATE INDEX blobs_by_subject ON blobs (subject)",
    )


class BlobTable:
    """Blobs in the caller's transaction: a file and what names it are there together or not at all."""

    def __init__(self, sealing_key: bytes) -> None:
        self._sealer = Sealer(sealing_key)

    async def put(self, connection: Connection, content: bytes, media_type: str, subject: str) -> str:
        """See `BlobStore.put`."""
        check_blob(content, media_type)
        digest = hashlib.sha256(content).digest()
        key = await self._sealer.make(connection, subject)
        row = await (await connection.execute(_USED, (digest, subject))).fetchone()
        assert row is not None, "an aggregate has one row"
        used_bytes, is_there = row
        if is_there:
            return digest.hex()
        if used_bytes + len(content) > SUBJECT_BYTES_MAX:
            raise ResourceExhausted(
                "BLOB_QUOTA_EXCEEDED",
                f"{subject} has stored {used_bytes} bytes, at most {SUBJECT_BYTES_MAX} are kept",
                used_bytes=used_bytes,
                size_bytes=len(content),
                quota_bytes=SUBJECT_BYTES_MAX,
            )
        sealed = key.seal(content, _about(digest, media_type))
        await connection.execute(_PUT, (digest, subject, media_type, len(content), sealed))
        return digest.hex()

    async def get(self, connection: Connection, name: str) -> Blob:
        """See `BlobStore.get`."""
        if _DIGEST.match(name) is None:
            raise NotFound("BLOB_UNKNOWN", f"no blob {name[:64]}")
        digest = bytes.fromhex(name)
        row = await (await connection.execute(_GET, (digest,))).fetchone()
        key = None if row is None else await self._sealer.find(connection, row[0])
        if row is None or key is None:
            raise NotFound("BLOB_UNKNOWN", f"no blob {name}")
        content = key.open(row[2], _about(digest, row[1]))
        assert hashlib.sha256(content).digest() == digest, "it was sealed under its digest"
        return Blob(content, row[1])

    async def get_several(
        self, connection: Connection, digests: Sequence[bytes], media_type: str
    ) -> dict[bytes, bytes]:
        """See `BlobStore.get_several`."""
        cursor = await connection.execute(_GET_SEVERAL, (list(digests), media_type))
        keys: dict[str, SubjectKey | None] = {}
        found: dict[bytes, bytes] = {}
        for digest, subject, sealed in await cursor.fetchall():
            if subject not in keys:
                keys[subject] = await self._sealer.find(connection, subject)
            key = keys[subject]
            if key is not None:  # else it was forgotten meanwhile
                found[digest] = key.open(sealed, _about(digest, media_type))
        return found

    async def delete_subject(self, connection: Connection, subject: str) -> bool:
        """See `BlobStore.delete_subject`."""
        return await self._sealer.forget(connection, subject)


class PostgresBlobStore:
    """Implements `BlobStore`: each call is a transaction of its own."""

    def __init__(self, database: Database, sealing_key: bytes) -> None:
        self._database = database
        self._table = BlobTable(sealing_key)

    async def put(self, content: bytes, media_type: str, subject: str) -> str:
        """See `BlobStore`."""
        async with self._database.transaction() as connection:
            return await self._table.put(connection, content, media_type, subject)

    async def get(self, name: str) -> Blob:
        """See `BlobStore`."""
        async with self._database.transaction() as connection:
            return await self._table.get(connection, name)

    async def get_several(self, digests: Sequence[bytes], media_type: str) -> dict[bytes, bytes]:
        """See `BlobStore`."""
        async with self._database.transaction() as connection:
            return await self._table.get_several(connection, digests, media_type)

    async def delete_subject(self, subject: str) -> bool:
        """See `BlobStore`."""
        async with self._database.transaction() as connection:
            return await self._table.delete_subject(connection, subject)


def check_blob(content: bytes, media_type: str) -> None:
    """Refuse what is not stored.

    Raises:
        InvalidArgument: BLOB_EMPTY, BLOB_TOO_LARGE, MEDIA_TYPE_INVALID.
    """
    if not content:
        raise InvalidArgument("BLOB_EMPTY", "the file is empty")
    if len(content) > CONTENT_BYTES_MAX:
        raise InvalidArgument(
            "BLOB_TOO_LARGE",
            f"the file has {len(content)} bytes, at most {CONTENT_BYTES_MAX} are allowed",
            size_bytes=len(content),
            size_bytes_max=CONTENT_BYTES_MAX,
        )
    if len(media_type) > MEDIA_TYPE_CHARACTERS_MAX or _MEDIA_TYPE.match(media_type) is None:
        raise InvalidArgument("MEDIA_TYPE_INVALID", "the media type is not type/subtype in lower case")


def _about(digest: bytes, media_type: str) -> bytes:
    return digest + media_type.encode()
