"""The second sort of evidence: a leader signed a proposal that is invalid whatever the state is.

What a leader signs is a header: so what can be shown is a fault of the header, or of something whose hash the
header holds. Each fault below is one that no replica that follows docs/spec/block.md ever signs; where that
depends on anything else than genesis, the set of the epoch and the bytes shown, it is none of them.

Source: docs/spec/consensus.md, "Evidence".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from google.protobuf.message import DecodeError
from icn.consensus.v1 import block_pb2
from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES
from icn_crypto.merkle_log import EMPTY_ROOT, inclusion_proof, leaf_hash, verify_inclusion

from icn_chain.certificate import (
    SIGNATURE_BYTES,
    VOTE_TAGS,
    VoteKind,
    certificate_digest,
    parse_certificate,
    vote_body,
)
from icn_chain.envelope import read_envelope
from icn_chain.epochs import GenesisFacts, closes_epoch
from icn_chain.grounds import Grounds
from icn_chain.header import NO_HASH, BlockHeader, header_hash, parse_header, proposal_body
from icn_chain.malformed import EvidenceInvalid, MalformedMessage
from icn_chain.validator_set import ValidatorSet

SORT: Final = 4
"""In the place where an equivocation has the kind of its first statement."""
INVALID_PROPOSAL_BYTES_MAX: Final = 57_344
"""With two signatures of ML-DSA-65 it fits a transaction of 65,536 bytes."""
SHOWN_TRANSACTION_BYTES_MAX: Final = INVALID_PROPOSAL_BYTES_MAX - 2_048
"""Header and way to the root take less than the rest."""
_FIXED_BYTES: Final = 4 + 1 + 1 + 8 + SIGNATURE_BYTES
_LENGTH_BYTES: Final = 4


class ProposalFault(IntEnum):
    """Where the fault is; what is shown besides the header, its exhibits, follows from it."""

    HEADER = 0
    """In the header alone. Nothing."""
    PARENT = 1
    """Between the header and its parent's. The parent's header."""
    PARENT_CERTIFICATE = 2
    """In the notarization that the header names. u32be position of a wrong signature, or 0 ‖ certificate."""
    FINALIZATION = 3
    """In the finalization that the header names. The same."""
    TRANSACTION = 4
    """In a transaction. A `leaf`."""
    ONE_SEQUENCE_TWICE = 5
    """Between two transactions. Two leaves."""


_EXHIBITS: Final[Mapping[ProposalFault, int]] = {
    ProposalFault.HEADER: 0,
    ProposalFault.PARENT: 1,
    ProposalFault.PARENT_CERTIFICATE: 1,
    ProposalFault.FINALIZATION: 1,
    ProposalFault.TRANSACTION: 1,
    ProposalFault.ONE_SEQUENCE_TWICE: 2,
}


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal as its leader signed it, and of its block's body what is at hand."""

    seat: int
    parent_view: int
    signature: bytes
    header: bytes
    """Bytes, which may be none of a header."""
    transactions: Sequence[bytes] = ()
    parent_certificate: bytes = b""
    finalization: bytes = b""
    parent: bytes = b""
    """The parent's header, where known."""


@dataclass(frozen=True, slots=True)
class InvalidProposal:
    """A signed header with what shows its fault. Made by `find` or `parse`."""

    seat: int
    fault: ProposalFault
    parent_view: int
    signature: bytes
    header: bytes
    """Bytes, which may be none of a header."""
    exhibits: tuple[bytes, ...]
    epoch: int
    """Whose validator set the seat is of, as the header says."""
    view: int
    """In which it was proposed, as the header says."""

    @property
    def said(self) -> tuple[str, ...]:
        """What the seat said, for people."""
        return (f"invalid proposal ({self.fault.name.lower().replace('_', ' ')})",)

    def encode(self) -> bytes:
        """u32be seat ‖ u8 4 ‖ u8 fault ‖ u64be parent view ‖ signature, then header and exhibits, each u32be
        length ‖ bytes."""
        parts = [self.seat.to_bytes(4, "big"), bytes([SORT, self.fault])]
        parts += [self.parent_view.to_bytes(8, "big"), self.signature]
        for shown in (self.header, *self.exhibits):
            parts += [len(shown).to_bytes(_LENGTH_BYTES, "big"), shown]
        return b"".join(parts)

    def check(self, grounds: Grounds) -> str:
        """Accept it as the seat's; what is wrong with the proposal, for people.

        Raises:
            EvidenceInvalid: it proves nothing.
        """
        self.check_signed(grounds)
        return self.check_shown(grounds)

    def check_signed(self, grounds: Grounds) -> None:
        """Accept the header as the seat's, whatever it shows.

        Raises:
            EvidenceInvalid: it is not.
        """
        body = _signed_body(grounds, self.header, self.parent_view)
        grounds.check_signed(self.seat, self.epoch, tags.PROPOSAL, body, self.signature)

    def check_shown(self, grounds: Grounds) -> str:
        """As `check`, of a header that the seat has signed."""
        try:
            header = parse_header(grounds.zone.hash, self.header)
        except MalformedMessage as error:
            if self.fault is ProposalFault.HEADER:
                return str(error)
            raise EvidenceInvalid("a header that is none shows nothing but itself") from None
        found = _CHECKS[self.fault](_Case(grounds, self.seat, self.parent_view, header), *self.exhibits)
        if found is None:
            raise EvidenceInvalid("an honest validator may propose it")
        return found


def parse(data: bytes) -> InvalidProposal:
    """Read a proof; whether it shows anything is another question (`InvalidProposal.check`).

    Raises:
        EvidenceInvalid: not its one encoding, or the header cannot be read at all.
    """
    if len(data) > INVALID_PROPOSAL_BYTES_MAX:
        raise EvidenceInvalid(f"{len(data)} bytes, at most {INVALID_PROPOSAL_BYTES_MAX}")
    if len(data) < _FIXED_BYTES or data[4] != SORT or data[5] not in tuple(ProposalFault):
        raise EvidenceInvalid("not evidence of an invalid proposal")
    fault = ProposalFault(data[5])
    shown = list(_split(data[_FIXED_BYTES:]))
    if len(shown) != 1 + _EXHIBITS[fault]:
        raise EvidenceInvalid(f"{len(shown)} exhibits with the header, must be {1 + _EXHIBITS[fault]}")
    return _made(
        int.from_bytes(data[:4], "big"),
        fault,
        int.from_bytes(data[6:14], "big"),
        data[14:_FIXED_BYTES],
        shown,
    )


def find(grounds: Grounds, proposed: Proposed) -> InvalidProposal | None:
    """Evidence from a proposal that was found invalid; None when what is wrong cannot be shown to others.

    Args:
        grounds: of the epoch that the header names.
        proposed: by the seat, whose signature is verified here.
    """
    is_signed = False
    for fault, exhibits in _candidates(proposed):
        shown = [proposed.header, *exhibits]
        try:
            made = _made(proposed.seat, fault, proposed.parent_view, proposed.signature, shown)
            if not is_signed:
                made.check_signed(grounds)
                is_signed = True
            made.check_shown(grounds)
        except EvidenceInvalid:
            if not is_signed:
                return None
            continue
        if len(made.encode()) <= INVALID_PROPOSAL_BYTES_MAX:
            return made
    return None


def leaf(transactions: Sequence[bytes], index: int) -> bytes:
    """A transaction with its way to the root: u32be index, size ‖ u8 count ‖ hashes ‖ transaction."""
    path = inclusion_proof([leaf_hash(transaction) for transaction in transactions], index)
    head = index.to_bytes(4, "big") + len(transactions).to_bytes(4, "big") + bytes([len(path)])
    return b"".join((head, *path, transactions[index]))


@dataclass(frozen=True, slots=True)
class _Case:
    """A signed header, and what it is judged by."""

    grounds: Grounds
    seat: int
    parent_view: int
    header: BlockHeader

    @property
    def zone(self) -> GenesisFacts:
        """Whose chain it is."""
        return self.grounds.zone

    @property
    def validators(self) -> ValidatorSet:
        """Of the header's epoch."""
        return self.grounds.validators

    @property
    def is_recovery(self) -> bool:
        """Whether the block may be the first after a recovery, which has no parent certificate."""
        return self.header.height > 1 and self.header.parent_certificate_digest == NO_HASH


def _made(
    seat: int, fault: ProposalFault, parent_view: int, signature: bytes, shown: Sequence[bytes]
) -> InvalidProposal:
    header = _read_loosely(shown[0])
    return InvalidProposal(
        seat, fault, parent_view, signature, shown[0], tuple(shown[1:]), header.epoch, header.view
    )


def _read_loosely(header: bytes) -> block_pb2.BlockHeader:
    """The fields, whatever their bounds and form: enough to know what was signed."""
    try:
        return block_pb2.BlockHeader.FromString(header)
    except DecodeError:
        raise EvidenceInvalid("the header cannot be read at all") from None


def _signed_body(grounds: Grounds, header: bytes, parent_view: int) -> bytes:
    """What the leader of this header signed. Raises EvidenceInvalid where other rules are in force for it.

    Which those are says the set of the epoch, never the release: whoever records evidence must agree.
    """
    fields, version = _read_loosely(header), grounds.validators.protocol_version
    if fields.protocol_version != version:
        raise EvidenceInvalid(
            f"the header is of protocol version {fields.protocol_version}, the seats of its epoch decide "
            f"by {version}"
        )
    return proposal_body(
        protocol_version=fields.protocol_version,
        epoch=fields.epoch,
        view=fields.view,
        height=fields.height,
        parent_view=parent_view,
        block_hash=header_hash(grounds.zone.hash, header),
    )


def _split(data: bytes) -> Iterator[bytes]:
    while data:
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        if len(data) < end:
            raise EvidenceInvalid("an exhibit ends too early")
        yield data[_LENGTH_BYTES:end]
        data = data[end:]


def _candidates(proposed: Proposed) -> Iterator[tuple[ProposalFault, tuple[bytes, ...]]]:
    """What could be shown, the least first."""
    yield ProposalFault.HEADER, ()
    if proposed.parent:
        yield ProposalFault.PARENT, (proposed.parent,)
    for fault, certificate in (
        (ProposalFault.PARENT_CERTIFICATE, proposed.parent_certificate),
        (ProposalFault.FINALIZATION, proposed.finalization),
    ):
        if certificate:
            yield from ((fault, (at.to_bytes(4, "big") + certificate,)) for at in _positions(certificate))
    yield from _of_transactions(proposed.transactions)


def _of_transactions(transactions: Sequence[bytes]) -> Iterator[tuple[ProposalFault, tuple[bytes, ...]]]:
    """The first transaction, and the first two, that show a fault and are small enough to be shown."""
    sequences: dict[tuple[bytes, int, int], int] = {}
    malformed: int | None = None
    for index, transaction in enumerate(transactions):
        if len(transaction) > SHOWN_TRANSACTION_BYTES_MAX:
            continue
        try:
            _, body = read_envelope(transaction)
        except MalformedMessage:
            malformed = index if malformed is None else malformed
            continue
        earlier = sequences.setdefault((body.principal, body.lane, body.sequence), index)
        if earlier != index:
            leaves = tuple(leaf(transactions, at) for at in (earlier, index))
            yield ProposalFault.ONE_SEQUENCE_TWICE, leaves
            break
    if malformed is not None:
        yield ProposalFault.TRANSACTION, (leaf(transactions, malformed),)


def _positions(certificate: bytes) -> range:
    """Of signatures in it; 0 alone where it is none."""
    try:
        return range(max(1, len(parse_certificate(certificate).signatures)))
    except MalformedMessage:
        return range(1)


def _header(case: _Case) -> str | None:  # noqa: PLR0911 - one line per rule
    header, zone = case.header, case.zone
    _check_set(case)
    if case.seat != case.validators.leader(header.view):
        return f"view {header.view} is the turn of seat {case.validators.leader(header.view)}"
    if header.height == 0:
        return "height 0 is genesis"
    if header.view <= case.parent_view:
        return f"view {header.view} is not after the parent's, {case.parent_view}"
    if header.time_ms < zone.time_ms + header.height:
        return f"time {header.time_ms} at height {header.height} is before every possible parent's"
    if header.executed_height >= header.height:
        return f"executed_height {header.executed_height} at height {header.height}"
    if header.next_validator_set_hash != header.validator_set_hash and not closes_epoch(header, zone):
        return "it names another set before the epoch's edge"
    if header.height == 1:
        has_parent_view = case.parent_view or header.parent_certificate_digest != NO_HASH
        return "genesis has no notarization, and view 0" if has_parent_view else None
    if not case.is_recovery and case.parent_view < header.height - 1:
        return f"the parent's view {case.parent_view} is below its height {header.height - 1}"
    return None


def _parent(case: _Case, data: bytes) -> str | None:  # noqa: PLR0911 - one line per rule
    header = case.header
    try:
        parent = parse_header(case.zone.hash, data)
    except MalformedMessage as error:
        raise EvidenceInvalid(f"the parent's header: {error}") from None
    if parent.hash != header.parent or case.is_recovery:
        raise EvidenceInvalid("not the header of the parent, or of a block that extends a recovery")
    if header.height != parent.height + 1:
        return f"height {header.height} after {parent.height}"
    if case.parent_view != parent.view:
        return f"the parent's view is {parent.view}, not {case.parent_view}"
    if header.time_ms <= parent.time_ms:
        return f"time {header.time_ms} after {parent.time_ms}"
    if header.epoch != parent.epoch:
        return _handover(case.zone, header, parent)
    is_newer = header.executed_height > parent.executed_height
    if is_newer != (header.finalization_digest != NO_HASH) or header.executed_height < parent.executed_height:
        carried = "with" if header.finalization_digest != NO_HASH else "without"
        return (
            f"executed_height {header.executed_height} after {parent.executed_height}, {carried} finalization"
        )
    if header.validator_set_hash != parent.validator_set_hash:
        return "the validator set changes within an epoch"
    if closes_epoch(parent, case.zone):
        if header.transactions_root != EMPTY_ROOT:
            return "a block after the edge block is not empty"
        if header.next_validator_set_hash != parent.next_validator_set_hash:
            return "a block after the edge block names another set"
    return None


def _handover(zone: GenesisFacts, header: BlockHeader, edge: BlockHeader) -> str | None:
    """Rules of the first block of an epoch."""
    if not closes_epoch(edge, zone) or header.epoch != zone.epoch_of(edge.time_ms):
        return f"epoch {header.epoch} does not follow block {edge.height} of epoch {edge.epoch}"
    if header.validator_set_hash != edge.next_validator_set_hash:
        return "the validator set is not the one that the edge block names"
    if header.executed_height != edge.height or header.finalization_digest == NO_HASH:
        return f"executed_height {header.executed_height}, or no finalization, after edge block {edge.height}"
    return None


def _parent_certificate(case: _Case, exhibit: bytes) -> str | None:
    header, data = case.header, exhibit[4:]
    _check_digest(data, header.parent_certificate_digest)
    try:
        certificate = parse_certificate(data)
    except MalformedMessage as error:
        return f"the parent certificate: {error}"
    is_of_parent = (
        certificate.kind == VoteKind.NOTARIZE
        and certificate.block_hash == header.parent
        and certificate.height == header.height - 1
        and certificate.view == case.parent_view
    )
    if not is_of_parent or certificate.epoch > header.epoch:
        return "the parent certificate is not the parent's notarization"
    return _signatures(case, exhibit)


def _finalization(case: _Case, exhibit: bytes) -> str | None:
    header, data = case.header, exhibit[4:]
    _check_digest(data, header.finalization_digest)
    if case.is_recovery:
        raise EvidenceInvalid("a block that may carry a recovery carries no finalization")
    try:
        certificate = parse_certificate(data)
    except MalformedMessage as error:
        return f"the finalization: {error}"
    if certificate.kind != VoteKind.FINALIZE or certificate.epoch > header.epoch:
        return "the finalization is none, or of a later epoch"
    if certificate.epoch == header.epoch and certificate.height != header.executed_height:
        return f"executed_height {header.executed_height}, the finalization's is {certificate.height}"
    if certificate.epoch < header.epoch and certificate.height < header.executed_height:
        return (
            f"executed_height {header.executed_height}, the closed epoch's finalization {certificate.height}"
        )
    return _signatures(case, exhibit)


def _check_set(case: _Case) -> None:
    """Turns and quorums are judged only by the set that the header itself names: who checks may know an older
    one, and would convict an honest leader by it. Raises EvidenceInvalid."""
    if case.header.validator_set_hash != case.validators.hash:
        raise EvidenceInvalid("the header names another set than the one it is judged by")


def _check_digest(data: bytes, digest: bytes) -> None:
    if not data or certificate_digest(data) != digest:
        raise EvidenceInvalid("not the certificate that the header names")


def _signatures(case: _Case, exhibit: bytes) -> str | None:
    """A certificate of the header's own epoch: too few signatures, or a wrong one at the position shown."""
    position, certificate = int.from_bytes(exhibit[:4], "big"), parse_certificate(exhibit[4:])
    validators, signatures = case.validators, certificate.signatures
    if certificate.epoch != case.header.epoch:
        return None
    _check_set(case)
    if len(signatures) < validators.quorum or signatures[-1][0] >= validators.seats:
        return f"{len(signatures)} of {validators.seats} seats signed a certificate"
    if position >= len(signatures):
        return None
    seat, signature = signatures[position]
    body = vote_body(
        certificate.protocol_version,
        certificate.epoch,
        certificate.view,
        certificate.height,
        certificate.block_hash,
    )
    if case.grounds.is_signed(seat, VOTE_TAGS[certificate.kind], body, signature):
        return None
    return f"the signature of seat {seat} in a certificate is not valid"


def _transaction(case: _Case, exhibit: bytes) -> str | None:
    *_, transaction = _read_leaf(case, exhibit)
    try:
        read_envelope(transaction)
    except MalformedMessage as error:
        return f"a transaction: {error}"
    return None


def _one_sequence_twice(case: _Case, exhibit: bytes, other_exhibit: bytes) -> str | None:
    index, size, transaction = _read_leaf(case, exhibit)
    other_index, other_size, other = _read_leaf(case, other_exhibit)
    # A root does not say how many leaves it has; two ways in one tree part somewhere, so they are two leaves.
    if size != other_size or index >= other_index:
        raise EvidenceInvalid("not two places of one tree, in order")
    try:
        used = [
            (body.principal, body.lane, body.sequence) for _, body in map(read_envelope, (transaction, other))
        ]
    except MalformedMessage as error:
        raise EvidenceInvalid(f"a transaction: {error}") from None
    return f"transactions {index} and {other_index} use one sequence" if used[0] == used[1] else None


def _read_leaf(case: _Case, exhibit: bytes) -> tuple[int, int, bytes]:
    """(index, size, transaction) of a `leaf` under the header's root. Raises EvidenceInvalid."""
    if len(exhibit) < 9:
        raise EvidenceInvalid("a leaf ends too early")
    index, size = int.from_bytes(exhibit[:4], "big"), int.from_bytes(exhibit[4:8], "big")
    end = 9 + exhibit[8] * HASH_BYTES
    path = [exhibit[at : at + HASH_BYTES] for at in range(9, end, HASH_BYTES)]
    transaction, root = exhibit[end:], case.header.transactions_root
    if not verify_inclusion(leaf_index=index, size=size, leaf=leaf_hash(transaction), proof=path, root=root):
        raise EvidenceInvalid("the transaction is not in the block")
    return index, size, transaction


_CHECKS: Final[Mapping[ProposalFault, Callable[..., str | None]]] = {
    ProposalFault.HEADER: _header,
    ProposalFault.PARENT: _parent,
    ProposalFault.PARENT_CERTIFICATE: _parent_certificate,
    ProposalFault.FINALIZATION: _finalization,
    ProposalFault.TRANSACTION: _transaction,
    ProposalFault.ONE_SEQUENCE_TWICE: _one_sequence_twice,
}
