"""What waits to be written to one peer: bounded, the oldest dropped first, votes before bulk."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from icn_consensus.peers.frames import FRAMES_MAX, JOINED_BYTES_MAX

LANE_FRAMES_MAX: Final = 2_048
LANE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Two of the largest frames. All of it is said again when it is still needed (design §4, "Time-outs"), so a
peer that is too slow loses the oldest instead of filling our memory."""


class Lane:
    """A queue of frames within the bounds."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._size_bytes = 0

    def put(self, frame: bytes) -> int:
        """Add a frame; says how many older ones had to go."""
        self._frames.append(frame)
        self._size_bytes += len(frame)
        dropped = 0
        while len(self._frames) > LANE_FRAMES_MAX or (
            self._size_bytes > LANE_BYTES_MAX and len(self._frames) > 1
        ):
            self._size_bytes -= len(self._frames.popleft())
            dropped += 1
        return dropped

    def take(self, count_max: int, size_bytes_max: int) -> list[bytes]:
        """The oldest frame, however large, and those behind it within the bounds."""
        taken: list[bytes] = []
        while self._frames and len(taken) < count_max:
            size_bytes_max -= len(self._frames[0])
            if taken and size_bytes_max < 0:
                break
            taken.append(self._frames.popleft())
            self._size_bytes -= len(taken[-1])
        return taken

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()
        self._size_bytes = 0


class Outbox:
    """Two lanes: consensus messages and requests go before transactions and answers."""

    def __init__(self) -> None:
        self._urgent, self._bulk = Lane(), Lane()
        self._has_frames = asyncio.Event()

    def put(self, frame: bytes, *, is_urgent: bool) -> int:
        """Queue a frame; says how many older ones were dropped for it."""
        dropped = (self._urgent if is_urgent else self._bulk).put(frame)
        self._has_frames.set()
        return dropped

    async def take(self) -> list[bytes]:
        """The next frames to write together; waits for one."""
        while True:
            frames = self._urgent.take(FRAMES_MAX, JOINED_BYTES_MAX) or self._bulk.take(
                FRAMES_MAX, JOINED_BYTES_MAX
            )
            if frames:
                return frames
            self._has_frames.clear()
            await self._has_frames.wait()

    def clear(self) -> None:
        """Forget everything queued."""
        self._urgent.clear()
        self._bulk.clear()
