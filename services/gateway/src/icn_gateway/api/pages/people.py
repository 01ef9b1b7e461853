"""Organizations, people, scores."""

from __future__ import annotations

from typing import Annotated

from icn.reputation.v1.service_pb2 import EVIDENCE_KIND_FAILED
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import ROWS, ROWS_BESIDE, PageToken, identifier, page, part, parts
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.usecases.read_accounts import list_accounts

EVIDENCE_ROWS = 20
DIMENSION = "delivery"
"""Shown first."""
Dimension = Annotated[
    str, QueryParameter(name="dimension", pattern="^[a-z][a-z0-9_.-]{0,63}$", max_length=64)
]


@get("/people", include_in_schema=False)
async def show_people(
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """Every organization."""
    listed = await part(
        context.shared.ask("governance", "ListOrganizations", page_size=ROWS, page_token=page_token)
    )
    return await page(
        "people.html", "people", request, context, website, listed=listed, is_first_page=not page_token
    )


@get("/organizations/{organization_id:str}", include_in_schema=False)
async def show_organization(
    organization_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """An organization with its members, who vouched for them, their offices and credentials."""
    identifier(organization_id)
    read = await parts(
        organization=context.shared.ask(
            "governance", "GetOrganization", name=f"organizations/{organization_id}"
        ),
        members=context.shared.ask(
            "governance",
            "ListMembers",
            organization=f"organizations/{organization_id}",
            page_size=ROWS,
            page_token=page_token,
        ),
        credentials=context.shared.ask(
            "identity", "ListCredentials", organization=f"principals/{organization_id}", page_size=20
        ),
        identity=context.shared.ask("identity", "GetPrincipal", name=f"principals/{organization_id}"),
        authority=context.shared.ask("ledger", "GetAuthority", name=f"authorities/{organization_id}"),
        accounts=list_accounts(organization_id, ROWS_BESIDE, "", context.ledger, context.units),
        proposals=context.shared.ask(
            "governance",
            "ListProposals",
            organization=f"organizations/{organization_id}",
            page_size=ROWS_BESIDE,
        ),
    )
    return await page(
        "organization.html",
        "people",
        request,
        context,
        website,
        **read,
        organization_id=organization_id,
        is_first_page=not page_token,
    )


@get("/people/{principal_id:str}", include_in_schema=False)
async def show_person(
    principal_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
) -> Response[str]:
    """A principal: keys, memberships, credentials, accounts, scores."""
    name = f"principals/{identifier(principal_id)}"
    controller = await context.shared.ask("ledger", "GetController", name=name)
    read = await parts(
        identity=context.shared.ask("identity", "GetPrincipal", name=name),
        memberships=context.shared.ask("governance", "ListMembers", member=name, page_size=ROWS),
        credentials=context.shared.ask("identity", "ListCredentials", subject=name, page_size=20),
        accounts=list_accounts(principal_id, ROWS_BESIDE, "", context.ledger, context.units),
        scores=context.shared.ask("reputation", "ListScores", principal=name, page_size=20),
    )
    return await page(
        "person.html",
        "people",
        request,
        context,
        website,
        **read,
        controller=controller["controller"],
        principal_id=principal_id,
    )


@get("/scores", include_in_schema=False)
async def show_scores(
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    dimension: Dimension = DIMENSION,
    page_token: PageToken = "",
) -> Response[str]:
    """Scores of one dimension, highest first."""
    read = await parts(
        dimensions=context.shared.ask("reputation", "ListDimensions", page_size=50),
        scores=context.shared.ask(
            "reputation", "ListScores", dimension=dimension, page_size=ROWS, page_token=page_token
        ),
    )
    return await page(
        "scores.html",
        "scores",
        request,
        context,
        website,
        **read,
        dimension=dimension,
        is_first_page=not page_token,
    )


@get("/scores/{principal_id:str}", include_in_schema=False)
async def show_score(
    principal_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    dimension: Dimension = DIMENSION,
) -> Response[str]:
    """One score and everything it is the sum of."""
    name = f"principals/{identifier(principal_id)}"
    answer = await context.shared.ask("reputation", "GetScore", principal=name, dimension=dimension)
    read = await parts(
        failures=context.shared.ask(
            "reputation",
            "ListEvidence",
            dimension=dimension,
            about=name,
            kind=EVIDENCE_KIND_FAILED,
            page_size=EVIDENCE_ROWS,
        ),
        evidence=context.shared.ask(
            "reputation", "ListEvidence", dimension=dimension, about=name, page_size=EVIDENCE_ROWS
        ),
    )
    return await page(
        "score.html",
        "scores",
        request,
        context,
        website,
        score=answer["score"],
        explanation=answer["explanation"],
        **read,
        principal_id=principal_id,
        dimension=dimension,
    )
