"""What a validator's key signs against itself, as evidence has it: for tests of whoever judges it."""

from __future__ import annotations

from icn_chain.certificate import VoteKind, vote_body
from icn_chain.equivocation import PROPOSAL, Statement
from icn_chain.header import build_header, proposal_body
from icn_chain.invalid_proposal import InvalidProposal, ProposalFault
from icn_chain.validator_set import parse_validator_set
from icn_crypto import tags
from icn_crypto.hashing import preimage
from icn_crypto.merkle_log import EMPTY_ROOT
from icn_crypto.suites import SigningKey
from icn_kit.genesis import Genesis


def notarize(
    key: SigningKey, genesis_hash: bytes, block_hash: bytes, *, epoch: int = 0, view: int, height: int = 5
) -> Statement:
    """A vote; two of one view for different blocks contradict each other."""
    body = vote_body(1, epoch, view, height, block_hash)
    return Statement(VoteKind.NOTARIZE, body, key.sign(preimage(tags.NOTARIZE, genesis_hash, body)))


def propose_block(
    key: SigningKey, genesis_hash: bytes, block_hash: bytes, *, view: int, parent_view: int, height: int = 5
) -> Statement:
    """A proposal; beside a notarize of the view for another block it contradicts that."""
    body = proposal_body(
        protocol_version=1,
        epoch=0,
        view=view,
        height=height,
        parent_view=parent_view,
        block_hash=block_hash,
    )
    return Statement(PROPOSAL, body, key.sign(preimage(tags.PROPOSAL, genesis_hash, body)))


def propose_executed(
    key: SigningKey, genesis: Genesis, *, seat: int, view: int, parent_view: int, executed_height: int = 5
) -> bytes:
    """Evidence that a seat proposed a block of height 5 that says to have executed itself, as no honest one
    does; with a lower ``executed_height`` it is evidence of nothing.

    Args:
        seat: whom the evidence accuses.
        view: whose turn it was.
    """
    set_hash = parse_validator_set(genesis.validator_set).hash
    header = build_header(
        genesis.hash,
        protocol_version=genesis.protocol_version,
        height=5,
        view=view,
        parent=b"p" * 32,
        time_ms=genesis.time_ms + 500,
        transactions_root=EMPTY_ROOT,
        executed_height=executed_height,
        state_root=bytes(32),
        receipts_root=bytes(32),
        log_root=bytes(32),
        parent_certificate_digest=b"c" * 32,
        finalization_digest=b"f" * 32,
        epoch=0,
        validator_set_hash=set_hash,
        next_validator_set_hash=set_hash,
    )
    body = proposal_body(
        protocol_version=genesis.protocol_version,
        epoch=0,
        view=view,
        height=5,
        parent_view=parent_view,
        block_hash=header.hash,
    )
    signature = key.sign(preimage(tags.PROPOSAL, genesis.hash, body))
    return InvalidProposal(
        seat, ProposalFault.HEADER, parent_view, signature, header.data, (), 0, view
    ).encode()
