"""Waiting for what takes its time: events travel, validators catch up, an idle chain makes few blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SOON_SECONDS = 60.0
"""On a busy machine; an event takes a second."""
POLL_SECONDS = 0.2


def until(read: Callable[[], Any], is_so: Callable[[Any], bool] = bool, seconds: float = SOON_SECONDS) -> Any:
    """What is read, once it is so, which it has to become within a minute or so many seconds."""
    deadline = time.monotonic() + seconds
    while not is_so(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(POLL_SECONDS)
    return found
