"""When a view needs an end: reasons, time-outs, and the one timer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import VoteKind
from icn_consensus.domain import actions as act
from icn_consensus.domain.events import BlockExecuted, PoolChanged, TimerFired
from icn_consensus.domain.pacemaker import TIMEOUT_MS_MIN
from icn_consensus.domain.timing import has_reason, is_patient, is_urgent, set_timer, tick

from .bench import Bench

HEARTBEAT_MS = 30_000


def timers(actions: list[act.Action]) -> list[int]:
    return [item.at_ms for item in actions if isinstance(item, act.SetTimer) and item.at_ms is not None]


def reports(actions: list[act.Action]) -> list[tuple[act.ReportKind, int, int]]:
    return [(item.kind, item.view, item.seat) for item in actions if isinstance(item, act.Report)]


def nullified(actions: list[act.Action]) -> bool:
    return any(isinstance(item, act.Broadcast) and item.kind == act.MessageKind.VOTE for item in actions)


def expiring(bench: Bench, at_ms: int) -> None:
    """Have something expire then."""
    bench.state.executed = replace(bench.state.executed, next_expiry_time_ms=at_ms)


class TestReasons:
    def test_an_idle_view_needs_no_end(self) -> None:
        bench = Bench()
        assert not has_reason(bench.state) and not is_urgent(bench.state)

    def test_a_pending_transaction_is_urgent(self) -> None:
        bench = Bench()
        bench.step(PoolChanged(True))
        assert has_reason(bench.state) and is_urgent(bench.state)

    @pytest.mark.parametrize(("age_ms", "is_due"), [(HEARTBEAT_MS - 1, False), (HEARTBEAT_MS, True)])
    def test_a_block_comes_at_each_heartbeat(self, age_ms: int, is_due: bool) -> None:
        bench = Bench()
        bench.state.now_ms = bench.genesis.time_ms + age_ms
        assert is_urgent(bench.state) == has_reason(bench.state) == is_due

    @pytest.mark.parametrize(("later_ms", "is_due"), [(-1, False), (0, True), (1, True)])
    def test_what_expires_wants_a_block_of_that_time(self, later_ms: int, is_due: bool) -> None:
        bench = Bench()
        expiring(bench, bench.genesis.time_ms + 1_000)
        bench.state.now_ms = bench.genesis.time_ms + 1_000 + later_ms
        assert is_urgent(bench.state) == is_due

    @pytest.mark.parametrize(("time_ms", "is_due"), [(999, True), (1_000, False)])
    def test_until_a_block_of_the_branch_has_reached_it(self, time_ms: int, is_due: bool) -> None:
        bench = Bench()
        bench.now_ms += 2_000
        proposal = bench.proposal(1, time_ms=bench.genesis.time_ms + time_ms)
        bench.propose(proposal)
        bench.judge(proposal)
        bench.receive_certificate(bench.notarization(proposal.block.header))
        expiring(bench, bench.genesis.time_ms + 1_000)
        assert is_urgent(bench.state) == is_due

    def test_nothing_that_expires_is_no_reason(self) -> None:
        bench = Bench()
        bench.state.chain.final = replace(bench.genesis, time_ms=-5)
        bench.state.now_ms = 3
        for at_ms, is_due in ((0, False), (1, True)):
            expiring(bench, at_ms)
            assert is_urgent(bench.state) == is_due

    def test_a_notarized_block_whose_body_is_missing_counts_as_new(self) -> None:
        bench = Bench()
        bench.receive_certificate(bench.notarization(bench.proposal(1).block.header))
        bench.state.now_ms = bench.genesis.time_ms + HEARTBEAT_MS
        assert not is_urgent(bench.state)
        assert has_reason(bench.state), "it is not final"

    def test_a_notarized_block_is_what_the_heartbeat_counts_from(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1, time_ms=bench.now_ms + 100)
        bench.propose(proposal)
        bench.judge(proposal)
        bench.receive_certificate(bench.notarization(proposal.block.header))
        bench.state.now_ms = bench.genesis.time_ms + 100 + HEARTBEAT_MS - 1
        assert not is_urgent(bench.state)
        bench.state.now_ms += 1
        assert is_urgent(bench.state)

    def test_a_state_root_that_no_header_names_wants_a_block_without_haste(self) -> None:
        bench = Bench()
        proposal = bench.proposal(1)
        bench.finalize(proposal)
        assert not has_reason(bench.state), "it is executed first"
        executed = replace(bench.state.executed, executed_height=1)
        bench.step(BlockExecuted(replace(executed, state_root=bytes(32))))
        assert has_reason(bench.state) and not is_urgent(bench.state)
        bench.state.executed = replace(executed, state_root=proposal.block.header.state_root)
        assert not has_reason(bench.state)

    def test_whatever_others_say_in_the_view_is_a_reason(self) -> None:
        bench = Bench()
        bench.receive(bench.vote(VoteKind.NULLIFY, 2, 1))
        assert has_reason(bench.state) and not is_urgent(bench.state)
        bench = Bench()
        bench.receive(bench.vote(VoteKind.NULLIFY, 2, 2))
        assert not has_reason(bench.state), "that was of another view"


class TestTimer:
    def test_it_waits_for_the_heartbeat_or_what_expires_before(self) -> None:
        bench = Bench()
        heartbeat_ms = bench.genesis.time_ms + HEARTBEAT_MS
        bench.state.timer_at_ms = None
        assert timers(bench.step(TimerFired())) == [heartbeat_ms]
        expiring(bench, bench.genesis.time_ms + 500)
        assert timers(bench.step(TimerFired())) == [bench.genesis.time_ms + 500]
        for at_ms in (0, bench.genesis.time_ms):
            expiring(bench, at_ms)
            assert timers(bench.step(TimerFired())) == [heartbeat_ms], "the chain has passed it"

    def test_it_is_asked_for_once(self) -> None:
        bench = Bench()
        assert timers(bench.step(PoolChanged(True))) == [bench.now_ms + TIMEOUT_MS_MIN]
        bench.now_ms += 100
        assert timers(bench.step(PoolChanged(True))) == []
        assert timers(bench.step(TimerFired())) == [bench.now_ms - 100 + TIMEOUT_MS_MIN], (
            "again after it fired"
        )

    def test_a_time_that_has_passed_comes_a_millisecond_later(self) -> None:
        bench = Bench()
        bench.state.armed_at_ms = bench.now_ms - 10 * TIMEOUT_MS_MIN
        set_timer(bench.state)
        assert timers(bench.state.actions) == [bench.now_ms + 1]

    def test_what_may_be_fetched_again_wakes_it_first(self) -> None:
        bench = Bench()
        bench.step(PoolChanged(True))
        bench.state.need_block(bytes(32), bench.peers)
        (at_ms,) = timers(bench.step(TimerFired()))
        assert at_ms < bench.now_ms + TIMEOUT_MS_MIN
        assert at_ms == bench.state.fetcher.next_question_ms(bench.now_ms)

    def test_it_is_put_off_when_the_reason_is_gone(self) -> None:
        bench = Bench()
        bench.step(PoolChanged(True))
        assert timers(bench.step(PoolChanged(False))) == [bench.genesis.time_ms + HEARTBEAT_MS]
        assert bench.state.armed_at_ms is None and bench.state.fired_at_ms is None


class TestTimeOuts:
    @pytest.mark.parametrize(
        ("passed_ms", "has_ended"), [(TIMEOUT_MS_MIN - 1, False), (TIMEOUT_MS_MIN, True)]
    )
    def test_a_view_that_lasts_too_long_is_nullified(self, passed_ms: int, has_ended: bool) -> None:
        bench = Bench()
        bench.step(PoolChanged(True))
        bench.now_ms += passed_ms
        bench.state.is_judgement_deferred = True
        done = bench.step(TimerFired())
        assert nullified(done) == has_ended
        assert reports(done) == ([(act.ReportKind.TIMED_OUT, 1, 1)] if has_ended else [])
        assert bench.state.is_judgement_deferred != has_ended

    def test_what_was_said_is_said_again_at_each_time_out_and_nullified_once(self) -> None:
        bench = Bench()
        bench.step(PoolChanged(True))
        bench.now_ms += TIMEOUT_MS_MIN
        bench.step(TimerFired())
        bench.now_ms += TIMEOUT_MS_MIN - 1
        assert not nullified(bench.step(TimerFired())), "counted from the last time-out"
        bench.now_ms += 1
        done = bench.step(TimerFired())
        assert nullified(done), "the same vote to all"
        assert not [item for item in done if isinstance(item, act.Persist)]
        assert reports(done) == []

    def test_who_holds_no_seat_asks_by_saying_what_it_knows(self) -> None:
        bench = Bench(seat=4, spares=1)
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
        bench.step(PoolChanged(True))
        bench.now_ms += TIMEOUT_MS_MIN
        done = bench.step(TimerFired())
        assert [item.kind for item in done if isinstance(item, act.Broadcast)] == [
            act.MessageKind.CERTIFICATE
        ]
        assert reports(done) == []

    def silent(self, bench: Bench) -> None:
        """Have the leader of view 1 count as silent."""
        bench.state.attendance._penalty_left[1] = 1

    def test_a_silent_leader_is_not_waited_for(self) -> None:
        bench = Bench()
        self.silent(bench)
        done = bench.step(PoolChanged(True))
        assert nullified(done)
        assert reports(done) == [(act.ReportKind.SILENT_LEADER, 1, 1)]
        assert bench.state.view_at(1).was_skipped
        assert not reports(bench.step(TimerFired())), "once"

    def test_a_silent_leader_that_proposes_after_all_is_not_skipped(self) -> None:
        bench = Bench()
        self.silent(bench)
        done = bench.propose(bench.proposal(1))
        assert not nullified(done) and not reports(done)

    def test_nobody_is_skipped_by_who_holds_no_seat_nor_without_a_reason(self) -> None:
        bench = Bench(seat=4, spares=1)
        self.silent(bench)
        assert not reports(bench.step(PoolChanged(True)))
        bench = Bench()
        self.silent(bench)
        assert not reports(bench.step(TimerFired()))

    def test_whether_it_voted_is_what_a_tick_tells(self) -> None:
        bench = Bench()
        assert not tick(bench.state)
        bench.state.has_pending = True
        assert not tick(bench.state)
        bench.state.now_ms += TIMEOUT_MS_MIN
        assert tick(bench.state)
        assert not tick(bench.state)
        bench.state.now_ms += TIMEOUT_MS_MIN
        assert not tick(bench.state)
        bench = Bench()
        self.silent(bench)
        bench.state.has_pending = True
        assert tick(bench.state)


class TestPatience:
    def notarized(self, seat: int) -> Bench:
        """View 2 after a notarized block, which is not final."""
        bench = Bench(seat=seat)
        proposal = bench.proposal(1)
        if seat != 1:
            bench.propose(proposal)
            bench.judge(proposal)
        bench.receive_certificate(bench.notarization(proposal.block.header))
        return bench

    def test_a_leader_waits_half_a_time_out_for_more_to_name(self) -> None:
        bench = self.notarized(2)
        assert is_patient(bench.state)
        begun_ms = bench.now_ms
        assert timers(bench.step(TimerFired())) == [begun_ms + TIMEOUT_MS_MIN // 2]
        bench.state.now_ms = begun_ms + TIMEOUT_MS_MIN // 2 - 1
        assert is_patient(bench.state)
        bench.state.now_ms += 1
        assert not is_patient(bench.state)

    def test_behind_a_nullified_view_a_leader_waits_for_nothing(self) -> None:
        """Its parent was not made final in time, so it hardly is by waiting; where all who are up are needed,
        one who restarted, with the shortest time-out, ended every view of a leader who waited."""
        bench = self.notarized(3)
        assert is_patient(bench.state)
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 2, [0, 1, 2]))
        assert (bench.state.view, bench.state.leader(3)) == (3, 3)
        assert not is_patient(bench.state)

    def test_the_others_wait_for_the_whole(self) -> None:
        bench = self.notarized(0)
        assert timers(bench.step(TimerFired())) == [bench.now_ms + TIMEOUT_MS_MIN]

    def test_there_is_nothing_to_wait_for_once_all_is_final_and_executed(self) -> None:
        bench = Bench()
        assert not is_patient(bench.state)
        bench.finalize(bench.proposal(1))
        assert is_patient(bench.state), "it is not executed"
        bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        assert not is_patient(bench.state)
