"""What a replica tells of itself, and which events move it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import VoteKind
from icn_chain.validator_set import NO_SEAT
from icn_consensus.domain import actions as act
from icn_consensus.domain.config import Recovered
from icn_consensus.domain.events import CertificateReceived, PoolChanged, TimerFired, VoteReceived
from icn_consensus.domain.recovering import RecoveryRefused
from icn_consensus.domain.replica import CERTIFICATES_PAGE_MAX, Replica, Status

from .bench import Bench


def test_a_replica_starts_once_and_before_anything_else() -> None:
    bench = Bench()
    with pytest.raises(AssertionError, match=r"^a replica starts once$"):
        bench.replica.start(Recovered(bench.genesis, b"", bench.state.executed, ()), bench.now_ms)
    with pytest.raises(AssertionError, match=r"^start comes before anything else$"):
        Replica(bench.config, bench.crypto).step(TimerFired(), bench.now_ms)


def test_the_time_of_a_replica_never_goes_back() -> None:
    bench = Bench()
    begun_ms = bench.now_ms
    bench.now_ms += 500
    bench.step(TimerFired())
    bench.now_ms = begun_ms
    bench.step(TimerFired())
    assert bench.state.now_ms == begun_ms + 500


def test_a_new_replica_stands_at_its_newest_final_block() -> None:
    bench = Bench()
    executed = bench.network.nodes[0].application.state()
    assert bench.replica.status() == Status(
        epoch=0,
        view=1,
        seat=0,
        final_height=0,
        executed_height=0,
        state_root=executed.state_root,
        block_time_ms=executed.time_ms,
        is_catching_up=False,
        protocol_version=1,
        protocol_next=1,
        halted="",
    )
    assert Bench(seat=4, spares=1).replica.status().seat == NO_SEAT


def test_leaders_that_come_next_begin_with_who_may_still_propose() -> None:
    bench = Bench()
    ada, ben, cleo, dora = bench.peers
    assert bench.replica.next_leaders(2) == (ben, cleo)
    assert bench.replica.next_leaders(9) == (ben, cleo, dora, ada), "each once"
    assert bench.replica.next_leaders(0) == ()
    bench.receive(bench.vote(VoteKind.NULLIFY, 3, 1))
    assert bench.replica.next_leaders(1) == (ben,), "its proposal may still come"
    bench.propose(bench.proposal(1))
    assert bench.replica.next_leaders(2) == (cleo, dora)
    assert bench.replica.next_leaders(9) == (cleo, dora, ada, ben)


def test_pending_transactions_are_not_sent_to_who_is_skipped() -> None:
    bench = Bench()
    ada, ben, _, dora = bench.peers
    attendance = bench.state.attendance
    attendance.hear(2, 1)
    for view in (2, 6):
        attendance.end_turn(2, view - 1, was_skipped=False, has_proposed=False)
    assert attendance.is_silent(2, 2)
    assert bench.replica.next_leaders(3) == (ben, dora, ada)


def test_seats_are_told_in_their_order_and_the_others_without_the_own() -> None:
    bench = Bench(seat=2)
    assert bench.replica.seats() == bench.peers
    assert bench.replica.other_seats() == (*bench.peers[:2], bench.peers[3])
    follower = Bench(seat=4, spares=1)
    assert follower.replica.other_seats() == follower.replica.seats() == follower.peers[:4]


def test_a_key_is_named_where_a_known_set_gives_it_a_seat() -> None:
    bench = Bench(spares=1)
    assert [bench.replica.names(key) for key in bench.peers] == [True] * 4 + [False]


def test_unfinished_blocks_are_found_by_their_hash() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    assert bench.replica.block(proposal.block.hash) is None
    bench.propose(proposal)
    bench.judge(proposal)
    assert bench.replica.block(proposal.block.hash) == proposal.block.data


def test_certificates_are_told_from_a_view_on_notarizations_first() -> None:
    bench = Bench()
    null_1 = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3])
    null_2 = bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3])
    notarized_2 = bench.notarization(bench.proposal(2).block.header)
    finalized_3 = bench.finalization(bench.proposal(3).block.header)
    null_5 = bench.certificate(VoteKind.NULLIFY, 5, [1, 2, 3])
    assert bench.replica.certificates_from(0) == ()
    for certificate in (null_5, null_2, null_1, notarized_2, finalized_3):
        bench.receive_certificate(certificate)
    from_2 = (notarized_2.data, null_2.data, null_5.data)
    assert bench.replica.certificates_from(0) == (null_1.data, *from_2)
    assert bench.replica.certificates_from(2) == from_2
    assert bench.replica.certificates_from(3) == (null_5.data,)
    assert bench.replica.certificates_from(6) == ()


def test_an_answer_holds_a_bounded_number_of_certificates_from_the_lowest_view_on() -> None:
    bench = Bench()
    told = []
    for view in range(1, CERTIFICATES_PAGE_MAX + 1):
        notarized = bench.notarization(bench.proposal(view).block.header)
        null = bench.certificate(VoteKind.NULLIFY, view, [1, 2, 3])
        told += [notarized.data, null.data]
        bench.receive_certificate(notarized)
        bench.receive_certificate(null)
    assert bench.replica.certificates_from(1) == tuple(told[:CERTIFICATES_PAGE_MAX])
    assert bench.replica.certificates_from(CERTIFICATES_PAGE_MAX) == tuple(told[-2:])


def test_the_newest_final_block_s_notarization_is_told_to_who_asks_from_its_view_on_or_before() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    notarization = bench.notarization(proposal.block.header)
    bench.finalize(proposal)
    assert bench.replica.status().final_height == 1
    assert bench.replica.certificates_from(0) == bench.replica.certificates_from(1) == (notarization.data,)
    assert bench.replica.certificates_from(2) == ()


def test_a_backlog_of_execution_counts_as_catching_up_beyond_a_few_heights() -> None:
    bench = Bench()
    parent = None
    for view in (1, 2, 3, 5, 6):
        assert not bench.replica.status().is_catching_up
        if view == 5:
            bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 4, [1, 2, 3]))  # its own turn
        proposal = bench.proposal(view, parent)
        parent = proposal.block.header
        bench.finalize(proposal)
    status = bench.replica.status()
    assert (status.final_height, status.executed_height) == (5, 0)
    assert status.is_catching_up


def test_what_tells_nothing_new_leads_to_nothing() -> None:
    bench = Bench()
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    late = bench.vote(VoteKind.NOTARIZE, 2, 1)
    assert bench.step(VoteReceived(bench.peers[2], late.data)) == []
    known = bench.certificate(VoteKind.NULLIFY, 1, [0, 1, 2])
    assert bench.step(CertificateReceived(bench.peers[2], known.data)) == []


def test_transactions_in_the_pool_begin_the_time_of_the_view() -> None:
    bench = Bench()
    (timer,) = bench.step(PoolChanged(True))
    assert timer == act.SetTimer(bench.now_ms + 250)
    assert bench.step(PoolChanged(False)) == [act.SetTimer(bench.now_ms + 30_000)], "the heartbeat"


def test_whose_turn_it_is_and_how_long_it_may_take() -> None:
    bench = Bench()
    turn = bench.replica.turn()
    assert (turn.leader, turn.timeout_ms, turn.is_timed, turn.silent_seats) == (1, 250, False, ())
    bench.step(PoolChanged(True))
    assert bench.replica.turn().is_timed
    bench.state.attendance._penalty_left[2] = 1
    bench.state.attendance.kept_turns[3] = 5
    bench.state.attendance.lost_turns[1] = 2
    turn = bench.replica.turn()
    assert (turn.silent_seats, turn.kept_turns, turn.lost_turns) == ((2,), (0, 0, 0, 5), (0, 2, 0, 0))


def test_the_epoch_of_a_recovery_certificate_is_known_by_its_seats() -> None:
    bench = Bench()
    assert bench.replica.is_begun_by(bench.recovery(height=9))
    five = Bench(5).config.validators
    assert not bench.replica.is_begun_by(replace(bench.recovery(), validators=five))


def test_a_recovery_certificate_of_an_epoch_that_has_passed_is_refused() -> None:
    bench = Bench()
    with pytest.raises(RecoveryRefused):
        bench.replica.check_recovery(replace(bench.recovery(height=9), epoch=0))
    bench.replica.check_recovery(bench.recovery(height=9))
