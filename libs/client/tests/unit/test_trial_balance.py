"""The trial balance of a past moment, from what a ledger shows now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1.service_pb2 import GetStatusResponse
from icn.ledger.v1.service_pb2 import Account, Entry, GetBalanceResponse
from icn.ledger.v1.state_pb2 import AccountLeaf
from icn_client.trial_balance import trial_balance
from icn_kit.errors import DomainError

UNIT, OTHER_UNIT = b"u" * 16, b"v" * 16
ONE, TWO, UNUSED, LATE, ELSEWHERE = (bytes([number]) * 16 for number in range(1, 6))
END_MS = 2_000
ENTRIES = {
    ONE: [(1_000, -5), (1_999, -7), (2_000, -9), (2_500, 0)],
    TWO: [(1_999, 7)],
    LATE: [(2_000, 9)],
    ELSEWHERE: [(1_000, 3)],
}
"""Time of the block and balance after it, oldest first."""


class Ledger:
    """Four validators, of which one has gone past the end of the period."""

    def __init__(self, newest_ms: int = END_MS, height: int = 9) -> None:
        self.network = SimpleNamespace(validators=["a", "b", "c", "d"])
        self.preferred: list[str] = []
        self._newest_ms, self._height = newest_ms, height

    async def statuses(self) -> list[GetStatusResponse | None]:
        behind = GetStatusResponse(block_time_ms=END_MS - 1, executed_height=8)
        ahead = GetStatusResponse(block_time_ms=self._newest_ms, executed_height=9)
        return [None, behind, ahead, behind]

    def prefer(self, address: str) -> None:
        self.preferred.append(address)

    async def accounts(self) -> AsyncIterator[Account]:
        for account in (*ENTRIES, UNUSED):
            unit = OTHER_UNIT if account == ELSEWHERE else UNIT
            leaf = AccountLeaf(account=account, unit=unit, entries=len(ENTRIES.get(account, ())))
            yield Account(leaf=leaf, height=self._height)

    async def balance(self, account: bytes, *, time_ms: int) -> GetBalanceResponse:
        until = [balance for at_ms, balance in ENTRIES[account] if at_ms <= time_ms]
        if not until:
            return GetBalanceResponse(entries=0)
        entry = Entry(number=len(until))
        return GetBalanceResponse(balance_minor=until[-1], entry=entry, entries=len(until))


class Restored(Ledger):
    """Began with a snapshot, so that it has none of the entries before the end any more."""

    entries: int | None = 1
    """That it says of each account; None: it is of an older release."""

    async def balance(self, account: bytes, *, time_ms: int) -> GetBalanceResponse:
        found = await super().balance(account, time_ms=time_ms)
        had = self.entries if found.entries else 0
        return GetBalanceResponse(
            balance_minor=found.balance_minor, entries=None if self.entries is None else had
        )


def balances_of(ledger: Any) -> dict[bytes, int]:
    return asyncio.run(trial_balance(ledger, UNIT, END_MS))


def test_balances_are_those_before_the_end_of_accounts_that_had_entries_by_then() -> None:
    ledger = Ledger()
    assert balances_of(ledger) == {ONE: -7, TWO: 7}
    assert ledger.preferred == ["c"], "one that has executed a block past the end"


def test_a_ledger_that_began_with_a_snapshot_tells_of_accounts_whose_entries_it_does_not_have() -> None:
    assert balances_of(Restored()) == {ONE: -7, TWO: 7}


def test_of_a_ledger_that_does_not_say_whether_there_were_entries_no_balances_are_made() -> None:
    ledger = Restored()
    ledger.entries = None
    with pytest.raises(DomainError) as refusal:
        balances_of(ledger)
    assert refusal.value.reason == "HISTORY_MISSING"


def test_balances_that_do_not_add_up_to_0_are_refused_with_their_sum() -> None:
    class Wrong(Ledger):
        async def balance(self, account: bytes, *, time_ms: int) -> GetBalanceResponse:
            found = await super().balance(account, time_ms=time_ms)
            found.balance_minor += account == TWO
            return found

    with pytest.raises(DomainError) as refusal:
        balances_of(Wrong())
    assert (refusal.value.reason, refusal.value.metadata) == ("BALANCES_UNBALANCED", {"sum_minor": 1})


def test_a_period_that_is_not_over_is_refused_with_both_times() -> None:
    with pytest.raises(DomainError) as refusal:
        balances_of(Ledger(newest_ms=END_MS - 1))
    assert refusal.value.reason == "PERIOD_NOT_OVER"
    assert refusal.value.metadata == {"end_time_ms": END_MS, "block_time_ms": END_MS - 1}


def test_a_ledger_that_answers_as_of_an_earlier_height_is_not_believed() -> None:
    with pytest.raises(DomainError) as refusal:
        balances_of(Ledger(height=8))
    assert refusal.value.reason == "LEDGER_BEHIND"
