"""Commands, DID logs, credentials and status lists in Postgres."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from icn_kit.commands import Command
from icn_kit.database import Connection

from icn_identity.domain.claims import Claim, ClaimKind
from icn_identity.usecases.ports import DidEntry, StoredCredential, StoredList

_CREDENTIAL = """
    id, position, organization, subject, kind, office, valid_from_ms, valid_until_ms, published_ms,
    revoked_ms, document
"""
_ADD_COMMAND = """
    INSERT INTO commands (id, principal, method, body, signatures, response) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_ADD_ENTRY = """
    INSERT INTO did_entries (principal, number, did, scid, line, command) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_ADD_CREDENTIAL = f"""
    INSERT INTO credentials (id, organization, subject, kind, office, valid_from_ms, valid_until_ms,
    list_index, published_ms, document, command) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING RETURNING {_CREDENTIAL}
"""  # noqa: S608 - names of columns
_REVOKE = f"""
    UPDATE credentials SET revoked_ms = %s
    WHERE organization = %s AND list_index = ANY(%s) AND revoked_ms IS NULL RETURNING {_CREDENTIAL}
"""  # noqa: S608 - names of columns
_PAGE = f"""
    SELECT {_CREDENTIAL} FROM credentials
    WHERE (%(organization)s::bytea IS NULL OR organization = %(organization)s)
    AND (%(subject)s::bytea IS NULL OR subject = %(subject)s)
    AND (%(before)s::bigint IS NULL OR position < %(before)s)
    ORDER BY position DESC LIMIT %(count)s
"""  # noqa: S608 - names of columns
_LOCK_ORGANIZATION = "SELECT pg_advisory_xact_lock(hashtextextended(encode(%s, 'hex'), 1))"
_PUT_LIST = """
    INSERT INTO status_lists (organization, bits, document, command) VALUES (%s, %s, %s, %s)
    ON CONFLICT (organization) DO UPDATE
    SET bits = excluded.bits, document = excluded.document, command = excluded.command
"""


class PostgresCommands:
    """See `icn_identity.usecases.ports.Commands`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def answer(self, command_id: bytes) -> bytes | None:
        """See the port."""
        cursor = await self._connection.execute("SELECT response FROM commands WHERE id = %s", (command_id,))
        row = await cursor.fetchone()
        return None if row is None else bytes(row[0])

    async def add(self, command: Command[Any], response: bytes) -> bool:
        """See the port."""
        cursor = await self._connection.execute(
            _ADD_COMMAND,
            (
                command.id,
                command.principal,
                command.method,
                command.body,
                command.signatures,
                response,
            ),
        )
        return cursor.rowcount == 1

    async def set_answer(self, command_id: bytes, response: bytes) -> None:
        """See the port."""
        await self._connection.execute(
            "UPDATE commands SET response = %s WHERE id = %s", (response, command_id)
        )


class PostgresDidEntries:
    """See `icn_identity.usecases.ports.DidEntries`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def count(self, principal: bytes) -> int:
        """See the port."""
        cursor = await self._connection.execute(
            "SELECT coalesce(max(number), 0) FROM did_entries WHERE principal = %s", (principal,)
        )
        row = await cursor.fetchone()
        assert row is not None, "an aggregate has a row"
        count: int = row[0]
        return count

    async def lines(self, principal: bytes, after: int) -> Sequence[bytes]:
        """See the port."""
        cursor = await self._connection.execute(
            "SELECT line FROM did_entries WHERE principal = %s AND number > %s ORDER BY number",
            (principal, after),
        )
        return [bytes(row[0]) for row in await cursor.fetchall()]

    async def principal_of(self, scid: str) -> bytes | None:
        """See the port."""
        cursor = await self._connection.execute(
            "SELECT principal FROM did_entries WHERE scid = %s AND number = 1", (scid,)
        )
        row = await cursor.fetchone()
        return None if row is None else bytes(row[0])

    async def add(self, entry: DidEntry, command_id: bytes) -> bool:
        """See the port."""
        cursor = await self._connection.execute(
            _ADD_ENTRY, (entry.principal, entry.number, entry.did, entry.scid, entry.line, command_id)
        )
        return cursor.rowcount == 1


class PostgresCredentials:
    """See `icn_identity.usecases.ports.Credentials`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, credential_id: bytes) -> StoredCredential | None:
        """See the port."""
        cursor = await self._connection.execute(
            f"SELECT {_CREDENTIAL} FROM credentials WHERE id = %s",  # noqa: S608 - a constant
            (credential_id,),
        )
        row = await cursor.fetchone()
        return None if row is None else _credential(row)

    async def add(
        self, organization: bytes, claim: Claim, document: bytes, published_ms: int, command_id: bytes
    ) -> StoredCredential | None:
        """See the port."""
        cursor = await self._connection.execute(
            _ADD_CREDENTIAL,
            (
                claim.id,
                organization,
                claim.subject,
                int(claim.kind),
                claim.office,
                claim.valid_from_ms,
                claim.valid_until_ms,
                claim.list_index,
                published_ms,
                document,
                command_id,
            ),
        )
        row = await cursor.fetchone()
        return None if row is None else _credential(row)

    async def revoke(
        self, organization: bytes, indices: Collection[int], revoked_ms: int
    ) -> Sequence[StoredCredential]:
        """See the port."""
        cursor = await self._connection.execute(_REVOKE, (revoked_ms, organization, sorted(indices)))
        return sorted((_credential(row) for row in await cursor.fetchall()), key=lambda one: one.id)

    async def page(
        self, *, organization: bytes | None, subject: bytes | None, before: int | None, count: int
    ) -> Sequence[StoredCredential]:
        """See the port."""
        parameters = {"organization": organization, "subject": subject, "before": before, "count": count}
        cursor = await self._connection.execute(_PAGE, parameters)
        return [_credential(row) for row in await cursor.fetchall()]


class PostgresStatusLists:
    """See `icn_identity.usecases.ports.StatusLists`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, organization: bytes, *, is_for_change: bool = False) -> StoredList | None:
        """See the port. The lock is on the organization, which may have no list yet."""
        if is_for_change:
            await self._connection.execute(_LOCK_ORGANIZATION, (organization,))
        cursor = await self._connection.execute(
            "SELECT bits, document FROM status_lists WHERE organization = %s", (organization,)
        )
        row = await cursor.fetchone()
        return None if row is None else StoredList(bytes(row[0]), bytes(row[1]))

    async def put(self, organization: bytes, bits: bytes, document: bytes, command_id: bytes) -> None:
        """See the port."""
        await self._connection.execute(_PUT_LIST, (organization, bits, document, command_id))


def _credential(row: Sequence[Any]) -> StoredCredential:
    return StoredCredential(
        id=bytes(row[0]),
        position=row[1],
        organization=bytes(row[2]),
        subject=bytes(row[3]),
        kind=ClaimKind(row[4]),
        office=row[5],
        valid_from_ms=row[6],
        valid_until_ms=row[7],
        published_ms=row[8],
        revoked_ms=row[9],
        document=bytes(row[10]),
    )
