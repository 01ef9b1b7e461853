"""Calls of contracts: funds to the right account, declared accounts in order and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from icn_client.contract_calls import CallInvalid, Funds, call_of, declared_call, new_contract

UNIT, OTHER, FUND = b"u" * 16, b"o" * 16, b"f" * 16
SOURCE, OWN, BEN = b"s" * 16, b"c" * 16, b"b" * 16


class Connection:
    """A contract with one account, and a caller with two."""

    async def accounts(self, owner: bytes) -> AsyncIterator[Any]:
        assert owner == FUND
        yield SimpleNamespace(leaf=SimpleNamespace(unit=UNIT, account=OWN))

    async def account(self, account: bytes) -> Any:
        return SimpleNamespace(leaf=SimpleNamespace(unit=UNIT if account == SOURCE else OTHER))


async def test_a_call_declares_the_contracts_own_accounts_and_pays_into_the_one_of_the_unit() -> None:
    connection: Any = Connection()
    message = await call_of(connection, FUND, b"{}", funds=Funds(SOURCE, 5), declared=[BEN])
    call = message.execute_contract.call
    (transfer,) = call.funds
    assert (transfer.source, transfer.destination, transfer.amount_minor) == (SOURCE, OWN, 5)
    assert [(leaf.namespace, leaf.identifier) for leaf in call.declared] == [(3, BEN), (3, OWN)]


async def test_funds_in_a_unit_that_the_contract_does_not_keep_are_said_before_signing() -> None:
    connection: Any = Connection()
    with pytest.raises(CallInvalid, match="no account in the unit"):
        await call_of(connection, FUND, b"{}", funds=Funds(BEN, 5))


def test_declared_accounts_are_each_once_and_at_most_sixteen() -> None:
    accounts = [bytes([number]) * 16 for number in range(16)]
    assert len(declared_call(b"{}", 1, [], [*accounts, *accounts]).declared) == 16
    with pytest.raises(CallInvalid, match="17 accounts"):
        declared_call(b"{}", 1, [], [*accounts, b"x" * 16])


def test_a_new_contract_has_an_account_in_each_unit() -> None:
    made = new_contract(bytes(32), b"{}", units=[UNIT, OTHER])
    sent = made.message.instantiate_contract
    assert sent.contract == made.contract
    assert {account.unit: account.account for account in sent.accounts} == made.accounts
    assert len(set(made.accounts.values())) == 2
