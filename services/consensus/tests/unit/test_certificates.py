"""Votes and certificates as one replica takes them in."""

from __future__ import annotations

import pytest
from icn_chain.certificate import VoteKind
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import build_vote
from icn_consensus.domain.certificates import remember_finalization
from icn_consensus.domain.events import CertificateReceived, VoteReceived
from icn_consensus.domain.records import RecordKind, decode_record

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
