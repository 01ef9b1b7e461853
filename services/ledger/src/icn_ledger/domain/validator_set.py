"""Sets of validators as the state names them: by the hash of their canonical bytes.

Source: docs/spec/block.md, "validator-set hash"; docs/spec/consensus.md, "Seats".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.suites import Suite

SETS_KEPT = 32
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
    """The seats of an epoch. Made by `of` or `read`."""

    validators: tuple[Validator, ...]
    """In seat order."""
    data: bytes
    """Canonical bytes of an ``icn.consensus.v1.ValidatorSet``."""
    hash: bytes
    """32 bytes."""

    @classmethod
    def of(cls, validators: Iterable[Validator]) -> ValidatorSet:
        """The set of these seats."""
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
            ]
        ).SerializeToString(deterministic=True)
        return cls(seats, data, _hash(data))

    @property
    def faulty_max(self) -> int:
        """f: how many seats may be faulty, and how many may change before a set is in force."""
        return (len(self.validators) - 1) // 3

    @property
    def organizations(self) -> list[bytes]:
        """Who holds the seats, in their order."""
        return [seat.organization for seat in self.validators]

    @property
    def public_keys(self) -> frozenset[bytes]:
        """Every key of every suite."""
        return frozenset(public_key for seat in self.validators for _, public_key in seat.keys)


@lru_cache(SETS_KEPT)
def read_set(data: bytes) -> ValidatorSet:
    """The set of bytes that this ledger or genesis wrote."""
    message = block_pb2.ValidatorSet.FromString(data)
    seats = tuple(
        Validator(seat.organization, tuple((key.suite, key.public_key) for key in seat.keys))
        for seat in message.validators
    )
    return ValidatorSet(seats, data, _hash(data))


def _hash(data: bytes) -> bytes:
    return domain_hash(tags.VALIDATOR_SET, NO_GENESIS, data)
