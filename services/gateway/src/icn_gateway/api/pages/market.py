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
from icn_gateway.api.pages.website import Website, moment
from icn_gateway.api.problems import AnyRequest
from icn_gateway.domain.calendar import DAY_MS, WEEK_DAYS, calendar_days

WEEKS_MAX = 52
SPANS_SHOWN = 96
"""Of one day, in words; the drawing shows all. A quarter of an hour each."""
SLOT_MINUTES = 60
"""Of the example that a page gives, where the rules allow it."""
CALENDAR_ROWS = 200
"""Of one read: the most that the marketplace gives at once."""
CALENDAR_READS_MAX = 12
"""Of one week of one resource: bookings of five minutes fit, with all who may wait; what does not is said."""


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
    bookings = await part(_bookings_between(context, name, start_ms, start_ms + WEEK_DAYS * DAY_MS))
    rows, is_whole = bookings.value or ([], True)
    # Rows come by start: before the last one's, nothing is missing.
    read_until_ms = start_ms + WEEK_DAYS * DAY_MS if is_whole else rows[-1]["start_time_ms"]
    days = calendar_days(
        [row for row in rows if row["state"] == "booked"],
        start_ms,
        rules["utc_offset_minutes"],
        read_until_ms=read_until_ms,
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
        waiting=[row for row in rows if row["state"] == "waiting"],
        rows_read=len(rows),
        is_whole=is_whole,
        read_until_ms=read_until_ms,
        spans_shown=SPANS_SHOWN,
        example=await _free_slot(context, name, rules),
        week=week,
        weeks_max=WEEKS_MAX,
    )


async def _free_slot(context: Context, resource: str, rules: dict[str, Any]) -> tuple[str, str] | None:
    """From when to when one can book it from tomorrow on, as `icn book` reads it; None: not known."""
    found = await part(
        context.shared.ask(
            "marketplace",
            "FindFreeSlot",
            resource=resource,
            minutes=min(
                max(SLOT_MINUTES, rules.get("minutes_min", 0)), rules.get("minutes_max", SLOT_MINUTES)
            ),
            from_time_ms=_midnight(rules["utc_offset_minutes"]) + DAY_MS,
        )
    )
    slot = found.value and found.value["slot"]
    if not slot:
        return None
    start, end = (moment(slot[name])[:16].replace(" ", "T") for name in ("start_time_ms", "end_time_ms"))
    return f"{start}Z", f"{end}Z"


async def _bookings_between(
    context: Context, resource: str, start_ms: int, end_ms: int
) -> tuple[list[dict[str, Any]], bool]:
    """Bookings of a resource that touch [start, end), by start, and whether these are all."""
    rows: list[dict[str, Any]] = []
    token = ""
    for _ in range(CALENDAR_READS_MAX):
        answer = await context.shared.ask(
            "marketplace",
            "ListBookings",
            resource=resource,
            from_time_ms=max(0, start_ms),
            until_time_ms=end_ms,
            page_size=CALENDAR_ROWS,
            page_token=token,
        )
        rows += answer["bookings"]
        token = answer["next_page_token"]
        if not token:
            return rows, True
    return rows, False


def _midnight(offset_minutes: int) -> int:
    """The beginning of today where the clock is that far from UTC, unix milliseconds."""
    local_ms = int(time() * 1_000) + offset_minutes * 60_000
    return local_ms // DAY_MS * DAY_MS - offset_minutes * 60_000
