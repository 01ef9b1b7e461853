"""What validators send and sign beside blocks and certificates: votes and proposals.

Bytes are parsed once, kept as received and never encoded again. Whatever does not parse raises
`MalformedMessage`; whether a well-formed message is valid where it arrives is the replica's business.

Source: docs/spec/block.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_chain.block import Block, parse_block
from icn_chain.certificate import (
    SIGNATURE_BYTES,
    WIRE_KINDS,
    Certificate,
    VoteKind,
    vote_body,
    vote_kind,
)
from icn_chain.header import INTEGER_MAX, BlockHeader, proposal_body
from icn_chain.malformed import MalformedMessage, parse

VOTE_BYTES_MAX: Final = 256
VOTES_KEPT: Final = 512
"""Of votes once read: they come again when a timer fires, and all seats of a simulation share them."""
PROPOSAL_OVERHEAD_BYTES: Final = 256
"""What a proposal holds beside the block: parent view, seat, signature and field tags."""


@dataclass(frozen=True, slots=True)
class ExecutedState:
    """What the application holds after executing a height; fields as in application.proto."""

    executed_height: int
    time_ms: int
    state_root: bytes
    receipts_root: bytes
    log_root: bytes
    has_changed_state: bool
    next_expiry_time_ms: int
    """0 when nothing will expire."""
    next_validator_set: bytes
    """Canonical bytes of the ValidatorSet the state names for the next epoch."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One seat's vote."""

    kind: VoteKind
    protocol_version: int
    epoch: int
    view: int
    height: int
    """0 for nullify."""
    block_hash: bytes
    """Empty for nullify."""
    seat: int
    signature: bytes
    data: bytes
    """Canonical bytes of the icn.consensus.v1.Vote."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A leader's proposal."""

    block: Block
    parent_view: int
    seat: int
    signature: bytes
    data: bytes
    """Canonical bytes of the icn.consensus.v1.Proposal."""


def body_of_vote(vote: Vote | Certificate) -> bytes:
    """The vote body that a vote, or each signature of a certificate, signs."""
    return vote_body(vote.protocol_version, vote.epoch, vote.view, vote.height, vote.block_hash)


def body_of_proposal(header: BlockHeader, parent_view: int) -> bytes:
    """The proposal body that a leader signs for this block."""
    return proposal_body(
        protocol_version=header.protocol_version,
        epoch=header.epoch,
        view=header.view,
        height=header.height,
        parent_view=parent_view,
        block_hash=header.hash,
    )


def build_vote(
    kind: VoteKind,
    *,
    protocol_version: int,
    epoch: int,
    view: int,
    height: int,
    block_hash: bytes,
    seat: int,
    signature: bytes,
) -> Vote:
    """A vote from its fields."""
    data = block_pb2.Vote(
        kind=WIRE_KINDS[kind],
        protocol_version=protocol_version,
        epoch=epoch,
        view=view,
        height=height,
        block_hash=block_hash,
        seat=seat,
        signature=signature,
    ).SerializeToString(deterministic=True)
    return Vote(kind, protocol_version, epoch, view, height, block_hash, seat, signature, data)


@lru_cache(VOTES_KEPT)
def parse_vote(data: bytes) -> Vote:
    """Read a vote.

    Raises:
        MalformedMessage: not canonical, an unknown kind, or lengths out of bounds.
    """
    message = parse(block_pb2.Vote, data, VOTE_BYTES_MAX)
    kind = vote_kind(message.kind, message.height, message.block_hash)
    if len(message.signature) != SIGNATURE_BYTES:
        raise MalformedMessage(f"a signature of {len(message.signature)} bytes")
    if max(message.epoch, message.view, message.height) > INTEGER_MAX:
        raise MalformedMessage("an integer in the vote is above 2^63 - 1")
    return Vote(
        kind,
        message.protocol_version,
        message.epoch,
        message.view,
        message.height,
        message.block_hash,
        message.seat,
        message.signature,
        data,
    )


def build_proposal(block: Block, parent_view: int, seat: int, signature: bytes) -> Proposal:
    """A proposal from its parts."""
    data = block_pb2.Proposal(
        block=block.data, parent_view=parent_view, seat=seat, signature=signature
    ).SerializeToString(deterministic=True)
    return Proposal(block, parent_view, seat, signature, data)


def parse_proposal(genesis_hash: bytes, data: bytes, *, bytes_max: int, transactions_max: int) -> Proposal:
    """Read a proposal and its block (see `parse_block`).

    Raises:
        MalformedMessage: as `parse_block`, or the signature is not of 64 bytes.
    """
    message = parse(block_pb2.Proposal, data, bytes_max + PROPOSAL_OVERHEAD_BYTES)
    if len(message.signature) != SIGNATURE_BYTES or message.parent_view > INTEGER_MAX:
        raise MalformedMessage("a signature that is not of 64 bytes, or a parent view above 2^63 - 1")
    block = parse_block(genesis_hash, message.block, bytes_max=bytes_max, transactions_max=transactions_max)
    return Proposal(block, message.parent_view, message.seat, message.signature, data)
