"""The append-only log against RFC 9162's definitions, with every proof and every way to damage one."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto.merkle_log import (
    EMPTY_ROOT,
    SIZE_MAX,
    InvalidFrontier,
    Log,
    consistency_proof,
    inclusion_proof,
    is_subtree,
    leaf_hash,
    root_of,
    subtree_consistency_proof,
    tree_root,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)

LEAVES = [leaf_hash(bytes([number])) for number in range(70)]


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaf hashes."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 2 ** math.floor(math.log2(len(leaves) - 1))
    return hashlib.sha256(b"\x01" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


def defined_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH of RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    split = 2 ** math.floor(math.log2(len(leaves) - 1))
    if index < split:
        return [*defined_path(index, leaves[:split]), defined_root(leaves[split:])]
    return [*defined_path(index - split, leaves[split:]), defined_root(leaves[:split])]


def defined_consistency(size_1: int, leaves: list[bytes], *, is_whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162, section 2.1.4.1."""
    if size_1 == len(leaves):
        return [] if is_whole else [defined_root(leaves)]
    split = 2 ** math.floor(math.log2(len(leaves) - 1))
    if size_1 <= split:
        below = defined_consistency(size_1, leaves[:split], is_whole=is_whole)
        return [*below, defined_root(leaves[split:])]
    return [
        *defined_consistency(size_1 - split, leaves[split:], is_whole=False),
        defined_root(leaves[:split]),
    ]


sizes = st.integers(1, len(LEAVES))


@given(st.integers(0, len(LEAVES)))
def test_roots_follow_the_definition(size: int) -> None:
    log = Log()
    for leaf in LEAVES[:size]:
        log.append(leaf)
    assert tree_root(LEAVES[:size]) == log.root() == defined_root(LEAVES[:size])
    assert root_of([bytes([number]) for number in range(size)]) == log.root()
    assert Log.from_bytes(log.to_bytes()) == log
    assert len(log.to_bytes()) == 8 + 32 * size.bit_count()


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert leaf_hash(b"x") == hashlib.sha256(b"\x00x").digest()
    assert tree_root([]) == EMPTY_ROOT == hashlib.sha256().digest()


def test_a_copied_log_grows_alone() -> None:
    log = Log()
    log.append(LEAVES[0])
    copied = log.copy()
    copied.append(LEAVES[1])
    assert (log.size, copied.size) == (1, 2)
    assert log.root() == LEAVES[0]


@pytest.mark.parametrize(
    "data", [b"", bytes(7), bytes(8) + bytes(32), (3).to_bytes(8, "big") + bytes(32), bytes(9)]
)
def test_bytes_that_are_no_frontier_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidFrontier):
        Log.from_bytes(data)


@given(sizes, st.data())
def test_inclusion_is_proven_as_defined(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    proof = inclusion_proof(leaves, index)
    assert proof == defined_path(index, leaves)
    root = tree_root(leaves)
    assert verify_inclusion(leaf_index=index, size=size, leaf=leaves[index], proof=proof, root=root)
    for other in range(size):
        valid = verify_inclusion(leaf_index=other, size=size, leaf=leaves[index], proof=proof, root=root)
        assert valid is (other == index)


@given(sizes, st.data())
def test_consistency_is_proven_as_defined(size_2: int, data: st.DataObject) -> None:
    size_1 = data.draw(st.integers(1, size_2))
    leaves = LEAVES[:size_2]
    proof = consistency_proof(leaves, size_1)
    assert proof == defined_consistency(size_1, leaves)
    root_1, root_2 = tree_root(leaves[:size_1]), tree_root(leaves)
    assert verify_consistency(size_1=size_1, size_2=size_2, root_1=root_1, root_2=root_2, proof=proof)
    other = leaf_hash(b"other")
    assert not verify_consistency(size_1=size_1, size_2=size_2, root_1=other, root_2=root_2, proof=proof)
    assert not verify_consistency(size_1=size_1, size_2=size_2, root_1=root_1, root_2=other, proof=proof)


@given(sizes, st.data())
def test_a_subtree_is_proven_to_be_part_of_the_log(size: int, data: st.DataObject) -> None:
    spans = [(s, e) for s in range(size + 1) for e in range(s, size + 1) if is_subtree(s, e)]
    start, end = data.draw(st.sampled_from(spans))
    leaves = LEAVES[:size]
    proof = subtree_consistency_proof(leaves, start, end)
    root_1, root_2 = tree_root(leaves[start:end]), tree_root(leaves)
    assert verify_subtree_consistency(
        start=start, end=end, size=size, root_1=root_1, root_2=root_2, proof=proof
    )
    assert not verify_subtree_consistency(
        start=start, end=end, size=size, root_1=bytes(32), root_2=root_2, proof=proof
    )
    if end > start:
        index = data.draw(st.integers(start, end - 1))
        path = inclusion_proof(leaves[start:end], index - start)
        assert verify_subtree_inclusion(
            leaf_index=index, start=start, end=end, leaf=leaves[index], proof=path, root=root_1
        )


@given(sizes, st.data())
def test_a_damaged_proof_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:size]
    proof, root = inclusion_proof(leaves, index), tree_root(leaves)
    damaged = [[*proof, root], [*proof, b""], proof[1:] if proof else [root], [b"", *proof]]
    damaged += [[*proof[:at], bytes(32), *proof[at + 1 :]] for at in range(len(proof))]
    damaged += [[*proof[:at], proof[at][:-1], *proof[at + 1 :]] for at in range(len(proof))]
    for other in damaged:
        assert not verify_inclusion(leaf_index=index, size=size, leaf=leaves[index], proof=other, root=root)
    size_1 = data.draw(st.integers(1, size))
    shown, root_1 = consistency_proof(leaves, size_1), tree_root(leaves[:size_1])
    for other in ([*shown, root], [root, *shown], shown[1:] if shown else [root], [b"", *shown]):
        assert not verify_consistency(size_1=size_1, size_2=size, root_1=root_1, root_2=root, proof=other)


def test_bytes_cannot_move_between_two_neighbouring_hashes() -> None:
    left, right = LEAVES[0], LEAVES[1]
    root = tree_root([left, right])
    assert not verify_inclusion(leaf_index=0, size=2, leaf=left + right[:1], proof=[right[1:]], root=root)


def test_empty_logs_are_consistent_only_with_empty_logs() -> None:
    nothing = EMPTY_ROOT
    assert verify_consistency(size_1=0, size_2=0, root_1=nothing, root_2=nothing, proof=[])
    assert not verify_consistency(size_1=0, size_2=0, root_1=LEAVES[0], root_2=LEAVES[0], proof=[])
    assert not verify_consistency(size_1=0, size_2=1, root_1=nothing, root_2=LEAVES[0], proof=[])
    assert not verify_consistency(size_1=0, size_2=0, root_1=nothing, root_2=nothing, proof=[nothing])
    assert verify_subtree_consistency(start=1, end=1, size=2, root_1=nothing, root_2=LEAVES[0], proof=[])
    assert not verify_subtree_consistency(start=3, end=3, size=2, root_1=nothing, root_2=nothing, proof=[])


@pytest.mark.parametrize(
    ("start", "end", "is_one"),
    [
        (0, 0, True),
        (5, 5, True),
        (0, 7, True),
        (4, 7, True),
        (4, 8, True),
        (5, 6, True),
        (2, 5, False),
        (4, 9, False),
        (3, 2, False),
        (-1, 0, False),
        (0, SIZE_MAX, True),
        (0, SIZE_MAX + 1, False),
    ],
)
def test_a_subtree_starts_at_a_multiple_of_its_size_rounded_up(start: int, end: int, is_one: bool) -> None:
    assert is_subtree(start, end) is is_one


def test_sizes_beyond_64_bits_and_indexes_beyond_the_log_are_refused() -> None:
    leaf = LEAVES[0]
    assert not verify_inclusion(leaf_index=0, size=SIZE_MAX + 1, leaf=leaf, proof=[leaf] * 64, root=leaf)
    assert not verify_inclusion(leaf_index=1, size=1, leaf=leaf, proof=[], root=leaf)
    assert not verify_inclusion(leaf_index=-1, size=1, leaf=leaf, proof=[], root=leaf)
    assert not verify_consistency(size_1=2, size_2=1, root_1=leaf, root_2=leaf, proof=[])
    assert not verify_consistency(size_1=1, size_2=SIZE_MAX + 1, root_1=leaf, root_2=leaf, proof=[])
