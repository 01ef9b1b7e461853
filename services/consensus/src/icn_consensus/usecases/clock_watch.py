"""Whether this validator's clock can be right, by the blocks that the others finalize.

A final block's time lies within a few seconds of the clocks of a quorum. A validator that refuses one block
after the other for their times, while the others finalize them, has a wrong clock: it cannot vote, and what
it tells clients about expiry is wrong. It stops and says so; started again with a right clock it takes part
again. Source: docs/spec/consensus.md, "Clocks".
"""

from __future__ import annotations

from typing import Final

OFF_MS_MAX: Final = 60_000
"""Block time and clock may differ by this much before the validator stops. Twenty times what votes allow, so
that no faulty leader gets it there by playing with the time of its blocks."""
OFF_SECONDS_MAX: Final = 10.0
"""For so long, by a clock that nobody sets: a process that slept digests messages that are old."""
OFF_BLOCKS_MIN: Final = 3
"""And for so many final blocks, with none in between whose time was right."""


class ClockWrong(Exception):
    """This validator's clock is wrong, or was set back. The node must stop; the message says by how much."""


class ClockWatch:
    """Is told of proposals that were refused for their time, and of blocks that became final."""

    def __init__(self) -> None:
        self._refused: dict[int, int] = {}
        """View of a proposal refused lately → block time after our clock, in milliseconds."""
        self._is_told = False
        self._since = 0.0
        self._blocks = 0

    def note_refused(self, view: int, ahead_ms: int) -> bool:
        """A proposal of this view was refused for its time. Whether it is the first since a block in time."""
        is_first, self._is_told = not self._is_told, True
        self._refused[view] = ahead_ms
        return is_first

    def note_final(self, view: int, now: float) -> bool:
        """Another seat's block, whose proposal was looked at in its view, is final; ``now`` in monotonic
        seconds. Whether its time was right by this clock.

        Raises:
            ClockWrong: see there.
        """
        ahead_ms = self._refused.get(view)
        self._refused = {other: distance for other, distance in self._refused.items() if other > view}
        if ahead_ms is None:
            self._blocks = 0
            self._is_told = False
            return True
        if abs(ahead_ms) <= OFF_MS_MAX:
            self._blocks = 0
            return False
        if not self._blocks:
            self._since = now
        self._blocks += 1
        if self._blocks >= OFF_BLOCKS_MIN and now - self._since >= OFF_SECONDS_MAX:
            word = "behind" if ahead_ms > 0 else "ahead of"
            raise ClockWrong(
                f"this clock is {abs(ahead_ms) / 1000:.0f} s {word} the blocks that the other validators "
                "agree on: set it right and start again"
            )
        return False


def check_step(last_ms: int, now_ms: int, back_ms_max: int) -> None:
    """Look at the clock's step from its last reading.

    Raises:
        ClockWrong: it was set back farther than ``back_ms_max``. Time of the core never goes back, so it
            would stand still, with its timers, until the clock gets there again.
    """
    if last_ms - now_ms > back_ms_max:
        raise ClockWrong(f"the clock went back by {(last_ms - now_ms) / 1000:.0f} s: start again")
