"""Photos, sealed in the service's own database."""

from __future__ import annotations

from icn_kit.blobs import BlobTable
from icn_kit.database import Connection, Database
from icn_kit.errors import NotFound


class PhotoTable:
    """Implements `Photos` in a transaction, so that a photo and what names it are there together."""

    def __init__(self, connection: Connection, blobs: BlobTable) -> None:
        self._connection = connection
        self._blobs = blobs

    async def put(self, content: bytes, media_type: str, principal: bytes) -> None:
        """See `Photos`."""
        await self._blobs.put(self._connection, content, media_type, f"principals/{principal.hex()}")


class PhotoQueries:
    """Implements `api.reading.PhotoReader`."""

    def __init__(self, database: Database, blobs: BlobTable) -> None:
        self._database = database
        self._blobs = blobs

    async def get(self, digest: bytes) -> tuple[bytes, str] | None:
        """See `PhotoReader`."""
        async with self._database.connection() as connection:
            try:
                blob = await self._blobs.get(connection, digest.hex())
            except NotFound:
                return None
        return (blob.content, blob.media_type) if blob.media_type.startswith("image/") else None
