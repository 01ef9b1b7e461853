"""Snapshots and chunks that are none, as somebody would serve them to have another state believed."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Final

from icn.ledger.v1 import snapshot_pb2
from icn_crypto.state_page import leaf_hash, subtree_hash
from icn_crypto.state_tree import state_key
from icn_machine.records import Namespace

_LEAF = snapshot_pb2.SnapshotLeaf(namespace=int(Namespace.ANCHOR), identifier=bytes(32), value=b"\x0a\x00")
FORGED_CHUNK: Final = snapshot_pb2.SnapshotLeaves(leaves=[_LEAF]).SerializeToString(deterministic=True)
"""As if the state were a single anchor."""
FORGED_DIGEST: Final = sha256(FORGED_CHUNK).digest()


def forged(data: bytes, choose: random.Random, *, is_snapshot: bool) -> bytes:
    """A flipped bit, or a snapshot whose one subtree is another with a hash and an address of its own."""
    if is_snapshot and choose.randrange(2):
        return _with_another_subtree(data)
    at = choose.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :]


def _with_another_subtree(data: bytes) -> bytes:
    """Right in itself, under another root than the validators signed."""
    snapshot = snapshot_pb2.Snapshot.FromString(data)
    key, value_hash = state_key(_LEAF.namespace, _LEAF.identifier), sha256(_LEAF.value).digest()
    del snapshot.subtrees[:]
    snapshot.subtrees.add(
        depth=0,
        leaves=1,
        hash=subtree_hash([(key + value_hash, leaf_hash(key, value_hash))], 0),
        digest=FORGED_DIGEST,
    )
    return snapshot.SerializeToString(deterministic=True)
