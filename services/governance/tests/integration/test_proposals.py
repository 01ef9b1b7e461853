"""A proposal from draft to enactment, over real Postgres and a ledger in memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from icn.governance.v1 import service_pb2 as messages
from icn.ledger.v1 import events_pb2 as ledger_events
from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ENDED, DecisionLeaf, MembershipLeaf
from icn_governance.domain.errors import DOCUMENTS_PER_PROPOSAL_MAX
from icn_governance.domain.proposal import BALLOTS_MAX, OPENINGS_PER_VOTER_MAX, ProposalState
from icn_governance.store import records
from icn_governance.usecases import follow_ledger, once
from icn_governance.usecases.close_polls import next_due, note_poll
from icn_governance.usecases.ports import PollAt
from icn_kit.errors import DomainError, FailedPrecondition, Unavailable
from icn_tally.plain_decision import MORE_THAN_HALF, PlainDecision, Share
from icn_tally.polls.commitments import Opening, ballot_bytes
from icn_tally.polls.decisions import decision_id
from icn_tally.polls.documents import PollDocument
from icn_tally.polls.results import count_poll

from .world import (
    FEDERATION,
    GENESIS,
    HOUR_MS,
    NOW_MS,
    World,
    election_draft,
    plain_draft,
    secret_of,
)

POLL = b"p" * 16
NAME = f"proposals/{POLL.hex()}"
YES, NO = [[1]], [[2]]


async def opened(world: World, document: PollDocument) -> None:
    leaf = world.ledger.open_poll(document, world.coops[0].principal)
    async with world.begin() as uow:
        await note_poll(PollAt(leaf, NOW_MS), uow)
        await uow.commit()


async def refused(work: object) -> str:
    with pytest.raises(DomainError) as error:
        await work  # type: ignore[misc]
    return error.value.reason


async def test_a_carried_decision_goes_from_draft_to_enactment(world: World) -> None:
    document = await world.announce(plain_draft())
    assert (await world.stored(POLL)).state is ProposalState.ANNOUNCED
    await opened(world, document)
    for coop, ranking in zip(world.coops, (YES, YES, YES, NO), strict=True):
        await world.vote(coop, ranking)
    assert await refused(world.ask("ListOpenings", messages.ListOpeningsRequest(proposal=NAME))) == (
        "PROPOSAL_NOT_CLOSED"
    )
    await world.advance(POLL)
    assert (await world.stored(POLL)).state is ProposalState.OPEN
    assert await next_due(world.begin) == (POLL, NOW_MS + HOUR_MS)
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    assert (await world.stored(POLL)).state is ProposalState.CLOSED
    await world.advance(POLL)
    shown = (await world.ask("GetProposal", messages.GetProposalRequest(name=NAME))).proposal
    assert (shown.state, shown.is_complete, shown.is_carried) == (messages.PROPOSAL_STATE_COUNTED, True, True)
    openings = (await world.ask("ListOpenings", messages.ListOpeningsRequest(proposal=NAME))).openings
    recounted = count_poll(
        document,
        await world.ledger.ballots(POLL),
        [Opening(bytes.fromhex(one.voter[11:]), one.salt, one.ballot) for one in openings],
        {},
    )
    result = await world.ask("GetResult", messages.GetResultRequest(proposal=NAME))
    assert result.result == recounted.to_bytes()
    decision = (await world.ask("GetDecision", messages.GetDecisionRequest(name=shown.decision))).decision
    assert (decision.countersignatures_needed, decision.state) == (3, messages.DECISION_STATE_PROPOSED)
    for number, coop in enumerate(world.coops[:3], start=1):
        request = messages.SubmitCountersignatureRequest(
            decision=decision.name, countersignature=coop.countersign(decision.body)
        )
        answer = await world.ask("SubmitCountersignature", request)
        assert answer.countersignatures == number
        assert (await world.ask("SubmitCountersignature", request)).countersignatures == number
    identifier = decision_id(GENESIS, decision.body)
    leaf = DecisionLeaf(authority=FEDERATION, poll=POLL, subject=result.digest, members=4, height=9)
    for _ in range(2):  # events come at least once
        async with world.begin() as uow:
            event = ledger_events.DecisionEnacted(
                height=9, decision_id=identifier, decision=leaf, body=decision.body
            )
            await follow_ledger.decision_enacted(event, uow, world.ledger, GENESIS)
            await uow.commit()
    shown = (await world.ask("GetProposal", messages.GetProposalRequest(name=NAME))).proposal
    assert (shown.state, shown.enact_height) == (messages.PROPOSAL_STATE_ENACTED, 9)
    assert await world.events() == [
        *("proposal_drafted", "proposal_opened", "proposal_closed", "decision_proposed", "result_computed"),
        *("countersignature_received",) * 3,
        "decision_enacted",
    ]
    assert await next_due(world.begin) is None


async def test_missing_openings_are_waited_for_and_then_named(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    await world.vote(world.coops[0], YES)
    missing = await world.vote(world.coops[1], NO, is_opened=False)
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    await world.advance(POLL)
    assert (await world.stored(POLL)).result is None
    assert await next_due(world.begin) == (POLL, NOW_MS + HOUR_MS + 600_000)
    request = messages.OpenBallot(proposal=POLL, salt=missing.salt, ballot=missing.ballot)
    answer = await world.do(world.coops[1], "OpenBallot", request)
    assert answer.commitment == missing.commitment(GENESIS, POLL)
    await world.advance(POLL)
    assert (await world.stored(POLL)).state is ProposalState.COUNTED
    assert await refused(world.do(world.coops[1], "OpenBallot", request)) == "OPENINGS_CLOSED"


async def test_the_count_goes_on_without_an_opening_that_never_comes(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    await world.vote(world.coops[0], YES)
    await world.vote(world.coops[1], NO, is_opened=False)
    world.ledger.time_ms = NOW_MS + HOUR_MS + 600_000
    await world.advance(POLL)
    await world.advance(POLL)
    stored = await world.stored(POLL)
    assert stored.state is ProposalState.COUNTED
    assert stored.result is not None
    assert world.coops[1].principal.hex().encode() in stored.result.result


@pytest.mark.parametrize("rule", ["scottish-stv", "meek"])
async def test_a_tie_waits_for_every_teller(world: World, rule: str) -> None:
    tellers = world.coops[:2]
    await opened(world, await world.announce(election_draft(tellers, rule)))
    for person, candidate in zip(world.people, (1, 2, 3), strict=True):
        await world.vote(person, [[candidate]])
    first = messages.RevealLot(proposal=POLL, secret=secret_of(tellers[0]))
    assert await refused(world.do(tellers[0], "RevealLot", first)) == "PROPOSAL_NOT_CLOSED"
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    await world.advance(POLL)
    stored = await world.stored(POLL)
    assert stored.state is ProposalState.CLOSED
    assert stored.result is not None
    assert not stored.result.is_complete
    assert not stored.decision_id
    assert await next_due(world.begin) is None
    wrong = messages.RevealLot(proposal=POLL, secret=bytes(32))
    assert await refused(world.do(tellers[0], "RevealLot", wrong)) == "LOT_MISMATCH"
    assert await refused(world.do(world.coops[3], "RevealLot", first)) == "NOT_A_TELLER"
    for teller in tellers:
        request = messages.RevealLot(proposal=POLL, secret=secret_of(teller))
        await world.do(teller, "RevealLot", request)
        await world.advance(POLL)
    stored = await world.stored(POLL)
    assert stored.state is ProposalState.COUNTED
    assert stored.result is not None
    assert len(stored.result.winners) == 1
    assert stored.decision_id


async def test_a_poll_about_another_document_is_void(world: World) -> None:
    document = await world.announce(plain_draft())
    world.ledger.open_poll(document, world.coops[0].principal, digest=bytes(32))
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    assert (await world.stored(POLL)).state is ProposalState.VOID


async def test_the_ledger_says_which_of_several_documents_it_is_about(world: World) -> None:
    first = await world.announce(plain_draft())
    second = replace(first, close_time_ms=NOW_MS + 2 * HOUR_MS)
    request = messages.OpenProposal(proposal=POLL, document=second.to_bytes())
    await world.do(world.coops[0], "OpenProposal", request)
    assert (await world.stored(POLL)).document == second.to_bytes()
    await opened(world, first)
    stored = await world.stored(POLL)
    assert (stored.state, stored.document) == (ProposalState.OPEN, first.to_bytes())


async def test_a_document_that_is_never_opened_leaves_a_draft(world: World) -> None:
    document = await world.announce(plain_draft())
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    stored = await world.stored(POLL)
    assert (stored.state, stored.document, stored.close_time_ms) == (ProposalState.DRAFT, b"", 0)
    await opened(world, document)  # late news of the ledger still count
    assert (await world.stored(POLL)).state is ProposalState.OPEN


async def test_a_validator_that_is_behind_is_asked_again(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    await world.vote(world.coops[0], YES)
    world.ledger.polls[POLL].ballots = 2
    world.ledger.time_ms = NOW_MS + HOUR_MS
    with pytest.raises(Unavailable):
        await world.advance(POLL)
    assert (await world.stored(POLL)).state is ProposalState.OPEN


async def test_of_a_ballot_that_is_cast_again_the_last_counts(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    for ranking in (NO, NO, YES):
        await world.vote(world.coops[0], ranking)
    for coop in world.coops[1:3]:
        await world.vote(coop, YES)
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    await world.advance(POLL)
    stored = await world.stored(POLL)
    assert stored.result is not None
    assert stored.result.is_carried
    assert stored.ballots == 3


async def test_only_the_last_openings_of_a_voter_are_kept(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    for _ in range(OPENINGS_PER_VOTER_MAX + 3):
        await world.vote(world.coops[0], YES)
    async with world.database.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM openings")
        assert await cursor.fetchone() == (OPENINGS_PER_VOTER_MAX,)


async def test_a_repeated_command_gets_the_first_answer(world: World) -> None:
    request = world.coops[0].command(
        "CreateProposal", messages.CreateProposal(proposal=POLL, draft=plain_draft().to_bytes())
    )
    answers = await asyncio.gather(*(world.ask("CreateProposal", request) for _ in range(5)))
    world.ledger.memberships.clear()
    answers.append(await world.ask("CreateProposal", request))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert await world.events() == ["proposal_drafted"]
    world.ledger.admit(FEDERATION, *world.coops)
    assert await refused(world.draft(plain_draft())) == "PROPOSAL_EXISTS"


async def test_who_may_draft_and_open(world: World) -> None:
    assert await refused(world.draft(plain_draft(), world.stranger)) == "NOT_OF_THE_ORGANIZATION"
    assert await refused(world.draft(plain_draft(), world.people[0])) == "NOT_OF_THE_ORGANIZATION"
    draft = election_draft(world.coops[:1])
    await world.draft(draft, world.people[0])
    document = PollDocument(GENESIS, POLL, draft, (bytes(32),), NOW_MS + HOUR_MS)
    request = messages.OpenProposal(proposal=POLL, document=document.to_bytes())
    assert await refused(world.do(world.people[0], "OpenProposal", request)) == "NOT_A_MEMBER"
    assert await refused(world.do(world.coops[0], "OpenProposal", request)) == "DOCUMENT_INVALID"
    commit = messages.CommitLot(proposal=POLL, commitment=bytes(32))
    assert await refused(world.do(world.coops[1], "CommitLot", commit)) == "NOT_A_TELLER"
    await world.do(world.coops[0], "CommitLot", commit)
    await world.do(world.coops[0], "OpenProposal", request)
    assert await refused(world.do(world.coops[0], "CommitLot", commit)) == "PROPOSAL_NOT_DRAFT"


async def test_only_who_drafted_opens_and_nobody_takes_their_places(world: World) -> None:
    """Any member could else announce a close of its own choice, or 16 documents that are never opened."""
    first = await world.announce(plain_draft())
    for number in range(DOCUMENTS_PER_PROPOSAL_MAX):
        other = replace(first, close_time_ms=NOW_MS + HOUR_MS + number)
        request = messages.OpenProposal(proposal=POLL, document=other.to_bytes())
        assert await refused(world.do(world.coops[1], "OpenProposal", request)) == "NOT_THE_PROPOSER"
    assert (await world.stored(POLL)).document == first.to_bytes()
    second = replace(first, close_time_ms=NOW_MS + 2 * HOUR_MS)
    request = messages.OpenProposal(proposal=POLL, document=second.to_bytes())
    await world.do(world.coops[0], "OpenProposal", request)
    draft = election_draft([])
    await world.draft(draft, world.people[0], b"q" * 16)
    document = PollDocument(GENESIS, b"q" * 16, draft, (), NOW_MS + HOUR_MS)
    request = messages.OpenProposal(proposal=b"q" * 16, document=document.to_bytes())
    assert await refused(world.do(world.coops[1], "OpenProposal", request)) == "NOT_THE_PROPOSER"
    await world.do(world.coops[0], "OpenProposal", request)  # people[0] is a member of it


ANY = Share("at-least", 0, 1)
FALLING_SHORT = [
    (
        PlainDecision(4, ANY, "cast", ANY).to_form(),
        {"quorum": "at least 0/1", "quorum_needed": "more than 1/2"},
    ),
    (PlainDecision(3, MORE_THAN_HALF).to_form(), {"eligible": 3, "members": 4}),
    (
        PlainDecision(4, MORE_THAN_HALF).to_form(),
        {"majority": "more than 1/2", "majority_of": "yes-no", "majority_needed": "more than 1/2"},
    ),
]


@pytest.mark.parametrize(("parameters", "figures"), FALLING_SHORT, ids=str)
async def test_a_draft_below_the_rules_is_refused_with_the_numbers(
    world: World, parameters: dict[str, Any], figures: dict[str, Any]
) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await world.draft(plain_draft(parameters=parameters))
    assert refusal.value.reason == "DRAFT_BELOW_RULES"
    assert {name: refusal.value.metadata[name] for name in figures} == figures


async def test_rules_hold_when_a_draft_is_opened_too(world: World) -> None:
    await world.draft(plain_draft())
    world.ledger.authorities[FEDERATION].members = 5
    document = PollDocument(GENESIS, POLL, plain_draft(), (), NOW_MS + HOUR_MS)
    request = messages.OpenProposal(proposal=POLL, document=document.to_bytes())
    assert await refused(world.do(world.coops[0], "OpenProposal", request)) == "DRAFT_BELOW_RULES"
    world.ledger.authorities[FEDERATION].members = 4
    short = replace(document, close_time_ms=NOW_MS + HOUR_MS - 1)
    request = messages.OpenProposal(proposal=POLL, document=short.to_bytes())
    assert await refused(world.do(world.coops[0], "OpenProposal", request)) == "POLL_TOO_SHORT"
    world.ledger.authorities[FEDERATION].rules.poll_ms_min = 0
    request = messages.OpenProposal(proposal=POLL, document=document.to_bytes())
    assert await refused(world.do(world.coops[0], "OpenProposal", request)) == "POLL_TOO_SHORT"


async def test_a_voter_who_was_expelled_after_casting_opens_the_ballot(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    expelled = await world.vote(world.coops[1], NO, is_opened=False)
    for coop in world.coops[1:3]:
        world.ledger.memberships[FEDERATION, coop.principal].status = MEMBERSHIP_STATUS_ENDED
    request = messages.OpenBallot(proposal=POLL, salt=expelled.salt, ballot=expelled.ballot)
    await world.do(world.coops[1], "OpenBallot", request)
    other = messages.OpenBallot(proposal=POLL, salt=bytes(32), ballot=ballot_bytes(YES))
    assert await refused(world.do(world.coops[2], "OpenBallot", other)) == "NOT_OF_THE_ORGANIZATION"
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    await world.advance(POLL)
    stored = await world.stored(POLL)
    assert stored.result is not None
    assert json.loads(stored.result.result)["ballots"] == {
        **{"cast": 1, "opened": 1, "malformed": 0, "unopened": 0}
    }


async def test_a_ballot_is_opened_by_who_belongs_and_while_it_counts(world: World) -> None:
    request = messages.OpenBallot(proposal=POLL, salt=bytes(32), ballot=ballot_bytes(YES))
    assert await refused(world.do(world.coops[0], "OpenBallot", request)) == "PROPOSAL_UNKNOWN"
    await world.draft(plain_draft())
    assert await refused(world.do(world.coops[0], "OpenBallot", request)) == "PROPOSAL_NOT_OPEN"
    other = b"q" * 16
    await world.announce(plain_draft(), proposal=other)
    request = messages.OpenBallot(proposal=other, salt=bytes(32), ballot=ballot_bytes(YES))
    assert await refused(world.do(world.stranger, "OpenBallot", request)) == "NOT_OF_THE_ORGANIZATION"
    for wrong in (
        messages.OpenBallot(proposal=other, salt=bytes(31), ballot=b"x"),
        messages.OpenBallot(proposal=other, salt=bytes(32), ballot=b""),
        messages.OpenBallot(proposal=other, salt=bytes(32), ballot=bytes(4_097)),
    ):
        assert await refused(world.do(world.coops[0], "OpenBallot", wrong)) == "FIELD_INVALID"


async def test_membership_events_are_shown_in_the_order_of_heights(world: World) -> None:
    coop, person = world.coops[1], world.people[0]
    for height, status in ((5, 2), (7, 3), (6, 2)):
        leaf = MembershipLeaf(organization=coop.principal, member=person.principal, status=status)
        async with world.begin() as uow:
            await follow_ledger.membership_changed(
                ledger_events.MembershipChanged(height=height, membership=leaf), uow
            )
            await uow.records.note_office(coop.principal, person.principal, "treasurer", is_held=True)
            await uow.commit()
    name = f"organizations/{coop.principal.hex()}"
    answer = await world.ask("ListMembers", messages.ListMembersRequest(organization=name))
    assert [(one.membership.status, list(one.offices)) for one in answer.members] == [(3, ["treasurer"])]
    answer = await world.ask("ListMembers", messages.ListMembersRequest(member=person.name))
    assert len(answer.members) == 1
    shown = (await world.ask("GetOrganization", messages.GetOrganizationRequest(name=name))).organization
    assert (shown.members, shown.display_name) == (0, "")


async def test_a_principal_writes_only_so_much_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (once, records):
        monkeypatch.setattr(module, "COMMANDS_PER_DAY_MAX", 2)
    first = world.coops[0].command(
        "CreateProposal", messages.CreateProposal(proposal=POLL, draft=plain_draft().to_bytes())
    )
    answer = await world.ask("CreateProposal", first)
    await world.draft(plain_draft(), proposal=b"q" * 16)
    assert await refused(world.draft(plain_draft(), proposal=b"r" * 16)) == "TOO_MANY_COMMANDS"
    assert await world.ask("CreateProposal", first) == answer, "a repeat costs nothing"
    await world.draft(plain_draft(), world.coops[1], proposal=b"r" * 16)


async def test_a_cooperatives_own_poll_has_a_result_and_no_decision(world: World) -> None:
    coop = world.coops[0]
    draft = plain_draft(3, actions=(), organization=coop.principal)
    await opened(world, await world.announce(draft))
    for person in world.people:
        await world.vote(person, YES)
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    await world.advance(POLL)
    stored = await world.stored(POLL)
    assert stored.state is ProposalState.COUNTED
    assert stored.result is not None
    assert (stored.result.is_carried, stored.decision_id) == (True, b"")


async def test_a_poll_that_nobody_could_recount_is_void(world: World) -> None:
    await opened(world, await world.announce(plain_draft()))
    world.ledger.polls[POLL].ballots = BALLOTS_MAX + 1
    world.ledger.time_ms = NOW_MS + HOUR_MS
    await world.advance(POLL)
    assert (await world.stored(POLL)).state is ProposalState.VOID
    assert await next_due(world.begin) is None


async def test_a_poll_of_another_electorate_is_void(world: World) -> None:
    document = await world.announce(plain_draft())
    leaf = world.ledger.open_poll(document, world.coops[0].principal)
    leaf.electorate = 2
    async with world.begin() as uow:
        await note_poll(PollAt(leaf, NOW_MS), uow)
        await uow.commit()
    assert (await world.stored(POLL)).state is ProposalState.VOID
