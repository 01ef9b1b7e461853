"""Transferable evidence from what was received. Source: docs/spec/consensus.md, "Evidence"."""

from __future__ import annotations

from functools import partial

from icn_chain.equivocation import PROPOSAL, Statement, make
from icn_chain.grounds import Grounds
from icn_chain.invalid_proposal import Proposed, find

from icn_consensus.domain.actions import ReportKind
from icn_consensus.domain.block import Proposal, Vote, body_of_proposal, body_of_vote
from icn_consensus.domain.state import State


def vote_evidence(first: Vote, second: Vote) -> bytes:
    """Proof from two contradicting votes whose signatures were verified."""
    return make(first.seat, _voted(first), _voted(second)).encode()


def proposal_evidence(first: Proposal, second: Proposal) -> bytes:
    """Proof from two proposals of one view whose signatures were verified."""
    return make(first.seat, _proposed(first), _proposed(second)).encode()


def accuse_of(state: State, proposal: Proposal, detail: str, *, is_body_refused: bool = False) -> None:
    """Report a proposal of the current epoch that is invalid; once per seat and view with evidence, where
    others can be shown why.

    Transactions mean nothing here: they are looked at only when the application refused them.
    """
    block = proposal.block
    view = state.view_at(block.header.view)
    data = b""
    if proposal.seat not in view.accused:
        parent = state.chain.header(block.header.parent)
        proposed = Proposed(
            proposal.seat,
            proposal.parent_view,
            proposal.signature,
            block.header.data,
            block.transactions if is_body_refused else (),
            block.parent_certificate,
            block.finalization,
            b"" if parent is None else parent.data,
        )
        found = find(Grounds(state.config, state.validators, partial(_verify, state)), proposed)
        if found is not None:
            view.accused.add(proposal.seat)
            data = found.encode()
    state.report(ReportKind.INVALID_PROPOSAL, view.number, proposal.seat, detail=detail, evidence=data)


def _verify(state: State, public_key: bytes, tag: str, body: bytes, signature: bytes) -> bool:
    return state.crypto.verify([(public_key, tag, body, signature)])[0]


def _voted(vote: Vote) -> Statement:
    return Statement(vote.kind, body_of_vote(vote), vote.signature)


def _proposed(proposal: Proposal) -> Statement:
    body = body_of_proposal(proposal.block.header, proposal.parent_view)
    return Statement(PROPOSAL, body, proposal.signature)
