"""A leader that proposes what it must not: nobody notarizes it, and the chain goes on with the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from icn_chain.block import Block
from icn_chain.certificate import VoteKind, build_certificate, parse_certificate
from icn_chain.evidence import parse
from icn_chain.header import NO_HASH, BlockHeader
from icn_chain.invalid_proposal import InvalidProposal, ProposalFault
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import Proposal, parse_proposal, parse_vote
from icn_consensus.domain.events import BlockJudged, Event, ProposalReceived
from icn_crypto.hashing import sha256
from icn_sim.byzantine import Skipper, remade
from icn_sim.node import Node
from icn_sim.world import Conditions, Network
from icn_sim.zone import GENESIS_HASH

FORGER = 2
REFUSALS = (
    act.ReportKind.INVALID_PROPOSAL,
    act.ReportKind.DISHONEST_MESSAGE,
    act.ReportKind.BLOCK_TIME_REFUSED,
)
OTHER_HASH = sha256(b"other")
Forgery = Callable[["Forger", Proposal], bytes | None]


class Forger(Node):
    """Sends a forged proposal in place of each of its own that it applies to, and votes for neither."""

    forgery: Forgery
    forged_views: set[int]

    def perform_one(self, action: act.Action) -> None:
        if isinstance(action, act.Broadcast | act.Send) and action.kind == act.MessageKind.PROPOSAL:
            proposal = parse_proposal(GENESIS_HASH, action.data, bytes_max=1 << 21, transactions_max=1_000)
            forged = type(self).forgery(self, proposal)
            if forged is not None:
                self.forged_views.add(proposal.block.header.view)
                for other in self.network.nodes:
                    if other is not self:
                        self.transmit(other, act.MessageKind.PROPOSAL, forged)
                return
        if not self._is_for_the_other(action):
            super().perform_one(action)

    def _is_for_the_other(self, action: act.Action) -> bool:
        if not isinstance(action, act.Broadcast | act.Send) or action.kind != act.MessageKind.VOTE:
            return False
        vote = parse_vote(action.data)
        return vote.kind == VoteKind.NOTARIZE and vote.view in self.forged_views

    def grandparent(self, block: Block) -> BlockHeader | None:
        """The parent's parent, as far as this node knows it."""
        for item in self.disk.blocks[-4:]:
            if item.block.hash == block.header.parent:
                return next(
                    (
                        old.block.header
                        for old in self.disk.blocks
                        if old.block.hash == item.block.header.parent
                    ),
                    None,
                )
        return None


def remake(node: Node, proposal: Proposal, **changes: Any) -> bytes:
    return remade(node, proposal, **changes).data


def header_change(**changes: Any) -> Forgery:
    return lambda node, proposal: remake(node, proposal, **changes)


def relative_change(field: str, difference: int) -> Forgery:
    return lambda node, proposal: remake(
        node, proposal, **{field: getattr(proposal.block.header, field) + difference}
    )


def wrong_signature_in(name: str) -> Forgery:
    """One signature of a certificate in the body is another seat's."""

    def forge(node: Forger, proposal: Proposal) -> bytes | None:
        data = getattr(proposal.block, name)
        if not data:
            return None
        certificate = parse_certificate(data)
        signatures = dict(certificate.signatures)
        first, second, *_ = signatures
        signatures[first] = signatures[second]
        forged = build_certificate(
            certificate.kind,
            protocol_version=1,
            epoch=certificate.epoch,
            view=certificate.view,
            height=certificate.height,
            block_hash=certificate.block_hash,
            signatures=signatures,
        )
        return remake(node, proposal, **{name: forged.data})

    return forge


def too_few_signatures(node: Forger, proposal: Proposal) -> bytes | None:
    if not proposal.block.parent_certificate:
        return None
    certificate = parse_certificate(proposal.block.parent_certificate)
    forged = build_certificate(
        certificate.kind,
        protocol_version=1,
        epoch=certificate.epoch,
        view=certificate.view,
        height=certificate.height,
        block_hash=certificate.block_hash,
        signatures=dict(certificate.signatures[:2]),
    )
    return remake(node, proposal, parent_certificate=forged.data)


def notarization_as_finalization(node: Forger, proposal: Proposal) -> bytes | None:
    if not proposal.block.finalization:
        return None
    return remake(node, proposal, finalization=proposal.block.parent_certificate)


def older_finalization(node: Forger, proposal: Proposal) -> bytes | None:
    """A real finalization, but one that the branch shows already."""
    if len(node.disk.blocks) < 5:
        return None
    old = node.disk.blocks[-5]
    certificate = parse_certificate(old.finalization)
    return remake(node, proposal, finalization=old.finalization, executed_height=certificate.height)


def without_finalization(node: Forger, proposal: Proposal) -> bytes | None:
    return remake(node, proposal, finalization=b"") if proposal.block.finalization else None


def not_latest_parent(node: Forger, proposal: Proposal) -> bytes | None:
    """Extends the final grandparent as if the view between had been nullified."""
    old = node.grandparent(proposal.block)
    if old is None:
        return None
    parent = next(item.block for item in node.disk.blocks if item.block.hash == proposal.block.header.parent)
    return remake(
        node,
        proposal,
        parent_view=old.view,
        parent_certificate=parent.parent_certificate,
        finalization=b"",
        height=old.height + 1,
        parent=old.hash,
        executed_height=old.executed_height,
        state_root=old.state_root,
        receipts_root=old.receipts_root,
        log_root=old.log_root,
    )


def body_not_of_header(node: Forger, proposal: Proposal) -> bytes | None:
    return remake(node, proposal, transactions=(b"another",), transactions_root=OTHER_HASH)


FORGERIES: dict[str, tuple[Forgery, str]] = {
    "another protocol version": (header_change(protocol_version=2), "protocol version 2"),
    "time far ahead": (relative_change("time_ms", 3_200), "from this clock"),
    "time far behind": (relative_change("time_ms", -3_200), "from this clock"),
    "time not after the parent's": (relative_change("time_ms", -500), "not later than the parent's"),
    "height skipped": (relative_change("height", 1), "not the parent's notarization"),
    "unknown parent": (header_change(parent=OTHER_HASH), "not the parent's notarization"),
    "parent view too low": (header_change(parent_view=0), "not the parent's notarization"),
    "no parent certificate": (header_change(parent_certificate=b""), "certificate in the body"),
    "garbage as parent certificate": (
        header_change(parent_certificate=b"\xff\xff"),
        "certificate in the body",
    ),
    "parent certificate with a wrong signature": (wrong_signature_in("parent_certificate"), "not a quorum's"),
    "parent certificate of two": (too_few_signatures, "parent certificate is not a quorum's"),
    "finalization with a wrong signature": (
        wrong_signature_in("finalization"),
        "finalization is not a quorum's",
    ),
    "notarization as finalization": (notarization_as_finalization, "finalization is not one of"),
    "finalization the branch shows already": (older_finalization, "not newer than the branch shows"),
    "executed_height without its finalization": (without_finalization, "executed_height without"),
    "executed_height is not the finalization's": (
        relative_change("executed_height", -1),
        "executed_height is not",
    ),
    "state root": (header_change(state_root=OTHER_HASH), "roots differ"),
    "receipts root": (header_change(receipts_root=OTHER_HASH), "roots differ"),
    "log root": (header_change(log_root=OTHER_HASH), "roots differ"),
    "another validator set": (
        header_change(validator_set_hash=OTHER_HASH),
        "validator set is not the epoch's",
    ),
    "next set before the edge": (header_change(next_validator_set_hash=OTHER_HASH), "named before the edge"),
    "body that the header does not name": (body_not_of_header, "not the one that the header names"),
}


SHOWN: dict[str, ProposalFault] = {
    "time not after the parent's": ProposalFault.PARENT,
    "height skipped": ProposalFault.PARENT,
    "unknown parent": ProposalFault.PARENT_CERTIFICATE,
    "parent view too low": ProposalFault.HEADER,
    "garbage as parent certificate": ProposalFault.PARENT_CERTIFICATE,
    "parent certificate with a wrong signature": ProposalFault.PARENT_CERTIFICATE,
    "parent certificate of two": ProposalFault.PARENT_CERTIFICATE,
    "finalization with a wrong signature": ProposalFault.FINALIZATION,
    "notarization as finalization": ProposalFault.FINALIZATION,
    "finalization the branch shows already": ProposalFault.PARENT,
    "executed_height without its finalization": ProposalFault.PARENT,
    "executed_height is not the finalization's": ProposalFault.PARENT,
    "another validator set": ProposalFault.PARENT,
    "next set before the edge": ProposalFault.HEADER,
}
"""What whoever has the evidence sees; nothing can be shown of the other forgeries."""


def run(forgery: Forgery, **options: int) -> Network:
    class ThisForger(Forger):
        pass

    ThisForger.forgery = forgery
    ThisForger.forged_views = set()
    network = Network(4, 7, Conditions(), node_classes={FORGER: ThisForger}, **options)  # type: ignore[arg-type]
    network.start()
    for number in range(40):
        network.submit(b"transaction %d" % number)
        network.run_for(50)
    network.run_for(2_000)
    return network


def refusals(network: Network) -> set[str]:
    return {
        report.detail
        for node in network.honest
        for report in node.reports
        if report.kind in REFUSALS and report.seat == FORGER
    }


def assert_nothing_forged_is_final(network: Network) -> None:
    forger = network.nodes[FORGER]
    assert isinstance(forger, Forger)
    assert forger.forged_views
    assert not forger.forged_views & {header.view for header in network.headers()}
    for node in network.honest:
        assert all(b"transaction %d" % number in node.application.transactions for number in range(40))


@pytest.mark.parametrize("name", FORGERIES)
def test_no_honest_seat_notarizes_a_proposal_with(name: str) -> None:
    forgery, reason = FORGERIES[name]
    network = run(forgery)
    assert_nothing_forged_is_final(network)
    assert any(reason in detail for detail in refusals(network)), refusals(network)
    found = shown(network)
    assert (SHOWN[name] in found) if name in SHOWN else not found


def shown(network: Network) -> set[ProposalFault]:
    """The faults that honest seats have evidence of, each of which holds."""
    found = set()
    for report in (report for node in network.honest for report in node.reports if report.evidence):
        proof = parse(report.evidence)
        assert isinstance(proof, InvalidProposal) and proof.seat == FORGER
        assert (proof.epoch, proof.view) == (report.epoch, report.view)
        proof.check(network.grounds(proof.epoch))
        found.add(proof.fault)
    return found


def test_a_proposal_out_of_turn_is_evidence() -> None:
    network = run(lambda _node, _proposal: None)
    said = [report for node in network.honest for report in node.reports if report.evidence]
    assert said == [], "all are honest"
    node, liar = network.nodes[0], network.nodes[FORGER]
    network.submit(b"one more")
    sent: list[bytes] = []

    def keep(other: Node, kind: act.MessageKind, data: bytes) -> None:
        if kind == act.MessageKind.PROPOSAL:
            sent.append(data)
        Node.transmit(liar, other, kind, data)

    liar.transmit = keep  # type: ignore[method-assign]
    assert network.run_for(2_000, until=lambda: bool(sent))
    proposal = parse_proposal(GENESIS_HASH, sent[0], bytes_max=1 << 21, transactions_max=1_000)
    while (view := node.replica.status().view) % 4 == FORGER:
        network.submit(b"and one more")
        network.run_for(100)
    late = remake(liar, proposal, view=view, parent_view=view - 1)
    node.handle(ProposalReceived(liar.public_key, late))
    assert shown(network) == {ProposalFault.HEADER}
    node.handle(ProposalReceived(liar.public_key, remake(liar, proposal, view=view, parent_view=view - 2)))
    assert len([report for report in node.reports if report.evidence]) == 1, "once per view"


def test_a_proposal_with_a_wrong_signature_is_as_if_it_had_not_come() -> None:
    network = run(header_change(signature=bytes(64)))
    assert_nothing_forged_is_final(network)
    assert refusals(network) == {"a proposal that its leader did not sign"}


def test_a_proposal_that_skips_a_view_not_nullified_gets_no_vote() -> None:
    network = run(not_latest_parent)
    assert_nothing_forged_is_final(network)


def test_a_proposal_of_a_later_epoch_gets_no_vote() -> None:
    assert_nothing_forged_is_final(run(relative_change("epoch", 1)))


def test_the_first_block_of_an_epoch_without_the_edges_finalization_gets_no_vote() -> None:
    def forge(node: Forger, proposal: Proposal) -> bytes | None:
        block = proposal.block
        certificate = parse_certificate(block.parent_certificate) if block.parent_certificate else None
        if certificate is None or certificate.epoch == block.header.epoch:
            return None
        return remake(node, proposal, finalization=b"")

    network = run(forge, epoch_ms=150)
    assert_nothing_forged_is_final(network)
    assert any("does not carry the edge's finalization" in detail for detail in refusals(network))


def test_an_edge_block_that_names_another_set_than_the_state_gets_no_vote() -> None:
    def forge(node: Forger, proposal: Proposal) -> bytes | None:
        if not node.network.config(0).closes_epoch(proposal.block.header):
            return None
        return remake(node, proposal, next_validator_set_hash=OTHER_HASH)

    network = run(forge, epoch_ms=130)
    assert_nothing_forged_is_final(network)
    assert any("next validator set" in detail for detail in refusals(network))


def test_a_proposal_that_the_application_refuses_gets_no_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Node.judge

    def refuse(node: Node, action: act.Judge) -> Event:
        if b"forged" in action.transactions:
            return BlockJudged(action.block_hash, is_valid=False, reason="SIGNATURE_INVALID")
        return judge(node, action)

    monkeypatch.setattr(Node, "judge", refuse)
    network = run(lambda node, proposal: remake(node, proposal, transactions=(b"forged",)))
    assert_nothing_forged_is_final(network)
    assert any("SIGNATURE_INVALID" in detail for detail in refusals(network))
    assert shown(network) == {ProposalFault.TRANSACTION}, "the bytes are no transaction"


def test_a_seat_that_is_behind_waits_without_a_vote_and_votes_once_it_has_executed() -> None:
    network = Network(4, 3, Conditions())
    network.start()
    slow = network.nodes[0]
    slow.busy_until_ms = network.now_ms + 700
    for number in range(30):
        network.submit(b"transaction %d" % number)
        network.run_for(20)
    said = [
        key
        for key, votes in network.votes.items()
        if key[0] == slow.public_key and VoteKind.NOTARIZE in votes
    ]
    assert 1 <= len(said) <= 4, "only blocks that name nothing it has not executed"
    network.run_for(300)
    before = network.heights()[0]
    network.submit(b"one more")
    network.run_for(200)
    assert network.heights()[0] > before
    assert (slow.public_key, 0, network.headers()[before].view) in network.votes
    assert not any(
        report.kind == act.ReportKind.ROOT_MISMATCH for node in network.nodes for report in node.reports
    )


def test_genesis_is_the_parent_of_nothing_but_height_1() -> None:
    network = run(header_change(parent=NO_HASH))
    assert_nothing_forged_is_final(network)


def test_two_proposals_of_two_protocol_versions_are_no_evidence_and_stop_nobody() -> None:
    network = Network(4, 3)
    network.start()
    network.submit(b"transaction")
    node = network.nodes[0]
    leader = network.nodes[network.config(0).validators.leader(node.replica.status().view)]
    sent: list[bytes] = []

    class Ear(Node):
        def perform_one(self, action: act.Action) -> None:
            if isinstance(action, act.Broadcast) and action.kind == act.MessageKind.PROPOSAL:
                sent.append(action.data)
            elif not isinstance(action, act.Broadcast):
                super().perform_one(action)

    leader.__class__ = Ear
    network.faulty.add(leader.seat)
    assert leader is not node
    assert network.run_for(100, until=lambda: bool(sent))
    proposal = parse_proposal(GENESIS_HASH, sent[0], bytes_max=1 << 21, transactions_max=1_000)
    for data in (sent[0], remake(leader, proposal, protocol_version=2), sent[0]):
        node.handle(ProposalReceived(leader.public_key, data))
    assert not any(report.kind == act.ReportKind.EQUIVOCATION for report in node.reports)
    assert any("protocol version 2" in report.detail for report in node.reports)


def test_nobody_votes_for_a_proposal_on_the_grandparent_while_its_view_is_not_nullified() -> None:
    forged: set[bytes] = set()

    class Watched(Skipper):
        def transmit(self, other: Node, kind: act.MessageKind, data: bytes) -> None:
            if kind == act.MessageKind.PROPOSAL:
                proposal = parse_proposal(GENESIS_HASH, data, bytes_max=1 << 21, transactions_max=1_000)
                if proposal.block.header.view - proposal.parent_view > 1:
                    forged.add(proposal.block.hash)
            super().transmit(other, kind, data)

    for seed in range(10):
        network = Network(4, seed, Conditions(delay_ms=(1, 60)), node_classes={FORGER: Watched})
        network.start()
        for number in range(60):
            network.submit(b"transaction %d" % number)
            network.run_for(25)
        votes = [vote for said in network.votes.values() for vote in said.values()]
        assert not [vote for vote in votes if vote.block_hash in forged]
    assert len(forged) > 20
