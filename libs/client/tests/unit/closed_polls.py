"""Closed polls, proven, and what an honest governance shows of them: what tests of the steward start from."""

from __future__ import annotations

from dataclasses import dataclass, field

from icn.ledger.v1.state_pb2 import (
    MEMBERSHIP_STATUS_ACTIVE,
    AuthorityLeaf,
    BallotLeaf,
    MembershipLeaf,
    PollLeaf,
)
from icn.ledger.v1.transaction_pb2 import AuthorityRules
from icn_client.decisions import set_floor
from icn_client.steward import ProvenPoll, Shown, StewardRefuses
from icn_tally.polls.commitments import Opening, ballot_bytes, lot_commitment
from icn_tally.polls.decisions import decision_bytes, decision_of
from icn_tally.polls.documents import Draft, PollDocument
from icn_tally.polls.results import count_poll

GENESIS = bytes(range(32))
POLL = b"p" * 16
FEDERATION = b"f" * 16
COOPS = [bytes([n]) * 16 for n in range(1, 5)]
CLOSE_MS = 1_800_000_000_000
OPEN_MS = 60_000
FLOOR = set_floor(b"a" * 16, -120_000)
YES, NO = [[1]], [[2]]


@dataclass
class Leaves:
    """A ledger whose every answer is proven, unless a test says otherwise."""

    poll: PollLeaf
    ballots: list[BallotLeaf]
    voters: int = 3
    rules: AuthorityRules | None = field(default_factory=lambda: AuthorityRules(poll_ms_min=OPEN_MS))
    status: int = MEMBERSHIP_STATUS_ACTIVE
    refusal: StewardRefuses | None = None
    asked: list[str] = field(default_factory=list)

    async def closed_poll(self, poll: bytes) -> ProvenPoll:
        assert poll == self.poll.poll
        if self.refusal is not None:
            raise self.refusal
        return ProvenPoll(self.poll, tuple(self.ballots))

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        self.asked.append("membership")
        return MembershipLeaf(organization=organization, member=member, status=self.status)

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        return AuthorityLeaf(authority=authority, rules=self.rules, members=4) if self.rules else None

    async def count_voters(self, leaf: PollLeaf) -> int:
        assert leaf == self.poll
        return self.voters


def poll_of(
    draft: Draft,
    rankings: list[list[list[int]]],
    *,
    poll: bytes = POLL,
    secrets: dict[bytes, bytes] | None = None,
    opened: int | None = None,
) -> tuple[Leaves, Shown]:
    """A closed poll with one vote for each ranking, and what an honest governance shows of it."""
    given_secrets = secrets or {}
    commitments = tuple(
        lot_commitment(GENESIS, poll, teller, given_secrets.get(teller, bytes(32)))
        for teller in draft.tellers
    )
    document = PollDocument(GENESIS, poll, draft, commitments, CLOSE_MS)
    openings = [
        Opening(number.to_bytes(16, "big"), bytes([number]) * 32, ballot_bytes(ranking))
        for number, ranking in enumerate(rankings, start=1)
    ]
    ballots = [
        BallotLeaf(poll=poll, voter=one.voter, commitment=one.commitment(GENESIS, poll)) for one in openings
    ]
    leaf = PollLeaf(
        poll=poll,
        organization=draft.organization,
        electorate=draft.ledger_electorate,
        document=document.digest(),
        open_time_ms=CLOSE_MS - OPEN_MS,
        close_time_ms=CLOSE_MS,
        ballots=len(ballots),
    )
    shown_openings = openings[:opened]
    result = count_poll(document, ballots, shown_openings, given_secrets)
    decision = decision_bytes(decision_of(document, result)) if result.is_complete else b""
    shown = Shown(poll, document.to_bytes(), given_secrets, shown_openings, result.to_bytes(), decision)
    return Leaves(leaf, ballots), shown
