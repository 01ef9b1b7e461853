"""GetProof: a leaf, or its absence, in a state that a final header names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from icn.consensus.v1 import block_pb2
from icn_crypto.state_tree import StateTree, state_key
from icn_kit.errors import FailedPrecondition
from icn_machine.blocks.breath import LEAVES_ON_LOOP_MAX
from icn_machine.blocks.ports import EpochEdge, ExecutedBlock
from icn_machine.records import Namespace

EPOCH_STEPS_MAX = 4_096
"""As many as a proof may carry (docs/spec/proof.md)."""


class ProofMaterial(NamedTuple):
    """What one snapshot of the store has for a proof."""

    block: ExecutedBlock
    """Its header names the root; with the finalization that covers the last descendant."""
    descendant_headers: tuple[bytes, ...]
    """From its child to the block that its finalization names."""
    value: bytes
    """Canonical leaf bytes in that root's state, empty when absent."""
    pages: Mapping[bytes, bytes | None]
    """Pages of a tree near it, on the way to the key and to every leaf that may differ."""
    changes: Mapping[bytes, bytes | None]
    """What these leaves are in that root's state by state key, None for those that are absent."""
    edges: tuple[EpochEdge, ...]
    """From the wanted epoch to the block's, ascending."""
    validator_set: bytes
    """Canonical bytes of the set that signed the finalization."""
    neighbours: Sequence[tuple[Namespace, bytes, bytes]]
    """Namespace, identifier and value of the leaves beside an absent one, ascending by state key; none where
    they were not asked for."""


class Wanted(NamedTuple):
    """What is to be proven."""

    namespace: Namespace
    identifier: bytes
    before_time_ms: int = 0
    """0: in the newest state; else in the newest after a block before that time."""
    with_neighbours: bool = False
    """Of an absent leaf of the newest state the leaves beside it, too."""


class ProofSource(Protocol):
    """Where proofs are read."""

    async def proof_material(self, wanted: Wanted, from_epoch: int, steps_max: int) -> ProofMaterial | None:
        """Material for a proof; None when no final header names a state that is wanted and still kept."""


class Neighbour(NamedTuple):
    """A leaf beside an absent one."""

    namespace: Namespace
    identifier: bytes
    value: bytes
    state_proof: str


class ProvenLeaf(NamedTuple):
    """A proof in parts."""

    value: bytes
    state_proof: str
    block: ExecutedBlock
    descendant_headers: tuple[bytes, ...]
    edges: tuple[EpochEdge, ...]
    validator_set: bytes
    neighbours: Sequence[Neighbour]

    @property
    def height(self) -> int:
        """Of the block that the proven state is that after."""
        return block_pb2.BlockHeader.FromString(self.block.header).executed_height


async def get_proof(wanted: Wanted, from_epoch: int, source: ProofSource) -> ProvenLeaf:
    """Prove a leaf or its absence, on request with the leaves beside an absent one.

    Raises:
        FailedPrecondition: PROOF_NOT_READY: no block after genesis is final yet, or the newest final header
            names a state that is no longer kept; a later block will do, where no time was given.
    """
    material = await source.proof_material(wanted, from_epoch, EPOCH_STEPS_MAX)
    if material is None and wanted.before_time_ms:
        raise FailedPrecondition("PROOF_NOT_READY", "no state before that time can be proven here")
    if material is None:
        raise FailedPrecondition("PROOF_NOT_READY", "no final header names a state that is kept; try later")
    if len(material.changes) > LEAVES_ON_LOOP_MAX:
        tree = await asyncio.to_thread(_changed_tree, material)
    else:
        tree = _changed_tree(material)
    root = block_pb2.BlockHeader.FromString(material.block.header).state_root
    assert tree.root() == root, "the pages of a height hash to the root that its headers name"
    return ProvenLeaf(
        material.value,
        _state_proof(tree, wanted.namespace, wanted.identifier),
        material.block,
        material.descendant_headers,
        material.edges,
        material.validator_set,
        [
            Neighbour(kind, name, value, _state_proof(tree, kind, name))
            for kind, name, value in material.neighbours
        ],
    )


def _state_proof(tree: StateTree, namespace: Namespace, identifier: bytes) -> str:
    proof = tree.prove(state_key(namespace, identifier))
    return json.dumps(proof.to_dict(), separators=(",", ":"))


def _changed_tree(material: ProofMaterial) -> StateTree:
    changed = StateTree(material.pages).update(material.changes)
    return StateTree({**material.pages, **changed.pages})
