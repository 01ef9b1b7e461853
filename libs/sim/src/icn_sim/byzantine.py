"""Seats that lie: each breaks the rules in its own way, and otherwise keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.block import build_block, parse_block, transactions_root
from icn_chain.certificate import (
    VOTE_TAGS,
    VoteKind,
    build_certificate,
    certificate_digest,
    parse_certificate,
    vote_body,
)
from icn_chain.equivocation import make
from icn_chain.header import BlockHeader, build_header
from icn_consensus.domain import actions as act
from icn_consensus.domain import events
from icn_consensus.domain.block import (
    Proposal,
    Vote,
    body_of_proposal,
    build_proposal,
    build_vote,
    parse_proposal,
    parse_vote,
)
from icn_consensus.domain.evidence import voted
from icn_crypto import tags
from icn_crypto.hashing import sha256

from icn_sim.application import at_once
from icn_sim.ledger import LedgerApplication
from icn_sim.node import Node
from icn_sim.signatures import cofactored
from icn_sim.tally import Reached
from icn_sim.traders import Principal
from icn_sim.zone import GENESIS_HASH, GENESIS_TIME_MS


def remade(
    node: Node,
    proposal: Proposal,
    *,
    parent_view: int | None = None,
    transactions: tuple[bytes, ...] | None = None,
    parent_certificate: bytes | None = None,
    finalization: bytes | None = None,
    signature: bytes | None = None,
    **changes: Any,
) -> Proposal:
    """The proposal with some fields changed, all that follows from them made to fit, signed by the node."""
    block = proposal.block
    body = (
        block.transactions if transactions is None else transactions,
        block.parent_certificate if parent_certificate is None else parent_certificate,
        block.finalization if finalization is None else finalization,
    )
    kept: dict[str, Any] = {
        field.name: getattr(block.header, field.name)
        for field in fields(BlockHeader)
        if field.name not in ("data", "hash")
    }
    kept["transactions_root"] = transactions_root(body[0])
    kept["parent_certificate_digest"] = certificate_digest(body[1])
    kept["finalization_digest"] = certificate_digest(body[2])
    header = build_header(GENESIS_HASH, **{**kept, **changes})
    view = proposal.parent_view if parent_view is None else parent_view
    signature = signature or node.crypto.sign(tags.PROPOSAL, body_of_proposal(header, view))
    return build_proposal(build_block(header, *body), view, max(0, node.replica.status().seat), signature)


def _parsed(proposal: bytes) -> Proposal:
    return parse_proposal(GENESIS_HASH, proposal, bytes_max=1 << 20, transactions_max=1_000)


class MuteLeader(Node):
    """Votes like everybody, but never sends a proposal of its own."""

    def perform_one(self, action: act.Action) -> None:
        """Leave out what would be a proposal, and the vote for it."""
        if isinstance(action, act.Broadcast | act.Send) and action.kind == act.MessageKind.PROPOSAL:
            return
        super().perform_one(action)


class Forger(Node):
    """Knows how to say what the core would not."""

    @property
    def claimed_seat(self) -> int:
        """Its seat; without one it claims the first."""
        return max(0, self.replica.status().seat)

    def vote(self, kind: VoteKind, epoch: int, view: int, height: int, block_hash: bytes) -> Vote:
        """Any vote, signed by this seat."""
        version = self.network.seats_in(epoch).protocol_version
        body = vote_body(version, epoch, view, height, block_hash)
        return build_vote(
            kind,
            protocol_version=version,
            epoch=epoch,
            view=view,
            height=height,
            block_hash=block_hash,
            seat=self.claimed_seat,
            signature=self.crypto.sign(VOTE_TAGS[kind], body),
        )

    def notarize(self, header: BlockHeader) -> Vote:
        """The vote for this block, whatever the core said."""
        return self.vote(VoteKind.NOTARIZE, header.epoch, header.view, header.height, header.hash)

    def _halve(self, kind: act.MessageKind, even: bytes, odd: bytes) -> None:
        """Send to each other seat what its half is told; nothing where there is nothing."""
        for other in self.network.nodes:
            data = odd if other.seat % 2 else even
            if other is not self and data:
                self.transmit(other, kind, data)


class Equivocator(Forger):
    """Proposes two blocks to two halves, votes for both, and finalizes what it nullifies."""

    def perform_one(self, action: act.Action) -> None:
        """Say one thing to the even seats and another to the odd ones."""
        if not isinstance(action, act.Broadcast):
            super().perform_one(action)
        elif action.kind == act.MessageKind.PROPOSAL:
            proposal = _parsed(action.data)
            other = remade(self, proposal, time_ms=proposal.block.header.time_ms + 1)
            self._halve(act.MessageKind.PROPOSAL, proposal.data, other.data)
            if self.network.random.randrange(2):
                self._halve(act.MessageKind.PROPOSAL, other.data, proposal.data)
            self._halve(act.MessageKind.VOTE, b"", self.notarize(other.block.header).data)
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


class CarefulEquivocator(Forger):
    """Tells the odd seats another block of its own and nullifies to them what it finalizes, and tells no seat
    both: what shows it is what others pass on."""

    odd: Vote | None = None
    """Its notarize for the block that only the odd seats know of."""

    def perform_one(self, action: act.Action) -> None:
        """Keep two stories apart."""
        if not isinstance(action, act.Broadcast):
            super().perform_one(action)
        elif action.kind == act.MessageKind.PROPOSAL:
            proposal = _parsed(action.data)
            other = remade(self, proposal, time_ms=proposal.block.header.time_ms + 1)
            self.odd = self.notarize(other.block.header)
            self._halve(act.MessageKind.PROPOSAL, proposal.data, other.data)
        elif action.kind == act.MessageKind.VOTE:
            vote = contrary = parse_vote(action.data)
            if vote.kind == VoteKind.FINALIZE:
                contrary = self.vote(VoteKind.NULLIFY, vote.epoch, vote.view, 0, b"")
            elif vote.kind == VoteKind.NOTARIZE and self.odd is not None and _is_of_one_view(vote, self.odd):
                contrary = self.odd
            self._halve(act.MessageKind.VOTE, vote.data, contrary.data)
        else:
            super().perform_one(action)


def _is_of_one_view(one: Vote, other: Vote) -> bool:
    return (one.epoch, one.view) == (other.epoch, other.view)


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


class Withholder(Node):
    """Tells each thing it says to some seats only, drawn anew each time."""

    def perform_one(self, action: act.Action) -> None:
        """Leave out a part of the others."""
        if isinstance(action, act.Broadcast):
            for other in self.network.nodes:
                is_told = other.public_key not in action.except_peers and self.network.random.randrange(2)
                if other is not self and is_told:
                    self.transmit(other, action.kind, action.data)
        else:
            super().perform_one(action)


class Shunner(Node):
    """Says nothing to one seat, and answers none of its questions."""

    @property
    def shunned(self) -> int:
        """The seat after its own."""
        return (self.seat + 1) % len(self.network.nodes)

    def transmit(self, other: Node, kind: act.MessageKind, data: bytes) -> None:
        """Send, but not to that seat."""
        if other.seat != self.shunned:
            super().transmit(other, kind, data)

    def answers(self, seat: int) -> bool:
        """Whether a question of that seat is answered."""
        return seat != self.shunned


class Mute(Node):
    """Takes part, but answers no question: its process hangs, or it wants others to wait."""

    def answers(self, seat: int) -> bool:
        """Whether a question of that seat is answered."""
        return False


class Pretender(Mute):
    """Says with each vote that a later epoch has begun, and answers nobody who asks how this one ended."""

    def perform_one(self, action: act.Action) -> None:
        """Follow each vote by a certificate of an epoch that nobody else is in."""
        super().perform_one(action)
        if isinstance(action, act.Broadcast) and action.kind == act.MessageKind.VOTE:
            certificate = build_certificate(
                VoteKind.NULLIFY,
                protocol_version=self.replica.status().protocol_version,
                epoch=self.replica.status().epoch + self.network.random.between(1, 1_000),
                view=self.replica.status().view,
                height=0,
                block_hash=b"",
                signatures={0: bytes(64)},
            )
            for other in self.network.nodes:
                if other is not self:
                    self.transmit(other, act.MessageKind.CERTIFICATE, certificate.data)


class SlowSigner(Forger):
    """Signs its votes so that they cost the most: valid only with the cofactor, or wrong at first."""

    def perform_one(self, action: act.Action) -> None:
        """Tell each seat another signature; the wrong ones are of half, which hear a right one afterwards."""
        if not isinstance(action, act.Broadcast) or action.kind != act.MessageKind.VOTE:
            super().perform_one(action)
            return
        vote = parse_vote(action.data)
        dear = self._signed(vote, cofactored(vote.signature))
        wrong = self._signed(vote, vote.signature[::-1])
        self._halve(act.MessageKind.VOTE, dear.data, wrong.data)
        self._halve(act.MessageKind.VOTE, vote.data, dear.data)

    def _signed(self, vote: Vote, signature: bytes) -> Vote:
        return build_vote(
            vote.kind,
            protocol_version=vote.protocol_version,
            epoch=vote.epoch,
            view=vote.view,
            height=vote.height,
            block_hash=vote.block_hash,
            seat=vote.seat,
            signature=signature,
        )


class Accuser(Forger):
    """Has its organization bring evidence against another seat to the ledger, with made-up signatures."""

    accuser: Principal

    def perform_one(self, action: act.Action) -> None:
        """Hand evidence in everywhere now and then; only the ledger knows what that is."""
        super().perform_one(action)
        is_vote = isinstance(action, act.Broadcast) and action.kind == act.MessageKind.VOTE
        if is_vote and isinstance(self.application, LedgerApplication) and not self.network.random.below(8):
            self.accuser = getattr(self, "accuser", Principal(f"organization {self.seat}", sponsor=None))
            message = pb.Message(record_equivocation=pb.RecordEquivocation(evidence=self._made_up()))
            self.network.submit(self.accuser.sign(message, now_ms=self.network.now_ms))
            self.network.tally.reached[Reached.FALSE_EVIDENCE] += 1

    def _made_up(self) -> bytes:
        status = self.replica.status()
        seats = self.network.seats_in(status.epoch).seats
        first, second = (
            build_vote(
                VoteKind.NOTARIZE,
                protocol_version=status.protocol_version,
                epoch=status.epoch,
                view=status.view,
                height=status.final_height + 1,
                block_hash=sha256(bytes([number])),
                seat=(self.claimed_seat + 1) % seats,
                signature=sha256(bytes([number])) * 2,
            )
            for number in range(2)
        )
        return make(first.seat, voted(first), voted(second)).encode()


class Hoarder(Node):
    """Sends certificates of long ago again and again, as if they opened the view."""

    kept: list[bytes]

    def perform_one(self, action: act.Action) -> None:
        """Follow each certificate by an old one."""
        super().perform_one(action)
        if isinstance(action, act.Broadcast) and action.kind == act.MessageKind.CERTIFICATE:
            self.kept = [*getattr(self, "kept", []), action.data]
            old = self.network.random.choice(self.kept)
            for other in self.network.nodes:
                if other is not self:
                    self.transmit(other, act.MessageKind.CERTIFICATE, old)


class DoubleVoter(Forger):
    """Leads honestly, but votes for a block of its own invention beside each that it notarizes."""

    def perform_one(self, action: act.Action) -> None:
        """Say both to everybody, the other one first to half of them."""
        if not isinstance(action, act.Broadcast) or action.kind != act.MessageKind.VOTE:
            super().perform_one(action)
            return
        vote = parse_vote(action.data)
        if vote.kind != VoteKind.NOTARIZE:
            super().perform_one(action)
            return
        invented = self.vote(VoteKind.NOTARIZE, vote.epoch, vote.view, vote.height, sha256(vote.block_hash))
        self._halve(act.MessageKind.VOTE, vote.data, invented.data)
        self._halve(act.MessageKind.VOTE, invented.data, vote.data)


class ProposalForger(Forger):
    """Proposes to everybody something else than its core would, and votes for that."""

    instead: Vote | None = None
    """Its notarize for what it proposed last."""

    def changed(self, proposal: Proposal) -> Proposal | None:
        """What to propose instead; None: nothing else."""
        raise NotImplementedError

    def perform_one(self, action: act.Action) -> None:
        """Say the other thing, and nothing of what the core chose."""
        if not isinstance(action, act.Broadcast):
            super().perform_one(action)
        elif action.kind == act.MessageKind.PROPOSAL:
            proposal = _parsed(action.data)
            other = self.changed(proposal) or proposal
            self.instead = self.notarize(other.block.header)
            self._halve(act.MessageKind.PROPOSAL, other.data, other.data)
        elif action.kind == act.MessageKind.VOTE:
            vote = parse_vote(action.data)
            if vote.kind == VoteKind.NOTARIZE and self.instead is not None:
                vote = self.instead if _is_of_one_view(vote, self.instead) else vote
            self._halve(act.MessageKind.VOTE, vote.data, vote.data)
        else:
            super().perform_one(action)


class WrongRoot(ProposalForger):
    """Proposes blocks that name a state root nobody came to."""

    def changed(self, proposal: Proposal) -> Proposal | None:
        """Another root."""
        return remade(self, proposal, state_root=sha256(proposal.block.header.state_root))


class WrongTime(ProposalForger):
    """Proposes blocks of times that are as far from its clock as voters take, or farther."""

    def changed(self, proposal: Proposal) -> Proposal | None:
        """Another time, which is later than the parent's only where it lies ahead."""
        distance_ms = self.network.config(self.seat).block_time_distance_ms_max
        ahead_ms = self.network.random.choice(
            (distance_ms // 2, distance_ms, distance_ms + 1, 10 * distance_ms, -distance_ms - 1)
        )
        time_ms = max(GENESIS_TIME_MS + proposal.block.header.height, self.now_ms() + ahead_ms)
        return remade(self, proposal, time_ms=time_ms)


class Repeater(ProposalForger):
    """Proposes again what was executed before, or leaves out the first transaction of those it chose."""

    def changed(self, proposal: Proposal) -> Proposal | None:
        """Other transactions."""
        chosen = proposal.block.transactions[1:]
        used = [data for stored in self.disk.blocks for data in stored.block.transactions]
        if used and self.network.random.randrange(2):
            chosen = (*proposal.block.transactions[:-1], self.network.random.choice(used))
        return remade(self, proposal, transactions=chosen)


class Skipper(ProposalForger):
    """Proposes on the grandparent, as if the view between had been nullified."""

    def changed(self, proposal: Proposal) -> Proposal | None:
        """Without the parent, where the grandparent's header is at hand."""
        parent = at_once(self.find_block(proposal.block.header.parent))
        if parent is None or not parent.parent_certificate:
            return None
        grandparent = at_once(self.find_block(parent.header.parent))
        if grandparent is None or grandparent.header.epoch != proposal.block.header.epoch:
            return None
        older = grandparent.header
        certificate = parse_certificate(parent.parent_certificate)
        return remade(
            self,
            proposal,
            parent_certificate=parent.parent_certificate,
            finalization=b"",
            parent_view=certificate.view,
            height=older.height + 1,
            parent=older.hash,
            executed_height=older.executed_height,
            state_root=older.state_root,
            receipts_root=older.receipts_root,
            log_root=older.log_root,
            validator_set_hash=older.validator_set_hash,
            next_validator_set_hash=older.next_validator_set_hash,
        )


def _with_a_forged_signature(proposal: Proposal) -> Changes:
    """The first signature of the parent certificate is another seat's."""
    if not proposal.block.parent_certificate:
        return {"executed_height": proposal.block.header.height}
    certificate = parse_certificate(proposal.block.parent_certificate)
    signatures = dict(certificate.signatures)
    first, second, *_ = signatures
    forged = build_certificate(
        certificate.kind,
        protocol_version=certificate.protocol_version,
        epoch=certificate.epoch,
        view=certificate.view,
        height=certificate.height,
        block_hash=certificate.block_hash,
        signatures={**signatures, first: signatures[second]},
    )
    return {"parent_certificate": forged.data}


Changes = dict[str, Any]
INVALID: Final[tuple[Callable[[Proposal], Changes], ...]] = (
    lambda proposal: {"executed_height": proposal.block.header.height},
    lambda proposal: {"parent_view": proposal.block.header.view},
    lambda proposal: {"validator_set_hash": sha256(proposal.block.header.validator_set_hash)},
    lambda proposal: {"height": proposal.block.header.height + 1},
    lambda proposal: {"finalization": proposal.block.parent_certificate},
    lambda proposal: {"transactions": (b"no transaction", *proposal.block.transactions)},
    lambda proposal: {"transactions": (*proposal.block.transactions, *proposal.block.transactions[:1])},
    _with_a_forged_signature,
)
"""What makes a proposal invalid by itself; the transactions' faults only where the ledger judges them."""


class InvalidProposer(ProposalForger):
    """Proposes what no state makes valid, and signs it."""

    def changed(self, proposal: Proposal) -> Proposal | None:
        """Broken in a way drawn anew."""
        return remade(self, proposal, **self.network.random.choice(INVALID)(proposal))


class PageForger(Forger):
    """Answers who catches up with a block of its own invention, final by signatures that are none."""

    def serve(self, fetch: act.Fetch) -> events.Event:
        """Change the first block of each page."""
        answer = super().serve(fetch)
        if not isinstance(fetch.what, act.FetchFinalBlocks) or not isinstance(answer, events.BlocksFetched):
            return answer
        if not answer.blocks:
            return answer
        block = parse_block(GENESIS_HASH, answer.blocks[0], bytes_max=1 << 20, transactions_max=1_000)
        other = remade(self, build_proposal(block, 0, 0, bytes(64)), time_ms=block.header.time_ms + 1)
        header = other.block.header
        certificate = build_certificate(
            VoteKind.FINALIZE,
            protocol_version=header.protocol_version,
            epoch=header.epoch,
            view=header.view,
            height=header.height,
            block_hash=header.hash,
            signatures={node.seat: bytes(64) for node in self.network.nodes},
        )
        return events.BlocksFetched(answer.request, self.public_key, (other.block.data,), certificate.data)


LIARS: Final[Mapping[str, type[Node]]] = {
    "equivocate": Equivocator,
    "equivocate_carefully": CarefulEquivocator,
    "double_vote": DoubleVoter,
    "silent_leader": MuteLeader,
    "garbage": Babbler,
    "withhold": Withholder,
    "shun_a_seat": Shunner,
    "mute": Mute,
    "ahead": Pretender,
    "slow_signatures": SlowSigner,
    "fake_evidence": Accuser,
    "stale_certificate": Hoarder,
    "wrong_root": WrongRoot,
    "wrong_time": WrongTime,
    "repeat": Repeater,
    "skip_view": Skipper,
    "invalid_proposal": InvalidProposer,
    "forge_pages": PageForger,
}
"""By the name that a tally counts them under."""
