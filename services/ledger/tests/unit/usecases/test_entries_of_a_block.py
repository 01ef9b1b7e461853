"""Entries of one block are the same on whole histories and on those that began with a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from icn.ledger.v1 import service_pb2
from icn_kit.errors import NotFound
from icn_ledger.usecases.reads import LeafAt, Reader, list_entries
from icn_machine.blocks.ports import HistoryMissing

ACCOUNT = bytes(16)
HEIGHT = 41


class Rows:
    """Entries of an account, newest first, above a snapshot."""

    def __init__(self, heights: Sequence[int], snapshot_height: int, *, is_known: bool = True) -> None:
        self._entries = [
            service_pb2.Entry(height=height, index=index) for index, height in enumerate(heights)
        ]
        self._snapshot_height = snapshot_height
        self._is_known = is_known

    async def entries(self, _account: bytes, _before: Any, count: int) -> list[service_pb2.Entry]:
        return self._entries[:count]

    async def snapshot_height(self) -> int:
        return self._snapshot_height

    async def leaf(self, _namespace: Any, _identifier: bytes) -> LeafAt | None:
        return LeafAt(b"leaf", HEIGHT) if self._is_known else None


async def listed(rows: Rows, count: int) -> tuple[list[int], bool]:
    found, has_more = await list_entries(ACCOUNT, (HEIGHT + 1, 0), count, cast(Reader, rows), HEIGHT)
    return [entry.height for entry in found], has_more


@pytest.mark.parametrize("snapshot_height", [0, 40])
async def test_a_page_goes_on_only_where_more_are_of_the_block(snapshot_height: int) -> None:
    assert await listed(Rows([HEIGHT], snapshot_height), 500) == ([HEIGHT], False)
    assert await listed(Rows([HEIGHT, HEIGHT], snapshot_height), 1) == ([HEIGHT], True)
    assert await listed(Rows([HEIGHT, 3], snapshot_height), 1) == ([HEIGHT], False)
    assert await listed(Rows([3], snapshot_height), 1) == ([], False)
    assert await listed(Rows([], snapshot_height), 1) == ([], False)


async def test_of_a_block_that_a_snapshot_stands_for_nothing_is_known() -> None:
    with pytest.raises(HistoryMissing):
        await listed(Rows([], HEIGHT), 1)


async def test_an_account_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        await listed(Rows([], 0, is_known=False), 1)
