"""What is said of a past balance, whatever of the history is here."""

from __future__ import annotations

from typing import Any, cast

import pytest
from icn.ledger.v1 import service_pb2, state_pb2
from icn_kit.errors import NotFound
from icn_ledger.usecases.reads import BalanceRow, PastBalance, Reader, get_balance
from icn_machine.blocks.ports import HistoryMissing, StateBehind

ACCOUNT = bytes(16)
LEAF = state_pb2.AccountLeaf(balance_minor=7, entries=6).SerializeToString()


def entry(amount_minor: int, balance_minor: int, number: int = 1) -> service_pb2.Entry:
    posting = state_pb2.Posting(amount_minor=amount_minor, balance_minor=balance_minor)
    return service_pb2.Entry(posting=posting, number=number)


async def past_balance(**changes: Any) -> PastBalance:
    row = BalanceRow(LEAF, 5, None, None, 9, 9_000, 0)._replace(**changes)

    class Rows:
        async def balance(self, account: bytes, height: int | None, time_ms: int) -> BalanceRow:
            return row

    found = await get_balance(ACCOUNT, 5, 0, cast(Reader, Rows()))
    assert found.row == row
    return found


async def balance(**changes: Any) -> int:
    return (await past_balance(**changes)).balance_minor


async def test_how_many_entries_there_were_is_told_although_none_of_them_is_here() -> None:
    async def entries(**changes: Any) -> int:
        return (await past_balance(**changes)).entries

    assert await entries(before=entry(3, 11, 4), after=entry(-4, 7, 5)) == 4
    assert await entries(after=entry(7, 7)) == 0
    assert await entries(after=entry(-4, 7, 5), snapshot_height=5) == 4
    assert await entries(after=entry(-4, 7, 0), snapshot_height=5) == 0, "from before they were numbered"
    assert await entries(snapshot_height=5) == 6


async def test_it_is_that_after_the_newest_entry_until_then() -> None:
    assert await balance(before=entry(3, 11), after=entry(-4, 7)) == 11
    assert await balance(before=entry(3, 11), snapshot_height=3) == 11


async def test_before_the_first_entry_of_a_whole_history_it_is_nothing() -> None:
    assert await balance(after=entry(7, 7)) == 0


async def test_above_a_snapshot_the_next_entry_says_what_was_before_it_and_without_one_nothing_changed() -> (
    None
):
    for snapshot_height in (4, 5):
        assert await balance(after=entry(-4, 7), snapshot_height=snapshot_height) == 11
        assert await balance(snapshot_height=snapshot_height) == 7


async def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(HistoryMissing):
        await balance(after=entry(-4, 7), snapshot_height=6)
    with pytest.raises(StateBehind):
        await balance(height=10)
    assert await balance(height=9) == 0
    with pytest.raises(NotFound):
        await balance(leaf=None)
