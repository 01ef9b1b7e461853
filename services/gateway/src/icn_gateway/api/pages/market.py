"""Offers, agreements, resources and their calendar."""

from __future__ import annotations

import asyncio
from time import time
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import (
    ROWS,
    ROWS_BESIDE,
    PageToken,
    Part,
    identifier,
    page,
    part,
    parts,
    units_of,
)
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.domain.calendar import DAY_MS, WEEK_DAYS, calendar_days

WEEKS_MAX = 52
CALENDAR_ROWS = 200
"""Of one week of one resource: half an hour each, and more than anybody reads on a phone."""


@get("/market", include_in_schema=False)
async def show_market(
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """Open offers and the newest agreements."""
    read = await parts(
        offers=context.shared.ask("marketplace", "ListOffers", page_size=ROWS, page_token=page_token),
        agreements=context.shared.ask("marketplace", "ListAgreements", page_size=ROWS_BESIDE * 2),
    )
    units = await units_of(
        context, *(Part(found.value and found.value[name]) for name, found in read.items())
    )
    return await page(
        "market.html",
        "market",
        request,
        context,
        website,
        **read,
        units=units,
        is_first_page=not page_token,
    )


@get("/offers/{offer_id:str}", include_in_schema=False)
async def show_offer(
    offer_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
) -> Response[str]:
    """An offer with its photos."""
    name = f"offers/{identifier(offer_id)}"
    offer = (await context.shared.ask("marketplace", "GetOffer", name=name))["offer"]
    units = await units_of(context, Part([offer]))
    return await page("offer.html", "market", request, context, website, offer=offer, units=units)


@get("/agreements/{agreement_id:str}", include_in_schema=False)
async def show_agreement(
    agreement_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
) -> Response[str]:
    """An agreement and how its two commitments stand."""
    name = f"agreements/{identifier(agreement_id)}"
    agreement = (await context.shared.ask("marketplace", "GetAgreement", name=name))["agreement"]
    units = await units_of(context, Part([agreement]))
    return await page("agreement.html", "market", request, context, website, agreement=agreement, units=units)


@get("/bookings", include_in_schema=False)
async def show_resources(
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """What is shared, with the next bookings of each."""
    listed = await part(
        context.shared.ask("marketplace", "ListResources", page_size=ROWS_BESIDE * 2, page_token=page_token)
    )
    resources = listed.value["resources"] if listed.value else []
    now_ms = int(time()) // 60 * 60_000
    next_of = await asyncio.gather(
        *(
            part(
                context.shared.ask(
                    "marketplace",
                    "ListBookings",
                    resource=resource["name"],
                    from_time_ms=now_ms,
                    page_size=4,
                )
            )
            for resource in resources
        )
    )
    return await page(
        "bookings.html",
        "bookings",
        request,
        context,
        website,
        listed=listed,
        resources=list(zip(resources, next_of, strict=True)),
        is_first_page=not page_token,
    )


@get("/resources/{resource_id:str}", include_in_schema=False)
async def show_resource(
    resource_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    week: Annotated[int, QueryParameter(name="week", ge=-WEEKS_MAX, le=WEEKS_MAX)] = 0,
) -> Response[str]:
    """A resource and one week of its calendar, in its own time zone."""
    name = f"resources/{identifier(resource_id)}"
    resource = (await context.shared.ask("marketplace", "GetResource", name=name))["resource"] or {}
    rules: Any = resource.get("rules") or {"utc_offset_minutes": 0}
    start_ms = _midnight(rules["utc_offset_minutes"]) + week * WEEK_DAYS * DAY_MS
    bookings = await part(
        context.shared.ask(
            "marketplace",
            "ListBookings",
            resource=name,
            from_time_ms=max(0, start_ms),
            until_time_ms=start_ms + WEEK_DAYS * DAY_MS,
            page_size=CALENDAR_ROWS,
        )
    )
    days = calendar_days(
        bookings.value["bookings"] if bookings.value else [], start_ms, rules["utc_offset_minutes"]
    )
    return await page(
        "resource.html",
        "bookings",
        request,
        context,
        website,
        resource=resource,
        resource_id=resource_id,
        bookings=bookings,
        days=days,
        week=week,
        weeks_max=WEEKS_MAX,
    )


def _midnight(offset_minutes: int) -> int:
    """The beginning of today where the clock is that far from UTC, unix milliseconds."""
    local_ms = int(time() * 1_000) + offset_minutes * 60_000
    return local_ms // DAY_MS * DAY_MS - offset_minutes * 60_000
