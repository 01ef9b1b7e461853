"""Which bytes of a segment count as records, as torn, and as damaged. Rules: docs/spec/wal.md."""

from __future__ import annotations

import pytest
from icn_consensus.domain.record_frames import (
    PAYLOAD_BYTES_MAX,
    RecordLogDamaged,
    frame_header,
    read_frames,
)

HEADER_BYTES = 28
ZEROS_BYTES = 4096
"""Of zeros at the end, so many at once are passed over."""


def record(sequence: int, payload: bytes = b"payload") -> bytes:
    return frame_header(payload, sequence, 3, 70_000 + sequence % 1_000) + payload


def sequences(content: bytes, *, first: int = 1, offset: int = 0, is_last: bool = True) -> list[int]:
    frames = read_frames(content, offset, first, is_last=is_last, where="a segment")
    return [frame.sequence for frame in frames]


def test_a_frame_says_what_was_written_and_where_it_ends() -> None:
    content = b"before" + record(1, b"one") + record(2, b"two!")
    one, two = read_frames(content, len(b"before"), 1, is_last=False, where="a segment")
    assert one == (1, 3, 70_001, b"one", 6 + HEADER_BYTES + 3)
    assert two == (2, 3, 70_002, b"two!", len(content))


@pytest.mark.parametrize("size", [1, PAYLOAD_BYTES_MAX])
def test_the_shortest_and_the_longest_payload_are_read(size: int) -> None:
    assert sequences(record(1, bytes(size)), is_last=False) == [1]


@pytest.mark.parametrize("size", [0, PAYLOAD_BYTES_MAX + 1])
def test_a_payload_out_of_bounds_is_none(size: int) -> None:
    assert sequences(record(1, bytes(size))) == []


@pytest.mark.parametrize("left", [1, HEADER_BYTES - 1, HEADER_BYTES, len(record(2)) - 1])
def test_a_torn_record_is_the_end_of_the_last_segment_and_damage_in_others(left: int) -> None:
    content = record(1) + record(2)[:left]
    assert sequences(content) == [1]
    with pytest.raises(RecordLogDamaged, match=f"^a segment is damaged at byte {len(record(1))}$"):
        sequences(content, is_last=False)


@pytest.mark.parametrize("at", range(HEADER_BYTES + 1))
def test_each_byte_of_a_record_is_checked(at: int) -> None:
    content = bytearray(record(1))
    content[at] ^= 1
    assert sequences(bytes(content)) == []


@pytest.mark.parametrize("first", [1, 0xFFFF, 0xFFFF_FFFF, 1 << 56])
@pytest.mark.parametrize("between", [b"", b"?", b"\x01" * 40, bytes(2 * ZEROS_BYTES)], ids=len)
@pytest.mark.parametrize("behind", [b"", b"?" * 50, bytes(3 * ZEROS_BYTES + 7)], ids=len)
def test_a_record_anywhere_behind_a_broken_place_shows_damage(
    first: int, between: bytes, behind: bytes
) -> None:
    broken = b"\xff" + record(first)[1:]
    for later in (first + 1, first + 2):
        with pytest.raises(RecordLogDamaged, match="damaged at byte 6"):
            sequences(b"before" + broken + between + record(later) + behind, first=first, offset=6)


@pytest.mark.parametrize(
    ("sequence", "zeros_of_header"), [(2, 12), (1 << 16, 14), (1 << 24, 15), (1 << 56, 19)]
)
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_zeros_that_end_a_record_do_not_hide_it(sequence: int, zeros_of_header: int, more: int) -> None:
    """The zeros of its payload, epoch and view may be as many as are passed over at once."""
    payload = bytes(ZEROS_BYTES - zeros_of_header + more)
    later = frame_header(payload, sequence, 0, 0) + payload
    with pytest.raises(RecordLogDamaged):
        sequences(b"?" + later, first=sequence - 1)
    with pytest.raises(RecordLogDamaged):
        sequences(b"?" + later + bytes(ZEROS_BYTES), first=sequence - 1)


@pytest.mark.parametrize("earlier", [4, 5])
def test_what_was_written_before_shows_nothing_behind_the_torn_end(earlier: int) -> None:
    """A disk may bring back old bytes; record 5 itself is the one that is torn."""
    assert sequences(record(4) + record(5)[:9] + record(earlier), first=4) == [4]


def test_a_number_beyond_what_a_segment_has_room_for_is_no_record_of_it() -> None:
    room = (1 + len(record(1))) // HEADER_BYTES
    assert sequences(b"?" + record(1 + room + 1)) == []
    with pytest.raises(RecordLogDamaged):
        sequences(b"?" + record(1 + room))


def test_nothing_is_read_of_nothing() -> None:
    assert sequences(b"", is_last=False) == []
