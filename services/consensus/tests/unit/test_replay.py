"""One replica that starts again from what was on its disk."""

from __future__ import annotations

import pytest
from icn_chain.certificate import VoteKind, build_certificate
from icn_chain.malformed import MalformedMessage
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import parse_vote
from icn_consensus.domain.config import Config, Recovered
from icn_consensus.domain.events import Event, PeerConnected, PoolChanged, ProposalReceived, TimerFired
from icn_consensus.domain.records import Record, RecordKind, encode_record
from icn_consensus.domain.replica import Replica
from icn_sim.node import Node
from icn_sim.signatures import SimulatedCrypto
from icn_sim.world import Network

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
