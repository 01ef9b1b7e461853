"""What one replica's knowledge begins with, and the small rules that all others stand on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import VoteKind
from icn_chain.validator_set import NO_SEAT
from icn_consensus.domain import actions as act
from icn_consensus.domain.actions import FetchBlock, FetchCertificates
from icn_consensus.domain.events import PoolChanged
from icn_consensus.domain.pacemaker import TIMEOUT_MS_MIN
from icn_consensus.domain.state import BODY_DELAY_MS, NEAR_HEIGHTS

from .bench import Bench


def fetched(bench: Bench) -> list[tuple[bytes, object]]:
    return [(item.peer, item.what) for item in bench.state.actions if isinstance(item, act.Fetch)]


def test_the_epoch_is_the_final_block_s_or_after_an_edge_block_that_of_its_time() -> None:
    bench = Bench(epoch_ms=10_000)
    for late_ms, epoch in ((9_999, 0), (10_000, 1), (35_000, 3)):
        header = bench.proposal(1, time_ms=bench.genesis.time_ms + late_ms).block.header
        bench.start((), header)
        assert (bench.state.epoch, bench.state.view) == (epoch, 2)
        assert bench.state.is_first_of_epoch == (epoch > 0)


def test_a_replica_neither_asks_itself_nor_skips_itself() -> None:
    bench = Bench(seat=1)
    bench.state.need(FetchCertificates(1), bench.peers)
    assert fetched(bench) == [(bench.peers[0], FetchCertificates(1))]
    bench.state.attendance._penalty_left[1] = 1
    assert not bench.state.attendance.is_silent(1, 1)


def test_what_is_missing_may_first_arrive_by_itself() -> None:
    bench = Bench()
    bench.state.need(FetchCertificates(1), bench.peers, 40)
    bench.state.now_ms += 39
    bench.state.need(FetchCertificates(1), bench.peers, 40)
    assert not fetched(bench)
    bench.state.now_ms += 1
    bench.state.need(FetchCertificates(1), bench.peers, 40)
    assert fetched(bench) == [(bench.peers[1], FetchCertificates(1))]


@pytest.mark.parametrize(("ahead", "is_catching_up"), [(NEAR_HEIGHTS, False), (NEAR_HEIGHTS + 1, True)])
def test_bodies_come_with_the_pages_of_a_catch_up(ahead: int, is_catching_up: bool) -> None:
    bench = Bench()
    bench.state.highest_finalization = bench.certificate(VoteKind.FINALIZE, 9, [1, 2, 3], height=ahead)
    assert bench.state.is_catching_up == is_catching_up
    bench.state.need_block(bytes(32), bench.peers)
    assert not fetched(bench)
    bench.state.now_ms += BODY_DELAY_MS
    bench.state.need_block(bytes(32), bench.peers)
    assert fetched(bench) == ([] if is_catching_up else [(bench.peers[1], FetchBlock(bytes(32)))])


def test_a_report_says_in_which_epoch_and_nothing_that_was_not_given() -> None:
    bench = Bench()
    bench.state.epoch = 3
    bench.state.report(act.ReportKind.TIMED_OUT, 7, 2)
    assert bench.state.actions == [act.Report(act.ReportKind.TIMED_OUT, 3, 7, 2, "", b"", 0, b"")]


def test_signers_are_told_by_their_keys_where_their_seats_are_known() -> None:
    bench = Bench()
    certificate = bench.certificate(VoteKind.NULLIFY, 1, [0, 2, 3])
    assert bench.state.signers(certificate) == (bench.peers[0], bench.peers[2], bench.peers[3])
    assert bench.state.signers(replace(certificate, epoch=4)) == ()


def test_seats_are_known_of_the_current_epoch_and_of_the_newest_final_block_s() -> None:
    bench = Bench()
    five = Bench(5).config.validators
    bench.state.seating.current = five
    bench.state.epoch = 2
    assert bench.state.seats_of(2) == five
    assert bench.state.seats_of(0) == bench.config.validators
    assert bench.state.seats_of(1) is None


def test_a_proposal_with_transactions_counts_from_when_the_timer_started() -> None:
    begun_ms = Bench().now_ms
    for transactions, counted_ms in (((b"one",), begun_ms), ((), begun_ms + 100)):
        bench = Bench()
        bench.step(PoolChanged(True))
        bench.now_ms += 100
        proposal = bench.proposal(1, transactions=transactions)
        bench.propose(proposal)
        assert bench.state.current.timed_since_ms == counted_ms
        assert bench.state.current.proposal_seen_at_ms == begun_ms + 100


def test_after_a_time_out_a_proposal_counts_from_that() -> None:
    bench = Bench()
    bench.state.armed_at_ms = bench.now_ms
    bench.state.fired_at_ms = bench.now_ms + 60
    bench.now_ms += 100
    bench.propose(bench.proposal(1, transactions=(b"one",)))
    assert bench.state.current.timed_since_ms == bench.now_ms - 40


def test_a_proposal_before_any_timer_counts_from_when_it_came() -> None:
    bench = Bench()
    bench.propose(bench.proposal(1, transactions=(b"one",)))
    assert bench.state.current.timed_since_ms == bench.now_ms


def test_the_time_out_grows_with_the_views_since_the_newest_final_block() -> None:
    bench = Bench()
    assert bench.state.timeout_ms() == TIMEOUT_MS_MIN
    bench.state.view = 9
    longer_ms = bench.state.timeout_ms()
    assert longer_ms > TIMEOUT_MS_MIN
    bench.state.chain.final = replace(bench.genesis, view=8)
    assert bench.state.timeout_ms() == TIMEOUT_MS_MIN


def test_the_highest_notarization_is_of_the_highest_view_that_has_one() -> None:
    bench = Bench()
    assert bench.state.highest_notarization() is None
    for view in (2, 5, 3):
        bench.receive_certificate(bench.notarization(bench.proposal(view).block.header))
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 7, [1, 2, 3]))
    highest = bench.state.highest_notarization()
    assert highest is not None and highest.view == 5
    assert bench.state.notarization(3) == bench.state.views[3].certificates[VoteKind.NOTARIZE]
    assert bench.state.notarization(4) is bench.state.notarization(7) is None
    assert [bench.state.is_nullified(view) for view in (5, 6, 7)] == [False, False, True]


def test_who_follows_has_no_seat() -> None:
    follower = Bench(seat=4, spares=1).state
    assert (follower.seat, follower.is_seated, follower.quorum) == (NO_SEAT, False, 3)
    assert (Bench(seat=2).state.seat, Bench(7).state.quorum) == (2, 5)
