"""ProposeDecision and SubmitCountersignature: what an authority's members agree to."""

from __future__ import annotations

from collections.abc import Callable

from icn.governance.v1.service_pb2 import ProposeDecision
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.clock import Clock
from icn_kit.commands import Command
from icn_kit.errors import InvalidArgument, ResourceExhausted
from icn_tally.polls.decisions import decision_id

from icn_governance.domain import events
from icn_governance.domain.decision import (
    COUNTERSIGNATURES_MAX,
    StoredDecision,
    check_countersignature,
    check_not_lapsed,
    founders_of,
    read_direct_decision,
)
from icn_governance.domain.errors import decision_unknown, malformed, not_a_member
from icn_governance.usecases.once import once
from icn_governance.usecases.ports import Begin, BlockTime, Ledger, UnitOfWork
from icn_governance.usecases.standing import is_active


async def propose_decision(
    command: Command[ProposeDecision],
    begin: Begin,
    ledger: Ledger,
    *,
    clock: Clock,
    genesis_hash: bytes,
    answer: Callable[[StoredDecision], bytes],
) -> bytes:
    """Keep a decision without a poll, so that the members can countersign it.

    Raises:
        InvalidArgument: DECISION_INVALID, TEXT_INVALID.
        PermissionDenied: NOT_A_MEMBER.
    """
    asked = command.request
    decision, _ = read_direct_decision(asked.decision, asked.text, genesis_hash)
    founders = founders_of(decision)
    identifier = decision_id(genesis_hash, asked.decision)

    async def prepare() -> None:
        if not await _is_signer(decision.authority, command.principal, founders, ledger):
            raise not_a_member(command.principal, decision.authority)

    async def work(uow: UnitOfWork, _: None) -> bytes:
        stored = StoredDecision(identifier, asked.decision, asked.text, create_time_ms=clock.now_ms())
        if await uow.records.add_decision(stored):
            await uow.publish(events.decision_proposed(identifier, decision.authority, b""))
        known = await uow.records.decision(identifier)
        assert known is not None, "just written, or there before"
        return answer(known)

    return await once(command, begin, prepare, work)


async def submit_countersignature(
    identifier: bytes,
    countersignature: Countersignature,
    begin: Begin,
    ledger: Ledger,
    *,
    block_time: BlockTime,
    genesis_hash: bytes,
) -> int:
    """Keep one member's countersignature; how many there are now. The first of a signer stays.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: DECISION_UNKNOWN.
        FailedPrecondition: DECISION_LAPSED.
        PermissionDenied: NOT_A_MEMBER, KEY_UNKNOWN, KEY_NOT_ALLOWED.
        Unauthenticated: COUNTERSIGNATURE_INVALID.
    """
    if len(countersignature.signer) != 16 or len(countersignature.key_id) != 16:
        raise malformed("countersignature", "signer and key_id have 16 bytes")
    async with begin() as uow:
        stored = await uow.records.decision(identifier)
    if stored is None:
        raise decision_unknown(identifier)
    decision = stored.read()
    check_not_lapsed(decision, block_time.block_time_ms())
    signer = countersignature.signer
    if not await _is_signer(decision.authority, signer, founders_of(decision), ledger):
        raise not_a_member(signer, decision.authority)
    controller = await ledger.controller(signer)
    if controller is None:
        raise InvalidArgument("CONTROLLER_UNKNOWN", f"no principal {signer.hex()}")
    check_countersignature(
        countersignature, stored.body, controller, genesis_hash, block_time.block_time_ms()
    )
    async with begin() as uow:
        count = await uow.records.count_countersignatures(identifier)
        if count >= COUNTERSIGNATURES_MAX:  # only of members that have left since
            raise ResourceExhausted("TOO_MANY_COUNTERSIGNATURES", f"the decision has {count}")
        if await uow.records.add_countersignature(identifier, countersignature):
            count = await uow.records.count_countersignatures(identifier)
            await uow.publish(events.countersignature_received(identifier, decision.authority, signer, count))
            await uow.commit()
    return count


async def _is_signer(
    authority: bytes, principal: bytes, founders: frozenset[bytes] | None, ledger: Ledger
) -> bool:
    if founders is not None:
        return principal in founders
    return await is_active(authority, principal, ledger)
