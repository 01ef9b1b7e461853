"""What happens when block time passes the end of a poll: close, count, and make the decision.

Source: docs/spec/governance.md, "Result", "Decision".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from icn_kit.clock import Clock
from icn_kit.errors import Unavailable
from icn_tally.polls.decisions import decision_bytes, decision_id, decision_of
from icn_tally.polls.documents import PollDocument, read_document
from icn_tally.polls.results import PollResult, count_poll

from icn_governance.domain import events
from icn_governance.domain.decision import StoredDecision
from icn_governance.domain.proposal import BALLOTS_MAX, CountedResult, Proposal, ProposalState
from icn_governance.usecases.ports import Begin, Ledger, PollAt, UnitOfWork


@dataclass(frozen=True, slots=True)
class Advancing:
    """What moving proposals on needs."""

    begin: Begin
    ledger: Ledger
    clock: Clock
    genesis_hash: bytes


async def next_due(begin: Begin) -> tuple[bytes, int] | None:
    """The proposal that is due first, and when in block time."""
    async with begin() as uow:
        return await uow.records.next_due()


async def advance(proposal_id: bytes, block_time_ms: int, needs: Advancing) -> None:
    """Do the next thing that is due for a proposal; repeat it when it was done already is harmless.

    Raises:
        Unavailable: no validator answers, or one is behind; the same call may succeed later.
    """
    async with needs.begin() as uow:
        proposal = await uow.records.proposal(proposal_id)
    if proposal is None:
        return
    if proposal.state in (ProposalState.ANNOUNCED, ProposalState.OPEN):
        if block_time_ms >= proposal.close_time_ms:
            await _close(proposal, needs)
    elif proposal.state is ProposalState.CLOSED and proposal.result is None:
        await _count(proposal, block_time_ms, needs)


async def _close(proposal: Proposal, needs: Advancing) -> None:
    poll = await needs.ledger.poll(proposal.proposal)
    if proposal.state is ProposalState.ANNOUNCED:
        if poll is None:
            await _drop_document(proposal, needs)
        else:
            async with needs.begin() as uow:
                await note_poll(poll, uow)
                await uow.commit()
        return  # an open one is due again at its own close
    if poll is None or poll.block_time_ms < poll.leaf.close_time_ms:
        raise Unavailable("LEDGER_BEHIND", "the validator has not reached the end of the poll")
    is_too_large = poll.leaf.ballots > BALLOTS_MAX
    leaves = [] if is_too_large else await needs.ledger.ballots(proposal.proposal)
    if not is_too_large and len(leaves) != poll.leaf.ballots:
        raise Unavailable("LEDGER_BEHIND", f"{len(leaves)} of {poll.leaf.ballots} ballots are listed")
    async with needs.begin() as uow:
        current = await uow.records.proposal(proposal.proposal, is_locked=True)
        if current is None or current.state is not ProposalState.OPEN:
            return
        if is_too_large:
            await uow.records.update_proposal(replace(current, state=ProposalState.VOID))
            await uow.commit()
            return
        await uow.records.keep_ballots(proposal.proposal, leaves)
        closed = replace(current, state=ProposalState.CLOSED, ballots=len(leaves))
        await uow.records.update_proposal(closed)
        opened = await uow.records.openings(proposal.proposal)
        await uow.publish(events.proposal_closed(closed, len(leaves), len(opened)))
        await uow.commit()


async def _drop_document(proposal: Proposal, needs: Advancing) -> None:
    async with needs.begin() as uow:
        current = await uow.records.proposal(proposal.proposal, is_locked=True)
        if current == proposal and current.state is ProposalState.ANNOUNCED:
            await uow.records.update_proposal(current.without_document())
            await uow.commit()


async def _count(proposal: Proposal, block_time_ms: int, needs: Advancing) -> None:
    is_authority = await needs.ledger.authority(proposal.organization) is not None
    async with needs.begin() as uow:
        current = await uow.records.proposal(proposal.proposal, is_locked=True)
        if current is None or current.state is not ProposalState.CLOSED or current.result is not None:
            return
        leaves = await uow.records.ballots(proposal.proposal)
        openings = await uow.records.openings(proposal.proposal)
        if block_time_ms < current.opening_time_ms and len(openings) < len(leaves):
            return
        document = current.read_document()
        secrets = {share.teller: share.secret for share in current.lots if share.secret}
        # The largest poll takes 0.2 to 0.6 CPU-seconds (benches/polls.py); calls go on meanwhile.
        result = await asyncio.to_thread(count_poll, document, leaves, openings, secrets)
        counted = replace(
            current,
            state=ProposalState.COUNTED if result.is_complete else ProposalState.CLOSED,
            result=CountedResult(
                result=result.to_bytes(),
                digest=result.digest(),
                is_complete=result.is_complete,
                is_carried=result.is_carried,
                winners=result.winners,
            ),
        )
        if result.is_complete and is_authority:
            counted = await _decide(counted, document, result, uow, needs)
        await uow.records.update_proposal(counted)
        await uow.publish(events.result_computed(counted))
        await uow.commit()


async def _decide(
    counted: Proposal, document: PollDocument, result: PollResult, uow: UnitOfWork, needs: Advancing
) -> Proposal:
    body = decision_bytes(decision_of(document, result))
    identifier = decision_id(needs.genesis_hash, body)
    stored = StoredDecision(identifier, body, b"", create_time_ms=needs.clock.now_ms())
    if await uow.records.add_decision(stored):
        await uow.publish(events.decision_proposed(identifier, counted.organization, counted.proposal))
    return replace(counted, decision_id=identifier)


async def note_poll(poll: PollAt, uow: UnitOfWork) -> None:
    """The ledger has opened a poll: the proposal with the document that it names is open."""
    proposal = await uow.records.proposal(poll.leaf.poll, is_locked=True)
    if proposal is None or proposal.state not in (ProposalState.DRAFT, ProposalState.ANNOUNCED):
        return
    leaf = poll.leaf
    data = await uow.records.document(leaf.poll, leaf.document)
    if data is None:
        await uow.records.update_proposal(replace(proposal, state=ProposalState.VOID))
        return
    document = read_document(data)
    is_same = (
        leaf.organization == proposal.organization
        and leaf.electorate == document.draft.ledger_electorate
        and leaf.close_time_ms == document.close_time_ms
    )
    state = ProposalState.OPEN if is_same else ProposalState.VOID
    opened = replace(proposal.about(document, data), state=state)
    await uow.records.update_proposal(opened)
    if is_same:
        await uow.publish(events.proposal_opened(opened))
