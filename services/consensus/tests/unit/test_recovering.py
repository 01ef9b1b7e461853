"""The logs of all are lost: what replicas make of a certificate, over the production ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.consensus.v1 import block_pb2
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import (
    BLOCK_ROOM_BYTES,
    RecoveryCertificate,
    RecoveryInvalid,
    parse_recovery,
    peek_recovery,
)
from icn_consensus.domain import actions as act
from icn_consensus.domain import recovering
from icn_consensus.domain.actions import MessageKind, ReportKind
from icn_consensus.domain.block import ExecutedState
from icn_consensus.domain.config import Recovered
from icn_consensus.domain.events import BlockExecuted, RecoveryReceived, TimerFired, VoteReceived
from icn_consensus.domain.records import Record, RecordKind, decode_record
from icn_consensus.domain.recovering import (
    OFFERS_MAX,
    RecoveryRefused,
    check,
    consider,
    offer,
    on_recovery,
    take_recorded,
)
from icn_consensus.domain.replay import restore
from icn_sim.ledger import LedgerApplication, founder, genesis_of
from icn_sim.mutations import MUTATIONS
from icn_sim.node import Node
from icn_sim.restoring import certificate_of
from icn_sim.traders import Traders
from icn_sim.world import Conditions, Network
from icn_sim.zone import renewed_key

from .bench import Bench

EPOCH_MS = 60_000


class Federation(Network):
    """Four validators over the ledger, whose logs are lost."""

    def __init__(self, epoch_ms: int = EPOCH_MS) -> None:
        genesis = genesis_of(4, epoch_ms, 2_000, 5)
        super().__init__(
            4,
            1,
            Conditions(delay_ms=(1, 5)),
            epoch_ms=epoch_ms,
            heartbeat_ms=2_000,
            block_transactions_max=5,
            application_of=partial(LedgerApplication, genesis),
            clients=Traders(founder()),
        )
        self.choose = random.Random(1)
        self.start()

    def trade(self, count: int = 6) -> None:
        for _ in range(count):
            self.hand_in(self.choose)
            self.run_for(200)

    def lose(self, *lost: int) -> None:
        """Restore all, each so many heights below where it is, with keys that nobody has named."""
        for node in self.nodes:
            node.crash()
        for node, heights in zip(self.nodes, lost, strict=True):
            public_key = renewed_key(node.seat, 0).public_key
            self.restore(node, len(node.disk.blocks) - heights, public_key)
        for node in self.nodes:
            node.start()

    def certificate(self, node: Node) -> RecoveryCertificate:
        """Of all organizations, to go on after the newest block of a node."""
        return certificate_of(self, node, node.disk.blocks[-1].block.header, 0)

    def agree(self, node: Node, certificate: RecoveryCertificate) -> None:
        header = node.disk.blocks[-1].block.header
        transactions = node.application.transactions
        self.go_back(header, transactions, certificate.epoch, certificate.validators.data)

    def epochs(self) -> list[int]:
        return [node.replica.status().epoch for node in self.nodes]


@pytest.fixture
def network() -> Federation:
    federation = Federation()
    federation.trade()
    return federation


def hand_in(node: Node, certificate: RecoveryCertificate) -> None:
    node.handle(RecoveryReceived(node.public_key, certificate.data))


def test_the_chain_goes_on_at_the_same_root(network: Federation) -> None:
    network.lose(1, 1, 1, 1)
    network.run_for(5_000)
    assert {node.replica.status().seat for node in network.nodes} == {-1}, "all follow, nobody votes"
    first = network.nodes[0]
    height, root = len(first.disk.blocks), first.application.state().state_root
    certificate = network.certificate(first)
    assert certificate.state_root == root
    network.agree(first, certificate)
    hand_in(first, certificate)
    network.run_for(500)
    assert network.epochs() == [certificate.epoch] * 4, "one validator told all others"
    block = first.disk.blocks[height].block
    assert (block.recovery, block.parent_certificate, block.finalization) == (certificate.data, b"", b"")
    header = block.header
    assert (header.executed_height, header.state_root, header.epoch) == (height, root, certificate.epoch)
    assert header.validator_set_hash == header.next_validator_set_hash == certificate.validators.hash
    network.trade()
    assert min(network.heights()) > height + 2


def test_what_begins_an_epoch_is_on_disk_before_others_are_told(network: Federation) -> None:
    network.lose(1, 1, 1, 1)
    first, second = network.nodes[:2]
    certificate = network.certificate(first)
    network.agree(first, certificate)
    done = first.replica.step(RecoveryReceived(second.public_key, certificate.data), network.now_ms)
    written, told, *_ = [
        item
        for item in done
        if isinstance(item, act.Persist)
        or (isinstance(item, act.Broadcast) and item.kind == MessageKind.RECOVERY)
    ]
    assert isinstance(written, act.Persist) and isinstance(told, act.Broadcast)
    assert written.is_synced is True
    assert decode_record(written.record).message == told.data == certificate.data
    assert told.except_peers == (second.public_key,)
    status = first.replica.status()
    (report,) = [item for item in done if isinstance(item, act.Report)]
    assert (report.kind, report.view, report.seat) == (ReportKind.RECOVERED, status.view, status.seat)
    assert report.detail == f"epoch {certificate.epoch} begins after height {certificate.height}"


def test_who_is_behind_fetches_first_and_who_is_ahead_takes_no_part(network: Federation) -> None:
    network.lose(0, 2, 3, 3)
    ahead, chosen = network.nodes[0], network.nodes[1]
    certificate = network.certificate(chosen)
    with pytest.raises(RecoveryRefused) as refused:
        ahead.replica.check_recovery(certificate)
    assert refused.value.reason == "RECOVERY_OTHER_CHAIN"
    assert refused.value.figures == {
        "height": certificate.height,
        "final_height": len(ahead.disk.blocks),
    }
    network.faulty.add(ahead.seat)  # its chain is another one from now on
    network.agree(chosen, certificate)
    hand_in(chosen, certificate)
    network.run_for(3_000)
    assert [epoch == certificate.epoch for epoch in network.epochs()] == [False, True, True, True]
    assert ReportKind.RECOVERY_REFUSED in {report.kind for report in ahead.reports}
    network.trade()
    assert min(network.heights()) > certificate.height + 2


def test_the_epoch_holds_across_restarts_before_its_first_block(network: Federation) -> None:
    network.lose(0, 0, 0, 0)
    first = network.nodes[0]
    certificate = network.certificate(first)
    network.agree(first, certificate)
    network.partition([0], [1], [2], [3])
    for node in network.nodes:
        hand_in(node, certificate)
    network.run_for(1_000)
    for node in network.nodes:
        node.crash()
        node.start()
        assert node.replica.status().epoch == certificate.epoch
        records = [decode_record(payload) for payload in node.disk.payloads()]
        assert [record.kind for record in records].count(RecordKind.RECOVERY) == 1
    network.heal()
    network.trade()
    assert min(network.heights()) > certificate.height + 2


def test_a_node_that_lost_everything_walks_across_the_recovery(network: Federation) -> None:
    network.lose(0, 0, 0, 0)
    network.nodes[3].crash()
    first = network.nodes[0]
    certificate = network.certificate(first)
    network.agree(first, certificate)
    for node in network.nodes[:3]:
        hand_in(node, certificate)
    network.trade(3)
    late = network.nodes[3]
    network.restore(late, 0, late.public_key)
    late.start()
    network.trade(3)
    network.run_for(3_000)
    assert late.replica.status().epoch == certificate.epoch
    assert len(late.disk.blocks) >= len(first.disk.blocks) - 1 > certificate.height


def test_a_first_block_whose_time_is_past_the_epoch_names_the_new_seats() -> None:
    """The state that an edge block names knows only the old keys."""
    network = Federation(epoch_ms=1_000)
    network.trade()
    network.lose(0, 0, 0, 0)
    first = max(network.nodes, key=lambda node: len(node.disk.blocks))
    certificate = network.certificate(first)
    network.agree(first, certificate)
    network.run_for(5_000)
    hand_in(first, certificate)
    network.run_for(10_000)
    network.trade()
    header = first.disk.blocks[certificate.height].block.header
    assert network.config(0).closes_epoch(header), "the edge is the first block of the epoch"
    assert header.next_validator_set_hash == certificate.validators.hash
    assert min(network.epochs()) > certificate.epoch
    assert {node.replica.status().seat for node in network.nodes} == {0, 1, 2, 3}


def test_nothing_of_the_epoch_before_counts(network: Federation) -> None:
    voter = network.nodes[1]
    sent: list[bytes] = []
    old_key, transmit = voter.public_key, voter.transmit

    def overhear(other: Node, kind: MessageKind, data: bytes) -> None:
        if kind == MessageKind.VOTE:
            sent.append(data)
        transmit(other, kind, data)

    voter.transmit = overhear  # type: ignore[method-assign]
    network.trade(1)
    network.lose(1, 1, 1, 1)
    first = network.nodes[0]
    certificate = network.certificate(first)
    network.agree(first, certificate)
    hand_in(first, certificate)
    network.run_for(1_000)
    height = len(first.disk.blocks)
    for data in sent:
        first.handle(VoteReceived(old_key, data))
    assert sent and len(first.disk.blocks) == height


@pytest.mark.parametrize("forged", ["organizations", "root"])
def test_a_certificate_that_does_not_hold_begins_nothing_and_its_sender_is_blamed(
    network: Federation, forged: str
) -> None:
    network.lose(0, 0, 0, 0)
    first, liar = network.nodes[0], network.nodes[1]
    network.faulty.add(liar.seat)
    header = first.disk.blocks[-1].block.header
    if forged == "organizations":
        certificate = certificate_of(network, first, header, 0, signers=2)
    else:
        certificate = certificate_of(network, first, header, 0, state_root=bytes(32))
    before = first.replica.status().epoch
    first.handle(RecoveryReceived(liar.public_key, certificate.data))
    assert first.replica.status().epoch == before
    kinds = {report.kind for report in first.reports if report.peer in (b"", liar.public_key)}
    expected = ReportKind.DISHONEST_MESSAGE if forged == "organizations" else ReportKind.RECOVERY_REFUSED
    assert expected in kinds
    first.handle(RecoveryReceived(liar.public_key, b"no certificate"))
    assert ReportKind.DISHONEST_MESSAGE in {report.kind for report in first.reports}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), mutate=st.sampled_from(MUTATIONS))
def test_a_changed_certificate_begins_no_epoch_of_other_terms(
    seed: int, mutate: Callable[[random.Random, bytes], bytes]
) -> None:
    """One signed by exactly as many organizations as must."""
    node, certificate = stopped()
    data = mutate(random.Random(seed), certificate.data)
    state = node.replica._state
    before = state.epoch
    node.replica.step(RecoveryReceived(b"p" * 32, data), node.now_ms())
    try:
        changed = parse_recovery(data)
    except MalformedMessage:
        assert state.epoch == before
        return
    assert state.epoch == before or changed.body == certificate.body


def stopped() -> tuple[Node, RecoveryCertificate]:
    """A node that follows, and what would begin an epoch there."""
    network = Federation()
    network.trade(2)
    network.lose(0, 0, 0, 0)
    node = network.nodes[0]
    return node, certificate_of(network, node, node.disk.blocks[-1].block.header, 0, signers=3)


def test_certificates_that_wait_are_bounded(network: Federation) -> None:
    network.lose(0, 0, 0, 0)
    certificate = network.certificate(network.nodes[1])
    node = network.nodes[0]
    state = restore(
        network.config(0), node.crypto, Recovered(network.genesis, b"", genesis_state(network), ()), 0
    )
    for number in range(3 * OFFERS_MAX):
        on_recovery(state, bytes([number]) * 32, certificate.data)
    assert len(state.recoveries.offers) == OFFERS_MAX
    assert not consider(state), "the blocks up to the one it names are missing"


def genesis_state(network: Federation) -> ExecutedState:
    return network.application_of(network.nodes[0]).state()


class TestOneReplica:
    """What it makes of certificates, before anybody's signatures are looked at."""

    def offered(self, bench: Bench, certificate: RecoveryCertificate, seat: int = 2) -> list[act.Action]:
        return bench.step(RecoveryReceived(bench.peers[seat], certificate.data))

    def final(self, *, is_executed: bool = True) -> Bench:
        """At height 1."""
        bench = Bench()
        bench.finalize(bench.proposal(1))
        if is_executed:
            bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        return bench

    def reports(self, actions: list[act.Action]) -> list[act.Report]:
        return [item for item in actions if isinstance(item, act.Report)]

    def test_what_cannot_be_read_counts_against_its_sender(self) -> None:
        bench = Bench()
        (report,) = self.reports(bench.step(RecoveryReceived(bench.peers[2], b"\xff")))
        assert (report.kind, report.view, report.seat) == (ReportKind.DISHONEST_MESSAGE, 1, 2)
        assert report.peer == bench.peers[2]
        assert report.detail.startswith("recovery certificate: ")

    def test_the_operator_is_told_and_not_blamed(self) -> None:
        bench = Bench(seat=3)
        (report,) = self.reports(bench.step(RecoveryReceived(bench.peers[3], b"\xff")))
        assert (report.kind, report.view, report.seat) == (ReportKind.RECOVERY_REFUSED, 1, 3)
        assert report.detail.startswith("recovery certificate: ")
        assert not report.peer

    def test_what_nobody_signed_counts_against_its_sender(self) -> None:
        bench = self.final()
        done = self.offered(bench, bench.recovery())
        (report,) = self.reports(done)
        assert (report.kind, report.seat) == (ReportKind.DISHONEST_MESSAGE, 2)
        assert not bench.state.recoveries.offers
        assert bench.state.epoch == 0

    def test_the_one_that_began_the_epoch_says_nothing_new(self) -> None:
        bench = self.final()
        certificate = bench.recovery()
        bench.state.recoveries.begun = certificate
        assert not self.reports(self.offered(bench, certificate))
        assert self.reports(self.offered(bench, bench.recovery(epoch=5)))

    def test_a_certificate_waits_for_the_blocks_up_to_the_one_it_names(self) -> None:
        bench = Bench()
        certificate = bench.recovery(height=3)
        done = self.offered(bench, certificate)
        (fetch,) = [item for item in done if isinstance(item, act.Fetch)]
        assert (fetch.peer, fetch.what) == (bench.peers[2], act.FetchFinalBlocks(1))
        assert bench.state.recoveries.offers == {bench.peers[2]: peek_recovery(certificate.data)}
        assert not self.reports(done)

    def test_a_certificate_waits_for_the_execution_of_the_block_that_it_names(self) -> None:
        bench = self.final(is_executed=False)
        assert not self.reports(self.offered(bench, bench.recovery()))
        assert bench.state.recoveries.offers
        done = bench.step(BlockExecuted(replace(bench.state.executed, executed_height=1)))
        assert self.reports(done)
        assert not bench.state.recoveries.offers

    def test_a_refusal_is_reported_once_and_blames_nobody(self) -> None:
        bench = self.final()
        done = self.offered(bench, bench.recovery(block_hash=bytes(32)))
        (report,) = self.reports(done)
        assert (report.kind, report.view, report.seat) == (ReportKind.RECOVERY_REFUSED, 2, 0)
        assert report.detail.startswith("it goes on after block ")
        assert report.peer == bench.peers[2], "of one too many it is told"
        assert not self.reports(bench.step(TimerFired()))

    @pytest.mark.parametrize(
        "changes", [{"epoch": 4}, {"block_hash": bytes(32)}, {"state_root": bytes(32)}, {"height": 9}]
    )
    def test_what_cannot_be_judged_or_is_of_no_use_is_not_read_in_full(
        self, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Reading one takes some 10 ms, whoever made it up."""
        bench = self.final()
        certificate = bench.recovery(**changes)
        if "epoch" in changes:
            bench.state.epoch = certificate.epoch

        def read(_data: bytes) -> RecoveryCertificate:
            raise AssertionError("read in full")

        monkeypatch.setattr(recovering, "parse_recovery", read)
        is_waiting = "height" in changes
        assert len(self.reports(self.offered(bench, certificate))) == (not is_waiting)
        assert len(bench.state.recoveries.offers) == is_waiting

    def test_one_that_cannot_be_read_in_full_counts_against_its_sender_when_it_is(
        self,
    ) -> None:
        bench = self.final()
        message = block_pb2.RecoveryCertificate(body=bench.recovery().body)
        message.endorsements.add(controller=b"none", state_proof="none")
        done = bench.step(RecoveryReceived(bench.peers[2], message.SerializeToString()))
        (report,) = self.reports(done)
        assert (report.kind, report.peer) == (ReportKind.DISHONEST_MESSAGE, bench.peers[2])
        assert not bench.state.recoveries.offers

    def test_one_that_waits_does_not_keep_others_from_being_judged(self) -> None:
        bench = self.final()
        self.offered(bench, bench.recovery(height=9), seat=1)
        assert self.reports(self.offered(bench, bench.recovery(block_hash=bytes(32)), seat=2))
        assert list(bench.state.recoveries.offers) == [bench.peers[1]]

    def test_the_newest_of_each_peer_waits_and_of_too_many_peers_the_first_goes(self) -> None:
        state = Bench().state
        early, late = (peek_recovery(Bench().recovery(height=height).data) for height in (8, 9))
        for number in range(OFFERS_MAX):
            offer(state, b"peer %d" % number, early)
        offer(state, b"peer 0", late)
        assert len(state.recoveries.offers) == OFFERS_MAX
        assert state.recoveries.offers[b"peer 0"] == late
        offer(state, b"another", early)
        assert len(state.recoveries.offers) == OFFERS_MAX
        assert b"peer 0" not in state.recoveries.offers

    @pytest.mark.parametrize(
        ("reason", "changes", "figures"),
        [
            ("RECOVERY_EPOCH_PASSED", {"epoch": 4}, {"epoch": 4, "epoch_now": 4}),
            ("RECOVERY_OTHER_CHAIN", {"block_hash": bytes(32)}, {"height": 1, "final_height": 1}),
            ("RECOVERY_OTHER_ROOT", {"state_root": bytes(32)}, {"height": 1}),
        ],
    )
    def test_a_refusal_has_a_reason_and_the_numbers(
        self, reason: str, changes: dict[str, Any], figures: dict[str, int]
    ) -> None:
        bench = self.final()
        if "epoch" in changes:
            bench.state.epoch = 4
        with pytest.raises(RecoveryRefused) as refused:
            check(bench.state, bench.recovery(**changes))
        assert (refused.value.reason, refused.value.figures) == (reason, figures)

    def test_a_certificate_that_no_block_holds_is_refused(self) -> None:
        bench = Bench()
        certificate = bench.recovery(height=9)
        room = len(certificate.data) + BLOCK_ROOM_BYTES
        bench.state.config = replace(bench.config, block_bytes_max=room)
        check(bench.state, certificate)
        bench.state.config = replace(bench.config, block_bytes_max=room - 1)
        with pytest.raises(RecoveryRefused) as refused:
            check(bench.state, certificate)
        size = len(certificate.data)
        assert refused.value.reason == "RECOVERY_TOO_LARGE"
        assert refused.value.figures == {"size_bytes": size, "size_bytes_max": size - 1}

    def test_another_root_is_no_reason_before_the_own_is_known(self) -> None:
        bench = self.final(is_executed=False)
        with pytest.raises(RecoveryInvalid):
            check(bench.state, bench.recovery(state_root=bytes(32)))

    def test_the_newest_of_the_recorded_ones_is_offered_at_a_start(self) -> None:
        bench = Bench()
        recorded = [bench.recovery(epoch=epoch, height=9) for epoch in (4, 6, 5)]
        bench.state.later_records = [
            Record(RecordKind.RECOVERY, item.epoch, 2, item.data) for item in recorded
        ]
        bench.state.later_records.append(Record(RecordKind.CERTIFICATE, 7, 2, b""))
        take_recorded(bench.state)
        assert bench.state.recoveries.offers == {bench.config.public_key: peek_recovery(recorded[1].data)}
        bench.state.recoveries.offers.clear()
        bench.state.later_records = []
        take_recorded(bench.state)
        assert not bench.state.recoveries.offers
