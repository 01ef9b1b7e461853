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
SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all; those that write 4,096 write eight."""
PLACE_BYTES: Final = 64
"""Records begin at a multiple of it, so that a header never lies in two sectors."""
GAP_BYTES: Final = SECTOR_BYTES // 2
"""A sector that one flipped bit could empty holds at least so many zeros in a row."""

_HEADER = struct.Struct(">IIQQQQI")
_CRC = struct.Struct(">I")
HEADER_BYTES: Final = _HEADER.size + _CRC.size
_NO_HEADER: Final = bytes(HEADER_BYTES)
_GAP: Final = bytes(GAP_BYTES)
_FILLING: Final = b"\xff"
"""Behind each payload: no flipped bit empties a record's last sector."""


class RecordLogDamaged(Exception):
    """The log cannot be trusted to hold everything this validator said. The node must not vote."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}: what this validator said may be lost, and with this key it must not vote again; "
            "its organization has to sign a new consensus key (icn validators key new)"
        )


class Frame(NamedTuple):
    """A record in its place."""

    sequence: int
    synced: int
    """Number of the last record that was durable when it was appended."""
    epoch: int
    view: int
    payload: bytes
    end: int
    """Offset where the next one begins."""


class _Header(NamedTuple):
    length: int
    crc: int
    """Of payload and filling."""
    sequence: int
    synced: int
    epoch: int
    view: int
    has_gap: int
    """Whether the payload holds `GAP_BYTES` zeros in a row."""


def _record_bytes(length: int) -> int:
    """Of a record with so long a payload: the next multiple of `PLACE_BYTES`, with one byte of filling at
    least."""
    return ((HEADER_BYTES + length) // PLACE_BYTES + 1) * PLACE_BYTES


class Framing:
    """How the records of one log are framed: its id is in their checks, so that nothing that others wrote
    into a payload can pass for a record."""

    def __init__(self, log_id: bytes) -> None:
        self._crc = crc32(log_id)

    def parts(self, payload: bytes, sequence: int, synced: int, epoch: int, view: int) -> tuple[bytes, ...]:
        """Header, payload and filling of a record; ``synced`` is the number of the last durable one."""
        filling = _FILLING * (_record_bytes(len(payload)) - HEADER_BYTES - len(payload))
        crc = crc32(filling, crc32(payload))
        header = _HEADER.pack(len(payload), crc, sequence, synced, epoch, view, _GAP in payload)
        return header + _CRC.pack(crc32(header, self._crc)), payload, filling

    def read(
        self, content: bytes, offset: int, sequence: int, *, is_last: bool, where: object
    ) -> Iterator[Frame]:
        """Valid records of a segment up to its end or its torn tail.

        Args:
            content: of the whole segment.
            offset: where its records begin, a multiple of `PLACE_BYTES`.
            sequence: of the first of them.
            is_last: whether it is the last segment, the only one that may have a torn tail.
            where: its name, for the error.

        Raises:
            RecordLogDamaged: what is not valid was on disk once.
        """
        while offset < len(content):
            frame = self._frame_at(content, offset)
            if frame is None or frame.sequence != sequence:
                if not is_last or not self._is_torn(content, offset):
                    raise RecordLogDamaged(f"{where} is damaged at byte {offset}")
                if self._was_synced(content, offset, sequence):
                    raise RecordLogDamaged(f"{where} has lost what was durable at byte {offset}")
                return
            yield frame
            offset, sequence = frame.end, sequence + 1

    def _header_at(self, content: bytes, offset: int) -> _Header | None:
        """The valid header there, if there is one."""
        data = content[offset : offset + _HEADER.size]
        if content[offset + _HEADER.size : offset + HEADER_BYTES] != _CRC.pack(crc32(data, self._crc)):
            return None
        return _Header(*_HEADER.unpack(data))

    def _frame_at(self, content: bytes, offset: int) -> Frame | None:
        """The valid record that begins at ``offset``, if there is one."""
        header = self._header_at(content, offset)
        if header is None:
            return None
        begin, end = offset + HEADER_BYTES, offset + _record_bytes(header.length)
        if len(content) < end or crc32(memoryview(content)[begin:end]) != header.crc:
            return None
        payload = content[begin : begin + header.length]
        return Frame(header.sequence, header.synced, header.epoch, header.view, payload, end)

    def _is_torn(self, content: bytes, offset: int) -> bool:
        """Whether a record that is not valid is what a crash leaves of one that was not synced: its rest is
        missing, or a sector never reached the disk and reads as zeros. Anything else has changed since."""
        written = content[offset : offset + HEADER_BYTES]
        if len(written) < HEADER_BYTES or written == _NO_HEADER:
            return True
        header = self._header_at(content, offset)
        if header is None:
            return False
        end = offset + _record_bytes(header.length)
        if len(content) < end:
            return True
        begins = range((offset // SECTOR_BYTES + 1) * SECTOR_BYTES, end, SECTOR_BYTES)
        empty = [begin for begin in begins if not any(content[begin : min(begin + SECTOR_BYTES, end)])]
        return bool(empty) and (not header.has_gap or empty[-1] == begins[-1])

    def _was_synced(self, content: bytes, offset: int, sequence: int) -> bool:
        """Whether a valid record behind ``offset`` says that the one of this number was durable."""
        for begin in range(offset + PLACE_BYTES, len(content), PLACE_BYTES):
            header = self._header_at(content, begin)
            if header is not None and sequence <= header.synced < header.sequence:
                return True
        return False
