"""When a view needs an end: reasons, time-outs, and the one timer.

Source: docs/spec/consensus.md, "Time-outs" and "When idle".
"""

from __future__ import annotations

from icn_consensus.domain import rounds, voting
from icn_consensus.domain.actions import ReportKind, SetTimer
from icn_consensus.domain.state import State


def is_urgent(state: State) -> bool:
    """Whether a block should come at once, rather than when it can name more: the pool holds a transaction
    that can be included; the epoch was begun by a recovery certificate that no final block carries yet; the
    newest block is older than the heartbeat; or something expires by this clock, and no block of the branch
    has reached that time."""
    if state.has_pending or state.recovery is not None:
        return True
    now_ms, tip_time_ms = state.now_ms, state.chain.final.time_ms
    notarization = state.highest_notarization()
    if notarization is not None:
        block = state.chain.blocks.get(notarization.block_hash)
        tip_time_ms = now_ms if block is None else block.header.time_ms
    if now_ms >= tip_time_ms + state.config.heartbeat_ms:
        return True
    expiry_ms = state.executed.next_expiry_time_ms
    return 0 < expiry_ms <= now_ms and tip_time_ms < expiry_ms


def has_reason(state: State) -> bool:
    """Whether the current view should end with a block, so that its timer runs: one is urgent; somebody
    proposed, notarized or nullified in this view; a notarized block is not final; or no final header names
    the state root that this replica has reached."""
    view = state.views.get(state.view)
    if view is not None and view.is_stirred:
        return True
    if state.highest_notarization() is not None:
        return True
    executed, final = state.executed, state.chain.final
    is_unnamed = executed.executed_height == final.height and executed.state_root != final.state_root
    return is_unnamed or is_urgent(state)


def is_patient(state: State) -> bool:
    """Whether an empty block should still wait: it names more once its parent is final and executed.

    Half a time-out at most, so that the others' timers do not run out; and not at all behind a view that was
    nullified: what could have made the parent final by itself has been said by then.
    """
    notarization = state.highest_notarization()
    if notarization is None and state.executed.executed_height == state.chain.final.height:
        return False
    if notarization is not None and notarization.view + 1 < state.view:
        return False
    return state.now_ms < _patience_ends_ms(state)


def tick(state: State) -> bool:
    """Arm or disarm the view's timer; act when it ran out or waiting is pointless. True when voted."""
    if not has_reason(state):
        state.armed_at_ms = None
        state.fired_at_ms = None
        return False
    if state.armed_at_ms is None:
        state.armed_at_ms = state.now_ms
    leader = state.leader(state.view)
    view = state.views.get(state.view)
    is_untouched = view is None or (view.proposal is None and not view.own_votes)
    if state.is_seated and is_untouched and state.attendance.is_silent(leader, state.view):
        state.current.was_skipped = True
        state.report(ReportKind.SILENT_LEADER, state.view, leader)
        voting.nullify(state)
        return True
    if state.now_ms < _deadline_ms(state):
        return False
    state.fired_at_ms = state.now_ms
    state.is_judgement_deferred = False
    rounds.resend(state, None)
    if not voting.can_nullify(state):
        return False
    state.report(ReportKind.TIMED_OUT, state.view, leader)
    voting.nullify(state)
    return True


def set_timer(state: State) -> None:
    """Ask for the next firing, when it differs from the one asked for."""
    times: list[int] = []
    question_ms = state.fetcher.next_question_ms(state.now_ms)
    if question_ms is not None:
        times.append(question_ms)
    if state.armed_at_ms is not None:
        times.append(_deadline_ms(state))
        if state.leader(state.view) == state.seat and is_patient(state):
            times.append(_patience_ends_ms(state))
    else:
        final = state.chain.final
        times.append(final.time_ms + state.config.heartbeat_ms)
        if state.executed.next_expiry_time_ms > final.time_ms:
            times.append(state.executed.next_expiry_time_ms)
    at_ms = max(min(times), state.now_ms + 1)
    if at_ms != state.timer_at_ms:
        state.timer_at_ms = at_ms
        state.emit(SetTimer(at_ms))


def _deadline_ms(state: State) -> int:
    assert state.armed_at_ms is not None, "only an armed timer has a deadline"
    since_ms = state.armed_at_ms if state.fired_at_ms is None else state.fired_at_ms
    return since_ms + state.timeout_ms()


def _patience_ends_ms(state: State) -> int:
    since_ms = state.now_ms if state.armed_at_ms is None else state.armed_at_ms
    return since_ms + state.timeout_ms() // 2
