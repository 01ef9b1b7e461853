"""A seat that contradicts itself is told of, wherever its two statements were heard; no honest one is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from icn_chain.certificate import Certificate, VoteKind
from icn_chain.evidence import parse
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import Proposal, build_vote
from icn_consensus.domain.events import CertificatesFetched, PoolChanged, TimerFired
from icn_consensus.domain.records import Record, RecordKind, encode_record
from icn_consensus.domain.state import FUTURE_VIEWS_MAX

from .bench import Bench, passed_on

OTHER = b"z" * 32
Say = Callable[[Bench], list[act.Action]]


def proven(bench: Bench, done: list[act.Action]) -> dict[int, set[str]]:
    """By accused seat, what it said. Each proof convinces who knows the seats."""
    found: dict[int, set[str]] = {}
    for report in done:
        if isinstance(report, act.Report) and report.evidence:
            proof = parse(report.evidence)
            proof.check(bench.network.grounds(proof.epoch))
            told = (report.kind, report.epoch, report.view, report.seat)
            assert told == (act.ReportKind.EQUIVOCATION, proof.epoch, proof.view, proof.seat)
            assert proof.seat not in found, "told twice"
            found[proof.seat] = set(proof.said)
    return found


def vote(kind: VoteKind, block_hash: bytes = b"", seat: int = 2) -> Say:
    """One of view 1."""
    return lambda bench: bench.receive(bench.vote(kind, seat, 1, block_hash=block_hash))


def certificate(kind: VoteKind) -> Say:
    """One of view 1 that seats 1, 2 and 3 signed, for the bench's block."""
    return lambda bench: bench.receive_certificate(bench.certificate(kind, 1, [1, 2, 3]))


def two_proposals(bench: Bench, view: int = 1) -> tuple[Proposal, Proposal]:
    return bench.proposal(view), bench.proposal(view, time_ms=bench.now_ms + 7)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (vote(VoteKind.NOTARIZE, OTHER), certificate(VoteKind.NOTARIZE)),
        (vote(VoteKind.FINALIZE, OTHER), certificate(VoteKind.FINALIZE)),
        (vote(VoteKind.NULLIFY), certificate(VoteKind.FINALIZE)),
        (vote(VoteKind.FINALIZE, OTHER), certificate(VoteKind.NULLIFY)),
    ],
)
def test_a_vote_against_a_signature_in_a_certificate_is_evidence(said: Say, shown: Say, order: int) -> None:
    bench = Bench()
    first, second = (said, shown)[::order]
    assert not proven(bench, first(bench))
    assert set(proven(bench, second(bench))) == {2}
    assert not proven(bench, second(bench))


def test_a_nullification_and_a_finalization_of_one_view_prove_who_signed_both() -> None:
    bench = Bench()
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 1, 2]))
    done = bench.receive_certificate(bench.certificate(VoteKind.FINALIZE, 1, [1, 2, 3]))
    assert proven(bench, done) == {seat: {"nullify", "finalize"} for seat in (1, 2)}


@pytest.mark.parametrize("is_fetched", [False, True])
def test_a_second_notarization_of_a_view_proves_who_signed_both_and_counts_for_nothing_else(
    is_fetched: bool,
) -> None:
    bench = Bench()
    first, second, third = (bench.proposal(1, time_ms=bench.now_ms + later) for later in range(3))
    held = bench.notarization(first.block.header, [0, 1, 2])
    bench.receive_certificate(held)

    def show(shown: Certificate) -> list[act.Action]:
        if not is_fetched:
            return bench.receive_certificate(shown)
        bench.state.need(act.FetchCertificates(9), [bench.peers[1]])
        (fetch,) = [item for item in bench.step(TimerFired()) if isinstance(item, act.Fetch)]
        return bench.step(CertificatesFetched(fetch.request, fetch.peer, (shown.data,)))

    done = show(bench.notarization(second.block.header, [1, 2, 3]))
    assert proven(bench, done) == {seat: {"notarize"} for seat in (1, 2)}
    assert not passed_on(done) and not any(isinstance(item, act.Persist) for item in done)
    assert bench.state.notarization(1) == held
    verified = bench.crypto.verified
    assert not proven(bench, show(bench.notarization(third.block.header, [1, 2, 3])))
    assert bench.crypto.verified == verified, "one is enough"


def test_a_notarization_that_a_proposal_carries_is_compared_too() -> None:
    bench = Bench()
    first, second = two_proposals(bench)
    bench.receive_certificate(bench.notarization(first.block.header, [0, 1, 2]))
    child = bench.proposal(2, second.block.header)
    assert proven(bench, bench.propose(child)) == {seat: {"notarize"} for seat in (1, 2)}


def test_a_second_certificate_that_no_quorum_signed_counts_against_its_sender() -> None:
    bench = Bench()
    bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 1, [0, 1, 2]))
    forged_one = bench.certificate(VoteKind.NOTARIZE, 1, [1, 2, 3])
    (report,) = bench.receive_certificate(bench.notarization(bench.proposal(1).block.header, [1, 2]))
    assert isinstance(report, act.Report) and report.kind == act.ReportKind.DISHONEST_MESSAGE
    assert not bench.receive_certificate(forged_one), "of the block that is held: not looked at"


@pytest.mark.parametrize("order", [1, -1])
def test_a_leader_s_proposal_against_its_notarize_of_another_block_is_evidence(order: int) -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    steps: tuple[Say, Say] = (lambda one: one.propose(proposal), vote(VoteKind.NOTARIZE, OTHER, seat=1))
    first, second = steps[::order]
    assert not proven(bench, first(bench))
    assert proven(bench, second(bench)) == {1: {"proposal", "notarize"}}


@pytest.mark.parametrize("order", [1, -1])
def test_it_is_where_the_notarize_stands_in_a_certificate_and_the_view_is_over(order: int) -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    steps: tuple[Say, Say] = (lambda one: one.propose(proposal), certificate(VoteKind.NOTARIZE))
    first, second = steps[::order]
    assert not proven(bench, first(bench))
    assert proven(bench, second(bench)) == {1: {"proposal", "notarize"}}


def test_two_proposals_are_evidence_though_the_second_comes_when_the_view_is_over() -> None:
    bench = Bench()
    first, second = two_proposals(bench)
    bench.propose(first)
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 2, 3]))
    assert bench.view == 2
    assert proven(bench, bench.propose(second)) == {1: {"proposal"}}


def test_two_proposals_are_evidence_though_both_come_when_the_view_is_over() -> None:
    bench = Bench()
    first, second = two_proposals(bench)
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 2, 3]))
    verified = bench.crypto.verified
    assert not bench.propose(first) and not bench.propose(first)
    assert bench.crypto.verified == verified, "nothing contradicts it"
    assert proven(bench, bench.propose(second)) == {1: {"proposal"}}


@pytest.mark.parametrize("ahead", [FUTURE_VIEWS_MAX, FUTURE_VIEWS_MAX + 1])
def test_two_early_proposals_are_evidence_as_far_ahead_as_votes_are_kept(ahead: int) -> None:
    bench = Bench()
    first, second = two_proposals(bench, bench.view + ahead)
    assert not bench.propose(first)
    done = bench.propose(second)
    assert proven(bench, done) == ({first.seat: {"proposal"}} if ahead == FUTURE_VIEWS_MAX else {})


def test_an_early_proposal_against_the_one_in_time_is_evidence() -> None:
    bench = Bench()
    early, timely = two_proposals(bench, 2)
    bench.propose(early)
    bench.propose(bench.proposal(6))  # takes the early one's place
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 1, 3]))
    assert bench.view == 2
    assert proven(bench, bench.propose(timely)) == {2: {"proposal"}}


def test_a_forged_late_proposal_accuses_nobody_and_hides_nothing() -> None:
    bench = Bench()
    first, second = two_proposals(bench)
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [0, 2, 3]))
    third = bench.proposal(1, time_ms=bench.now_ms + 2, signature=bytes(64))
    assert not bench.propose(third)
    assert not proven(bench, bench.propose(first))
    assert not proven(bench, bench.propose(third))
    assert set(proven(bench, bench.propose(second))) == {1}


def test_a_forged_vote_hides_none_of_the_two_that_were_signed() -> None:
    bench = Bench()
    forged_one, first, second = (
        bench.vote(VoteKind.NOTARIZE, 2, 5, block_hash=bytes([number]) * 32) for number in range(3)
    )
    unsigned = build_vote(
        VoteKind.NOTARIZE,
        protocol_version=1,
        epoch=0,
        view=5,
        height=1,
        block_hash=forged_one.block_hash,
        seat=2,
        signature=bytes(64),
    )
    assert not bench.receive(unsigned, first)
    assert proven(bench, bench.receive(second)) == {2: {"notarize"}}


def test_what_honest_seats_say_costs_no_signature_more() -> None:
    """Proposal, votes, certificates with other signers, and all of it once more when the view is over."""
    bench = Bench()
    proposal = bench.proposal(1)
    header = proposal.block.header
    bench.propose(proposal)
    bench.judge(proposal)
    votes = [bench.vote(VoteKind.NOTARIZE, seat, 1, height=1, block_hash=header.hash) for seat in (1, 2, 3)]
    done = bench.receive(*votes)
    assert bench.view == 2
    assert bench.crypto.verified == 1 + 2
    done += bench.receive_certificate(bench.notarization(header, [0, 1, 2]))
    done += bench.receive_certificate(bench.notarization(header, [1, 2, 3]))
    done += bench.propose(proposal) + bench.receive(*votes)
    assert bench.crypto.verified == 1 + 2
    assert not proven(bench, done)


def test_a_seat_that_notarized_may_nullify_and_finalize_what_others_notarized() -> None:
    """With more than f faulty seats two blocks of a view may be notarized: an honest one finalizes what the
    notarization names, whatever it notarized or proposed itself."""
    bench = Bench()
    proposal = bench.proposal(1)
    done = bench.propose(proposal)
    block_hash = proposal.block.hash
    for seat in (1, 2):
        done += bench.receive(bench.vote(VoteKind.NOTARIZE, seat, 1, block_hash=block_hash))
    done += bench.receive(bench.vote(VoteKind.NULLIFY, 1, 1))
    done += bench.receive(bench.vote(VoteKind.FINALIZE, 2, 1, block_hash=OTHER))
    assert not proven(bench, done)
    assert not proven(bench, bench.receive(bench.vote(VoteKind.NULLIFY, 3, 1)))


def test_a_leader_notarizes_nothing_but_by_proposing() -> None:
    """Also where somebody else has its key, and proposed while it was choosing transactions."""
    bench = Bench(seat=1)
    bench.step(PoolChanged(True))
    foreign = bench.proposal(1)
    bench.propose(foreign)
    bench.judge(foreign)
    assert not bench.state.current.own_votes


def test_a_leader_that_kept_its_proposal_and_not_its_notarize_votes_for_nothing_else() -> None:
    """The two share one write, of which a crash may leave the first record."""
    bench = Bench(seat=1)
    own = bench.lead(b"one")
    bench.start([encode_record(Record(RecordKind.PROPOSAL, 0, 1, own.data))])
    other = bench.proposal(1, transactions=(b"two",))
    bench.propose(other)
    bench.judge(other)
    done = bench.step(PoolChanged(True))
    assert not bench.state.current.own_votes
    assert bench.state.current.own_proposal == own
    assert not any(isinstance(item, act.Prepare) for item in done)
