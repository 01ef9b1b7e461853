"""The logs of all are lost: what replicas make of a certificate, over the production ledger."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_chain.malformed import MalformedMessage
from icn_chain.recovery import RecoveryCertificate, parse_recovery
from icn_consensus.domain.actions import MessageKind, ReportKind
from icn_consensus.domain.block import ExecutedState
from icn_consensus.domain.config import Recovered
from icn_consensus.domain.events import RecoveryReceived, VoteReceived
from icn_consensus.domain.records import RecordKind, decode_record
from icn_consensus.domain.recovering import OFFERS_MAX, RecoveryRefused, consider, on_recovery
from icn_consensus.domain.replay import restore
from icn_sim.ledger import LedgerApplication, founder, genesis_of
from icn_sim.mutations import MUTATIONS
from icn_sim.node import Node
from icn_sim.restoring import certificate_of
from icn_sim.traders import Traders
from icn_sim.world import Conditions, Network
from icn_sim.zone import renewed_key

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
