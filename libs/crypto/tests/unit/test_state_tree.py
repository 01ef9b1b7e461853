"""The state tree against its definition: the root follows from the leaves, proofs show them alone."""

import hashlib
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto.state_tree import (
    EMPTY,
    InvalidPage,
    InvalidProof,
    OtherLeaf,
    Proof,
    StateTree,
    Terminal,
    build,
    changes_of,
    missing_prefixes,
    state_key,
    verify_absence,
    verify_inclusion,
)


def defined_root(leaves: Mapping[bytes, bytes], depth: int = 0) -> bytes:
    """docs/spec/state-tree.md, "Hashes", word for word."""
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        (key, value), *_ = leaves.items()
        return hashlib.sha256(b"\x00" + key + hashlib.sha256(value).digest()).digest()
    halves: list[dict[bytes, bytes]] = [{}, {}]
    for key, value in leaves.items():
        halves[int.from_bytes(key, "big") >> (255 - depth) & 1][key] = value
    left, right = (defined_root(half, depth + 1) for half in halves)
    return hashlib.sha256(b"\x01" + left + right).digest()


# Keys that share long prefixes are as likely as keys that share none; the last nibble is reached too.
crowded_keys = st.builds(
    lambda head, shared, tail: (bytes([head]) * shared + tail + bytes(32))[:32],
    st.sampled_from([0x00, 0x0F, 0xF0, 0xFF]),
    st.integers(0, 31),
    st.binary(min_size=1, max_size=2),
)
spread_keys = st.integers(0, 400).map(lambda number: hashlib.sha256(number.to_bytes(2, "big")).digest())
keys = crowded_keys | spread_keys
values = st.binary(max_size=3)
leaf_sets = st.dictionaries(keys, values, max_size=60)
change_sets = st.dictionaries(keys, st.none() | values, max_size=60)


def applied(pages: dict[bytes, bytes], written: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**pages, **written}
    return {prefix: page for prefix, page in merged.items() if page is not None}


@given(leaf_sets)
def test_the_root_follows_the_definition(leaves: dict[bytes, bytes]) -> None:
    assert build(leaves).root == defined_root(leaves)


@given(leaf_sets, st.lists(change_sets, max_size=4))
def test_updates_give_the_pages_that_building_from_nothing_gives(
    leaves: dict[bytes, bytes], batches: list[dict[bytes, bytes | None]]
) -> None:
    pages = applied({}, build(leaves).pages)
    for changes in batches:
        update = StateTree(pages).update(changes)
        pages = applied(pages, update.pages)
        merged = {**leaves, **changes}
        leaves = {key: value for key, value in merged.items() if value is not None}
        assert update.root == StateTree(pages).root() == defined_root(leaves)
        assert pages == applied({}, build(leaves).pages)


@given(leaf_sets, change_sets)
def test_an_update_leaves_out_pages_that_stay_the_same(
    leaves: dict[bytes, bytes], changes: dict[bytes, bytes | None]
) -> None:
    pages = applied({}, build(leaves).pages)
    for prefix, page in StateTree(pages).update(changes).pages.items():
        assert page is None or page != pages.get(prefix)


@given(leaf_sets, keys, values)
def test_every_key_has_exactly_one_kind_of_proof(
    leaves: dict[bytes, bytes], key: bytes, value: bytes
) -> None:
    built = build(leaves)
    proof = StateTree(built.pages).prove(key)
    assert verify_inclusion(built.root, key, leaves.get(key, value), proof) is (key in leaves)
    assert verify_absence(built.root, key, proof) is (key not in leaves)
    assert Proof.from_dict(json.loads(json.dumps(proof.to_dict()))) == proof


@given(st.dictionaries(keys, values, min_size=2, max_size=60), st.data())
def test_a_proof_speaks_of_its_own_root_key_and_value_only(
    leaves: dict[bytes, bytes], data: st.DataObject
) -> None:
    built = build(leaves)
    key, other = data.draw(st.lists(st.sampled_from(sorted(leaves)), min_size=2, max_size=2, unique=True))
    proof = StateTree(built.pages).prove(key)
    assert not verify_inclusion(built.root, key, leaves[key] + b"!", proof)
    assert not verify_inclusion(built.root, other, leaves[key], proof)
    assert not verify_inclusion(bytes(32), key, leaves[key], proof)
    assert not verify_absence(built.root, key, StateTree(built.pages).prove(other))


@given(leaf_sets, st.lists(keys, min_size=1, max_size=20))
def test_loading_missing_prefixes_level_by_level_is_enough(
    leaves: dict[bytes, bytes], wanted: list[bytes]
) -> None:
    stored = build(leaves).pages
    known: dict[bytes, bytes | None] = {}
    rounds = 0
    while missing := missing_prefixes(known, wanted):
        known.update((prefix, stored.get(prefix)) for prefix in missing)
        rounds += 1
    assert rounds <= 64
    changes: dict[bytes, bytes | None] = dict.fromkeys(wanted, b"new")
    assert StateTree(known).update(changes).root == StateTree(stored).update(changes).root
    removals: dict[bytes, bytes | None] = dict.fromkeys(wanted)
    assert StateTree(known).update(removals).root == StateTree(stored).update(removals).root


def test_the_empty_tree_has_no_page_and_proves_every_key_absent() -> None:
    built = build({})
    assert (built.root, built.pages) == (EMPTY, {})
    proof = StateTree({}).prove(bytes(32))
    assert proof == Proof((), Terminal.EMPTY)
    assert verify_absence(EMPTY, bytes(32), proof)
    assert not verify_inclusion(EMPTY, bytes(32), b"", proof)


def test_removing_the_last_leaf_removes_the_last_page() -> None:
    key = bytes(32)
    pages = build({key: b"x"}).pages
    update = StateTree(pages).update({key: None})
    assert (update.root, update.pages) == (EMPTY, {b"": None})


def test_removing_a_leaf_that_is_not_there_changes_nothing() -> None:
    built = build({bytes(32): b"x"})
    update = StateTree(built.pages).update({b"\x01" * 32: None})
    assert (update.root, update.pages) == (built.root, {})


def test_keys_that_differ_in_the_last_bits_only_are_told_apart() -> None:
    leaves = {bytes(31) + bytes([number]): bytes([number]) for number in range(16)}
    built = build(leaves)
    assert len(built.pages) == 64
    key = bytes(31) + b"\x0f"
    proof = StateTree(built.pages).prove(key)
    assert len(proof.siblings) == 256
    assert verify_inclusion(built.root, key, b"\x0f", proof)


def test_a_slot_holds_four_leaves_and_a_fifth_makes_a_page() -> None:
    leaves = {bytes([16 + number]) + bytes(31): b"x" for number in range(4)}
    assert build(leaves).pages.keys() == {b""}
    fifth = b"\x15" + bytes(31)
    update = StateTree(build(leaves).pages).update({fifth: b"x"})
    assert update.pages.keys() == {b"", b"\x01"}
    back = StateTree(update.pages).update({fifth: None})
    assert back.pages == {b"": build(leaves).pages[b""], b"\x01": None}


def test_state_keys_of_two_namespaces_never_meet() -> None:
    assert state_key(1, b"ab") != state_key(2, b"ab")
    assert state_key(1, b"") != state_key(1, b"\x00")
    assert len(state_key(7, b"")) == 32


def test_a_page_that_another_names_must_be_there() -> None:
    built = build({bytes(31) + bytes([number]): b"x" for number in range(5)})
    pages = {prefix: page for prefix, page in built.pages.items() if len(prefix) != 5}
    with pytest.raises(InvalidPage):
        StateTree(pages).prove(bytes(32))
    with pytest.raises(InvalidPage):
        StateTree(pages).update({bytes(32): b"new"})


def proof_form() -> dict[str, object]:
    return {
        "siblings": ["ab" * 32],
        "terminal": "other",
        "other": {"key": "00" * 32, "value_hash": "11" * 32},
    }


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        {"siblings": []},
        {**proof_form(), "extra": 1},
        {**proof_form(), "terminal": "leaf"},
        {**proof_form(), "terminal": "neither"},
        {**proof_form(), "terminal": ["leaf"]},
        {**proof_form(), "siblings": [None]},
        {**proof_form(), "siblings": ["AB" * 32]},
        {**proof_form(), "siblings": ["ab" * 31]},
        {**proof_form(), "siblings": [7]},
        {**proof_form(), "siblings": ["ab" * 32] * 257},
        {**proof_form(), "siblings": "ab"},
        {**proof_form(), "other": None},
        {**proof_form(), "other": {"key": "00" * 32}},
        {"siblings": [], "terminal": "other"},
    ],
)
def test_an_object_that_is_no_proof_is_refused(broken: object) -> None:
    Proof.from_dict(proof_form())
    with pytest.raises(InvalidProof):
        Proof.from_dict(broken)


def test_a_proof_that_walks_past_a_single_leaf_is_refused() -> None:
    key, value = bytes(32), b"x"
    leaf = hashlib.sha256(b"\x00" + key + hashlib.sha256(value).digest()).digest()
    root = hashlib.sha256(b"\x01" + leaf + EMPTY).digest()
    assert not verify_inclusion(root, key, value, Proof((EMPTY,), Terminal.LEAF))


def test_another_leaf_proves_absence_only_below_the_bits_it_shares() -> None:
    key, other = b"\x00" * 32, b"\x40" + bytes(31)
    built = build({other: b"x", b"\x80" + bytes(31): b"y"})
    proof = StateTree(built.pages).prove(key)
    assert proof.terminal is Terminal.OTHER_LEAF
    assert verify_absence(built.root, key, proof)
    assert not verify_absence(built.root, b"\x80" + bytes(31), proof)
    assert not verify_absence(built.root, other, proof)


def test_proofs_with_parts_of_a_wrong_length_are_refused() -> None:
    built = build({bytes(32): b"x", b"\x80" + bytes(31): b"y"})
    proof = StateTree(built.pages).prove(bytes(32))
    assert verify_inclusion(built.root, bytes(32), b"x", proof)
    assert not verify_inclusion(built.root, bytes(31), b"x", proof)
    assert not verify_inclusion(
        built.root, bytes(32), b"x", Proof((proof.siblings[0] + b"\x00",), Terminal.LEAF)
    )
    short = OtherLeaf(b"\x01", bytes(32))
    assert not verify_absence(built.root, bytes(32), Proof(proof.siblings, Terminal.OTHER_LEAF, short))
    assert not verify_absence(built.root, bytes(32), Proof(proof.siblings, Terminal.EMPTY, short))


named_leaves = st.tuples(st.integers(0, 255), st.binary(max_size=70), st.none() | st.binary(max_size=3))


@given(st.lists(named_leaves))
def test_leaves_are_put_at_their_state_keys(leaves: list[tuple[int, bytes, bytes | None]]) -> None:
    expected = {state_key(namespace, identifier): value for namespace, identifier, value in leaves}
    assert changes_of(leaves) == expected
