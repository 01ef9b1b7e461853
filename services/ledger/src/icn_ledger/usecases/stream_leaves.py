"""StreamLeaves: the whole state after a height, for archives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Final

from icn_kit.errors import InvalidArgument, ResourceExhausted
from icn_machine.blocks.ports import StateBehind
from icn_machine.limits import QUANTITY_MAX
from icn_machine.snapshot_chunks import Leaf

from icn_ledger.usecases.ports import SnapshotStore

PART_BYTES: Final = 1024 * 1024
"""An answer is closed when it holds so many; the largest leaf is of 65 KiB."""
PAUSE_FACTOR: Final = 3
"""As for snapshots: a quarter of a core at most, so that blocks go on."""


class LeafReader:
    """Reads for one caller at a time: each holds a transaction open as long as it reads."""

    def __init__(self, store: SnapshotStore, *, pause_factor: float = PAUSE_FACTOR) -> None:
        self._store = store
        self._pause_factor = pause_factor
        self._reading = asyncio.Lock()

    async def read(self, height: int, executed_height: int) -> AsyncIterator[Sequence[Leaf]]:
        """Every leaf after the height, ascending by state key, some at a time.

        Raises:
            InvalidArgument: HEIGHT_OUT_OF_RANGE.
            StateBehind: it is not executed yet.
            StatePruned: it is no longer kept.
            ResourceExhausted: LEAVES_BUSY: another call reads.
        """
        if height > QUANTITY_MAX:
            raise InvalidArgument("HEIGHT_OUT_OF_RANGE", f"height {height} is above 2^62")
        if height > executed_height:
            raise StateBehind(height, executed_height)
        if self._reading.locked():
            raise ResourceExhausted("LEAVES_BUSY", "another call reads the leaves; try again")
        async with self._reading, self._store.state_after(height) as state:
            started = perf_counter()
            async for leaves in state.leaves():
                for part in _parts(leaves):
                    worked = perf_counter() - started
                    yield part
                    await asyncio.sleep(self._pause_factor * worked)
                    started = perf_counter()


def _parts(leaves: Sequence[Leaf]) -> list[Sequence[Leaf]]:
    parts: list[list[Leaf]] = [[]]
    size_bytes = 0
    for leaf in leaves:
        if size_bytes >= PART_BYTES:
            parts.append([])
            size_bytes = 0
        parts[-1].append(leaf)
        size_bytes += len(leaf.identifier) + len(leaf.value)
    return [part for part in parts if part]
