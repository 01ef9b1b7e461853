"""One replica that starts again from what was on its disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import Certificate, VoteKind, build_certificate
from icn_chain.malformed import MalformedMessage
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import parse_vote
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.events import (
    BlockPrepared,
    Event,
    PeerConnected,
    PoolChanged,
    ProposalReceived,
    TimerFired,
)
from icn_consensus.domain.records import Record, RecordKind, encode_record
from icn_consensus.domain.replica import Replica
from icn_sim.node import Node
from icn_sim.signatures import SimulatedCrypto
from icn_sim.world import Network

from .bench import Bench

SEAT = 3


class Disk:
    """A replica of seat 3 whose synced records survive."""

    def __init__(self) -> None:
        self.network = Network(4, 0)
        self.config: Config = self.network.config(SEAT)
        self.records: list[bytes] = []
        self.now_ms = self.network.now_ms
        self.restart()

    def restart(self) -> list[act.Action]:
        node = self.network.nodes[SEAT]
        self.replica = Replica(self.config, SimulatedCrypto(self.config.public_key))
        recovered = Recovered(self.network.genesis, b"", node.application.state(), tuple(self.records))
        return self.keep(self.replica.start(recovered, self.now_ms))

    def step(self, event: Event) -> list[act.Action]:
        return self.keep(self.replica.step(event, self.now_ms))

    def keep(self, actions: list[act.Action]) -> list[act.Action]:
        self.records += [item.record for item in actions if isinstance(item, act.Persist)]
        return actions

    def time_out(self) -> list[act.Action]:
        done = self.step(PoolChanged(True))
        self.now_ms += 250
        return done + self.step(TimerFired())


def votes(actions: list[act.Action]) -> list[bytes]:
    return [
        item.data
        for item in actions
        if isinstance(item, act.Broadcast | act.Send) and item.kind == act.MessageKind.VOTE
    ]


def proposal_of_leader_1(disk: Disk) -> bytes:
    """What seat 1 would propose in view 1."""
    sent: list[bytes] = []

    class Leader(Node):
        def perform_one(self, action: act.Action) -> None:
            if isinstance(action, act.Broadcast) and action.kind == act.MessageKind.PROPOSAL:
                sent.append(action.data)
            super().perform_one(action)

    network = Network(4, 0, node_class=Leader)
    network.start([1])
    network.submit(b"one", [1])
    network.run_for(10)
    return sent[0]


def test_a_vote_is_said_again_after_a_restart_and_not_contradicted() -> None:
    disk = Disk()
    (nullify,) = votes(disk.time_out())
    assert parse_vote(nullify).kind == VoteKind.NULLIFY
    disk.restart()
    assert disk.replica.status().view == 1
    assert votes(disk.step(PeerConnected(disk.network.nodes[0].public_key, 0))) == [nullify]
    done = disk.step(ProposalReceived(disk.network.nodes[1].public_key, proposal_of_leader_1(disk)))
    assert not votes(done), "no notarize after the own nullify"
    assert not [item for item in done if isinstance(item, act.Judge)]


def test_without_the_record_it_would_have_voted_for_that_proposal() -> None:
    disk = Disk()
    done = disk.step(ProposalReceived(disk.network.nodes[1].public_key, proposal_of_leader_1(disk)))
    assert [item for item in done if isinstance(item, act.Judge)]


def test_a_certificate_on_disk_puts_the_replica_into_the_view_it_opened() -> None:
    disk = Disk()
    certificate = build_certificate(
        VoteKind.NULLIFY,
        protocol_version=1,
        epoch=0,
        view=6,
        height=0,
        block_hash=b"",
        signatures={seat: bytes(64) for seat in range(3)},
    )
    disk.records.append(encode_record(Record(RecordKind.CERTIFICATE, 0, 6, certificate.data)))
    disk.restart()
    assert disk.replica.status().view == 7
    sent = [
        item
        for item in disk.step(PeerConnected(disk.network.nodes[1].public_key, 0))
        if isinstance(item, act.Send)
    ]
    assert [item.data for item in sent] == [certificate.data]


def test_records_of_a_later_epoch_wait_until_it_is_entered() -> None:
    disk = Disk()
    certificate = build_certificate(
        VoteKind.NULLIFY,
        protocol_version=1,
        epoch=5,
        view=9,
        height=0,
        block_hash=b"",
        signatures={seat: bytes(64) for seat in range(3)},
    )
    disk.records.append(encode_record(Record(RecordKind.CERTIFICATE, 5, 9, certificate.data)))
    disk.restart()
    assert (disk.replica.status().epoch, disk.replica.status().view) == (0, 1)


@pytest.mark.parametrize(
    "record", [b"", b"\x00" * 30, encode_record(Record(RecordKind.NULLIFY, 0, 1, b"no vote"))]
)
def test_a_record_that_cannot_be_read_stops_the_start(record: bytes) -> None:
    disk = Disk()
    disk.records.append(record)
    with pytest.raises(MalformedMessage):
        disk.restart()


def written(actions: list[act.Action]) -> list[bytes]:
    return [item.record for item in actions if isinstance(item, act.Persist)]


def certificate_record(certificate: Certificate) -> bytes:
    record = Record(RecordKind.CERTIFICATE, certificate.epoch, certificate.view, certificate.data)
    return encode_record(record)


def test_a_leader_says_the_same_proposal_again_and_makes_no_other() -> None:
    bench = Bench(seat=1)
    (prepare,) = [item for item in bench.step(PoolChanged(True)) if isinstance(item, act.Prepare)]
    records = written(bench.step(BlockPrepared(prepare.request, (b"one",))))
    own = bench.state.current.own_proposal
    assert own is not None
    for kept in (records, records[:1]):
        bench.start(kept)
        assert bench.state.current.own_proposal == bench.state.current.proposal == own
        assert bench.replica.block(own.block.hash) == own.block.data
        done = bench.step(PoolChanged(True))
        assert not [item for item in done if isinstance(item, act.Prepare)]
        connected = bench.step(PeerConnected(bench.peers[2], 0))
        assert own.data in [item.data for item in connected if isinstance(item, act.Send)]


def test_a_block_that_was_notarized_is_here_again_and_becomes_final_if_the_log_says_so() -> None:
    bench = Bench()
    proposal = bench.proposal(1, transactions=(b"one",))
    bench.propose(proposal)
    records = written(bench.judge(proposal))
    assert not [item for item in bench.start(records) if isinstance(item, act.Committed)]
    assert bench.replica.block(proposal.block.hash) == proposal.block.data
    finalization = bench.finalization(proposal.block.header)
    done = bench.start([*records, certificate_record(finalization)])
    assert [item.block_hash for item in done if isinstance(item, act.Committed)] == [proposal.block.hash]
    assert bench.replica.status().final_height == 1
    assert bench.state.highest_finalization == finalization


@pytest.mark.parametrize(
    ("kind", "view"), [(VoteKind.NOTARIZE, 5), (VoteKind.NULLIFY, 5), (VoteKind.FINALIZE, 6)]
)
def test_a_replica_stands_where_it_was_when_it_voted(kind: VoteKind, view: int) -> None:
    bench = Bench()
    vote = bench.vote(kind, 0, 5)
    bench.start([encode_record(Record(RecordKind[kind.name], 0, 5, vote.data))])
    assert bench.view == view
    assert bench.state.view_at(5).own_votes == {kind: vote}
    assert bench.state.attendance._since == view, "who spoke before is not known"


def test_the_notarization_is_what_opened_a_view_that_a_nullification_opened_too() -> None:
    bench = Bench()
    null = bench.certificate(VoteKind.NULLIFY, 3, [1, 2, 3])
    notarization = bench.notarization(bench.proposal(3).block.header)
    bench.start([certificate_record(null), certificate_record(notarization)])
    assert (bench.view, bench.state.opened_by, bench.state.opening) == (4, notarization, None)
    bench.start([certificate_record(null)])
    assert bench.state.opened_by == null


def test_of_final_views_the_log_gives_back_the_newest_block_s_notarization_alone() -> None:
    bench = Bench()
    header = bench.proposal(2).block.header
    notarization = bench.notarization(header)
    finalization = bench.finalization(header)
    others = [
        bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3]),
        bench.certificate(VoteKind.NULLIFY, 2, [1, 2, 3]),
        bench.certificate(VoteKind.NOTARIZE, 2, [1, 2, 3]),
        finalization,
    ]
    vote = bench.vote(VoteKind.NULLIFY, 0, 2)
    records = [certificate_record(item) for item in others]
    records.append(encode_record(Record(RecordKind.NULLIFY, 0, 2, vote.data)))
    bench.start(records, header, finalization.data)
    assert bench.state.chain.final_notarization is None
    assert not bench.state.views
    assert bench.view == 3
    assert bench.state.highest_finalization == finalization
    bench.start([*records, certificate_record(notarization)], header)
    assert bench.state.chain.final_notarization == notarization


def test_an_edge_block_s_notarization_is_given_back_to_the_next_epoch() -> None:
    bench = Bench(epoch_ms=10_000)
    bench.now_ms += 10_000
    edge = bench.proposal(1).block.header
    notarization = bench.notarization(edge)
    elsewhere = [replace(edge, view=2), replace(edge, hash=bytes(32))]
    records = [certificate_record(bench.notarization(header)) for header in elsewhere]
    bench.start(records, edge)
    assert bench.replica.status().epoch == 1
    assert bench.state.chain.final_notarization is None
    bench.start([*records, certificate_record(notarization)], edge)
    assert bench.state.chain.final_notarization == notarization


def test_the_application_is_where_the_chain_ends_before_the_replica_starts() -> None:
    bench = Bench()
    behind = Recovered(bench.proposal(1).block.header, b"", bench.state.executed, ())
    with pytest.raises(AssertionError, match=r"^the driver lets the application execute the block store"):
        Replica(bench.config, bench.crypto).start(behind, bench.now_ms)
