"""Contracts that were called lately, and one of them."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import ROWS, ROWS_BESIDE, identifier, page, parts
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.usecases.read_accounts import list_accounts

CALLED = "icn.ledger.v1.contract_called"
CALLS_LOOKED_AT = 500


def _calls(context: Context, contract: str = "") -> list[dict[str, Any]]:
    """Calls among the newest events, newest first."""
    found = [
        msgspec.json.decode(event.document)["payload"]
        for event in context.feed.recent(CALLED.__eq__, CALLS_LOOKED_AT)
    ]
    return [call for call in found if not contract or call["contract"] == contract]


@get("/contracts", include_in_schema=False)
async def show_contracts(
    request: AnyRequest, context: NamedDependency[Context], website: NamedDependency[Website]
) -> Response[str]:
    """What was called lately, each contract once."""
    seen: dict[str, dict[str, Any]] = {}
    for call in _calls(context):
        known = seen.setdefault(call["contract"], {**call, "calls": 0})
        known["calls"] += 1
    return await page(
        "contracts.html", "contracts", request, context, website, contracts=list(seen.values())[:ROWS]
    )


@get("/contracts/{contract_id:str}", include_in_schema=False)
async def show_contract(
    contract_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
) -> Response[str]:
    """A contract with its accounts and newest calls."""
    name = f"contracts/{identifier(contract_id)}"
    answer = await context.shared.ask("ledger", "GetContract", name=name)
    read = await parts(accounts=list_accounts(contract_id, ROWS_BESIDE, "", context.ledger, context.units))
    return await page(
        "contract.html",
        "contracts",
        request,
        context,
        website,
        contract=answer["contract"],
        height=answer["height"],
        contract_id=contract_id,
        calls=_calls(context, contract_id)[:ROWS],
        **read,
    )
