"""From view to view and from epoch to epoch, and what is said again."""

from __future__ import annotations

import pytest
from icn_chain.certificate import VoteKind
from icn_consensus.domain import actions as act
from icn_consensus.domain.certificates import forget_below_final
from icn_consensus.domain.events import PeerConnected
from icn_consensus.domain.pacemaker import TIMEOUT_MS_MIN
from icn_consensus.domain.records import Record, RecordKind
from icn_consensus.domain.rounds import enter_epoch, enter_view, resend, take_later_records

from .bench import Bench


def sent(actions: list[act.Action]) -> list[tuple[act.MessageKind, bytes]]:
    return [(item.kind, item.data) for item in actions if isinstance(item, act.Send)]


def test_views_and_epochs_only_go_up() -> None:
    bench = Bench()
    with pytest.raises(AssertionError, match=r"^views only go up within an epoch$"):
        enter_view(bench.state, 1, None)
    with pytest.raises(AssertionError, match=r"^epochs only go up$"):
        enter_epoch(bench.state, 0, 1, bench.config.validators)


def test_what_an_epoch_leaves_behind_is_not_remembered_as_judged() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    bench.judge(proposal)
    assert bench.state.judged == {proposal.block.hash}
    enter_epoch(bench.state, 1, 2, bench.config.validators)
    forget_below_final(bench.state)
    assert not bench.state.judged


@pytest.mark.parametrize(("view", "since"), [(2, 1), (3, 3)])
def test_who_spoke_in_views_that_were_jumped_over_is_not_known(view: int, since: int) -> None:
    bench = Bench()
    enter_view(bench.state, view, None)
    assert bench.state.attendance._since == since


def test_a_new_view_begins_without_what_the_last_one_was_about() -> None:
    bench = Bench()
    bench.propose(bench.proposal(1))
    state = bench.state
    state.armed_at_ms = state.fired_at_ms = bench.now_ms
    opening = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3])
    state.opening = bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3])
    enter_view(state, 2, opening)
    assert (state.view, state.opened_by, state.candidate, state.draft) == (2, opening, None, None)
    assert (state.armed_at_ms, state.fired_at_ms) == (None, None)
    assert state.opening is not None, "of this view: it opens the next"
    enter_view(state, 3, state.opening)
    assert state.opening is None


def test_a_leader_whose_view_was_given_up_before_it_proposed_has_missed_a_turn() -> None:
    for has_proposed, missed in ((False, 1), (True, 0)):
        bench = Bench()
        bench.state.attendance.hear(1, 1)
        if has_proposed:
            bench.propose(bench.proposal(1))
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        assert bench.state.attendance._missed_turns[1] == missed


def test_a_turn_that_was_notarized_beside_is_not_missed() -> None:
    bench = Bench()
    enter_view(bench.state, 3, None)
    for kind in (VoteKind.NULLIFY, VoteKind.NOTARIZE):
        bench.state.view_at(3).certificates[kind] = bench.certificate(kind, 3, [1, 2, 3])
    enter_view(bench.state, 4, None)
    enter_view(bench.state, 5, None)
    assert bench.state.attendance._missed_turns == [0, 0, 0, 0]


def test_a_skipped_turn_is_taken_off_the_penalty() -> None:
    bench = Bench()
    bench.state.attendance._penalty_left[1] = 2
    bench.state.view_at(1).was_skipped = True
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    assert bench.state.attendance._penalty_left[1] == 1


def test_a_proposal_too_slow_for_its_time_out_lengthens_the_next() -> None:
    bench = Bench()
    bench.propose(bench.proposal(1))
    bench.now_ms += 10 * TIMEOUT_MS_MIN
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    slow = bench.state.pacemaker.timeout_ms(1)
    assert 2 * TIMEOUT_MS_MIN < slow < 1_000 * TIMEOUT_MS_MIN
    bench = Bench()
    bench.now_ms += 10 * TIMEOUT_MS_MIN
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    assert bench.state.pacemaker.timeout_ms(1) < slow, "nothing was proposed"


def test_nothing_of_an_epoch_counts_in_the_next() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    bench.judge(proposal)
    state = bench.state
    before, after = (
        bench.certificate(VoteKind.FINALIZE, 2, [1, 2, 3], height=1, epoch=epoch) for epoch in (0, 1)
    )
    state.finalizations = {0: before, 1: before, 2: after}
    state.actions.clear()
    state.attendance.hear(2, 1)
    attendance = state.attendance
    enter_epoch(state, 1, 5, bench.config.validators)
    assert state.actions == [act.Abandoned((proposal.block.hash,))]
    assert (state.epoch, state.view, state.views, state.opened_by) == (1, 5, {}, None)
    assert not state.chain.blocks
    assert state.finalizations == {0: before, 2: after}, "that of the final block is carried"
    assert state.attendance is attendance, "the same seats"
    assert attendance._since == 5


@pytest.mark.parametrize(("view", "since"), [(1, 1), (2, 1), (3, 3)])
def test_a_window_goes_on_across_an_edge_unless_views_were_jumped_over(view: int, since: int) -> None:
    bench = Bench()
    enter_epoch(bench.state, 1, view, bench.config.validators)
    assert bench.state.attendance._since == since


def test_blocks_of_the_epoch_that_begins_stay() -> None:
    bench = Bench()
    early = bench.proposal(2, epoch=1)
    bench.state.chain.add(early.block)
    enter_epoch(bench.state, 1, 2, bench.config.validators)
    assert list(bench.state.chain.blocks) == [early.block.hash]
    assert not bench.state.actions


def test_other_seats_are_watched_anew() -> None:
    bench = Bench()
    five = Bench(5).config.validators
    enter_epoch(bench.state, 1, 7, five)
    attendance = bench.state.attendance
    assert (attendance._validators, attendance._seat, attendance._since) == (five, 0, 7)


def test_what_moves_a_peer_on_is_said_again_in_order() -> None:
    bench = Bench()
    assert sent(bench.step(PeerConnected(bench.peers[2], 0))) == []
    first = bench.proposal(1)
    bench.propose(first)
    bench.judge(first)
    bench.receive_certificate(bench.notarization(first.block.header))
    finalize = bench.state.view_at(1).own_votes[VoteKind.FINALIZE]
    opened_by = bench.state.opened_by
    assert opened_by is not None and bench.view == 2
    second = bench.proposal(2, first.block.header)
    bench.propose(second)
    bench.judge(second)
    notarize = bench.state.current.own_votes[VoteKind.NOTARIZE]
    certificate, vote = act.MessageKind.CERTIFICATE, act.MessageKind.VOTE
    said = [(certificate, opened_by.data), (vote, finalize.data), (vote, notarize.data)]
    assert sent(bench.step(PeerConnected(bench.peers[2], 0))) == said
    finalization = bench.finalization(first.block.header)
    bench.state.highest_finalization = finalization
    resend(bench.state, bench.peers[2])
    assert sent(bench.state.actions) == [(certificate, finalization.data), *said]
    bench.state.actions.clear()
    bench.state.opened_by = finalization
    resend(bench.state, bench.peers[2])
    assert sent(bench.state.actions) == [(certificate, finalization.data), *said[1:]], "once"


def test_all_are_told_where_no_peer_is_named() -> None:
    bench = Bench()
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    opened_by = bench.state.opened_by
    assert opened_by is not None
    resend(bench.state, None)
    assert bench.state.actions == [act.Broadcast(act.MessageKind.CERTIFICATE, opened_by.data)]


def test_own_records_of_an_epoch_are_taken_once_and_those_of_later_ones_kept() -> None:
    bench = Bench()
    records = [Record(RecordKind.NULLIFY, epoch, view, b"") for epoch in (0, 1, 2) for view in (1, 2)]
    bench.state.later_records = list(records)
    bench.state.epoch = 1
    assert take_later_records(bench.state) == records[2:4]
    assert bench.state.later_records == records[4:]
