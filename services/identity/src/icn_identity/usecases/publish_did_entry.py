"""PublishDidEntry: an organization's keystore made the next entry of its log."""

from __future__ import annotations

from icn.identity.v1 import events_pb2
from icn.identity.v1.service_pb2 import PublishDidEntry, PublishDidEntryResponse
from icn_kit.commands import Command

from icn_identity.domain.did_entry import check_entry, read_entry
from icn_identity.domain.refusals import did_entry_stale
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import DidEntry, Surroundings, UnitOfWork
from icn_identity.usecases.taking import controller_of, first_answer
from icn_identity.usecases.telling import envelope


async def publish_did_entry(
    command: Command[PublishDidEntry], uow: UnitOfWork, logs: LogMemory, around: Surroundings
) -> PublishDidEntryResponse:
    """Append the entry to the log of the command's principal; the same command gives the same answer.

    Raises:
        InvalidArgument, FailedPrecondition, NotFound: as the proto says.
    """
    async with uow:
        if (known := await first_answer(command, uow, PublishDidEntryResponse)) is not None:
            return known
        log = await logs.of(command.principal, uow)
    entry = read_entry(command.request.entry, log, around.clock.now_ms())
    controller = await controller_of(command.principal, around)
    guardian = await around.ledger.controller(controller.guardian) if controller.guardian else None
    check_entry(entry, controller, guardian, around.domain)
    answer = PublishDidEntryResponse(did=entry.did, version_id=entry.version_id)
    event = events_pb2.DidPublished(principal=command.principal, did=entry.did, version_id=entry.version_id)
    aggregate = f"principals/{command.principal.hex()}"
    async with uow:
        if not await uow.commands.add(command, answer.SerializeToString(deterministic=True)):
            known = await first_answer(command, uow, PublishDidEntryResponse)
            assert known is not None, "it was taken meanwhile"
            return known
        stored = DidEntry(
            command.principal, entry.number, entry.did, entry.parameters.scid, command.request.entry
        )
        if not await uow.did_entries.add(stored, command.id):
            raise did_entry_stale(entry.number, entry.number)
        await uow.outbox.add(
            envelope(around.zone, "did_published", event, aggregate=aggregate, tenant=command.principal)
        )
        await uow.commit()
    return answer
