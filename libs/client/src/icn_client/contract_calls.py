"""Calls of contracts on the chain: funds, what is declared, and the accounts of a contract.

Source: docs/spec/vm.md, "In a block".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from icn.ledger.v1.transaction_pb2 import ContractAccount, ContractCall, LeafName, Message, Transfer

from icn_client import transactions

if TYPE_CHECKING:
    from icn_client.connection import Connection

ACCOUNT_NAMESPACE: Final = 3
DECLARED_MAX: Final = 16
FUEL_DEFAULT: Final = 20_000_000
"""Ten times what a call of the mutual-aid fund uses."""


class CallInvalid(ValueError):
    """What was asked for is no call of this contract."""


@dataclass(frozen=True, slots=True)
class Funds:
    """What comes along with a call."""

    source: bytes
    """Account of the caller."""
    amount_minor: int


@dataclass(frozen=True, slots=True)
class NewContract:
    """A contract to be made."""

    contract: bytes
    accounts: dict[bytes, bytes]
    """Account by unit."""
    message: Message


def code_id(code: bytes) -> bytes:
    """How stored code is named: its SHA-256."""
    return sha256(code).digest()


def new_contract(
    code: bytes, message: bytes, *, units: Iterable[bytes] = (), fuel_limit: int = FUEL_DEFAULT
) -> NewContract:
    """A contract of stored code (`code_id`), with an account in each unit."""
    contract = transactions.new_identifier()
    accounts = {unit: transactions.new_identifier() for unit in units}
    return NewContract(
        contract,
        accounts,
        transactions.instantiate_contract(
            contract,
            code,
            transactions.contract_call(message, fuel_limit),
            [ContractAccount(account=account, unit=unit) for unit, account in accounts.items()],
        ),
    )


async def accounts_of(connection: Connection, contract: bytes) -> dict[bytes, bytes]:
    """Accounts of a contract by unit. Raises DomainError."""
    return {account.leaf.unit: account.leaf.account async for account in connection.accounts(contract)}


async def call_of(
    connection: Connection,
    contract: bytes,
    message: bytes,
    *,
    funds: Funds | None = None,
    declared: Iterable[bytes] = (),
    fuel_limit: int = FUEL_DEFAULT,
) -> Message:
    """A call that declares the contract's own accounts and those named, and brings funds along.

    Args:
        connection: where the contract's accounts are looked up.
        contract: its id.
        message: JSON that it reads.
        funds: paid to the contract's account in the unit of their source.
        declared: accounts that the contract may see and pay to.
        fuel_limit: where it is stopped, and what is charged.

    Raises:
        DomainError: nobody answers, or the account that pays is not known.
        CallInvalid: the contract has no account in the unit, or too many accounts are declared.
    """
    own = await accounts_of(connection, contract)
    transfers = []
    if funds is not None:
        unit = (await connection.account(funds.source)).leaf.unit
        if unit not in own:
            raise CallInvalid(f"the contract has no account in the unit {unit.hex()}")
        transfers.append(
            Transfer(source=funds.source, destination=own[unit], amount_minor=funds.amount_minor)
        )
    return transactions.execute_contract(
        contract, declared_call(message, fuel_limit, transfers, {*own.values(), *declared})
    )


def declared_call(
    message: bytes, fuel_limit: int, funds: Iterable[Transfer], accounts: Iterable[bytes]
) -> ContractCall:
    """A call with its declared accounts in order. Raises CallInvalid."""
    ordered = sorted(set(accounts))
    if len(ordered) > DECLARED_MAX:
        raise CallInvalid(f"{len(ordered)} accounts are declared, at most {DECLARED_MAX}")
    return transactions.contract_call(
        message,
        fuel_limit,
        funds=funds,
        declared=[LeafName(namespace=ACCOUNT_NAMESPACE, identifier=account) for account in ordered],
    )
