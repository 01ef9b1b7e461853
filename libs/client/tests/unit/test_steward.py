"""A steward countersigns what it has recounted and nothing else, whatever governance shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.governance.v1.service_pb2 import LotShare
from icn.governance.v1.service_pb2 import Proposal as ShownProposal
from icn.ledger.v1.state_pb2 import (
    MEMBERSHIP_STATUS_ENDED,
    BallotLeaf,
    ControllerLeaf,
    MembershipLeaf,
    PollLeaf,
)
from icn.ledger.v1.transaction_pb2 import AuthorityRules, Decision, DecisionAction
from icn_client.decisions import (
    DecisionDiffers,
    admit,
    build_decision,
    countersign,
    end_membership,
    founding_decision,
    is_countersigned,
    read_decision,
    set_floor,
    with_steward_key,
)
from icn_client.governance import election_draft, plain_draft, ranking_of
from icn_client.proven_ledger import was_member
from icn_client.steward import Shown, StewardRefuses, examine, is_decided, shown_from
from icn_client.transactions import KeyPair, controller_key
from icn_tally.plain_decision import MORE_THAN_HALF, PlainDecision, Share
from icn_tally.polls.commitments import Opening, ballot_bytes
from icn_tally.polls.decisions import decision_bytes, decision_id, decision_of
from icn_tally.polls.documents import DecisionText
from icn_tally.polls.results import count_poll

from .closed_polls import (
    CLOSE_MS,
    COOPS,
    FEDERATION,
    FLOOR,
    GENESIS,
    NO,
    OPEN_MS,
    POLL,
    YES,
    Leaves,
    poll_of,
)


def raise_the_floor(
    *rankings: list[list[int]], opened: int | None = None, eligible: int = 3
) -> tuple[Leaves, Shown]:
    draft = plain_draft(FEDERATION, "Floor", "Shall we?", eligible, actions=[FLOOR])
    return poll_of(draft, list(rankings), opened=opened)


def reshown(shown: Shown, ledger: Leaves, openings: list[Opening]) -> Shown:
    """What a governance that lies consistently shows for these openings."""
    from icn_tally.polls.documents import read_document

    document = read_document(shown.document)
    result = count_poll(document, ledger.ballots, openings, shown.secrets)
    decision = decision_bytes(decision_of(document, result))
    return replace(shown, openings=openings, result=result.to_bytes(), decision=decision)


async def reason(shown: Shown, ledger: Leaves, *, accepts_unopened: bool = False) -> str:
    with pytest.raises(StewardRefuses) as refused:
        await examine(shown, COOPS[0], ledger, GENESIS, accepts_unopened=accepts_unopened)
    assert str(refused.value)
    return refused.value.reason


async def test_an_honest_result_is_countersigned_with_the_documents_actions() -> None:
    ledger, shown = raise_the_floor(YES, YES, NO)
    body = await examine(shown, COOPS[0], ledger, GENESIS)
    assert body == shown.decision
    assert list(Decision.FromString(body).actions) == [FLOOR]


async def test_a_result_that_is_not_carried_is_only_recorded() -> None:
    ledger, shown = raise_the_floor(NO, NO, YES)
    assert not Decision.FromString(await examine(shown, COOPS[0], ledger, GENESIS)).actions


async def test_a_forged_result_is_refused() -> None:
    ledger, shown = raise_the_floor(YES, NO, NO)
    _, other = raise_the_floor(YES, YES, NO)
    forged = replace(shown, result=other.result, decision=other.decision)
    assert await reason(forged, ledger) == "RESULT_DIFFERS"
    assert await reason(replace(shown, result=b"{}"), ledger) == "RESULT_DIFFERS"


async def test_an_opening_that_was_changed_is_refused() -> None:
    ledger, shown = raise_the_floor(YES, NO, NO)
    forged = Opening(shown.openings[1].voter, shown.openings[1].salt, ballot_bytes(YES))
    openings = [shown.openings[0], forged, shown.openings[2]]
    assert await reason(reshown(shown, ledger, openings), ledger) == "OPENING_FORGED"
    stranger = Opening(b"s" * 16, bytes(32), ballot_bytes(YES))
    assert await reason(replace(shown, openings=[*shown.openings, stranger]), ledger) == "OPENING_FORGED"
    twice = [*shown.openings, shown.openings[0]]
    assert await reason(replace(shown, openings=twice), ledger) == "OPENING_FORGED"


async def test_a_withheld_ballot_is_noticed() -> None:
    ledger, shown = raise_the_floor(YES, NO, NO)
    hidden = Leaves(ledger.poll, ledger.ballots[:2])
    assert await reason(shown, hidden) == "BALLOTS_MISSING"
    doubled = Leaves(ledger.poll, [*ledger.ballots[:2], ledger.ballots[0]])
    assert await reason(shown, doubled) == "BALLOTS_MISSING"
    foreign = BallotLeaf(poll=b"q" * 16, voter=b"v" * 16, commitment=bytes(32))
    assert await reason(shown, Leaves(ledger.poll, [*ledger.ballots[:2], foreign])) == "BALLOTS_MISSING"


async def test_a_withheld_opening_decides_nothing() -> None:
    ledger, shown = raise_the_floor(YES, NO, NO)
    for kept in ([0], [0, 1], []):
        lost = reshown(shown, ledger, [shown.openings[place] for place in kept])
        assert await reason(lost, ledger) == "UNOPENED_COULD_DECIDE"
    missing = replace(shown, openings=shown.openings[:2])
    assert await reason(missing, ledger) == "RESULT_DIFFERS"


async def test_openings_that_could_change_nothing_may_be_missing() -> None:
    ledger, shown = raise_the_floor(YES, YES, YES, NO, opened=3, eligible=4)
    assert await examine(shown, COOPS[0], ledger, GENESIS)


async def test_people_can_say_that_they_have_looked_into_missing_openings() -> None:
    ledger, shown = raise_the_floor(YES, NO, NO, opened=1)
    assert await reason(shown, ledger) == "UNOPENED_COULD_DECIDE"
    assert await examine(shown, COOPS[0], ledger, GENESIS, accepts_unopened=True)


@settings(max_examples=25)
@given(st.data())
async def test_any_lie_about_openings_is_noticed_or_changes_nothing(data: st.DataObject) -> None:
    """With whatever openings left out, a countersigned decision has the actions that all ballots lead to."""
    rankings = data.draw(st.lists(st.sampled_from([YES, NO, [[3]], []]), min_size=1, max_size=4))
    ledger, shown = raise_the_floor(*rankings, eligible=4)
    kept = data.draw(st.lists(st.sampled_from(shown.openings), unique=True, max_size=4))
    lost = reshown(shown, ledger, kept)
    try:
        body = await examine(lost, COOPS[0], ledger, GENESIS)
    except StewardRefuses as refusal:
        assert refusal.reason == "UNOPENED_COULD_DECIDE"
    else:
        truth = Decision.FromString(shown.decision)
        assert list(Decision.FromString(body).actions) == list(truth.actions)


async def test_a_changed_document_is_refused() -> None:
    ledger, shown = raise_the_floor(YES, YES)
    _, other = poll_of(
        plain_draft(FEDERATION, "Floor", "Shall we?", 3, actions=[FLOOR, admit(b"m" * 16)]), [YES, YES]
    )
    assert await reason(replace(shown, document=other.document), ledger) == "DOCUMENT_CHANGED"
    assert await reason(replace(shown, document=b"{}"), ledger) == "DOCUMENT_INVALID"
    for name, value in (
        ("organization", b"g" * 16),
        ("electorate", 2),
        ("close_time_ms", CLOSE_MS + 1),
        ("document", bytes(32)),
    ):
        leaf = PollLeaf.FromString(ledger.poll.SerializeToString())
        setattr(leaf, name, value)
        assert await reason(shown, Leaves(leaf, ledger.ballots)) == "DOCUMENT_CHANGED"


async def test_an_action_that_is_not_in_the_document_is_refused() -> None:
    ledger, shown = raise_the_floor(YES, YES)
    decision = Decision.FromString(shown.decision)
    for actions in ([FLOOR, admit(b"m" * 16)], [], [set_floor(b"a" * 16, -120_001)]):
        forged = build_decision(
            authority=decision.authority,
            subject=decision.subject,
            expire_time_ms=decision.expire_time_ms,
            actions=actions,
            poll=decision.poll,
        )
        assert await reason(replace(shown, decision=forged), ledger) == "DECISION_DIFFERS"
    later = Decision.FromString(shown.decision)
    later.expire_time_ms += 1
    assert await reason(replace(shown, decision=decision_bytes(later)), ledger) == "DECISION_DIFFERS"
    assert await reason(replace(shown, decision=b"\xff"), ledger) == "DECISION_DIFFERS"


async def test_an_action_of_a_result_that_is_not_carried_is_refused() -> None:
    ledger, shown = raise_the_floor(NO, NO)
    decision = Decision.FromString(shown.decision)
    decision.actions.append(FLOOR)
    assert await reason(replace(shown, decision=decision_bytes(decision)), ledger) == "DECISION_DIFFERS"


async def test_what_is_not_proven_is_not_believed() -> None:
    ledger, shown = raise_the_floor(YES, YES)
    for named in ("LEAF_UNPROVEN", "POLL_NOT_CLOSED"):
        ledger.refusal = StewardRefuses(named, "no proof")
        assert await reason(shown, ledger) == named


async def test_a_document_that_counts_on_too_few_voters_is_refused() -> None:
    ledger, shown = raise_the_floor(YES, YES)
    ledger.voters = 5
    assert await reason(shown, ledger) == "ELECTORATE_LARGER"


async def test_only_a_members_steward_countersigns() -> None:
    ledger, shown = raise_the_floor(YES, YES)
    ledger.status = MEMBERSHIP_STATUS_ENDED
    assert await reason(shown, ledger) == "NOT_A_MEMBER"


ANY = Share("at-least", 0, 1)
COUP = [
    DecisionAction(set_rules=AuthorityRules(threshold=1)),
    *(end_membership(coop) for coop in COOPS[1:]),
]


def flash_poll(*actions: DecisionAction, electorate: str = "members") -> tuple[Leaves, Shown]:
    """What one of four members makes that wants no other to vote: any quorum, any majority, its own yes."""
    rule = PlainDecision(4, ANY, "cast", ANY)
    draft = plain_draft(FEDERATION, "x", "x", 4, actions=actions, rule=rule, electorate=electorate)
    return poll_of(draft, [YES])


@pytest.mark.parametrize(
    "actions", [[set_floor(b"a" * 16, -(2**62))], COUP, []], ids=["floor", "coup", "none"]
)
async def test_one_members_vote_takes_over_no_federation(actions: list[DecisionAction]) -> None:
    """A steward countersigns by itself; nobody would have looked at this poll."""
    ledger, shown = flash_poll(*actions)
    assert await reason(shown, ledger) == "RULES_NOT_MET"
    with pytest.raises(StewardRefuses, match="1 of 4 voted, the rules ask for more than"):
        await examine(shown, COOPS[0], ledger, GENESIS)


async def test_a_poll_that_was_open_too_short_is_refused_whoever_voted() -> None:
    ledger, shown = raise_the_floor(YES, YES, YES)
    ledger.poll.open_time_ms += 1
    with pytest.raises(StewardRefuses, match=f"open {OPEN_MS - 1} ms, the rules ask for {OPEN_MS}"):
        await examine(shown, COOPS[0], ledger, GENESIS)
    ledger.rules = AuthorityRules()
    assert await reason(shown, ledger) == "RULES_NOT_MET", "72 hours where nothing is said"
    ledger, shown = poll_of(election_draft(FEDERATION, "Delegate", "Who?", ["Ana", "Ben"], 1), [[[1]]])
    assert await examine(shown, COOPS[0], ledger, GENESIS)
    ledger.poll.open_time_ms += 1
    assert await reason(shown, ledger) == "RULES_NOT_MET", "elections too"


async def test_what_changes_the_federation_itself_needs_more() -> None:
    for rankings, refusal in (
        ([YES, YES, NO], "2 of 3 voted yes, the rules ask for more than 2/3"),
        ([YES] * 3, ""),
    ):
        for actions in (COUP, [admit(b"m" * 16)]):
            rule = PlainDecision(3, MORE_THAN_HALF, "cast", MORE_THAN_HALF, "eligible")
            draft = plain_draft(FEDERATION, "x", "x", 3, actions=actions, rule=rule)
            ledger, shown = poll_of(draft, rankings)
            if refusal:
                with pytest.raises(StewardRefuses, match=refusal):
                    await examine(shown, COOPS[0], ledger, GENESIS)
            else:
                assert await examine(shown, COOPS[0], ledger, GENESIS) == shown.decision


async def test_only_the_members_of_a_federation_enact() -> None:
    ledger, shown = flash_poll(FLOOR, electorate="members-of-members")
    with pytest.raises(StewardRefuses, match="only the members decide what is enacted: 1 actions"):
        await examine(shown, COOPS[0], ledger, GENESIS)
    ledger, shown = flash_poll(electorate="members-of-members")
    assert await examine(shown, COOPS[0], ledger, GENESIS), "what people say is recorded"


async def test_a_decision_of_no_authority_is_refused() -> None:
    ledger, shown = raise_the_floor(YES, YES, YES)
    ledger.rules = None
    assert await reason(shown, ledger) == "RULES_NOT_MET"


def test_a_tellers_name_that_is_none_is_refused() -> None:
    for name in ("principals/zz", "principals/" + "é" * 32, "", "x" * 100_000, "proposals/" + "ab" * 16):
        proposal = ShownProposal(lots=[LotShare(teller=name, secret=b"x")])
        with pytest.raises(StewardRefuses) as refusal:
            shown_from(proposal, [], b"", b"", POLL)
        assert refusal.value.reason == "ANSWER_MALFORMED"


TELLERS = {COOPS[0]: b"1" * 32, COOPS[1]: b"2" * 32}


async def test_an_election_with_lots_is_countersigned_when_every_teller_has_revealed() -> None:
    draft = election_draft(FEDERATION, "Delegate", "Who?", ["Ana", "Ben"], 1, tellers=TELLERS)
    ledger, shown = poll_of(draft, [[[1]], [[2]]], secrets=TELLERS)
    assert await examine(shown, COOPS[0], ledger, GENESIS)
    ledger, shown = poll_of(draft, [[[1]], [[2]]], secrets=TELLERS)
    without = {COOPS[0]: TELLERS[COOPS[0]]}
    assert await reason(replace(shown, secrets=without), ledger) == "RESULT_DIFFERS"
    document = shown.document
    from icn_tally.polls.documents import read_document

    incomplete = count_poll(read_document(document), ledger.ballots, shown.openings, without)
    lacking = replace(shown, secrets=without, result=incomplete.to_bytes())
    assert await reason(lacking, ledger) == "RESULT_INCOMPLETE"
    other = {**TELLERS, COOPS[1]: b"3" * 32}
    assert await reason(replace(shown, secrets=other), ledger) == "RESULT_DIFFERS"


async def test_more_than_two_thirds_decide() -> None:
    ledger, shown = raise_the_floor(YES, YES)
    keys = {coop: KeyPair.generate() for coop in COOPS}
    signatures = [countersign(GENESIS, shown.decision, coop, keys[coop]) for coop in COOPS]
    assert not await is_decided(shown.decision, signatures[:2], ledger)
    assert not await is_decided(shown.decision, [*signatures[:2], signatures[0]], ledger)
    assert await is_decided(shown.decision, signatures[:3], ledger)


def test_only_countersignatures_that_the_ledger_takes_are_counted() -> None:
    own, steward, other = (KeyPair.generate() for _ in range(3))
    controller = ControllerLeaf(principal=COOPS[0], threshold=2, keys=[controller_key(own.public_keys)])
    registered = ControllerLeaf(
        principal=COOPS[0], threshold=2, keys=list(with_steward_key(controller, steward))
    )
    good = countersign(GENESIS, b"body", COOPS[0], steward)
    assert is_countersigned(GENESIS, b"body", good, registered)
    assert not is_countersigned(GENESIS, b"other", good, registered)
    assert not is_countersigned(bytes(32), b"body", good, registered)
    assert not is_countersigned(GENESIS, b"body", good, controller)
    alone = countersign(GENESIS, b"body", COOPS[0], own)
    assert not is_countersigned(GENESIS, b"body", alone, registered)
    registered.threshold = 1
    assert is_countersigned(GENESIS, b"body", alone, registered)
    assert not is_countersigned(GENESIS, b"body", countersign(GENESIS, b"body", COOPS[0], other), registered)
    assert list(with_steward_key(registered, steward)) == list(registered.keys)


def test_who_was_a_member_at_a_time() -> None:
    def leaf(since: int, ended: int = 0) -> MembershipLeaf:
        return MembershipLeaf(since_time_ms=since, ended_time_ms=ended)

    assert was_member(leaf(100), 100)
    assert was_member(leaf(50, 101), 100)
    assert not any(was_member(one, 100) for one in (leaf(101), leaf(0), leaf(50, 100)))


def test_choices_are_names_or_numbers() -> None:
    draft = election_draft(FEDERATION, "Delegate", "Who?", ["Ana", "Ben", "Ben"], 1)
    assert ranking_of(draft, ["3", "Ana"]) == [[3], [1]]
    for wrong in (["Ben"], ["4"], ["0"], ["Ana", "1"], ["Zoe"], ["²"]):
        with pytest.raises(ValueError):
            ranking_of(draft, wrong)


def test_a_person_signs_only_what_the_id_names_and_the_text_says() -> None:
    text = DecisionText(FEDERATION, "Founding", "We found it.")
    body = founding_decision(GENESIS, text, COOPS, CLOSE_MS)
    wanted = decision_id(GENESIS, body)
    decision, words = read_decision(GENESIS, wanted, body, text.to_bytes())
    assert list(decision.actions[0].found_authority.members) == sorted(COOPS)
    assert words == text
    other = DecisionText(FEDERATION, "Founding", "We found something else.")
    fewer = founding_decision(GENESIS, text, COOPS[:2], CLOSE_MS)
    for shown, said in (
        (fewer, text.to_bytes()),
        (b"", text.to_bytes()),
        (body, other.to_bytes()),
        (body, b"{}"),
        (body, b""),
    ):
        with pytest.raises(DecisionDiffers):
            read_decision(GENESIS, wanted, shown, said)
    garbage = b"\xff"
    with pytest.raises(DecisionDiffers):
        read_decision(GENESIS, decision_id(GENESIS, garbage), garbage, b"")
