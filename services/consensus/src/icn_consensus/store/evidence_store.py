"""Evidence against seats in Postgres. Source: docs/spec/consensus-store.md."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from icn_kit.database import Database

from icn_consensus.usecases.ports import Evidence


class EvidenceStore:
    """Implements `usecases.ports.EvidenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = asyncio.Semaphore(1)
        """Of the pool's connections at most one answers questions: final blocks need the others."""

    async def add(self, evidence: Evidence) -> None:
        """See `EvidenceStore`."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO evidence (epoch, seat, view, proof) VALUES (%s, %s, %s, %b)"
                " ON CONFLICT DO NOTHING",
                (evidence.epoch, evidence.seat, evidence.view, evidence.proof),
            )

    async def page(self, before: tuple[int, int], count: int) -> Sequence[Evidence]:
        """See `EvidenceStore`."""
        async with self._reading, self._database.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(
                "SELECT epoch, seat, view, proof FROM evidence WHERE (epoch, seat) < (%s, %s)"
                " ORDER BY epoch DESC, seat DESC LIMIT %s",
                (*before, count),
            )
            return [Evidence(*row) for row in await cursor.fetchall()]
