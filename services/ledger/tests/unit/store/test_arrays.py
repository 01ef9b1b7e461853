"""Packed columns are what Postgres sends for the same array."""

from __future__ import annotations

from struct import pack

from hypothesis import example, given
from hypothesis import strategies as st
from icn_ledger.store.arrays import BigintArray, ByteaArray, SmallintArray

BYTEA, BIGINT, SMALLINT = 17, 20, 21


@given(values=st.lists(st.none() | st.binary(max_size=40), min_size=1))
@example(values=[b""])
@example(values=[None])
@example(values=[b"x" * 1_099, b"x" * 1_100, b"x" * 70_000, None, b""])
def test_a_column_of_bytes_has_each_with_its_length_and_none_as_minus_one(values: list[bytes | None]) -> None:
    expected = pack(">iiiii", 1, None in values, BYTEA, len(values), 1)
    for value in values:
        expected += pack(">i", -1) if value is None else pack(">i", len(value)) + value
    assert ByteaArray(values).data == expected


def test_an_array_without_elements_has_no_dimension() -> None:
    assert ByteaArray([]).data == pack(">iii", 0, 0, BYTEA)
    assert BigintArray([]).data == pack(">iii", 0, 0, BIGINT)
    assert SmallintArray([]).data == pack(">iii", 0, 0, SMALLINT)


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_a_column_of_numbers_has_each_with_its_length(values: list[int]) -> None:
    expected = pack(">iiiii", 1, 0, BIGINT, len(values), 1)
    for value in values:
        expected += pack(">iq", 8, value)
    assert BigintArray(values).data == expected


@given(values=st.lists(st.integers(0, 255), min_size=1))
def test_a_column_of_small_numbers_has_each_with_its_length(values: list[int]) -> None:
    expected = pack(">iiiii", 1, 0, SMALLINT, len(values), 1)
    for value in values:
        expected += pack(">ih", 2, value)
    assert SmallintArray(values).data == expected
