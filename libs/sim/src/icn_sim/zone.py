"""The zone that is simulated, and what must never happen in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_crypto.hashing import sha256

GENESIS_HASH: Final = sha256(b"simulated genesis")
GENESIS_TIME_MS: Final = 1_800_000_000_000


class PromiseBroken(AssertionError):
    """The protocol did what it promises never to do."""


def organization_of(node: int) -> bytes:
    """Principal of the organization that runs a node, 16 bytes."""
    return sha256(b"organization %d" % node)[:16]


def public_key_of(node: int) -> bytes:
    """What stands for a node's consensus key; see `icn_sim.signatures`."""
    return sha256(b"public key %d" % node)


def validator_set_of(nodes: Iterable[int]) -> bytes:
    """Canonical bytes of a set whose seats these nodes hold, in seat order."""
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=organization_of(node),
                keys=[block_pb2.ConsensusKey(suite=1, public_key=public_key_of(node))],
            )
            for node in nodes
        ]
    ).SerializeToString(deterministic=True)
