"""The zone that is simulated, and what must never happen in it."""

from __future__ import annotations

from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto.hashing import sha256

GENESIS_HASH: Final = sha256(b"simulated genesis")
GENESIS_TIME_MS: Final = 1_800_000_000_000


class PromiseBroken(AssertionError):
    """The protocol did what it promises never to do."""


def organization_of(seat: int) -> bytes:
    """Principal of the organization that holds a seat, 16 bytes."""
    return sha256(b"organization %d" % seat)[:16]


def public_key_of(seat: int) -> bytes:
    """What stands for a seat's consensus key; see `icn_sim.signatures`."""
    return sha256(b"public key %d" % seat)


def validator_set_of(seats: int) -> bytes:
    """Canonical bytes of a set of so many seats."""
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=organization_of(seat),
                keys=[block_pb2.ConsensusKey(suite=1, public_key=public_key_of(seat))],
            )
            for seat in range(seats)
        ]
    ).SerializeToString(deterministic=True)
