"""What the loader notes of finality."""

from __future__ import annotations

import asyncio

from icn_kit.lifecycle import cancel_all

from benches.consensus.figures import Heights
from benches.consensus.load import FINAL_LOOK_SECONDS, look_for_finality


class Asked:
    """A side of which only finality is asked."""

    def __init__(self, heights: list[int | None]) -> None:
        self._heights = heights

    async def final_height(self, _seat: int) -> int | None:
        return self._heights.pop(0) if len(self._heights) > 1 else self._heights[0]


async def test_a_height_is_final_when_the_validator_first_tells_of_it_or_of_a_later_one() -> None:
    final = Heights()
    looking = asyncio.create_task(look_for_finality(Asked([3, 3, 5]), final))  # type: ignore[arg-type]
    await asyncio.sleep(10 * FINAL_LOOK_SECONDS)
    await cancel_all([looking])
    assert final.heights == [3, 5]
    assert final.applied_at(4) == final.at_seconds[1]


async def test_where_nobody_can_be_asked_nothing_is_noted() -> None:
    final = Heights()
    await asyncio.wait_for(look_for_finality(Asked([None]), final), 5)  # type: ignore[arg-type]
    assert not final.heights
