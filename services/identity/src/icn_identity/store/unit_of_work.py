"""One transaction with everything that identity stores."""

from __future__ import annotations

from icn_kit.database import Database
from icn_kit.unit_of_work import UnitOfWork

from icn_identity.store.records import (
    PostgresCommands,
    PostgresCredentials,
    PostgresDidEntries,
    PostgresStatusLists,
)
from icn_identity.store.tuples import PostgresTuples


class IdentityUnitOfWork(UnitOfWork):
    """See `icn_identity.usecases.ports.UnitOfWork`."""

    def __init__(self, database: Database, zone: bytes) -> None:
        super().__init__(database)
        self._zone = zone
        self._tuples: PostgresTuples | None = None

    @property
    def commands(self) -> PostgresCommands:
        """Commands that were taken."""
        return PostgresCommands(self.connection)

    @property
    def did_entries(self) -> PostgresDidEntries:
        """DID logs."""
        return PostgresDidEntries(self.connection)

    @property
    def credentials(self) -> PostgresCredentials:
        """Credentials."""
        return PostgresCredentials(self.connection)

    @property
    def status_lists(self) -> PostgresStatusLists:
        """Status lists."""
        return PostgresStatusLists(self.connection)

    @property
    def tuples(self) -> PostgresTuples:
        """Permission tuples; the same until the transaction ends."""
        if self._tuples is None:
            self._tuples = PostgresTuples(self.connection, self._zone)
        return self._tuples

    async def commit(self) -> None:
        """Also publish how tuples changed."""
        if self._tuples is not None:
            await self.outbox.add(*self._tuples.events)
        self._tuples = None
        await super().commit()

    async def __aexit__(self, *arguments: object) -> None:
        """Forget what was not committed."""
        self._tuples = None
        await super().__aexit__(*arguments)  # type: ignore[arg-type]
