"""ICS-23: proofs of membership and absence in other chains' stores (IAVL, Tendermint, sparse Merkle), and in
our own state tree as those see it.

A proof says itself how it is hashed; what makes it sound is the specification of the store it is checked
against.

Source: ICS-23 (Vector Commitments).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from icn_crypto.ics23_message import (
    ExistenceProof,
    InnerOp,
    LeafOp,
    MalformedProof,
    NonExistenceProof,
    read_proof,
    varint,
)

NO_HASH: Final = 0
SHA256: Final = 1
VAR_PROTO: Final = 1

DEPTH_MAX_DEFAULT: Final = 128
"""Steps of a path where a specification names no bound."""

_HASHES: Final = {
    1: "sha256",
    2: "sha512",
    4: "ripemd160",
    6: "sha512_256",
    7: "blake2b",
    8: "blake2s",
}
_BITCOIN: Final = 5
"""RIPEMD-160 of SHA-256."""


class ProofRefused(ValueError):
    """The proof does not show what it should; the message says why."""


@dataclass(frozen=True, slots=True)
class InnerSpec:
    """Shape of the inner nodes: metadata, then the children in order."""

    child_order: tuple[int, ...]
    child_size: int
    min_prefix_length: int
    max_prefix_length: int
    hash: int
    empty_child: bytes = b""


@dataclass(frozen=True, slots=True)
class ProofSpec:
    """What a store's proofs look like."""

    leaf_spec: LeafOp
    inner_spec: InnerSpec
    min_depth: int = 0
    max_depth: int = 0
    """0: 128."""
    prehash_key_before_comparison: bool = False
    is_iavl: bool = False
    """Prefixes are height, size and version as signed varints, then what is left of the children."""
    inner_prefix: bytes = b""
    """What every inner node starts with."""


IAVL: Final = ProofSpec(
    leaf_spec=LeafOp(hash=SHA256, prehash_value=SHA256, length=VAR_PROTO, prefix=b"\x00"),
    inner_spec=InnerSpec((0, 1), child_size=33, min_prefix_length=4, max_prefix_length=12, hash=SHA256),
    is_iavl=True,
)
TENDERMINT: Final = ProofSpec(
    leaf_spec=LeafOp(hash=SHA256, prehash_value=SHA256, length=VAR_PROTO, prefix=b"\x00"),
    inner_spec=InnerSpec((0, 1), child_size=32, min_prefix_length=1, max_prefix_length=1, hash=SHA256),
    inner_prefix=b"\x01",
)
SMT: Final = ProofSpec(
    leaf_spec=LeafOp(hash=SHA256, prehash_key=SHA256, prehash_value=SHA256, prefix=b"\x00"),
    inner_spec=InnerSpec(
        (0, 1), child_size=32, min_prefix_length=1, max_prefix_length=1, hash=SHA256, empty_child=bytes(32)
    ),
    max_depth=256,
    prehash_key_before_comparison=True,
)
ICN: Final = replace(SMT, inner_prefix=b"\x01")
"""The platform's own state tree (docs/spec/state-tree.md): a sparse one whose inner nodes all start alike."""
SPECS: Final = {"iavl": IAVL, "tendermint": TENDERMINT, "smt": SMT, "icn": ICN}


def verify(root: bytes, proof: bytes, key: bytes, value: bytes | None, spec: ProofSpec) -> tuple[bool, str]:
    """Whether the proof shows that the key has the value (None: is absent), and why not.

    Of a batch, the entry for the key counts. The reason is empty when the proof is valid.
    """
    try:
        entries = read_proof(proof)
        if value is not None:
            for entry in entries:
                if isinstance(entry, ExistenceProof) and entry.key == key:
                    _verify_existence(entry, spec, root, key, value)
                    return True, ""
            raise ProofRefused("no proof of membership of this key")
        for entry in entries:
            if isinstance(entry, NonExistenceProof) and _encloses(entry, spec, key):
                _verify_absence(entry, spec, root, key)
                return True, ""
        raise ProofRefused("no proof of absence around this key")
    except (ProofRefused, MalformedProof) as refusal:
        return False, str(refusal)


def apply_leaf(operation: LeafOp, key: bytes, value: bytes) -> bytes:
    """Hash of a leaf.

    Raises:
        ProofRefused: an empty key or value, or an operation that is not known.
    """
    if not key or not value:
        raise ProofRefused("a leaf needs a key and a value")
    prepared_key = _with_length(operation.length, _prehash(operation.prehash_key, key))
    prepared_value = _with_length(operation.length, _prehash(operation.prehash_value, value))
    return _hash(operation.hash, operation.prefix + prepared_key + prepared_value)


def apply_inner(operation: InnerOp, child: bytes) -> bytes:
    """Hash of an inner node.

    Raises:
        ProofRefused: an empty child, or an operation that is not known.
    """
    if not child:
        raise ProofRefused("an inner step needs a child")
    return _hash(operation.hash, operation.prefix + child + operation.suffix)


def calculate_root(proof: ExistenceProof, child_size_max: int | None = None) -> bytes:
    """Root a proof leads to.

    Raises:
        ProofRefused: no leaf, a step that cannot be applied, or one whose hash is longer than
        ``child_size_max``.
    """
    if proof.leaf is None:
        raise ProofRefused("a proof of membership needs a leaf")
    current = apply_leaf(proof.leaf, proof.key, proof.value)
    for step in proof.path:
        current = apply_inner(step, current)
        if child_size_max is not None and len(current) > child_size_max >= 32:
            raise ProofRefused("a hash is longer than a child may be")
    return current


def check_against_spec(proof: ExistenceProof, spec: ProofSpec) -> None:
    """Refuse a proof whose leaf, path or depth is not of the store's shape.

    Raises:
        ProofRefused: with the part that is not.
    """
    if proof.leaf is None:
        raise ProofRefused("a proof of membership needs a leaf")
    _check_leaf(proof.leaf, spec)
    depth_max = spec.max_depth or DEPTH_MAX_DEFAULT
    if not spec.min_depth <= len(proof.path) <= depth_max:
        raise ProofRefused(f"a path of {len(proof.path)} steps, {spec.min_depth} to {depth_max} are allowed")
    for layer, step in enumerate(proof.path, start=1):
        _check_inner(step, spec, layer)


def _verify_existence(proof: ExistenceProof, spec: ProofSpec, root: bytes, key: bytes, value: bytes) -> None:
    check_against_spec(proof, spec)
    if proof.key != key:
        raise ProofRefused("the proof is of another key")
    if proof.value != value:
        raise ProofRefused("the proof is of another value")
    if calculate_root(proof, spec.inner_spec.child_size) != root:
        raise ProofRefused("the proof leads to another root")


def _verify_absence(proof: NonExistenceProof, spec: ProofSpec, root: bytes, key: bytes) -> None:
    left, right = proof.left, proof.right
    for neighbour in (left, right):
        if neighbour is not None:
            _verify_existence(neighbour, spec, root, neighbour.key, neighbour.value)
    if not _encloses(proof, spec, key):
        raise ProofRefused("the key does not lie between its neighbours")
    inner = spec.inner_spec
    if left is None and right is None:
        raise ProofRefused("neither neighbour is given")
    if left is None and right is not None and not _is_left_most(inner, right.path):
        raise ProofRefused("the right neighbour is not the first leaf")
    if right is None and left is not None and not _is_right_most(inner, left.path):
        raise ProofRefused("the left neighbour is not the last leaf")
    if left is not None and right is not None and not _are_neighbours(inner, left.path, right.path):
        raise ProofRefused("the two leaves are not neighbours")


def _encloses(proof: NonExistenceProof, spec: ProofSpec, key: bytes) -> bool:
    """Whether the key lies strictly between the neighbours that are given."""
    compared = _comparable(spec, key)
    if proof.left is not None and _comparable(spec, proof.left.key) >= compared:
        return False
    return proof.right is None or compared < _comparable(spec, proof.right.key)


def _comparable(spec: ProofSpec, key: bytes) -> bytes:
    return _prehash(spec.leaf_spec.prehash_key, key) if spec.prehash_key_before_comparison else key


def _check_leaf(leaf: LeafOp, spec: ProofSpec) -> None:
    if spec.is_iavl:
        _check_iavl_prefix(leaf.prefix, 0)
    expected = spec.leaf_spec
    for name in ("hash", "prehash_key", "prehash_value", "length"):
        if getattr(leaf, name) != getattr(expected, name):
            raise ProofRefused(f"leaf: {name} is {getattr(leaf, name)}, not {getattr(expected, name)}")
    if not leaf.prefix.startswith(expected.prefix):
        raise ProofRefused(f"leaf: the prefix does not start with {expected.prefix.hex()}")


def _check_inner(step: InnerOp, spec: ProofSpec, layer: int) -> None:
    inner = spec.inner_spec
    if step.hash != inner.hash:
        raise ProofRefused(f"step {layer}: hash is {step.hash}, not {inner.hash}")
    if spec.is_iavl:
        _check_iavl_prefix(step.prefix, layer)
    if not step.prefix.startswith(spec.inner_prefix):
        raise ProofRefused(f"step {layer}: the prefix does not start with {spec.inner_prefix.hex()}")
    if step.prefix.startswith(spec.leaf_spec.prefix):
        raise ProofRefused(f"step {layer}: the prefix is a leaf's")
    length_max = inner.max_prefix_length + (len(inner.child_order) - 1) * inner.child_size
    if not inner.min_prefix_length <= len(step.prefix) <= length_max:
        raise ProofRefused(f"step {layer}: a prefix of {len(step.prefix)} bytes")
    if len(step.suffix) % inner.child_size:
        raise ProofRefused(f"step {layer}: a suffix of {len(step.suffix)} bytes")


def _check_iavl_prefix(prefix: bytes, layer: int) -> None:
    """An IAVL node starts with height, size and version; a leaf's prefix ends there, an inner one goes on."""
    position = 0
    values: list[int] = []
    for _ in range(3):
        value, position = _signed_varint(prefix, position)
        if value < 0:
            raise ProofRefused(f"step {layer}: a negative number in the prefix")
        values.append(value)
    if values[0] < layer:
        raise ProofRefused(f"step {layer}: height {values[0]} is below the layer")
    remaining = len(prefix) - position
    # Our own length byte, with or without the left child (its length byte and 32 bytes) before it.
    if remaining not in ((0,) if layer == 0 else (1, 34)):
        raise ProofRefused(f"step {layer}: {remaining} bytes after height, size and version")


def _signed_varint(data: bytes, position: int) -> tuple[int, int]:
    """A zigzag varint of at most 64 bits."""
    number = 0
    for index, byte in enumerate(data[position : position + 10]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            if number >> 64:
                break
            return number >> 1 ^ -(number & 1), position + index + 1
    raise ProofRefused("a varint of the prefix does not end")


def _padding(spec: InnerSpec, branch: int) -> tuple[int, int, int]:
    """Least and most bytes before, and bytes after, a child of this branch."""
    position = spec.child_order.index(branch)
    before = position * spec.child_size
    after = (len(spec.child_order) - 1 - position) * spec.child_size
    return before + spec.min_prefix_length, before + spec.max_prefix_length, after


def _fits(spec: InnerSpec, step: InnerOp, branch: int) -> bool:
    least, most, after = _padding(spec, branch)
    return least <= len(step.prefix) <= most and len(step.suffix) == after


def _branch_of(spec: InnerSpec, step: InnerOp) -> int | None:
    """Which child the step climbs from, told by the lengths around it."""
    return next((branch for branch in range(len(spec.child_order)) if _fits(spec, step, branch)), None)


def _is_left_most(spec: InnerSpec, path: Sequence[InnerOp]) -> bool:
    return all(_fits(spec, step, 0) or _only_empty_children(spec, step, is_left=True) for step in path)


def _is_right_most(spec: InnerSpec, path: Sequence[InnerOp]) -> bool:
    last = len(spec.child_order) - 1
    return all(_fits(spec, step, last) or _only_empty_children(spec, step, is_left=False) for step in path)


def _only_empty_children(spec: InnerSpec, step: InnerOp, *, is_left: bool) -> bool:
    """Whether every sibling on that side is the store's placeholder for an empty subtree."""
    branch = _branch_of(spec, step)
    if branch is None or not spec.empty_child:
        return False
    position = spec.child_order.index(branch)
    count = position if is_left else len(spec.child_order) - 1 - position
    if count == 0:
        return False
    siblings = step.prefix[len(step.prefix) - count * spec.child_size :] if is_left else step.suffix
    return siblings == spec.empty_child * count


def _are_neighbours(spec: InnerSpec, left: Sequence[InnerOp], right: Sequence[InnerOp]) -> bool:
    """Whether nothing lies between two leaves of one tree."""
    # The way they share, from the root down, is the same steps; below the first difference one must turn into
    # the next child to the right, and hug the other from there on.
    shared = 0
    while shared < min(len(left), len(right)) and (left[-1 - shared].prefix, left[-1 - shared].suffix) == (
        right[-1 - shared].prefix,
        right[-1 - shared].suffix,
    ):
        shared += 1
    if shared == min(len(left), len(right)):
        return False
    left_index, right_index = len(left) - 1 - shared, len(right) - 1 - shared
    left_branch, right_branch = _branch_of(spec, left[left_index]), _branch_of(spec, right[right_index])
    if left_branch is None or right_branch is None or right_branch != left_branch + 1:
        return False
    return _is_right_most(spec, left[:left_index]) and _is_left_most(spec, right[:right_index])


def _prehash(operation: int, data: bytes) -> bytes:
    return data if operation == NO_HASH else _hash(operation, data)


def _hash(operation: int, data: bytes) -> bytes:
    if operation == _BITCOIN:
        return _hash(4, hashlib.sha256(data).digest())
    name = _HASHES.get(operation)
    if name is None or name not in hashlib.algorithms_available:
        raise ProofRefused(f"hash operation {operation} is not supported")
    return hashlib.new(name, data).digest()


def _with_length(operation: int, data: bytes) -> bytes:
    """The data with its length as the operation (enum LengthOp) writes it."""
    length = len(data)
    if operation == 0:
        return data
    if operation == VAR_PROTO:
        return varint(length) + data
    if operation in (3, 4, 5, 6):
        size = 4 if operation < 5 else 8
        return length.to_bytes(size, "big" if operation % 2 else "little") + data
    if operation in (7, 8) and length == (32 if operation == 7 else 64):
        return data
    raise ProofRefused(f"length operation {operation} does not fit {length} bytes")
