"""Proofs of our tree as ICS-23 proofs: whatever one shows, the other shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto.ics23 import ICN, SMT, verify
from icn_crypto.ics23_message import ExistenceProof, NonExistenceProof, read_proof, write_proof
from icn_crypto.state_ics23 import LeafWithProof, absence, existence, ics23_key
from icn_crypto.state_proof import verify_absence, verify_inclusion
from icn_crypto.state_tree import StateTree, build, state_key

ACCOUNT = 3
identifiers = st.binary(min_size=16, max_size=16)


class Tree:
    """Leaves with a value each, and their tree."""

    def __init__(self, names: set[bytes]) -> None:
        self.values = {state_key(ACCOUNT, name): b"value of " + name for name in names}
        self.names = {state_key(ACCOUNT, name): name for name in names}
        update = build(self.values)
        self.root = update.root
        self.tree = StateTree({prefix: page for prefix, page in update.pages.items() if page is not None})

    def leaf(self, key: bytes) -> LeafWithProof:
        return LeafWithProof(ACCOUNT, self.names[key], self.values[key], self.tree.prove(key))

    def around(self, key: bytes) -> tuple[LeafWithProof | None, LeafWithProof | None]:
        """The leaves on both sides of a key."""
        below = [other for other in sorted(self.values) if other < key]
        above = [other for other in sorted(self.values) if other > key]
        return (self.leaf(below[-1]) if below else None), (self.leaf(above[0]) if above else None)


@given(st.sets(identifiers, min_size=1, max_size=40), st.data())
def test_a_leaf_that_is_there_is_shown_to_any_verifier_of_sparse_trees(
    names: set[bytes], data: st.DataObject
) -> None:
    tree = Tree(names)
    name = data.draw(st.sampled_from(sorted(names)))
    key = state_key(ACCOUNT, name)
    leaf = tree.leaf(key)
    assert verify_inclusion(tree.root, key, leaf.value, leaf.proof)
    for spec in (ICN, SMT):
        assert verify(tree.root, existence(leaf), ics23_key(ACCOUNT, name), leaf.value, spec) == (True, "")
        assert not verify(tree.root, existence(leaf), ics23_key(4, name), leaf.value, spec)[0]
        assert not verify(tree.root, existence(leaf), ics23_key(ACCOUNT, name), leaf.value + b"!", spec)[0]
        assert not verify(bytes(32), existence(leaf), ics23_key(ACCOUNT, name), leaf.value, spec)[0]


@given(st.sets(identifiers, min_size=1, max_size=40), identifiers)
def test_a_leaf_that_is_not_there_is_shown_by_those_beside_it(names: set[bytes], absent: bytes) -> None:
    tree = Tree(names - {absent} or {bytes(15) + bytes([absent[15] ^ 1])})
    key = state_key(ACCOUNT, absent)
    assert verify_absence(tree.root, key, tree.tree.prove(key))
    left, right = tree.around(key)
    asked = ics23_key(ACCOUNT, absent)
    for spec in (ICN, SMT):
        assert verify(tree.root, absence(left, right), asked, None, spec) == (True, "")
        assert not verify(tree.root, absence(right, left), asked, None, spec)[0]
    if left is not None and right is not None:
        assert not verify(tree.root, absence(left, None), asked, None, ICN)[0]
        assert not verify(tree.root, absence(None, right), asked, None, ICN)[0]
    for name in tree.names.values():
        assert not verify(tree.root, absence(left, right), ics23_key(ACCOUNT, name), None, ICN)[0]


@given(st.sets(identifiers, min_size=3, max_size=12), st.data())
def test_an_inner_node_of_another_start_is_not_ours(names: set[bytes], data: st.DataObject) -> None:
    tree = Tree(names)
    name = data.draw(st.sampled_from(sorted(names)))
    leaf = tree.leaf(state_key(ACCOUNT, name))
    (proof,) = read_proof(existence(leaf))
    assert isinstance(proof, ExistenceProof)
    (first, *rest) = proof.path
    changed = replace(proof, path=(replace(first, prefix=b"\x02" + first.prefix[1:]), *rest))
    valid, reason = verify(tree.root, write_proof(changed), proof.key, proof.value, ICN)
    assert (valid, reason) == (False, "step 1: the prefix does not start with 01")
    assert verify(tree.root, write_proof(changed), proof.key, proof.value, SMT)[1] == (
        "the proof leads to another root"
    )


@given(st.sets(identifiers, min_size=3, max_size=12))
def test_what_is_written_is_read_again(names: set[bytes]) -> None:
    tree = Tree(names)
    first, *_, last = (tree.leaf(key) for key in sorted(tree.values))
    (one,), (other,) = read_proof(existence(first)), read_proof(existence(last))
    assert isinstance(one, ExistenceProof) and isinstance(other, ExistenceProof)
    for sides in ((one, other), (one, None), (None, other)):
        assert read_proof(write_proof(NonExistenceProof(*sides))) == [NonExistenceProof(*sides)]
    bare = ExistenceProof(b"key", b"value")
    assert read_proof(write_proof(bare)) == [bare]


@pytest.mark.parametrize("value", [b"", b"v"])
def test_an_empty_value_is_unknown_to_ics23(value: bytes) -> None:
    update = build({state_key(ACCOUNT, bytes(16)): value})
    tree = StateTree({prefix: page for prefix, page in update.pages.items() if page is not None})
    leaf = LeafWithProof(ACCOUNT, bytes(16), value, tree.prove(state_key(ACCOUNT, bytes(16))))
    verdict = verify(update.root, existence(leaf), ics23_key(ACCOUNT, bytes(16)), value, ICN)
    assert verdict == ((True, "") if value else (False, "a leaf needs a key and a value"))
