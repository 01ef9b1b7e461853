"""What validators send, sign and hash: headers, blocks, votes, certificates, proposals.

Bytes are parsed once, kept as received and never encoded again. Whatever does not parse raises
`MalformedMessage`; whether a well-formed message is valid where it arrives is the replica's business.

Source: docs/spec/block.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto import tags, wire
from icn_crypto.hashing import HASH_BYTES, domain_hash, sha256
from icn_crypto.merkle_log import EMPTY_ROOT, leaf_hash, tree_root

NO_HASH: Final = bytes(HASH_BYTES)
"""Digest of an absent certificate, parent of genesis, block hash in a nullify vote's body."""

SIGNATURE_BYTES: Final = 64
SCHEME_ED25519_LIST: Final = 1
"""The one certificate scheme of protocol version 1: a list of Ed25519 signatures."""

HEADER_BYTES_MAX: Final = 512
"""Ten hashes of 34 bytes and seven integers of at most 11 stay below it."""
VOTE_BYTES_MAX: Final = 256
CERTIFICATE_BYTES_MAX: Final = 8 * 1024
"""Fifty seats of 72 bytes each, and the vote, stay below it."""
PROPOSAL_OVERHEAD_BYTES: Final = 256
"""What a proposal holds beside the block: parent view, seat, signature and field tags."""
INTEGER_MAX: Final = 2**63 - 1
"""Heights, views, epochs and times stay inside the signed 64-bit integers of databases."""


class MalformedMessage(ValueError):
    """Bytes no honest validator sends: not canonical, out of bounds, or a body that its header denies."""


class VoteKind(IntEnum):
    """What a vote says; numbers as in the proto."""

    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3


VOTE_TAGS: Final[Mapping[VoteKind, str]] = {
    VoteKind.NOTARIZE: tags.NOTARIZE,
    VoteKind.NULLIFY: tags.NULLIFY,
    VoteKind.FINALIZE: tags.FINALIZE,
}

_KINDS: Final[Mapping[int, VoteKind]] = {int(kind): kind for kind in VoteKind}
_WIRE_KINDS: Final[Mapping[VoteKind, str]] = {kind: f"VOTE_KIND_{kind.name}" for kind in VoteKind}


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

    @property
    def hash(self) -> bytes:
        """The header's hash."""
        return self.header.hash


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
class Certificate:
    """A quorum's votes; whether they are valid and a quorum is for `certificates.CertificateChecker`."""

    kind: VoteKind
    protocol_version: int
    epoch: int
    view: int
    height: int
    block_hash: bytes
    """Empty for a nullification."""
    signatures: tuple[tuple[int, bytes], ...]
    """(seat, signature), ascending by seat, no seat twice."""
    data: bytes
    """Canonical bytes of the icn.consensus.v1.Certificate."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A leader's proposal."""

    block: Block
    parent_view: int
    seat: int
    signature: bytes
    data: bytes
    """Canonical bytes of the icn.consensus.v1.Proposal."""


def vote_body(protocol_version: int, epoch: int, view: int, height: int, block_hash: bytes) -> bytes:
    """What a vote's preimage holds: u32be version ‖ u64be epoch, view, height ‖ block hash or zeros."""
    return b"".join(
        (
            protocol_version.to_bytes(4, "big"),
            epoch.to_bytes(8, "big"),
            view.to_bytes(8, "big"),
            height.to_bytes(8, "big"),
            block_hash or NO_HASH,
        )
    )


def proposal_body(
    *, protocol_version: int, epoch: int, view: int, height: int, parent_view: int, block_hash: bytes
) -> bytes:
    """What a proposal's preimage holds: as `vote_body`, with u64be parent view before the hash."""
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


def certificate_digest(certificate: bytes) -> bytes:
    """SHA-256 of a certificate's bytes; zeros when it is absent."""
    return sha256(certificate) if certificate else NO_HASH


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """RFC 9162 root over the transactions' bytes."""
    return tree_root([leaf_hash(transaction) for transaction in transactions]) if transactions else EMPTY_ROOT


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
        domain_hash(tags.BLOCK, genesis_hash, data),
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


def parse_header(genesis_hash: bytes, data: bytes) -> BlockHeader:
    """Read a header.

    Raises:
        MalformedMessage: not canonical, a hash not of 32 bytes, or an integer above 2^63 − 1.
    """
    message = _parse(block_pb2.BlockHeader, data, HEADER_BYTES_MAX)
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
        domain_hash(tags.BLOCK, genesis_hash, data),
    )


def build_block(
    header: BlockHeader, transactions: Sequence[bytes], parent_certificate: bytes, finalization: bytes
) -> Block:
    """A block from a header that already names this body."""
    data = block_pb2.Block(
        header=header.data,
        transactions=transactions,
        parent_certificate=parent_certificate,
        finalization=finalization,
    ).SerializeToString(deterministic=True)
    return Block(header, tuple(transactions), parent_certificate, finalization, data)


def parse_block(genesis_hash: bytes, data: bytes, *, bytes_max: int, transactions_max: int) -> Block:
    """Read a block and check that its body is the one its header names (docs/spec/block.md, rules 1, 10).

    Raises:
        MalformedMessage: not canonical, too large, or digests and roots that differ.
    """
    message = _parse(block_pb2.Block, data, bytes_max)
    header = parse_header(genesis_hash, message.header)
    if len(message.transactions) > transactions_max:
        raise MalformedMessage(f"{len(message.transactions)} transactions, at most {transactions_max}")
    if max(len(message.parent_certificate), len(message.finalization)) > CERTIFICATE_BYTES_MAX:
        raise MalformedMessage(f"a certificate of more than {CERTIFICATE_BYTES_MAX} bytes")
    transactions = tuple(message.transactions)
    if (
        certificate_digest(message.parent_certificate) != header.parent_certificate_digest
        or certificate_digest(message.finalization) != header.finalization_digest
        or transactions_root(transactions) != header.transactions_root
    ):
        raise MalformedMessage("the body is not the one that the header names")
    return Block(header, transactions, message.parent_certificate, message.finalization, data)


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
        kind=_WIRE_KINDS[kind],
        protocol_version=protocol_version,
        epoch=epoch,
        view=view,
        height=height,
        block_hash=block_hash,
        seat=seat,
        signature=signature,
    ).SerializeToString(deterministic=True)
    return Vote(kind, protocol_version, epoch, view, height, block_hash, seat, signature, data)


def parse_vote(data: bytes) -> Vote:
    """Read a vote.

    Raises:
        MalformedMessage: not canonical, an unknown kind, or lengths out of bounds.
    """
    message = _parse(block_pb2.Vote, data, VOTE_BYTES_MAX)
    kind = _vote_kind(message.kind, message.height, message.block_hash)
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


def build_certificate(
    kind: VoteKind,
    *,
    protocol_version: int,
    epoch: int,
    view: int,
    height: int,
    block_hash: bytes,
    signatures: Mapping[int, bytes],
) -> Certificate:
    """A certificate from a quorum's signatures by seat."""
    ascending = tuple(sorted(signatures.items()))
    data = block_pb2.Certificate(
        kind=_WIRE_KINDS[kind],
        protocol_version=protocol_version,
        epoch=epoch,
        view=view,
        height=height,
        block_hash=block_hash,
        scheme=SCHEME_ED25519_LIST,
        signatures=[block_pb2.SeatSignature(seat=seat, signature=signature) for seat, signature in ascending],
    ).SerializeToString(deterministic=True)
    return Certificate(kind, protocol_version, epoch, view, height, block_hash, ascending, data)


def parse_certificate(data: bytes) -> Certificate:
    """Read a certificate.

    Raises:
        MalformedMessage: not canonical, unknown kind or scheme, seats not ascending, lengths out of bounds.
    """
    message = _parse(block_pb2.Certificate, data, CERTIFICATE_BYTES_MAX)
    kind = _vote_kind(message.kind, message.height, message.block_hash)
    if message.scheme != SCHEME_ED25519_LIST:
        raise MalformedMessage(f"certificate scheme {message.scheme}")
    if max(message.epoch, message.view, message.height) > INTEGER_MAX:
        raise MalformedMessage("an integer in the certificate is above 2^63 - 1")
    signatures = tuple((item.seat, item.signature) for item in message.signatures)
    previous = -1
    for seat, signature in signatures:
        if seat <= previous or len(signature) != SIGNATURE_BYTES:
            raise MalformedMessage("seats do not ascend, or a signature is not of 64 bytes")
        previous = seat
    return Certificate(
        kind,
        message.protocol_version,
        message.epoch,
        message.view,
        message.height,
        message.block_hash,
        signatures,
        data,
    )


def peek_certificate(data: bytes) -> tuple[int, int, int]:
    """(epoch, view, kind) as the bytes say, without any check: enough to drop what is held already.

    Raises:
        MalformedMessage: no Certificate at all.
    """
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise MalformedMessage(f"a certificate of {len(data)} bytes")
    try:
        message = block_pb2.Certificate.FromString(data)
    except Exception as error:
        raise MalformedMessage("not a Certificate") from error
    return message.epoch, message.view, message.kind


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
    message = _parse(block_pb2.Proposal, data, bytes_max + PROPOSAL_OVERHEAD_BYTES)
    if len(message.signature) != SIGNATURE_BYTES or message.parent_view > INTEGER_MAX:
        raise MalformedMessage("a signature that is not of 64 bytes, or a parent view above 2^63 - 1")
    block = parse_block(genesis_hash, message.block, bytes_max=bytes_max, transactions_max=transactions_max)
    return Proposal(block, message.parent_view, message.seat, message.signature, data)


def _vote_kind(kind: int, height: int, block_hash: bytes) -> VoteKind:
    """The kind, after checking that exactly votes on blocks name one."""
    known = _KINDS.get(kind)
    if known is None:
        raise MalformedMessage(f"vote kind {kind}")
    if known is VoteKind.NULLIFY:
        if height or block_hash:
            raise MalformedMessage("a nullify vote names a block")
    elif not height or len(block_hash) != HASH_BYTES:
        raise MalformedMessage("a vote on a block does not name one")
    return known


def _parse(message_class: type[wire.MessageT], data: bytes, size_bytes_max: int) -> wire.MessageT:
    try:
        return wire.parse_canonical(message_class, data, size_bytes_max)
    except (wire.MalformedBytes, wire.NotCanonical) as error:
        raise MalformedMessage(str(error)) from error
