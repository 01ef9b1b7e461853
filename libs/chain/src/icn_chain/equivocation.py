"""The first sort of evidence: a seat said two things of which an honest one says at most one.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES

from icn_chain.certificate import SIGNATURE_BYTES, VOTE_BODY_BYTES, VOTE_TAGS, VoteKind
from icn_chain.grounds import Grounds
from icn_chain.header import PROPOSAL_BODY_BYTES
from icn_chain.malformed import EvidenceInvalid

PROPOSAL: Final = 0
"""Kind of a statement that is a proposal; a vote's kind is its `VoteKind`."""
EQUIVOCATION_BYTES_MAX: Final = 4 + 2 * (1 + 4 + PROPOSAL_BODY_BYTES + SIGNATURE_BYTES)
_TAGS: Final[Mapping[int, str]] = {
    PROPOSAL: tags.PROPOSAL,
    **{int(kind): tag for kind, tag in VOTE_TAGS.items()},
}
_VERSION_BYTES: Final = 4
_NUMBER_BYTES: Final = 8
_HIGHEST_BYTE: Final = 0x7F
"""First byte of the largest number, 2^63 - 1: consensus knows no larger epoch, view or height."""
_PLACE_BYTES: Final = 20
"""Version, epoch and view stand in front of a body."""
_NO_BLOCK: Final = bytes(8 + HASH_BYTES)


What = tuple[int, bytes] | tuple[int, bytes, int]
"""What a statement names: height and hash of a block (0, empty: none), and a proposal the parent's view."""
RIVALS: Final[Mapping[int, tuple[int, ...]]] = {
    PROPOSAL: (PROPOSAL, VoteKind.NOTARIZE),
    VoteKind.NOTARIZE: (VoteKind.NOTARIZE, PROPOSAL),
    VoteKind.NULLIFY: (VoteKind.FINALIZE,),
    VoteKind.FINALIZE: (VoteKind.FINALIZE, VoteKind.NULLIFY),
}
"""By kind, of which kinds an honest seat says in the same view only what names the same."""


def are_contrary(kind: int, what: What, other_kind: int, other: What) -> bool:
    """Whether of two statements of a seat about one view an honest one makes at most one.

    Args:
        kind: of the one, `PROPOSAL` or a `VoteKind`.
        what: that it names.
        other_kind: of the other.
        other: the same of it.
    """
    if other_kind not in RIVALS[kind]:
        return False
    return what != other if kind == other_kind else what[:2] != other[:2]


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """A signed statement about one view."""

    kind: int
    """`PROPOSAL` or a `VoteKind`."""
    body: bytes
    """As signed (docs/spec/block.md)."""
    signature: bytes

    @property
    def name(self) -> str:
        """Of its kind, for people."""
        return "proposal" if self.kind == PROPOSAL else VoteKind(self.kind).name.lower()

    @property
    def tag(self) -> str:
        """That it is signed under."""
        return _TAGS[self.kind]

    @property
    def what(self) -> What:
        """What it names."""
        if self.kind == VoteKind.NULLIFY:
            return 0, b""
        height, block_hash = int.from_bytes(self.body[20:28], "big"), self.body[-HASH_BYTES:]
        if self.kind == PROPOSAL:
            return height, block_hash, int.from_bytes(self.body[28:36], "big")
        return height, block_hash

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

    @property
    def said(self) -> tuple[str, ...]:
        """What the seat said, for people."""
        return (self.first.name, self.second.name)

    def encode(self) -> bytes:
        """u32be seat, then twice: u8 kind ‖ u32be length of body ‖ body ‖ signature."""
        parts = [self.seat.to_bytes(4, "big")]
        for said in (self.first, self.second):
            parts += [bytes([said.kind]), len(said.body).to_bytes(4, "big"), said.body, said.signature]
        return b"".join(parts)

    def check(self, grounds: Grounds) -> str:
        """Accept it as the seat's; what it shows, for people.

        Raises:
            EvidenceInvalid: it proves nothing.
        """
        for said in (self.first, self.second):
            grounds.check_signed(self.seat, self.epoch, said.tag, said.body, said.signature)
        return f"{self.first.name} and {self.second.name} contradict each other"


def make(seat: int, one: Statement, other: Statement) -> Equivocation:
    """A proof from two contradicting statements of a seat, in either order."""
    first, second = sorted((one, other))
    _check(first, second)
    return Equivocation(seat, first, second)


def parse(data: bytes) -> Equivocation:
    """Read a proof; its signatures are another question (`Equivocation.check`).

    Raises:
        EvidenceInvalid: not its one encoding, or the statements do not contradict each other.
    """
    if len(data) > EQUIVOCATION_BYTES_MAX:
        raise EvidenceInvalid(f"{len(data)} bytes, at most {EQUIVOCATION_BYTES_MAX}")
    rest = data[4:]
    first, rest = _take(rest)
    second, rest = _take(rest)
    if rest:
        raise EvidenceInvalid(f"{len(rest)} bytes too many")
    if first > second:
        raise EvidenceInvalid("the statements are not in order")
    _check(first, second)
    return Equivocation(int.from_bytes(data[:4], "big"), first, second)


def _take(data: bytes) -> tuple[Statement, bytes]:
    if len(data) < 5 or data[0] not in _TAGS:
        raise EvidenceInvalid("a statement of unknown kind, or none")
    kind = data[0]
    length = PROPOSAL_BODY_BYTES if kind == PROPOSAL else VOTE_BODY_BYTES
    end = 5 + length + SIGNATURE_BYTES
    body = data[5 : 5 + length]
    said = Statement(kind, body, data[5 + length : end])
    if int.from_bytes(data[1:5], "big") != length or len(data) < end:
        raise EvidenceInvalid(f"the body of a {said.name} has {length} bytes")
    numbers = body[_VERSION_BYTES : length - HASH_BYTES]
    if any(numbers[at] > _HIGHEST_BYTE for at in range(0, len(numbers), _NUMBER_BYTES)):
        raise EvidenceInvalid(f"an integer in the body of a {said.name} is above 2^63 - 1")
    if (kind == VoteKind.NULLIFY) != (body[_PLACE_BYTES:] == _NO_BLOCK):
        raise EvidenceInvalid("exactly a nullify names no block")
    return said, data[end:]


def _check(first: Statement, second: Statement) -> None:
    """Refuse two statements that an honest validator may make both.

    Raises:
        EvidenceInvalid: they are about two views, or do not contradict each other.
    """
    if first.body[:_PLACE_BYTES] != second.body[:_PLACE_BYTES]:
        raise EvidenceInvalid("the statements are about two views")
    if not are_contrary(first.kind, first.what, second.kind, second.what):
        raise EvidenceInvalid("an honest validator may say both")
