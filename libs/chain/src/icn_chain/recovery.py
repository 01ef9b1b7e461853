"""Recovery certificates: how the seated organizations start a chain again whose validators lost their signing
records. All that is needed to check one is in it, but for the header and the set of the block that it names.

Source: docs/spec/consensus.md, "Recovery"; docs/spec/block.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from icn.consensus.v1 import block_pb2
from icn.ledger.v1 import state_pb2
from icn_crypto import tags
from icn_crypto.hashing import HASH_BYTES, domain_hash, preimage
from icn_crypto.possession import is_possessed
from icn_crypto.state_proof import InvalidProof, Proof, verify_inclusion
from icn_crypto.state_tree import state_key
from icn_crypto.suites import InvalidPublicKey, SignedItem, Suite, check_public_key, key_id, verify_batch

from icn_chain.certificate import certificate_digest
from icn_chain.header import INTEGER_MAX, BlockHeader
from icn_chain.malformed import MalformedMessage, parse
from icn_chain.quorum import SEATS_MAX
from icn_chain.validator_set import VALIDATOR_SET_BYTES_MAX, ValidatorSet, parse_validator_set

RECOVERY_BYTES_MAX: Final = 768 * 1024
"""Fifty seats with keys of two suites, and 34 controllers with their proofs, take about 600 kB."""
BLOCK_ROOM_BYTES: Final = 1_024
"""What a block holds beside its certificate at least: its header, tags and lengths."""
BODY_BYTES_MAX: Final = VALIDATOR_SET_BYTES_MAX + 256 * 1024
CONTROLLER_BYTES_MAX: Final = 66_560
"""As proof.md says of a leaf."""
STATE_PROOF_BYTES_MAX: Final = 32 * 1024
"""256 siblings of 67 characters stay below it."""
SIGNATURES_MAX: Final = 64
"""Of one organization; a controller has at most 16 keys (docs/spec/transaction.md)."""
CONTROLLER_NAMESPACE: Final = 1
"""docs/spec/transaction.md, "Leaves and namespaces"."""


class RecoveryInvalid(Exception):
    """A well-formed certificate that starts no chain again after this block; ``reason`` is stable."""

    def __init__(self, reason: str, message: str, **figures: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.figures = figures
        """The numbers that were compared."""


class Calendar(Protocol):
    """What genesis says of epochs."""

    def epoch_of(self, time_ms: int) -> int:
        """Epoch that a block time, not before genesis, lies in."""


class RecoverySignature(NamedTuple):
    """By one key of an organization."""

    key_id: bytes
    suite: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class Endorsement:
    """What one organization signed, and that its keys are its own."""

    organization: bytes
    threshold: int
    public_keys: dict[bytes, dict[int, bytes]] = field(repr=False)
    """By key id and suite; keys without a scope only, which count towards the threshold."""
    controller: bytes = field(repr=False)
    """Canonical bytes of the organization's ControllerLeaf."""
    state_proof: Proof = field(repr=False)
    signatures: tuple[RecoverySignature, ...] = field(repr=False)
    """Ascending by key id, no key twice."""


@dataclass(frozen=True, slots=True)
class RecoveryCertificate:
    """A parsed certificate; whether it holds is for `check_recovery`."""

    protocol_version: int
    epoch: int
    """Which it begins."""
    height: int
    """Of the final block after which the chain goes on."""
    block_hash: bytes
    state_root: bytes
    """After executing that block."""
    validators: ValidatorSet = field(repr=False)
    possessions: tuple[bytes, ...] = field(repr=False)
    """One per key, in the order of the set."""
    endorsements: tuple[Endorsement, ...] = field(repr=False)
    """Ascending by organization."""
    body: bytes = field(repr=False)
    """Canonical bytes of the RecoveryBody: what was signed."""
    data: bytes = field(repr=False)
    """Canonical bytes of the icn.consensus.v1.RecoveryCertificate."""


def recovery_digest(genesis_hash: bytes, data: bytes) -> bytes:
    """What the header of the first block of the epoch names, of a certificate's bytes.

    Under a tag of its own: else the same bytes could be read as a finalization.
    """
    return domain_hash(tags.RECOVERY_DIGEST, genesis_hash, data)


def finality_digest(genesis_hash: bytes, finalization: bytes, recovery: bytes) -> bytes:
    """What a header names of the finalization or the recovery that its body carries, zeros for neither."""
    return recovery_digest(genesis_hash, recovery) if recovery else certificate_digest(finalization)


def recovery_preimage(genesis_hash: bytes, body: bytes) -> bytes:
    """What an organization's key signs."""
    return preimage(tags.RECOVERY, genesis_hash, body)


def build_body(
    *,
    protocol_version: int,
    epoch: int,
    height: int,
    block_hash: bytes,
    state_root: bytes,
    validator_set: bytes,
    possessions: Sequence[bytes],
) -> bytes:
    """Canonical bytes of a RecoveryBody."""
    return block_pb2.RecoveryBody(
        protocol_version=protocol_version,
        epoch=epoch,
        height=height,
        block_hash=block_hash,
        state_root=state_root,
        validator_set=validator_set,
        possessions=possessions,
    ).SerializeToString(deterministic=True)


def build_certificate(
    body: bytes, endorsements: Sequence[tuple[bytes, str, Sequence[RecoverySignature]]]
) -> RecoveryCertificate:
    """A certificate of a body and, ascending by organization, (controller leaf, state proof, signatures).

    Raises:
        MalformedMessage: as `parse_recovery`.
    """
    data = block_pb2.RecoveryCertificate(
        body=body,
        endorsements=[
            block_pb2.RecoveryEndorsement(
                controller=controller,
                state_proof=state_proof,
                signatures=[
                    block_pb2.RecoverySignature(key_id=one.key_id, suite=one.suite, signature=one.signature)
                    for one in signatures
                ],
            )
            for controller, state_proof, signatures in endorsements
        ],
    ).SerializeToString(deterministic=True)
    return parse_recovery(data)


class RecoveryPeek(NamedTuple):
    """What a certificate names, before the rest of it was looked at; as in `RecoveryCertificate`."""

    epoch: int
    height: int
    block_hash: bytes
    state_root: bytes
    data: bytes


def peek_recovery(data: bytes) -> RecoveryPeek:
    """Read what is to be signed alone: a fiftieth of the work of `parse_recovery`.

    Raises:
        MalformedMessage: too long, no RecoveryCertificate at all, or as `parse_body`.
    """
    if len(data) > RECOVERY_BYTES_MAX:
        raise MalformedMessage(f"a recovery certificate of {len(data)} bytes, at most {RECOVERY_BYTES_MAX}")
    try:
        message = block_pb2.RecoveryCertificate.FromString(data)
    except Exception as error:
        raise MalformedMessage("not a RecoveryCertificate") from error
    body = parse_body(message.body)
    return RecoveryPeek(body.epoch, body.height, body.block_hash, body.state_root, data)


def parse_recovery(data: bytes) -> RecoveryCertificate:
    """Read a certificate.

    Raises:
        MalformedMessage: not canonical, lengths or integers out of bounds, a set that is none, a possession
            too many or too few, organizations or keys that do not ascend, a controller or proof that is none.
    """
    message = parse(block_pb2.RecoveryCertificate, data, RECOVERY_BYTES_MAX)
    body = parse_body(message.body)
    validators = parse_validator_set(body.validator_set)
    if len(body.possessions) != sum(len(seat.keys) for seat in validators.validators):
        raise MalformedMessage(f"{len(body.possessions)} possessions, one per key is needed")
    if len(message.endorsements) > SEATS_MAX:
        raise MalformedMessage(f"{len(message.endorsements)} organizations, at most {SEATS_MAX}")
    endorsements = tuple(_parse_endorsement(one) for one in message.endorsements)
    if any(one.organization >= other.organization for one, other in pairwise(endorsements)):
        raise MalformedMessage("organizations do not ascend")
    return RecoveryCertificate(
        body.protocol_version,
        body.epoch,
        body.height,
        body.block_hash,
        body.state_root,
        validators,
        tuple(body.possessions),
        endorsements,
        message.body,
        data,
    )


def parse_body(data: bytes) -> block_pb2.RecoveryBody:
    """Read what is signed.

    Raises:
        MalformedMessage: not canonical, a hash not of 32 bytes, height 0, or an integer above 2^63 − 1.
    """
    body = parse(block_pb2.RecoveryBody, data, BODY_BYTES_MAX)
    if {len(body.block_hash), len(body.state_root)} != {HASH_BYTES}:
        raise MalformedMessage("a hash in the recovery is not of 32 bytes")
    if not 0 < body.height <= INTEGER_MAX or not 0 < body.epoch <= INTEGER_MAX:
        raise MalformedMessage(f"height {body.height} or epoch {body.epoch} of the recovery is out of range")
    return body


def check_recovery(
    certificate: RecoveryCertificate,
    header: BlockHeader,
    seated: ValidatorSet,
    genesis_hash: bytes,
    calendar: Calendar,
) -> None:
    """Pass when the certificate starts the chain again after the block of this header.

    That the header is final, that the state after it has the certificate's root, and that the keys were never
    named before, is for who has the chain and the state.

    Args:
        header: the block's.
        seated: the set of the block's epoch, whose hash the header names.

    Raises:
        RecoveryInvalid: as `check_terms`, or RECOVERY_QUORUM_NOT_MET, NOT_SEATED,
            RECOVERY_CONTROLLER_UNPROVEN, THRESHOLD_NOT_MET, KEY_UNKNOWN, SIGNATURE_INVALID: the first rule
            that fails.
    """
    check_terms(certificate, header, seated, genesis_hash, calendar)
    _check_endorsements(certificate, header, seated, genesis_hash)


def check_terms(
    certificate: RecoveryCertificate,
    header: BlockHeader,
    seated: ValidatorSet,
    genesis_hash: bytes,
    calendar: Calendar,
) -> None:
    """Pass when an organization may sign: all but the signatures of `check_recovery`; see there.

    Raises:
        RecoveryInvalid: RECOVERY_OTHER_BLOCK, PROTOCOL_VERSION_UNKNOWN, RECOVERY_EPOCH_INVALID,
            RECOVERY_SEATS_CHANGED, CONSENSUS_KEY_USED, INVALID_KEY, POSSESSION_UNPROVEN: the first of them.
    """
    assert header.validator_set_hash == seated.hash, "the caller found the header's set"
    if (certificate.height, certificate.block_hash) != (header.height, header.hash):
        raise RecoveryInvalid(
            "RECOVERY_OTHER_BLOCK",
            f"it names block {certificate.block_hash.hex()} at height {certificate.height}, "
            f"not {header.hash.hex()} at height {header.height}",
            height=certificate.height,
            final_height=header.height,
        )
    version, of_set = certificate.protocol_version, certificate.validators.protocol_version
    if not version == of_set == header.protocol_version:
        raise RecoveryInvalid(
            "PROTOCOL_VERSION_UNKNOWN",
            f"it is of protocol version {version} and its set of {of_set}, "
            f"the block of {header.protocol_version}",
        )
    closed = max(header.epoch, calendar.epoch_of(header.time_ms))
    if certificate.epoch <= closed:
        raise RecoveryInvalid(
            "RECOVERY_EPOCH_INVALID",
            f"it begins epoch {certificate.epoch}, the block lies in epoch {closed}",
            epoch=certificate.epoch,
            epoch_closed=closed,
        )
    _check_seats(certificate, seated)
    _check_possessions(certificate, genesis_hash)


def _check_seats(certificate: RecoveryCertificate, seated: ValidatorSet) -> None:
    """The same organizations in the same places, with keys of which none has decided."""
    following = certificate.validators
    if following.organizations != seated.organizations:
        raise RecoveryInvalid(
            "RECOVERY_SEATS_CHANGED",
            "its seats are not those of the organizations that hold them at the block",
        )
    keys = [public_key for seat in following.validators for _, public_key in seat.keys]
    if len(set(keys)) != len(keys) or seated.keys_of_every_suite & set(keys):
        raise RecoveryInvalid("CONSENSUS_KEY_USED", "a key is named twice, or decided before")
    for seat in following.validators:
        for suite, public_key in seat.keys:
            try:
                check_public_key(suite, public_key)
            except InvalidPublicKey as error:
                raise RecoveryInvalid("INVALID_KEY", f"{seat.organization.hex()}: {error}") from None


def _check_endorsements(
    certificate: RecoveryCertificate, header: BlockHeader, seated: ValidatorSet, genesis_hash: bytes
) -> None:
    count = len(certificate.endorsements)
    if count < seated.quorum:
        raise RecoveryInvalid(
            "RECOVERY_QUORUM_NOT_MET",
            f"{count} of {seated.seats} organizations signed, {seated.quorum} must",
            signed=count,
            quorum=seated.quorum,
        )
    organizations = set(seated.organizations)
    signed = recovery_preimage(genesis_hash, certificate.body)
    items: list[SignedItem] = []
    for one in certificate.endorsements:
        if one.organization not in organizations:
            raise RecoveryInvalid("NOT_SEATED", f"{one.organization.hex()} holds no seat at the block")
        key = state_key(CONTROLLER_NAMESPACE, one.organization)
        if not verify_inclusion(header.state_root, key, one.controller, one.state_proof):
            raise RecoveryInvalid(
                "RECOVERY_CONTROLLER_UNPROVEN",
                f"the keys of {one.organization.hex()} are not in the state that the block names",
            )
        items += _items_of(one, signed)
    for item, is_valid in zip(items, verify_batch(items), strict=True):
        if not is_valid:
            raise RecoveryInvalid("SIGNATURE_INVALID", f"the signature with {item[1].hex()} is not valid")


def _items_of(one: Endorsement, signed: bytes) -> Iterator[SignedItem]:
    if len(one.signatures) < one.threshold:
        raise RecoveryInvalid(
            "THRESHOLD_NOT_MET",
            f"{len(one.signatures)} keys of {one.organization.hex()} signed, "
            f"the threshold is {one.threshold}",
            signed=len(one.signatures),
            threshold=one.threshold,
        )
    for signature in one.signatures:
        public_key = one.public_keys.get(signature.key_id, {}).get(signature.suite)
        if public_key is None:
            raise RecoveryInvalid(
                "KEY_UNKNOWN",
                f"{one.organization.hex()} has no key {signature.key_id.hex()} of suite {signature.suite} "
                "without a scope",
            )
        yield signature.suite, public_key, signed, signature.signature


def _check_possessions(certificate: RecoveryCertificate, genesis_hash: bytes) -> None:
    keys = (
        (seat.organization, suite, public_key)
        for seat in certificate.validators.validators
        for suite, public_key in seat.keys
    )
    for (organization, suite, public_key), possession in zip(keys, certificate.possessions, strict=True):
        if not is_possessed(suite, public_key, possession, genesis_hash, organization):
            raise RecoveryInvalid(
                "POSSESSION_UNPROVEN", f"{organization.hex()} has not shown that it has {public_key.hex()}"
            )


def _parse_endorsement(message: block_pb2.RecoveryEndorsement) -> Endorsement:
    if len(message.signatures) > SIGNATURES_MAX:
        raise MalformedMessage(f"{len(message.signatures)} signatures, at most {SIGNATURES_MAX}")
    signatures = tuple(RecoverySignature(one.key_id, one.suite, one.signature) for one in message.signatures)
    if any(one.key_id >= other.key_id for one, other in pairwise(signatures)):
        raise MalformedMessage("keys of an organization do not ascend")
    leaf = parse(state_pb2.ControllerLeaf, message.controller, CONTROLLER_BYTES_MAX)
    return Endorsement(
        leaf.principal,
        leaf.threshold,
        _unscoped(leaf),
        message.controller,
        _parse_proof(message.state_proof),
        signatures,
    )


def _unscoped(leaf: state_pb2.ControllerLeaf) -> dict[bytes, dict[int, bytes]]:
    found = {}
    for key in leaf.keys:
        public_keys = {one.suite: one.public_key for one in key.public_keys}
        if public_keys and not key.HasField("scope") and set(public_keys) <= set(Suite):
            found[key_id({Suite(suite): one for suite, one in public_keys.items()})] = public_keys
    return found


def _parse_proof(text: str) -> Proof:
    if len(text) > STATE_PROOF_BYTES_MAX:
        raise MalformedMessage(f"a state proof of {len(text)} characters")
    try:
        return Proof.from_dict(json.loads(text))
    except (InvalidProof, ValueError, RecursionError) as error:
        raise MalformedMessage(f"state proof: {error}") from error
