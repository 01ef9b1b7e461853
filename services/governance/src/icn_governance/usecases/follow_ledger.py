"""What the ledger's events change here: memberships, authorities, open polls, decisions in force."""

from __future__ import annotations

from dataclasses import replace

from icn.ledger.v1 import events_pb2 as ledger_events
from icn_kit.clock import Clock
from icn_tally.polls.decisions import decision_id

from icn_governance.domain import events
from icn_governance.domain.decision import StoredDecision
from icn_governance.domain.proposal import ProposalState
from icn_governance.usecases.close_polls import note_poll
from icn_governance.usecases.ports import PollAt, UnitOfWork


async def membership_changed(event: ledger_events.MembershipChanged, uow: UnitOfWork) -> None:
    """Show it."""
    await uow.records.note_membership(event.membership, event.height)


async def authority_founded(event: ledger_events.AuthorityFounded, uow: UnitOfWork) -> None:
    """Know it."""
    await uow.records.note_authority(event.authority.authority)


async def poll_opened(event: ledger_events.PollOpened, uow: UnitOfWork) -> None:
    """The proposal with its document takes ballots."""
    await note_poll(PollAt(event.poll, event.poll.open_time_ms), uow)


async def ballot_cast(event: ledger_events.BallotCast, uow: UnitOfWork) -> None:
    """Count voters for show; what counts is read from the ledger at the close."""
    if not event.is_recast:
        await uow.records.count_ballot(event.ballot.poll)


async def decision_enacted(
    event: ledger_events.DecisionEnacted, uow: UnitOfWork, clock: Clock, genesis_hash: bytes
) -> None:
    """A decision is in force, whether its countersignatures came by here or not."""
    leaf = event.decision
    identifier = decision_id(genesis_hash, event.body)
    assert identifier == event.decision_id, "the ledger names a decision by its bytes"
    await uow.records.add_decision(StoredDecision(identifier, event.body, b"", create_time_ms=clock.now_ms()))
    if await uow.records.note_enacted(identifier, event.height):
        await uow.publish(events.decision_enacted(identifier, leaf.authority, leaf.poll, event.height))
    if leaf.poll:
        proposal = await uow.records.proposal(leaf.poll, is_locked=True)
        if proposal is not None:
            await uow.records.update_proposal(
                replace(
                    proposal,
                    state=ProposalState.ENACTED,
                    decision_id=identifier,
                    enact_height=event.height,
                )
            )
