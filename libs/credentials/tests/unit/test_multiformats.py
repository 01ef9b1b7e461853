"""Multibase, multihash, varints and multikeys: published vectors, and what is no such text."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_credentials import multibase, multihash, varint
from icn_credentials.faults import InvalidKey, InvalidMultibase, InvalidMultihash
from icn_credentials.multikey import KeyKind, PublicKey, read_multikey, read_prefixed


@pytest.mark.vectors
def test_every_base_of_the_published_table_is_written_and_read(shared_data: Callable[[str], Path]) -> None:
    lines = (shared_data("multiformats") / "multibase-basic.csv").read_text().splitlines()
    rows = [[part.strip().strip('"') for part in line.split(", ")] for line in lines]
    (_, text), *bases = rows
    assert len(bases) == len(multibase.BASES)
    for name, encoded in bases:
        assert multibase.encode(multibase.BASES[name], text.encode()) == encoded
        assert multibase.decode(encoded) == (multibase.BASES[name], text.encode())


@pytest.mark.vectors
def test_every_published_multihash_is_made_and_read(shared_data: Callable[[str], Path]) -> None:
    with (shared_data("multiformats") / "multihash.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        name = {"sha3": "sha3-512"}.get(row["algorithm"], row["algorithm"])
        function, size = multihash.FUNCTIONS[name], int(row["bits"]) // 8
        made = multihash.multihash(function, row["input"].encode(), size)
        assert made.hex() == row["multihash"]
        assert multihash.read(made) == (function, made[-size:])


@given(content=st.binary(max_size=80), name=st.sampled_from(sorted(multibase.BASES)))
def test_bytes_come_back_from_every_base(content: bytes, name: str) -> None:
    base = multibase.BASES[name]
    assert multibase.decode(multibase.encode(base, content)) == (base, content)


@pytest.mark.parametrize(
    "text",
    ["", "?abc", "zO0", "z0", "uA", "u!", "uAB", "MAB", "MAA===", "f0", "fF0", "b1", "z" + "1" * 16_385],
)
def test_what_is_no_multibase_is_refused(text: str) -> None:
    with pytest.raises(InvalidMultibase):
        multibase.decode(text)


@pytest.mark.parametrize(
    "content", [b"", b"\x12", b"\x12\x20" + bytes(31), b"\x12\x21" + bytes(33), b"\x99\x01\x00", b"\x12\x00"]
)
def test_what_is_no_multihash_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidMultihash):
        multihash.read(content)


def test_a_digest_is_not_cut_to_nothing_or_stretched() -> None:
    for size in (0, 33):
        with pytest.raises(InvalidMultihash):
            multihash.multihash(multihash.SHA2_256, b"", size)


@given(number=st.integers(0, 2**62))
def test_a_varint_comes_back(number: int) -> None:
    assert varint.read(varint.encode(number) + b"x") == (number, b"x")


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x81\x00", b"\xff" * 10])
def test_a_varint_that_does_not_end_or_is_too_long_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="varint"):
        varint.read(content)


@pytest.mark.parametrize(
    "key",
    [
        PublicKey(KeyKind.ED25519, bytes(32)),  # small order
        PublicKey(KeyKind.ED25519, bytes(31)),
        PublicKey(KeyKind.P256, b"\x02" + b"\xff" * 32),
        PublicKey(KeyKind.SECP256K1, b"\x05" + bytes(32)),
        PublicKey(KeyKind.ML_DSA_65, bytes(1_951)),
        PublicKey(KeyKind.RSA, b"\x30\x03\x02\x01\x01"),
    ],
)
def test_bytes_that_are_no_key_of_their_kind_are_refused(key: PublicKey) -> None:
    with pytest.raises(InvalidKey):
        read_prefixed(key.prefixed())


def test_a_multikey_of_another_base_or_kind_is_refused() -> None:
    with pytest.raises(InvalidKey, match="base16"):
        read_multikey("fed01" + "00" * 32)
    with pytest.raises(InvalidKey, match="kind"):
        read_multikey(multibase.encode(multibase.BASE58BTC, b"\x70" + bytes(32)))


def test_a_post_quantum_multikey_is_read_in_either_base() -> None:
    key = PublicKey(KeyKind.ML_DSA_65, bytes(1_952))
    assert key.multikey().startswith("u") and key.did_key_part().startswith("z")
    assert read_multikey(key.multikey()) == read_multikey(key.did_key_part()) == key
