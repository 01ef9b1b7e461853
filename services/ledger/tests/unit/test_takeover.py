"""One member of a federation takes over neither a floor nor the federation, with a poll of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import AuthorityLeaf, BallotLeaf, MembershipLeaf, PollLeaf
from icn_client.steward import ProvenPoll, Shown, StewardRefuses, examine
from icn_machine.leaves import encode_leaf
from icn_machine.records import MembershipStatus, Namespace
from icn_tally.plain_decision import CHOICES, PlainDecision, Share
from icn_tally.polls.commitments import Opening, ballot_bytes
from icn_tally.polls.decisions import decision_bytes, decision_of
from icn_tally.polls.documents import Draft, PollDocument
from icn_tally.polls.results import count_poll
from icn_tally.polls.rules import draft_shortfall

from libs.machine.tests.institutions import (
    FEDERATION,
    POLL,
    POLL_MS_MIN,
    Federation,
    cast_ballot,
    exclude,
    floor_action,
    open_poll,
    set_rules,
)
from libs.machine.tests.zone import Member, Zone, identifier

ACCOUNT = identifier("an account of the attacker")
ANY = Share("at-least", 0, 1)


@dataclass
class Ledger:
    """The leaves of the real ledger's state; no proof is needed where nobody lies."""

    scene: Federation

    async def closed_poll(self, poll: bytes) -> ProvenPoll:
        leaf = PollLeaf.FromString(encode_leaf(Namespace.POLL, self.scene.poll(poll)))
        assert leaf.is_closed
        ballots = [one for one in self.scene.ledger.state.records[-1].ballots.values() if one is not None]
        leaves = [BallotLeaf.FromString(encode_leaf(Namespace.BALLOT, one)) for one in ballots]
        return ProvenPoll(leaf, tuple(leaves))

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        found = self.scene.membership(organization, member)
        return MembershipLeaf.FromString(encode_leaf(Namespace.MEMBERSHIP, found))

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        assert authority == FEDERATION
        return AuthorityLeaf.FromString(encode_leaf(Namespace.AUTHORITY, self.scene.authority))

    async def count_voters(self, leaf: PollLeaf) -> int:
        memberships = self.scene.ledger.state.records[-1].memberships.values()
        return sum(
            one is not None
            and one.organization == leaf.organization
            and one.status is MembershipStatus.ACTIVE
            for one in memberships
        )


def coup(scene: Federation, attacker: Member) -> list[pb.DecisionAction]:
    return [set_rules(1), *(exclude(one) for one in scene.members if one != attacker.principal)]


@pytest.mark.parametrize("aim", ["floor", "coup"])
async def test_no_steward_countersigns_what_one_member_voted_alone(zone: Zone, aim: str) -> None:
    """Even where the federation has chosen polls of a millisecond."""
    scene = await Federation(zone).set_up()
    attacker = scene.founders[1]
    actions: Sequence[pb.DecisionAction] = (
        [floor_action(ACCOUNT, -(2**62))] if aim == "floor" else coup(scene, attacker)
    )
    rule = PlainDecision(4, ANY, "cast", ANY)
    draft = Draft(
        *(FEDERATION, "members", "x", "x", "plain-decision", rule.to_form(), CHOICES, (), 0, tuple(actions))
    )
    assert draft_shortfall(draft, pb.AuthorityRules(), 4), "an honest governance refuses the draft"
    genesis_hash, close_ms = zone.genesis.hash, scene.now_ms + POLL_MS_MIN
    document = PollDocument(genesis_hash, POLL, draft, (), close_ms)
    opening = Opening(attacker.principal, bytes(32), ballot_bytes([[1]]))
    await scene.applied(
        attacker,
        open_poll(POLL, FEDERATION, close_ms, document=document.digest()),
        cast_ballot(POLL, opening.commitment(genesis_hash, POLL)),
    )
    await scene.ledger.execute(after_ms=POLL_MS_MIN)
    ledger = Ledger(scene)
    proven = await ledger.closed_poll(POLL)
    result = count_poll(document, proven.ballots, [opening], {})
    assert result.is_carried, "by what the attacker's own document asks for"
    decision = decision_bytes(decision_of(document, result))
    shown = Shown(POLL, document.to_bytes(), {}, [opening], result.to_bytes(), decision)
    for founder in scene.founders:
        with pytest.raises(StewardRefuses, match="1 of 4 voted, the rules ask for more than") as refusal:
            await examine(shown, founder.principal, ledger, genesis_hash)
        assert refusal.value.reason == "RULES_NOT_MET"
    # A threshold of 1 that got into the rules somehow helps it to nothing: three must countersign.
    await scene.applied(scene.shop, scene.decided(set_rules(1)))
    message = scene.decided(*actions, by=[attacker], poll=POLL, subject=result.digest())
    figures = await scene.refused("QUORUM_NOT_MET", attacker, message)
    assert figures == {"signed": 1, "members": 4, "needed": 3}


async def test_a_federation_that_says_nothing_has_no_poll_of_a_millisecond(zone: Zone) -> None:
    scene = await Federation(zone).set_up()
    await scene.applied(scene.shop, scene.decided(set_rules(0, poll_ms_min=0)))
    message = open_poll(POLL, FEDERATION, scene.now_ms + 1)
    figures = await scene.refused("POLL_TOO_SHORT", scene.founders[1], message)
    assert figures == {"open_ms": 1, "poll_ms_min": 259_200_000}
