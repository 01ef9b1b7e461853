"""What the use cases need from outside."""

from __future__ import annotations

from typing import Protocol


class CodeStore(Protocol):
    """Code by its SHA-256, as the ledger gave it. Losing some costs a round trip, never another answer."""

    async def get(self, checksum: bytes) -> bytes | None:
        """The code, None where it is not kept.

        Raises:
            Unavailable: the database does not answer.
        """

    async def put(self, checksum: bytes, code: bytes) -> None:
        """Keep code; the oldest goes when there is too much.

        Raises:
            Unavailable: the database does not answer.
        """
