"""Letting others run during long work: consensus shares the event loop, a full block takes long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

ITEMS_PER_BREATH = 32
"""About 1 ms of work on transactions between two turns of the event loop: votes wait for all at work."""

LEAVES_ON_LOOP_MAX = 1_000
"""Above it the tree is hashed on a thread: about 20 ms of the event loop."""

Item = TypeVar("Item")


async def in_breaths(items: Sequence[Item]) -> AsyncIterator[Item]:
    """The items in order, with a turn of the event loop after every ITEMS_PER_BREATH of them."""
    async for some in breaths(items):
        for item in some:
            yield item


async def breaths(items: Sequence[Item]) -> AsyncIterator[Sequence[Item]]:
    """The items in order, as many at once as are worked on between two turns of the event loop."""
    for start in range(0, len(items), ITEMS_PER_BREATH):
        if start:
            await asyncio.sleep(0)
        yield items[start : start + ITEMS_PER_BREATH]
