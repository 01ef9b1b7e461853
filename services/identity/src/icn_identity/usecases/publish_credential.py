"""PublishCredential: an organization signed a membership or an office with its own keys."""

from __future__ import annotations

from icn.identity.v1.service_pb2 import PublishCredential, PublishCredentialResponse
from icn_credentials.organization import status_list_url
from icn_credentials.resolver import Resolver
from icn_kit.commands import Command
from icn_kit.errors import AlreadyExists, FailedPrecondition

from icn_identity.domain.claims import Claim, ClaimKind, check_signed, is_set, read_claim
from icn_identity.domain.refusals import credential_invalid, issuer_mismatch
from icn_identity.usecases.answers import credential_answer
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import StoredCredential, Surroundings, UnitOfWork
from icn_identity.usecases.taking import controller_of, first_answer, issuer_log, settle_offices
from icn_identity.usecases.telling import credential_published

ACTIVE = "active"


async def publish_credential(
    command: Command[PublishCredential], uow: UnitOfWork, logs: LogMemory, around: Surroundings
) -> PublishCredentialResponse:
    """Store the credential and publish what follows; the same command gives the same answer.

    Raises:
        InvalidArgument, FailedPrecondition, AlreadyExists, NotFound: as the proto says.
    """
    async with uow:
        if (known := await first_answer(command, uow, PublishCredentialResponse)) is not None:
            return known
        form, claim = read_claim(command.request.document)
        log = await issuer_log(command.principal, uow, logs)
    did = log.last.did
    if claim.issuer != did:
        raise issuer_mismatch(claim.issuer, did)
    controller = await controller_of(command.principal, around)
    now_ms = around.clock.now_ms()
    fault = check_signed(form, did, controller, Resolver({log.scid: log}).verification_method, now_ms)
    if fault is not None:
        raise credential_invalid(fault)
    expected_url = status_list_url(around.domain, command.principal)
    if claim.list_url != expected_url:
        raise credential_invalid(f"its status stands in {expected_url}")
    await _check_membership(command.principal, claim, around)
    async with uow:
        listed = await uow.status_lists.get(command.principal, is_for_change=True)
        if (known := await first_answer(command, uow, PublishCredentialResponse)) is not None:
            return known
        if listed is None:
            raise FailedPrecondition("STATUS_LIST_UNKNOWN", "the organization has no status list yet")
        if is_set(listed.bits, claim.list_index):
            raise _index_taken(claim.list_index)
        # What is stored refers to the command, and the command's answer shows what is stored.
        await uow.commands.add(command, b"")
        stored = await uow.credentials.add(
            command.principal, claim, command.request.document, now_ms, command.id
        )
        if stored is None:
            raise await _why_taken(claim, uow)
        answer = PublishCredentialResponse(credential=credential_answer(stored))
        await uow.commands.set_answer(command.id, answer.SerializeToString(deterministic=True))
        await _tell(stored, uow, around)
        await uow.commit()
    await around.permissions.take_in()
    return answer


async def _check_membership(organization: bytes, claim: Claim, around: Surroundings) -> None:
    membership = await around.ledger.membership(organization, claim.subject)
    if membership is None or membership.status != ACTIVE:
        status = "none" if membership is None else membership.status
        raise FailedPrecondition(
            "NOT_A_MEMBER",
            f"the membership of principals/{claim.subject.hex()} is {status}, not {ACTIVE}",
            subject=claim.subject.hex(),
            status=status,
        )


async def _tell(stored: StoredCredential, uow: UnitOfWork, around: Surroundings) -> None:
    await uow.outbox.add(credential_published(around.zone, stored))
    if stored.kind is ClaimKind.OFFICE:
        await settle_offices(uow, around)


async def _why_taken(claim: Claim, uow: UnitOfWork) -> AlreadyExists | FailedPrecondition:
    if await uow.credentials.get(claim.id) is not None:
        return AlreadyExists("CREDENTIAL_ID_TAKEN", f"a credential {claim.id.hex()} is stored already")
    return _index_taken(claim.list_index)


def _index_taken(index: int) -> FailedPrecondition:
    return FailedPrecondition(
        "STATUS_INDEX_TAKEN", f"index {index} of the status list is used or set; take another", index=index
    )
