"""Accounts, entries and holds together with the unit that their amounts are in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icn.ledger.v1.service_pb2 import Account, Credit, Entry
from icn.ledger.v1.state_pb2 import HoldLeaf, UnitLeaf

from icn_gateway.usecases.ports import LedgerReader
from icn_gateway.usecases.units import UnitCatalog


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Accounts with the units they are kept in."""

    accounts: Sequence[Account]
    units: Mapping[bytes, UnitLeaf]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries of one account, newest first."""

    entries: Sequence[Entry]
    unit: UnitLeaf
    next_page_token: str


async def get_account(
    account: str, ledger: LedgerReader, units: UnitCatalog
) -> tuple[Account, UnitLeaf, Credit]:
    """The account with this hex id, its unit, and how far its owner may go."""
    response = await ledger.get_account(f"accounts/{account}")
    return response.account, await units.get(response.account.leaf.unit), response.credit


async def list_accounts(
    owner: str, page_size: int, page_token: str, ledger: LedgerReader, units: UnitCatalog
) -> AccountPage:
    """Accounts of the principal with this hex id, or all when it is empty."""
    name = f"principals/{owner}" if owner else ""
    response = await ledger.list_accounts(name, page_size, page_token)
    found = await units.get_many(account.leaf.unit for account in response.accounts)
    return AccountPage(response.accounts, found, response.next_page_token)


async def list_entries(
    account: str, page_size: int, page_token: str, ledger: LedgerReader, units: UnitCatalog
) -> EntryPage:
    """Entries of the account with this hex id. An account without entries and one that is unknown differ."""
    (_, unit, _), response = await asyncio.gather(
        get_account(account, ledger, units),
        ledger.list_entries(f"accounts/{account}", page_size, page_token),
    )
    return EntryPage(response.entries, unit, response.next_page_token)


async def get_hold(hold: str, ledger: LedgerReader, units: UnitCatalog) -> tuple[HoldLeaf, UnitLeaf]:
    """The open hold with this hex id, and the unit of its amount."""
    response = await ledger.get_hold(f"holds/{hold}")
    _, unit, _ = await get_account(response.hold.source.hex(), ledger, units)
    return response.hold, unit
