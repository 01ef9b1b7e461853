"""Votes and certificates: checked once, formed once, passed on once.

Source: docs/spec/consensus.md, "Votes and certificates".
"""

from __future__ import annotations

from icn_chain.certificate import VOTE_TAGS, Certificate, Peek, VoteKind, build_certificate

from icn_consensus.domain.actions import Broadcast, MessageKind, Notarized
from icn_consensus.domain.block import Vote, body_of_vote
from icn_consensus.domain.chain import RECENT_HEIGHTS
from icn_consensus.domain.evidence import notice_certificate, notice_vote
from icn_consensus.domain.ports import SignedItem
from icn_consensus.domain.state import FINALIZATIONS_MAX, State
from icn_consensus.domain.view import Said, View, said


def add_vote(state: State, vote: Vote) -> bool:
    """Count a vote of the current epoch for a view above the final one, and form what it completes.

    Signatures are verified only when a quorum agrees, all at once; a wrong one is dropped and may come again.
    True when a certificate was formed.
    """
    view = state.view_at(vote.view)
    notice_vote(state, view, vote)
    known = view.votes[vote.kind].get(vote.seat)
    if known is not None:
        return False
    view.votes[vote.kind][vote.seat] = vote
    if vote.kind in view.certificates:
        return False
    votes = view.votes_like(vote)
    if len(votes) < state.quorum:
        return False
    unverified = [item for item in votes if said(item) not in view.verified]
    verdicts = state.crypto.verify([_signed_item(state, item) for item in unverified])
    for item, is_valid in zip(unverified, verdicts, strict=True):
        if is_valid:
            view.verified.add(said(item))
        else:
            del view.votes[item.kind][item.seat]
    votes = view.votes_like(vote)
    if len(votes) < state.quorum:
        return False
    certificate = build_certificate(
        vote.kind,
        protocol_version=vote.protocol_version,
        epoch=vote.epoch,
        view=vote.view,
        height=vote.height,
        block_hash=vote.block_hash,
        signatures={item.seat: item.signature for item in votes},
    )
    _keep(state, view, certificate)  # what its votes may contradict was looked at as they came
    return True


def is_valid(state: State, certificate: Certificate) -> bool:
    """Whether a quorum of the epoch's seats signed it. Signatures verified before are not verified again."""
    validators = state.seats_of(certificate.epoch)
    if validators is None or certificate.protocol_version != validators.protocol_version:
        return False
    if len(certificate.signatures) < validators.quorum or certificate.signatures[-1][0] >= validators.seats:
        return False
    view = state.views.get(certificate.view) if certificate.epoch == state.epoch else None
    verified: set[Said] = set() if view is None else view.verified
    body = body_of_vote(certificate)
    tag = VOTE_TAGS[certificate.kind]
    kind, height, block_hash = certificate.kind, certificate.height, certificate.block_hash
    unverified = [
        (seat, signature)
        for seat, signature in certificate.signatures
        if (kind, height, block_hash, seat, signature) not in verified
    ]
    items = [(validators.public_keys[seat], tag, body, signature) for seat, signature in unverified]
    if not all(state.crypto.verify(items)):
        return False
    if view is not None:
        view.verified.update((kind, height, block_hash, *signed) for signed in unverified)
    return True


def is_news(state: State, certificate: Certificate | Peek) -> bool:
    """Whether a certificate of this place, kind and block would tell anything new; cheap, before parsing.

    What a later epoch's seats say cannot be checked before this one has ended here. A second one of a kind is
    news once, if it names another block: then seats have contradicted themselves.
    """
    epoch, view, kind = certificate.epoch, certificate.view, certificate.kind
    final = state.chain.final
    if (epoch, view, kind) == (final.epoch, final.view, VoteKind.NOTARIZE):
        return state.chain.final_notarization is None and final.height > 0
    if epoch != state.epoch:
        return False
    if view <= final.view:
        return False
    known = state.views.get(view)
    held = None if known is None else known.certificates.get(kind)
    if known is None or held is None:
        return True
    return held.block_hash != certificate.block_hash and kind not in known.forked


def accept(
    state: State, certificate: Certificate, except_peer: bytes | None = None, *, is_fetched: bool = False
) -> None:
    """Take in a valid certificate that `is_news`: keep it, log it, pass it on once, and act on it.

    A second one of its kind only shows who signed both.
    One that was fetched others have: it is passed on only where it moves this replica to another view.
    """
    final = state.chain.final
    if (certificate.epoch, certificate.view) == (final.epoch, final.view):
        if certificate.block_hash == final.hash:
            state.chain.final_notarization = certificate
            state.persist_certificate(certificate)
        return
    view = state.view_at(certificate.view)
    notice_certificate(state, certificate)
    if certificate.kind in view.certificates:
        view.forked.add(certificate.kind)
    else:
        _keep(state, view, certificate, except_peer, is_fetched=is_fetched)


def _keep(
    state: State,
    view: View,
    certificate: Certificate,
    except_peer: bytes | None = None,
    *,
    is_fetched: bool = False,
) -> None:
    for seat, _ in certificate.signatures:
        state.attendance.hear(seat, min(certificate.view, state.view))
    view.certificates[certificate.kind] = certificate
    state.persist_certificate(certificate)
    if certificate.view >= state.view or not is_fetched:
        _pass_on(state, certificate, except_peer)
    if certificate.kind == VoteKind.NOTARIZE:
        state.attendance.reset(state.leader(certificate.view))
        milliseconds = None
        if view.proposal is not None and view.proposal.block.hash == certificate.block_hash:
            state.pacemaker.observe(state.now_ms - view.timed_since_ms)
            milliseconds = state.now_ms - view.proposal_seen_at_ms
        state.emit(Notarized(certificate.block_hash, certificate.height, certificate.view, milliseconds))
    elif certificate.kind == VoteKind.FINALIZE:
        remember_finalization(state, certificate)
    if certificate.view >= state.view and (
        state.opening is None
        or certificate.view > state.opening.view
        or (certificate.view == state.opening.view and certificate.kind == VoteKind.NOTARIZE)
    ):
        state.opening = certificate


def remember_finalization(state: State, certificate: Certificate) -> None:
    """Keep a valid finalization: for linking it to the final block, and for carrying it in a proposal.

    A block after an edge block and the first of the next epoch have one height; the later one tells more.
    """
    highest = state.highest_finalization
    if highest is None or (certificate.epoch, certificate.view) > (highest.epoch, highest.view):
        state.highest_finalization = certificate
    if certificate.epoch < state.epoch and certificate.height > state.chain.final.height:
        return  # of a block after the edge block, which is no part of the chain
    known = state.finalizations.get(certificate.height)
    if known is None or (known.epoch, known.view) < (certificate.epoch, certificate.view):
        state.finalizations[certificate.height] = certificate
    while len(state.finalizations) > FINALIZATIONS_MAX:
        del state.finalizations[min(state.finalizations)]


def forget_below_final(state: State) -> None:
    """Drop what is known of views, heights and blocks that finality or execution has passed."""
    final = state.chain.final
    if final.epoch == state.epoch:
        for number in sorted(number for number in state.views if number <= final.view):
            del state.views[number]
    for height in sorted(height for height in state.finalizations if height <= final.executed_height):
        del state.finalizations[height]
    oldest = state.executed.executed_height - RECENT_HEIGHTS
    for height in [height for height in state.executed_states if height <= oldest]:
        del state.executed_states[height]
    state.judged = {block_hash for block_hash in state.judged if state.is_wanted(block_hash)}


def _pass_on(state: State, certificate: Certificate, except_peer: bytes | None) -> None:
    except_peers = () if except_peer is None else (except_peer,)
    state.emit(Broadcast(MessageKind.CERTIFICATE, certificate.data, except_peers))


def _signed_item(state: State, vote: Vote) -> SignedItem:
    return (
        state.validators.public_keys[vote.seat],
        VOTE_TAGS[vote.kind],
        body_of_vote(vote),
        vote.signature,
    )
