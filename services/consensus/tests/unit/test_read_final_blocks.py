"""Final blocks for archives: pages, what is missing, and what shows that a block is final."""

from __future__ import annotations

import pytest
from icn_consensus.usecases.ports import StoredBlock
from icn_consensus.usecases.read_final_blocks import (
    HistoryMissing,
    get_finality,
    list_final_blocks,
    read_chain,
)
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

    async def lowest_height(self, from_height: int) -> int:
        return next((row.height for row in self._rows if row.height >= from_height), 0)

    def lose(self, height: int) -> None:
        self._rows = [row for row in self._rows if row.height != height]


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


async def test_a_chain_is_read_page_by_page_from_the_height_asked_for_to_the_newest() -> None:
    for first in (1, 4, 7):
        assert [row.height async for row in read_chain(first, Stored(1, 7))] == list(range(first, 8))
    assert [row async for row in read_chain(8, Stored(1, 7))] == []
    assert [row async for row in read_chain(1, Stored(1, 0))] == []


@pytest.mark.parametrize(("lost", "whole"), [(1, 0), (3, 2), (4, 3)])
async def test_a_chain_that_lacks_a_block_is_read_up_to_it_and_the_missing_heights_are_named(
    lost: int, whole: int
) -> None:
    store, heights = Stored(1, 7), []
    store.lose(lost)
    with pytest.raises(HistoryMissing, match=f"blocks {lost} to {lost} are not here") as refusal:
        async for row in read_chain(1, store):
            heights.append(row.height)
    assert heights == list(range(1, whole + 1))
    assert refusal.value.metadata == {"from_height": lost + 1}


async def test_the_heights_below_a_snapshot_are_named() -> None:
    with pytest.raises(HistoryMissing, match="blocks 3 to 9 are not here, but those from 10 on"):
        await anext(read_chain(3, Stored(10, 12)))
