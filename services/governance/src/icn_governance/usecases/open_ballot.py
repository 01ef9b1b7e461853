"""OpenBallot and RevealLot: what voters and tellers hid, once it may be known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from icn.governance.v1.service_pb2 import OpenBallot, RevealLot
from icn_kit.commands import Command
from icn_tally.polls.commitments import (
    BALLOT_BYTES_MAX,
    SALT_BYTES,
    SECRET_BYTES,
    Opening,
    lot_commitment,
)

from icn_governance.domain.errors import lot_mismatch, malformed, proposal_unknown
from icn_governance.domain.proposal import Proposal
from icn_governance.usecases.once import once
from icn_governance.usecases.ports import Begin, Ledger, UnitOfWork
from icn_governance.usecases.standing import check_may_draft


async def open_ballot(
    command: Command[OpenBallot],
    begin: Begin,
    ledger: Ledger,
    genesis_hash: bytes,
    answer: Callable[[bytes], bytes],
) -> bytes:
    """Keep the opening of the principal's own ballot; ``answer`` is given the commitment it opens.

    Whether the ledger holds that commitment is not asked: ballots that are cast again, and openings that come
    before their transaction is final, are settled at the close. Who has no ballot there may open one that is
    on its way, as long as it belongs to the organization.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: PROPOSAL_UNKNOWN.
        PermissionDenied: NOT_OF_THE_ORGANIZATION.
        FailedPrecondition: PROPOSAL_NOT_OPEN, OPENINGS_CLOSED.
    """
    asked = command.request
    if len(asked.salt) != SALT_BYTES:
        raise malformed("salt", f"{SALT_BYTES} bytes are expected")
    if not 1 <= len(asked.ballot) <= BALLOT_BYTES_MAX:
        raise malformed("ballot", f"1 to {BALLOT_BYTES_MAX} bytes are expected")
    opening = Opening(command.principal, asked.salt, asked.ballot)
    commitment = opening.commitment(genesis_hash, asked.proposal)

    async def prepare() -> None:
        async with begin() as uow:
            proposal = await uow.records.proposal(asked.proposal)
        if proposal is None:
            raise proposal_unknown(asked.proposal)
        proposal.check_takes_openings()
        # Who has cast a ballot opens it, also when its membership has ended since.
        if not await ledger.has_ballot(asked.proposal, command.principal):
            await check_may_draft(proposal.read_draft(), command.principal, ledger)

    async def work(uow: UnitOfWork, _: None) -> bytes:
        # The lock puts an opening before the count or after it, never beside it.
        proposal = await uow.records.proposal(asked.proposal, is_locked=True)
        if proposal is None:
            raise proposal_unknown(asked.proposal)
        proposal.check_takes_openings()
        await uow.records.add_opening(asked.proposal, opening, commitment)
        return answer(commitment)

    return await once(command, begin, prepare, work)


async def reveal_lot(
    command: Command[RevealLot], begin: Begin, genesis_hash: bytes, answer: Callable[[Proposal], bytes]
) -> bytes:
    """Keep a teller's secret; a result that waits for it is counted again.

    Raises:
        InvalidArgument: FIELD_INVALID, LOT_MISMATCH.
        NotFound: PROPOSAL_UNKNOWN.
        PermissionDenied: NOT_A_TELLER.
        FailedPrecondition: PROPOSAL_NOT_CLOSED.
    """
    asked = command.request
    if len(asked.secret) != SECRET_BYTES:
        raise malformed("secret", f"{SECRET_BYTES} bytes are expected")

    async def work(uow: UnitOfWork, _: None) -> bytes:
        proposal = await uow.records.proposal(asked.proposal, is_locked=True)
        if proposal is None:
            raise proposal_unknown(asked.proposal)
        share = proposal.lot_of(command.principal)
        proposal.check_closed()
        found = lot_commitment(genesis_hash, asked.proposal, command.principal, asked.secret)
        if found != share.commitment:
            raise lot_mismatch(command.principal)
        await uow.records.update_lot(asked.proposal, command.principal, share.commitment, asked.secret)
        if proposal.result is not None and not proposal.result.is_complete:
            await uow.records.update_proposal(replace(proposal, result=None))
        changed = await uow.records.proposal(asked.proposal)
        assert changed is not None, "just written"
        return answer(changed)

    return await once(command, begin, _nothing, work)


async def _nothing() -> None:
    """Nobody need be asked."""
