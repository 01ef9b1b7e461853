"""What peers say: who may say it, what is already known, and what is kept for later.

Source: docs/spec/consensus.md, "Messages" and "Bounds".
"""

from __future__ import annotations

from collections import deque

from icn_chain.certificate import VoteKind, parse_certificate, peek_certificate
from icn_chain.malformed import MalformedMessage

from icn_consensus.domain import certificates, evidence, recovering, rounds
from icn_consensus.domain.actions import MessageKind, ReportKind
from icn_consensus.domain.block import Proposal, Vote, parse_proposal, parse_vote
from icn_consensus.domain.pacemaker import TIMEOUT_MS_MIN
from icn_consensus.domain.state import FUTURE_VIEWS_MAX, LATER_EPOCH_MESSAGES_MAX, State


def on_proposal(state: State, peer: bytes, data: bytes) -> None:
    """A leader's proposal: of the current view, of a later one, or late."""
    current = state.views.get(state.view)
    if current is not None and current.proposal is not None and current.proposal.data == data:
        return
    try:
        proposal = parse_proposal(
            state.config.genesis_hash,
            data,
            bytes_max=state.config.block_bytes_max,
            transactions_max=state.config.block_transactions_max,
        )
    except MalformedMessage as error:
        _report_dishonest(state, peer, f"proposal: {error}")
        return
    header = proposal.block.header
    if header.epoch > state.epoch:
        _take_early(state, peer, proposal)
        return
    seat = state.validators.seat_of(peer)
    if proposal.seat != seat:
        _report_dishonest_of(state, peer, header.epoch, f"a proposal of seat {proposal.seat}")
        return
    if state.leader(header.view) != seat:
        if (header.epoch, header.view) == (state.epoch, state.view):
            evidence.accuse_of(state, proposal, f"view {header.view} is not its turn")
        return
    if header.epoch == state.epoch and header.protocol_version != state.protocol_version:
        detail = (
            f"a proposal of protocol version {header.protocol_version}, {state.protocol_version} is in force"
        )
        _report_dishonest(state, peer, detail)
        return
    place = (header.epoch, header.view)
    if place == (state.epoch, state.view):
        _take(state, proposal)
    elif place > (state.epoch, state.view):
        _take_early(state, peer, proposal)
    elif header.epoch == state.epoch and header.view > state.chain.final.view:
        _take_late(state, proposal)


def take_future_proposal(state: State) -> bool:
    """Look at the current view's proposal if it came early. True when there was one."""
    if not state.future_proposals:
        return False
    seat = state.leader(state.view)
    leader = state.validators.public_keys[seat]
    proposal = state.future_proposals.get(leader)
    if proposal is None:
        return False
    header = proposal.block.header
    if (header.epoch, header.view) > (state.epoch, state.view):
        return False
    del state.future_proposals[leader]
    is_of_view = (header.epoch, header.view) == (state.epoch, state.view)
    if is_of_view and proposal.seat == seat and header.protocol_version == state.protocol_version:
        _take(state, proposal)
    return True


def on_vote(state: State, peer: bytes, data: bytes) -> bool:
    """A vote of who holds its seat. False when it moves nothing on."""
    try:
        vote = parse_vote(data)
    except MalformedMessage as error:
        _report_dishonest(state, peer, f"vote: {error}")
        return False
    is_nullify = vote.kind == VoteKind.NULLIFY
    if vote.epoch > state.epoch:
        _keep_for_later(state, peer, MessageKind.VOTE, data)
        return False
    if vote.epoch < state.epoch or vote.view <= state.chain.final.view:
        if is_nullify:
            _help(state, peer)
        return False
    if vote.protocol_version != state.protocol_version:
        return False
    return _count(state, peer, vote)


def on_certificate(state: State, peer: bytes, data: bytes) -> bool:
    """A certificate; most are known already and dropped before they are parsed in full: then False."""
    try:
        peek = peek_certificate(data)
        if peek.epoch > state.epoch:
            _keep_for_later(state, peer, MessageKind.CERTIFICATE, data)
            state.note_ahead(peer, peek.epoch)
            return True
        if not certificates.is_news(state, peek):
            return False
        certificate = parse_certificate(data)
    except MalformedMessage as error:
        _report_dishonest(state, peer, f"certificate: {error}")
        return False
    if not certificates.is_valid(state, certificate):
        _report_dishonest_of(state, peer, certificate.epoch, "a certificate that no quorum signed")
        return False
    certificates.accept(state, certificate, peer)
    return True


def on_peer_connected(state: State, peer: bytes) -> None:
    """A stream is there (again): say what the peer may have missed, an own proposal included."""
    rounds.resend(state, peer)
    view = state.views.get(state.view)
    if view is not None and view.own_proposal is not None and VoteKind.NULLIFY not in view.own_votes:
        state.send(peer, MessageKind.PROPOSAL, view.own_proposal.data)


def replay_later_messages(state: State) -> None:
    """Look again at what was kept for the epoch that has begun."""
    kept = state.later_messages
    state.later_messages = {}
    for peer in sorted(kept):
        for kind, data in kept[peer]:
            if kind == MessageKind.VOTE:
                on_vote(state, peer, data)
            else:
                on_certificate(state, peer, data)


def _count(state: State, peer: bytes, vote: Vote) -> bool:
    """Take in a vote of the current epoch; as `on_vote`."""
    seat = state.validators.seat_of(peer)
    if vote.seat != seat:
        _report_dishonest(state, peer, f"a vote of seat {vote.seat}")
        return False
    if vote.view > state.view + FUTURE_VIEWS_MAX:
        return False
    if vote.view < state.view and vote.kind == VoteKind.NULLIFY:
        view = state.view_at(vote.view)
        # Where others nullified too, the seat gets the certificate anyway; it asks again if that was lost.
        if VoteKind.NULLIFY not in view.certificates or seat in view.votes[VoteKind.NULLIFY]:
            _help(state, peer)
    state.attendance.hear(seat, min(vote.view, state.view))
    may_move = vote.view == state.view and _may_move(state, vote)
    return certificates.add_vote(state, vote) or may_move


def _may_move(state: State, vote: Vote) -> bool:
    """Whether a vote of the current view may matter though it completes nothing: it is the first to stir the
    view, others may be joined in nullifying it, or the timer is due anyway."""
    is_due = state.timer_at_ms is None or state.now_ms >= state.timer_at_ms
    return is_due or vote.kind == VoteKind.NULLIFY or not state.current.is_stirred


def _take(state: State, proposal: Proposal) -> None:
    """Keep the first signed proposal of the current view; a second one is evidence."""
    view = state.current
    seat = proposal.seat
    if view.proposal is not None and (
        view.proposal.block.hash == proposal.block.hash or seat in view.accused
    ):
        return
    if not evidence.is_signed(state, view, seat, evidence.proposed(proposal)):
        leader = state.validators.public_keys[seat]
        _report_dishonest(state, leader, "a proposal that its leader did not sign")
        return
    state.attendance.hear(seat, state.view)
    if view.proposal is None:
        state.note_proposal(view, proposal)
    evidence.notice_proposal(state, view, proposal)


def _take_early(state: State, peer: bytes, proposal: Proposal) -> None:
    """Keep it until its view has come, which the certificates in its body may bring about."""
    state.future_proposals[peer] = proposal
    header = proposal.block.header
    if header.epoch == state.epoch and header.view <= state.view + FUTURE_VIEWS_MAX:
        evidence.notice_proposal(state, state.view_at(header.view), proposal)
    if proposal.block.recovery:
        recovering.on_recovery(state, peer, proposal.block.recovery)
    for data in (proposal.block.parent_certificate, proposal.block.finalization):
        if data:
            on_certificate(state, peer, data)


def _take_late(state: State, proposal: Proposal) -> None:
    """Compare one of a view that is over with what else its leader said there; the body may be missing."""
    header = proposal.block.header
    evidence.notice_proposal(state, state.view_at(header.view), proposal)
    notarization = state.notarization(header.view)
    if notarization is not None and notarization.block_hash == header.hash:
        state.chain.add(proposal.block)


def _keep_for_later(state: State, peer: bytes, kind: MessageKind, data: bytes) -> None:
    kept = state.later_messages.setdefault(peer, deque(maxlen=LATER_EPOCH_MESSAGES_MAX))
    kept.append((kind, data))


def _report_dishonest(state: State, peer: bytes, detail: str) -> None:
    seat = state.validators.seat_of(peer)
    state.report(ReportKind.DISHONEST_MESSAGE, state.view, seat, detail=detail, peer=peer)


def _report_dishonest_of(state: State, peer: bytes, epoch: int, detail: str) -> None:
    """What is dishonest only if it is of the current epoch, whose seats are known."""
    if epoch == state.epoch:
        _report_dishonest(state, peer, detail)


def _help(state: State, peer: bytes) -> None:
    """Send a peer that is behind what it lacks, at most once per shortest time-out: that is how it asks."""
    helped_at_ms = state.helped_at_ms.get(peer)
    if helped_at_ms is None or state.now_ms - helped_at_ms >= TIMEOUT_MS_MIN:
        state.helped_at_ms[peer] = state.now_ms
        rounds.resend(state, peer)
