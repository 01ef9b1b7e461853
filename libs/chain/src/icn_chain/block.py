"""Blocks: a header with the body that it names.

Source: docs/spec/block.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icn.consensus.v1 import block_pb2
from icn_crypto.merkle_log import root_of

from icn_chain.certificate import CERTIFICATE_BYTES_MAX, certificate_digest
from icn_chain.header import BlockHeader, parse_header
from icn_chain.malformed import MalformedMessage, parse
from icn_chain.recovery import finality_digest


@dataclass(frozen=True, slots=True)
class Block:
    """A parsed block whose body is the one its header names."""

    header: BlockHeader
    transactions: tuple[bytes, ...]
    parent_certificate: bytes
    """Canonical bytes of a Certificate, empty when the parent is genesis."""
    finalization: bytes
    """Canonical bytes of a Certificate, or empty."""
    data: bytes
    """Canonical bytes of the icn.consensus.v1.Block."""
    recovery: bytes = b""
    """Canonical bytes of the RecoveryCertificate that begins the block's epoch, or empty."""

    @property
    def hash(self) -> bytes:
        """The header's hash."""
        return self.header.hash


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """RFC 9162 root over the transactions' bytes."""
    return root_of(transactions)


def build_block(
    header: BlockHeader,
    transactions: Sequence[bytes],
    parent_certificate: bytes,
    finalization: bytes,
    recovery: bytes = b"",
) -> Block:
    """A block from a header that already names this body."""
    data = block_pb2.Block(
        header=header.data,
        transactions=transactions,
        parent_certificate=parent_certificate,
        finalization=finalization,
        recovery=recovery,
    ).SerializeToString(deterministic=True)
    return Block(header, tuple(transactions), parent_certificate, finalization, data, recovery)


def parse_block(genesis_hash: bytes, data: bytes, *, bytes_max: int, transactions_max: int) -> Block:
    """Read a block and check that its body is the one its header names (docs/spec/block.md, rules 1, 10).

    Raises:
        MalformedMessage: not canonical, too large, or digests and roots that differ.
    """
    message = parse(block_pb2.Block, data, bytes_max)
    header = parse_header(genesis_hash, message.header)
    if len(message.transactions) > transactions_max:
        raise MalformedMessage(f"{len(message.transactions)} transactions, at most {transactions_max}")
    if max(len(message.parent_certificate), len(message.finalization)) > CERTIFICATE_BYTES_MAX:
        raise MalformedMessage(f"a certificate of more than {CERTIFICATE_BYTES_MAX} bytes")
    if message.recovery and (message.parent_certificate or message.finalization):
        raise MalformedMessage("a certificate of the epoch before beside what ended it")
    transactions = tuple(message.transactions)
    if (
        certificate_digest(message.parent_certificate) != header.parent_certificate_digest
        or finality_digest(genesis_hash, message.finalization, message.recovery) != header.finalization_digest
        or transactions_root(transactions) != header.transactions_root
    ):
        raise MalformedMessage("the body is not the one that the header names")
    return Block(
        header, transactions, message.parent_certificate, message.finalization, data, message.recovery
    )
