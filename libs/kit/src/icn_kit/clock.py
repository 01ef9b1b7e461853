"""Time as an argument: what needs the time of day is handed a clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Says what time it is."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, leap seconds not counted. May step backwards."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """The time of day, as the operating system has it."""
        return time.time_ns() // 1_000_000
