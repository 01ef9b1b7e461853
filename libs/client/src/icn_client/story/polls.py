"""How the story puts a question to its people: draft, poll, ballots, count, and what stewards make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from icn.governance.v1.service_pb2 import (
    PROPOSAL_STATE_CLOSED,
    PROPOSAL_STATE_COUNTED,
    PROPOSAL_STATE_ENACTED,
)
from icn_tally.polls.documents import Draft

from icn_client.acting import now_ms
from icn_client.governance import cast_ballot, new_opening, new_secret, open_poll
from icn_client.keystore import Identity
from icn_client.names import identifier_in
from icn_client.story.stage import Coop, Member, Stage, StoryFailed, wait_for

OPEN_SECONDS_MIN: Final = 3.0
OPEN_COMMITS: Final = 30
"""A poll stays open as long as this many payments took to commit, so that a slow machine casts in time."""
WAIT_SECONDS_MAX: Final = 90.0
YES, NO, ABSTAIN = [[1]], [[2]], [[3]]

Voter = Coop | Member


async def ask(
    stage: Stage,
    draft: Draft,
    proposer: Voter,
    ballots: Sequence[tuple[Voter, Sequence[Sequence[int]], bytes]],
    tellers: Sequence[Coop] = (),
) -> bytes:
    """Draft, open, vote, close, count; the proposal. Ballots are (voter, ranking, through)."""
    governance = stage.governance
    shown = await governance.create(proposer.identity, draft)
    proposal = identifier_in(shown.name, "proposals")
    lots = {coop.name: new_secret() for coop in tellers}
    for coop in tellers:
        await governance.commit_lot(coop.identity, proposal, lots[coop.name])
    seconds = max(OPEN_SECONDS_MIN, OPEN_COMMITS * stage.commit_seconds)
    document = await governance.announce(proposer.identity, proposal, now_ms() + int(seconds * 1000))
    await open_poll(stage.submitter, proposer.actor, document)
    await asyncio.gather(
        *(
            cast_ballot(
                governance,
                stage.submitter,
                voter.actor,
                proposal=proposal,
                opening=new_opening(voter.actor.principal, ranking),
                through=through,
            )
            for voter, ranking, through in ballots
        )
    )
    if tellers:
        await wait_for(lambda: _has_closed(stage, proposal), seconds + WAIT_SECONDS_MAX)
        for coop in tellers:
            await governance.reveal_lot(coop.identity, proposal, lots[coop.name])
    await reaches(stage, proposal, PROPOSAL_STATE_COUNTED)
    return proposal


async def reaches(stage: Stage, proposal: bytes, state: int) -> Any:
    """The proposal once governance shows it counted, or enacted.

    Raises:
        StoryFailed: not in time; with what the stewards said last.
    """
    states = {PROPOSAL_STATE_COUNTED, PROPOSAL_STATE_ENACTED} if state == PROPOSAL_STATE_COUNTED else {state}

    async def is_there() -> bool:
        return (await stage.governance.proposal(proposal)).state in states

    if not await wait_for(is_there, WAIT_SECONDS_MAX):
        said = (
            {}
            if stage.stewards is None
            else {name: stage.stewards.said(name) for name in stage.stewards.names}
        )
        raise StoryFailed(f"proposal {proposal.hex()} is not there after {WAIT_SECONDS_MAX} s: {said}")
    return await stage.governance.proposal(proposal)


async def enacted(stage: Stage, proposal: bytes) -> Any:
    """The proposal once its decision is enacted."""
    return await reaches(stage, proposal, PROPOSAL_STATE_ENACTED)


async def _has_closed(stage: Stage, proposal: bytes) -> bool:
    """Whether governance knows; the ledger knows a little before. Where no lot decides, the count and the
    enactment may follow before anybody looks."""
    past = {PROPOSAL_STATE_CLOSED, PROPOSAL_STATE_COUNTED, PROPOSAL_STATE_ENACTED}
    return (await stage.governance.proposal(proposal)).state in past


def through(stage: Stage, member: Member) -> bytes:
    """The organization that a member votes through."""
    return stage.coops[member.coop].actor.principal


def by_name(stage: Stage, answers: Mapping[str, Sequence[Sequence[int]]]) -> list[Any]:
    """Ballots of members of members, from first names."""
    return [
        (stage.members[name], ranking, through(stage, stage.members[name]))
        for name, ranking in answers.items()
    ]


def identity_of(name: str, keys: tuple[Any, ...], principal: bytes, threshold: int = 1) -> Identity:
    """Keys of the story as a keystore would hold them."""
    return Identity(name, principal, threshold, tuple(sorted(keys, key=lambda key: key.key_id)))
