"""A simulated disk: the write-ahead log as production frames it, and what a crash leaves of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from icn_consensus.domain import actions as act
from icn_consensus.domain.record_frames import frame_header, read_frames

SECTOR_BYTES: Final = 512


class DiskFault(StrEnum):
    """What a crash did to bytes that were not synced, or a bad disk to those that were."""

    LOST_TAIL = "lost_tail"
    TORN_WRITE = "torn_write"
    STALE_SECTOR = "stale_sector"
    FLIPPED_BIT = "flipped_bit"


@dataclass(slots=True)
class _Place:
    """Where a record lies and what it is about."""

    end: int
    epoch: int
    view: int
    payload: bytes


@dataclass(slots=True)
class Disk:
    """What survives a crash."""

    blocks: list[act.Execute] = field(default_factory=list)
    """Final blocks, ascending from `first_height`: the block store."""
    first_height: int = 1
    """Where it begins, or will begin."""
    content: bytearray = field(default_factory=bytearray)
    """One segment of the log, without its header."""
    synced_bytes: int = 0
    _first_sequence: int = 1
    _places: list[_Place] = field(default_factory=list)

    @property
    def height(self) -> int:
        """Of the newest final block; one below the first while there is none."""
        return self.first_height + len(self.blocks) - 1

    def blocks_from(self, height: int) -> list[act.Execute]:
        """Final blocks from a height on; none where the store begins above it."""
        return self.blocks[height - self.first_height :] if height >= self.first_height else []

    def append(self, action: act.Persist) -> None:
        """Write a record; durable when it is synced, or with the next that is."""
        sequence = self._first_sequence + len(self._places)
        self.content += frame_header(action.record, sequence, action.epoch, action.view) + action.record
        self._places.append(_Place(len(self.content), action.epoch, action.view, action.record))
        if action.is_synced:
            self.synced_bytes = len(self.content)

    def payloads(self) -> tuple[bytes, ...]:
        """What the log says at a start, as production reads it; a torn tail is cut off.

        Raises:
            RecordLogDamaged: it cannot be trusted.
        """
        frames = list(
            read_frames(bytes(self.content), 0, self._first_sequence, is_last=True, where="the log")
        )
        del self._places[len(frames) :]
        del self.content[self._places[-1].end if self._places else 0 :]
        self.synced_bytes = len(self.content)
        return tuple(frame.payload for frame in frames)

    def synced_payloads(self) -> tuple[bytes, ...]:
        """Records that would survive a crash now."""
        return tuple(place.payload for place in self._places if place.end <= self.synced_bytes)

    def prune(self, epoch: int, view: int) -> None:
        """Drop the records in front that are about what lies below a final block that is stored."""
        count = 0
        while count < len(self._places) and (self._places[count].epoch, self._places[count].view) < (
            epoch,
            view,
        ):
            count += 1
        if not count:
            return
        cut = self._places[count - 1].end
        del self.content[:cut]
        del self._places[:count]
        for place in self._places:
            place.end -= cut
        self._first_sequence += count
        self.synced_bytes = max(0, self.synced_bytes - cut)

    def forget(self) -> None:
        """Lose the log and nothing else."""
        self.content.clear()
        self._places.clear()
        self.synced_bytes = 0

    def crash(self, choose: random.Random) -> DiskFault | None:
        """Keep all, none or some bytes of what was not synced; what happened to it, None when nothing."""
        unsynced = len(self.content) - self.synced_bytes
        kept = choose.choice((0, unsynced, choose.randint(0, unsynced)))
        if kept == unsynced:
            return None
        del self.content[self.synced_bytes + kept :]
        return DiskFault.TORN_WRITE if kept else DiskFault.LOST_TAIL

    def go_bad(self, choose: random.Random) -> DiskFault | None:
        """Change bytes that were synced, which no crash does; None when there are none."""
        if not self.synced_bytes:
            return None
        at = choose.randrange(self.synced_bytes)
        if choose.randrange(2):
            self.content[at] ^= 1 << choose.randrange(8)
            return DiskFault.FLIPPED_BIT
        begin = at - at % SECTOR_BYTES
        end = min(begin + SECTOR_BYTES, self.synced_bytes)
        self.content[begin:end] = bytes(end - begin)
        return DiskFault.STALE_SECTOR
