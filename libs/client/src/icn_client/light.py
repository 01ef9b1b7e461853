"""The light client: decides what a proof shows, believing nothing but a genesis file.

Pure: no network, no files, no clock of its own. Source: docs/spec/proof.md, docs/spec/block.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from google.protobuf.message import Message as ProtobufMessage
from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, BlockHeader, Certificate, ValidatorSet
from icn.ledger.v1.state_pb2 import (
    AccountLeaf,
    AllowanceLeaf,
    AnchorLeaf,
    AuthorityLeaf,
    BallotLeaf,
    CodeLeaf,
    ConsensusKeyLeaf,
    ContractEntryLeaf,
    ContractLeaf,
    ControllerLeaf,
    DecisionLeaf,
    DutyLeaf,
    EquivocationLeaf,
    HoldLeaf,
    MembershipLeaf,
    PollLeaf,
    RecoveryLeaf,
    UnitLeaf,
    ValidatorsLeaf,
    ZoneLeaf,
)
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash, preimage
from icn_crypto.state_proof import verify_absence, verify_inclusion
from icn_crypto.state_tree import state_key
from icn_crypto.suites import Suite, verify_batch
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.genesis import Genesis

from icn_client.proof_file import (
    CERTIFICATE_BYTES_MAX,
    HEADER_BYTES_MAX,
    VALIDATOR_SET_BYTES_MAX,
    VALUE_BYTES_MAX,
    EpochHandover,
    ProofFile,
    ProofMalformed,
    parse_proof_file,
)

MessageT = TypeVar("MessageT", bound=ProtobufMessage)

PROTOCOL_VERSION: Final = 1
SCHEME_ED25519_LIST: Final = 1
SEATS_MIN, SEATS_MAX = 4, 50
_HASH_FIELDS: Final = (
    "parent",
    "transactions_root",
    "state_root",
    "receipts_root",
    "log_root",
    "parent_certificate_digest",
    "finalization_digest",
    "validator_set_hash",
    "next_validator_set_hash",
)


@dataclass(frozen=True, slots=True)
class _Namespace:
    kind: str
    leaf: type[ProtobufMessage]
    identifier_fields: tuple[str, ...]
    """Which together are the identifier; none where the leaf does not repeat it."""


NAMESPACES: Final[Mapping[int, _Namespace]] = {
    1: _Namespace("controller", ControllerLeaf, ("principal",)),
    2: _Namespace("unit", UnitLeaf, ("unit",)),
    3: _Namespace("account", AccountLeaf, ("account",)),
    4: _Namespace("hold", HoldLeaf, ("hold",)),
    5: _Namespace("anchor", AnchorLeaf, ("digest",)),
    6: _Namespace("allowance", AllowanceLeaf, ("organization",)),
    7: _Namespace("zone", ZoneLeaf, ()),
    8: _Namespace("recovery", RecoveryLeaf, ("principal",)),
    9: _Namespace("authority", AuthorityLeaf, ("authority",)),
    10: _Namespace("membership", MembershipLeaf, ("organization", "member")),
    11: _Namespace("poll", PollLeaf, ("poll",)),
    12: _Namespace("ballot", BallotLeaf, ("poll", "voter")),
    13: _Namespace("decision", DecisionLeaf, ()),
    14: _Namespace("code", CodeLeaf, ()),
    15: _Namespace("contract", ContractLeaf, ("contract",)),
    16: _Namespace("contract_entry", ContractEntryLeaf, ()),
    17: _Namespace("duty", DutyLeaf, ("organization", "epoch")),
    18: _Namespace("equivocation", EquivocationLeaf, ("epoch", "seat")),
    19: _Namespace("validators", ValidatorsLeaf, ()),
    20: _Namespace("consensus_key", ConsensusKeyLeaf, ()),
}
"""Leaves by namespace (docs/spec/transaction.md, "Leaves and namespaces")."""


class ProofInvalid(Exception):
    """The proof does not hold; ``reason`` is stable, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class TrustedSet:
    """The validators of one epoch, as genesis and the steps up to it show them."""

    epoch: int
    hash: bytes
    public_keys: tuple[bytes, ...]
    """Ed25519 consensus keys in seat order."""
    organizations: tuple[bytes, ...]
    """Who holds the seats, in their order."""

    @property
    def quorum(self) -> int:
        """⌊2n/3⌋ + 1."""
        return 2 * len(self.public_keys) // 3 + 1


@dataclass(frozen=True, slots=True)
class Header:
    """A block header that has been read and hashed."""

    hash: bytes
    fields: BlockHeader


@dataclass(frozen=True, slots=True)
class Shown:
    """What a valid proof shows."""

    statement: Mapping[str, Any]
    height: int
    """The statement is true of the state after this height."""
    time_ms: int
    """Block time of the header that names the state."""
    state_root: bytes
    epochs: int
    """Epochs walked from genesis."""


def verify_proof(proof: ProofFile, genesis: Genesis) -> Shown:
    """Judge a proof by docs/spec/proof.md, "Verification".

    Raises:
        ProofInvalid: the first rule that fails.
    """
    if proof.genesis != genesis.hash:
        raise ProofInvalid(
            "WRONG_ZONE", f"the proof is of zone {proof.genesis.hex()}, not of {genesis.hash.hex()}"
        )
    trusted = walk_epochs(proof, genesis)[-1]
    chain = read_chain(genesis.hash, proof.header, proof.descendant_headers, "HEADER_CHAIN_INVALID")
    last = chain[-1].fields
    if last.epoch != trusted.epoch or last.validator_set_hash != trusted.hash:
        raise ProofInvalid(
            "HEADER_CHAIN_INVALID",
            f"the finalized header is of epoch {last.epoch} or another set, not of {trusted.epoch}",
        )
    check_finalization(proof.finalization, chain[-1], trusted, genesis.hash)
    header = chain[0].fields
    if header.executed_height >= header.height:
        raise ProofInvalid(
            "HEADER_CHAIN_INVALID",
            f"header {header.height} cannot name the state after height {header.executed_height}",
        )
    statement = read_statement(proof.namespace, proof.identifier, proof.value)
    key = state_key(proof.namespace, proof.identifier)
    holds = (
        verify_inclusion(header.state_root, key, proof.value, proof.state_proof)
        if proof.value
        else verify_absence(header.state_root, key, proof.state_proof)
    )
    if not holds:
        raise ProofInvalid(
            "STATE_PROOF_INVALID", "the state proof does not lead to the state root of the header"
        )
    return Shown(
        statement=statement,
        height=header.executed_height,
        time_ms=header.time_ms,
        state_root=header.state_root,
        epochs=len(proof.epochs),
    )


def verdict(content: bytes, genesis: Genesis, now_ms: int) -> dict[str, Any]:
    """The answer of ``icn proof verify`` for a file's bytes: never raises on what the file holds."""
    try:
        shown = verify_proof(parse_proof_file(content), genesis)
    except (ProofMalformed, ProofInvalid) as error:
        return {
            "valid": False,
            "reason": error.reason if isinstance(error, ProofInvalid) else "PROOF_MALFORMED",
            "message": str(error),
            "statement": None,
            "height": None,
            "trust": "genesis",
            "profile": str(genesis.trust_profile),
            "age_seconds": None,
            "epochs": None,
        }
    return {
        "valid": True,
        "statement": dict(shown.statement),
        "height": shown.height,
        "trust": "genesis",
        "profile": str(genesis.trust_profile),
        "age_seconds": max(0, now_ms - shown.time_ms) // 1000,
        "epochs": shown.epochs,
    }


def genesis_set(genesis: Genesis) -> TrustedSet:
    """The validators of epoch 0."""
    return TrustedSet(
        0,
        genesis.validator_set_hash,
        tuple(seat.public_keys[Suite.ED25519] for seat in genesis.validators),
        tuple(seat.organization for seat in genesis.validators),
    )


def walk_epochs(proof: ProofFile, genesis: Genesis) -> tuple[TrustedSet, ...]:
    """The validators of each epoch from genesis to the one that the proof's steps lead to; epochs without a
    block are left out.

    Raises:
        ProofInvalid: see `next_set`.
    """
    sets = [genesis_set(genesis)]
    for step in proof.epochs:
        sets.append(next_set(sets[-1], step, genesis))
    return tuple(sets)


def next_set(current: TrustedSet, step: EpochHandover, genesis: Genesis) -> TrustedSet:
    """The set that follows, if the current one finalized the edge header that names it.

    Raises:
        ProofInvalid: EPOCH_STEP_INVALID, CERTIFICATE_INVALID, VALIDATOR_SET_MISMATCH, PROOF_MALFORMED.
    """
    chain = read_chain(genesis.hash, step.edge_header, step.descendant_headers, "EPOCH_STEP_INVALID")
    edge = chain[0].fields
    if edge.epoch != current.epoch or edge.validator_set_hash != current.hash:
        raise ProofInvalid(
            "EPOCH_STEP_INVALID",
            f"the edge header is of epoch {edge.epoch}, the step leaves epoch {current.epoch} and its set",
        )
    if edge.time_ms < genesis.time_ms or (epoch := genesis.epoch_of(edge.time_ms)) <= current.epoch:
        raise ProofInvalid("EPOCH_STEP_INVALID", f"header {edge.height} does not end epoch {current.epoch}")
    check_finalization(step.finalization, chain[-1], current, genesis.hash)
    if not step.next_validator_set:
        if edge.next_validator_set_hash != current.hash:
            raise ProofInvalid(
                "VALIDATOR_SET_MISMATCH", "the edge header names another set than the epoch's own"
            )
        return replace(current, epoch=epoch)
    found = domain_hash(tags.VALIDATOR_SET, NO_GENESIS, step.next_validator_set)
    if edge.next_validator_set_hash != found:
        raise ProofInvalid("VALIDATOR_SET_MISMATCH", "the next set is not the one that the edge header names")
    if found == current.hash:
        raise ProofInvalid("PROOF_MALFORMED", "a set that stays the same is written as empty")
    return _read_set(epoch, found, step.next_validator_set)


def read_chain(genesis_hash: bytes, first: bytes, descendants: Sequence[bytes], reason: str) -> list[Header]:
    """Read a header and its descendants; each names its parent.

    Raises:
        ProofInvalid: ``reason`` when they are no chain, PROOF_MALFORMED when one is no header.
    """
    chain = [read_header(genesis_hash, first)]
    for data in descendants:
        header = read_header(genesis_hash, data)
        parent = chain[-1]
        if (
            header.fields.parent != parent.hash
            or header.fields.height != parent.fields.height + 1
            or header.fields.time_ms <= parent.fields.time_ms
            or header.fields.view <= parent.fields.view
            or header.fields.epoch < parent.fields.epoch
        ):
            raise ProofInvalid(
                reason, f"header {header.fields.height} does not follow {parent.fields.height}"
            )
        chain.append(header)
    return chain


def read_header(genesis_hash: bytes, data: bytes) -> Header:
    """Read and hash one header.

    Raises:
        ProofInvalid: PROOF_MALFORMED.
    """
    fields = _parse(BlockHeader, data, HEADER_BYTES_MAX)
    if fields.protocol_version != PROTOCOL_VERSION:
        raise ProofInvalid("PROOF_MALFORMED", f"protocol version {fields.protocol_version} is not known")
    for name in _HASH_FIELDS:
        if len(getattr(fields, name)) != 32:
            raise ProofInvalid("PROOF_MALFORMED", f"{name} of header {fields.height} is not 32 bytes long")
    return Header(domain_hash(tags.BLOCK, genesis_hash, data), fields)


def check_finalization(data: bytes, header: Header, trusted: TrustedSet, genesis_hash: bytes) -> None:
    """Accept the header as final if a quorum of the set says so, every signature given being valid.

    Raises:
        ProofInvalid: CERTIFICATE_INVALID or PROOF_MALFORMED.
    """
    certificate = _parse(Certificate, data, CERTIFICATE_BYTES_MAX)
    expected = {
        "kind": VOTE_KIND_FINALIZE,
        "protocol_version": PROTOCOL_VERSION,
        "scheme": SCHEME_ED25519_LIST,
        "epoch": trusted.epoch,
        "view": header.fields.view,
        "height": header.fields.height,
        "block_hash": header.hash,
    }
    for name, value in expected.items():
        if getattr(certificate, name) != value:
            raise ProofInvalid(
                "CERTIFICATE_INVALID", f"the certificate's {name} is not the finalized header's"
            )
    seats = [entry.seat for entry in certificate.signatures]
    if seats != sorted(set(seats)) or (seats and seats[-1] >= len(trusted.public_keys)):
        raise ProofInvalid("CERTIFICATE_INVALID", "seats must ascend and be of the set")
    if len(seats) < trusted.quorum:
        raise ProofInvalid(
            "CERTIFICATE_INVALID",
            f"{len(seats)} of {len(trusted.public_keys)} seats signed, a quorum is {trusted.quorum}",
        )
    signed = preimage(
        tags.FINALIZE,
        genesis_hash,
        vote_body(certificate.epoch, certificate.view, certificate.height, header.hash),
    )
    verdicts = verify_batch(
        [
            (Suite.ED25519, trusted.public_keys[entry.seat], signed, entry.signature)
            for entry in certificate.signatures
        ]
    )
    for entry, is_valid in zip(certificate.signatures, verdicts, strict=True):
        if not is_valid:
            raise ProofInvalid("CERTIFICATE_INVALID", f"the signature of seat {entry.seat} is not valid")


def vote_body(epoch: int, view: int, height: int, block_hash: bytes) -> bytes:
    """What a notarize or finalize vote signs (docs/spec/block.md, "vote body")."""
    return b"".join(
        (
            PROTOCOL_VERSION.to_bytes(4, "big"),
            epoch.to_bytes(8, "big"),
            view.to_bytes(8, "big"),
            height.to_bytes(8, "big"),
            block_hash,
        )
    )


def read_statement(namespace: int, identifier: bytes, value: bytes) -> dict[str, Any]:
    """What a leaf says: ids in hex, amounts as decimal strings; an empty value says that there is none.

    Raises:
        ProofInvalid: LEAF_MISMATCH or PROOF_MALFORMED.
    """
    rule = NAMESPACES[namespace]
    if not value:
        return {"kind": rule.kind, "id": identifier.hex(), "is_absent": True}
    leaf = _parse(rule.leaf, value, VALUE_BYTES_MAX)
    if rule.identifier_fields and _identifier(leaf, rule.identifier_fields) != identifier:
        raise ProofInvalid(
            "LEAF_MISMATCH", f"the {rule.kind} in the proof is another than its identifier says"
        )
    named = {"id": identifier.hex()} if identifier and not rule.identifier_fields else {}
    return {"kind": rule.kind, **named, **describe(leaf)}


def _identifier(leaf: ProtobufMessage, fields: Sequence[str]) -> bytes:
    values = (getattr(leaf, field) for field in fields)
    return b"".join(value if isinstance(value, bytes) else value.to_bytes(8, "big") for value in values)


def describe(message: ProtobufMessage) -> dict[str, Any]:
    """Every field of a message for people and programs: bytes in hex, amounts, times and counts of 64 bits as
    decimal strings, enumerations by their name in lower case, smaller numbers as they are.
    """
    described: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            described[field.name] = [_describe_value(item) for item in value]
        elif field.message_type is not None and not message.HasField(field.name):
            described[field.name] = None
        elif field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            described[field.name] = str(value)
        elif field.enum_type is not None:
            described[field.name] = _enum_name(field.enum_type, value)
        else:
            described[field.name] = _describe_value(value)
    return described


def _enum_name(enum: Any, number: int) -> str | int:
    """``active`` for MEMBERSHIP_STATUS_ACTIVE; the number where the enumeration has no name for it."""
    named = enum.values_by_number.get(number)
    if named is None:
        return number
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    name: str = named.name.removeprefix(prefix)
    return name.lower()


def _describe_value(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return describe(value) if isinstance(value, ProtobufMessage) else value


def _read_set(epoch: int, set_hash: bytes, data: bytes) -> TrustedSet:
    validators = _parse(ValidatorSet, data, VALIDATOR_SET_BYTES_MAX).validators
    if not SEATS_MIN <= len(validators) <= SEATS_MAX:
        raise ProofInvalid("PROOF_MALFORMED", f"a set has {SEATS_MIN} to {SEATS_MAX} seats")
    keys = []
    for seat, validator in enumerate(validators):
        of_suite = [key.public_key for key in validator.keys if key.suite == Suite.ED25519]
        if len(of_suite) != 1 or len(of_suite[0]) != 32:
            raise ProofInvalid("PROOF_MALFORMED", f"seat {seat} has no Ed25519 key")
        keys.append(of_suite[0])
    if len(set(keys)) != len(keys):
        raise ProofInvalid("PROOF_MALFORMED", "two seats share a key")
    return TrustedSet(epoch, set_hash, tuple(keys), tuple(one.organization for one in validators))


def _parse(message_class: type[MessageT], data: bytes, bytes_max: int) -> MessageT:
    try:
        return parse_canonical(message_class, data, bytes_max)
    except (MalformedBytes, NotCanonical) as error:
        raise ProofInvalid("PROOF_MALFORMED", str(error)) from error
