"""The archive's bytes: chunks with numbers and a chain of digests.

Source: docs/spec/audit.md, "Archive".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from hashlib import sha256
from itertools import islice
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message
from icn.audit.v1 import archive_pb2
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_machine.blocks.final_block import DESCENDANTS_MAX

from icn_audit.divergence import Diverged

FIRST_LINE: Final = b"icn/audit/v1\n"
CONTENT_BYTES_MAX: Final = 16 * 1024 * 1024
BLOCKS_PER_CHUNK_MAX: Final = 64
LEAVES_PER_CHUNK_MAX: Final = 1_024
BLOCKS_BYTES: Final = 4 * 1024 * 1024
"""A chunk of blocks is closed when it holds so many, and so is a batch of those whose signatures are verified
together: some 16,000, and 40 MB of what is read of them (benches/audit.py)."""
_HEAD_BYTES: Final = 9
_DIGEST_BYTES: Final = 32
_COUNTS_BYTES_MAX: Final = 64
"""Of head and end, which hold a hash and three numbers."""
_FIELDS_OF_A_BLOCK_MAX: Final = 2 + DESCENDANTS_MAX
"""Of an ArchivedBlock."""
_LENGTH_DELIMITED: Final = 2
"""The protobuf wire type."""
_LENGTH_SHIFT_MAX: Final = 28
"""Of a length below 2^35, far above CONTENT_BYTES_MAX."""


class Kind(IntEnum):
    """What a chunk holds; the numbers of the specification."""

    HEAD = 1
    BLOCKS = 2
    LEAVES = 3
    END = 4


_MESSAGES: Final[dict[int, type[Message]]] = {
    Kind.HEAD: archive_pb2.ArchiveHead,
    Kind.BLOCKS: archive_pb2.ArchivedBlocks,
    Kind.LEAVES: archive_pb2.ArchivedLeaves,
    Kind.END: archive_pb2.ArchiveEnd,
}


_ENTRIES: Final = {
    Kind.BLOCKS: ("blocks", BLOCKS_PER_CHUNK_MAX),
    Kind.LEAVES: ("leaves", LEAVES_PER_CHUNK_MAX),
}
"""What a chunk of a kind is a list of, and how many there may be."""


class Frame(NamedTuple):
    """One chunk as it is in the file, its place and digests right."""

    number: int
    kind: Kind
    content: bytes


class Chunk(NamedTuple):
    """One chunk, its content read."""

    number: int
    kind: Kind
    message: Any


class ArchiveWriter:
    """Makes the bytes of an archive, chunk by chunk."""

    def __init__(self) -> None:
        self._digest = sha256(FIRST_LINE).digest()
        self._number = 0

    def first_line(self) -> bytes:
        """What the file begins with."""
        return FIRST_LINE

    def chunk(self, kind: Kind, message: Message) -> bytes:
        """The next chunk."""
        content = message.SerializeToString(deterministic=True)
        assert len(content) <= CONTENT_BYTES_MAX, "who writes keeps the bound"
        head = _head(self._number, kind, len(content))
        self._digest = sha256(self._digest + head + content).digest()
        self._number += 1
        return head + content + self._digest


class BlockChunks:
    """Gathers blocks as chunks hold them."""

    def __init__(self) -> None:
        self._held: list[archive_pb2.ArchivedBlock] = []
        self._size_bytes = 0

    def add(self, block: archive_pb2.ArchivedBlock) -> Iterator[archive_pb2.ArchivedBlocks]:
        """Take the next block; gives a chunk when one is full."""
        self._held.append(block)
        self._size_bytes += len(block.block)
        if len(self._held) == BLOCKS_PER_CHUNK_MAX or self._size_bytes >= BLOCKS_BYTES:
            yield from self.rest()

    def rest(self) -> Iterator[archive_pb2.ArchivedBlocks]:
        """What is held, where there is any."""
        if self._held:
            yield archive_pb2.ArchivedBlocks(blocks=self._held)
        self._held, self._size_bytes = [], 0


def in_batches(blocks: Iterable[archive_pb2.ArchivedBlock]) -> Iterator[list[archive_pb2.ArchivedBlock]]:
    """The blocks in order, of each batch at least one and no more than make it BLOCKS_BYTES."""
    batch: list[archive_pb2.ArchivedBlock] = []
    size_bytes = 0
    for block in blocks:
        batch.append(block)
        size_bytes += len(block.block)
        if size_bytes >= BLOCKS_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def read_chunks(read: Callable[[int], bytes]) -> Iterator[Chunk]:
    """The chunks of an archive in order; the last one is its end, and nothing follows it.

    Args and raises: as `read_frames`; a content that is malformed, too.
    """
    for number, kind, content in read_frames(read):
        yield Chunk(number, kind, _message(kind, content, number))


def read_frames(read: Callable[[int], bytes]) -> Iterator[Frame]:
    """The chunks of an archive in order, whatever is in them.

    Args:
        read: gives the next bytes of the file, as many as asked for unless it ends.

    Raises:
        Diverged: ``chunk/<number>``: missing, damaged, cut off or out of order.
    """
    if read(len(FIRST_LINE)) != FIRST_LINE:
        raise Diverged(0, "chunk/0", "an archive", "another file")
    digest = sha256(FIRST_LINE).digest()
    kind, number = None, 0
    while kind is not Kind.END:
        head = _whole(read, _HEAD_BYTES, number)
        found, size_bytes = int.from_bytes(head[:4], "big"), int.from_bytes(head[5:], "big")
        if found != number:
            raise _damaged(number, f"number {number}", f"number {found}")
        kind = _kind_after(kind, head[4], number)
        bytes_max = CONTENT_BYTES_MAX if kind in _ENTRIES else _COUNTS_BYTES_MAX
        if size_bytes > bytes_max:
            raise _damaged(number, f"at most {bytes_max} bytes", f"{size_bytes} bytes")
        content = _whole(read, size_bytes, number)
        hashed = sha256(digest + head)
        hashed.update(content)
        digest = hashed.digest()
        said = _whole(read, _DIGEST_BYTES, number)
        if said != digest:
            raise _damaged(number, digest.hex(), said.hex())
        if kind is Kind.END and read(1):  # before it is handed on: whoever takes it asks for nothing more
            raise _damaged(number + 1, "the end of the file", "more bytes")
        yield Frame(number, kind, content)
        number += 1


def read_fields(data: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field between two places of a message whose fields are all bytes or
    messages, numbered 1 to 15. Nothing is copied: however many there are, they take no room.

    Raises:
        MalformedBytes: another kind of field, or one that is cut off.
    """
    while start < stop:
        tag, size, shift, place = data[start], 0, 0, start + 1
        while place < stop and shift <= _LENGTH_SHIFT_MAX:
            byte = data[place]
            place += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            raise MalformedBytes(f"a field without a length at byte {start}")
        if tag & 0x87 != _LENGTH_DELIMITED or place + size > stop:
            raise MalformedBytes(f"a field of another kind, or one that is cut off, at byte {start}")
        yield tag >> 3, place, place + size
        start = place + size


def _head(number: int, kind: int, size_bytes: int) -> bytes:
    return number.to_bytes(4, "big") + bytes([kind]) + size_bytes.to_bytes(4, "big")


def _whole(read: Callable[[int], bytes], size_bytes: int, number: int) -> bytes:
    data = read(size_bytes) if size_bytes else b""
    if len(data) != size_bytes:
        raise _damaged(number, f"{size_bytes} bytes", f"the file ends after {len(data)}")
    return data


def _kind_after(before: Kind | None, found: int, number: int) -> Kind:
    """The kind of a chunk behind one of another: head, blocks, leaves, end, in this order."""
    if found not in _MESSAGES:
        raise _damaged(number, "a chunk of a known kind", f"kind {found}")
    kind = Kind(found)
    is_first = before is None
    if is_first != (kind is Kind.HEAD) or (before is not None and kind < before):
        raise _damaged(number, "head, blocks, leaves, end in this order", f"{kind.name.lower()} here")
    return kind


def _message(kind: Kind, content: bytes, number: int) -> Any:
    try:
        if kind in _ENTRIES:
            _check_counts(kind, content, number)
        return parse_canonical(_MESSAGES[kind], content, CONTENT_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise _damaged(number, f"canonical {kind.name.lower()}", str(error)) from error


def _check_counts(kind: Kind, content: bytes, number: int) -> None:
    """Refuse what holds more than it may before it is read: an object for each of millions of empty entries
    takes thirty times the room of their bytes.

    Raises:
        Diverged: too many entries, or none.
        MalformedBytes: they are no list.
    """
    what, count_max = _ENTRIES[kind]
    entries = list(islice(read_fields(content, 0, len(content)), count_max + 1))
    if not 1 <= len(entries) <= count_max:
        found = "more" if entries else "none"
        raise _damaged(number, f"1 to {count_max} {what}", found)
    if kind is Kind.BLOCKS:
        for _, start, stop in entries:
            fields = islice(read_fields(content, start, stop), _FIELDS_OF_A_BLOCK_MAX + 1)
            if sum(1 for _ in fields) > _FIELDS_OF_A_BLOCK_MAX:
                raise _damaged(number, f"at most {DESCENDANTS_MAX} headers behind a block", "more")


def _damaged(number: int, expected: str, found: str) -> Diverged:
    return Diverged(0, f"chunk/{number}", expected, found)
