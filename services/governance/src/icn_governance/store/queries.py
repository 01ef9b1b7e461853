"""Lists (`icn_governance.usecases.ports.Reader`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.database import Database
from icn_tally.polls.commitments import Opening

from icn_governance.domain.decision import DecisionState, StoredDecision
from icn_governance.domain.proposal import Proposal
from icn_governance.store.rows import (
    DECISIONS,
    MEMBERS,
    ORGANIZATIONS,
    PROPOSALS,
    decision_of,
    member_of,
    organization_of,
    proposal_of,
)
from icn_governance.usecases.ports import DecisionFilter, MemberRow, OrganizationRow, ProposalFilter

_ORGANIZATIONS = (
    ORGANIZATIONS
    + """
    WHERE (%(kind)s::text = '' OR kind = %(kind)s) AND organization > %(after)s
    ORDER BY organization LIMIT %(limit)s
"""
)
_MEMBERS = (
    MEMBERS
    + """
    WHERE organization = %(of)s AND member > %(after)s
    ORDER BY member LIMIT %(limit)s
"""
)
_MEMBERSHIPS_OF = (
    MEMBERS
    + """
    WHERE member = %(of)s AND organization > %(after)s
    ORDER BY organization LIMIT %(limit)s
"""
)
_PROPOSALS = (
    PROPOSALS
    + """
    WHERE (%(organization)s::bytea IS NULL OR organization = %(organization)s)
        AND (%(state)s::smallint IS NULL OR state = %(state)s)
        AND (%(before)s::bigint IS NULL OR position < %(before)s)
    ORDER BY position DESC LIMIT %(limit)s
"""
)
_OPENINGS = """
    SELECT g.voter, g.salt, g.ballot FROM openings AS g
    JOIN ballots AS b ON b.proposal = g.proposal AND b.voter = g.voter AND b.commitment = g.commitment
    WHERE g.proposal = %(of)s AND g.voter > %(after)s ORDER BY g.voter LIMIT %(limit)s
"""
_DECISIONS = (
    DECISIONS
    + """
    WHERE (%(authority)s::bytea IS NULL OR authority = %(authority)s)
        AND (%(before)s::bigint IS NULL OR position < %(before)s)
        AND (%(state)s::smallint IS NULL
            OR %(state)s = CASE WHEN enact_height > 0 THEN 2 WHEN expire_time_ms < %(now)s THEN 3 ELSE 1 END)
    ORDER BY position DESC LIMIT %(limit)s
"""
)
_COUNTERSIGNATURES = """
    SELECT countersignature FROM countersignatures WHERE decision_id = %(of)s AND signer > %(after)s
    ORDER BY signer LIMIT %(limit)s
"""
assert (DecisionState.ENACTED, DecisionState.LAPSED, DecisionState.PROPOSED) == (2, 3, 1), "as in _DECISIONS"


class GovernanceQueries:
    """Reads outside of commands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_organizations(
        self, kind: str, after: bytes | None, limit: int
    ) -> Sequence[OrganizationRow]:
        """See the port."""
        values = {"kind": kind, "after": after or b"", "limit": limit}
        return [organization_of(row) for row in await self._rows(_ORGANIZATIONS, values)]

    async def list_members(self, organization: bytes, after: bytes | None, limit: int) -> Sequence[MemberRow]:
        """See the port."""
        return [member_of(row) for row in await self._rows(_MEMBERS, _page(organization, after, limit))]

    async def list_memberships_of(
        self, member: bytes, after: bytes | None, limit: int
    ) -> Sequence[MemberRow]:
        """See the port."""
        return [member_of(row) for row in await self._rows(_MEMBERSHIPS_OF, _page(member, after, limit))]

    async def list_proposals(
        self, wanted: ProposalFilter, before: int | None, limit: int
    ) -> Sequence[Proposal]:
        """See the port."""
        values = {
            "organization": wanted.organization,
            "state": None if wanted.state is None else int(wanted.state),
            "before": before,
            "limit": limit,
        }
        return [proposal_of(row) for row in await self._rows(_PROPOSALS, values)]

    async def list_openings(self, proposal: bytes, after: bytes | None, limit: int) -> Sequence[Opening]:
        """See the port."""
        return [Opening(*row) for row in await self._rows(_OPENINGS, _page(proposal, after, limit))]

    async def list_decisions(
        self, wanted: DecisionFilter, before: int | None, limit: int
    ) -> Sequence[StoredDecision]:
        """See the port."""
        values = {
            "authority": wanted.authority,
            "state": None if wanted.state is None else int(wanted.state),
            "now": wanted.block_time_ms,
            "before": before,
            "limit": limit,
        }
        return [decision_of(row) for row in await self._rows(_DECISIONS, values)]

    async def list_countersignatures(
        self, decision_id: bytes, after: bytes | None, limit: int
    ) -> Sequence[Countersignature]:
        """See the port."""
        rows = await self._rows(_COUNTERSIGNATURES, _page(decision_id, after, limit))
        return [Countersignature.FromString(row[0]) for row in rows]

    async def _rows(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(text, values)
            return await cursor.fetchall()


def _page(of: bytes, after: bytes | None, limit: int) -> dict[str, Any]:
    return {"of": of, "after": after or b"", "limit": limit}
