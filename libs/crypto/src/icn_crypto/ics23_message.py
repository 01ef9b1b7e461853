"""ICS-23 proofs as they travel: the messages, a reader and a writer for their protobuf encoding.

The messages belong to another project, so they are read and written here field by field and are not among the
platform's protos.

Source: ICS-23 (Vector Commitments), messages CommitmentProof, ExistenceProof, NonExistenceProof, BatchProof,
CompressedBatchProof; Protocol Buffers encoding.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

PROOF_BYTES_MAX: Final = 1 << 20
"""Far above any honest batch; bounds what a file can make us do."""

_VARINT_BYTES_MAX: Final = 10


class MalformedProof(ValueError):
    """The bytes are not a CommitmentProof."""


@dataclass(frozen=True, slots=True)
class LeafOp:
    """How key and value become the leaf's hash. Numbers as in the protobuf enums HashOp and LengthOp."""

    hash: int = 0
    prehash_key: int = 0
    prehash_value: int = 0
    length: int = 0
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class InnerOp:
    """How a child's hash becomes its parent's: hash of prefix ‖ child ‖ suffix."""

    hash: int = 0
    prefix: bytes = b""
    suffix: bytes = b""


@dataclass(frozen=True, slots=True)
class ExistenceProof:
    """That the key has the value."""

    key: bytes = b""
    value: bytes = b""
    leaf: LeafOp | None = None
    path: Sequence[InnerOp] = field(default=())
    """From the leaf up."""


@dataclass(frozen=True, slots=True)
class NonExistenceProof:
    """That no key lies between two neighbours; at an end of the tree one of them is absent."""

    left: ExistenceProof | None = None
    right: ExistenceProof | None = None


Entry: TypeAlias = ExistenceProof | NonExistenceProof

_Value: TypeAlias = int | bytes


def read_proof(data: bytes) -> list[Entry]:
    """The proofs in a serialized CommitmentProof: one, or those of a batch, decompressed.

    Raises:
        MalformedProof: longer than 1 MiB, not protobuf, a single field twice, or none or several kinds of
        proof.
    """
    if len(data) > PROOF_BYTES_MAX:
        raise MalformedProof(f"{len(data)} bytes, at most {PROOF_BYTES_MAX}")
    single = _single(_fields(data), {1: bytes, 2: bytes, 3: bytes, 4: bytes})
    if len(single) != 1:
        raise MalformedProof("not exactly one kind of proof")
    ((number, body),) = single.items()
    content = _bytes(body)
    if number == 1:
        return [_existence(content)]
    if number == 2:
        return [_non_existence(content)]
    return _batch(content) if number == 3 else _compressed_batch(content)


def write_proof(entry: Entry) -> bytes:
    """A serialized CommitmentProof with this one proof; ``read_proof`` is the inverse."""
    if isinstance(entry, ExistenceProof):
        return _field(1, _existence_bytes(entry))
    sides = ((2, entry.left), (3, entry.right))
    return _field(
        2, b"".join(_field(number, _existence_bytes(side)) for number, side in sides if side is not None)
    )


def _existence_bytes(proof: ExistenceProof) -> bytes:
    parts = [_field(1, proof.key), _field(2, proof.value)]
    if (leaf := proof.leaf) is not None:
        numbers = (leaf.hash, leaf.prehash_key, leaf.prehash_value, leaf.length)
        operation = [_field(number, value) for number, value in enumerate(numbers, 1) if value]
        parts.append(_field(3, b"".join((*operation, _field(5, leaf.prefix)))))
    parts += [
        _field(4, _field(1, step.hash) + _field(2, step.prefix) + _field(3, step.suffix))
        for step in proof.path
    ]
    return b"".join(parts)


def _field(number: int, value: _Value) -> bytes:
    """A field of a message; its tag takes one byte, since no number here is above 15."""
    if isinstance(value, int):
        return bytes((number << 3,)) + varint(value)
    return bytes((number << 3 | 2,)) + varint(len(value)) + value


def varint(number: int) -> bytes:
    """A number that is not negative, in its shortest form."""
    encoded = bytearray()
    while number >= 128:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _batch(data: bytes) -> list[Entry]:
    entries: list[Entry] = []
    for entry in _repeated(data, 1):
        kinds = _single(_fields(entry), {1: bytes, 2: bytes})
        if len(kinds) != 1:
            raise MalformedProof("an entry is not exactly one kind of proof")
        entries.append(_existence(_bytes(kinds[1])) if 1 in kinds else _non_existence(_bytes(kinds[2])))
    return entries


def _compressed_batch(data: bytes) -> list[Entry]:
    lookup = [_inner(inner) for inner in _repeated(data, 2)]
    entries: list[Entry] = []
    for entry in _repeated(data, 1):
        kinds = _single(_fields(entry), {1: bytes, 2: bytes})
        if len(kinds) != 1:
            raise MalformedProof("an entry is not exactly one kind of proof")
        if 1 in kinds:
            entries.append(_compressed_existence(_bytes(kinds[1]), lookup))
        else:
            sides = _single(_fields(_bytes(kinds[2])), {1: bytes, 2: bytes, 3: bytes})
            entries.append(
                NonExistenceProof(
                    left=_compressed_existence(_bytes(sides[2]), lookup) if 2 in sides else None,
                    right=_compressed_existence(_bytes(sides[3]), lookup) if 3 in sides else None,
                )
            )
    return entries


def _existence(data: bytes) -> ExistenceProof:
    fields = list(_fields(data))
    single = _single(fields, {1: bytes, 2: bytes, 3: bytes})
    return ExistenceProof(
        key=_bytes(single.get(1, b"")),
        value=_bytes(single.get(2, b"")),
        leaf=_leaf(_bytes(single[3])) if 3 in single else None,
        path=tuple(_inner(_bytes(value)) for number, value in fields if number == 4),
    )


def _compressed_existence(data: bytes, lookup: Sequence[InnerOp]) -> ExistenceProof:
    fields = list(_fields(data))
    single = _single(fields, {1: bytes, 2: bytes, 3: bytes})
    path: list[InnerOp] = []
    for number, value in fields:
        if number == 4:
            # Repeated int32: packed into one field, or one field each.
            for index in _packed(value) if isinstance(value, bytes) else (value,):
                if index >= len(lookup):
                    raise MalformedProof(f"step {index} of {len(lookup)}")
                path.append(lookup[index])
    return ExistenceProof(
        key=_bytes(single.get(1, b"")),
        value=_bytes(single.get(2, b"")),
        leaf=_leaf(_bytes(single[3])) if 3 in single else None,
        path=tuple(path),
    )


def _non_existence(data: bytes) -> NonExistenceProof:
    sides = _single(_fields(data), {1: bytes, 2: bytes, 3: bytes})
    return NonExistenceProof(
        left=_existence(_bytes(sides[2])) if 2 in sides else None,
        right=_existence(_bytes(sides[3])) if 3 in sides else None,
    )


def _leaf(data: bytes) -> LeafOp:
    single = _single(_fields(data), {1: int, 2: int, 3: int, 4: int, 5: bytes})
    return LeafOp(
        hash=_integer(single.get(1, 0)),
        prehash_key=_integer(single.get(2, 0)),
        prehash_value=_integer(single.get(3, 0)),
        length=_integer(single.get(4, 0)),
        prefix=_bytes(single.get(5, b"")),
    )


def _inner(data: bytes) -> InnerOp:
    single = _single(_fields(data), {1: int, 2: bytes, 3: bytes})
    return InnerOp(
        _integer(single.get(1, 0)), prefix=_bytes(single.get(2, b"")), suffix=_bytes(single.get(3, b""))
    )


def _fields(data: bytes) -> Iterator[tuple[int, _Value]]:
    """Number and value of each field: an integer for a varint, bytes for a length-delimited field."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire_type = tag & 7
        value: _Value
        if wire_type == 0:
            value, position = _varint(data, position)
        elif wire_type in (1, 2, 5):
            length, position = (8, position) if wire_type == 1 else (4, position)
            if wire_type == 2:
                length, position = _varint(data, position)
            value = data[position : position + length]
            position += length
            if position > len(data):
                raise MalformedProof("a field ends past its message")
        else:
            raise MalformedProof(f"wire type {wire_type}")
        yield tag >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[position : position + _VARINT_BYTES_MAX]):
        number |= (byte & 127) << 7 * index
        if byte < 128:
            return number, position + index + 1
    raise MalformedProof("a varint does not end")


def _packed(data: bytes) -> Iterator[int]:
    position = 0
    while position < len(data):
        number, position = _varint(data, position)
        yield number


def _repeated(data: bytes, wanted: int) -> list[bytes]:
    return [_bytes(value) for number, value in _fields(data) if number == wanted]


def _single(fields: Iterable[tuple[int, _Value]], types: dict[int, type]) -> dict[int, _Value]:
    """The fields with these numbers, each at most once; others are left out."""
    found: dict[int, _Value] = {}
    for number, value in fields:
        if number not in types:
            continue
        if number in found or not isinstance(value, types[number]):
            raise MalformedProof(f"field {number} twice or of another type")
        found[number] = value
    return found


def _bytes(value: _Value) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedProof("a number where bytes belong")
    return value


def _integer(value: _Value) -> int:
    if not isinstance(value, int):
        raise MalformedProof("bytes where a number belongs")
    return value
