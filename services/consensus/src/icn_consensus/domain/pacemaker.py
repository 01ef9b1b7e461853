"""How long a view may take before its timer runs out.

Source: docs/spec/consensus.md, "Time-outs".
"""

from __future__ import annotations

from collections import deque
from typing import Final

TIMEOUT_MS_MIN: Final = 250
"""Below it, a pause of the garbage collector or the disk would end views."""
TIMEOUT_MS_MAX: Final = 8_000
"""A healed network resumes within 30 s: three views at most, the first two with faulty leaders."""
MEDIAN_FACTOR: Final = 4
SAMPLES_MAX: Final = 32
"""Lengths of views remembered: enough for a steady median, few enough to follow a change."""
VIEWS_IN_FLIGHT: Final = 2
"""A view is entered before the one ahead of it is final; only further ones count as without finalization."""
DOUBLINGS_MAX: Final = 5
"""250 ms doubled five times is TIMEOUT_MS_MAX."""


class Pacemaker:
    """Observed lengths of views, and the time-out that follows from them."""

    def __init__(self) -> None:
        self._samples_ms: deque[int] = deque(maxlen=SAMPLES_MAX)
        self._base_ms = TIMEOUT_MS_MIN

    def observe(self, duration_ms: int) -> None:
        """A view's proposal was notarized, or nullified, this long after `View.timed_since_ms`."""
        self._samples_ms.append(duration_ms)
        ascending = sorted(self._samples_ms)
        median_ms = ascending[len(ascending) // 2]
        self._base_ms = min(max(MEDIAN_FACTOR * median_ms, TIMEOUT_MS_MIN), TIMEOUT_MS_MAX)

    def timeout_ms(self, views_since_final: int) -> int:
        """Time-out of a view that lies this many views after the newest final one."""
        doublings = views_since_final - VIEWS_IN_FLIGHT
        if doublings <= 0:
            return self._base_ms
        return min(self._base_ms << min(doublings, DOUBLINGS_MAX), TIMEOUT_MS_MAX)
