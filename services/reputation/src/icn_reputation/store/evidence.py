"""Writes evidence and memberships with the connection of the event that they come from."""

from __future__ import annotations

from icn_kit.database import Connection
from icn_kit.errors import FailedPrecondition
from icn_trust.evidence import Evidence, EvidenceConflict, Kind

from icn_reputation.domain.principals import identifier_of

_LOCK_DIMENSION = """
INSERT INTO dimensions (name, evidence_count, as_of_ms) VALUES (%s, 0, 0)
ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING evidence_count
"""
_INSERT = """
INSERT INTO evidence (dimension, number, who, about, is_fulfilled, weight, occurred_at_ms, source)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (source, who, about, dimension) DO NOTHING
"""
_COUNT = """
UPDATE dimensions SET evidence_count = %s, as_of_ms = greatest(as_of_ms, %s) WHERE name = %s
"""
_KNOWN = """
SELECT is_fulfilled, weight, occurred_at_ms FROM evidence
WHERE source = %s AND who = %s AND about = %s AND dimension = %s
"""
_ADD_AUTHORITY = """
INSERT INTO authorities (authority, height) VALUES (%s, %s) ON CONFLICT (authority) DO NOTHING
"""
_SET_MEMBERSHIP = """
INSERT INTO memberships AS known (organization, member, is_active, has_been_active, height)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (organization, member) DO UPDATE SET
    has_been_active = known.has_been_active OR excluded.has_been_active,
    is_active = CASE WHEN excluded.height >= known.height THEN excluded.is_active ELSE known.is_active END,
    height = greatest(excluded.height, known.height)
"""


class EvidenceTable:
    """Implements `EvidenceWriter` and `MembershipWriter` in one open transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, piece: Evidence) -> int | None:
        """See `EvidenceWriter`."""
        who, about = identifier_of(piece.who), identifier_of(piece.about)
        cursor = await self._connection.execute(_LOCK_DIMENSION, (piece.dimension,))
        row = await cursor.fetchone()
        assert row is not None, "the statement returns the row it made or found"
        number: int = row[0] + 1
        is_fulfilled = piece.kind is Kind.FULFILLED
        inserted = await self._connection.execute(
            _INSERT,
            (
                piece.dimension,
                number,
                who,
                about,
                is_fulfilled,
                piece.weight,
                piece.occurred_at_ms,
                piece.source_id,
            ),
        )
        if inserted.rowcount:
            await self._connection.execute(_COUNT, (number, piece.occurred_at_ms, piece.dimension))
            return number
        cursor = await self._connection.execute(_KNOWN, (piece.source_id, who, about, piece.dimension))
        known = await cursor.fetchone()
        if known != (is_fulfilled, piece.weight, piece.occurred_at_ms):
            raise FailedPrecondition(
                EvidenceConflict.reason,
                f"{piece.source_id} says two things of {piece.who} about {piece.about} in {piece.dimension}",
                source=piece.source_id,
                known=known,
                other=(is_fulfilled, piece.weight, piece.occurred_at_ms),
            )
        return None

    async def set_membership(
        self, organization: bytes, member: bytes, *, is_active: bool, has_been_active: bool, height: int
    ) -> None:
        """See `MembershipWriter`."""
        await self._connection.execute(
            _SET_MEMBERSHIP, (organization, member, is_active, has_been_active, height)
        )

    async def add_authority(self, authority: bytes, height: int) -> None:
        """See `MembershipWriter`."""
        await self._connection.execute(_ADD_AUTHORITY, (authority, height))
