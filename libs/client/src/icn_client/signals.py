"""How a command that runs on is told to stop: SIGINT (Ctrl-C) or SIGTERM."""

from __future__ import annotations

import asyncio
import signal


def told_to_stop() -> asyncio.Event:
    """An event that is set when a signal comes. Call it inside a running loop on the main thread."""
    until = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    return until


async def wait_for_signal() -> None:
    """Return when a signal comes."""
    await told_to_stop().wait()
