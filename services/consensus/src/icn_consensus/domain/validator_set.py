"""Who decides in an epoch, how many make a quorum, and whose turn a view is.

Source: docs/spec/consensus.md, "Seats"; docs/spec/block.md, "validator-set hash".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto import tags, wire
from icn_crypto.hashing import NO_GENESIS, domain_hash

from icn_consensus.domain.block import MalformedMessage

SEATS_MIN: Final = 4
SEATS_MAX: Final = 50
SUITE_ED25519: Final = 1
NO_SEAT: Final = -1
"""What a key that holds no seat has in place of one."""
VALIDATOR_SET_BYTES_MAX: Final = 256 * 1024
"""Fifty seats with an Ed25519 and an ML-DSA-65 key (1,952 bytes) take 105 KB."""


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """The seats of an epoch by their Ed25519 keys, in seat order."""

    public_keys: tuple[bytes, ...]
    hash: bytes
    """Domain hash of the set's canonical bytes, 32 bytes."""
    _seats: dict[bytes, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_seats", {key: seat for seat, key in enumerate(self.public_keys)})

    @property
    def seats(self) -> int:
        """n."""
        return len(self.public_keys)

    @property
    def quorum(self) -> int:
        """⌊2n/3⌋ + 1: any two quorums share a seat that is not faulty."""
        return 2 * len(self.public_keys) // 3 + 1

    @property
    def faults_max(self) -> int:
        """f = ⌊(n − 1)/3⌋."""
        return (len(self.public_keys) - 1) // 3

    def seat_of(self, public_key: bytes) -> int:
        """Seat that this key holds in the epoch, `NO_SEAT` if none."""
        return self._seats.get(public_key, NO_SEAT)

    def keys_of(self, seats: Iterable[int]) -> list[bytes]:
        """Keys of seats of this set, in the order given."""
        return [self.public_keys[seat] for seat in seats]

    def leader(self, view: int) -> int:
        """Seat whose turn the view is: plain rotation, a pure function of the epoch's set and the view."""
        return view % len(self.public_keys)


def validator_set_hash(data: bytes) -> bytes:
    """Hash of a ValidatorSet's canonical bytes, 32 bytes."""
    return domain_hash(tags.VALIDATOR_SET, NO_GENESIS, data)


def parse_validator_set(data: bytes) -> ValidatorSet:
    """Read a set; keys were checked when they were registered.

    Raises:
        MalformedMessage: not canonical, fewer than 4 or more than 50 seats, or a seat without an Ed25519 key.
    """
    try:
        message = wire.parse_canonical(block_pb2.ValidatorSet, data, VALIDATOR_SET_BYTES_MAX)
    except (wire.MalformedBytes, wire.NotCanonical) as error:
        raise MalformedMessage(str(error)) from error
    if not SEATS_MIN <= len(message.validators) <= SEATS_MAX:
        raise MalformedMessage(f"{len(message.validators)} seats, must be {SEATS_MIN} to {SEATS_MAX}")
    public_keys = []
    for seat, validator in enumerate(message.validators):
        keys = [key.public_key for key in validator.keys if key.suite == SUITE_ED25519]
        if len(keys) != 1:
            raise MalformedMessage(f"seat {seat} has {len(keys)} Ed25519 keys")
        public_keys.append(keys[0])
    return ValidatorSet(tuple(public_keys), validator_set_hash(data))
