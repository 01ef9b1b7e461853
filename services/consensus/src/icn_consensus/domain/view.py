"""What is known of one view: its proposal, votes and certificates, and what this replica said in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from icn_chain.certificate import Certificate, VoteKind
from icn_chain.equivocation import Statement

from icn_consensus.domain.block import Proposal, Vote

Said = tuple[int | bytes, ...]
"""All that a statement says in its epoch and view: (kind, height, block hash, seat, signature), of a proposal
with its parent's view before the seat."""


def said(vote: Vote) -> Said:
    """The vote as a key."""
    return vote.kind, vote.height, vote.block_hash, vote.seat, vote.signature


def _by_kind() -> dict[int, dict[int, Vote]]:
    return {VoteKind.NOTARIZE: {}, VoteKind.NULLIFY: {}, VoteKind.FINALIZE: {}}


@dataclass(slots=True)
class View:
    """One view of the current epoch. Holds at most one vote per seat and kind."""

    number: int
    proposal: Proposal | None = None
    """First proposal with its leader's valid signature; later different ones are evidence only."""
    untimely_proposal: Statement | None = None
    """What its leader proposed first, where that came early or late; verified only where it contradicts."""
    proposal_seen_at_ms: int = 0
    timed_since_ms: int = 0
    """From when its length is measured, once there is a proposal."""
    votes: dict[int, dict[int, Vote]] = field(default_factory=_by_kind)
    """By `VoteKind` and seat; verified only once a quorum agrees."""
    verified: set[Said] = field(default_factory=set)
    """What was found signed by its seat; asked, never iterated."""
    certificates: dict[int, Certificate] = field(default_factory=dict)
    """By `VoteKind`."""
    forked: set[int] = field(default_factory=set)
    """Kinds of which a second certificate, of another block, was here; asked, never iterated."""
    own_proposal: Proposal | None = None
    own_votes: dict[VoteKind, Vote] = field(default_factory=dict)
    was_skipped: bool = False
    """Nullified at once because its leader counts as silent."""
    accused: set[int] = field(default_factory=set)
    """Seats that have been reported with evidence of this view; asked, never iterated."""

    @property
    def is_stirred(self) -> bool:
        """Whether anybody proposed, notarized or nullified here: a reason to run the timer."""
        return bool(self.proposal or self.votes[VoteKind.NOTARIZE] or self.votes[VoteKind.NULLIFY])

    def votes_like(self, vote: Vote) -> list[Vote]:
        """Votes that say the same, in the order they came."""
        height, block_hash = vote.height, vote.block_hash
        return [
            item
            for item in self.votes[vote.kind].values()
            if item.block_hash == block_hash and item.height == height
        ]
