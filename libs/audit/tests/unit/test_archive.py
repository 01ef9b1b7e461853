"""Whatever byte of an archive is another one, it is noticed, and so is what is missing."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn.audit.v1 import archive_pb2 as pb
from icn_audit.archive import CONTENT_BYTES_MAX, FIRST_LINE, ArchiveWriter, Kind, read_chunks
from icn_audit.divergence import Diverged

HEAD = pb.ArchiveHead(genesis_hash=bytes(32), height=2)
BLOCKS = pb.ArchivedBlocks(blocks=[pb.ArchivedBlock(block=b"one"), pb.ArchivedBlock(block=b"two")])
LEAVES = pb.ArchivedLeaves(leaves=[pb.ArchivedLeaf(namespace=3, identifier=b"id", value=b"leaf")])
END = pb.ArchiveEnd(blocks=2, leaves=1)
MESSAGES = [(Kind.HEAD, HEAD), (Kind.BLOCKS, BLOCKS), (Kind.LEAVES, LEAVES), (Kind.END, END)]


def parts(messages: list[tuple[Kind, object]] = MESSAGES) -> list[bytes]:
    """The first line, then each chunk."""
    writer = ArchiveWriter()
    return [writer.first_line(), *(writer.chunk(kind, message) for kind, message in messages)]


def keys(data: bytes) -> str:
    """What reading it stumbles over."""
    with pytest.raises(Diverged) as caught:
        list(read_chunks(BytesIO(data).read))
    assert caught.value.expected != caught.value.found
    return caught.value.key


def test_chunks_come_back_as_they_were_written() -> None:
    chunks = list(read_chunks(BytesIO(b"".join(parts())).read))
    assert [(chunk.kind, chunk.message) for chunk in chunks] == MESSAGES
    assert [chunk.number for chunk in chunks] == [0, 1, 2, 3]


@settings(max_examples=500)
@given(place=st.integers(0, len(b"".join(parts())) - 1), change=st.integers(1, 255))
def test_any_other_byte_anywhere_is_noticed(place: int, change: int) -> None:
    data = bytearray(b"".join(parts()))
    data[place] ^= change
    assert keys(bytes(data)).startswith("chunk/")


def test_a_missing_chunk_is_named_by_its_number() -> None:
    written = parts()
    for missing in range(1, len(written) - 1):
        assert keys(b"".join(written[:missing] + written[missing + 1 :])) == f"chunk/{missing - 1}"


def test_chunks_in_another_order_or_twice_are_noticed() -> None:
    first, head, blocks, leaves, end = parts()
    assert keys(first + head + leaves + blocks + end) == "chunk/1"
    assert keys(first + head + blocks + blocks + leaves + end) == "chunk/2"


def test_a_file_that_is_cut_off_anywhere_is_noticed() -> None:
    data = b"".join(parts())
    for length in range(len(data)):
        assert keys(data[:length]).startswith("chunk/")


def test_bytes_behind_the_end_are_noticed() -> None:
    assert keys(b"".join(parts()) + b"\0") == "chunk/4"


@pytest.mark.parametrize(
    "messages",
    [
        [(Kind.BLOCKS, BLOCKS), (Kind.END, END)],
        [(Kind.HEAD, HEAD), (Kind.HEAD, HEAD), (Kind.END, END)],
        [(Kind.HEAD, HEAD), (Kind.LEAVES, LEAVES), (Kind.BLOCKS, BLOCKS), (Kind.END, END)],
    ],
)
def test_kinds_have_an_order(messages: list[tuple[Kind, object]]) -> None:
    assert keys(b"".join(parts(messages))).startswith("chunk/")


def test_a_chunk_that_claims_to_be_larger_than_any_is_not_read() -> None:
    claimed = (CONTENT_BYTES_MAX + 1).to_bytes(4, "big")
    assert keys(FIRST_LINE + bytes(4) + bytes([Kind.HEAD]) + claimed) == "chunk/0"
    assert keys(b"another file") == "chunk/0"
