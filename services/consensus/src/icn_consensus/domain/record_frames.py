"""How records stand in the write-ahead log, and what of a segment can be trusted. Source: docs/spec/wal.md.

Bytes in, records out: files are `icn_consensus.store.record_log`'s, and a simulated disk's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest block (4 MiB) with its vote, four times over."""

_RECORD = struct.Struct(">IIQIQ")
_CHECKED = struct.Struct(">IQIQ")
"""A record's header without the CRC."""
_SEQUENCE_OFFSET: Final = 8
"""Of the sequence number in a record."""
_ZEROS_BYTES: Final = 4096
_ZEROS: Final = bytes(_ZEROS_BYTES)


class RecordLogDamaged(Exception):
    """The log cannot be trusted to hold everything this validator said. The node must not vote."""


class Frame(NamedTuple):
    """A record in its place."""

    sequence: int
    epoch: int
    view: int
    payload: bytes
    end: int
    """Offset behind it."""


def frame_header(payload: bytes, sequence: int, epoch: int, view: int) -> bytes:
    """What stands before a payload."""
    checked = _CHECKED.pack(len(payload), sequence, epoch, view)
    return _RECORD.pack(len(payload), crc32(payload, crc32(checked)), sequence, epoch, view)


def read_frames(
    content: bytes, offset: int, sequence: int, *, is_last: bool, where: object
) -> Iterator[Frame]:
    """Valid records of a segment up to its end or its torn tail.

    Args:
        content: of the whole segment.
        offset: where its records begin.
        sequence: of the first of them.
        is_last: whether it is the last segment, the only one that may have a torn tail.
        where: its name, for the error.

    Raises:
        RecordLogDamaged: what is not valid was on disk once.
    """
    while offset < len(content):
        frame = _frame_at(content, offset)
        if frame is None or frame.sequence != sequence:
            if not is_last or _has_later_record(content, offset, sequence):
                raise RecordLogDamaged(f"{where} is damaged at byte {offset}")
            return
        yield frame
        offset, sequence = frame.end, sequence + 1


def _frame_at(content: bytes, offset: int) -> Frame | None:
    """The valid record that begins at ``offset``, if there is one."""
    if offset + _RECORD.size > len(content):
        return None
    length, crc, sequence, epoch, view = _RECORD.unpack_from(content, offset)
    end = offset + _RECORD.size + length
    if not 1 <= length <= PAYLOAD_BYTES_MAX or end > len(content):
        return None
    payload = content[offset + _RECORD.size : end]
    if crc32(payload, crc32(_CHECKED.pack(length, sequence, epoch, view))) != crc:
        return None
    return Frame(sequence, epoch, view, payload, end)


def _has_later_record(content: bytes, offset: int, sequence: int) -> bool:
    """Whether a valid record with a later sequence number begins anywhere behind ``offset``.

    The upper six bytes of its sequence number can be few, so that a search for them rules nearly every place
    out; zeros at the end, of which there may be millions, hold no record's beginning.
    """
    sequence_last = sequence + len(content) // _RECORD.size
    last_begin = len(content)
    while last_begin >= _ZEROS_BYTES and content.endswith(_ZEROS, 0, last_begin):
        last_begin -= _ZEROS_BYTES
    for upper in range(sequence >> 16, (sequence_last >> 16) + 1):
        prefix = upper.to_bytes(6, "big")
        end = last_begin + _SEQUENCE_OFFSET + len(prefix)
        at = content.find(prefix, offset + 1 + _SEQUENCE_OFFSET, end)
        while at >= 0:
            frame = _frame_at(content, at - _SEQUENCE_OFFSET)
            if frame is not None and sequence < frame.sequence <= sequence_last:
                return True
            at = content.find(prefix, at + 1, end)
    return False
