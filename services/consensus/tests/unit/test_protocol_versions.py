"""Another protocol version at an epoch's edge: who knows it goes on by it, who does not stops and says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_chain.certificate import VoteKind
from icn_chain.header import genesis_header
from icn_consensus.domain import actions as act
from icn_consensus.domain.actions import MessageKind
from icn_consensus.domain.events import BlocksFetched, PoolChanged, TimerFired, VoteReceived
from icn_sim.node import Node
from icn_sim.world import Conditions, Network
from icn_sim.zone import GENESIS_HASH

from .bench import Bench, is_refused_as_dishonest
from .test_simplex import submit_every

EPOCH_MS = 1_000
SENTENCE = "protocol version 2 is in force from height {} on; this release knows 1: upgrade icn"


def started(*old: int, seats: int = 4, conditions: Conditions | None = None) -> Network:
    """Nodes of which some are of an older release."""
    network = Network(seats, 1, conditions, epoch_ms=EPOCH_MS)
    for seat in old:
        network.nodes[seat].protocol_newest = 1
    network.start()
    submit_every(network, 20)
    network.hand_in_protocol(2)
    return network


def versions(node: Node) -> dict[int, set[int]]:
    """Of the headers that are final to a node, by epoch."""
    found: dict[int, set[int]] = {}
    for stored in node.disk.blocks:
        header = stored.block.header
        found.setdefault(header.epoch, set()).add(header.protocol_version)
    return found


def reach_version(network: Network, version: int, *nodes: int) -> bool:
    return network.run_for(
        6 * EPOCH_MS,
        until=lambda: all(
            network.nodes[number].replica.status().protocol_version == version for number in nodes
        ),
    )


def goes_on(network: Network, *nodes: int) -> bool:
    """Whether these get further."""
    height = max(len(network.nodes[number].disk.blocks) for number in nodes) + 5
    return network.run_for(
        5_000, until=lambda: all(len(network.nodes[number].disk.blocks) >= height for number in nodes)
    )


def upgrade(node: Node) -> None:
    node.crash()
    node.protocol_newest = 2
    node.start()


def test_the_version_changes_at_the_edge_and_within_no_epoch() -> None:
    network = started()
    assert network.nodes[0].replica.status().protocol_version == 1
    assert reach_version(network, 2, 0, 1, 2, 3) and goes_on(network, 0, 1, 2, 3)
    by_epoch = versions(network.nodes[0])
    assert all(len(found) == 1 for found in by_epoch.values())
    ascending = [found.pop() for _, found in sorted(by_epoch.items())]
    assert ascending == sorted(ascending) and set(ascending) == {1, 2}
    assert {node.replica.status().halted for node in network.nodes} == {""}


def test_until_the_edge_it_is_told_as_the_next_one() -> None:
    network = started()
    node = network.nodes[0]
    assert network.run_for(900, until=lambda: node.replica.status().protocol_next == 2)
    assert node.replica.status().protocol_version == 1


def test_who_does_not_know_it_stops_at_the_edge_with_a_sentence() -> None:
    network = started(3)
    assert reach_version(network, 2, 0, 1, 2, 3)
    old = network.nodes[3]
    assert network.run_for(
        2_000, until=lambda: old.application.state().executed_height == len(old.disk.blocks)
    )
    edge, status = old.disk.blocks[-1].block.header, old.replica.status()
    assert status.halted == SENTENCE.format(edge.height + 1)
    (report,) = [one for one in old.reports if one.kind == act.ReportKind.PROTOCOL_UNKNOWN]
    assert report.detail == status.halted
    sent = dict(old.sent)
    assert goes_on(network, 0, 1, 2), "three of four are a quorum"
    assert (old.disk.blocks[-1].block.header.hash, old.replica.status().final_height) == (
        edge.hash,
        edge.height,
    )
    assert [old.sent[kind] for kind in (MessageKind.VOTE, MessageKind.PROPOSAL)] == [
        sent[kind] for kind in (MessageKind.VOTE, MessageKind.PROPOSAL)
    ]
    assert old.replica.block(edge.hash) is None and old.replica.certificates_from(edge.view)


def test_upgraded_it_goes_on_from_its_data_to_the_same_state() -> None:
    network = started(3)
    assert reach_version(network, 2, 0, 1, 2, 3) and goes_on(network, 0, 1, 2)
    old, other = network.nodes[3], network.nodes[0]
    upgrade(old)
    assert goes_on(network, 0, 1, 2, 3)
    assert old.replica.status().halted == ""
    height = min(old.application.height, other.application.height)  # type: ignore[attr-defined]
    roots = [node.application.roots[height] for node in (old, other)]  # type: ignore[attr-defined]
    assert roots[0] == roots[1]


@pytest.mark.parametrize("restarts", [False, True])
def test_without_a_quorum_that_knows_it_the_chain_waits_for_the_upgrade(restarts: bool) -> None:
    network = started(2, 3)
    assert reach_version(network, 2, 0, 1, 2, 3)
    if restarts:
        for node in network.nodes:
            node.crash()
            node.start()
        halted = network.nodes[2].replica.status().halted
        assert halted == SENTENCE.format(network.nodes[2].replica.status().final_height + 1)
    assert not goes_on(network, 0, 1)
    upgrade(network.nodes[2])
    assert goes_on(network, 0, 1, 2)
    upgrade(network.nodes[3])
    assert goes_on(network, 0, 1, 2, 3)


def test_started_again_at_the_edge_it_says_the_same_and_does_nothing() -> None:
    network = started(3)
    assert reach_version(network, 2, 0, 1, 2, 3)
    old = network.nodes[3]
    said = old.replica.status().halted
    old.crash()
    old.reports.clear()
    old.start()
    assert old.replica.status().halted == said
    assert [one.detail for one in old.reports if one.kind == act.ReportKind.PROTOCOL_UNKNOWN] == [said]
    before = dict(old.sent)
    assert old.replica.step(PoolChanged(True), old.now_ms()) == []
    assert old.replica.step(TimerFired(), old.now_ms()) == []
    assert goes_on(network, 0, 1, 2)
    assert (old.sent[MessageKind.VOTE], old.sent[MessageKind.PROPOSAL]) == (
        before[MessageKind.VOTE],
        before[MessageKind.PROPOSAL],
    )


def test_who_was_away_walks_over_the_edge() -> None:
    network = started()
    network.partition([3], [0, 1, 2])
    assert reach_version(network, 2, 0, 1, 2) and goes_on(network, 0, 1, 2)
    network.heal()
    assert reach_version(network, 2, 3) and goes_on(network, 0, 1, 2, 3)


def test_crashes_around_the_edge_do_no_harm() -> None:
    network = started(conditions=Conditions(delay_ms=(1, 40), crash_permille=4))
    assert reach_version(network, 2, 0, 1, 2, 3)
    network.conditions = Conditions()
    for node in network.nodes:
        node.start_again()
    assert goes_on(network, 0, 1, 2, 3)
    assert all(len(found) == 1 for node in network.nodes for found in versions(node).values())


class TestByVersion2:
    """A replica in an epoch whose seats decide by version 2."""

    def bench(self) -> Bench:
        bench = Bench()
        validators = bench.config.validators.under(2)
        bench.config = replace(bench.config, protocol_version=2, validators=validators)
        bench.genesis = genesis_header(
            GENESIS_HASH,
            protocol_version=2,
            time_ms=bench.genesis.time_ms,
            state_root=bench.genesis.state_root,
            validator_set_hash=validators.hash,
        )
        bench.start()
        return bench

    def test_a_proposal_of_the_version_is_judged(self) -> None:
        bench = self.bench()
        done = bench.propose(bench.proposal(1, protocol_version=2))
        assert any(isinstance(item, act.Judge) for item in done)

    @pytest.mark.parametrize("version", [0, 1, 3])
    def test_a_proposal_of_another_counts_against_its_leader(self, version: int) -> None:
        bench = self.bench()
        done = bench.propose(bench.proposal(1, protocol_version=version))
        (report,) = done
        assert isinstance(report, act.Report)
        assert report.detail == f"a proposal of protocol version {version}, 2 is in force"
        assert is_refused_as_dishonest(done)

    def test_votes_and_own_proposals_are_of_the_version(self) -> None:
        bench = self.bench()
        proposal = bench.proposal(1, protocol_version=2)
        bench.propose(proposal)
        bench.judge(proposal)
        assert bench.state.current.own_votes[VoteKind.NOTARIZE].protocol_version == 2

    @pytest.mark.parametrize(("version", "counts"), [(1, False), (2, True), (3, False)])
    def test_votes_of_another_do_not_count(self, version: int, counts: bool) -> None:
        bench = self.bench()
        bench.receive(*[bench.vote(VoteKind.NULLIFY, seat, 1, version=version) for seat in (1, 2, 3)])
        assert (bench.view == 2) is counts

    def test_a_certificate_of_the_version_before_is_not_replayed(self) -> None:
        bench = self.bench()
        old = bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], version=1)
        assert is_refused_as_dishonest(bench.receive_certificate(old))
        assert bench.view == 1
        bench.receive_certificate(bench.certificate(VoteKind.NULLIFY, 1, [1, 2, 3], version=2))
        assert bench.view == 2

    def test_who_does_not_know_it_looks_at_nothing(self) -> None:
        bench = self.bench()
        bench.config = replace(bench.config, protocol_newest=1)
        bench.start()
        vote = bench.vote(VoteKind.NULLIFY, 1, 1, version=2)
        assert bench.step(VoteReceived(bench.peers[1], vote.data)) == []
        assert bench.propose(bench.proposal(1, protocol_version=2)) == []
        assert bench.step(BlocksFetched(7, bench.peers[1], (), b"", ())) == []
        assert not bench.state.views and bench.view == 1
