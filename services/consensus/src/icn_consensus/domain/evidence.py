"""Transferable proof that a seat said two things of which an honest one says at most one.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from icn_consensus.domain.block import Proposal, Vote, VoteKind, body_of_proposal, body_of_vote

PROPOSAL_KIND = 0
"""Stands where a vote has its kind (1 notarize, 2 nullify, 3 finalize)."""


def contradicts(first: Vote, second: Vote) -> bool:
    """Whether one seat's two votes of one epoch and view cannot both be an honest one's."""
    if first.kind == second.kind:
        return (first.height, first.block_hash) != (second.height, second.block_hash)
    return {first.kind, second.kind} == {VoteKind.NULLIFY, VoteKind.FINALIZE}


def vote_evidence(first: Vote, second: Vote) -> bytes:
    """Proof from two contradicting votes whose signatures were verified."""
    return _evidence(
        first.seat,
        (first.kind, body_of_vote(first), first.signature),
        (second.kind, body_of_vote(second), second.signature),
    )


def proposal_evidence(first: Proposal, second: Proposal) -> bytes:
    """Proof from two proposals of one view whose signatures were verified."""
    return _evidence(
        first.seat,
        (PROPOSAL_KIND, body_of_proposal(first.block.header, first.parent_view), first.signature),
        (PROPOSAL_KIND, body_of_proposal(second.block.header, second.parent_view), second.signature),
    )


def _evidence(seat: int, first: tuple[int, bytes, bytes], second: tuple[int, bytes, bytes]) -> bytes:
    parts = [seat.to_bytes(4, "big")]
    for kind, body, signature in (first, second):
        parts += [kind.to_bytes(1, "big"), len(body).to_bytes(4, "big"), body, signature]
    return b"".join(parts)
