"""Routes, documents and pages put together as one ASGI application."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from icn_kit.errors import Unavailable
from litestar import Litestar, Response, get
from litestar.di import NamedDependency, Provide
from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from icn_gateway.api import (
    account_streams,
    asking,
    commanding,
    forwarding,
    reading,
    reads,
    sessions,
    streaming,
    submitting,
    views,
)
from icn_gateway.api.context import Context
from icn_gateway.api.declared import problems
from icn_gateway.api.document import openapi_document
from icn_gateway.api.pages import Website, pages_router
from icn_gateway.api.problems import AnyRequest, HttpProblem, answer_with_problem


@get("/healthz", tags=["Operations"], responses=problems(429, 500, 503))
async def get_health(context: NamedDependency[Context]) -> views.Health:
    """Whether this process can do its work: at least one validator answers."""
    reachable = sum(report.status is not None for report in await context.validators.list_validators())
    if not reachable:
        raise Unavailable("NO_VALIDATOR_REACHABLE", "no validator is reachable")
    return views.Health(status="ok", validators_reachable=reachable)


@get("/metrics", include_in_schema=False)
async def get_metrics(request: AnyRequest) -> Response[bytes]:
    """Metrics in Prometheus' text format, for this machine only; scrapers elsewhere use the private metrics
    port."""
    client = request.scope.get("client")
    is_forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if client is None or is_forwarded or not ip_address(client[0]).is_loopback:
        raise HttpProblem(404, "ROUTE_UNKNOWN", "metrics are not public")
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


API_ROUTES: tuple[Any, ...] = (
    submitting.submit_transaction,
    submitting.submit_batch,
    commanding.send_command,
    forwarding.call,
    asking.verify_credential,
    asking.submit_countersignature,
    asking.list_proposal_countersignatures,
    reading.get_transaction,
    reading.list_accounts,
    reading.get_account,
    reading.list_entries,
    reading.list_units,
    reading.get_unit,
    reading.get_principal,
    reading.get_hold,
    reading.get_allowance,
    reading.get_recovery,
    reading.list_blocks,
    reading.get_block,
    reading.get_proof,
    reading.list_validators,
    reading.get_genesis,
    account_streams.get_statement,
    account_streams.watch_account,
    streaming.stream_events,
    sessions.make_challenge,
    sessions.create_session,
    sessions.get_session,
    sessions.end_sessions,
    get_health,
)
"""What the OpenAPI document describes, beside the reads that are one call of a service each."""


def build_application(context: Context, website: Website) -> Litestar:
    """The routes over ``context``'s ports."""
    document = openapi_document(API_ROUTES)

    @get("/openapi.json", include_in_schema=False)
    async def get_document() -> Response[bytes]:
        """This service's OpenAPI 3.1 document."""
        return Response(document, media_type="application/json", headers={"cache-control": "max-age=300"})

    return Litestar(
        route_handlers=[
            *API_ROUTES,
            *(reads.handler(read) for read in reads.ALL),
            asking.query_contract,
            get_document,
            get_metrics,
            pages_router(website, context),
        ],
        dependencies={
            "context": Provide(lambda: context, sync_to_thread=False, use_cache=True),
            "website": Provide(lambda: website, sync_to_thread=False, use_cache=True),
        },
        exception_handlers={Exception: answer_with_problem},
        openapi_config=None,
    )
