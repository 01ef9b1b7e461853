"""Proofs of the state tree written as ICS-23 proofs, for whoever has a verifier of those and none of ours.

The tree is one of the kind that ICS-23 calls SMT: its keys are hashes of what names a leaf, so the ICS-23 key
is that preimage, and nothing else has to be translated.

Source: docs/spec/state-tree.md, "As ICS-23"; ICS-23 (Vector Commitments).
"""

from __future__ import annotations

from typing import NamedTuple

from icn_crypto.hashing import NO_GENESIS, preimage, sha256
from icn_crypto.ics23 import ICN, SHA256
from icn_crypto.ics23_message import ExistenceProof, InnerOp, NonExistenceProof, write_proof
from icn_crypto.state_proof import DEPTH_MAX, Proof
from icn_crypto.tags import STATE_KEY


class LeafWithProof(NamedTuple):
    """A leaf that is there, and its path."""

    namespace: int
    identifier: bytes
    value: bytes
    proof: Proof
    """Of inclusion; one of absence gives an ICS-23 proof that does not hold."""


def ics23_key(namespace: int, identifier: bytes) -> bytes:
    """What names a leaf in ICS-23: the preimage of its state key."""
    return preimage(STATE_KEY, NO_GENESIS, bytes((namespace,)) + identifier)


def existence(leaf: LeafWithProof) -> bytes:
    """A CommitmentProof that the leaf is there; its value must not be empty, which ICS-23 does not know."""
    return write_proof(_existence(leaf))


def absence(left: LeafWithProof | None, right: LeafWithProof | None) -> bytes:
    """A CommitmentProof that nothing lies between two leaves, which are neighbours by their state keys; None
    where there is no leaf on that side.
    """
    return write_proof(
        NonExistenceProof(
            None if left is None else _existence(left), None if right is None else _existence(right)
        )
    )


def _existence(leaf: LeafWithProof) -> ExistenceProof:
    key = ics23_key(leaf.namespace, leaf.identifier)
    siblings = leaf.proof.siblings
    path = int.from_bytes(sha256(key), "big") >> (DEPTH_MAX - len(siblings))
    node = ICN.inner_prefix
    steps = []
    for sibling in reversed(siblings):
        steps.append(InnerOp(SHA256, node + sibling) if path & 1 else InnerOp(SHA256, node, suffix=sibling))
        path >>= 1
    return ExistenceProof(key, leaf.value, ICN.leaf_spec, tuple(steps))
