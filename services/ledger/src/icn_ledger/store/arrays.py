"""Whole columns as one parameter: Postgres arrays in binary form, packed at C speed.

psycopg writes a list element by element in Python; at six columns per transfer that is most of the cost of a
block. `benches/ledger_block.py` prints it.

Source: array_recv in PostgreSQL, src/backend/utils/adt/arrayfuncs.c (format of the binary protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BYTEA, _BYTEA_ARRAY = 17, 1001
_SMALLINT, _SMALLINT_ARRAY = 21, 1005
_BIGINT, _BIGINT_ARRAY = 20, 1016
_NULL_LENGTH = pack(">i", -1)
_LENGTHS = tuple(pack(">i", length) for length in range(1_100))
"""Ready prefixes up to the size of a page of the state tree."""


class _Packed:
    """A parameter in binary form."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class ByteaArray(_Packed):
    """A ``bytea[]``."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        if not values:
            super().__init__(_empty(_BYTEA))
            return
        has_null = None in values
        parts = [_header(len(values), _BYTEA, has_null=has_null)]
        known = len(_LENGTHS)
        for value in values:
            if value is None:
                parts.append(_NULL_LENGTH)
                continue
            length = len(value)
            parts.append(_LENGTHS[length] if length < known else pack(">i", length))
            parts.append(value)
        super().__init__(b"".join(parts))


class SmallintArray(_Packed):
    """A ``smallint[]``."""

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_numbers(values, _SMALLINT, 2, "h"))


class BigintArray(_Packed):
    """A ``bigint[]``."""

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__(_numbers(values, _BIGINT, 8, "q"))


def _empty(element: int) -> bytes:
    return pack(">iii", 0, 0, element)


def _header(count: int, element: int, *, has_null: bool) -> bytes:
    """One dimension of ``count`` elements, numbered from 1."""
    return pack(">iiiii", 1, has_null, element, count, 1)


def _numbers(values: Sequence[int], element: int, length: int, code: str) -> bytes:
    if not values:
        return _empty(element)
    flat = [length] * (2 * len(values))
    flat[1::2] = values
    return _header(len(values), element, has_null=False) + pack(">" + f"i{code}" * len(values), *flat)


class _PackedDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Packed) -> Buffer:
        return obj.data


def _dumper(array: int) -> type[_PackedDumper]:
    return type("_PackedDumper", (_PackedDumper,), {"oid": array})


for _kind, _array in (
    (ByteaArray, _BYTEA_ARRAY),
    (SmallintArray, _SMALLINT_ARRAY),
    (BigintArray, _BIGINT_ARRAY),
):
    psycopg.adapters.register_dumper(_kind, _dumper(_array))
