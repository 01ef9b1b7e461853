"""What a peer's streams are worth: bytes that no honest validator sends cost it its stream for a while.

Local knowledge, forgotten at a restart. Source: docs/spec/consensus.md, "Faulty peers".
"""

from __future__ import annotations

from typing import Final

from icn_kit.pauses import doubled

FAULTS_MAX: Final = 16
"""Malformed messages on a peer's streams before it is barred. An honest validator sends none; a few lines in
the log say more than one."""
BAR_SECONDS_FIRST: Final = 1.0
BAR_SECONDS_MAX: Final = 64.0
"""A peer whose fault was mended is heard again within about a minute."""
FORGIVEN_SECONDS: Final = 600.0
"""Without a fault for so long after its last bar, a peer begins anew."""


class Standing:
    """Of one peer. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._faults = 0
        self._bars = 0
        self._barred_until = 0.0
        self._last_at = 0.0

    def barred_seconds(self, now: float) -> float:
        """For how long its streams are refused."""
        return max(0.0, self._barred_until - now)

    def note_fault(self, now: float, *, is_fatal: bool = False) -> float:
        """Count a fault; the seconds for which the peer is barred from now on, 0 when it is not yet.

        ``is_fatal``: the stream cannot go on, so that there is nothing to wait for.
        """
        if now - max(self._last_at, self._barred_until) > FORGIVEN_SECONDS:
            self._faults = self._bars = 0
        self._last_at = now
        self._faults += 1
        if self._faults < FAULTS_MAX and not is_fatal:
            return 0.0
        seconds = doubled(BAR_SECONDS_FIRST, self._bars, BAR_SECONDS_MAX)
        if seconds < BAR_SECONDS_MAX:
            self._bars += 1
        self._faults = 0
        self._barred_until = now + seconds
        return seconds
