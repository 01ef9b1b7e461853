"""What is one's own, for who has signed in; and signing in and out with a browser."""

from __future__ import annotations

from time import time
from typing import Annotated, Any
from urllib.parse import parse_qs

from icn_kit.errors import DomainError, ErrorKind
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from icn_gateway.api.bodies import media_type, read_body
from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import ROWS, ROWS_BESIDE, Part, page, parts, units_of
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest, HttpProblem
from icn_gateway.api.sessions import (
    COOKIE,
    COOKIE_SECURE,
    limit_sign_in,
    require_same_origin,
    require_session,
    token_of,
)
from icn_gateway.domain.sign_in import SESSION_MS
from icn_gateway.usecases.read_accounts import list_accounts

FORM = "application/x-www-form-urlencoded"
FORM_BYTES_MAX = 1_024
CODE_CHARACTERS_MAX = 48

Code = Annotated[str, QueryParameter(name="code", pattern="^[0-9A-Za-z -]*$", max_length=CODE_CHARACTERS_MAX)]


@get("/me", include_in_schema=False)
async def show_me(
    request: AnyRequest, context: NamedDependency[Context], website: NamedDependency[Website]
) -> Response[Any]:
    """My balances, bookings, agreements, and the ballots I may cast."""
    try:
        session = await require_session(request, context)
    except DomainError as error:
        if error.kind is ErrorKind.UNAUTHENTICATED:
            return Redirect("/sign-in", status_code=303)
        raise
    me = session.principal.hex()
    name = f"principals/{me}"
    now_ms = int(time()) // 60 * 60_000
    read = await parts(
        accounts=list_accounts(me, ROWS, "", context.ledger, context.units),
        bookings=context.shared.ask(
            "marketplace", "ListBookings", booker=name, from_time_ms=now_ms, page_size=20
        ),
        agreements=context.shared.ask("marketplace", "ListAgreements", party=name, page_size=20),
        offers=context.shared.ask("marketplace", "ListOffers", provider=name, page_size=ROWS_BESIDE),
        memberships=context.shared.ask("governance", "ListMembers", member=name, page_size=ROWS),
        polls=_open_polls(context, name),
    )
    units = await units_of(
        context,
        *(Part(read[part].value and read[part].value[part]) for part in ("agreements", "offers")),
    )
    return await page(
        "me.html",
        "me",
        request,
        context,
        website,
        **read,
        units=units,
        me=me,
        session_ends_ms=session.expire_time_ms,
    )


async def _open_polls(context: Context, member: str) -> list[dict[str, Any]]:
    """Open proposals whose electorate this member belongs to, directly or through a member organization."""
    memberships = await context.shared.ask("ledger", "ListMemberships", member=member, page_size=ROWS)
    active = {row["organization"] for row in memberships["memberships"] if row["status"] == "active"}
    through: set[str] = set()
    for organization in sorted(active)[:ROWS_BESIDE]:
        above = await context.shared.ask(
            "ledger", "ListMemberships", member=f"principals/{organization}", page_size=ROWS
        )
        through |= {row["organization"] for row in above["memberships"] if row["status"] == "active"}
    listed = await context.shared.ask("governance", "ListProposals", state=_OPEN, page_size=200)
    found = []
    for proposal in listed["proposals"]:
        organization = proposal["organization"].rpartition("/")[2]
        if organization in (through if proposal["electorate"] == "members_of_members" else active):
            found.append(proposal)
    return found


_OPEN = 3
"""PROPOSAL_STATE_OPEN."""


@get("/sign-in", include_in_schema=False)
async def show_sign_in(
    request: AnyRequest, context: NamedDependency[Context], website: NamedDependency[Website], code: Code = ""
) -> Response[str]:
    """A form for the code. Opening the link uses nothing up: a person presses the button."""
    return await page("sign_in.html", "me", request, context, website, code=code)


@post("/sign-in", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
async def sign_in(request: AnyRequest, context: NamedDependency[Context]) -> Response[Any]:
    """Exchange the code for a session, kept as a cookie that no script reads."""
    require_same_origin(request, context)
    limit_sign_in(request, context)
    if media_type(request) != FORM:
        raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {FORM}")
    try:
        fields = parse_qs((await read_body(request)).decode("ascii"), max_num_fields=4)
    except ValueError:
        raise HttpProblem(400, "INVALID_ARGUMENT", "the form cannot be read") from None
    granted = await context.sign_in.use_code(fields.get("code", [""])[0])
    answer: Response[Any] = Redirect("/me", status_code=303)
    _set_cookie(answer, context, granted.token, SESSION_MS // 1_000)
    return answer


@post("/sign-out", include_in_schema=False, request_max_body_size=FORM_BYTES_MAX)
async def sign_out(request: AnyRequest, context: NamedDependency[Context]) -> Response[Any]:
    """End the session of this browser."""
    require_same_origin(request, context)
    token = token_of(request)
    if token:
        await context.sign_in.end(token)
    answer: Response[Any] = Redirect("/", status_code=303)
    _set_cookie(answer, context, "", 0)
    return answer


def _set_cookie(answer: Response[Any], context: Context, token: str, seconds: int) -> None:
    is_secure = context.sign_in.origins[0].startswith("https:")
    answer.set_cookie(
        COOKIE_SECURE if is_secure else COOKIE,
        token,
        max_age=seconds,
        path="/",
        httponly=True,
        secure=is_secure,
        samesite="strict",
    )
