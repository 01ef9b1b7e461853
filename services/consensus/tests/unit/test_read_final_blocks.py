"""Final blocks for archives: pages, what is missing, and what shows that a block is final."""

from __future__ import annotations

import pytest
from icn_consensus.usecases.ports import StoredBlock
from icn_consensus.usecases.read_final_blocks import HistoryMissing, get_finality, list_final_blocks
from icn_kit.errors import InvalidArgument, NotFound

PAGE = 3


class Stored:
    """Blocks from a height on."""

    def __init__(self, first: int, last: int) -> None:
        self._rows = [
            StoredBlock(
                height, bytes(32), 0, height, b"block %d" % height, b"final %d" % height, (b"header",)
            )
            for height in range(first, last + 1)
        ]

    async def page(self, from_height: int) -> list[StoredBlock]:
        return [row for row in self._rows if from_height <= row.height < from_height + PAGE]

    async def at(self, height: int) -> StoredBlock | None:
        return next((row for row in self._rows if row.height == height), None)

    async def oldest_height(self) -> int:
        return self._rows[0].height if self._rows else 0


async def test_blocks_come_in_pages_and_none_above_the_newest() -> None:
    store = Stored(1, 5)
    assert await list_final_blocks(1, store) == [b"block 1", b"block 2", b"block 3"]
    assert await list_final_blocks(4, store) == [b"block 4", b"block 5"]
    assert await list_final_blocks(6, store) == []
    assert await list_final_blocks(1, Stored(1, 0)) == []


@pytest.mark.parametrize("from_height", [1, 8, 9])
async def test_below_a_snapshot_the_first_that_is_here_is_named(from_height: int) -> None:
    with pytest.raises(HistoryMissing) as refusal:
        await list_final_blocks(from_height, Stored(10, 12))
    assert refusal.value.metadata == {"from_height": 10}


@pytest.mark.parametrize("from_height", [0, 2**63])
async def test_no_height_of_a_block_is_refused(from_height: int) -> None:
    with pytest.raises(InvalidArgument, match="no height"):
        await list_final_blocks(from_height, Stored(1, 2))


async def test_finality_is_that_of_the_block() -> None:
    found = await get_finality(2, Stored(1, 3))
    assert (found.finalization, found.descendant_headers) == (b"final 2", (b"header",))
    for height in (0, 4, 2**64 - 1):
        with pytest.raises(NotFound):
            await get_finality(height, Stored(1, 3))
