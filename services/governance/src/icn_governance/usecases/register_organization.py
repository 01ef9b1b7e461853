"""RegisterOrganization."""

from __future__ import annotations

from collections.abc import Callable

from icn.governance.v1.service_pb2 import RegisterOrganization
from icn_kit.clock import Clock
from icn_kit.commands import Command

from icn_governance.domain import events
from icn_governance.domain.organization import Profile, checked_profile
from icn_governance.usecases.once import once
from icn_governance.usecases.ports import Begin, Ledger, OrganizationRow, UnitOfWork
from icn_governance.usecases.standing import check_speaks_for


async def register_organization(
    command: Command[RegisterOrganization],
    begin: Begin,
    ledger: Ledger,
    clock: Clock,
    answer: Callable[[OrganizationRow], bytes],
) -> bytes:
    """Keep what an organization says of itself.

    Raises:
        InvalidArgument: FIELD_INVALID.
        PermissionDenied: NOT_OF_THE_ORGANIZATION.
    """
    asked = command.request
    profile = checked_profile(
        Profile(
            organization=asked.organization,
            display_name=asked.display_name,
            kind=asked.kind,
            description=asked.description,
            contact=asked.contact,
            website=asked.website,
        )
    )

    async def prepare() -> bool:
        await check_speaks_for(profile.organization, command.principal, ledger)
        return await ledger.authority(profile.organization) is not None

    async def work(uow: UnitOfWork, is_authority: bool) -> bytes:
        await uow.records.register(profile, command.principal, clock.now_ms())
        if is_authority:
            await uow.records.note_authority(profile.organization)
        await uow.publish(events.organization_registered(profile.organization, profile.kind))
        row = await uow.records.organization(profile.organization)
        assert row is not None, "just written"
        return answer(row)

    return await once(command, begin, prepare, work)
