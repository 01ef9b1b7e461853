"""Which bytes of a segment count as records, as torn, and as damaged. Rules: docs/spec/wal.md."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_consensus.domain.record_frames import (
    HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    PLACE_BYTES,
    SECTOR_BYTES,
    Framing,
    RecordLogDamaged,
)

FRAMING = Framing(b"this log")


def record(sequence: int, payload: bytes = b"payload", *, synced: int | None = None) -> bytes:
    """Synced after each but the last before it, where nothing else is said."""
    known = sequence - 1 if synced is None else synced
    return b"".join(FRAMING.parts(payload, sequence, known, 3, 70_000 + sequence % 1_000))


def sequences(content: bytes, *, first: int = 1, offset: int = 0, is_last: bool = True) -> list[int]:
    frames = FRAMING.read(content, offset, first, is_last=is_last, where="a segment")
    return [frame.sequence for frame in frames]


def sectors_of(content: bytes, begin: int) -> list[tuple[int, int]]:
    """Where the parts of an append that began there lie, one per sector."""
    borders = [begin, *range((begin // SECTOR_BYTES + 1) * SECTOR_BYTES, len(content), SECTOR_BYTES)]
    return list(zip(borders, [*borders[1:], len(content)], strict=True))


def without(content: bytes, lost: list[tuple[int, int]]) -> bytes:
    """As a disk leaves it that has not written these places."""
    left = bytearray(content)
    for begin, end in lost:
        left[begin:end] = bytes(end - begin)
    return bytes(left)


def test_a_frame_says_what_was_written_and_where_it_ends() -> None:
    content = bytes(PLACE_BYTES) + record(1, b"one") + record(2, b"x" * 100)
    one, two = FRAMING.read(content, PLACE_BYTES, 1, is_last=False, where="a segment")
    assert one == (1, 0, 3, 70_001, b"one", 2 * PLACE_BYTES)
    assert two == (2, 1, 3, 70_002, b"x" * 100, len(content))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 79, 80, PAYLOAD_BYTES_MAX])
def test_records_of_any_size_are_read_and_begin_at_their_places(size: int) -> None:
    content = record(1, bytes(size)) + record(2)
    assert len(content) % PLACE_BYTES == 0
    assert sequences(content, is_last=False) == [1, 2]


def test_an_epoch_and_a_view_may_be_as_large_as_they_are_anywhere() -> None:
    largest = (1 << 63) - 1
    content = b"".join(FRAMING.parts(b"payload", 1, 0, largest, largest))
    [frame] = FRAMING.read(content, 0, 1, is_last=True, where="a segment")
    assert (frame.epoch, frame.view) == (largest, largest)


@given(size=st.integers(1, 2_000), data=st.data())
def test_an_append_that_stopped_anywhere_is_torn_in_the_last_segment_and_damage_in_others(
    size: int, data: st.DataObject
) -> None:
    last = record(2, bytes(range(1, 201)) * 10 * size)[: 48 + size]
    kept = data.draw(st.integers(1, len(last) - 1))
    content = record(1) + last[:kept]
    assert sequences(content) == [1]
    with pytest.raises(
        RecordLogDamaged, match=f"^a segment is damaged at byte {len(record(1))}: .* new consensus"
    ):
        sequences(content, is_last=False)


@given(before=st.integers(1, 900), payload=st.binary(min_size=1, max_size=3_000), data=st.data())
def test_an_append_some_of_whose_sectors_reached_the_disk_is_torn(
    before: int, payload: bytes, data: st.DataObject
) -> None:
    """In any order, while the file is as long as it was to be. The records may be several."""
    synced = record(1, b"s" * before)
    content = synced + record(2, b"\x01" + payload, synced=1) + record(3, payload[::-1], synced=1)
    places = sectors_of(content, len(synced))
    lost = data.draw(st.lists(st.sampled_from(places), min_size=1, unique=True))
    found = sequences(without(content, lost))
    assert found[:1] == [1]
    assert len(found) < 3


@given(payloads=st.lists(st.binary(min_size=1, max_size=1_500), min_size=1, max_size=4), data=st.data())
def test_no_flipped_bit_of_what_was_synced_makes_a_record_go_unnoticed(
    payloads: list[bytes], data: st.DataObject
) -> None:
    """The newest record has nothing behind it that speaks of it: its own shape shows that it was whole."""
    content = bytearray(b"".join(record(number, payload) for number, payload in enumerate(payloads, start=1)))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RecordLogDamaged):
        sequences(bytes(content))


@pytest.mark.parametrize("at", [0, 299, 600])
def test_a_bit_that_is_alone_in_its_sector_does_not_vanish_unnoticed(at: int) -> None:
    payload = bytearray(b"x" * 1_100)
    payload[300:901] = bytes(601)
    payload[300 + at] = 1
    content = bytearray(record(1, bytes(payload)))
    content[HEADER_BYTES + 300 + at] = 0
    with pytest.raises(RecordLogDamaged):
        sequences(bytes(content))


def test_a_payload_of_zeros_is_torn_where_its_end_is_missing_and_else_refused() -> None:
    content = record(1, bytes(2_000))
    first, *middle, last = sectors_of(content, 0)
    assert sequences(without(content, [last])) == sequences(without(content, [first])) == []
    flipped = bytearray(content)
    flipped[700] = 4
    with pytest.raises(RecordLogDamaged):
        sequences(bytes(flipped))
    assert sequences(without(content, middle)) == [1], "they were zeros"


def test_a_sector_lost_after_it_was_synced_is_noticed_when_a_later_record_speaks_of_it() -> None:
    lost = without(record(1, b"x" * 1_000), [(512, 1_024)])
    assert sequences(lost) == [], "nothing tells it from a write that was not synced"
    with pytest.raises(RecordLogDamaged, match="has lost what was durable"):
        sequences(lost + record(2, synced=1))
    assert sequences(lost + record(2, synced=0)) == []


def test_a_record_that_stands_twice_is_damage() -> None:
    with pytest.raises(RecordLogDamaged):
        sequences(record(4) + record(4), first=4)
    with pytest.raises(RecordLogDamaged):
        sequences(record(4) + record(6), first=4)


def test_what_a_payload_holds_does_not_pass_for_a_record() -> None:
    forged = b"".join(Framing(b"another log").parts(b"payload", 3, 2, 0, 0))
    payload = bytes(PLACE_BYTES - HEADER_BYTES) + 10 * forged
    content = record(1) + record(2, payload)
    assert sequences(content[:-PLACE_BYTES]) == [1]
    assert sequences(without(content, [(PLACE_BYTES, PLACE_BYTES + HEADER_BYTES)])) == [1]


@pytest.mark.parametrize("zeros", [1, HEADER_BYTES, 5_000])
def test_zeros_at_the_end_are_no_record(zeros: int) -> None:
    assert sequences(record(1) + bytes(zeros)) == [1]


def test_nothing_is_read_of_nothing() -> None:
    assert sequences(b"", is_last=False) == []
