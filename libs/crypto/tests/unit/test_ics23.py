"""ICS-23 on trees built here, so that every neighbour and every forgery can be made on purpose."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto.ics23 import IAVL, SMT, TENDERMINT, ProofSpec, apply_leaf, verify
from icn_crypto.ics23_message import (
    PROOF_BYTES_MAX,
    ExistenceProof,
    InnerOp,
    LeafOp,
    MalformedProof,
    NonExistenceProof,
    read_proof,
)


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 128:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def written(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    return varint(number << 3 | 2) + varint(len(value)) + value


def leaf_bytes(leaf: LeafOp) -> bytes:
    numbers = (leaf.hash, leaf.prehash_key, leaf.prehash_value, leaf.length)
    return b"".join(written(i, value) for i, value in enumerate(numbers, 1)) + written(5, leaf.prefix)


def inner_bytes(step: InnerOp) -> bytes:
    return written(1, step.hash) + written(2, step.prefix) + written(3, step.suffix)


def existence_bytes(proof: ExistenceProof) -> bytes:
    leaf = written(3, leaf_bytes(proof.leaf)) if proof.leaf is not None else b""
    path = b"".join(written(4, inner_bytes(step)) for step in proof.path)
    return written(1, proof.key) + written(2, proof.value) + leaf + path


def absence_bytes(proof: NonExistenceProof) -> bytes:
    left = written(2, existence_bytes(proof.left)) if proof.left else b""
    right = written(3, existence_bytes(proof.right)) if proof.right else b""
    return left + right


def proof_bytes(proof: ExistenceProof | NonExistenceProof) -> bytes:
    if isinstance(proof, ExistenceProof):
        return written(1, existence_bytes(proof))
    return written(2, absence_bytes(proof))


def batch_entry(proof: ExistenceProof | NonExistenceProof) -> bytes:
    return written(1, proof_bytes(proof))


class Store:
    """A binary tree of sorted leaves, split in the middle, hashed as Tendermint or as IAVL does."""

    def __init__(self, spec: ProofSpec, keys: list[bytes]) -> None:
        self.spec = spec
        self.keys = keys
        leaf = replace(spec.leaf_spec, prefix=b"\x00\x02\x04") if spec is IAVL else spec.leaf_spec
        self.proofs = [ExistenceProof(key, b"value of " + key, leaf) for key in keys]
        self.root = self._build(0, len(keys))[0]

    def _build(self, start: int, end: int) -> tuple[bytes, int]:
        if end - start == 1:
            proof = self.proofs[start]
            return apply_leaf(proof.leaf, proof.key, proof.value), 0
        middle = (start + end + 1) // 2
        (left, left_height), (right, right_height) = self._build(start, middle), self._build(middle, end)
        height = max(left_height, right_height) + 1
        if self.spec is IAVL:
            before = varint(2 * height) + varint(2 * (end - start)) + varint(8)
            steps = (
                InnerOp(1, before + b"\x20", b"\x20" + right),
                InnerOp(1, before + b"\x20" + left + b"\x20"),
            )
        else:
            steps = InnerOp(1, b"\x01", right), InnerOp(1, b"\x01" + left)
        for index in range(start, end):
            step = steps[index >= middle]
            self.proofs[index] = replace(self.proofs[index], path=(*self.proofs[index].path, step))
        return hashlib.sha256(steps[0].prefix + left + steps[0].suffix).digest(), height

    def absence(self, key: bytes) -> NonExistenceProof:
        below = [proof for proof in self.proofs if proof.key < key]
        above = [proof for proof in self.proofs if proof.key > key]
        return NonExistenceProof(below[-1] if below else None, above[0] if above else None)


def is_valid(store: Store, proof: bytes, key: bytes, value: bytes | None) -> bool:
    valid, reason = verify(store.root, proof, key, value, store.spec)
    assert valid is (reason == "")
    return valid


specs = st.sampled_from([TENDERMINT, IAVL])
stores = st.builds(
    lambda spec, count: Store(spec, [bytes([97 + 2 * number]) for number in range(count)]),
    specs,
    st.integers(2, 12),
)


@given(stores, st.data())
def test_membership_is_shown_for_its_key_value_and_root_only(store: Store, data: st.DataObject) -> None:
    proof = data.draw(st.sampled_from(store.proofs))
    encoded = proof_bytes(proof)
    assert is_valid(store, encoded, proof.key, proof.value)
    assert not is_valid(store, encoded, proof.key, proof.value + b"!")
    assert not is_valid(store, encoded, b"other", proof.value)
    assert not is_valid(store, encoded, proof.key, None)
    assert not verify(bytes(32), encoded, proof.key, proof.value, store.spec)[0]
    assert not verify(store.root, encoded, proof.key, proof.value, SMT)[0]


@given(stores, st.data())
def test_absence_is_shown_between_neighbours_and_at_both_ends(store: Store, data: st.DataObject) -> None:
    key = bytes([96 + 2 * data.draw(st.integers(0, len(store.keys)))])
    encoded = proof_bytes(store.absence(key))
    assert is_valid(store, encoded, key, None)
    assert not is_valid(store, encoded, key, b"value")
    for present in store.keys:
        assert not is_valid(store, encoded, present, None)


@given(stores, st.data())
def test_leaves_that_are_not_neighbours_show_no_absence(store: Store, data: st.DataObject) -> None:
    left = data.draw(st.integers(-1, len(store.keys) - 1))
    right = data.draw(st.integers(0, len(store.keys)))
    forged = NonExistenceProof(
        store.proofs[left] if left >= 0 else None, store.proofs[right] if right < len(store.keys) else None
    )
    for position in range(len(store.keys) + 1):
        key = bytes([96 + 2 * position])
        expected = right == left + 1 == position
        assert is_valid(store, proof_bytes(forged), key, None) is expected


@given(stores, st.data())
def test_a_damaged_step_breaks_the_proof(store: Store, data: st.DataObject) -> None:
    proof = data.draw(st.sampled_from(store.proofs))
    at = data.draw(st.integers(0, len(proof.path) - 1))
    step = proof.path[at]
    for other in (
        replace(step, prefix=b"\x00" + step.prefix[1:]),
        replace(step, prefix=step.prefix[:-1]),
        replace(step, prefix=b"", suffix=step.prefix + step.suffix),
        replace(step, suffix=step.suffix + b"\x00"),
        replace(step, hash=2),
        replace(step, hash=0),
    ):
        path = (*proof.path[:at], other, *proof.path[at + 1 :])
        assert not is_valid(store, proof_bytes(replace(proof, path=path)), proof.key, proof.value)
    shorter = (*proof.path[:at], *proof.path[at + 1 :])
    assert not is_valid(store, proof_bytes(replace(proof, path=shorter)), proof.key, proof.value)


def test_a_leaf_of_another_shape_is_refused() -> None:
    store = Store(TENDERMINT, [b"a", b"b"])
    proof = store.proofs[0]
    assert proof.leaf is not None
    for leaf in (
        replace(proof.leaf, prefix=b"\x01"),
        replace(proof.leaf, prehash_value=0),
        replace(proof.leaf, prehash_key=1),
        replace(proof.leaf, length=0),
        replace(proof.leaf, hash=2),
        None,
    ):
        assert not is_valid(store, proof_bytes(replace(proof, leaf=leaf)), proof.key, proof.value)


def test_an_inner_node_cannot_pose_as_a_leaf() -> None:
    # Key and value cut out of an inner node's preimage: the classic forgery the prefix rules are there for.
    store = Store(TENDERMINT, [b"a", b"b", b"c", b"d"])
    inner = store.proofs[0].path[1]
    forged = ExistenceProof(
        b"k", b"v", LeafOp(hash=1, prehash_value=1, length=1, prefix=inner.prefix + inner.suffix)
    )
    assert not is_valid(store, proof_bytes(forged), b"k", b"v")


def test_an_iavl_path_is_at_least_as_high_as_it_is_long() -> None:
    store = Store(IAVL, [bytes([97 + number]) for number in range(4)])
    proof = store.proofs[0]
    lowered = replace(proof.path[1], prefix=b"\x02" + proof.path[1].prefix[1:])
    path = (proof.path[0], lowered)
    valid, reason = verify(store.root, proof_bytes(replace(proof, path=path)), proof.key, proof.value, IAVL)
    assert (valid, reason) == (False, "step 2: height 1 is below the layer")


def test_the_depth_of_a_path_is_bounded() -> None:
    store = Store(TENDERMINT, [b"a", b"b"])
    proof = store.proofs[0]
    for count, expected in ((128, "another root"), (129, "129 steps")):
        longer = replace(proof, path=(proof.path[0],) * count)
        assert expected in verify(store.root, proof_bytes(longer), proof.key, proof.value, TENDERMINT)[1]


def sparse_root(leaves: dict[bytes, bytes], depth: int = 0) -> bytes:
    """A sparse Merkle tree of the SMT specification: empty subtrees are zeros, lone leaves rise."""
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        (path, value), *_ = leaves.items()
        return hashlib.sha256(b"\x00" + path + hashlib.sha256(value).digest()).digest()
    halves: list[dict[bytes, bytes]] = [{}, {}]
    for path, value in leaves.items():
        halves[path[depth // 8] >> 7 - depth % 8 & 1][path] = value
    return hashlib.sha256(
        b"\x01" + sparse_root(halves[0], depth + 1) + sparse_root(halves[1], depth + 1)
    ).digest()


def sparse_proof(keys: list[bytes], key: bytes) -> ExistenceProof:
    leaves = {hashlib.sha256(other).digest(): b"v" + other for other in keys}
    path = hashlib.sha256(key).digest()
    steps: list[InnerOp] = []
    depth = 0
    while len(leaves) > 1:
        bit = path[depth // 8] >> 7 - depth % 8 & 1
        halves: list[dict[bytes, bytes]] = [{}, {}]
        for other, value in leaves.items():
            halves[other[depth // 8] >> 7 - depth % 8 & 1][other] = value
        depth += 1
        sibling = sparse_root(halves[1 - bit], depth)
        steps.append(InnerOp(1, b"\x01" + sibling) if bit else InnerOp(1, b"\x01", sibling))
        leaves = halves[bit]
    return ExistenceProof(key, b"v" + key, SMT.leaf_spec, tuple(reversed(steps)))


@given(st.integers(2, 12), st.integers(0, 30))
def test_sparse_trees_order_keys_by_their_hashes(count: int, absent: int) -> None:
    keys = [b"key %d" % number for number in range(count)]
    root = sparse_root({hashlib.sha256(key).digest(): b"v" + key for key in keys})
    for key in keys:
        assert verify(root, proof_bytes(sparse_proof(keys, key)), key, b"v" + key, SMT) == (True, "")
    missing = b"missing %d" % absent
    ordered = sorted(keys, key=lambda key: hashlib.sha256(key).digest())
    position = sum(hashlib.sha256(key).digest() < hashlib.sha256(missing).digest() for key in ordered)
    left = sparse_proof(keys, ordered[position - 1]) if position > 0 else None
    right = sparse_proof(keys, ordered[position]) if position < count else None
    encoded = proof_bytes(NonExistenceProof(left, right))
    assert verify(root, encoded, missing, None, SMT) == (True, "")
    assert not verify(root, encoded, keys[0], None, SMT)[0]
    if left is not None and right is not None:
        for partial in (NonExistenceProof(left, None), NonExistenceProof(None, right)):
            is_end = (position == count) if partial.right is None else (position == 0)
            assert verify(root, proof_bytes(partial), missing, None, SMT)[0] is is_end


def test_of_a_batch_the_entry_of_the_key_counts() -> None:
    store = Store(TENDERMINT, [b"a", b"c", b"e"])
    entries = b"".join(batch_entry(proof) for proof in (*store.proofs, store.absence(b"d")))
    batch = written(3, entries)
    assert is_valid(store, batch, b"c", b"value of c")
    assert is_valid(store, batch, b"d", None)
    assert not is_valid(store, batch, b"b", None)
    assert not is_valid(store, batch, b"d", b"value of d")


def test_a_compressed_batch_says_the_same_as_the_batch() -> None:
    store = Store(TENDERMINT, [b"a", b"c", b"e"])
    lookup: list[InnerOp] = []

    def compressed(proof: ExistenceProof) -> bytes:
        for step in proof.path:
            if step not in lookup:
                lookup.append(step)
        indexes = b"".join(varint(lookup.index(step)) for step in proof.path)
        head = existence_bytes(replace(proof, path=()))
        return head + written(4, indexes)

    absence = store.absence(b"d")
    assert absence.left is not None
    assert absence.right is not None
    sides = written(1, b"d") + written(2, compressed(absence.left)) + written(3, compressed(absence.right))
    entries = [written(1, written(1, compressed(proof))) for proof in store.proofs]
    entries.append(written(1, written(2, sides)))
    steps = b"".join(written(2, inner_bytes(step)) for step in lookup)
    batch = written(4, b"".join(entries) + steps)
    for proof in store.proofs:
        assert is_valid(store, batch, proof.key, proof.value)
    assert is_valid(store, batch, b"d", None)
    beyond = written(4, written(1, written(1, written(1, b"a") + written(4, b"\x63"))) + steps)
    with pytest.raises(MalformedProof):
        read_proof(beyond)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x0a",
        b"\x0a\x05ab",
        b"\x0b\x0c",
        b"\xff" * 11,
        written(1, b"") + written(2, b""),
        written(1, b"") + written(1, b""),
        varint(1 << 3) + b"\x05",
        written(1, written(1, b"a") + written(1, b"b")),
        written(1, written(3, written(1, b"x"))),
        written(3, written(1, b"")),
        bytes(PROOF_BYTES_MAX + 1),
    ],
)
def test_bytes_that_are_no_proof_are_malformed_and_not_valid(broken: bytes) -> None:
    with pytest.raises(MalformedProof):
        read_proof(broken)
    assert not verify(bytes(32), broken, b"k", b"v", TENDERMINT)[0]


@given(st.binary(max_size=80))
def test_garbage_is_never_valid_and_never_raises(data: bytes) -> None:
    for spec in (IAVL, TENDERMINT, SMT):
        assert not verify(bytes(32), data, b"k", b"v", spec)[0]
        assert not verify(bytes(32), data, b"k", None, spec)[0]


def test_fields_of_a_later_version_are_left_alone() -> None:
    assert read_proof(written(1, written(1, b"k") + written(9, b"new")) + written(9, 5)) == [
        ExistenceProof(b"k")
    ]


def test_a_proof_without_neighbours_shows_nothing() -> None:
    store = Store(TENDERMINT, [b"a", b"b"])
    assert not is_valid(store, written(2, written(1, b"k")), b"k", None)
