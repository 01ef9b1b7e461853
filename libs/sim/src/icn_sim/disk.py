"""A simulated disk: the write-ahead log as production frames it, and what a crash leaves of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from icn_consensus.domain import actions as act
from icn_consensus.domain.record_frames import SECTOR_BYTES, Framing

FRAMING: Final = Framing(b"")


class DiskFault(StrEnum):
    """What a crash did to bytes that were not synced, or a bad disk to those that were."""

    LOST_TAIL = "lost_tail"
    TORN_WRITE = "torn_write"
    SCATTERED_WRITE = "scattered_write"
    STALE_SECTOR = "stale_sector"
    FLIPPED_BIT = "flipped_bit"


@dataclass(slots=True)
class _Place:
    """Where a record lies and what it is about."""

    begin: int
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
    """One segment of the log from the sector in which its first record begins."""
    synced_bytes: int = 0
    _begin: int = 0
    """Of the first record in it."""
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
        sequence, begin = self._first_sequence + len(self._places), len(self.content)
        synced = sequence - 1 - self._unsynced
        for part in FRAMING.parts(action.record, sequence, synced, action.epoch, action.view):
            self.content += part
        self._places.append(_Place(begin, len(self.content), action.epoch, action.view, action.record))
        if action.is_synced:
            self.synced_bytes = len(self.content)

    def payloads(self) -> tuple[bytes, ...]:
        """What the log says at a start, as production reads it; a torn tail is cut off.

        Raises:
            RecordLogDamaged: it cannot be trusted.
        """
        content = bytes(self.content)
        frames = list(FRAMING.read(content, self._begin, self._first_sequence, is_last=True, where="the log"))
        del self._places[len(frames) :]
        del self.content[self._places[-1].end if self._places else self._begin :]
        self.synced_bytes = len(self.content)
        return tuple(frame.payload for frame in frames)

    def synced_payloads(self) -> tuple[bytes, ...]:
        """Records that would survive a crash now."""
        return tuple(place.payload for place in self._places if place.end <= self.synced_bytes)

    def newest_synced_payloads(self) -> Iterator[bytes]:
        """The same, the newest first."""
        return (place.payload for place in reversed(self._places) if place.end <= self.synced_bytes)

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
        begin = self._places[count - 1].end
        cut = begin - begin % SECTOR_BYTES
        self._begin = begin - cut
        del self.content[:cut]
        del self._places[:count]
        for place in self._places:
            place.begin -= cut
            place.end -= cut
        self._first_sequence += count
        self.synced_bytes = max(self._begin, self.synced_bytes - cut)

    def forget(self) -> None:
        """Lose the log and nothing else."""
        self.content.clear()
        self._places.clear()
        self.synced_bytes = self._begin = 0

    @property
    def _unsynced(self) -> int:
        """Records that are not durable."""
        count = 0
        while count < len(self._places) and self._places[-1 - count].end > self.synced_bytes:
            count += 1
        return count

    def crash(self, choose: random.Random) -> DiskFault | None:
        """Keep all, none or some of what was not synced; what happened to it, None when nothing.

        Some is either its first bytes, or any of its sectors while the others read as zeros.
        """
        begin, end = self.synced_bytes, len(self.content)
        kept = choose.choice((0, end - begin, choose.randint(0, end - begin)))
        if kept == end - begin:
            return None
        if not kept:
            del self.content[begin:]
            return DiskFault.LOST_TAIL
        if choose.randrange(2):
            del self.content[begin + kept :]
            return DiskFault.TORN_WRITE
        places = sectors(begin, end)
        for place in choose.sample(places, choose.randint(1, len(places))):
            self._empty(place)
        return DiskFault.SCATTERED_WRITE

    def go_bad(self, choose: random.Random) -> DiskFault | None:
        """Change bytes that were synced, which no crash does; None when there are none."""
        if self.synced_bytes == self._begin:
            return None
        at = choose.randrange(self._begin, self.synced_bytes)
        if choose.randrange(2):
            self.content[at] ^= 1 << choose.randrange(8)
            return DiskFault.FLIPPED_BIT
        begin = max(self._begin, at - at % SECTOR_BYTES)
        end = min(at - at % SECTOR_BYTES + SECTOR_BYTES, self.synced_bytes)
        # As the disk had it at an earlier sync: up to a record that began there, zeros behind.
        earlier = [place.begin for place in self._places if begin <= place.begin < end]
        self._empty(range(choose.choice([begin, *earlier]), end))
        return DiskFault.STALE_SECTOR

    def _empty(self, place: range) -> None:
        self.content[place.start : place.stop] = bytes(len(place))


def sectors(begin: int, end: int) -> list[range]:
    """Which places lie in one sector each."""
    borders = [begin, *range(begin - begin % SECTOR_BYTES + SECTOR_BYTES, end, SECTOR_BYTES), end]
    return [range(*pair) for pair in pairwise(borders)]
