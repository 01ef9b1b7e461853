"""The genesis file of a zone: who founds it, who validates, what bounds a block.

Everything that checks a signature or a proof needs its hash: services, client and light client share this
parser.

Source: docs/spec/genesis.md.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from icn_chain.protocols import FIRST_PROTOCOL, NEWEST_PROTOCOL
from icn_crypto import jcs, tags
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.suites import PUBLIC_KEY_BYTES, SUITE_NAMES, InvalidPublicKey, Suite, check_public_key, key_id

GENESIS_BYTES_MAX = 4 * 1024 * 1024
"""256 organizations with four keys each stay below it."""
BLOCK_BYTES_MAX = 4_128_768
"""A message between validators holds 4 MiB, a block and 64 KiB around it."""
INTEGER_MAX = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 7493)."""
ALLOWANCE_MAX = 2**40
FUEL_ALLOWANCE_MAX = 2**50
NAME_CHARACTERS_MAX = 64
IDENTIFIER_BYTES = 16
VALIDATORS_MIN, VALIDATORS_MAX = 4, 50
ORGANIZATIONS_MAX = 256
CONTROLLER_KEYS_MAX = 16

"""How genesis names the suites; validators and organizations register all of them."""

PublicKeys = Mapping[Suite, bytes]


class GenesisInvalid(ValueError):
    """The file is not a genesis by docs/spec/genesis.md; the message names the place and the problem."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}" if place else problem)
        self.place = place


class TrustProfile(StrEnum):
    """Whether one host could hold a quorum of the consensus keys."""

    HOSTED = "hosted"
    INDEPENDENT = "independent"


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """Bounds on one block."""

    bytes_max: int
    transactions_max: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the transactions an organization pays for may use."""

    bytes_per_epoch: int
    signatures_per_epoch: int
    state_leaves: int
    fuel_per_epoch: int


@dataclass(frozen=True, slots=True)
class Seat:
    """One validator of epoch 0."""

    seat: int
    organization: bytes
    """Principal that holds the seat, 16 bytes."""
    name: str
    public_keys: PublicKeys
    """Consensus keys, one per suite."""


@dataclass(frozen=True, slots=True)
class Key:
    """An unscoped key of a controller."""

    key_id: bytes
    public_keys: PublicKeys


@dataclass(frozen=True, slots=True)
class Organization:
    """A founding organization with the keys behind its principal."""

    principal: bytes
    name: str
    threshold: int
    keys: tuple[Key, ...]
    """Ascending by key id."""
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class ZoneAuthority:
    """The principal that sets allowances: m of n of the organizations' keys."""

    principal: bytes
    threshold: int
    keys: tuple[Key, ...]
    """Ascending by key id; each is a key of a founding organization."""
    allowance: Allowance


@dataclass(frozen=True, eq=False)
class Genesis:
    """A zone's beginning, checked; equal when the hash is."""

    zone: str
    trust_profile: TrustProfile
    protocol_version: int
    """In force from height 1 to the edge that names the next one; known to this release."""
    time_ms: int
    epoch_ms: int
    heartbeat_ms: int
    recovery_delay_ms_min: int
    """Shortest time to object to a recovery of keys."""
    block_time_distance_ms_max: int
    limits: BlockLimits
    validators: tuple[Seat, ...]
    organizations: tuple[Organization, ...]
    zone_authority: ZoneAuthority
    hash: bytes
    """32 bytes; inside every signed preimage of the zone."""

    @cached_property
    def validator_set(self) -> bytes:
        """Canonical bytes of the ``icn.consensus.v1.ValidatorSet`` of epoch 0."""
        from icn.consensus.v1.block_pb2 import ConsensusKey, Validator, ValidatorSet
        from icn_chain.validator_set import encode_protocol

        return ValidatorSet(
            validators=[
                Validator(
                    organization=seat.organization,
                    keys=[
                        ConsensusKey(suite=int(suite), public_key=seat.public_keys[suite])
                        for suite in sorted(seat.public_keys)
                    ],
                )
                for seat in self.validators
            ],
            protocol_version=encode_protocol(self.protocol_version),
        ).SerializeToString(deterministic=True)

    @cached_property
    def validator_set_hash(self) -> bytes:
        """Hash of `validator_set`, 32 bytes."""
        return domain_hash(tags.VALIDATOR_SET, NO_GENESIS, self.validator_set)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Genesis) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def epoch_of(self, time_ms: int) -> int:
        """Epoch of a block time that is not before genesis."""
        assert time_ms >= self.time_ms, "block time is monotone from genesis on"
        return (time_ms - self.time_ms) // self.epoch_ms


def load_genesis(path: Path) -> Genesis:
    """Read and check a genesis file.

    Raises:
        GenesisInvalid: see docs/spec/genesis.md.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return parse_genesis(file.read(GENESIS_BYTES_MAX + 1))


def parse_genesis(document: bytes) -> Genesis:
    """Check a genesis file's bytes.

    Raises:
        GenesisInvalid: see docs/spec/genesis.md.
    """
    if len(document) > GENESIS_BYTES_MAX:
        raise GenesisInvalid("", f"larger than {GENESIS_BYTES_MAX} bytes")
    try:
        canonical = jcs.canonicalize_text(document)
        # Canonical bytes do not tell how a number was written; genesis knows integers only.
        parsed = json.loads(document, parse_float=_refuse_float, parse_constant=_refuse_float)
    except GenesisInvalid:
        raise
    except (ValueError, RecursionError) as error:
        raise GenesisInvalid("", f"not I-JSON: {error}") from error
    reader = _Reader(parsed, "")
    reader.members(
        "zone",
        "trust_profile",
        "protocol_version",
        "genesis_time_ms",
        "epoch_ms",
        "heartbeat_ms",
        "recovery_delay_ms_min",
        "block_time_distance_ms_max",
        "limits",
        "validators",
        "organizations",
        "zone_authority",
    )
    organizations = tuple(
        _organization(item)
        for item in reader.member("organizations").items(VALIDATORS_MIN, ORGANIZATIONS_MAX)
    )
    _refuse_repeats("organizations", "principal", (item.principal for item in organizations))
    _refuse_repeats("organizations", "name", (item.name for item in organizations))
    keys = [key for organization in organizations for key in organization.keys]
    _refuse_repeats("organizations", "key_id", (key.key_id for key in keys))
    validators = tuple(
        _seat(item, position)
        for position, item in enumerate(reader.member("validators").items(VALIDATORS_MIN, VALIDATORS_MAX))
    )
    _check_seats(validators, {organization.principal for organization in organizations})
    return Genesis(
        zone=reader.member("zone").name(),
        trust_profile=_trust_profile(reader.member("trust_profile")),
        protocol_version=reader.member("protocol_version").integer(FIRST_PROTOCOL, NEWEST_PROTOCOL),
        time_ms=reader.member("genesis_time_ms").integer(1, INTEGER_MAX),
        epoch_ms=reader.member("epoch_ms").integer(60_000, 31_622_400_000),
        heartbeat_ms=reader.member("heartbeat_ms").integer(1_000, 3_600_000),
        recovery_delay_ms_min=reader.member("recovery_delay_ms_min").integer(1_000, 31_622_400_000),
        block_time_distance_ms_max=reader.member("block_time_distance_ms_max").integer(100, 600_000),
        limits=_limits(reader.member("limits")),
        validators=validators,
        organizations=organizations,
        zone_authority=_zone_authority(reader.member("zone_authority"), organizations),
        hash=domain_hash(tags.GENESIS, NO_GENESIS, canonical),
    )


def public_keys_document(public_keys: PublicKeys) -> dict[str, str]:
    """Public keys as genesis writes them."""
    return {SUITE_NAMES[suite]: public_key.hex() for suite, public_key in sorted(public_keys.items())}


def _refuse_float(text: str) -> object:
    raise GenesisInvalid("", f"number {text[:40]}: only integers without fraction or exponent are allowed")


@dataclass(frozen=True, slots=True)
class _Reader:
    """A JSON value that knows its place in the document."""

    value: object
    place: str

    def refuse(self, problem: str) -> GenesisInvalid:
        return GenesisInvalid(self.place, problem)

    def members(self, *names: str) -> None:
        """Require an object with exactly these members."""
        if not isinstance(self.value, dict):
            raise self.refuse("must be an object")
        for name in names:
            if name not in self.value:
                raise self.refuse(f"member {name} is missing")
        for name in self.value:
            if name not in names:
                raise self.refuse(f"member {name[:NAME_CHARACTERS_MAX]!r} is unknown")

    def member(self, name: str) -> _Reader:
        assert isinstance(self.value, dict), "members() has been called"
        return _Reader(self.value[name], f"{self.place}.{name}" if self.place else name)

    def items(self, count_min: int, count_max: int) -> list[_Reader]:
        if not isinstance(self.value, list):
            raise self.refuse("must be an array")
        if not count_min <= len(self.value) <= count_max:
            raise self.refuse(f"has {len(self.value)} items, must have {count_min} to {count_max}")
        return [_Reader(value, f"{self.place}[{position}]") for position, value in enumerate(self.value)]

    def integer(self, smallest: int, largest: int) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.refuse("must be an integer")
        if not smallest <= self.value <= largest:
            raise self.refuse(f"is {self.value}, must be {smallest} to {largest}")
        return self.value

    def hexadecimal(self, length_bytes: int) -> bytes:
        text = self.value
        if (
            not isinstance(text, str)
            or len(text) != 2 * length_bytes
            or any(character not in "0123456789abcdef" for character in text)
        ):
            raise self.refuse(f"must be {length_bytes} bytes in lower-case hex")
        return bytes.fromhex(text)

    def name(self) -> str:
        text = self.value
        if not isinstance(text, str) or not 1 <= len(text) <= NAME_CHARACTERS_MAX:
            raise self.refuse(f"must be text of 1 to {NAME_CHARACTERS_MAX} characters")
        if not unicodedata.is_normalized("NFC", text):
            raise self.refuse("must be in Unicode form NFC")
        if text != text.strip() or any(unicodedata.category(character)[0] == "C" for character in text):
            raise self.refuse("must not hold control or format characters, nor begin or end with white space")
        return text

    def public_keys(self) -> PublicKeys:
        self.members(*SUITE_NAMES.values())
        public_keys = {}
        for suite, name in SUITE_NAMES.items():
            member = self.member(name)
            public_keys[suite] = member.hexadecimal(PUBLIC_KEY_BYTES[suite])
            try:
                check_public_key(suite, public_keys[suite])
            except InvalidPublicKey as error:
                raise member.refuse(str(error) or "is not a valid public key") from error
        return public_keys


def _trust_profile(reader: _Reader) -> TrustProfile:
    if reader.value not in tuple(TrustProfile):
        raise reader.refuse("must be hosted or independent")
    return TrustProfile(str(reader.value))


def _limits(reader: _Reader) -> BlockLimits:
    reader.members("block_bytes_max", "block_transactions_max")
    return BlockLimits(
        bytes_max=reader.member("block_bytes_max").integer(262_144, BLOCK_BYTES_MAX),
        transactions_max=reader.member("block_transactions_max").integer(1, 65_536),
    )


def _allowance(reader: _Reader) -> Allowance:
    reader.members("bytes_per_epoch", "signatures_per_epoch", "state_leaves", "fuel_per_epoch")
    return Allowance(
        bytes_per_epoch=reader.member("bytes_per_epoch").integer(0, ALLOWANCE_MAX),
        signatures_per_epoch=reader.member("signatures_per_epoch").integer(0, ALLOWANCE_MAX),
        state_leaves=reader.member("state_leaves").integer(0, ALLOWANCE_MAX),
        fuel_per_epoch=reader.member("fuel_per_epoch").integer(0, FUEL_ALLOWANCE_MAX),
    )


def _seat(reader: _Reader, position: int) -> Seat:
    reader.members("seat", "organization", "name", "consensus_public_keys")
    return Seat(
        seat=reader.member("seat").integer(position, position),
        organization=reader.member("organization").hexadecimal(IDENTIFIER_BYTES),
        name=reader.member("name").name(),
        public_keys=reader.member("consensus_public_keys").public_keys(),
    )


def _check_seats(validators: Sequence[Seat], principals: set[bytes]) -> None:
    for seat in validators:
        if seat.organization not in principals:
            raise GenesisInvalid(f"validators[{seat.seat}].organization", "is not a founding organization")
    _refuse_repeats("validators", "organization", (seat.organization for seat in validators))
    _refuse_repeats("validators", "name", (seat.name for seat in validators))
    for suite, name in SUITE_NAMES.items():
        _refuse_repeats("validators", name, (seat.public_keys[suite] for seat in validators))


def _key(reader: _Reader) -> Key:
    reader.members("key_id", "public_keys")
    key = Key(
        reader.member("key_id").hexadecimal(IDENTIFIER_BYTES), reader.member("public_keys").public_keys()
    )
    if key.key_id != key_id(key.public_keys):
        raise reader.member("key_id").refuse("is not the hash of the public keys")
    return key


def _organization(reader: _Reader) -> Organization:
    reader.members("principal", "name", "controller", "allowance")
    controller = reader.member("controller")
    controller.members("threshold", "keys")
    keys = tuple(_key(item) for item in controller.member("keys").items(1, CONTROLLER_KEYS_MAX))
    _require_ascending(controller.member("keys"), [key.key_id for key in keys])
    return Organization(
        principal=reader.member("principal").hexadecimal(IDENTIFIER_BYTES),
        name=reader.member("name").name(),
        threshold=controller.member("threshold").integer(1, len(keys)),
        keys=keys,
        allowance=_allowance(reader.member("allowance")),
    )


def _zone_authority(reader: _Reader, organizations: Sequence[Organization]) -> ZoneAuthority:
    reader.members("principal", "threshold", "key_ids", "allowance")
    known = {key.key_id: key for organization in organizations for key in organization.keys}
    keys = []
    for item in reader.member("key_ids").items(1, CONTROLLER_KEYS_MAX):
        identifier = item.hexadecimal(IDENTIFIER_BYTES)
        if identifier not in known:
            raise item.refuse("is not a key of a founding organization")
        keys.append(known[identifier])
    _require_ascending(reader.member("key_ids"), [key.key_id for key in keys])
    principal = reader.member("principal").hexadecimal(IDENTIFIER_BYTES)
    if any(principal == organization.principal for organization in organizations):
        raise reader.member("principal").refuse("is an organization's")
    return ZoneAuthority(
        principal=principal,
        threshold=reader.member("threshold").integer(1, len(keys)),
        keys=tuple(keys),
        allowance=_allowance(reader.member("allowance")),
    )


def _require_ascending(reader: _Reader, identifiers: Sequence[bytes]) -> None:
    for position in range(1, len(identifiers)):
        if identifiers[position - 1] >= identifiers[position]:
            raise reader.refuse("must ascend by key id, no key twice")


def _refuse_repeats(place: str, member: str, values: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for position, value in enumerate(values):
        if value in seen:
            raise GenesisInvalid(f"{place}[{position}].{member}", "stands there twice")
        seen.add(value)
