"""Whole columns as one parameter: Postgres arrays in binary form, packed at C speed.

psycopg writes a list element by element in Python; at six columns per transfer that is most of the cost of a
block. `python -m benches.ledger.apply` prints it.

Source: array_recv in PostgreSQL, src/backend/utils/adt/arrayfuncs.c (format of the binary protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from struct import pack

import psycopg
from icn_crypto.state_page import PAGE_BYTES_MAX
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BYTEA, _BYTEA_ARRAY = 17, 1001
_SMALLINT, _SMALLINT_ARRAY = 21, 1005
_BIGINT, _BIGINT_ARRAY = 20, 1016
_NULL_LENGTH = pack(">i", -1)
_LENGTHS = tuple(pack(">i", length) for length in range(PAGE_BYTES_MAX + 1))
"""Ready prefixes up to the size of a page of the state tree."""
_SMALLINTS = tuple(pack(">ih", 2, number) for number in range(256))
"""Ready elements."""


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
        known = [value for value in values if value is not None]
        header = _header(len(values), _BYTEA, has_null=len(known) < len(values))
        if len(known) == len(values) and max(map(len, known)) < len(_LENGTHS):
            lengths = map(_LENGTHS.__getitem__, map(len, known))
            super().__init__(header + b"".join(chain.from_iterable(zip(lengths, known, strict=True))))
            return
        parts = [header]
        for value in values:
            if value is None:
                parts.append(_NULL_LENGTH)
            else:
                parts += (pack(">i", len(value)), value)
        super().__init__(b"".join(parts))


class SmallintArray(_Packed):
    """A ``smallint[]``."""

    def __init__(self, values: Sequence[int]) -> None:
        """Of numbers up to 255."""
        if not values:
            super().__init__(_empty(_SMALLINT))
            return
        elements = b"".join(map(_SMALLINTS.__getitem__, values))
        super().__init__(_header(len(values), _SMALLINT, has_null=False) + elements)


class BigintArray(_Packed):
    """A ``bigint[]``."""

    def __init__(self, values: Sequence[int]) -> None:
        if not values:
            super().__init__(_empty(_BIGINT))
            return
        flat = [8] * (2 * len(values))
        flat[1::2] = values
        elements = pack(">" + "iq" * len(values), *flat)
        super().__init__(_header(len(values), _BIGINT, has_null=False) + elements)


def _empty(element: int) -> bytes:
    return pack(">iii", 0, 0, element)


def _header(count: int, element: int, *, has_null: bool) -> bytes:
    """One dimension of ``count`` elements, numbered from 1."""
    return pack(">iiiii", 1, has_null, element, count, 1)


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
