"""Transferable proof that a validator said two things of which an honest one says at most one.

Whoever has the seat's public key and the zone's genesis hash can check it: consensus makes it, the ledger
records it, a person verifies a file.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES, preimage
from icn_crypto.suites import Suite, verify

SIGNATURE_BYTES: Final = 64
VOTE_BODY_BYTES: Final = 60
"""u32be version ‖ u64be epoch, view, height ‖ block hash (docs/spec/block.md)."""
PROPOSAL_BODY_BYTES: Final = 68
"""The same with u64be parent view before the hash."""
EQUIVOCATION_BYTES_MAX: Final = 4 + 2 * (1 + 4 + PROPOSAL_BODY_BYTES + SIGNATURE_BYTES)
_VERSION_BYTES: Final = 4
_NUMBER_BYTES: Final = 8
_HIGHEST_BYTE: Final = 0x7F
"""First byte of the largest number, 2^63 - 1: consensus knows no larger epoch, view or height."""
_PLACE_BYTES: Final = 20
"""Version, epoch and view stand in front of a body."""
_NO_BLOCK: Final = bytes(8 + HASH_BYTES)


class StatementKind(IntEnum):
    """What a seat said; a vote's numbers are the proto's."""

    PROPOSAL = 0
    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3


_TAGS: Final[Mapping[StatementKind, str]] = {
    StatementKind.PROPOSAL: tags.PROPOSAL,
    StatementKind.NOTARIZE: tags.NOTARIZE,
    StatementKind.NULLIFY: tags.NULLIFY,
    StatementKind.FINALIZE: tags.FINALIZE,
}


class EquivocationInvalid(ValueError):
    """The bytes are no proof; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """A signed statement about one view."""

    kind: StatementKind
    body: bytes
    """As signed (docs/spec/block.md)."""
    signature: bytes

    @property
    def epoch(self) -> int:
        """Whose validator set the seat is of."""
        return int.from_bytes(self.body[4:12], "big")

    @property
    def view(self) -> int:
        """About which it is."""
        return int.from_bytes(self.body[12:20], "big")


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two statements that contradict each other. Made by `make` or `parse`."""

    seat: int
    first: Statement
    second: Statement
    """Greater than the first by (kind, body, signature): two statements have one encoding."""

    @property
    def epoch(self) -> int:
        """Whose validator set the seat is of."""
        return self.first.epoch

    @property
    def view(self) -> int:
        """About which both statements are."""
        return self.first.view

    def encode(self) -> bytes:
        """u32be seat, then twice: u8 kind ‖ u32be length of body ‖ body ‖ signature."""
        parts = [self.seat.to_bytes(4, "big")]
        for said in (self.first, self.second):
            parts += [bytes([said.kind]), len(said.body).to_bytes(4, "big"), said.body, said.signature]
        return b"".join(parts)

    def is_signed(self, genesis_hash: bytes, public_key: bytes) -> bool:
        """Whether both are signed with the seat's Ed25519 key of that epoch."""
        return all(
            verify(
                Suite.ED25519,
                public_key,
                preimage(_TAGS[said.kind], genesis_hash, said.body),
                said.signature,
            )
            for said in (self.first, self.second)
        )


def make(seat: int, one: Statement, other: Statement) -> Equivocation:
    """A proof from two contradicting statements of a seat, in either order."""
    first, second = sorted((one, other))
    _check(first, second)
    return Equivocation(seat, first, second)


def parse(data: bytes) -> Equivocation:
    """Read a proof; its signatures are another question (`Equivocation.is_signed`).

    Raises:
        EquivocationInvalid: not its one encoding, or the statements do not contradict each other.
    """
    if len(data) > EQUIVOCATION_BYTES_MAX:
        raise EquivocationInvalid(f"{len(data)} bytes, at most {EQUIVOCATION_BYTES_MAX}")
    rest = data[4:]
    first, rest = _take(rest)
    second, rest = _take(rest)
    if rest:
        raise EquivocationInvalid(f"{len(rest)} bytes too many")
    if first > second:
        raise EquivocationInvalid("the statements are not in order")
    _check(first, second)
    return Equivocation(int.from_bytes(data[:4], "big"), first, second)


def _take(data: bytes) -> tuple[Statement, bytes]:
    if len(data) < 5 or data[0] not in tuple(StatementKind):
        raise EquivocationInvalid("a statement of unknown kind, or none")
    kind = StatementKind(data[0])
    length = PROPOSAL_BODY_BYTES if kind is StatementKind.PROPOSAL else VOTE_BODY_BYTES
    end = 5 + length + SIGNATURE_BYTES
    if int.from_bytes(data[1:5], "big") != length or len(data) < end:
        raise EquivocationInvalid(f"the body of a {kind.name.lower()} has {length} bytes")
    body = data[5 : 5 + length]
    numbers = body[_VERSION_BYTES : length - HASH_BYTES]
    if any(numbers[at] > _HIGHEST_BYTE for at in range(0, len(numbers), _NUMBER_BYTES)):
        raise EquivocationInvalid(f"an integer in the body of a {kind.name.lower()} is above 2^63 - 1")
    if (kind is StatementKind.NULLIFY) != (body[_PLACE_BYTES:] == _NO_BLOCK):
        raise EquivocationInvalid("exactly a nullify names no block")
    return Statement(kind, body, data[5 + length : end]), data[end:]


def _check(first: Statement, second: Statement) -> None:
    """Refuse two statements that an honest validator may make both.

    Raises:
        EquivocationInvalid: they are about two views, or do not contradict each other.
    """
    if first.body[:_PLACE_BYTES] != second.body[:_PLACE_BYTES]:
        raise EquivocationInvalid("the statements are about two views")
    if first.kind is second.kind:
        is_contradiction = first.body != second.body
    else:
        is_contradiction = (first.kind, second.kind) == (StatementKind.NULLIFY, StatementKind.FINALIZE)
    if not is_contradiction:
        raise EquivocationInvalid("an honest validator may say both")
