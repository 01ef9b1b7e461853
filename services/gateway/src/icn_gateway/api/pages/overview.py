"""The front page: what happens now."""

from __future__ import annotations

import asyncio
from time import time
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from icn_gateway.api import translate
from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import ROWS_BESIDE, Part, part, parts, units_of
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.api.sessions import token_of
from icn_gateway.usecases.get_overview import get_overview
from icn_gateway.usecases.happenings import happenings

TRADES_READ = 24
"""Two entries each."""
MARKED = frozenset({"fee", "demurrage", "write_off", "opening"})
"""Kinds of postings that are nobody's trade (docs/spec/ledger.md, "Postings")."""


@get("/", include_in_schema=False)
async def show_overview(
    request: AnyRequest, context: NamedDependency[Context], website: NamedDependency[Website]
) -> Response[str]:
    """The federation at a glance: alive, and what is going on."""
    overview, beside, bookings = await asyncio.gather(
        get_overview(context.ledger, context.validators),
        parts(
            trades=context.shared.ask("ledger", "ListEntries", page_size=TRADES_READ),
            offers=context.shared.ask("marketplace", "ListOffers", page_size=ROWS_BESIDE),
            proposals=context.shared.ask("governance", "ListProposals", page_size=ROWS_BESIDE),
            organizations=context.shared.ask("governance", "ListOrganizations", page_size=500),
        ),
        part(next_bookings(context)),
    )
    told = happenings(context.feed)
    trades = _trades(beside["trades"])
    moved = [happening.payload for happening in told if happening.kind == "transfer_committed"]
    accounts = await accounts_of(
        context,
        {row["posting"][side] for row in trades for side in ("account", "counter_account")}
        | {payload[side] for payload in moved for side in ("source", "destination")},
    )
    units = await units_of(
        context,
        Part([{"unit": happening.payload.get("unit")} for happening in told]),
        Part(beside["offers"].value and beside["offers"].value["offers"]),
        Part(list(accounts.values())),
    )
    return website.render(
        "overview.html",
        status=503 if overview.fault else 200,
        zone=translate.validator_list(context.genesis, await context.seats.read(), overview.validators),
        here="now",
        names=await context.book.names(),
        is_signed_in=bool(token_of(request)),
        final_height=overview.final_height,
        reachable=overview.reachable,
        blocks=[translate.block_summary(block) for block in overview.blocks],
        is_ledger_readable=overview.fault is None,
        told=told,
        trades=trades,
        accounts=accounts,
        units=units,
        offers=beside["offers"],
        proposals=beside["proposals"],
        organizations=beside["organizations"],
        bookings=bookings,
    )


def _trades(entries: Part) -> list[dict[str, Any]]:
    """Each transfer once, from the side that receives; none that a unit's rules or its authority made."""
    rows = entries.value["entries"] if entries.value else []
    return [
        row
        for row in rows
        if int(row["posting"]["amount_minor"]) > 0 and row["posting"]["kind"] not in MARKED
    ][:ROWS_BESIDE]


async def accounts_of(context: Context, identifiers: set[str]) -> dict[str, dict[str, Any]]:
    """Owner and unit of each account that took part, by its id."""
    wanted = sorted(identifiers)
    found = await asyncio.gather(
        *(part(context.shared.ask("ledger", "GetAccount", name=f"accounts/{name}")) for name in wanted)
    )
    return {
        name: answer.value["account"]["leaf"]
        for name, answer in zip(wanted, found, strict=True)
        if answer.value and answer.value["account"]
    }


async def next_bookings(context: Context) -> list[dict[str, Any]]:
    """The next bookings, whatever is booked, with its title."""
    listed = await context.shared.ask(
        "marketplace", "ListBookings", from_time_ms=int(time()) // 60 * 60_000, page_size=ROWS_BESIDE
    )
    wanted = sorted({booking["resource"] for booking in listed["bookings"]})
    resources = await asyncio.gather(
        *(part(context.shared.ask("marketplace", "GetResource", name=name)) for name in wanted)
    )
    titles = {
        name: found.value["resource"]["title"]
        for name, found in zip(wanted, resources, strict=True)
        if found.value and found.value["resource"]
    }
    return [{**booking, "title": titles.get(booking["resource"], "")} for booking in listed["bookings"]]
