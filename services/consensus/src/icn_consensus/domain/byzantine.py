"""Seats that lie, for the simulated federation: each breaks the rules in its own way."""

from __future__ import annotations

from icn_crypto import tags

from icn_consensus.domain import actions as act
from icn_consensus.domain.block import (
    VOTE_TAGS,
    Proposal,
    Vote,
    VoteKind,
    body_of_proposal,
    build_block,
    build_header,
    build_proposal,
    build_vote,
    parse_proposal,
    parse_vote,
    vote_body,
)
from icn_consensus.domain.simulation import GENESIS_HASH, Node


class MuteLeader(Node):
    """Votes like everybody, but never sends a proposal of its own."""

    def perform_one(self, action: act.Action) -> None:
        """Leave out what would be a proposal, and the vote for it."""
        if isinstance(action, act.Broadcast | act.Send) and action.kind == act.MessageKind.PROPOSAL:
            return
        super().perform_one(action)


class Equivocator(Node):
    """Proposes two blocks to two halves, votes for both, and finalizes what it nullifies."""

    def perform_one(self, action: act.Action) -> None:
        """Say one thing to the even seats and another to the odd ones."""
        if not isinstance(action, act.Broadcast):
            super().perform_one(action)
        elif action.kind == act.MessageKind.PROPOSAL:
            proposal = parse_proposal(GENESIS_HASH, action.data, bytes_max=1 << 20, transactions_max=1_000)
            other = self._other_proposal(proposal)
            self._halve(act.MessageKind.PROPOSAL, proposal.data, other.data)
            if self.network.random.randrange(2):
                self._halve(act.MessageKind.PROPOSAL, other.data, proposal.data)
            header = other.block.header
            vote = self.vote(VoteKind.NOTARIZE, header.epoch, header.view, header.height, header.hash)
            self._halve(act.MessageKind.VOTE, b"", vote.data)
        elif action.kind == act.MessageKind.VOTE:
            vote = parse_vote(action.data)
            contrary = vote
            if vote.kind == VoteKind.FINALIZE:
                contrary = self.vote(VoteKind.NULLIFY, vote.epoch, vote.view, 0, b"")
            self._halve(act.MessageKind.VOTE, vote.data, contrary.data)
            if contrary is not vote and self.network.random.randrange(2):
                self._halve(act.MessageKind.VOTE, contrary.data, vote.data)
        else:
            super().perform_one(action)

    def vote(self, kind: VoteKind, epoch: int, view: int, height: int, block_hash: bytes) -> Vote:
        """Any vote, signed by this seat."""
        body = vote_body(1, epoch, view, height, block_hash)
        return build_vote(
            kind,
            protocol_version=1,
            epoch=epoch,
            view=view,
            height=height,
            block_hash=block_hash,
            seat=self.seat,
            signature=self.crypto.sign(VOTE_TAGS[kind], body),
        )

    def _other_proposal(self, proposal: Proposal) -> Proposal:
        """The same block, a millisecond later."""
        header, block = proposal.block.header, proposal.block
        later = build_header(
            GENESIS_HASH,
            protocol_version=header.protocol_version,
            height=header.height,
            view=header.view,
            parent=header.parent,
            time_ms=header.time_ms + 1,
            transactions_root=header.transactions_root,
            executed_height=header.executed_height,
            state_root=header.state_root,
            receipts_root=header.receipts_root,
            log_root=header.log_root,
            parent_certificate_digest=header.parent_certificate_digest,
            finalization_digest=header.finalization_digest,
            epoch=header.epoch,
            validator_set_hash=header.validator_set_hash,
            next_validator_set_hash=header.next_validator_set_hash,
        )
        signature = self.crypto.sign(tags.PROPOSAL, body_of_proposal(later, proposal.parent_view))
        twin = build_block(later, block.transactions, block.parent_certificate, block.finalization)
        return build_proposal(twin, proposal.parent_view, self.seat, signature)

    def _halve(self, kind: act.MessageKind, even: bytes, odd: bytes) -> None:
        """Send to each other seat what its half is told; nothing where there is nothing."""
        for other in self.network.nodes:
            data = odd if other.seat % 2 else even
            if other is not self and data:
                self.transmit(other, kind, data)


class Babbler(Node):
    """Follows the protocol, but sends each message also in damaged copies and under wrong kinds."""

    def transmit(self, other: Node, kind: act.MessageKind, data: bytes) -> None:
        """Send, and send nonsense beside it."""
        super().transmit(other, kind, data)
        random = self.network.random
        damaged = bytearray(data)
        for _ in range(random.randint(1, 3)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        super().transmit(other, kind, bytes(damaged))
        super().transmit(other, random.choice(list(act.MessageKind)), data[: random.randrange(len(data))])
