"""The zone that is simulated, and what must never happen in it."""

from __future__ import annotations

from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto.hashing import sha256

GENESIS_HASH: Final = sha256(b"simulated genesis")
GENESIS_TIME_MS: Final = 1_800_000_000_000


class InvariantBroken(AssertionError):
    """The protocol did what it promises never to do."""


def validator_set_of(seats: int) -> bytes:
    """Canonical bytes of a set of so many seats."""
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=sha256(b"organization %d" % seat)[:16],
                keys=[block_pb2.ConsensusKey(suite=1, public_key=sha256(b"public key %d" % seat))],
            )
            for seat in range(seats)
        ]
    ).SerializeToString(deterministic=True)
