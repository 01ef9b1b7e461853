"""CreateProposal, CommitLot, OpenProposal: from a draft to a document that the ledger can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from icn.governance.v1.service_pb2 import CommitLot, CreateProposal, OpenProposal
from icn.ledger.v1.state_pb2 import AuthorityLeaf
from icn_kit.clock import Clock
from icn_kit.commands import Command
from icn_tally.polls.documents import Draft, read_draft
from icn_tally.polls.forms import HASH_BYTES, InvalidDocument
from icn_tally.polls.rules import time_shortfall

from icn_governance.domain import events
from icn_governance.domain.errors import (
    document_invalid,
    malformed,
    poll_too_short,
    proposal_exists,
    proposal_unknown,
    too_many_documents,
    wrong_state,
)
from icn_governance.domain.proposal import (
    PROPOSAL_BYTES,
    LotShare,
    Proposal,
    ProposalState,
    checked_document,
)
from icn_governance.usecases.once import once
from icn_governance.usecases.ports import Begin, BlockTime, Ledger, UnitOfWork
from icn_governance.usecases.standing import check_may_draft, check_may_open, check_rules

Answer = Callable[[Proposal], bytes]


async def create_proposal(
    command: Command[CreateProposal], begin: Begin, ledger: Ledger, clock: Clock, answer: Answer
) -> bytes:
    """Keep a draft.

    Raises:
        InvalidArgument: FIELD_INVALID, DRAFT_INVALID.
        PermissionDenied: NOT_OF_THE_ORGANIZATION.
        FailedPrecondition: DRAFT_BELOW_RULES.
        AlreadyExists: PROPOSAL_EXISTS.
    """
    asked = command.request
    if len(asked.proposal) != PROPOSAL_BYTES:
        raise malformed("proposal", f"{PROPOSAL_BYTES} bytes are expected")
    try:
        draft = read_draft(asked.draft)
    except InvalidDocument as error:
        raise document_invalid("DRAFT_INVALID", error) from None

    async def prepare() -> Draft:
        await check_may_draft(draft, command.principal, ledger)
        await check_rules(draft, ledger)
        return draft

    async def work(uow: UnitOfWork, draft: Draft) -> bytes:
        proposal = Proposal(
            proposal=asked.proposal,
            organization=draft.organization,
            proposer=command.principal,
            state=ProposalState.DRAFT,
            draft=asked.draft,
            create_time_ms=clock.now_ms(),
            lots=tuple(LotShare(teller) for teller in draft.tellers),
        )
        if not await uow.records.add_proposal(proposal):
            raise proposal_exists(asked.proposal)
        await uow.publish(events.proposal_drafted(proposal))
        return answer(proposal)

    return await once(command, begin, prepare, work)


async def commit_lot(command: Command[CommitLot], begin: Begin, answer: Answer) -> bytes:
    """Keep a teller's commitment for a draft; once a document is announced, it holds the commitments.

    Raises:
        InvalidArgument: FIELD_INVALID.
        NotFound: PROPOSAL_UNKNOWN.
        PermissionDenied: NOT_A_TELLER.
        FailedPrecondition: PROPOSAL_NOT_DRAFT.
    """
    asked = command.request
    if len(asked.commitment) != HASH_BYTES:
        raise malformed("commitment", f"{HASH_BYTES} bytes are expected")

    async def work(uow: UnitOfWork, _: None) -> bytes:
        proposal = await uow.records.proposal(asked.proposal, is_locked=True)
        if proposal is None:
            raise proposal_unknown(asked.proposal)
        proposal.lot_of(command.principal)
        if proposal.state is not ProposalState.DRAFT:
            raise wrong_state("PROPOSAL_NOT_DRAFT", proposal.proposal, proposal.state.word)
        await uow.records.update_lot(asked.proposal, command.principal, asked.commitment, b"")
        changed = await uow.records.proposal(asked.proposal)
        assert changed is not None, "just written"
        return answer(changed)

    return await once(command, begin, _nothing, work)


async def open_proposal(
    command: Command[OpenProposal],
    begin: Begin,
    ledger: Ledger,
    *,
    block_time: BlockTime,
    genesis_hash: bytes,
    answer: Answer,
) -> bytes:
    """Keep the document of a poll that its proposer is about to open on the ledger. Several may be kept: the
    ledger says which one it is about.

    Raises:
        InvalidArgument: DOCUMENT_INVALID.
        NotFound: PROPOSAL_UNKNOWN.
        PermissionDenied: NOT_A_MEMBER, NOT_THE_PROPOSER.
        FailedPrecondition: PROPOSAL_NOT_DRAFT, DRAFT_BELOW_RULES, POLL_TOO_SHORT.
        ResourceExhausted: TOO_MANY_DOCUMENTS.
    """
    asked = command.request

    async def prepare() -> AuthorityLeaf | None:
        async with begin() as uow:
            proposal = await uow.records.proposal(asked.proposal)
        if proposal is None:
            raise proposal_unknown(asked.proposal)
        await check_may_open(proposal, command.principal, ledger)
        return await check_rules(proposal.read_draft(), ledger)

    async def work(uow: UnitOfWork, authority: AuthorityLeaf | None) -> bytes:
        proposal = await uow.records.proposal(asked.proposal, is_locked=True)
        if proposal is None:
            raise proposal_unknown(asked.proposal)
        proposal.check_draft()
        document = checked_document(proposal, asked.document, genesis_hash)
        if authority is not None:
            shortfall = time_shortfall(document.close_time_ms - block_time.block_time_ms(), authority.rules)
            if shortfall is not None:
                raise poll_too_short(shortfall)
        if not await uow.records.add_document(asked.proposal, document.digest(), asked.document):
            raise too_many_documents(asked.proposal)
        announced = replace(proposal.about(document, asked.document), state=ProposalState.ANNOUNCED)
        await uow.records.update_proposal(announced)
        return answer(announced)

    return await once(command, begin, prepare, work)


async def _nothing() -> None:
    """Nobody need be asked."""
