"""Headers of blocks: parsed once, kept as received, known by their hash.

Source: docs/spec/block.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES, domain_hash
from icn_crypto.merkle_log import EMPTY_ROOT

from icn_chain.malformed import MalformedMessage, parse

NO_HASH: Final = bytes(HASH_BYTES)
"""Digest of an absent certificate, parent of genesis, block hash in a nullify vote's body."""
HEADER_BYTES_MAX: Final = 512
"""Ten hashes of 34 bytes and seven integers of at most 11 stay below it."""
PROPOSAL_BODY_BYTES: Final = 68
"""u32be version ‖ u64be epoch, view, height, parent view ‖ block hash (docs/spec/block.md)."""
INTEGER_MAX: Final = 2**63 - 1
"""Heights, views, epochs and times stay inside the signed 64-bit integers of databases."""

HEADERS_KEPT: Final = 512
"""Of headers once read: a block's comes with it, with its descendants, and when it is executed."""


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """A parsed header with its bytes and hash."""

    protocol_version: int
    height: int
    view: int
    parent: bytes
    time_ms: int
    transactions_root: bytes
    executed_height: int
    state_root: bytes
    receipts_root: bytes
    log_root: bytes
    parent_certificate_digest: bytes
    finalization_digest: bytes
    epoch: int
    validator_set_hash: bytes
    next_validator_set_hash: bytes
    data: bytes
    """Canonical bytes of the icn.consensus.v1.BlockHeader."""
    hash: bytes
    """The block's hash, 32 bytes."""


def header_hash(genesis_hash: bytes, data: bytes) -> bytes:
    """A block's hash, 32 bytes, from its header's canonical bytes."""
    return domain_hash(tags.BLOCK, genesis_hash, data)


def build_header(
    genesis_hash: bytes,
    *,
    protocol_version: int,
    height: int,
    view: int,
    parent: bytes,
    time_ms: int,
    transactions_root: bytes,
    executed_height: int,
    state_root: bytes,
    receipts_root: bytes,
    log_root: bytes,
    parent_certificate_digest: bytes,
    finalization_digest: bytes,
    epoch: int,
    validator_set_hash: bytes,
    next_validator_set_hash: bytes,
) -> BlockHeader:
    """A header from its fields, with bytes and hash."""
    data = block_pb2.BlockHeader(
        protocol_version=protocol_version,
        height=height,
        view=view,
        parent=parent,
        time_ms=time_ms,
        transactions_root=transactions_root,
        executed_height=executed_height,
        state_root=state_root,
        receipts_root=receipts_root,
        log_root=log_root,
        parent_certificate_digest=parent_certificate_digest,
        finalization_digest=finalization_digest,
        epoch=epoch,
        validator_set_hash=validator_set_hash,
        next_validator_set_hash=next_validator_set_hash,
    ).SerializeToString(deterministic=True)
    return BlockHeader(
        protocol_version,
        height,
        view,
        parent,
        time_ms,
        transactions_root,
        executed_height,
        state_root,
        receipts_root,
        log_root,
        parent_certificate_digest,
        finalization_digest,
        epoch,
        validator_set_hash,
        next_validator_set_hash,
        data,
        header_hash(genesis_hash, data),
    )


def genesis_header(
    genesis_hash: bytes, *, protocol_version: int, time_ms: int, state_root: bytes, validator_set_hash: bytes
) -> BlockHeader:
    """Header of height 0 (docs/spec/block.md, "Genesis block"); the state root comes from the application."""
    return build_header(
        genesis_hash,
        protocol_version=protocol_version,
        height=0,
        view=0,
        parent=NO_HASH,
        time_ms=time_ms,
        transactions_root=EMPTY_ROOT,
        executed_height=0,
        state_root=state_root,
        receipts_root=EMPTY_ROOT,
        log_root=EMPTY_ROOT,
        parent_certificate_digest=NO_HASH,
        finalization_digest=NO_HASH,
        epoch=0,
        validator_set_hash=validator_set_hash,
        next_validator_set_hash=validator_set_hash,
    )


@lru_cache(HEADERS_KEPT)
def parse_header(genesis_hash: bytes, data: bytes) -> BlockHeader:
    """Read a header.

    Raises:
        MalformedMessage: not canonical, a hash not of 32 bytes, or an integer above 2^63 − 1.
    """
    message = parse(block_pb2.BlockHeader, data, HEADER_BYTES_MAX)
    hashes = (
        message.parent,
        message.transactions_root,
        message.state_root,
        message.receipts_root,
        message.log_root,
        message.parent_certificate_digest,
        message.finalization_digest,
        message.validator_set_hash,
        message.next_validator_set_hash,
    )
    if any(len(value) != HASH_BYTES for value in hashes):
        raise MalformedMessage("a hash in the header is not of 32 bytes")
    if (
        max(message.height, message.view, message.time_ms, message.executed_height, message.epoch)
        > INTEGER_MAX
    ):
        raise MalformedMessage("an integer in the header is above 2^63 - 1")
    return BlockHeader(
        message.protocol_version,
        message.height,
        message.view,
        message.parent,
        message.time_ms,
        message.transactions_root,
        message.executed_height,
        message.state_root,
        message.receipts_root,
        message.log_root,
        message.parent_certificate_digest,
        message.finalization_digest,
        message.epoch,
        message.validator_set_hash,
        message.next_validator_set_hash,
        data,
        header_hash(genesis_hash, data),
    )


def proposal_body(
    *, protocol_version: int, epoch: int, view: int, height: int, parent_view: int, block_hash: bytes
) -> bytes:
    """What a proposal's preimage holds: u32be version ‖ u64be epoch, view, height, parent view ‖ hash."""
    return b"".join(
        (
            protocol_version.to_bytes(4, "big"),
            epoch.to_bytes(8, "big"),
            view.to_bytes(8, "big"),
            height.to_bytes(8, "big"),
            parent_view.to_bytes(8, "big"),
            block_hash,
        )
    )
