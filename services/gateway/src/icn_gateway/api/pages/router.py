"""Every route for people; their refusals are pages too."""

from __future__ import annotations

from http import HTTPStatus

from icn_kit.errors import DomainError
from icn_kit.trace import Trace, current_trace
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from icn_gateway.api import translate
from icn_gateway.api.context import Context
from icn_gateway.api.pages import accounts, contracts, decisions, market, me, overview, people
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest, HttpProblem, as_problem
from icn_gateway.api.sessions import token_of

STATIC_SECONDS = 31_536_000
"""A year: the address of a file changes with its content."""


@get("/static/{name:str}", include_in_schema=False)
async def get_static(name: FromPath[str], website: NamedDependency[Website]) -> Response[bytes]:
    """A style sheet, script or image of the page."""
    file = website.files.get(name)
    if file is None:
        raise HttpProblem(404, "ROUTE_UNKNOWN", "there is no such file")
    return Response(
        file.content,
        media_type=file.media_type,
        headers={
            "cache-control": f"public, max-age={STATIC_SECONDS}, immutable",
            "etag": f'"{file.version}"',
        },
    )


@get("/favicon.ico", include_in_schema=False)
async def get_favicon(website: NamedDependency[Website]) -> Response[bytes]:
    """For browsers that ask for it whatever the page says."""
    file = website.files["icon.svg"]
    return Response(
        file.content, media_type=file.media_type, headers={"cache-control": "public, max-age=86400"}
    )


PAGES = (
    overview.show_overview,
    accounts.show_accounts,
    accounts.show_account,
    market.show_market,
    market.show_offer,
    market.show_agreement,
    market.show_resources,
    market.show_resource,
    decisions.show_proposals,
    decisions.show_proposal,
    decisions.show_certificate,
    people.show_people,
    people.show_organization,
    people.show_person,
    people.show_scores,
    people.show_score,
    contracts.show_contracts,
    contracts.show_contract,
    me.show_me,
    me.show_sign_in,
    me.sign_in,
    me.sign_out,
)


def pages_router(website: Website, context: Context) -> Router:
    """The routes for people."""

    def refuse(request: AnyRequest, error: Exception) -> Response[str]:
        problem = as_problem(error)
        return website.render(
            "problem.html",
            status=problem.status,
            zone=translate.validator_list(context.genesis, context.seats.known, ()),
            here="",
            is_signed_in=bool(token_of(request)),
            title=HTTPStatus(problem.status).phrase,
            problem=problem,
            trace_id=(current_trace.get() or Trace()).trace_id,
        )

    return Router(
        path="/",
        route_handlers=[*PAGES, get_static, get_favicon],
        exception_handlers={Exception: refuse, DomainError: refuse, HttpProblem: refuse},
    )
