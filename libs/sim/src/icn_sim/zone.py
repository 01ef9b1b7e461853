"""The zone that is simulated, and what must never happen in it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from icn.consensus.v1 import block_pb2
from icn_chain.protocols import FIRST_PROTOCOL
from icn_chain.validator_set import encode_protocol
from icn_crypto.hashing import sha256
from icn_crypto.suites import SigningKey, Suite

GENESIS_HASH: Final = sha256(b"simulated genesis")
GENESIS_TIME_MS: Final = 1_800_000_000_000


_NODES_MAX: Final = 64
"""Of whom what stands below is remembered; a simulation has a dozen."""


class PromiseBroken(AssertionError):
    """The protocol did what it promises never to do."""


@lru_cache(_NODES_MAX)
def organization_of(node: int) -> bytes:
    """Principal of the organization that runs a node, 16 bytes."""
    return sha256(b"organization %d" % node)[:16]


@lru_cache(_NODES_MAX)
def public_key_of(node: int) -> bytes:
    """What stands for a node's consensus key; see `icn_sim.signatures`."""
    return sha256(b"public key %d" % node)


def organization_key(node: int) -> SigningKey:
    """The key of the organization that runs a node, in its controller: a real one."""
    return SigningKey.from_seed(Suite.ED25519, sha256(b"key of organization %d" % node))


def renewed_key(node: int, times: int) -> SigningKey:
    """A node's consensus key after its log was lost so many times: a real one, to prove its possession.

    In the simulation its votes are signed as all others are, see `icn_sim.signatures`.
    """
    return SigningKey.from_seed(Suite.ED25519, sha256(b"renewed key %d %d" % (node, times)))


@lru_cache(_NODES_MAX)
def validator_set_of(nodes: tuple[int, ...] | range, protocol_version: int = FIRST_PROTOCOL) -> bytes:
    """Canonical bytes of a set whose seats these nodes hold, in seat order, and decide by a version."""
    return block_pb2.ValidatorSet(
        validators=[
            block_pb2.Validator(
                organization=organization_of(node),
                keys=[block_pb2.ConsensusKey(suite=1, public_key=public_key_of(node))],
            )
            for node in nodes
        ],
        protocol_version=encode_protocol(protocol_version),
    ).SerializeToString(deterministic=True)
