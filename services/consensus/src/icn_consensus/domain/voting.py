"""This replica's own votes: on disk before they are sent, and never against one another.

Source: docs/spec/consensus.md, "Voting rules".
"""

from __future__ import annotations

from icn_chain.certificate import VOTE_TAGS, VoteKind, vote_body

from icn_consensus.domain import certificates, rounds
from icn_consensus.domain.actions import ReportKind
from icn_consensus.domain.block import Vote, build_vote
from icn_consensus.domain.events import BlockJudged
from icn_consensus.domain.evidence import accuse_of
from icn_consensus.domain.records import Record, RecordKind
from icn_consensus.domain.state import Candidate, State
from icn_consensus.domain.validity import (
    BlockTimeRefused,
    ProposalInvalid,
    ProposalWaits,
    check,
    check_envelope,
    judge,
)
from icn_consensus.domain.view import said

_RECORD_KINDS = {
    VoteKind.NOTARIZE: RecordKind.NOTARIZE,
    VoteKind.NULLIFY: RecordKind.NULLIFY,
    VoteKind.FINALIZE: RecordKind.FINALIZE,
}


def consider(state: State) -> bool:
    """Notarize the current view's proposal once it is valid and while nothing forbids it.

    True when voted, and when its body told of a finalization: the vote may wait for what that makes final.
    """
    # Who leads notarizes by proposing alone, also where its log kept nothing of the view but that.
    is_voter = state.is_seated and state.leader(state.view) != state.seat
    view = state.views.get(state.view) if is_voter else None
    if view is None or view.proposal is None or view.own_votes:
        return False
    is_new = state.candidate is None
    candidate = state.candidate or Candidate(view.proposal)
    state.candidate = candidate
    if candidate.is_rejected:
        return False
    known = len(state.finalizations)
    try:
        if is_new:
            check_envelope(state, candidate.proposal)
        check(state, candidate)
    except ProposalWaits:
        return len(state.finalizations) > known
    except ProposalInvalid as refusal:
        _refuse(state, candidate, refusal)
        return len(state.finalizations) > known
    block = candidate.proposal.block
    if not state.chain.add(block):
        return False
    cast(state, VoteKind.NOTARIZE, state.view, block.header.height, block.hash)
    return True


def judge_ahead(state: State) -> None:
    """Have the application judge the branch of the own proposal or of the newest notarized block.

    A descendant that comes next need not wait for it then.
    """
    if not state.is_seated or state.judging is not None or state.is_judgement_deferred:
        return
    view = state.views.get(state.view)
    if view is not None and view.own_proposal is not None:
        target = view.own_proposal.block.hash
    else:
        notarization = state.highest_notarization()
        if notarization is None:
            return
        target = notarization.block_hash
    if target in state.judged:
        return
    path = state.chain.path_to(target)
    if path.missing is not None:
        return
    try:
        judge(state, path.blocks)
    except ProposalWaits:
        return


def on_judged(state: State, event: BlockJudged) -> None:
    """The application's verdict."""
    if event.block_hash != state.judging:
        return
    state.judging = None
    if event.is_valid:
        if state.is_wanted(event.block_hash):
            state.judged.add(event.block_hash)
    elif event.is_behind:
        state.is_judgement_deferred = True
    else:
        candidate = state.candidate
        if candidate is None or candidate.proposal.block.hash != event.block_hash:
            # An ancestor, or a block that others notarized: what we think of it changes with our state only.
            state.is_judgement_deferred = True
        if candidate is not None and not candidate.is_rejected:
            is_own_body = candidate.proposal.block.hash == event.block_hash
            _reject(
                state, candidate, f"{event.block_hash.hex()}: {event.reason}", is_body_refused=is_own_body
            )


def advance_view(state: State) -> bool:
    """Leave the current view by a certificate of it or of a later one, finalizing what it shows notarized."""
    opening = state.opening
    if opening is None or opening.view < state.view:
        return False
    view = state.view_at(opening.view)
    has_ended = VoteKind.NULLIFY in view.own_votes or VoteKind.FINALIZE in view.own_votes
    if opening.kind == VoteKind.NOTARIZE and state.is_seated and not has_ended:
        cast(state, VoteKind.FINALIZE, opening.view, opening.height, opening.block_hash)
    rounds.enter_view(state, opening.view + 1, opening)
    return True


def can_nullify(state: State) -> bool:
    """Whether this replica may still nullify the current view."""
    if not state.is_seated:
        return False
    view = state.views.get(state.view)
    return view is None or not (VoteKind.NULLIFY in view.own_votes or VoteKind.FINALIZE in view.own_votes)


def nullify(state: State) -> None:
    """Give the current view up."""
    assert can_nullify(state), "callers ask first"
    cast(state, VoteKind.NULLIFY, state.view, 0, b"")


def nullify_with_others(state: State) -> bool:
    """Add the own nullify once f + 1 seats, so at least one honest one, nullified the view."""
    view = state.views.get(state.view)
    if view is None:
        return False
    if len(view.votes[VoteKind.NULLIFY]) <= state.validators.faults_max:
        return False
    if not can_nullify(state):
        return False
    nullify(state)
    return True


def cast(state: State, kind: VoteKind, view_number: int, height: int, block_hash: bytes) -> None:
    """Sign a vote, put it on disk, send it, and count it."""
    view = state.view_at(view_number)
    assert state.is_seated, "who holds no seat does not vote"
    assert kind not in view.own_votes, "one vote of a kind per view"
    if kind == VoteKind.NOTARIZE:
        assert VoteKind.NULLIFY not in view.own_votes, "no notarize after the own nullify"
    elif kind == VoteKind.NULLIFY:
        assert VoteKind.FINALIZE not in view.own_votes, "finalize xor nullify"
    else:
        assert VoteKind.NULLIFY not in view.own_votes, "finalize xor nullify"
    version = state.protocol_version
    body = vote_body(version, state.epoch, view_number, height, block_hash)
    signature = state.crypto.sign(VOTE_TAGS[kind], body)
    vote = build_vote(
        kind,
        protocol_version=version,
        epoch=state.epoch,
        view=view_number,
        height=height,
        block_hash=block_hash,
        seat=state.seat,
        signature=signature,
    )
    block = b""
    if kind == VoteKind.NOTARIZE and view.own_proposal is None:
        assert view.proposal is not None, "only a proposal that is here is notarized"
        block = view.proposal.block.data
    record = Record(_RECORD_KINDS[kind], state.epoch, view_number, vote.data, block)
    state.persist(record, is_synced=True)
    if view.own_proposal is not None and kind == VoteKind.NOTARIZE:
        state.broadcast_proposal(view.own_proposal)
    state.broadcast_vote(vote)
    count_own(state, vote)


def count_own(state: State, vote: Vote) -> None:
    """Take an own vote, just cast or read from the log, into account."""
    view = state.view_at(vote.view)
    view.own_votes[vote.kind] = vote
    view.verified.add(said(vote))
    certificates.add_vote(state, vote)


def _refuse(state: State, candidate: Candidate, refusal: ProposalInvalid) -> None:
    if not isinstance(refusal, BlockTimeRefused):
        _reject(state, candidate, str(refusal))
        return
    candidate.is_rejected = True
    state.report(
        ReportKind.BLOCK_TIME_REFUSED,
        state.view,
        candidate.proposal.seat,
        detail=str(refusal),
        milliseconds=refusal.ahead_ms,
    )


def _reject(state: State, candidate: Candidate, detail: str, *, is_body_refused: bool = False) -> None:
    candidate.is_rejected = True
    accuse_of(state, candidate.proposal, detail, is_body_refused=is_body_refused)
