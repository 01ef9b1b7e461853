"""Preimages: their exact bytes, and that no two things share one."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash, preimage

hashes = st.binary(min_size=32, max_size=32)
triples = st.tuples(st.sampled_from(tags.ALL), hashes, st.binary(max_size=40))


def test_a_preimage_is_length_prefixed() -> None:
    written = preimage("ab", b"\x11" * 32, b"xyz")
    assert written == bytes.fromhex("00000002") + b"ab" + b"\x11" * 32 + bytes.fromhex("00000003") + b"xyz"
    assert domain_hash("ab", b"\x11" * 32, b"xyz") == hashlib.sha256(written).digest()


@given(triples, triples)
def test_different_things_have_different_preimages(
    left: tuple[str, bytes, bytes], right: tuple[str, bytes, bytes]
) -> None:
    assert (preimage(*left) == preimage(*right)) is (left == right)


def test_tags_are_all_different_and_versioned() -> None:
    assert len(set(tags.ALL)) == len(tags.ALL)
    assert all(tag.startswith("icn/") and tag.endswith("/v1") and tag.isascii() for tag in tags.ALL)


def test_every_tag_of_the_module_is_listed() -> None:
    named = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, str)}
    assert named == set(tags.ALL)


def test_a_genesis_hash_of_another_length_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        preimage(tags.BLOCK, NO_GENESIS[:-1], b"")
