"""Proposals with their results, and decisions with who has countersigned them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from icn_gateway.api.context import Context
from icn_gateway.api.pages.parts import ROWS, ROWS_BESIDE, PageToken, Part, identifier, page, part, parts
from icn_gateway.api.pages.website import Website
from icn_gateway.api.problems import AnyRequest
from icn_gateway.api.reads.route import json_content
from icn_gateway.domain.identifiers import DIGEST_CHARACTERS, require_hexadecimal


@get("/proposals", include_in_schema=False)
async def show_proposals(
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
    page_token: PageToken = "",
) -> Response[str]:
    """Proposals, newest first, and decisions under way."""
    read = await parts(
        proposals=context.shared.ask("governance", "ListProposals", page_size=ROWS, page_token=page_token),
        decisions=context.shared.ask("governance", "ListDecisions", page_size=ROWS_BESIDE * 2),
    )
    return await page(
        "proposals.html", "proposals", request, context, website, **read, is_first_page=not page_token
    )


@get("/proposals/{proposal_id:str}", include_in_schema=False)
async def show_proposal(
    proposal_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
) -> Response[str]:
    """A proposal: what is asked, who has voted, the result stage by stage, and its decision."""
    name = f"proposals/{identifier(proposal_id)}"
    proposal = (await context.shared.ask("governance", "GetProposal", name=name))["proposal"] or {}
    poll, result, certificate = await asyncio.gather(
        part(context.shared.ask("ledger", "GetPoll", name=f"polls/{proposal_id}")),
        part(_result(context, name)),
        _certificate(context, proposal.get("decision", "")),
    )
    return await page(
        "proposal.html",
        "proposals",
        request,
        context,
        website,
        proposal=proposal,
        proposal_id=proposal_id,
        poll=poll,
        result=result,
        certificate=certificate,
    )


@get("/certificates/{decision_id:str}", include_in_schema=False)
async def show_certificate(
    decision_id: FromPath[str],
    request: AnyRequest,
    context: NamedDependency[Context],
    website: NamedDependency[Website],
) -> Response[str]:
    """A decision and who has countersigned it."""
    name = f"decisions/{require_hexadecimal(decision_id, DIGEST_CHARACTERS)}"
    decision = (await context.shared.ask("governance", "GetDecision", name=name))["decision"]
    certificate = await _certificate(context, name)
    return await page(
        "certificate.html",
        "proposals",
        request,
        context,
        website,
        decision=decision,
        decision_id=decision_id,
        certificate=certificate,
    )


async def _result(context: Context, proposal: str) -> dict[str, Any]:
    """The result as counted, and its digest."""
    answer = await context.shared.ask("governance", "GetResult", proposal=proposal)
    result = msgspec.json.decode(json_content(bytes.fromhex(answer["result"])).content)
    return {"digest": answer["digest"], **(result if isinstance(result, dict) else {})}


async def _certificate(context: Context, decision: str) -> dict[str, Part]:
    """The decision, who has countersigned it, and what the ledger has recorded of it."""
    if not decision:
        return {}
    return await parts(
        decision=context.shared.ask("governance", "GetDecision", name=decision),
        countersignatures=context.shared.ask(
            "governance", "ListCountersignatures", decision=decision, page_size=64
        ),
        recorded=context.shared.ask("ledger", "GetDecision", name=decision),
    )
