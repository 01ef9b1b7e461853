"""The state in pieces: subtrees of the state tree, small enough to be sent, each checked against the root.

Which subtrees a state is cut into follows from its leaves alone, so that validators cut alike.

Source: docs/spec/snapshot.md, "Subtrees".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple

from icn.ledger.v1 import snapshot_pb2
from icn_crypto.state_page import EMPTY, HashedLeaf, leaf_hash, node_hash, subtree_hash
from icn_crypto.state_tree import KEY_BYTES, state_key
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.errors import DomainError, ErrorKind

from icn_machine.records import Namespace

CHUNK_BYTES_MAX = 1_048_576
"""As a block: larger messages would delay votes behind them on the same stream."""
DEPTH_MAX = 64
"""A subtree of more bits in common would take 2^64 tries to fill."""
SUBTREES_MAX = 16_384
"""Their hashes fit a snapshot's 3 MiB; with chunks that are half full, 8 GiB of leaves."""
_KEY_BITS = 8 * KEY_BYTES
_LEAF_OVERHEAD_BYTES = 16
"""Field tags and lengths of a leaf within a chunk, at most."""


class SnapshotInvalid(DomainError):
    """A snapshot that cannot be of this zone."""

    kind = ErrorKind.INVALID_ARGUMENT
    reason = "SNAPSHOT_INVALID"


class ChunkInvalid(DomainError):
    """Bytes that are not the chunk that was asked for."""

    kind = ErrorKind.INVALID_ARGUMENT
    reason = "SNAPSHOT_CHUNK_INVALID"


class Leaf(NamedTuple):
    """A leaf of the state."""

    key: bytes
    """Its state key."""
    namespace: Namespace
    identifier: bytes
    value: bytes
    """Canonical bytes."""

    @property
    def size_bytes(self) -> int:
        """What it takes of a chunk, at most."""
        return _LEAF_OVERHEAD_BYTES + len(self.identifier) + len(self.value)


class Subtree(NamedTuple):
    """The leaves whose keys begin with the same ``depth`` bits, as a snapshot speaks of them."""

    depth: int
    leaves: int
    hash: bytes
    digest: bytes
    """SHA-256 of its chunk; empty where there are no leaves."""


class Cut(NamedTuple):
    """A subtree with its chunk."""

    subtree: Subtree
    chunk: bytes
    """Empty where there are no leaves."""


class Span(NamedTuple):
    """The keys of a subtree: from the first on, so many bits of them fixed."""

    start: int
    depth: int

    def holds(self, key: bytes) -> bool:
        """Whether a key begins with the subtree's bits."""
        return (int.from_bytes(key, "big") ^ self.start) >> (_KEY_BITS - self.depth) == 0

    def halves(self) -> tuple[Span, Span]:
        """The subtrees of its two halves."""
        depth = self.depth + 1
        return Span(self.start, depth), Span(self.start | 1 << (_KEY_BITS - depth), depth)


class Cutter:
    """Cuts leaves that come in ascending order of their keys: a subtree of several leaves that take more than
    a chunk is cut in two. `add` each leaf, then `finish`; both give what is cut by then."""

    def __init__(self, chunk_bytes_max: int = CHUNK_BYTES_MAX) -> None:
        self._chunk_bytes_max = chunk_bytes_max
        self._waiting = [Span(0, 0)]
        """Subtrees not cut yet, the lowest last."""
        self._leaves: list[Leaf] = []
        """Of the lowest."""
        self._size_bytes = 0

    def add(self, leaf: Leaf) -> list[Cut]:
        """Take the next leaf."""
        cuts = []
        while not self._waiting[-1].holds(leaf.key):
            cuts.append(self._cut())
        self._leaves.append(leaf)
        self._size_bytes += leaf.size_bytes
        while self._size_bytes > self._chunk_bytes_max and len(self._leaves) > 1:
            lower, upper = self._waiting.pop().halves()
            self._waiting += (upper, lower)
            if not lower.holds(leaf.key):
                behind = [one for one in self._leaves if not lower.holds(one.key)]
                del self._leaves[len(self._leaves) - len(behind) :]
                cuts.append(self._cut())
                self._leaves = behind
                self._size_bytes = sum(one.size_bytes for one in behind)
        return cuts

    def finish(self) -> list[Cut]:
        """No leaf follows."""
        return [self._cut() for _ in range(len(self._waiting))]

    def _cut(self) -> Cut:
        """The lowest subtree, with all leaves that wait."""
        depth = self._waiting.pop().depth
        leaves, self._leaves, self._size_bytes = self._leaves, [], 0
        chunk = _encode(leaves)
        digest = sha256(chunk).digest() if leaves else b""
        return Cut(Subtree(depth, len(leaves), _hash(leaves, depth), digest), chunk)


def spans_of(subtrees: Sequence[Subtree], root: bytes) -> list[Span]:
    """The keys of each subtree.

    Raises:
        SnapshotInvalid: the subtrees are not all of a tree with this root.
    """
    if len(subtrees) > SUBTREES_MAX:
        raise SnapshotInvalid(f"{len(subtrees)} subtrees, at most {SUBTREES_MAX}")
    spans: list[Span] = []
    start = 0
    merged: list[tuple[int, int, bytes]] = []
    """Depth, leaves and hash of subtrees whose upper half is yet to come, and of the newest."""
    for subtree in subtrees:
        if not 0 <= subtree.depth <= DEPTH_MAX or start >> _KEY_BITS or not _is_plausible(subtree):
            raise SnapshotInvalid(f"subtree {len(spans)} is none")
        spans.append(Span(start, subtree.depth))
        start += 1 << (_KEY_BITS - subtree.depth)
        merged.append(subtree[:3])
        while len(merged) > 1 and merged[-1][0] == merged[-2][0]:
            (depth, above, upper), (_, below, lower) = merged.pop(), merged.pop()
            merged.append((depth - 1, above + below, _merge(lower, below, upper, above)))
    if len(merged) != 1 or merged[0][0] != 0 or merged[0][2] != root:
        raise SnapshotInvalid(f"{len(subtrees)} subtrees do not lead to the root {root.hex()}")
    return spans


def read_leaves(chunk: bytes, subtree: Subtree, span: Span) -> list[Leaf]:
    """The leaves of a chunk, ascending by key.

    Raises:
        ChunkInvalid: it is not the chunk that the subtree names.
        SnapshotInvalid: the chunk that the subtree names holds other leaves than the subtree.
    """
    if sha256(chunk).digest() != subtree.digest:
        raise ChunkInvalid("these bytes have another SHA-256")
    try:
        message = parse_canonical(snapshot_pb2.SnapshotLeaves, chunk, CHUNK_BYTES_MAX)
        leaves = [
            Leaf(
                state_key(leaf.namespace, leaf.identifier),
                Namespace(leaf.namespace),
                leaf.identifier,
                leaf.value,
            )
            for leaf in message.leaves
        ]
    except (MalformedBytes, NotCanonical, ValueError) as error:
        raise SnapshotInvalid(f"a chunk holds no leaves: {error}") from error
    is_ascending = all(before.key < after.key for before, after in pairwise(leaves))
    if not is_ascending or not all(span.holds(leaf.key) for leaf in leaves):
        raise SnapshotInvalid("leaves of a chunk are out of place")
    if len(leaves) != subtree.leaves or _hash(leaves, subtree.depth) != subtree.hash:
        raise SnapshotInvalid(
            f"a chunk of {len(leaves)} leaves is not the subtree of {subtree.leaves} that it is said to be"
        )
    return leaves


def _is_plausible(subtree: Subtree) -> bool:
    is_empty = subtree.leaves == 0
    return is_empty == (subtree.hash == EMPTY) == (not subtree.digest) and len(subtree.hash) == KEY_BYTES


def _merge(lower: bytes, below: int, upper: bytes, above: int) -> bytes:
    """The hash of a subtree from those of its halves and the number of their leaves."""
    if below + above > 1:
        return node_hash(lower, upper)
    return lower if below else upper


def _encode(leaves: Iterable[Leaf]) -> bytes:
    return snapshot_pb2.SnapshotLeaves(
        leaves=[
            snapshot_pb2.SnapshotLeaf(
                namespace=int(leaf.namespace), identifier=leaf.identifier, value=leaf.value
            )
            for leaf in leaves
        ]
    ).SerializeToString(deterministic=True)


def _hash(leaves: Sequence[Leaf], depth: int) -> bytes:
    hashed: list[HashedLeaf] = []
    for leaf in leaves:
        value_hash = sha256(leaf.value).digest()
        hashed.append((leaf.key + value_hash, leaf_hash(leaf.key, value_hash)))
    return subtree_hash(hashed, depth)
