"""Contract messages as values; `contract_parsing` makes them.

Source: protos/icn/ledger/v1/transaction.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from icn_machine.contract_limits import ENTRIES_ADDED_MAX, store_fuel_limit

if TYPE_CHECKING:
    from icn_machine.messages import Transfer


class StoreCode(NamedTuple):
    """Stores the code of contracts."""

    code: bytes
    code_hash: bytes
    """SHA-256 of the code."""


class ContractAccount(NamedTuple):
    """An account to be opened for a contract."""

    account: bytes
    unit: bytes


class ContractCall(NamedTuple):
    """What is asked of a contract."""

    message: bytes
    fuel_limit: int
    funds: tuple[Transfer, ...]
    """No two have one destination."""
    declared: tuple[bytes, ...]
    """Accounts, ascending."""


class InstantiateContract(NamedTuple):
    """Makes a contract."""

    contract: bytes
    code: bytes
    """SHA-256."""
    accounts: tuple[ContractAccount, ...]
    call: ContractCall


class ExecuteContract(NamedTuple):
    """Calls a contract."""

    contract: bytes
    call: ContractCall


ContractMessage = StoreCode | InstantiateContract | ExecuteContract

CONTRACT_KINDS: frozenset[type] = frozenset({StoreCode, InstantiateContract, ExecuteContract})
"""Kinds that are alone in their transaction and run after all native ones of a block."""


def fuel_limit(message: ContractMessage) -> int:
    """What inclusion charges."""
    if isinstance(message, StoreCode):
        return store_fuel_limit(len(message.code))
    return message.call.fuel_limit


def leaves_made_max(message: ContractMessage) -> int:
    """Leaves that it may create in any state."""
    match message:
        case StoreCode():
            return 1
        case InstantiateContract():
            return 1 + len(message.accounts) + ENTRIES_ADDED_MAX
        case ExecuteContract():
            return ENTRIES_ADDED_MAX
