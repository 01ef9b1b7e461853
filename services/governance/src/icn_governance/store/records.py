"""What is stored, inside one transaction (`icn_governance.usecases.ports.Records`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from icn.ledger.v1.state_pb2 import BallotLeaf, MembershipLeaf
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.commands import Command
from icn_kit.database import Connection
from icn_tally.polls.commitments import Opening

from icn_governance.domain.decision import StoredDecision
from icn_governance.domain.errors import COMMANDS_PER_DAY_MAX, DOCUMENTS_PER_PROPOSAL_MAX
from icn_governance.domain.organization import Profile
from icn_governance.domain.proposal import OPENINGS_PER_VOTER_MAX, Proposal
from icn_governance.store.rows import (
    DECISIONS,
    ORGANIZATIONS,
    PROPOSALS,
    decision_of,
    organization_of,
    proposal_of,
)
from icn_governance.usecases.ports import OrganizationRow

_RECENT_COMMANDS = """
    SELECT count(*) FROM (
        SELECT 1 FROM commands WHERE principal = %s AND received_at > now() - interval '24 hours' LIMIT %s
    ) AS recent
"""
_REGISTER = """
    INSERT INTO organizations AS o (organization, display_name, kind, description, contact, website,
        registered_by, update_time_ms) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (organization) DO UPDATE SET display_name = excluded.display_name, kind = excluded.kind,
        description = excluded.description, contact = excluded.contact, website = excluded.website,
        registered_by = excluded.registered_by, update_time_ms = excluded.update_time_ms
"""
_NOTE_AUTHORITY = """
    INSERT INTO organizations (organization, is_authority) VALUES (%s, true)
    ON CONFLICT (organization) DO UPDATE SET is_authority = true
"""
_NOTE_MEMBERSHIP = """
    INSERT INTO memberships AS m (organization, member, status, height, leaf) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (organization, member) DO UPDATE
        SET status = excluded.status, height = excluded.height, leaf = excluded.leaf
        WHERE m.height <= excluded.height
"""
_ADD_PROPOSAL = """
    INSERT INTO proposals (proposal, organization, proposer, state, draft, create_time_ms)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_UPDATE_PROPOSAL = """
    UPDATE proposals SET state = %s, document = %s, document_digest = %s, close_time_ms = %s,
        opening_time_ms = %s, ballots = %s, result = %s, result_digest = %s, is_complete = %s,
        is_carried = %s, winners = %s, decision_id = %s, enact_height = %s WHERE proposal = %s
"""
_ADD_DOCUMENT = """
    INSERT INTO documents (proposal, digest, document) SELECT %(proposal)s, %(digest)s, %(document)s
    WHERE (SELECT count(*) FROM documents WHERE proposal = %(proposal)s) < %(most)s
    ON CONFLICT DO NOTHING
"""
_ADD_OPENING = """
    INSERT INTO openings (proposal, voter, commitment, salt, ballot) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_DROP_OLD_OPENINGS = """
    DELETE FROM openings WHERE proposal = %(proposal)s AND voter = %(voter)s AND position NOT IN (
        SELECT position FROM openings WHERE proposal = %(proposal)s AND voter = %(voter)s
        ORDER BY position DESC LIMIT %(most)s
    )
"""
_KEEP_BALLOTS = """
    INSERT INTO ballots (proposal, voter, commitment, leaf)
    SELECT %s, * FROM unnest(%s::bytea[], %s::bytea[], %s::bytea[]) ON CONFLICT DO NOTHING
"""
_NEXT_DUE = """
    SELECT proposal, CASE WHEN state = 4 THEN opening_time_ms ELSE close_time_ms END AS due
    FROM proposals WHERE state IN (2, 3) OR (state = 4 AND result IS NULL) ORDER BY due, proposal LIMIT 1
"""
_ADD_DECISION = """
    INSERT INTO decisions (decision_id, authority, body, text, expire_time_ms, create_time_ms)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


class PostgresRecords:
    """The tables of one schema, over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find_answer(self, command_id: bytes) -> bytes | None:
        """See the port."""
        row = await self._one("SELECT answer FROM commands WHERE id = %s", command_id)
        return None if row is None else row[0]

    async def count_recent_commands(self, principal: bytes) -> int:
        """See the port."""
        row = await self._one(_RECENT_COMMANDS, principal, COMMANDS_PER_DAY_MAX)
        assert row is not None, "a count has a row"
        return int(row[0])

    async def claim(self, command: Command[Any]) -> bool:
        """See the port."""
        cursor = await self._connection.execute(
            "INSERT INTO commands (id, method, principal, body, signatures) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (command.id, command.method, command.principal, command.body, command.signatures),
        )
        return cursor.rowcount == 1

    async def answer(self, command_id: bytes, answer: bytes) -> None:
        """See the port."""
        await self._connection.execute("UPDATE commands SET answer = %s WHERE id = %s", (answer, command_id))

    async def organization(self, organization: bytes) -> OrganizationRow | None:
        """See the port."""
        row = await self._one(ORGANIZATIONS + " WHERE organization = %s", organization)
        return None if row is None else organization_of(row)

    async def register(self, profile: Profile, registered_by: bytes, update_time_ms: int) -> None:
        """See the port."""
        await self._connection.execute(
            _REGISTER,
            (
                *(profile.organization, profile.display_name, profile.kind, profile.description),
                *(profile.contact, profile.website, registered_by, update_time_ms),
            ),
        )

    async def note_authority(self, authority: bytes) -> None:
        """See the port."""
        await self._connection.execute(_NOTE_AUTHORITY, (authority,))

    async def note_membership(self, leaf: MembershipLeaf, height: int) -> None:
        """See the port."""
        await self._connection.execute(
            "INSERT INTO organizations (organization) VALUES (%s) ON CONFLICT DO NOTHING",
            (leaf.organization,),
        )
        await self._connection.execute(
            _NOTE_MEMBERSHIP,
            (leaf.organization, leaf.member, leaf.status, height, leaf.SerializeToString(deterministic=True)),
        )

    async def note_office(self, organization: bytes, member: bytes, office: str, *, is_held: bool) -> None:
        """See the port."""
        if is_held:
            await self._connection.execute(
                "INSERT INTO offices (organization, member, office) VALUES (%s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (organization, member, office),
            )
        else:
            await self._connection.execute(
                "DELETE FROM offices WHERE organization = %s AND member = %s AND office = %s",
                (organization, member, office),
            )

    async def proposal(self, proposal: bytes, *, is_locked: bool = False) -> Proposal | None:
        """See the port."""
        if is_locked:  # what hangs on the row is read after it is ours
            await self._connection.execute(
                "SELECT 1 FROM proposals WHERE proposal = %s FOR UPDATE", (proposal,)
            )
        row = await self._one(PROPOSALS + " WHERE proposal = %s", proposal)
        return None if row is None else proposal_of(row)

    async def add_proposal(self, proposal: Proposal) -> bool:
        """See the port."""
        cursor = await self._connection.execute(
            _ADD_PROPOSAL,
            (
                *(proposal.proposal, proposal.organization, proposal.proposer, int(proposal.state)),
                *(proposal.draft, proposal.create_time_ms),
            ),
        )
        if cursor.rowcount == 0:
            return False
        await self._connection.execute(
            "INSERT INTO lots (proposal, teller) SELECT %s, * FROM unnest(%s::bytea[])",
            (proposal.proposal, [share.teller for share in proposal.lots]),
        )
        return True

    async def update_proposal(self, proposal: Proposal) -> None:
        """See the port."""
        result = proposal.result
        counted: tuple[Any, ...] = (None,) * 5
        if result is not None:
            counted = (
                *(result.result, result.digest, result.is_complete, result.is_carried),
                list(result.winners),
            )
        await self._connection.execute(
            _UPDATE_PROPOSAL,
            (
                *(int(proposal.state), proposal.document, proposal.document_digest, proposal.close_time_ms),
                *(proposal.opening_time_ms, proposal.ballots, *counted, proposal.decision_id),
                *(proposal.enact_height, proposal.proposal),
            ),
        )

    async def update_lot(self, proposal: bytes, teller: bytes, commitment: bytes, secret: bytes) -> None:
        """See the port."""
        await self._connection.execute(
            "UPDATE lots SET commitment = %s, secret = %s WHERE proposal = %s AND teller = %s",
            (commitment, secret, proposal, teller),
        )

    async def add_document(self, proposal: bytes, digest: bytes, document: bytes) -> bool:
        """See the port."""
        values = {
            "proposal": proposal,
            "digest": digest,
            "document": document,
            "most": DOCUMENTS_PER_PROPOSAL_MAX,
        }
        await self._connection.execute(_ADD_DOCUMENT, values)
        return await self.document(proposal, digest) is not None

    async def document(self, proposal: bytes, digest: bytes) -> bytes | None:
        """See the port."""
        row = await self._one(
            "SELECT document FROM documents WHERE proposal = %s AND digest = %s", proposal, digest
        )
        return None if row is None else row[0]

    async def count_ballot(self, proposal: bytes) -> None:
        """See the port."""
        await self._connection.execute(
            "UPDATE proposals SET ballots = ballots + 1 WHERE proposal = %s AND state IN (1, 2, 3)",
            (proposal,),
        )

    async def add_opening(self, proposal: bytes, opening: Opening, commitment: bytes) -> None:
        """See the port."""
        await self._connection.execute(
            _ADD_OPENING, (proposal, opening.voter, commitment, opening.salt, opening.ballot)
        )
        await self._connection.execute(
            _DROP_OLD_OPENINGS,
            {"proposal": proposal, "voter": opening.voter, "most": OPENINGS_PER_VOTER_MAX},
        )

    async def openings(self, proposal: bytes) -> Sequence[Opening]:
        """See the port. Only those that match, once the ballots are known: they are what counts."""
        cursor = await self._connection.execute(
            "SELECT g.voter, g.salt, g.ballot FROM openings AS g JOIN ballots AS b"
            " ON b.proposal = g.proposal AND b.voter = g.voter AND b.commitment = g.commitment"
            " WHERE g.proposal = %s ORDER BY g.voter",
            (proposal,),
        )
        return [Opening(*row) for row in await cursor.fetchall()]

    async def keep_ballots(self, proposal: bytes, leaves: Sequence[BallotLeaf]) -> None:
        """See the port."""
        await self._connection.execute(
            _KEEP_BALLOTS,
            (
                proposal,
                [leaf.voter for leaf in leaves],
                [leaf.commitment for leaf in leaves],
                [leaf.SerializeToString(deterministic=True) for leaf in leaves],
            ),
        )

    async def ballots(self, proposal: bytes) -> Sequence[BallotLeaf]:
        """See the port."""
        cursor = await self._connection.execute(
            "SELECT leaf FROM ballots WHERE proposal = %s ORDER BY voter", (proposal,)
        )
        return [BallotLeaf.FromString(row[0]) for row in await cursor.fetchall()]

    async def next_due(self) -> tuple[bytes, int] | None:
        """See the port."""
        row = await self._one(_NEXT_DUE)
        return None if row is None else (row[0], row[1])

    async def closed_uncounted(self) -> Sequence[bytes]:
        """See the port."""
        cursor = await self._connection.execute(
            "SELECT proposal FROM proposals WHERE state = 4 AND result IS NULL ORDER BY proposal"
        )
        return [row[0] for row in await cursor.fetchall()]

    async def decision(self, decision_id: bytes) -> StoredDecision | None:
        """See the port."""
        row = await self._one(DECISIONS + " WHERE decision_id = %s", decision_id)
        return None if row is None else decision_of(row)

    async def add_decision(self, decision: StoredDecision) -> bool:
        """See the port."""
        read = decision.read()
        cursor = await self._connection.execute(
            _ADD_DECISION,
            (
                *(decision.decision_id, read.authority, decision.body, decision.text),
                *(read.expire_time_ms, decision.create_time_ms),
            ),
        )
        return cursor.rowcount == 1

    async def note_enacted(self, decision_id: bytes, height: int) -> bool:
        """See the port."""
        cursor = await self._connection.execute(
            "UPDATE decisions SET enact_height = %s WHERE decision_id = %s AND enact_height = 0",
            (height, decision_id),
        )
        return cursor.rowcount == 1

    async def add_countersignature(self, decision_id: bytes, countersignature: Countersignature) -> bool:
        """See the port."""
        cursor = await self._connection.execute(
            "INSERT INTO countersignatures (decision_id, signer, countersignature) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (decision_id, countersignature.signer, countersignature.SerializeToString(deterministic=True)),
        )
        return cursor.rowcount == 1

    async def count_countersignatures(self, decision_id: bytes) -> int:
        """See the port."""
        row = await self._one("SELECT count(*) FROM countersignatures WHERE decision_id = %s", decision_id)
        assert row is not None, "a count has a row"
        return int(row[0])

    async def _one(self, text: str, *values: Any) -> tuple[Any, ...] | None:
        cursor = await self._connection.execute(text, values)
        row: tuple[Any, ...] | None = await cursor.fetchone()
        return row
