"""What is known of one view: its proposal, votes and certificates, and what this replica said in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from icn_consensus.domain.block import Certificate, Proposal, Vote, VoteKind


def _by_kind() -> dict[VoteKind, dict[int, Vote]]:
    return {kind: {} for kind in VoteKind}


@dataclass(slots=True)
class View:
    """One view of the current epoch. Holds at most one vote per seat and kind."""

    number: int
    proposal: Proposal | None = None
    """First proposal with its leader's valid signature; later different ones are evidence only."""
    proposal_seen_at_ms: int = 0
    votes: dict[VoteKind, dict[int, Vote]] = field(default_factory=_by_kind)
    """By seat; verified only once a quorum agrees."""
    verified: set[tuple[VoteKind, bytes, int, bytes]] = field(default_factory=set)
    """(kind, block hash, seat, signature) found valid; asked, never iterated."""
    certificates: dict[VoteKind, Certificate] = field(default_factory=dict)
    own_proposal: Proposal | None = None
    own_votes: dict[VoteKind, Vote] = field(default_factory=dict)
    was_skipped: bool = False
    """Nullified at once because its leader counts as silent."""
    accused: set[int] = field(default_factory=set)
    """Seats whose equivocation in this view has been reported; asked, never iterated."""

    @property
    def is_stirred(self) -> bool:
        """Whether anybody proposed, notarized or nullified here: a reason to run the timer."""
        return bool(self.proposal or self.votes[VoteKind.NOTARIZE] or self.votes[VoteKind.NULLIFY])

    def votes_for(self, kind: VoteKind, block_hash: bytes) -> list[Vote]:
        """Votes of this kind for this block (empty: nullify), in the order they came."""
        return [vote for vote in self.votes[kind].values() if vote.block_hash == block_hash]
