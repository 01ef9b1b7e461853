"""How long to wait before something that failed is tried again."""

from __future__ import annotations

DOUBLINGS_MAX = 16
"""The largest pause is reached long before; without a bound the power would be."""


def doubled(seconds: float, times: int, seconds_max: float) -> float:
    """``seconds``, doubled so many times, at most ``seconds_max``."""
    return min(seconds * 2.0 ** min(times, DOUBLINGS_MAX), seconds_max)
