"""The optional accelerator gives what the Python code gives; skipped where it is not built."""

import hashlib
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_crypto import ed25519
from icn_crypto.ed25519 import Verdict, exact_verdict
from icn_crypto.merkle_log import leaf_hash, tree_root
from icn_crypto.state_page import InvalidPage
from icn_crypto.state_tree import StateTree, build
from icn_crypto.suites import SigningKey, Suite

from libs.crypto.tests.crafted_signatures import compare

icn_native = pytest.importorskip("icn_native", reason="icn_native is not built; `make native` does")


def encodings_near_the_border() -> list[bytes]:
    """Points of small order and strings beside p, canonical and not, with either sign."""
    p = 2**255 - 19
    numbers = [*range(4), *range(p - 3, p + 4), 2**255 - 1]
    return [(number | sign << 255).to_bytes(32, "little") for number in numbers for sign in (0, 1)]


def test_verdicts_on_encodings_near_the_border_are_the_exact_ones() -> None:
    items = [
        (public_key, b"Zcash", r + bytes(32))
        for public_key, r in itertools.product(encodings_near_the_border(), repeat=2)
    ]
    exact = [exact_verdict(*item) for item in items]
    assert list(icn_native.ed25519_verdicts(items)) == exact
    assert list(icn_native.ed25519_verify_batch(items)) == [
        verdict is not Verdict.INVALID for verdict in exact
    ]
    assert set(exact) == set(Verdict)


@settings(max_examples=40)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100), st.integers(0, 511))
def test_verdicts_on_honest_and_damaged_signatures_are_the_exact_ones(
    seed: bytes, message: bytes, bit: int
) -> None:
    key = SigningKey.from_seed(Suite.ED25519, seed)
    signature = key.sign(message)
    damaged = (int.from_bytes(signature, "little") ^ 1 << bit).to_bytes(64, "little")
    items = [(key.public_key, message, signature), (key.public_key, message, damaged)]
    exact = [exact_verdict(*item) for item in items]
    assert list(icn_native.ed25519_verdicts(items)) == exact
    assert list(icn_native.ed25519_verify_batch(items)) == [
        verdict is not Verdict.INVALID for verdict in exact
    ]
    assert [ed25519.by_wheels(*item) for item in items] == exact


@pytest.mark.parametrize("share", [0.0, 0.002, 0.01, 0.1, 0.5, 1.0])
def test_the_bad_signatures_of_a_batch_are_found_wherever_they_are(share: float) -> None:
    randomness = random.Random(11)
    key = SigningKey.from_seed(Suite.ED25519, bytes(32))
    signature = key.sign(b"m")
    for count in (1, 2, 7, 8, 9, 255, 256, 257, 600):
        is_good = [randomness.random() >= share for _ in range(count)]
        items = [(key.public_key, b"m" if good else b"n", signature) for good in is_good]
        assert [bool(verdict) for verdict in icn_native.ed25519_verify_batch(items)] == is_good


def test_mutated_signatures_get_the_verdicts_of_the_wheels() -> None:
    found = compare(seed=1, cases=4_000)  # `python -m scripts.verdicts` plays as many as wanted
    assert not found.differing
    assert min(found.verdicts[verdict] for verdict in Verdict) > 100


def test_wrong_lengths_are_invalid() -> None:
    items = [(b"", b"", b""), (bytes(31), b"", bytes(64)), (bytes(32), b"", bytes(65))]
    assert list(icn_native.ed25519_verdicts(items)) == [0, 0, 0]
    assert list(icn_native.ed25519_verify_batch(items)) == [0, 0, 0]


spread_keys = st.integers(0, 300).map(lambda number: hashlib.sha256(number.to_bytes(2, "big")).digest())
crowded_keys = st.integers(0, 40).map(lambda number: bytes(31) + bytes([number]))
keys = spread_keys | crowded_keys
batches = st.lists(
    st.dictionaries(keys, st.none() | st.binary(max_size=3), max_size=40), min_size=1, max_size=4
)


@given(batches)
def test_tree_updates_are_those_of_the_python_tree(changes_in_turn: list[dict[bytes, bytes | None]]) -> None:
    pages: dict[bytes, bytes] = {}
    for changes in changes_in_turn:
        expected = StateTree(pages).update_in_python(changes)
        root, written = icn_native.state_tree_update(pages.get, changes)
        assert written == expected.pages
        assert root in (None, expected.root)
        assert StateTree(pages).update(changes) == expected
        merged = {**pages, **expected.pages}
        pages = {prefix: page for prefix, page in merged.items() if page is not None}


def test_a_large_tree_is_the_same() -> None:
    randomness = random.Random(3)
    leaves = {randomness.randbytes(32): randomness.randbytes(20) for _ in range(5000)}
    built = build(leaves)
    assert built == StateTree({}).update_in_python(leaves)
    changes = {key: randomness.choice([None, b"new"]) for key in randomness.sample(sorted(leaves), 1500)}
    assert StateTree(built.pages).update(changes) == StateTree(built.pages).update_in_python(changes)


def test_missing_and_damaged_pages_are_refused_alike() -> None:
    built = build({bytes(31) + bytes([number]): b"x" for number in range(5)})
    missing = {prefix: page for prefix, page in built.pages.items() if len(prefix) != 5}
    with pytest.raises(InvalidPage):
        icn_native.state_tree_update(missing.get, {bytes(32): b"y"})
    for damaged in (b"", b"\x02" + bytes(991), bytes(992), built.pages[b""][:-1]):
        with pytest.raises(InvalidPage):
            icn_native.state_tree_update({b"": damaged}.get, {bytes(32): b"y"})


def test_what_is_no_page_at_all_fails_the_update() -> None:
    with pytest.raises(TypeError):
        icn_native.state_tree_update({b"": "text"}.get, {bytes(32): b"y"})


def test_a_failing_source_fails_the_update() -> None:
    def failing(_prefix: bytes) -> bytes:
        raise ConnectionError("the database went away")

    with pytest.raises(ConnectionError):
        icn_native.state_tree_update(failing, {bytes(32): b"y"})


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=80), max_size=70))
def test_roots_of_logs_are_those_of_python(leaves: list[bytes]) -> None:
    assert icn_native.merkle_log_root(leaves) == tree_root([leaf_hash(leaf) for leaf in leaves])


def test_a_log_of_thousands_has_the_same_root() -> None:
    leaves = [str(number).encode() for number in range(4_097)]
    for size in (255, 256, 257, 4_095, 4_096, 4_097):
        assert icn_native.merkle_log_root(leaves[:size]) == tree_root(
            [leaf_hash(leaf) for leaf in leaves[:size]]
        )
