"""Sums of marked postings by account and height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icn_kit.database import Connection, Database

from icn_reputation.domain.reciprocity import MarkedPosting, MarkedSums

_ADD_AT_OR_ABOVE = """
UPDATE marked_sums
SET debited_minor = debited_minor + %(debited)s, credited_minor = credited_minor + %(credited)s
WHERE account = %(account)s AND height >= %(height)s
"""
_BEGIN_HEIGHT = """
INSERT INTO marked_sums (account, height, debited_minor, credited_minor)
SELECT %(account)s, %(height)s,
    coalesce(before.debited_minor, 0) + %(debited)s, coalesce(before.credited_minor, 0) + %(credited)s
FROM (VALUES (1)) AS one LEFT JOIN LATERAL (
    SELECT debited_minor, credited_minor FROM marked_sums
    WHERE account = %(account)s AND height < %(height)s ORDER BY height DESC LIMIT 1
) AS before ON true
ON CONFLICT (account, height) DO NOTHING
"""
_SUMS = """
SELECT asked.account, up_to.debited_minor, up_to.credited_minor
FROM unnest(%s::bytea[], %s::bigint[]) AS asked (account, height) CROSS JOIN LATERAL (
    SELECT debited_minor, credited_minor FROM marked_sums
    WHERE account = asked.account AND height <= asked.height ORDER BY height DESC LIMIT 1
) AS up_to
"""


class MarkedTable:
    """Implements `MarkedWriter` in one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, posting: MarkedPosting) -> None:
        """See `MarkedWriter`."""
        amount = posting.amount_minor
        for account, debited, credited in ((posting.source, amount, 0), (posting.destination, 0, amount)):
            side = {"account": account, "height": posting.height, "debited": debited, "credited": credited}
            # Mostly none is there, since events come by height; a replayed dead letter comes late.
            await self._connection.execute(_ADD_AT_OR_ABOVE, side)
            await self._connection.execute(_BEGIN_HEIGHT, side)


class MarkedQueries:
    """Implements `MarkedReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def marked_sums(self, asked: Sequence[tuple[bytes, int]]) -> Mapping[bytes, MarkedSums]:
        """See `MarkedReader`."""
        accounts, heights = [account for account, _ in asked], [height for _, height in asked]
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SUMS, (accounts, heights))
            rows = await cursor.fetchall()
        return {bytes(account): MarkedSums(int(taken), int(given)) for account, taken, given in rows}
