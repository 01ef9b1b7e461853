"""Who decides in an epoch, how many make a quorum, and whose turn a view is.

Source: docs/spec/consensus.md, "Seats"; docs/spec/block.md, "validator-set hash".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from icn.consensus.v1 import block_pb2
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.suites import Suite

from icn_chain.malformed import MalformedMessage, parse
from icn_chain.protocols import FIRST_PROTOCOL
from icn_chain.quorum import SEATS_MAX, SEATS_MIN, faults_of, quorum_of

NO_SEAT: Final = -1
"""What a key that holds no seat has in place of one."""
VALIDATOR_SET_BYTES_MAX: Final = 256 * 1024
"""Fifty seats with an Ed25519 and an ML-DSA-65 key (1,952 bytes) take 105 KB."""
PUBLIC_KEY_BYTES: Final = 32
SETS_KEPT: Final = 32
"""Of sets once read; one of fifty seats takes about 200 kB."""


class Validator(NamedTuple):
    """A seat."""

    organization: bytes
    keys: tuple[tuple[int, bytes], ...]
    """(suite, public key), ascending by suite; Ed25519 is among them."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 key, which votes are signed with."""
        return dict(self.keys)[Suite.ED25519]


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """The seats of an epoch. Made by `of` or `parse_validator_set`; equal when their hashes are."""

    hash: bytes
    """Domain hash of the set's canonical bytes, 32 bytes."""
    data: bytes = field(repr=False, compare=False)
    """Canonical bytes of an ``icn.consensus.v1.ValidatorSet``."""
    validators: tuple[Validator, ...] = field(repr=False, compare=False)
    """In seat order."""
    public_keys: tuple[bytes, ...] = field(repr=False, compare=False)
    """The Ed25519 keys, in seat order."""
    protocol_version: int = field(compare=False)
    """By whose rules they decide; perhaps of one that this release does not know."""
    _seats: dict[bytes, int] = field(repr=False, compare=False)

    @classmethod
    def of(cls, validators: Iterable[Validator], protocol_version: int = FIRST_PROTOCOL) -> ValidatorSet:
        """The set of these seats, which decide by a version's rules; each has one Ed25519 key."""
        seats = tuple(validators)
        data = block_pb2.ValidatorSet(
            validators=[
                block_pb2.Validator(
                    organization=seat.organization,
                    keys=[
                        block_pb2.ConsensusKey(suite=suite, public_key=public_key)
                        for suite, public_key in seat.keys
                    ],
                )
                for seat in seats
            ],
            protocol_version=encode_protocol(protocol_version),
        ).SerializeToString(deterministic=True)
        return cls._made(data, seats, protocol_version)

    @classmethod
    def _made(cls, data: bytes, seats: tuple[Validator, ...], protocol_version: int) -> ValidatorSet:
        public_keys = tuple(seat.public_key for seat in seats)
        numbers = {key: seat for seat, key in enumerate(public_keys)}
        return cls(validator_set_hash(data), data, seats, public_keys, protocol_version, numbers)

    def under(self, protocol_version: int) -> ValidatorSet:
        """The same seats, deciding by another version's rules."""
        return ValidatorSet.of(self.validators, protocol_version)

    @property
    def seats(self) -> int:
        """n."""
        return len(self.validators)

    @property
    def quorum(self) -> int:
        """Seats that decide together."""
        return quorum_of(len(self.validators))

    @property
    def faults_max(self) -> int:
        """f: how many seats may be faulty, and how many may change before a set is in force."""
        return faults_of(len(self.validators))

    @property
    def organizations(self) -> list[bytes]:
        """Who holds the seats, in their order."""
        return [seat.organization for seat in self.validators]

    @property
    def keys_of_every_suite(self) -> frozenset[bytes]:
        """All public keys of all seats."""
        return frozenset(public_key for seat in self.validators for _, public_key in seat.keys)

    def seat_of(self, public_key: bytes) -> int:
        """Seat that this Ed25519 key holds, `NO_SEAT` if none."""
        return self._seats.get(public_key, NO_SEAT)

    def keys_of(self, seats: Iterable[int]) -> list[bytes]:
        """Ed25519 keys of seats of this set, in the order given."""
        return [self.public_keys[seat] for seat in seats]

    def leader(self, view: int) -> int:
        """Seat whose turn the view is: plain rotation, a pure function of the epoch's set and the view."""
        return view % len(self.validators)


def encode_protocol(protocol_version: int) -> int:
    """How a set names a version: 0, so not at all, where it is the first: such sets are as ever."""
    return 0 if protocol_version == FIRST_PROTOCOL else protocol_version


def validator_set_hash(data: bytes) -> bytes:
    """Hash of a ValidatorSet's canonical bytes, 32 bytes."""
    return domain_hash(tags.VALIDATOR_SET, NO_GENESIS, data)


@lru_cache(SETS_KEPT)
def parse_validator_set(data: bytes) -> ValidatorSet:
    """Read a set; that its keys are canonical and of prime order was checked when they were registered.

    Raises:
        MalformedMessage: not canonical, fewer than 4 or more than 50 seats, a seat without one Ed25519 key of
            32 bytes, or two with the same; version 1 named, which goes without saying.
    """
    message = parse(block_pb2.ValidatorSet, data, VALIDATOR_SET_BYTES_MAX)
    if not SEATS_MIN <= len(message.validators) <= SEATS_MAX:
        raise MalformedMessage(f"{len(message.validators)} seats, must be {SEATS_MIN} to {SEATS_MAX}")
    seats = []
    for seat, validator in enumerate(message.validators):
        lengths = [len(key.public_key) for key in validator.keys if key.suite == Suite.ED25519]
        if lengths != [PUBLIC_KEY_BYTES]:
            raise MalformedMessage(f"seat {seat} has {len(lengths)} Ed25519 keys, of {lengths} bytes")
        keys = tuple((key.suite, key.public_key) for key in validator.keys)
        seats.append(Validator(validator.organization, keys))
    if message.protocol_version == FIRST_PROTOCOL:
        raise MalformedMessage(f"a set names protocol version {FIRST_PROTOCOL}, which goes without saying")
    found = ValidatorSet._made(data, tuple(seats), message.protocol_version or FIRST_PROTOCOL)
    if len(set(found.public_keys)) != found.seats:
        raise MalformedMessage("two seats share an Ed25519 key")
    return found
