"""Moving from view to view and from epoch to epoch, and saying again what others may have missed.

Source: docs/spec/consensus.md, "Views" and "Epochs".
"""

from __future__ import annotations

from icn_chain.certificate import Certificate, VoteKind
from icn_chain.header import BlockHeader
from icn_chain.validator_set import ValidatorSet

from icn_consensus.domain import records
from icn_consensus.domain.actions import Abandoned, MessageKind
from icn_consensus.domain.attendance import Attendance
from icn_consensus.domain.state import State


def enter_view(state: State, number: int, opened_by: Certificate | None) -> None:
    """Begin a later view of the current epoch."""
    assert number > state.view, "views only go up within an epoch"
    _end_turn(state)
    if number > state.view + 1:
        state.attendance.restart_window(number)
    _begin(state, number, opened_by)


def enter_epoch(state: State, epoch: int, view: int, validators: ValidatorSet) -> None:
    """Begin an epoch, or join it later; nothing said or seen in an earlier one counts any more."""
    assert epoch > state.epoch, "epochs only go up"
    final = state.chain.final
    closed = state.seats_of(final.epoch)
    assert closed is not None, "the newest final block is of this epoch or of the one before"
    left_behind = tuple(
        block_hash for block_hash, block in state.chain.blocks.items() if block.header.epoch < epoch
    )
    for block_hash in left_behind:
        del state.chain.blocks[block_hash]
    if left_behind:
        state.emit(Abandoned(left_behind))
    state.views.clear()
    for height in sorted(state.finalizations):
        if height > final.height and state.finalizations[height].epoch < epoch:
            del state.finalizations[height]
    if state.seating.move_on(closed, validators):
        state.attendance = Attendance(validators, state.seat, view)
    else:
        if view > state.view + 1:
            state.attendance.restart_window(view)
        state.attendance.restart_epoch(view)
    state.epoch = epoch
    state.ahead = {peer: said for peer, said in state.ahead.items() if said > epoch}
    _begin(state, view, None)


def resend(state: State, peer: bytes | None) -> None:
    """Send again (to one peer, or to all) what moves a replica on: the recovery that began this epoch, the
    certificate that opened this view, the highest finalization, and this replica's votes of this view."""
    if state.recovery is not None:
        state.send(peer, MessageKind.RECOVERY, state.recovery.data)
    if state.highest_finalization is not None:
        state.send(peer, MessageKind.CERTIFICATE, state.highest_finalization.data)
    if state.opened_by is not None and state.opened_by is not state.highest_finalization:
        state.send(peer, MessageKind.CERTIFICATE, state.opened_by.data)
    previous = state.views.get(state.view - 1)
    if previous is not None and VoteKind.FINALIZE in previous.own_votes:
        state.send(peer, MessageKind.VOTE, previous.own_votes[VoteKind.FINALIZE].data)
    current = state.views.get(state.view)
    if current is not None:
        for kind in (VoteKind.NOTARIZE, VoteKind.NULLIFY):
            if kind in current.own_votes:
                state.send(peer, MessageKind.VOTE, current.own_votes[kind].data)


def take_later_records(state: State) -> list[records.Record]:
    """Own records of the epoch just entered, in the order they were written."""
    mine = [record for record in state.later_records if record.epoch == state.epoch]
    state.later_records = [record for record in state.later_records if record.epoch > state.epoch]
    return mine


def view_after(final: BlockHeader) -> int:
    """First view that may follow a final block, in its epoch or, after an edge block, in the next."""
    return final.view + 1


def _begin(state: State, number: int, opened_by: Certificate | None) -> None:
    state.view = number
    state.opened_by = opened_by
    state.armed_at_ms = None
    state.fired_at_ms = None
    state.candidate = None
    state.draft = None
    if state.opening is not None and state.opening.view < number:
        state.opening = None


def _end_turn(state: State) -> None:
    """Book the leader's behaviour in the view that ends."""
    view = state.views.get(state.view)
    if view is None or VoteKind.NULLIFY not in view.certificates or VoteKind.NOTARIZE in view.certificates:
        return
    state.attendance.end_turn(
        state.leader(state.view),
        state.view,
        was_skipped=view.was_skipped,
        has_proposed=view.proposal is not None,
    )
    if view.proposal is not None:
        # It would have taken at least this long. Without it a network too slow for its time-out stays so:
        # what times out is never notarized, and only quick proposals would be observed.
        state.pacemaker.observe(state.now_ms - view.timed_since_ms)
