"""PublishCredential: an organization signed a membership or an office with its own keys."""

from __future__ import annotations

import asyncio

from icn.identity.v1.service_pb2 import PublishCredential, PublishCredentialResponse
from icn_credentials.organization import status_list_url
from icn_credentials.resolver import Resolver
from icn_kit.commands import Command
from icn_kit.errors import AlreadyExists, DomainError, ErrorKind, FailedPrecondition

from icn_identity.domain.claims import Claim, ClaimKind, check_signed, is_set, read_claim
from icn_identity.domain.refusals import credential_invalid, issuer_mismatch
from icn_identity.usecases.answers import credential_answer
from icn_identity.usecases.logs import LogMemory
from icn_identity.usecases.ports import StoredCredential, Surroundings, UnitOfWork
from icn_identity.usecases.taking import controller_of, first_answer, issuer_log, settle_offices
from icn_identity.usecases.telling import credential_published

ACTIVE = "active"
MEMBER = "member"
"""The relation."""
MEMBERSHIP_READS_MAX = 3
"""Validators are level within fractions of a second; whoever asks may ask again."""
MEMBERSHIP_PAUSE_SECONDS = 0.2


class MembershipMoved(DomainError):
    """A membership ended after the height at which the ledger was read; try again."""

    kind = ErrorKind.UNAVAILABLE
    reason = "MEMBERSHIP_MOVED"

    def __init__(self, ended_at: int, read_at: int) -> None:
        super().__init__(
            f"the membership ended at height {ended_at}, the ledger was read at {read_at}",
            ended_at=ended_at,
            read_at=read_at,
        )


async def publish_credential(
    command: Command[PublishCredential], uow: UnitOfWork, logs: LogMemory, around: Surroundings
) -> PublishCredentialResponse:
    """Store the credential and publish what follows; the same command gives the same answer.

    Raises:
        InvalidArgument, FailedPrecondition, AlreadyExists, NotFound, MembershipMoved: as the proto says.
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
    for _ in range(MEMBERSHIP_READS_MAX):
        read_at = await _check_membership(command.principal, claim, around)
        try:
            answer = await _store(command, claim, read_at=read_at, now_ms=now_ms, uow=uow, around=around)
        except MembershipMoved as moved:
            last = moved
            await asyncio.sleep(MEMBERSHIP_PAUSE_SECONDS)
            continue
        await around.permissions.take_in()
        return answer
    raise last


async def _store(
    command: Command[PublishCredential],
    claim: Claim,
    *,
    read_at: int,
    now_ms: int,
    uow: UnitOfWork,
    around: Surroundings,
) -> PublishCredentialResponse:
    async with uow:
        listed = await uow.status_lists.get(command.principal, is_for_change=True)
        if (known := await first_answer(command, uow, PublishCredentialResponse)) is not None:
            return known
        if listed is None:
            raise FailedPrecondition("STATUS_LIST_UNKNOWN", "the organization has no status list yet")
        if is_set(listed.bits, claim.list_index):
            raise _index_taken(claim.list_index)
        if claim.kind is ClaimKind.OFFICE:
            await _check_not_ended_since(command.principal, claim, read_at, uow)
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
    return answer


async def _check_membership(organization: bytes, claim: Claim, around: Surroundings) -> int:
    """Pass for an active member of the organization; the height at which the ledger was read."""
    membership = await around.ledger.membership(organization, claim.subject)
    if membership is None or membership.status != ACTIVE:
        status = "none" if membership is None else membership.status
        raise FailedPrecondition(
            "NOT_A_MEMBER",
            f"the membership of principals/{claim.subject.hex()} is {status}, not {ACTIVE}",
            subject=claim.subject.hex(),
            status=status,
        )
    return membership.height


async def _check_not_ended_since(organization: bytes, claim: Claim, read_at: int, uow: UnitOfWork) -> None:
    """Refuse an office whose membership ended, as far as it is known here, after the ledger was read: what
    ended the member's offices could not see this one. Who ends a membership holds the same lock.

    Raises:
        MembershipMoved: the ledger must be read again.
    """
    await uow.tuples.lock()
    ended_at = await uow.tuples.last_end(
        f"organizations/{organization.hex()}", MEMBER, f"principals/{claim.subject.hex()}"
    )
    if ended_at > read_at:
        raise MembershipMoved(ended_at, read_at)


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
