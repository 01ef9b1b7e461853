"""PublishStatusList: an organization signed a new version of its list, which revokes what it newly sets."""

from __future__ import annotations

from icn.identity.v1.service_pb2 import PublishStatusList, PublishStatusListResponse
from icn_credentials import status_list
from icn_credentials.organization import status_list_url
from icn_credentials.resolver import Resolver
from icn_kit.commands import Command
from icn_kit.errors import FailedPrecondition

from icn_identity.domain.claims import check_signed, newly_set, read_status_list
from icn_identity.domain.refusals import status_list_invalid
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import Surroundings, UnitOfWork
from icn_identity.usecases.taking import controller_of, first_answer, issuer_log, settle_offices
from icn_identity.usecases.telling import credential_name, credential_revoked


async def publish_status_list(
    command: Command[PublishStatusList], uow: UnitOfWork, logs: LogMemory, around: Surroundings
) -> PublishStatusListResponse:
    """Put the list in force; the same command gives the same answer.

    Raises:
        InvalidArgument, FailedPrecondition, NotFound: as the proto says.
    """
    async with uow:
        if (known := await first_answer(command, uow, PublishStatusListResponse)) is not None:
            return known
        form, bits = read_status_list(
            command.request.document, status_list_url(around.domain, command.principal)
        )
        log = await issuer_log(command.principal, uow, logs)
    controller = await controller_of(command.principal, around)
    now_ms = around.clock.now_ms()
    resolve = Resolver({log.scid: log}).verification_method
    fault = check_signed(form, log.last.did, controller, resolve, now_ms)
    if fault is not None:
        raise status_list_invalid(fault)
    async with uow:
        stored = await uow.status_lists.get(command.principal, is_for_change=True)
        if (known := await first_answer(command, uow, PublishStatusListResponse)) is not None:
            return known
        changed = newly_set(status_list.empty() if stored is None else stored.bits, bits)
        if changed is None:
            raise FailedPrecondition(
                "REVOCATION_UNDONE",
                "a bit that is set in the stored list is not set in this one: begin with the stored list",
            )
        revoked = await uow.credentials.revoke(command.principal, changed, now_ms)
        answer = PublishStatusListResponse(revoked=[credential_name(one.id) for one in revoked])
        await uow.commands.add(command, answer.SerializeToString(deterministic=True))
        await uow.status_lists.put(command.principal, bits, command.request.document, command.id)
        await uow.outbox.add(*(credential_revoked(around.zone, one) for one in revoked))
        await settle_offices(uow, around)
        await uow.commit()
    await around.permissions.take_in()
    return answer
