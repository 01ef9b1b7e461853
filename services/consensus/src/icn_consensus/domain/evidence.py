"""Transferable evidence from what was received. Source: docs/spec/consensus.md, "Evidence"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from icn_chain.certificate import Certificate
from icn_chain.equivocation import PROPOSAL, RIVALS, Statement, What, are_contrary, make
from icn_chain.grounds import Grounds
from icn_chain.invalid_proposal import Proposed, find

from icn_consensus.domain.actions import ReportKind
from icn_consensus.domain.block import Proposal, Vote, body_of_proposal, body_of_vote
from icn_consensus.domain.state import State
from icn_consensus.domain.view import View


def notice_vote(state: State, view: View, vote: Vote) -> None:
    """Report the vote's seat where it said in this view what an honest one does not say beside it."""
    _notice(state, view, vote.seat, vote.kind, (vote.height, vote.block_hash), lambda: voted(vote))


def notice_certificate(state: State, certificate: Certificate) -> None:
    """The same of each seat that signed a valid certificate of the current epoch."""
    view = state.views.get(certificate.view)
    if view is None:
        return
    kind, what = certificate.kind, (certificate.height, certificate.block_hash)
    for seat, signature in certificate.signatures:
        _notice(state, view, seat, kind, what, partial(_certified, certificate, signature))


def notice_proposal(state: State, view: View, proposal: Proposal) -> None:
    """The same of the view's leader. Its signature is looked at only where that contradicts something."""
    said = proposed(proposal)
    _notice(state, view, proposal.seat, PROPOSAL, said.what, lambda: said)
    if view.proposal is None and view.untimely_proposal is None:
        view.untimely_proposal = said


def is_signed(state: State, view: View, seat: int, said: Statement) -> bool:
    """Whether a statement about this view is the seat's; a valid signature is verified once."""
    key = (said.kind, *said.what, seat, said.signature)
    if key not in view.verified:
        public_key = state.validators.public_keys[seat]
        if not _verify(state, public_key, said.tag, said.body, said.signature):
            return False
        view.verified.add(key)
    return True


def voted(vote: Vote) -> Statement:
    """The vote as a statement."""
    return Statement(vote.kind, body_of_vote(vote), vote.signature)


def proposed(proposal: Proposal) -> Statement:
    """The proposal as a statement; only its header is signed."""
    body = body_of_proposal(proposal.block.header, proposal.parent_view)
    return Statement(PROPOSAL, body, proposal.signature)


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


def _certified(certificate: Certificate, signature: bytes) -> Statement:
    return Statement(certificate.kind, body_of_vote(certificate), signature)


def _notice(  # noqa: PLR0917 - asked for each vote and each signature of a certificate
    state: State, view: View, seat: int, kind: int, what: What, statement: Callable[[], Statement]
) -> None:
    """Report a seat that contradicts itself, once per view; both signatures are verified first."""
    if seat in view.accused:
        return
    for earlier in _contrary_to(state, view, seat, kind, what):
        now = statement()
        if not is_signed(state, view, seat, earlier):
            _forget(view, seat, earlier)
        elif is_signed(state, view, seat, now):
            view.accused.add(seat)
            evidence = make(seat, earlier, now).encode()
            state.report(ReportKind.EQUIVOCATION, view.number, seat, evidence=evidence)
            return


def _contrary_to(state: State, view: View, seat: int, kind: int, what: What) -> Iterator[Statement]:
    """What the seat is known to have said in the view, and would not say beside this if it were honest."""
    for rival in RIVALS[kind]:
        if rival == PROPOSAL:
            if seat == state.leader(view.number):
                yield from _proposals_against(view, kind, what)
            continue
        certificate = view.certificates.get(rival)
        if certificate is not None and are_contrary(
            rival, (certificate.height, certificate.block_hash), kind, what
        ):
            for signer, signature in certificate.signatures:
                if signer == seat:
                    yield _certified(certificate, signature)
        vote = view.votes[rival].get(seat)
        if vote is not None and are_contrary(rival, (vote.height, vote.block_hash), kind, what):
            yield voted(vote)


def _proposals_against(view: View, kind: int, what: What) -> Iterator[Statement]:
    timely = view.proposal
    if timely is not None:
        header = timely.block.header
        if are_contrary(PROPOSAL, (header.height, header.hash, timely.parent_view), kind, what):
            yield proposed(timely)
    untimely = view.untimely_proposal
    if untimely is not None and are_contrary(PROPOSAL, untimely.what, kind, what):
        yield untimely


def _forget(view: View, seat: int, said: Statement) -> None:
    """Drop what the seat did not sign, though it said so: it shall not stand in the way of what it did."""
    if said.kind == PROPOSAL:
        view.untimely_proposal = None
    else:
        del view.votes[said.kind][seat]
