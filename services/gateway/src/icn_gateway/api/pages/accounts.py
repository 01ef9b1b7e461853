"""Accounts and their entries."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import ROWS, PageToken, identifier, page
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.usecases.read_accounts import get_account, list_accounts, list_entries

UNITS_SHOWN = 50


@get("/accounts", include_in_schema=False)
async def show_accounts(
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """All accounts and units."""
    accounts, units = await asyncio.gather(
        list_accounts("", ROWS, page_token, context.ledger, context.units),
        context.ledger.list_units(UNITS_SHOWN, ""),
    )
    return await page(
        "accounts.html",
        "accounts",
        request,
        context,
        website,
        accounts=accounts,
        units=units.units,
        is_first_page=not page_token,
    )


@get("/accounts/{account_id:str}", include_in_schema=False)
async def show_account(
    account_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """An account with its entries."""
    identifier(account_id)
    account, unit, credit = await get_account(account_id, context.ledger, context.units)
    listed: Any = await list_entries(account_id, ROWS, page_token, context.ledger, context.units)
    return await page(
        "account.html",
        "accounts",
        request,
        context,
        website,
        account=account.leaf,
        credit=credit,
        height=account.height,
        unit=unit,
        entries=listed.entries,
        next_page_token=listed.next_page_token,
        is_first_page=not page_token,
    )
