"""Votes and certificates as one replica takes them in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import Peek, VoteKind, build_certificate
from icn_chain.equivocation import Equivocation
from icn_chain.evidence import parse
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import build_vote
from icn_consensus.domain.certificates import (
    accept,
    add_vote,
    forget_below_final,
    is_news,
    is_valid,
    remember_finalization,
)
from icn_consensus.domain.chain import RECENT_HEIGHTS
from icn_consensus.domain.events import CertificateReceived, VoteReceived
from icn_consensus.domain.evidence import is_signed, voted
from icn_consensus.domain.records import RecordKind, decode_record
from icn_consensus.domain.state import FINALIZATIONS_MAX
from icn_consensus.domain.view import said

from .bench import BLOCK_HASH, Bench, is_refused_as_dishonest, passed_on


def test_a_quorum_of_nullifies_opens_the_next_view_and_is_passed_on_once() -> None:
    bench = Bench()
    assert not passed_on(bench.receive(bench.vote(VoteKind.NULLIFY, 1, 1)))
    assert bench.view == 1
    done = bench.receive(
        bench.vote(VoteKind.NULLIFY, 2, 1)
    )  # f + 1 pull in the own one, which completes three
    assert bench.view == 2
    assert len(passed_on(done)) == 1
    assert not passed_on(bench.receive(bench.vote(VoteKind.NULLIFY, 3, 1)))
    assert not bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))


def test_a_certificate_is_passed_on_to_all_but_who_it_came_from() -> None:
    bench = Bench()
    done = bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]), seat=2)
    assert [item.except_peers for item in passed_on(done)] == [(bench.peers[2],)]
    assert bench.view == 2


def test_an_own_vote_is_on_disk_before_it_is_sent() -> None:
    bench = Bench()
    done = bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 1, [1, 2, 3]))
    kinds = [
        decode_record(item.record).kind if isinstance(item, act.Persist) else item.kind
        for item in done
        if isinstance(item, act.Persist | act.Broadcast)
    ]
    assert kinds == [
        RecordKind.CERTIFICATE,
        act.MessageKind.CERTIFICATE,
        RecordKind.FINALIZE,
        act.MessageKind.VOTE,
    ]
    synced = [item.is_synced for item in done if isinstance(item, act.Persist)]
    assert synced == [False, True]


@pytest.mark.parametrize("seats", [[1, 2], [1]])
def test_fewer_than_a_quorum_certify_nothing(seats: list[int]) -> None:
    bench = Bench()
    done = bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, seats))
    assert is_refused_as_dishonest(done)
    assert bench.view == 1


def test_known_signatures_do_not_make_a_certificate_with_another_height_valid() -> None:
    bench = Bench()
    bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 3, [1, 2, 3], height=1))
    bench.receive(*(bench.vote(VoteKind.FINALIZE, seat, 3, height=1) for seat in (1, 2)))
    forged = bench.certificate(VoteKind.FINALIZE, 3, [1, 2, 3], height=9, signed_height=1)
    assert not bench.receive_certificate(forged), "two votes and the own one made the true one"
    forged = bench.certificate(VoteKind.NOTARIZE, 4, [1, 2, 3], height=9, signed_height=1)
    assert is_refused_as_dishonest(bench.receive_certificate(forged))


def test_votes_for_other_heights_or_blocks_are_not_counted_together() -> None:
    bench = Bench()
    bench.receive(
        bench.vote(VoteKind.NOTARIZE, 1, 1, height=1),
        bench.vote(VoteKind.NOTARIZE, 2, 1, height=2),
        bench.vote(VoteKind.NOTARIZE, 3, 1, height=3),
    )
    assert bench.view == 1
    assert not bench.crypto.verified


def test_a_wrong_signature_is_dropped_and_the_seat_may_vote_again() -> None:
    bench = Bench(7)
    good = [bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in range(1, 6)]
    wrong = build_vote(
        VoteKind.NOTARIZE,
        protocol_version=1,
        epoch=0,
        view=1,
        height=1,
        block_hash=BLOCK_HASH,
        seat=1,
        signature=bytes(64),
    )
    assert not passed_on(bench.receive(wrong, *good[1:]))
    assert bench.view == 1
    assert passed_on(bench.receive(good[0]))
    assert bench.view == 2


def test_no_signature_is_verified_twice() -> None:
    bench = Bench()
    bench.receive(*(bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in (1, 2, 3)))
    assert (bench.view, bench.crypto.verified) == (2, 3)
    bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 1, [1, 2, 3]))
    bench.receive(*(bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in (1, 2, 3)))
    assert bench.crypto.verified == 3
    bench.receive(bench.vote(VoteKind.FINALIZE, 1, 1))
    assert bench.crypto.verified == 3, "nothing is verified before a quorum agrees"
    bench.receive_certificate(bench.certificate(VoteKind.FINALIZE, 1, [0, 1, 2]))
    assert bench.crypto.verified == 5, "all but the own"


@pytest.mark.parametrize(
    "change",
    [{"epoch": 1}, {"version": 2}, {"view": 1 + 17}, {"seat": 2}],
    ids=lambda change: next(iter(change)),
)
def test_votes_out_of_place_count_for_nothing_now(change: dict[str, int]) -> None:
    bench = Bench()
    seats = (1, 2, 3)
    for seat in seats:
        vote = bench.vote(
            VoteKind.NULLIFY,
            change.get("seat", seat),
            change.get("view", 1),
            epoch=change.get("epoch", 0),
            version=change.get("version", 1),
        )
        bench.replica.step(VoteReceived(bench.peers[seat], vote.data), bench.now_ms)
    assert bench.view == 1


def test_votes_for_a_later_view_within_the_window_move_the_replica_there() -> None:
    bench = Bench()
    bench.receive(*(bench.vote(VoteKind.NULLIFY, seat, 17) for seat in (1, 2, 3)))
    assert bench.view == 18


@pytest.mark.parametrize("data", [b"", b"\xff", bytes(300), b"\x08\x02"])
def test_garbage_moves_nothing(data: bytes) -> None:
    bench = Bench()
    assert is_refused_as_dishonest(bench.replica.step(VoteReceived(bench.peers[1], data), bench.now_ms))
    done = bench.replica.step(CertificateReceived(bench.peers[1], data), bench.now_ms)
    assert not done or is_refused_as_dishonest(done), "what would be no news is not looked at"


def test_a_vote_in_another_seats_name_counts_for_nobody_and_against_its_sender() -> None:
    bench = Bench()
    vote = bench.vote(VoteKind.NULLIFY, 2, 1)
    done = bench.replica.step(VoteReceived(bench.peers[1], vote.data), bench.now_ms)
    assert is_refused_as_dishonest(done)
    assert bench.view == 1


def test_a_seat_behind_is_helped_at_most_once_per_shortest_time_out() -> None:
    bench = Bench()
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 2, [1, 2, 3]))
    stale = bench.vote(VoteKind.NULLIFY, 3, 2)
    first = [item for item in bench.receive(stale) if isinstance(item, act.Send)]
    assert {item.peer for item in first} == {bench.peers[3]}
    assert any(item.kind == act.MessageKind.CERTIFICATE for item in first)
    assert not [item for item in bench.receive(stale) if isinstance(item, act.Send)]
    bench.now_ms += 250
    assert [item for item in bench.receive(stale) if isinstance(item, act.Send)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_finalization_of_a_later_epoch_stays_though_an_older_one_of_its_height_comes(
    order: tuple[int, int],
) -> None:
    """A block after an edge block has the height of the next epoch's first; nobody else may have it any more,
    and who waited for it for ever stood still (simulator, seed 11963)."""
    state = Bench().replica._state
    both = [
        Bench().certificate(VoteKind.FINALIZE, 9 + epoch, [0, 1, 2], height=8, epoch=epoch)
        for epoch in (0, 1)
    ]
    for epoch in order:
        remember_finalization(state, both[epoch])
    assert state.finalizations == {8: both[1]}
    assert state.highest_finalization == both[1]


def test_a_vote_s_signature_is_verified_once_and_a_wrong_one_each_time() -> None:
    bench = Bench()
    vote = bench.vote(VoteKind.NULLIFY, 1, 1)
    view = bench.state.view_at(1)
    assert is_signed(bench.state, view, 1, voted(vote)) and is_signed(bench.state, view, 1, voted(vote))
    assert bench.crypto.verified == 1
    forged = voted(replace(vote, signature=bytes(64)))
    assert not is_signed(bench.state, view, 1, forged) and not is_signed(bench.state, view, 1, forged)
    assert bench.crypto.verified == 3
    assert bench.state.view_at(1).verified == {said(vote)}


def test_only_the_vote_that_completes_a_quorum_forms_a_certificate() -> None:
    state, bench = Bench().state, Bench()
    formed = [add_vote(state, bench.vote(VoteKind.NOTARIZE, seat, 1)) for seat in (1, 1, 2, 3, 0)]
    assert formed == [False, False, False, True, False]


def test_a_wrong_signature_among_a_quorum_forms_nothing() -> None:
    state, bench = Bench().state, Bench()
    wrong = replace(bench.vote(VoteKind.NOTARIZE, 1, 1), signature=bytes(64))
    votes = [wrong, *(bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in (2, 3))]
    assert [add_vote(state, vote) for vote in votes] == [False, False, False]
    assert sorted(state.view_at(1).votes[VoteKind.NOTARIZE]) == [2, 3]


def test_what_formed_a_certificate_is_not_verified_again_in_another_one() -> None:
    bench = Bench()
    bench.receive(*(bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in (1, 2, 3)))
    assert bench.crypto.verified == 3
    assert is_valid(bench.state, bench.certificate(VoteKind.NOTARIZE, 1, [1, 2, 3]))
    assert bench.crypto.verified == 3
    assert is_valid(bench.state, bench.certificate(VoteKind.NOTARIZE, 1, [0, 1, 2]))
    assert bench.crypto.verified == 4


def test_a_seat_s_first_vote_of_a_kind_counts() -> None:
    bench = Bench()
    other_hash = bytes(32)
    bench.receive(bench.vote(VoteKind.NOTARIZE, 1, 1, block_hash=other_hash))
    bench.receive(*(bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in (1, 2, 3)))
    assert bench.view == 1
    assert bench.state.view_at(1).votes[VoteKind.NOTARIZE][1].block_hash == other_hash


CONTRARY = [
    [(VoteKind.NOTARIZE, b"\1" * 32), (VoteKind.NOTARIZE, b"\2" * 32)],
    [(VoteKind.FINALIZE, b"\1" * 32), (VoteKind.FINALIZE, b"\2" * 32)],
    [(VoteKind.NULLIFY, b""), (VoteKind.FINALIZE, b"\1" * 32)],
    [(VoteKind.FINALIZE, b"\1" * 32), (VoteKind.NULLIFY, b"")],
    [(VoteKind.NOTARIZE, b"\1" * 32), (VoteKind.NULLIFY, b""), (VoteKind.FINALIZE, b"\1" * 32)],
]


@pytest.mark.parametrize("kinds", CONTRARY)
def test_a_seat_that_contradicts_itself_is_told_of_once_with_both_votes(
    kinds: list[tuple[VoteKind, bytes]],
) -> None:
    bench = Bench()
    votes = [bench.vote(kind, 2, 5, block_hash=block_hash) for kind, block_hash in kinds]
    assert not bench.receive(*votes[:-1])
    (report,) = bench.receive(votes[-1])
    assert isinstance(report, act.Report)
    assert (report.kind, report.view, report.seat) == (act.ReportKind.EQUIVOCATION, 5, 2)
    evidence = parse(report.evidence)
    assert isinstance(evidence, Equivocation) and evidence.seat == 2
    assert {evidence.first.signature, evidence.second.signature} == {votes[-2].signature, votes[-1].signature}
    again = [bench.vote(kind, 2, 5, block_hash=b"\3" * 32) for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)]
    assert not bench.receive(*again)


@pytest.mark.parametrize("forged", [0, 1])
def test_a_forged_vote_accuses_nobody(forged: int) -> None:
    bench = Bench()
    votes = [bench.vote(VoteKind.NOTARIZE, 2, 5, block_hash=bytes([number]) * 32) for number in range(2)]
    votes[forged] = build_vote(
        VoteKind.NOTARIZE,
        protocol_version=1,
        epoch=0,
        view=5,
        height=1,
        block_hash=votes[forged].block_hash,
        seat=2,
        signature=bytes(64),
    )
    assert not bench.receive(*votes)


def test_a_notarize_and_a_nullify_of_one_view_do_not_contradict_each_other() -> None:
    bench = Bench()
    assert not bench.receive(bench.vote(VoteKind.NOTARIZE, 2, 5), bench.vote(VoteKind.NULLIFY, 2, 5))


def test_a_certificate_that_was_formed_here_goes_to_everybody() -> None:
    bench = Bench()
    done = bench.receive(*(bench.vote(VoteKind.NOTARIZE, seat, 1) for seat in (1, 2, 3)))
    assert [item.except_peers for item in passed_on(done)] == [()]


def test_a_certificate_holds_with_a_quorum_of_the_seats_of_its_epoch_and_version() -> None:
    bench = Bench(spares=1)
    assert is_valid(bench.state, bench.certificate(VoteKind.NULLIFY, 3, [0, 1, 3]))
    assert not is_valid(bench.state, bench.certificate(VoteKind.NULLIFY, 3, [0, 1]))
    assert not is_valid(bench.state, bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 4])), "no seat"
    assert not is_valid(bench.state, bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 3], version=2))
    later = bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 3], epoch=1)
    assert not is_valid(bench.state, later), "whose seats are not known yet"


def test_signatures_of_one_epoch_say_nothing_in_another() -> None:
    bench = Bench()
    bench.state.epoch = 1
    now = bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 3], epoch=1)
    assert is_valid(bench.state, now)
    before = build_certificate(
        VoteKind.NULLIFY,
        protocol_version=1,
        epoch=0,
        view=3,
        height=0,
        block_hash=b"",
        signatures=dict(now.signatures),
    )
    bench.state.view_at(3)
    assert not is_valid(bench.state, before)
    assert is_valid(bench.state, bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 3], epoch=0))


def test_what_a_certificate_may_still_tell() -> None:
    bench = Bench()
    state = bench.state
    hashes = {VoteKind.NOTARIZE: BLOCK_HASH, VoteKind.NULLIFY: b"", VoteKind.FINALIZE: BLOCK_HASH}

    def tells(epoch: int, view: int, kind: VoteKind) -> bool:
        return is_news(state, Peek(epoch, view, kind, hashes[kind]))

    assert not tells(0, 0, VoteKind.NOTARIZE), "genesis needs none"
    assert tells(0, 1, VoteKind.NULLIFY)
    assert not tells(1, 1, VoteKind.NULLIFY), "of a later epoch"
    bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]))
    assert not tells(0, 1, VoteKind.NULLIFY)
    assert tells(0, 1, VoteKind.NOTARIZE), "known of in another kind"
    proposal = bench.proposal(2)
    bench.finalize(proposal)
    kinds = list(VoteKind)
    assert not [kind for kind in kinds if tells(0, 2, kind)]
    state.chain.final_notarization = None
    assert [kind for kind in kinds if tells(0, 2, kind)] == [VoteKind.NOTARIZE], "a child carries it"
    assert not [kind for kind in kinds if tells(0, 1, kind)]


def test_a_missing_notarization_of_the_final_block_is_kept_and_recorded_if_it_is_that_block_s() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.finalize(proposal)
    bench.state.chain.final_notarization = None
    assert not bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 1, [1, 2, 3]))
    assert bench.state.chain.final_notarization is None
    notarization = bench.notarization(proposal.block.header)
    (written,) = bench.receive_certificate(notarization)
    assert isinstance(written, act.Persist)
    assert decode_record(written.record).message == notarization.data
    assert bench.state.chain.final_notarization == notarization


def test_of_many_finalizations_the_highest_are_kept() -> None:
    bench = Bench()
    for height in range(1, FINALIZATIONS_MAX + 2):
        certificate = bench.certificate(VoteKind.FINALIZE, 100 + height, [1, 2, 3], height=height)
        remember_finalization(bench.state, certificate)
    assert sorted(bench.state.finalizations) == list(range(2, FINALIZATIONS_MAX + 2))


def test_a_closed_epoch_s_finalization_above_its_edge_is_of_no_block_of_the_chain() -> None:
    bench = Bench()
    bench.state.epoch = 1
    above = bench.certificate(VoteKind.FINALIZE, 2, [1, 2, 3], height=1)
    edge = bench.certificate(VoteKind.FINALIZE, 1, [1, 2, 3], height=0)
    remember_finalization(bench.state, above)
    assert bench.state.highest_finalization == above
    assert not bench.state.finalizations
    remember_finalization(bench.state, edge)
    assert bench.state.highest_finalization == above
    assert bench.state.finalizations == {0: edge}


def test_what_finality_has_passed_is_forgotten_up_to_the_border() -> None:
    state, bench = Bench().state, Bench()
    finalization = bench.certificate(VoteKind.FINALIZE, 9, [1, 2, 3])
    state.finalizations = dict.fromkeys((0, 1), finalization)
    for view in (0, 1):
        state.view_at(view)
    state.executed = replace(state.executed, executed_height=RECENT_HEIGHTS + 5)
    state.executed_states = dict.fromkeys((4, 5, 6), state.executed)
    forget_below_final(state)
    assert list(state.finalizations) == [1], "the final block's executed_height is 0"
    assert list(state.executed_states) == [6]
    assert list(state.views) == [1]


def test_a_notarization_is_told_with_the_time_since_its_proposal_came() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    bench.now_ms += 70
    done = bench.receive_certificate(bench.notarization(proposal.block.header))
    (told,) = [item for item in done if isinstance(item, act.Notarized)]
    assert told == act.Notarized(proposal.block.hash, 1, 1, 70)


def test_a_notarization_of_another_block_than_was_proposed_here_tells_no_time() -> None:
    bench = Bench()
    bench.propose(bench.proposal(1))
    bench.now_ms += 5_000
    done = bench.receive_certificate(bench.certificate(VoteKind.NOTARIZE, 1, [1, 2, 3]))
    assert act.Notarized(BLOCK_HASH, 1, 1, None) in done
    assert bench.state.pacemaker.timeout_ms(1) == 250


def test_how_long_a_notarization_took_lengthens_the_time_outs() -> None:
    bench = Bench()
    proposal = bench.proposal(1)
    bench.propose(proposal)
    bench.now_ms += 5_000
    bench.receive_certificate(bench.notarization(proposal.block.header))
    assert 250 < bench.state.pacemaker.timeout_ms(1) < 1_000_000


def test_the_highest_certificate_opens_the_next_view_a_notarization_before_a_nullification() -> None:
    bench = Bench()
    state = bench.state
    state.view = 2
    null, notarization, low = (
        bench.certificate(kind, view, [1, 2, 3])
        for kind, view in ((VoteKind.NULLIFY, 3), (VoteKind.NOTARIZE, 3), (VoteKind.NOTARIZE, 1))
    )
    accept(state, low)
    assert state.opening is None, "that view has passed"
    accept(state, null)
    assert state.opening == null
    accept(state, notarization)
    assert state.opening == notarization
    accept(state, null)
    assert state.opening == notarization
    current = bench.certificate(VoteKind.NOTARIZE, 2, [1, 2, 3])
    accept(state, current)
    assert state.opening == notarization, "a lower one opens a lower view"
    higher = bench.certificate(VoteKind.NULLIFY, 4, [1, 2, 3])
    accept(state, higher)
    assert state.opening == higher
