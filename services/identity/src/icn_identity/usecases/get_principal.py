"""GetPrincipal: keys and recovery from the ledger, DIDs from here."""

from __future__ import annotations

from dataclasses import dataclass

from icn_credentials.organization import did_template
from icn_credentials.webvh_log import Log
from icn_kit.errors import NotFound

from icn_identity.domain.did_entry import is_mirror
from icn_identity.domain.principals import Person
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import Surroundings, UnitOfWork


@dataclass(frozen=True, slots=True)
class Portrait:
    """A principal."""

    person: Person
    did_template: str
    log: Log | None

    @property
    def did(self) -> str:
        """Empty where it has none, or one that is off."""
        if self.log is None or self.log.last.parameters.is_deactivated:
            return ""
        return self.log.last.did

    @property
    def is_did_current(self) -> bool:
        """Whether the newest document mirrors the ledger's keys."""
        if self.log is None or not self.did:
            return False
        return is_mirror(self.log.last.document, self.did, self.person.controller)


async def get_principal(principal: bytes, uow: UnitOfWork, logs: LogMemory, around: Surroundings) -> Portrait:
    """What is known of a principal.

    Raises:
        NotFound: CONTROLLER_UNKNOWN.
    """
    person = await around.ledger.person(principal)
    if person is None:
        raise NotFound("CONTROLLER_UNKNOWN", f"no principal {principal.hex()}", principal=principal.hex())
    async with uow:
        log = await logs.of(principal, uow)
    return Portrait(person, did_template(around.domain, principal), log)
