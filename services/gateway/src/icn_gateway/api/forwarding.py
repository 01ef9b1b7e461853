"""The route for clients that speak the services' own messages: `icn` on a member's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import QueryParameter

from icn_gateway.api.bodies import OCTET_STREAM, media_type, read_body
from icn_gateway.api.commanding import BODY_BYTES_MAX
from icn_gateway.api.context import Context
from icn_gateway.api.declared import PROBLEMS_OF_COMMANDS
from icn_gateway.api.problems import AnyRequest, HttpProblem
from icn_gateway.usecases.forward_call import forward_call

METHOD_CHARACTERS_MAX = 200


@dataclass
class CallOperation(Operation):
    """Declares the body, which the handler reads itself."""

    def __post_init__(self) -> None:
        schema = Schema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="The call's request message."
        )
        self.request_body = RequestBody(
            required=True,
            description="The call's request message, serialized.",
            content={OCTET_STREAM: OpenAPIMediaType(schema=schema)},
        )


@post(
    "/v1/calls",
    status_code=200,
    responses=PROBLEMS_OF_COMMANDS,
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=CallOperation,
    response_description="The call's response message, serialized.",
    media_type=OCTET_STREAM,
    tags=["Commands"],
)
async def call(
    request: AnyRequest,
    context: NamedDependency[Context],
    name: Annotated[
        str,
        QueryParameter(
            name="method",
            description="Full name of the call: any of a service's that is no stream (`protos/`).",
            min_length=1,
            max_length=METHOD_CHARACTERS_MAX,
            examples=[Example(value="/icn.ledger.v1.LedgerService/GetAccount")],
        ),
    ],
) -> Response[bytes]:
    """Call a service with its own messages, as bytes.

    The same calls as over gRPC, for clients outside of the host's network; what a call may do is decided by
    what is signed in it. Refusals are problems with the service's reason.
    """
    if media_type(request) != OCTET_STREAM:
        raise HttpProblem(415, "MEDIA_TYPE_NOT_SUPPORTED", f"the body must be {OCTET_STREAM}")
    answer = await forward_call(name, await read_body(request), context.services)
    return Response(answer.SerializeToString(deterministic=True), media_type=OCTET_STREAM)
