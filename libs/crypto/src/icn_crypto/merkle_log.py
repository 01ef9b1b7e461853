"""Append-only Merkle log: roots, frontiers, inclusion and consistency proofs.

Leaves are given as leaf hashes, proofs as lists of 32-byte hashes from the leaf upwards. A subtree is the
span [start, end) of a log whose start is a multiple of the smallest power of two that is not below end −
start; then its root is made of whole nodes of the log.

Source: RFC 9162, section 2.1; subtrees: draft-ietf-plants-merkle-tree-certs, section 4.
docs/spec/cryptography.md, "Log".
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from icn_crypto.hashing import HASH_BYTES, sha256
from icn_crypto.native import accelerator

EMPTY_ROOT: Final = sha256(b"")
"""Root of the log without leaves."""

SIZE_MAX: Final = 2**64 - 1
"""Largest size a log may have: sizes are stored as u64. It also bounds the depth of every proof by 64."""


class InvalidFrontier(ValueError):
    """The bytes are not the frontier of a log."""


class InvalidPath(ValueError):
    """The hashes do not lead from a leaf to any root."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes in order; of none: SHA-256 of nothing."""
    if not leaf_hashes:
        return EMPTY_ROOT
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaves in order, given as they are."""
    if accelerator is not None:
        return accelerator.merkle_log_root(list(leaves))
    return tree_root([leaf_hash(leaf) for leaf in leaves])


@dataclass(slots=True)
class Log:
    """A log that can grow but forgets its leaves: the roots of its perfect subtrees, largest first."""

    size: int = 0
    """Number of leaves."""
    peaks: list[bytes] = field(default_factory=list)
    """One root per set bit of ``size``, from the highest bit down."""

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash (32 bytes) at the end."""
        assert len(leaf) == HASH_BYTES, "callers pass a leaf hash; another length is our bug"
        carry = leaf
        size = self.size
        while size & 1:
            carry = node_hash(self.peaks.pop(), carry)
            size >>= 1
        self.peaks.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """Root over all leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "Log":
        """A log of its own with the same leaves."""
        return Log(self.size, list(self.peaks))

    def to_bytes(self) -> bytes:
        """u64be size ‖ peaks."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Log":
        """Inverse of ``to_bytes``.

        Raises:
            InvalidFrontier: the number of peaks does not follow from the size.
        """
        size = int.from_bytes(data[:8], "big")
        if len(data) < 8 or size > SIZE_MAX or len(data) != 8 + HASH_BYTES * size.bit_count():
            raise InvalidFrontier(f"{len(data)} bytes are not the frontier of a log of {size} leaves")
        return cls(size, [data[i : i + HASH_BYTES] for i in range(8, len(data), HASH_BYTES)])


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Siblings of leaf ``index`` on the way to the root of all leaves, lowest first."""
    assert 0 <= index < len(leaf_hashes), "callers ask for a leaf that is there"
    proof: list[bytes] = []
    level = list(leaf_hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        level = _parents(level)
        index >>= 1
    return proof


def consistency_proof(leaf_hashes: Sequence[bytes], size_1: int) -> list[bytes]:
    """Proof that the log of the first ``size_1`` leaves (1 or more) is a prefix of the log of all."""
    assert 1 <= size_1 <= len(leaf_hashes), "callers ask for a prefix that is there"
    return subtree_consistency_proof(leaf_hashes, 0, size_1)


def subtree_consistency_proof(leaf_hashes: Sequence[bytes], start: int, end: int) -> list[bytes]:
    """Proof that the subtree [start, end) is part of the log of all leaves; no hashes if it is empty."""
    assert is_subtree(start, end) and end <= len(leaf_hashes), "callers ask for a subtree that is there"
    proof: list[bytes] = []
    if start == end:
        return proof
    low, high = 0, len(leaf_hashes)
    is_known = True
    while (start, end) != (low, high):
        middle = low + _split(high - low)
        if end <= middle:
            proof.append(tree_root(leaf_hashes[middle:high]))
            high = middle
        else:
            proof.append(tree_root(leaf_hashes[low:middle]))
            if start < middle:
                start = middle
                is_known = False
            low = middle
    if not is_known:
        proof.append(tree_root(leaf_hashes[low:high]))
    return proof[::-1]


def verify_inclusion(*, leaf_index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf hash stands at ``leaf_index`` of the log of ``size`` leaves with this root."""
    return inclusion_fault(leaf_index=leaf_index, size=size, leaf=leaf, proof=proof, root=root) is None


def verify_consistency(
    *, size_1: int, size_2: int, root_1: bytes, root_2: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the log of ``size_1`` leaves and ``root_1`` is a prefix of that of ``size_2`` and ``root_2``.

    Two empty logs are consistent; an empty log and another are refused: there is nothing a proof could show.
    """
    fault = consistency_fault(size_1=size_1, size_2=size_2, root_1=root_1, root_2=root_2, proof=proof)
    return fault is None


def verify_subtree_inclusion(
    *, leaf_index: int, start: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the leaf hash stands at ``leaf_index`` of the log, inside the subtree with this root."""
    fault = subtree_inclusion_fault(
        leaf_index=leaf_index, start=start, end=end, leaf=leaf, proof=proof, root=root
    )
    return fault is None


def verify_subtree_consistency(
    *, start: int, end: int, size: int, root_1: bytes, root_2: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the subtree [start, end) with ``root_1`` is part of the log of ``size`` leaves with ``root_2``.

    An empty subtree is part of every log that reaches it: its root is the empty root and its proof is empty.
    """
    fault = subtree_consistency_fault(
        start=start, end=end, size=size, root_1=root_1, root_2=root_2, proof=proof
    )
    return fault is None


def is_subtree(start: int, end: int) -> bool:
    """Whether [start, end) is aligned as a subtree must be. An empty span is one wherever it lies."""
    if not 0 <= start <= end <= SIZE_MAX:
        return False
    return start == end or start % (1 << (end - start - 1).bit_length()) == 0


def inclusion_fault(
    *, leaf_index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> str | None:
    """Why ``verify_inclusion`` says no, None where it says yes."""
    try:
        led = inclusion_root(leaf_index=leaf_index, size=size, leaf=leaf, proof=proof)
    except InvalidPath as fault:
        return str(fault)
    return None if led == root else "the proof leads to another root"


def inclusion_root(*, leaf_index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that an inclusion proof leads to.

    Raises:
        InvalidPath: it leads to none.
    """
    if not 0 <= leaf_index < size <= SIZE_MAX:
        raise InvalidPath(f"leaf {leaf_index} is not in a tree of {size}")
    if fault := _length_fault(leaf, *proof):
        raise InvalidPath(fault)
    current = leaf
    last = size - 1
    remaining = iter(proof)
    while last > 0:
        if leaf_index & 1 or leaf_index < last:
            sibling = next(remaining, None)
            if sibling is None:
                raise InvalidPath("the proof has too few hashes")
            current = node_hash(sibling, current) if leaf_index & 1 else node_hash(current, sibling)
        leaf_index >>= 1
        last >>= 1
    if next(remaining, None) is not None:
        raise InvalidPath("the proof has too many hashes")
    return current


def subtree_inclusion_fault(
    *, leaf_index: int, start: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> str | None:
    """Why ``verify_subtree_inclusion`` says no, None where it says yes."""
    if not is_subtree(start, end):
        return f"[{start}, {end}) is not a subtree"
    if not start <= leaf_index < end:
        return f"leaf {leaf_index} is not in the subtree [{start}, {end})"
    return inclusion_fault(leaf_index=leaf_index - start, size=end - start, leaf=leaf, proof=proof, root=root)


def consistency_fault(
    *, size_1: int, size_2: int, root_1: bytes, root_2: bytes, proof: Sequence[bytes]
) -> str | None:
    """Why ``verify_consistency`` says no, None where it says yes."""
    if size_1 == 0 < size_2:
        return "an empty log cannot be proven to be a prefix"
    return subtree_consistency_fault(
        start=0, end=size_1, size=size_2, root_1=root_1, root_2=root_2, proof=proof
    )


def subtree_consistency_fault(
    *, start: int, end: int, size: int, root_1: bytes, root_2: bytes, proof: Sequence[bytes]
) -> str | None:
    """Why ``verify_subtree_consistency`` says no, None where it says yes."""
    if not is_subtree(start, end):
        return f"[{start}, {end}) is not a subtree"
    if not end <= size <= SIZE_MAX:
        return f"[{start}, {end}) reaches beyond a tree of {size}"
    if start == end:
        return _empty_subtree_fault(size, root_1, root_2, proof)
    return _subtree_proof_fault(start, end, size, (root_1, root_2), proof)


def _subtree_proof_fault(
    start: int, end: int, size: int, expected: tuple[bytes, bytes], proof: Sequence[bytes]
) -> str | None:
    if fault := _length_fault(*proof):
        return fault
    remaining = iter(proof)
    roots = _roots_of(start, end, size, expected[0], remaining)
    if roots is None:
        return "the proof has too few hashes"
    if next(remaining, None) is not None:
        return "the proof has too many hashes"
    if roots[0] != expected[0]:
        return "the proof leads to another root of the smaller tree"
    return None if roots[1] == expected[1] else "the proof leads to another root of the larger tree"


def _empty_subtree_fault(size: int, root_1: bytes, root_2: bytes, proof: Sequence[bytes]) -> str | None:
    if proof:
        return "the proof has too many hashes"
    if root_1 != EMPTY_ROOT:
        return "the root of an empty subtree is the hash of nothing"
    return "the root of an empty tree is the hash of nothing" if size == 0 and root_2 != EMPTY_ROOT else None


def _roots_of(
    start: int, end: int, size: int, known: bytes | None, proof: Iterator[bytes]
) -> tuple[bytes, bytes] | None:
    """Roots of [start, end) and of the whole tree of ``size`` leaves, as the proof has them; None when it
    is short.

    ``known`` is the root of [start, end) where that is a whole node the verifier has, None where the proof
    names it.
    """
    if (start, end) == (0, size):
        node = known if known is not None else next(proof, None)
        return None if node is None else (node, node)
    split = _split(size)
    if end <= split:
        below = _roots_of(start, end, split, known, proof)
    elif start >= split:
        below = _roots_of(start - split, end - split, size - split, known, proof)
    else:
        below = _roots_of(0, end - split, size - split, None, proof)
    sibling = next(proof, None)
    if below is None or sibling is None:
        return None
    part, whole = below
    if end <= split:
        return part, node_hash(whole, sibling)
    if start >= split:
        return part, node_hash(sibling, whole)
    return node_hash(sibling, part), node_hash(sibling, whole)


def _split(size: int) -> int:
    """Largest power of two below ``size`` (2 or more)."""
    return 1 << ((size - 1).bit_length() - 1)


def _parents(level: list[bytes]) -> list[bytes]:
    """The nodes above: neighbours paired, an odd last one risen; the same tree as RFC 9162 splits."""
    make = hashlib.sha256
    above = [make(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        above.append(level[-1])
    return above


def _length_fault(*hashes: bytes) -> str | None:
    """Refuses hashes of another length, by which bytes could be moved between two neighbours."""
    return None if all(len(element) == HASH_BYTES for element in hashes) else "a hash is not 32 bytes long"
