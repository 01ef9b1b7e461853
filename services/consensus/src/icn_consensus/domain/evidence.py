"""Transferable proof that a seat said two things of which an honest one says at most one.

Source: docs/spec/consensus.md, "Evidence"; its form is `icn_crypto.equivocation`'s.
"""

from __future__ import annotations

from icn_chain.certificate import VoteKind
from icn_crypto.equivocation import Statement, StatementKind, make

from icn_consensus.domain.block import Proposal, Vote, body_of_proposal, body_of_vote


def contradicts(first: Vote, second: Vote) -> bool:
    """Whether one seat's two votes of one epoch and view cannot both be an honest one's."""
    if first.kind == second.kind:
        return (first.height, first.block_hash) != (second.height, second.block_hash)
    return {first.kind, second.kind} == {VoteKind.NULLIFY, VoteKind.FINALIZE}


def vote_evidence(first: Vote, second: Vote) -> bytes:
    """Proof from two contradicting votes whose signatures were verified."""
    return make(first.seat, _voted(first), _voted(second)).encode()


def proposal_evidence(first: Proposal, second: Proposal) -> bytes:
    """Proof from two proposals of one view whose signatures were verified."""
    return make(first.seat, _proposed(first), _proposed(second)).encode()


def _voted(vote: Vote) -> Statement:
    return Statement(StatementKind(vote.kind), body_of_vote(vote), vote.signature)


def _proposed(proposal: Proposal) -> Statement:
    body = body_of_proposal(proposal.block.header, proposal.parent_view)
    return Statement(StatementKind.PROPOSAL, body, proposal.signature)
