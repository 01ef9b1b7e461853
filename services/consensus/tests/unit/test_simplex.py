"""What a federation does when nothing, or one thing, goes wrong: hops, silence, lost leaders, epochs."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from icn_chain.certificate import VOTE_TAGS, VoteKind, build_certificate, parse_certificate, vote_body
from icn_consensus.domain.actions import MessageKind, ReportKind
from icn_consensus.domain.events import CertificateReceived
from icn_consensus.domain.finality import SafetyViolation
from icn_sim.application import NEVER_MS
from icn_sim.byzantine import MuteLeader
from icn_sim.node import Node
from icn_sim.world import Conditions, Network
from icn_sim.zone import GENESIS_TIME_MS

HOP_MS = 10


def submit_every(network: Network, interval_ms: int, transactions: int = 3) -> None:
    """Keep all pools filled."""
    count = 0

    def feed() -> None:
        nonlocal count
        for _ in range(transactions):
            count += 1
            network.submit(b"transaction %d" % count)
        network.schedule(interval_ms, feed)

    feed()


def reports(node: Node, kind: ReportKind) -> list[int]:
    """Views a node reported something of this kind about."""
    return [report.view for report in node.reports if report.kind == kind]


def started(seats: int = 4, seed: int = 1, conditions: Conditions | None = None, **options: int) -> Network:
    network = Network(seats, seed, conditions, **options)  # type: ignore[arg-type]
    network.start()
    network.run_for(100)
    return network


@pytest.mark.parametrize("seats", [4, 7])
def test_a_block_comes_every_two_hops_and_is_final_after_three(seats: int) -> None:
    network = started(seats)
    submit_every(network, HOP_MS)
    network.run_for(1_000)
    headers = network.headers()
    assert len(headers) >= 45
    for header, following in pairwise(headers):
        assert following.time_ms - header.time_ms == 2 * HOP_MS
        assert following.view == header.view + 1
    for node in network.nodes:
        for header in headers[:45]:
            assert node.times_final_ms[header.height] - header.time_ms == 3 * HOP_MS


def test_executed_height_trails_by_two_under_load() -> None:
    network = started()
    submit_every(network, HOP_MS)
    network.run_for(500)
    assert {header.height - header.executed_height for header in network.headers()[2:]} == {2}


def test_slow_execution_makes_executed_height_trail_farther_and_stops_nothing() -> None:
    network = started(conditions=Conditions(execute_ms=(50, 50)))
    submit_every(network, HOP_MS)
    network.run_for(1_000)
    headers = network.headers()
    assert max(header.height - header.executed_height for header in headers) > 2
    assert not any(reports(node, ReportKind.TIMED_OUT) for node in network.nodes)
    assert len(headers) >= 15


def test_an_idle_federation_sends_nothing_until_the_heartbeat() -> None:
    network = started(heartbeat_ms=30_000)
    before = network.messages
    network.run_for(29_899)
    assert network.messages == before
    network.run_for(1_000)
    assert network.heights() == [1, 1, 1, 1]
    one_view = network.messages - before
    network.run_for(28_000)
    assert network.messages - before == one_view
    network.run_for(30_000 - 28_000)
    assert network.heights() == [2, 2, 2, 2]


def test_a_change_on_an_idle_chain_costs_its_block_and_one_that_names_its_root() -> None:
    network = started()
    network.submit(b"one")
    network.run_for(5_000)
    first, second = network.headers()
    assert (first.executed_height, second.executed_height) == (0, 1)
    assert second.state_root == network.nodes[0].application.state_root() != first.state_root
    assert second.time_ms - first.time_ms == 3 * HOP_MS, "the leader waits for finality, not for a timer"


def test_what_expires_on_an_idle_chain_gets_its_block_at_once() -> None:
    network = started(heartbeat_ms=60_000)
    due_ms = network.now_ms + 20_000
    network.submit(b"expires at %d" % due_ms)
    network.run_for(19_000)
    assert network.heights() == [2] * 4
    quiet = network.messages
    network.run_for(900)
    assert network.messages == quiet
    network.run_for(1_000)
    headers = network.headers()
    assert len(headers) == 4, "the block that lets it expire, and the one that names the root after it"
    assert due_ms <= headers[2].time_ms <= due_ms + 5
    assert not network.nodes[0].application.expiries_ms
    assert headers[3].state_root == network.nodes[0].application.state_root()
    quiet = network.messages
    network.run_for(10_000)
    assert network.messages == quiet


def test_a_pool_whose_content_fits_no_block_makes_no_block() -> None:
    network = started()
    for node in network.nodes:
        node.pool.add(b"behind a gap", b"behind a gap", NEVER_MS, 0.0)
        node.application.transactions[b"behind a gap"] = 0  # the application never chooses it
        node.tell_pool()
    network.run_for(10_000)
    assert network.heights()[0] <= 2 * len(network.nodes), "each leader looks once"
    quiet = network.messages
    network.run_for(10_000)
    assert network.messages == quiet


def test_a_transaction_that_only_one_seat_has_is_included_though_the_others_are_idle() -> None:
    for seat in range(4):
        network = started()
        network.submit(b"mine", [seat])
        assert network.run_for(
            5_000,
            until=lambda network=network: all(b"mine" in n.application.transactions for n in network.nodes),
        )


def test_a_dead_leader_costs_time_outs_only_until_the_window_has_passed() -> None:
    network = started()
    submit_every(network, HOP_MS)
    network.run_for(1_000)
    dead = network.nodes[3]
    dead.crash()
    network.run_for(3_000)
    survivor = network.nodes[0]
    timed_out = reports(survivor, ReportKind.TIMED_OUT)
    skipped = reports(survivor, ReportKind.SILENT_LEADER)
    assert 1 <= len(timed_out) <= 3
    assert all(view % 4 == 3 for view in timed_out + skipped)
    assert len(skipped) > 10
    assert min(skipped) > max(timed_out)
    headers = [header for header in network.headers() if header.view > min(skipped)]
    gaps = [
        following.time_ms - header.time_ms
        for header, following in pairwise(headers)
        if following.view == header.view + 2
    ]
    assert gaps and set(gaps) == {3 * HOP_MS}, "two hops of the block before, one for the nullification"


def test_a_leader_that_returns_is_waited_for_again() -> None:
    network = started()
    submit_every(network, HOP_MS)
    network.run_for(500)
    network.nodes[2].crash()
    network.run_for(3_000)
    network.nodes[2].start()
    network.run_for(1_000)
    height = len(network.headers())
    network.run_for(1_000)
    leaders = [header.view % 4 for header in network.headers()[height:]]
    assert leaders.count(2) >= 10
    assert network.heights()[2] >= height


def test_a_leader_that_votes_but_does_not_propose_is_skipped_for_1_2_4_8_16_turns() -> None:
    network = Network(4, 1, node_classes={3: MuteLeader})
    network.start()
    submit_every(network, HOP_MS)
    network.run_for(12_000)
    observer = network.nodes[0]
    outcomes = [
        (report.view // 4, report.kind)
        for report in observer.reports
        if report.kind in (ReportKind.TIMED_OUT, ReportKind.SILENT_LEADER)
    ]
    timed_out = [turn for turn, kind in outcomes if kind == ReportKind.TIMED_OUT]
    assert timed_out[:8] == [0, 1, 3, 6, 11, 20, 37, 54]
    assert {turn for turn, _ in outcomes} == set(range(outcomes[-1][0] + 1))


def test_a_minority_makes_no_block_and_joins_again_after_the_heal() -> None:
    network = started(7)
    submit_every(network, 50)
    network.run_for(500)
    network.partition([0, 1, 2, 3, 4], [5, 6])
    network.run_for(500)
    height = network.heights()[5]
    network.run_for(4_000)
    assert network.heights()[5] == height
    assert network.heights()[0] > height + 40
    network.heal()
    network.run_for(2_000)
    assert network.heights()[5] > height + 60
    assert max(network.heights()) - min(network.heights()) <= 1


def test_without_a_quorum_nothing_becomes_final_until_it_is_back() -> None:
    network = started()
    submit_every(network, 50)
    network.run_for(500)
    network.partition([0, 1], [2, 3])
    network.run_for(300)
    heights = network.heights()
    network.run_for(20_000)
    assert network.heights() == heights
    network.heal()
    assert network.run_for(30_000, until=lambda: min(network.heights()) > max(heights) + 10)


def test_a_seat_that_missed_hundreds_of_blocks_fetches_them_by_pages() -> None:
    network = started()
    submit_every(network, HOP_MS)
    network.run_for(500)
    network.nodes[1].crash()
    assert network.run_for(20_000, until=lambda: network.heights()[0] > 300)
    behind = network.heights()[1]
    assert behind < 50
    fetched: list[int] = []
    serve = Node.serve

    def count(node: Node, fetch: object) -> object:
        answer = serve(node, fetch)  # type: ignore[arg-type]
        fetched.append(len(getattr(answer, "blocks", ())))
        return answer

    Node.serve = count  # type: ignore[assignment, method-assign]
    try:
        network.nodes[1].start()
        network.run_for(2_000)
    finally:
        Node.serve = serve  # type: ignore[method-assign]
    assert max(network.heights()) - network.heights()[1] <= 1
    assert not network.nodes[1].replica.status().is_catching_up
    assert 64 in fetched
    assert len(fetched) < 30


def test_all_seats_lose_power_at_once_and_go_on() -> None:
    network = started()
    submit_every(network, 50)
    for _ in range(5):
        network.run_for(777)
        heights = network.heights()
        for node in network.nodes:
            node.crash()
        network.run_for(100)
        network.start()
        assert network.run_for(10_000, until=lambda heights=heights: min(network.heights()) > max(heights))


def test_a_restarted_seat_does_not_repeat_or_contradict_its_proposal() -> None:
    # Checked by the simulation at every vote; here the leader dies right after its proposal is on disk and
    # sent.
    network = started()
    network.submit(b"one")
    leader = network.nodes[network.nodes[0].replica.status().view % 4]
    network.run_for(HOP_MS // 2)
    assert leader.sent[MessageKind.PROPOSAL] == 3
    leader.crash()
    leader.start()
    network.submit(b"two")
    network.run_for(2_000)
    assert network.heights() == [len(network.headers())] * 4
    assert leader.sent[MessageKind.PROPOSAL] % 3 == 0


@pytest.mark.parametrize("seats", [4, 7])
def test_epochs_end_with_an_edge_block_and_begin_with_its_finalization(seats: int) -> None:
    network = started(seats, epoch_ms=1_000)
    submit_every(network, HOP_MS)
    network.run_for(3_300)
    blocks = [item.block for item in network.nodes[0].disk.blocks]
    config = network.config(0)
    epochs = [block.header.epoch for block in blocks]
    assert epochs == sorted(epochs) and set(epochs) == set(range(max(epochs) + 1)) and max(epochs) >= 3
    for block, following in pairwise(blocks):
        header, after = block.header, following.header
        assert config.closes_epoch(header) == (after.epoch > header.epoch)
        assert after.view > header.view
        if after.epoch == header.epoch:
            continue
        assert after.epoch == config.epoch_of(header.time_ms)
        assert after.executed_height == header.height
        finalization = parse_certificate(following.finalization)
        assert (finalization.kind, finalization.epoch) == (VoteKind.FINALIZE, header.epoch)
        assert finalization.height >= header.height
        assert parse_certificate(following.parent_certificate).epoch == header.epoch
        assert after.time_ms - header.time_ms <= 4 * HOP_MS, "the edge costs a hop or two, not a time-out"
    assert not any(reports(node, ReportKind.TIMED_OUT) for node in network.nodes)


def test_an_idle_federation_skips_epochs_and_goes_on_in_the_right_one() -> None:
    network = started(epoch_ms=60_000, heartbeat_ms=600_000)
    network.run_for(1_300_000)
    network.submit(b"late")
    network.run_for(2_000)
    headers = network.headers()
    assert [header.epoch for header in headers[:3]] == [0, 10, 20]
    assert b"late" in network.nodes[0].application.transactions
    assert network.nodes[0].replica.status().epoch == (network.now_ms - GENESIS_TIME_MS) // 60_000


def test_an_edge_block_may_become_final_through_an_empty_block_after_it() -> None:
    for seed in (13, 14, 19, 20):  # runs that come to this
        handovers = 0
        network = started(4, seed, Conditions(delay_ms=(5, 60), loss_percent=12), epoch_ms=700)
        submit_every(network, 50)
        network.run_for(10_000)
        network.conditions = Conditions()
        assert network.run_for(20_000, until=lambda network=network: len(set(network.heights())) == 1)
        config = network.config(0)
        for item in network.nodes[0].disk.blocks:
            if config.closes_epoch(item.block.header):
                handovers += bool(item.descendant_headers)
        assert handovers > 0


def test_who_missed_an_edge_block_joins_after_all_restarted_who_know_it_is_final() -> None:
    # The block after the edge block that shows its finality is in no block store: only its header is.
    for seed in (4, 5, 23):  # runs that come to this
        network = started(4, seed, Conditions(delay_ms=(5, 60), loss_percent=12), epoch_ms=1_500)
        submit_every(network, 50)
        network.partition([0, 1, 2], [3])
        ahead, behind = network.nodes[:3], network.nodes[3]

        def stand_at_an_edge(ahead: list[Node] = ahead, network: Network = network) -> bool:
            newest = [node.disk.blocks[-1] for node in ahead if node.disk.blocks]
            closes = network.config(0).closes_epoch
            ends = [closes(item.block.header) and bool(item.descendant_headers) for item in newest]
            return ends == [True, True, True]

        assert network.run_for(8_000, until=stand_at_an_edge)
        epoch = ahead[0].replica.status().epoch
        for node in ahead:
            node.crash()
        network.conditions = Conditions()
        network.heal()
        ahead[1].start()
        ahead[2].start()
        assert network.run_for(
            30_000, until=lambda behind=behind, epoch=epoch: behind.replica.status().epoch > epoch
        )


def test_leaders_that_come_next_are_told_once_each_without_the_silent() -> None:
    network = started()
    view = network.nodes[0].replica.status().view
    keys = [node.public_key for node in network.nodes]
    assert network.nodes[0].replica.next_leaders(2) == (keys[view % 4], keys[(view + 1) % 4])
    submit_every(network, HOP_MS)
    network.nodes[3].crash()
    network.run_for(3_000)
    assert keys[3] not in network.nodes[0].replica.next_leaders(4)


_TRACE = """
from icn_sim.world import Conditions, Network
from icn_crypto.hashing import sha256
network = Network(4, 5, Conditions(delay_ms=(1, 30), loss_percent=3, crash_permille=2), epoch_ms=2_000)
network.start()
for number in range(20):
    network.submit(b"transaction %d" % number)
    network.run_for(300)
said = sorted((key, sorted(votes)) for key, votes in network.votes.items())
print(network.messages, network.heights(), sha256(repr(said).encode() + network.headers()[-1].hash).hex())
"""


def test_a_run_follows_from_its_seed_whatever_the_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _TRACE],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1


def test_slow_leaders_are_waited_for_once_their_pace_is_known() -> None:
    # Preparing takes longer than all the rest of a view, as on a machine that is busy executing.
    network = started(4, 1, Conditions(prepare_ms=(300, 300)))
    submit_every(network, 50)
    network.run_for(15_000)
    before = [len(reports(node, ReportKind.TIMED_OUT)) for node in network.nodes]
    heights = network.heights()
    network.run_for(10_000)
    assert [len(reports(node, ReportKind.TIMED_OUT)) for node in network.nodes] == before
    assert min(network.heights()) > max(heights) + 20


@pytest.mark.parametrize("below", [0, 1])
def test_a_finalization_of_another_block_at_a_final_height_stops_the_node(below: int) -> None:
    """More than f seats have lied; going on would only hide which chain is which."""
    network = started()
    for number in range(3):
        network.submit(b"transaction %d" % number)
        network.run_for(2_000)
    node = network.nodes[0]
    final = network.headers()[-1]
    view, height, other_hash = final.view + 2, final.height - below, b"f" * 32
    body = vote_body(1, 0, view, height, other_hash)
    conflicting = build_certificate(
        VoteKind.FINALIZE,
        protocol_version=1,
        epoch=0,
        view=view,
        height=height,
        block_hash=other_hash,
        signatures={
            other.seat: other.crypto.sign(VOTE_TAGS[VoteKind.FINALIZE], body) for other in network.nodes[1:]
        },
    )
    with pytest.raises(SafetyViolation, match=f"at height {height}, where"):
        node.replica.step(CertificateReceived(network.nodes[1].public_key, conflicting.data), node.now_ms())
