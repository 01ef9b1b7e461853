"""One replica on its own: what it is told, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from icn_chain.block import build_block, transactions_root
from icn_chain.certificate import (
    VOTE_TAGS,
    Certificate,
    VoteKind,
    build_certificate,
    certificate_digest,
    vote_body,
)
from icn_chain.header import BlockHeader, build_header
from icn_chain.recovery import RecoveryCertificate, build_body, finality_digest
from icn_chain.recovery import build_certificate as build_recovery
from icn_consensus.domain import actions as act
from icn_consensus.domain.block import Proposal, Vote, body_of_proposal, build_proposal, build_vote
from icn_consensus.domain.config import Recovered
from icn_consensus.domain.events import (
    BlockJudged,
    BlockPrepared,
    CertificateReceived,
    Event,
    PoolChanged,
    ProposalReceived,
    VoteReceived,
)
from icn_consensus.domain.replica import Replica
from icn_consensus.domain.state import State
from icn_crypto import tags
from icn_sim.signatures import SimulatedCrypto
from icn_sim.world import Network
from icn_sim.zone import GENESIS_HASH

BLOCK_HASH = bytes(range(32))


class Bench:
    """One replica, of seat 0 by default, and everybody's keys. Seat 1 leads view 1, and so on."""

    def __init__(self, seats: int = 4, *, seat: int = 0, spares: int = 0, epoch_ms: int = 86_400_000) -> None:
        """``seat``: one of the ``spares`` only follows."""
        self.network = Network(seats, 0, spares=spares, epoch_ms=epoch_ms)
        self.config = self.network.config(seat)
        self.peers = tuple(node.public_key for node in self.network.nodes)
        self.keys = [SimulatedCrypto(key) for key in self.peers]
        self.crypto = SimulatedCrypto(self.peers[seat])
        self.now_ms = self.network.now_ms
        self.genesis = self.network.genesis
        self.start()

    def start(
        self, records: Sequence[bytes] = (), final: BlockHeader | None = None, finalization: bytes = b""
    ) -> list[act.Action]:
        """Start (again) from a final block (by default genesis) and a log."""
        header = final or self.genesis
        executed = replace(self.network.nodes[0].application.state(), executed_height=header.height)
        self.replica = Replica(self.config, self.crypto)
        recovered = Recovered(header, finalization, executed, tuple(records))
        return self.replica.start(recovered, self.now_ms)

    def step(self, event: Event) -> list[act.Action]:
        return self.replica.step(event, self.now_ms)

    @property
    def state(self) -> State:
        return self.replica._state

    def proposal(
        self,
        view: int,
        parent: BlockHeader | None = None,
        *,
        seat: int | None = None,
        transactions: tuple[bytes, ...] = (),
        certificate: bytes | None = None,
        finalization: bytes = b"",
        recovery: bytes = b"",
        parent_view: int | None = None,
        signature: bytes | None = None,
        **changes: Any,
    ) -> Proposal:
        """A valid one of the view's leader on a block (by default genesis), apart from what is changed."""
        before = parent or self.genesis
        leader = view % len(self.config.validators.public_keys) if seat is None else seat
        if certificate is None:
            certificate = b"" if parent is None else self.notarization(before).data
        own_set, executed = self.config.validators.hash, self.state.executed
        fields: dict[str, Any] = {
            "protocol_version": 1,
            "height": before.height + 1,
            "view": view,
            "parent": before.hash,
            "time_ms": max(before.time_ms + 1, self.now_ms),
            "transactions_root": transactions_root(transactions),
            "executed_height": before.executed_height,
            "state_root": executed.state_root,
            "receipts_root": executed.receipts_root,
            "log_root": executed.log_root,
            "parent_certificate_digest": certificate_digest(certificate),
            "finalization_digest": finality_digest(GENESIS_HASH, finalization, recovery),
            "epoch": 0,
            "validator_set_hash": own_set,
            "next_validator_set_hash": own_set,
        }
        header = build_header(GENESIS_HASH, **{**fields, **changes})
        block = build_block(header, transactions, certificate, finalization, recovery)
        said_view = before.view if parent_view is None else parent_view
        signed = self.keys[leader].sign(tags.PROPOSAL, body_of_proposal(header, said_view))
        return build_proposal(block, said_view, leader, signature or signed)

    def notarization(self, header: BlockHeader, seats: Sequence[int] = (1, 2, 3)) -> Certificate:
        return self.certificate_of(VoteKind.NOTARIZE, header, seats)

    def finalization(self, header: BlockHeader, seats: Sequence[int] = (1, 2, 3)) -> Certificate:
        return self.certificate_of(VoteKind.FINALIZE, header, seats)

    def certificate_of(self, kind: VoteKind, header: BlockHeader, seats: Sequence[int]) -> Certificate:
        body = vote_body(1, header.epoch, header.view, header.height, header.hash)
        return build_certificate(
            kind,
            protocol_version=1,
            epoch=header.epoch,
            view=header.view,
            height=header.height,
            block_hash=header.hash,
            signatures={seat: self.keys[seat].sign(VOTE_TAGS[kind], body) for seat in seats},
        )

    def recovery(self, **changes: Any) -> RecoveryCertificate:
        """One that nobody signed, to go on after the newest final block in epoch 4 with the same seats."""
        final, validators = self.state.chain.final, self.config.validators
        fields: dict[str, Any] = {
            "protocol_version": 1,
            "epoch": 4,
            "height": max(1, final.height),
            "block_hash": final.hash,
            "state_root": self.state.executed.state_root,
            "validator_set": validators.data,
            "possessions": [bytes(64)] * validators.seats,
        }
        return build_recovery(build_body(**{**fields, **changes}), [])

    def propose(self, proposal: Proposal) -> list[act.Action]:
        """Have it arrive from who made it."""
        return self.step(ProposalReceived(self.peers[proposal.seat], proposal.data))

    def lead(self, *transactions: bytes) -> Proposal:
        """Have the replica propose these in the current view, which is its turn."""
        done = self.step(PoolChanged(True))
        (prepare,) = [item for item in done if isinstance(item, act.Prepare)]
        self.step(BlockPrepared(prepare.request, transactions or (b"one",)))
        own = self.state.current.own_proposal
        assert own is not None
        return own

    def finalize(self, proposal: Proposal) -> list[act.Action]:
        """Have it arrive, judged, notarized and finalized by the others."""
        done = self.propose(proposal) + self.judge(proposal)
        done += self.receive_certificate(self.notarization(proposal.block.header))
        return done + self.receive_certificate(self.finalization(proposal.block.header))

    def judge(self, proposal: Proposal, *, reason: str = "", is_behind: bool = False) -> list[act.Action]:
        """Have the application answer: valid, unless a reason is given or it is behind."""
        is_valid = not reason and not is_behind
        return self.step(BlockJudged(proposal.block.hash, is_valid, is_behind, reason))

    def vote(
        self,
        kind: VoteKind,
        seat: int,
        view: int,
        *,
        height: int = 1,
        block_hash: bytes = BLOCK_HASH,
        epoch: int = 0,
        version: int = 1,
    ) -> Vote:
        names_block = kind != VoteKind.NULLIFY
        said_height, said_hash = (height, block_hash) if names_block else (0, b"")
        body = vote_body(version, epoch, view, said_height, said_hash)
        return build_vote(
            kind,
            protocol_version=version,
            epoch=epoch,
            view=view,
            height=said_height,
            block_hash=said_hash,
            seat=seat,
            signature=self.keys[seat].sign(VOTE_TAGS[kind], body),
        )

    def certificate(
        self,
        kind: VoteKind,
        view: int,
        seats: list[int],
        *,
        height: int = 1,
        signed_height: int | None = None,
        epoch: int = 0,
        version: int = 1,
    ) -> Certificate:
        signed = height if signed_height is None else signed_height
        votes = [self.vote(kind, seat, view, height=signed, epoch=epoch, version=version) for seat in seats]
        return build_certificate(
            kind,
            protocol_version=version,
            epoch=epoch,
            view=view,
            height=0 if kind == VoteKind.NULLIFY else height,
            block_hash=votes[0].block_hash,
            signatures={vote.seat: vote.signature for vote in votes},
        )

    def receive(self, *votes: Vote) -> list[act.Action]:
        done = []
        for vote in votes:
            done += self.step(VoteReceived(self.peers[vote.seat], vote.data))
        return done

    def receive_certificate(self, certificate: Certificate, seat: int = 1) -> list[act.Action]:
        return self.step(CertificateReceived(self.peers[seat], certificate.data))

    @property
    def view(self) -> int:
        return self.replica.status().view


def passed_on(actions: list[act.Action]) -> list[act.Broadcast]:
    return [
        item
        for item in actions
        if isinstance(item, act.Broadcast) and item.kind == act.MessageKind.CERTIFICATE
    ]


def is_refused_as_dishonest(actions: list[act.Action], seat: int = 1) -> bool:
    (report,) = actions
    return isinstance(report, act.Report) and (report.kind, report.seat) == (
        act.ReportKind.DISHONEST_MESSAGE,
        seat,
    )
