"""Certificates: what a quorum signed about a view. Whether it is one, and signed, is for who knows the set.

Source: docs/spec/block.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from icn.consensus.v1 import block_pb2
from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES, sha256

from icn_chain.header import INTEGER_MAX, NO_HASH
from icn_chain.malformed import MalformedMessage, parse

SIGNATURE_BYTES: Final = 64
SCHEME_ED25519_LIST: Final = 1
"""The one certificate scheme of protocol version 1: a list of Ed25519 signatures."""
VOTE_BODY_BYTES: Final = 60
"""u32be version ‖ u64be epoch, view, height ‖ block hash (docs/spec/block.md)."""
CERTIFICATE_BYTES_MAX: Final = 8 * 1024
"""Fifty seats of 72 bytes each, and the vote, stay below it."""

CERTIFICATES_KEPT: Final = 512
"""Of certificates once read: a block carries those that its voters have had from each other."""


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
WIRE_KINDS: Final[Mapping[VoteKind, str]] = {kind: f"VOTE_KIND_{kind.name}" for kind in VoteKind}
_KINDS: Final[Mapping[int, VoteKind]] = {int(kind): kind for kind in VoteKind}


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


class Peek(NamedTuple):
    """What a certificate says it certifies; named as in `Certificate`."""

    epoch: int
    view: int
    kind: int
    """Of no `VoteKind` where the bytes are no certificate."""
    block_hash: bytes


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


def certificate_digest(certificate: bytes) -> bytes:
    """SHA-256 of a certificate's bytes; zeros when it is absent."""
    return sha256(certificate) if certificate else NO_HASH


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
        kind=WIRE_KINDS[kind],
        protocol_version=protocol_version,
        epoch=epoch,
        view=view,
        height=height,
        block_hash=block_hash,
        scheme=SCHEME_ED25519_LIST,
        signatures=[block_pb2.SeatSignature(seat=seat, signature=signature) for seat, signature in ascending],
    ).SerializeToString(deterministic=True)
    return Certificate(kind, protocol_version, epoch, view, height, block_hash, ascending, data)


@lru_cache(CERTIFICATES_KEPT)
def parse_certificate(data: bytes) -> Certificate:
    """Read a certificate.

    Raises:
        MalformedMessage: not canonical, unknown kind or scheme, seats not ascending, lengths out of bounds.
    """
    message = parse(block_pb2.Certificate, data, CERTIFICATE_BYTES_MAX)
    kind = vote_kind(message.kind, message.height, message.block_hash)
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


@lru_cache(CERTIFICATES_KEPT)
def peek_certificate(data: bytes) -> Peek:
    """What the bytes say, without any check: enough to drop what is held already.

    Raises:
        MalformedMessage: no Certificate at all.
    """
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise MalformedMessage(f"a certificate of {len(data)} bytes")
    try:
        message = block_pb2.Certificate.FromString(data)
    except Exception as error:
        raise MalformedMessage("not a Certificate") from error
    return Peek(message.epoch, message.view, message.kind, message.block_hash)


def vote_kind(kind: int, height: int, block_hash: bytes) -> VoteKind:
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
