"""Changes the bytes of protobuf messages as strangers, broken disks and forgers would.

Each mutation takes a random generator and bytes and gives bytes. Those that know the wire form go down into
nested messages and put the lengths right on the way out, so that what is wrong lies inside.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEPTH_MAX: Final = 5
UNKNOWN_FIELD: Final = 1_000
HUGE: Final = (2**31, 2**32 - 1, 2**62, 2**62 + 1, 2**63 - 1, 2**63, 2**64 - 1)


class Field(NamedTuple):
    """A field as it stands in the bytes."""

    number: int
    wire_type: int
    value: int | bytes

    def encoded(self) -> bytes:
        """Its canonical bytes."""
        tag = varint(self.number << 3 | self.wire_type)
        if isinstance(self.value, int):
            return tag + varint(self.value)
        if self.wire_type == BYTES:
            return tag + varint(len(self.value)) + self.value
        return tag + self.value


def varint(value: int, padding: int = 0) -> bytes:
    """A varint, with more bytes than it needs where ``padding`` says so."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    for _ in range(padding):
        parts[-1] |= 0x80
        parts.append(0)
    return bytes(parts)


def fields_of(data: bytes) -> list[Field] | None:
    """The fields of a message; None when the bytes are none."""
    found: list[Field] = []
    position = 0
    while position < len(data):
        tag = _read_varint(data, position)
        if tag is None or not tag[0] >> 3:
            return None
        (key, position), value = tag, None
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            read = _read_varint(data, position)
            if read is None:
                return None
            value, position = read
            found.append(Field(number, wire_type, value))
            continue
        if wire_type == BYTES:
            read = _read_varint(data, position)
            if read is None:
                return None
            length, position = read
        elif wire_type in (FIXED64, FIXED32):
            length = 8 if wire_type == FIXED64 else 4
        else:
            return None
        if position + length > len(data):
            return None
        found.append(Field(number, wire_type, data[position : position + length]))
        position += length
    return found


def joined(fields: list[Field]) -> bytes:
    """The bytes of fields."""
    return b"".join(field.encoded() for field in fields)


def _read_varint(data: bytes, position: int) -> tuple[int, int] | None:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return None


def _inside(random: Random, data: bytes, change: Callable[[list[Field]], bytes], depth: int = 0) -> bytes:
    """Change the fields of the message or of one nested in it."""
    fields = fields_of(data)
    if not fields:
        return change([]) if fields == [] else data
    nested = [
        index
        for index, field in enumerate(fields)
        if field.wire_type == BYTES and isinstance(field.value, bytes) and fields_of(field.value)
    ]
    if nested and depth < DEPTH_MAX and random.random() < 0.7:
        index = random.choice(nested)
        field = fields[index]
        assert isinstance(field.value, bytes)
        fields[index] = field._replace(value=_inside(random, field.value, change, depth + 1))
        return joined(fields)
    return change(fields)


def _with_one(
    random: Random, data: bytes, change: Callable[[Field], bytes], *, wire_types: tuple[int, ...] = ()
) -> bytes:
    """Change one field into other bytes; one of these types, where there is one."""

    def apply(fields: list[Field]) -> bytes:
        if not fields:
            return b""
        fitting = [index for index, field in enumerate(fields) if field.wire_type in wire_types]
        chosen = random.choice(fitting or range(len(fields)))
        return b"".join(
            change(field) if index == chosen else field.encoded() for index, field in enumerate(fields)
        )

    return _inside(random, data, apply)


def garbage(random: Random, _data: bytes) -> bytes:
    """Random bytes."""
    return random.randbytes(random.randrange(0, 400))


def flipped_bit(random: Random, data: bytes) -> bytes:
    """One bit is another."""
    changed = bytearray(data or b"\0")
    changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncated(random: Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: random.randrange(len(data))] if data else data


def extended(random: Random, data: bytes) -> bytes:
    """Something stands behind the end."""
    return data + random.randbytes(random.randrange(1, 20))


def byte_missing(random: Random, data: bytes) -> bytes:
    """A byte in the middle is missing."""
    position = random.randrange(len(data)) if data else 0
    return data[:position] + data[position + 1 :]


def byte_inserted(random: Random, data: bytes) -> bytes:
    """There is a byte more in the middle."""
    position = random.randrange(len(data) + 1)
    return data[:position] + random.randbytes(1) + data[position:]


def field_twice(random: Random, data: bytes) -> bytes:
    """A field stands there twice."""
    return _with_one(random, data, lambda field: 2 * field.encoded())


def field_missing(random: Random, data: bytes) -> bytes:
    """A field is missing."""
    return _with_one(random, data, lambda _field: b"")


def fields_swapped(random: Random, data: bytes) -> bytes:
    """Two fields are in each other's place."""

    def swap(fields: list[Field]) -> bytes:
        random.shuffle(fields)
        return joined(fields)

    return _inside(random, data, swap)


def unknown_field(random: Random, data: bytes) -> bytes:
    """There is a field that nobody knows."""
    stranger = Field(UNKNOWN_FIELD + random.randrange(5), BYTES, random.randbytes(3))
    return _inside(random, data, lambda fields: joined([*fields, stranger]))


def default_written(random: Random, data: bytes) -> bytes:
    """A field says what its absence says."""
    empty = Field(random.randrange(1, 12), random.choice((VARINT, BYTES)), 0)
    value = empty if empty.wire_type == VARINT else empty._replace(value=b"")
    return _inside(random, data, lambda fields: joined([*fields, value]))


def varint_padded(random: Random, data: bytes) -> bytes:
    """A number, a length or a tag takes more bytes than it needs."""

    def pad(field: Field) -> bytes:
        padding = random.randrange(1, 4)
        if isinstance(field.value, int):
            return varint(field.number << 3) + varint(field.value, padding)
        if field.wire_type == BYTES and random.random() < 0.5:
            return varint(field.number << 3 | BYTES) + varint(len(field.value), padding) + field.value
        encoded = field.encoded()
        tag = varint(field.number << 3 | field.wire_type)
        return varint(field.number << 3 | field.wire_type, padding) + encoded[len(tag) :]

    return _with_one(random, data, pad)


def other_wire_type(random: Random, data: bytes) -> bytes:
    """A field is written as another type is."""

    def change(field: Field) -> bytes:
        if isinstance(field.value, int):
            return Field(field.number, BYTES, varint(field.value)).encoded()
        return Field(field.number, VARINT, len(field.value)).encoded()

    return _with_one(random, data, change)


def number_huge(random: Random, data: bytes) -> bytes:
    """A number is at or beyond a border of its type."""

    def change(field: Field) -> bytes:
        if isinstance(field.value, int):
            return field._replace(value=random.choice(HUGE)).encoded()
        return field.encoded()

    return _with_one(random, data, change, wire_types=(VARINT,))


def length_off(random: Random, data: bytes) -> bytes:
    """A field of bytes is one shorter or longer, or empty."""

    def change(field: Field) -> bytes:
        if isinstance(field.value, int) or field.wire_type != BYTES:
            return field.encoded()
        value = random.choice((field.value[:-1], field.value + b"\0", b""))
        return field._replace(value=value).encoded()

    return _with_one(random, data, change, wire_types=(BYTES,))


MUTATIONS: Final[tuple[Callable[[Random, bytes], bytes], ...]] = (
    garbage,
    flipped_bit,
    truncated,
    extended,
    byte_missing,
    byte_inserted,
    field_twice,
    field_missing,
    fields_swapped,
    unknown_field,
    default_written,
    varint_padded,
    other_wire_type,
    number_huge,
    length_off,
)
