"""What a replica asks others, and what becomes of their answers."""

from __future__ import annotations

from icn_chain.certificate import VoteKind
from icn_consensus.domain import actions as act
from icn_consensus.domain.events import CertificatesFetched, FetchFailed, TimerFired

from .bench import Bench, passed_on


def asked(actions: list[act.Action]) -> list[act.Fetch]:
    return [action for action in actions if isinstance(action, act.Fetch)]


def test_a_word_of_a_later_epoch_costs_one_question() -> None:
    bench = Bench()
    untrue = bench.certificate(VoteKind.NULLIFY, 9, [1], epoch=7)
    (question,) = asked(bench.receive_certificate(untrue))
    assert (question.peer, question.what) == (bench.peers[1], act.FetchFinalBlocks(1))
    assert not asked(bench.receive_certificate(untrue)), "said again"
    for _ in range(20):
        bench.now_ms += 100
        assert not asked(bench.step(TimerFired())), "not answered"
    assert not asked(bench.step(FetchFailed(question.request)))
    bench.now_ms += 60_000
    assert not asked(bench.step(TimerFired()))
    assert asked(bench.receive_certificate(untrue)), "it may have become true"


def test_who_finalized_is_asked_although_somebody_speaks_of_a_later_epoch() -> None:
    bench = Bench()
    (question,) = asked(bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 9, [3], epoch=7), 3))
    assert question.peer == bench.peers[3]
    bench.receive_certificate(bench.certificate(VoteKind.FINALIZE, 30, [1, 2, 3], height=20))
    bench.now_ms += 250
    (other,) = asked(bench.step(TimerFired()))
    assert (other.peer, other.what) == (bench.peers[1], act.FetchFinalBlocks(1))


def gap_asked_for(bench: Bench) -> act.Fetch:
    """Have the replica ask for the nullification of view 1, which it left by that of view 2."""
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3]))
    (question,) = asked(bench.propose(bench.proposal(3)))
    assert question.what == act.FetchCertificates(1)
    return question


def test_a_fetched_certificate_of_a_view_that_was_left_is_not_passed_on() -> None:
    bench = Bench()
    question = gap_asked_for(bench)
    missing = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3])
    actions = bench.step(CertificatesFetched(question.request, question.peer, (missing.data,)))
    assert not passed_on(actions), "others have it"
    assert any(isinstance(action, act.Judge) for action in actions), "the proposal can be judged"


def test_a_fetched_certificate_that_moves_to_another_view_is_passed_on() -> None:
    """Who withheld it from all but this replica would part the views of honest seats otherwise."""
    bench = Bench()
    question = gap_asked_for(bench)
    newer = bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 3])
    actions = bench.step(CertificatesFetched(question.request, question.peer, (newer.data,)))
    assert [item.data for item in passed_on(actions)] == [newer.data]
    assert bench.view == 4
