"""What a replica has judged, notarizes, nullifies and finalizes, one event at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import VoteKind
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import parse_vote
from icn_consensus.domain.events import (
    BlockExecuted,
    BlockJudged,
    BlockPrepared,
    PoolChanged,
    TimerFired,
    VoteReceived,
)
from icn_consensus.domain.evidence import is_signed, voted
from icn_consensus.domain.records import Record, RecordKind, decode_record, encode_record
from icn_consensus.domain.voting import can_nullify, cast, nullify

from .bench import Bench


def judged(actions: list[act.Action]) -> list[bytes]:
    """Blocks that the application is asked about."""
    return [item.block_hash for item in actions if isinstance(item, act.Judge)]


def votes(actions: list[act.Action]) -> list[tuple[VoteKind, int]]:
    """Own votes that are sent to all, with their views."""
    sent = [
        parse_vote(item.data)
        for item in actions
        if isinstance(item, act.Broadcast) and item.kind == act.MessageKind.VOTE
    ]
    return [(vote.kind, vote.view) for vote in sent]


def reports(actions: list[act.Action]) -> list[act.Report]:
    return [item for item in actions if isinstance(item, act.Report)]


def started_again(bench: Bench) -> Bench:
    """Another of seat 0 that nullified view 1, which two others did not complete yet."""
    vote = bench.state.view_at(1).own_votes[VoteKind.NULLIFY]
    other = Bench()
    other.start([encode_record(Record(RecordKind.NULLIFY, 0, 1, vote.data))])
    return other


def test_a_proposal_is_judged_once_and_then_notarized() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    assert judged(bench.propose(proposal)) == [proposal.block.hash]
    assert not bench.propose(proposal), "the same again says nothing"
    assert votes(bench.judge(proposal)) == [(VoteKind.NOTARIZE, 1)]
    assert not judged(bench.step(TimerFired()))


def test_a_verdict_that_comes_when_the_view_is_over_is_remembered_until_finality_passes_that() -> None:
    """It was for ever: the block is in no chain, so nothing ever dropped it."""
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    bench.judge(proposal)
    assert bench.state.judged == {proposal.block.hash}, "others may have notarized it"
    bench.finalize(bench.proposal(2))
    assert bench.state.chain.final.view == 2
    assert proposal.block.hash not in bench.state.judged


def test_a_verdict_that_comes_when_finality_has_passed_the_view_is_not_remembered() -> None:
    bench = Bench()
    passed, final = bench.proposal(1), bench.proposal(2)
    bench.propose(passed)
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    bench.propose(final)
    bench.receive_certificate(bench.notarization(final.block.header))
    bench.state.chain.add(final.block)
    bench.receive_certificate(bench.finalization(final.block.header))
    assert bench.state.chain.final == final.block.header
    bench.judge(passed)
    assert not bench.state.judged


def test_a_verdict_on_a_block_that_became_final_meanwhile_is_remembered_until_that_is_executed() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    header = proposal.block.header
    bench.state.chain.add(proposal.block)
    bench.receive_certificate(bench.finalization(header))
    assert bench.state.chain.final == header
    bench.judge(proposal)
    assert bench.state.judged == {header.hash}
    bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
    assert not bench.state.judged


def test_a_verdict_on_another_block_than_was_asked_about_is_none() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    assert not bench.step(BlockJudged(bytes(32), True))
    assert votes(bench.judge(proposal)) == [(VoteKind.NOTARIZE, 1)]
    assert not bench.judge(proposal), "nor is one that comes twice"


def test_the_newest_notarized_block_is_judged_before_a_child_comes() -> None:
    """Its leader was slow to this seat: the others' votes came first."""
    bench = Bench()
    proposal = bench.proposal(1)
    assert not judged(bench.receive_certificate(bench.notarization(proposal.block.header)))
    assert bench.view == 2
    assert judged(bench.propose(proposal)) == [proposal.block.hash]
    assert not judged(bench.step(TimerFired())), "one question at a time"
    bench.judge(proposal)
    assert not judged(bench.step(TimerFired())), "what is valid stays valid"


def test_what_is_notarized_later_is_judged_after_what_the_application_is_busy_with() -> None:
    bench = Bench()
    first, second = bench.proposal(1), bench.proposal(2)
    bench.propose(first)
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    assert not judged(bench.propose(second))
    assert judged(bench.judge(first)) == [second.block.hash]


def test_nobody_is_asked_about_a_block_whose_ancestor_is_missing() -> None:
    bench = Bench()
    parent = bench.proposal(1).block.header
    child = bench.proposal(2, parent)
    bench.receive_certificate(bench.notarization(child.block.header))
    assert not judged(bench.propose(child))


def test_ancestors_are_judged_first() -> None:
    bench = Bench()
    parent = bench.proposal(1)
    child = bench.proposal(2, parent.block.header)
    bench.receive_certificate(bench.notarization(parent.block.header))
    bench.receive_certificate(bench.notarization(child.block.header))
    bench.propose(child)
    assert judged(bench.propose(parent)) == [parent.block.hash]
    assert judged(bench.judge(parent)) == [child.block.hash]


def test_who_holds_no_seat_has_nothing_judged() -> None:
    bench = Bench(seat=4, spares=1)
    proposal = bench.proposal(1)
    bench.receive_certificate(bench.notarization(proposal.block.header))
    assert not judged(bench.propose(proposal))


def test_a_leader_has_its_own_block_judged_while_votes_are_on_their_way() -> None:
    bench = Bench(seat=1)
    (prepare,) = [item for item in bench.step(PoolChanged(True)) if isinstance(item, act.Prepare)]
    done = bench.step(BlockPrepared(prepare.request, (b"one",)))
    own = bench.state.current.own_proposal
    assert own is not None
    assert judged(done) == [own.block.hash]
    bench.judge(own)
    assert not judged(bench.step(TimerFired()))


def test_an_application_that_is_behind_is_asked_again_after_it_has_executed_more() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.receive_certificate(bench.notarization(proposal.block.header))
    bench.propose(proposal)
    assert not judged(bench.judge(proposal, is_behind=True))
    assert not judged(bench.step(TimerFired()))
    bench.state.is_judgement_deferred = False
    assert judged(bench.step(TimerFired())) == [proposal.block.hash]


def test_a_notarized_block_that_the_application_refuses_is_not_asked_about_over_and_over() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.receive_certificate(bench.notarization(proposal.block.header))
    bench.propose(proposal)
    done = bench.judge(proposal, reason="SPENT_TWICE")
    assert not judged(done)
    assert not [item for item in done if isinstance(item, act.Report)], "nobody proposes it now"


def test_a_proposal_that_the_application_refuses_is_reported_once_and_never_notarized() -> None:
    bench = Bench()
    proposal = bench.proposal(1, transactions=(b"one",))
    bench.propose(proposal)
    (report,) = reports(bench.judge(proposal, reason="SPENT_TWICE"))
    assert (report.kind, report.seat, report.view) == (act.ReportKind.INVALID_PROPOSAL, 1, 1)
    assert report.detail == f"{proposal.block.hash.hex()}: SPENT_TWICE"
    assert report.evidence, "others can be shown the transactions"
    for event in (TimerFired(), PoolChanged(True)):
        done = bench.step(event)
        assert not judged(done) and not votes(done) and not reports(done)


def test_a_child_of_a_block_that_the_application_refuses_gets_no_vote() -> None:
    bench = Bench()
    parent = bench.proposal(1, transactions=(b"one",))
    child = bench.proposal(2, parent.block.header, transactions=(b"two",))
    bench.receive_certificate(bench.notarization(parent.block.header))
    bench.propose(child)
    assert judged(bench.propose(parent)) == [parent.block.hash]
    done = bench.judge(parent, reason="SPENT_TWICE")
    (report,) = reports(done)
    assert (report.seat, report.view) == (2, 2)
    assert not report.evidence, "its own transactions were not looked at"
    assert not judged(done)
    assert not judged(bench.step(TimerFired()))


def test_a_refused_proposal_does_not_keep_the_next_leader_s_from_being_judged() -> None:
    bench = Bench()
    refused, next_one = bench.proposal(1, transactions=(b"one",)), bench.proposal(2)
    bench.propose(refused)
    bench.judge(refused, reason="SPENT_TWICE")
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    assert judged(bench.propose(next_one)) == [next_one.block.hash]


def test_a_proposal_that_breaks_a_rule_is_reported_once_with_the_rule() -> None:
    bench = Bench()
    done = bench.propose(bench.proposal(1, validator_set_hash=bytes(32)))
    (report,) = reports(done)
    assert (report.kind, report.seat, report.view) == (act.ReportKind.INVALID_PROPOSAL, 1, 1)
    assert report.detail == "validator set is not the epoch's"
    again = bench.step(TimerFired())
    assert not judged(done + again) and not reports(again)


@pytest.mark.parametrize(("ahead_ms", "is_refused"), [(3_000, False), (3_001, True), (-3_001, True)])
def test_a_block_time_far_from_this_clock_is_told_with_the_distance(ahead_ms: int, is_refused: bool) -> None:
    bench = Bench()
    bench.now_ms += 10_000
    proposal = bench.proposal(1, time_ms=bench.now_ms + ahead_ms)
    done = bench.propose(proposal)
    assert bool(judged(done)) == (not is_refused)
    if is_refused:
        (report,) = reports(done)
        assert (report.kind, report.seat, report.view) == (act.ReportKind.BLOCK_TIME_REFUSED, 1, 1)
        assert report.milliseconds == ahead_ms
        assert report.detail == f"block time is {abs(ahead_ms)} ms from this clock"
        assert not report.evidence, "which of the two clocks is wrong cannot be shown"
        again = bench.step(TimerFired())
        assert not judged(again) and not reports(again)


def test_a_block_time_at_the_border_is_taken_in_the_past_as_well() -> None:
    bench = Bench()
    bench.now_ms += 10_000
    assert judged(bench.propose(bench.proposal(1, time_ms=bench.now_ms - 3_000)))


def test_a_vote_is_recorded_with_the_block_it_is_for_before_it_is_sent() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    written, sent = [item for item in bench.judge(proposal) if isinstance(item, act.Persist | act.Broadcast)]
    assert isinstance(written, act.Persist) and isinstance(sent, act.Broadcast)
    record = decode_record(written.record)
    assert (record.kind, record.epoch, record.view) == (RecordKind.NOTARIZE, 0, 1)
    assert (record.message, record.block) == (sent.data, proposal.block.data)
    assert written.is_synced
    vote = parse_vote(sent.data)
    assert (vote.kind, vote.epoch, vote.view, vote.height) == (VoteKind.NOTARIZE, 0, 1, 1)
    assert (vote.block_hash, vote.seat, vote.protocol_version) == (proposal.block.hash, 0, 1)
    other = Bench().state
    assert is_signed(other, other.current, 0, voted(vote))


def test_a_leader_sends_its_proposal_after_both_are_recorded_and_before_its_vote() -> None:
    bench = Bench(seat=1)
    (prepare,) = [item for item in bench.step(PoolChanged(True)) if isinstance(item, act.Prepare)]
    done = bench.step(BlockPrepared(prepare.request, (b"one",)))
    written = [decode_record(item.record) for item in done if isinstance(item, act.Persist)]
    sent = [item.kind for item in done if isinstance(item, act.Broadcast)]
    assert [record.kind for record in written] == [RecordKind.PROPOSAL, RecordKind.NOTARIZE]
    assert not written[1].block, "the proposal's record has it"
    assert sent == [act.MessageKind.PROPOSAL, act.MessageKind.VOTE]
    own = bench.state.current.own_proposal
    assert own is not None
    done = bench.receive_certificate(bench.notarization(own.block.header))
    assert act.MessageKind.PROPOSAL not in [i.kind for i in done if isinstance(i, act.Broadcast)]
    assert votes(done) == [(VoteKind.FINALIZE, 1)]


@pytest.mark.parametrize(("seats", "others"), [(4, 2), (7, 3)])
def test_more_than_f_nullifies_pull_in_the_own_one_and_fewer_do_not(seats: int, others: int) -> None:
    bench = Bench(seats)
    for seat in range(1, others):
        assert not votes(bench.receive(bench.vote(VoteKind.NULLIFY, seat, 1)))
    done = bench.receive(bench.vote(VoteKind.NULLIFY, others, 1))
    assert votes(done) == [(VoteKind.NULLIFY, 1)]
    assert not votes(bench.receive(bench.vote(VoteKind.NULLIFY, others + 1, 1))), "one of a kind per view"


def test_the_first_vote_of_a_view_starts_its_timer_and_one_that_comes_when_it_is_due_fires_it() -> None:
    bench = Bench(7)

    def hear(seat: int) -> list[act.Action]:
        return bench.step(VoteReceived(bench.peers[seat], bench.vote(VoteKind.NOTARIZE, seat, 1).data))

    bench.now_ms += 10
    (timer,) = hear(1)
    assert isinstance(timer, act.SetTimer)
    assert timer.at_ms is not None
    bench.now_ms = timer.at_ms - 1
    assert not hear(2)
    bench.now_ms = timer.at_ms
    assert votes(hear(3)) == [(VoteKind.NULLIFY, 1)]


def test_who_holds_no_seat_follows_certificates_and_says_nothing() -> None:
    bench = Bench(seat=4, spares=1)
    done = bench.receive(*(bench.vote(VoteKind.NULLIFY, seat, 1) for seat in (1, 2, 3)))
    assert bench.view == 2
    done += bench.receive_certificate(bench.notarization(bench.proposal(2).block.header))
    assert bench.view == 3
    assert not votes(done)
    with pytest.raises(AssertionError, match=r"^callers ask first$"):
        nullify(bench.state)
    with pytest.raises(AssertionError, match=r"^who holds no seat does not vote$"):
        cast(bench.state, VoteKind.NULLIFY, 3, 0, b"")


def test_a_view_that_this_replica_nullified_is_not_finalized_by_it_though_it_is_notarized() -> None:
    bench = Bench()
    bench.receive(*(bench.vote(VoteKind.NULLIFY, seat, 1) for seat in (1, 2)))
    bench = started_again(bench)
    assert not votes(bench.receive_certificate(bench.notarization(bench.proposal(1).block.header)))
    assert bench.view == 2


def test_notarizations_of_views_that_were_jumped_over_are_finalized_when_they_open_the_next() -> None:
    bench = Bench()
    done = bench.receive_certificate(bench.notarization(bench.proposal(5).block.header))
    assert votes(done) == [(VoteKind.FINALIZE, 5)]
    assert bench.view == 6
    assert not votes(bench.receive_certificate(bench.notarization(bench.proposal(3).block.header)))
    assert bench.view == 6


VOTES_THAT_EXCLUDE = [
    (VoteKind.NULLIFY, VoteKind.NOTARIZE, "no notarize after the own nullify"),
    (VoteKind.FINALIZE, VoteKind.NULLIFY, "finalize xor nullify"),
    (VoteKind.NULLIFY, VoteKind.FINALIZE, "finalize xor nullify"),
    (VoteKind.NULLIFY, VoteKind.NULLIFY, "one vote of a kind per view"),
    (VoteKind.FINALIZE, VoteKind.FINALIZE, "one vote of a kind per view"),
]


@pytest.mark.parametrize(("said", "wanted", "rule"), VOTES_THAT_EXCLUDE)
def test_no_vote_is_cast_that_an_own_one_excludes(said: VoteKind, wanted: VoteKind, rule: str) -> None:
    """Whatever the rules above it decide: nothing is signed, written or sent."""
    state = Bench().state
    arguments = {VoteKind.NULLIFY: (0, b"")}
    cast(state, said, 9, *arguments.get(said, (1, bytes(32))))
    state.actions.clear()
    with pytest.raises(AssertionError, match=f"^{rule}$"):
        cast(state, wanted, 9, *arguments.get(wanted, (1, bytes(32))))
    assert not state.actions


def test_a_block_that_is_not_here_is_not_notarized() -> None:
    state = Bench().state
    with pytest.raises(AssertionError, match=r"^only a proposal that is here is notarized$"):
        cast(state, VoteKind.NOTARIZE, 9, 1, bytes(32))
    assert not state.actions


def test_a_replica_may_nullify_the_current_view_until_it_has_nullified_or_finalized_it() -> None:
    state = Bench().state
    assert can_nullify(state), "also when nothing is known of the view"
    state.view_at(state.view)
    assert can_nullify(state)
    cast(state, VoteKind.FINALIZE, state.view, 1, bytes(32))
    assert not can_nullify(state)
    other = Bench().state
    nullify(other)
    assert not can_nullify(other)
