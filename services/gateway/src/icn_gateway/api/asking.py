"""Routes whose question does not fit into an address, and the one that brings a countersignature."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from icn.governance.v1.service_pb2 import (
    GetDecisionRequest,
    GetProposalRequest,
    ListCountersignaturesRequest,
    SubmitCountersignatureRequest,
)
from icn.identity.v1.service_pb2 import VerifyCredentialRequest
from icn.ledger.v1.service_pb2 import QueryContractRequest
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.errors import FailedPrecondition
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example, OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.params import FromPath, PathParameter

from icn_gateway.api import views
from icn_gateway.api.bodies import JSON, decode_json, media_type, read_body
from icn_gateway.api.context import Context
from icn_gateway.api.declared import problems
from icn_gateway.api.fields import EXAMPLE_DIGEST, EXAMPLE_ID, HEX_32, HEX_64
from icn_gateway.api.problems import AnyRequest, HttpProblem
from icn_gateway.api.reads.route import json_content
from icn_gateway.domain.documents import message_document
from icn_gateway.domain.identifiers import IDENTIFIER_CHARACTERS, require_hexadecimal
from icn_gateway.usecases.contracts import method

QUERY_BYTES_MAX = 16_384
CREDENTIAL_BYTES_MAX = 262_144
COUNTERSIGNATURE_BYTES_MAX = 16_384
"""The largest signature in hex, with the JSON around it."""
COUNTERSIGNATURES_MAX = 64
"""As many members as an authority has."""
QUERY_SUFFIX = ":query"
_ALWAYS = (400, 404, 408, 409, 413, 415, 429, 500, 502, 503, 504)


@dataclass
class AnyJsonOperation(Operation):
    """Declares a body of any JSON, which the handler reads itself."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            required=True,
            description="JSON.",
            content={JSON: OpenAPIMediaType(schema=Schema(description="Any JSON value."))},
        )


@dataclass
class CountersignatureOperation(Operation):
    """Declares the body that the handler reads itself."""

    def __post_init__(self) -> None:
        reference = Reference(ref="#/components/schemas/CountersignatureRequest")
        self.request_body = RequestBody(
            required=True,
            description="The countersignature.",
            content={JSON: OpenAPIMediaType(schema=reference)},
        )


@post(
    "/v1/contracts/{target:str}",
    status_code=200,
    include_in_schema=False,
    request_max_body_size=QUERY_BYTES_MAX,
)
async def query_contract(
    target: FromPath[str], request: AnyRequest, context: NamedDependency[Context]
) -> views.ContractAnswer:
    """Ask a contract, `/v1/contracts/{contract_id}:query`. The path's last part holds both."""
    if not target.endswith(QUERY_SUFFIX):
        raise HttpProblem(404, "ROUTE_UNKNOWN", "ask a contract at /v1/contracts/{contract_id}:query")
    contract = require_hexadecimal(target.removesuffix(QUERY_SUFFIX), IDENTIFIER_CHARACTERS)
    answer: Any = await context.services.ask(
        method("ledger", "QueryContract"),
        QueryContractRequest(name=f"contracts/{contract}", message=await _read_json(request)),
    )
    return views.ContractAnswer(
        data=msgspec.Raw(json_content(answer.data).content),
        fuel_used=str(answer.fuel_used),
        height=answer.height,
    )


@get(
    "/v1/proposals/{proposal_id:str}/countersignatures",
    responses=problems(400, 404, 409, 429, 500, 502, 503, 504),
    tags=["Governance"],
)
async def list_proposal_countersignatures(
    proposal_id: Annotated[
        str,
        PathParameter(
            description="16 bytes in lower-case hex.",
            pattern=HEX_32,
            min_length=32,
            max_length=32,
            examples=[Example(value=EXAMPLE_ID)],
        ),
    ],
    context: NamedDependency[Context],
) -> views.ProposalCountersignatures:
    """Who has countersigned the decision that follows from a proposal, and how many must.

    409 with reason DECISION_MISSING: there is none yet.
    """
    found: Any = await context.services.ask(
        method("governance", "GetProposal"), GetProposalRequest(name=f"proposals/{proposal_id}")
    )
    decision = found.proposal.decision
    if not decision:
        raise FailedPrecondition("DECISION_MISSING", "no decision follows from this proposal yet")
    shown, signed = await asyncio.gather(
        context.services.ask(method("governance", "GetDecision"), GetDecisionRequest(name=decision)),
        context.services.ask(
            method("governance", "ListCountersignatures"),
            ListCountersignaturesRequest(decision=decision, page_size=COUNTERSIGNATURES_MAX),
        ),
    )
    known: Any = shown
    signatures: Any = signed
    return views.ProposalCountersignatures(
        decision=decision.rpartition("/")[2],
        countersignatures=known.decision.countersignatures,
        countersignatures_needed=known.decision.countersignatures_needed,
        enact_height=known.decision.enact_height,
        signers=[signature.signer.hex() for signature in signatures.countersignatures],
    )


@post(
    "/v1/credentials:verify",
    status_code=200,
    responses=problems(*_ALWAYS),
    request_max_body_size=CREDENTIAL_BYTES_MAX,
    operation_class=AnyJsonOperation,
    response_description="The verdict; also for a credential that is not valid.",
    tags=["Identity"],
)
async def verify_credential(
    request: AnyRequest, context: NamedDependency[Context]
) -> Response[views.CredentialVerdict]:
    """Verify a credential with all its proofs, issuer and status, by what this zone knows.

    `icn vc verify` does the same offline and trusts nobody here.
    """
    answer = await context.services.ask(
        method("identity", "VerifyCredential"), VerifyCredentialRequest(document=await _read_json(request))
    )
    return Response(msgspec.convert(message_document(answer), views.CredentialVerdict))


@post(
    "/v1/certificates/{decision_id:str}/countersignatures",
    status_code=200,
    responses=problems(*_ALWAYS, 401, 403),
    request_max_body_size=COUNTERSIGNATURE_BYTES_MAX,
    operation_class=CountersignatureOperation,
    response_description="How many there are now.",
    tags=["Governance"],
)
async def submit_countersignature(
    decision_id: Annotated[
        str,
        PathParameter(
            description="32 bytes in lower-case hex.",
            pattern=HEX_64,
            min_length=64,
            max_length=64,
            examples=[Example(value=EXAMPLE_DIGEST)],
        ),
    ],
    request: AnyRequest,
    context: NamedDependency[Context],
) -> views.CountersignatureTaken:
    """Bring one member's countersignature of a decision, whoever brings it. The first of a signer stays."""
    if media_type(request) != JSON:
        raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {JSON}")
    given = decode_json(await read_body(request), views.CountersignatureRequest)
    message = SubmitCountersignatureRequest(
        decision=f"decisions/{decision_id}",
        countersignature=Countersignature(
            signer=bytes.fromhex(given.signer),
            key_id=bytes.fromhex(given.key_id),
            suite=given.suite,
            signature=bytes.fromhex(given.signature),
        ),
    )
    answer: Any = await context.services.send(
        method("governance", "SubmitCountersignature"), message.SerializeToString(deterministic=True)
    )
    return views.CountersignatureTaken(countersignatures=answer.countersignatures)


async def _read_json(request: AnyRequest) -> bytes:
    if media_type(request) != JSON:
        raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {JSON}")
    body = await read_body(request)
    decode_json(body, Any)
    return body


def query_operation() -> dict[str, Any]:
    """What the OpenAPI document says of `query_contract`, whose route has a suffix behind its parameter."""
    from icn_gateway.api.reads.described import problem_responses

    return {
        "operationId": "query_contract",
        "tags": ["Contracts"],
        "summary": "Ask a contract something on the newest executed state",
        "description": (
            "Ask a contract something on the newest executed state. The body is the JSON that the contract "
            "reads. 409 with reason CALL_STOPPED: it refused or ran out of fuel."
        ),
        "parameters": [
            {
                "name": "contract_id",
                "in": "path",
                "required": True,
                "description": "Contract, 16 bytes in lower-case hex.",
                "schema": {
                    "type": "string",
                    "pattern": "^[0-9a-f]{32}$",
                    "minLength": 32,
                    "maxLength": 32,
                },
                "example": EXAMPLE_DIGEST[:32],
            }
        ],
        "requestBody": {
            "required": True,
            "description": f"JSON, at most {QUERY_BYTES_MAX} bytes.",
            "content": {JSON: {"schema": {"description": "Any JSON value."}, "example": {"state": {}}}},
        },
        "responses": {
            "200": {
                "description": "What it answered.",
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/ContractAnswer"}}},
            },
            **problem_responses(*_ALWAYS),
        },
    }
