"""From the validators of genesis to those of any epoch, by what each epoch's own validators signed.

Nothing is believed but where the walk begins. Source: docs/spec/proof.md, "Verification".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from icn_crypto.hashing import preimage
from icn_crypto.suites import SignedItem, Suite, verify_batch

from icn_chain.certificate import VOTE_TAGS, Certificate, VoteKind, parse_certificate, vote_body
from icn_chain.header import BlockHeader, parse_header
from icn_chain.malformed import MalformedMessage, NoMessage
from icn_chain.protocols import KNOWN_PROTOCOLS, is_protocol_step, known_protocols, unknown_protocol
from icn_chain.recovery import Calendar, RecoveryInvalid, check_recovery, parse_recovery
from icn_chain.validator_set import ValidatorSet, parse_validator_set

Verifier = Callable[[Sequence[SignedItem]], Sequence[bool]]
"""Whether signatures are valid, in order."""


class ProofInvalid(Exception):
    """What was to be shown is not; ``reason`` is stable, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class GenesisFacts(Calendar, Protocol):
    """What genesis says of the chain (`icn_kit.genesis.Genesis`)."""

    @property
    def hash(self) -> bytes:
        """32 bytes."""

    @property
    def time_ms(self) -> int:
        """Block time of height 0."""


@dataclass(frozen=True, slots=True)
class EpochSet:
    """The validators of one epoch, as the walk up to it shows them."""

    epoch: int
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Handover:
    """How one epoch handed over to the next."""

    edge_header: bytes
    descendant_headers: tuple[bytes, ...]
    finalization: bytes
    next_validator_set: bytes
    """Empty when the next set is the epoch's own, and beside a recovery."""
    recovery: bytes = b""
    """Canonical bytes of the RecoveryCertificate that ended the epoch behind the header; mostly empty."""


def first_set(validator_set: bytes) -> EpochSet:
    """The validators of epoch 0, by the bytes that genesis gives."""
    return EpochSet(0, parse_validator_set(validator_set))


def walk(start: EpochSet, steps: Sequence[Handover], zone: GenesisFacts) -> tuple[EpochSet, ...]:
    """The validators of each epoch from the start to where the steps lead; those without a block left out.

    Raises:
        ProofInvalid: see `next_set`.
    """
    sets = [start]
    for step in steps:
        sets.append(next_set(sets[-1], step, zone))
    return tuple(sets)


def next_set(
    current: EpochSet, step: Handover, zone: GenesisFacts, *, verify: Verifier = verify_batch
) -> EpochSet:
    """The set that follows, if the current one finalized the edge header that names it.

    ``verify`` gives verdicts on signatures.

    Raises:
        ProofInvalid: EPOCH_STEP_INVALID, CERTIFICATE_INVALID, VALIDATOR_SET_MISMATCH, RECOVERY_INVALID,
            PROTOCOL_VERSION_UNKNOWN, PROOF_MALFORMED.
    """
    chain = read_chain(zone.hash, step.edge_header, step.descendant_headers, "EPOCH_STEP_INVALID")
    edge, own = chain[0], current.validators
    if edge.epoch != current.epoch or edge.validator_set_hash != own.hash:
        raise ProofInvalid(
            "EPOCH_STEP_INVALID",
            f"the edge header is of epoch {edge.epoch}, the step leaves epoch {current.epoch} and its set",
        )
    if edge.protocol_version != own.protocol_version:
        raise ProofInvalid(
            "EPOCH_STEP_INVALID",
            f"the edge header is of protocol version {edge.protocol_version}, "
            f"its validators decide by {own.protocol_version}",
        )
    if step.recovery:
        check_finalization(step.finalization, chain[-1], current, zone.hash, verify=verify)
        return _recovered_set(step, edge, current, zone)
    if not closes_epoch(edge, zone):
        raise ProofInvalid("EPOCH_STEP_INVALID", f"header {edge.height} does not end epoch {current.epoch}")
    check_finalization(step.finalization, chain[-1], current, zone.hash, verify=verify)
    epoch = zone.epoch_of(edge.time_ms)
    if not step.next_validator_set:
        if edge.next_validator_set_hash != own.hash:
            raise ProofInvalid(
                "VALIDATOR_SET_MISMATCH", "the edge header names another set than the epoch's own"
            )
        return EpochSet(epoch, own)
    try:
        following = parse_validator_set(step.next_validator_set)
    except MalformedMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    if edge.next_validator_set_hash != following.hash:
        raise ProofInvalid("VALIDATOR_SET_MISMATCH", "the next set is not the one that the edge header names")
    if following.hash == own.hash:
        raise ProofInvalid("PROOF_MALFORMED", "a set that stays the same is written as empty")
    before, after = own.protocol_version, following.protocol_version
    if not is_protocol_step(before, after):
        raise ProofInvalid(
            "EPOCH_STEP_INVALID", f"protocol version {after} follows {before}, only the next one may"
        )
    if after not in KNOWN_PROTOCOLS:
        raise ProofInvalid("PROTOCOL_VERSION_UNKNOWN", unknown_protocol(after, edge.height + 1))
    return EpochSet(epoch, following)


def _recovered_set(step: Handover, final: BlockHeader, current: EpochSet, zone: GenesisFacts) -> EpochSet:
    """The set of a recovery certificate that goes on after this header, which the current set finalized."""
    if step.next_validator_set:
        raise ProofInvalid("PROOF_MALFORMED", "a step by recovery names its set twice")
    try:
        certificate = parse_recovery(step.recovery)
    except MalformedMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    try:
        check_recovery(certificate, final, current.validators, zone.hash, zone)
    except RecoveryInvalid as fault:
        raise ProofInvalid("RECOVERY_INVALID", f"{fault.reason}: {fault}") from fault
    return EpochSet(certificate.epoch, certificate.validators)


def read_chain(
    genesis_hash: bytes, first: bytes, descendants: Sequence[bytes], reason: str
) -> list[BlockHeader]:
    """Read a header and its descendants; each names its parent, and keeps the version within an epoch.

    Raises:
        ProofInvalid: ``reason`` when they are no chain, or as `read_header`.
    """
    chain = [read_header(genesis_hash, first)]
    for data in descendants:
        header, parent = read_header(genesis_hash, data), chain[-1]
        if (
            header.parent != parent.hash
            or header.height != parent.height + 1
            or header.time_ms <= parent.time_ms
            or header.view <= parent.view
            or header.epoch < parent.epoch
        ):
            raise ProofInvalid(reason, f"header {header.height} does not follow {parent.height}")
        if header.protocol_version < parent.protocol_version or (
            header.epoch == parent.epoch and header.protocol_version != parent.protocol_version
        ):
            raise ProofInvalid(
                reason,
                f"header {header.height} of epoch {header.epoch} is of protocol version "
                f"{header.protocol_version}, its parent of epoch {parent.epoch} of {parent.protocol_version}",
            )
        chain.append(header)
    return chain


class Timed(Protocol):
    """A header, parsed or as the wire has it."""

    @property
    def time_ms(self) -> int:
        """Block time."""

    @property
    def epoch(self) -> int:
        """Whose validators decide on it."""


def closes_epoch(header: Timed, zone: GenesisFacts) -> bool:
    """Whether the block's time lies past its own epoch: an edge block, or one after it."""
    return header.time_ms >= zone.time_ms and zone.epoch_of(header.time_ms) > header.epoch


def certain_blocks(chain: Sequence[BlockHeader], zone: GenesisFacts) -> list[BlockHeader]:
    """Which headers that follow one another, all final, are certainly blocks of the zone's chain.

    A header whose time lies past its epoch is the epoch's edge block, or was made after it to carry its
    finality and has no place in the chain. It is the edge block where its parent does not end that epoch, or
    where its child is of a later one; where neither can be seen, nothing is certain of it.

    Source: docs/spec/consensus.md, E1 and E2.
    """
    certain = []
    for place, header in enumerate(chain):
        if closes_epoch(header, zone):
            parent = chain[place - 1] if place else None
            child = chain[place + 1] if place + 1 < len(chain) else None
            follows = parent is not None and (parent.epoch < header.epoch or not closes_epoch(parent, zone))
            if not follows and (child is None or child.epoch == header.epoch):
                continue
        certain.append(header)
    return certain


def read_header(genesis_hash: bytes, data: bytes) -> BlockHeader:
    """Read and hash one header.

    Raises:
        ProofInvalid: PROOF_MALFORMED, PROTOCOL_VERSION_UNKNOWN.
    """
    try:
        header = parse_header(genesis_hash, data)
    except MalformedMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    if header.protocol_version not in KNOWN_PROTOCOLS:
        raise ProofInvalid(
            "PROTOCOL_VERSION_UNKNOWN",
            f"header {header.height} is of protocol version {header.protocol_version}; {known_protocols()}",
        )
    return header


def check_finalization(
    data: bytes,
    header: BlockHeader,
    deciding: EpochSet,
    genesis_hash: bytes,
    *,
    verify: Verifier = verify_batch,
) -> None:
    """Accept the header as final if a quorum of the set says so, every signature given being valid.

    ``verify`` gives verdicts on signatures.

    Raises:
        ProofInvalid: CERTIFICATE_INVALID or PROOF_MALFORMED.
    """
    check_certificate(data, VoteKind.FINALIZE, header, deciding, genesis_hash, verify=verify)


def check_certificate(
    data: bytes,
    kind: VoteKind,
    header: BlockHeader,
    deciding: EpochSet,
    genesis_hash: bytes,
    *,
    verify: Verifier = verify_batch,
) -> None:
    """Accept that a quorum of the set voted so on the header, every signature given being valid.

    ``verify`` gives verdicts on signatures.

    Raises:
        ProofInvalid: CERTIFICATE_INVALID or PROOF_MALFORMED.
    """
    try:
        certificate = parse_certificate(data)
    except NoMessage as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
    except MalformedMessage as error:
        raise ProofInvalid("CERTIFICATE_INVALID", str(error)) from error
    version = deciding.validators.protocol_version
    if header.protocol_version != version:
        raise ProofInvalid(
            "CERTIFICATE_INVALID",
            f"header {header.height} is of protocol version {header.protocol_version}, "
            f"its validators decide by {version}",
        )
    expected = {
        "kind": kind,
        "protocol_version": version,
        "epoch": deciding.epoch,
        "view": header.view,
        "height": header.height,
        "block_hash": header.hash,
    }
    for name, value in expected.items():
        if getattr(certificate, name) != value:
            raise ProofInvalid("CERTIFICATE_INVALID", f"the certificate's {name} is not the header's")
    check_quorum(certificate, deciding, genesis_hash, verify=verify)


def check_quorum(
    certificate: Certificate, deciding: EpochSet, genesis_hash: bytes, *, verify: Verifier = verify_batch
) -> None:
    """Accept that a quorum of the set signed what the certificate says, every signature given being valid.

    Raises:
        ProofInvalid: CERTIFICATE_INVALID.
    """
    validators, signatures = deciding.validators, certificate.signatures
    if signatures and signatures[-1][0] >= validators.seats:
        raise ProofInvalid(
            "CERTIFICATE_INVALID", f"seat {signatures[-1][0]} signed, the set has {validators.seats}"
        )
    if len(signatures) < validators.quorum:
        raise ProofInvalid(
            "CERTIFICATE_INVALID",
            f"{len(signatures)} of {validators.seats} seats signed, a quorum is {validators.quorum}",
        )
    signed = preimage(
        VOTE_TAGS[certificate.kind],
        genesis_hash,
        vote_body(
            certificate.protocol_version,
            certificate.epoch,
            certificate.view,
            certificate.height,
            certificate.block_hash,
        ),
    )
    verdicts = verify(
        [
            (Suite.ED25519, validators.public_keys[seat], signed, signature)
            for seat, signature in certificate.signatures
        ]
    )
    for (seat, _), is_valid in zip(certificate.signatures, verdicts, strict=True):
        if not is_valid:
            raise ProofInvalid("CERTIFICATE_INVALID", f"the signature of seat {seat} is not valid")
