"""The route that takes signed commands to the services. Nothing here can sign, or change what was signed."""

from __future__ import annotations

from dataclasses import dataclass

from icn_kit.blobs import CONTENT_BYTES_MAX
from litestar import post
from litestar.di import NamedDependency
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

from icn_gateway.api import views
from icn_gateway.api.bodies import JSON, OCTET_STREAM, read_parts
from icn_gateway.api.context import Context
from icn_gateway.api.declared import PROBLEMS_OF_COMMANDS
from icn_gateway.api.fields import EXAMPLE_COMMAND
from icn_gateway.api.idempotency import IdempotencyKey, check_idempotency_key
from icn_gateway.api.problems import AnyRequest
from icn_gateway.domain.documents import message_document
from icn_gateway.usecases import send_command as usecase
from icn_gateway.usecases.contracts import COMMANDS, CONTENT

BODY_BYTES_MAX = 2_900_000
"""The largest command and the largest file in base64, with the JSON around them."""

_WITH_CONTENT = [name for name, method in COMMANDS.items() if method.takes_content]
_CONTENT = (
    f"The file whose digest the command names, for calls that take one ({', '.join(_WITH_CONTENT)}), at most "
    f"{CONTENT_BYTES_MAX} bytes, in base64."
)
_COMMAND = f"Bytes of an `icn.kit.v1.SignedCommand`, 1 to {usecase.SIGNED_COMMAND_BYTES_MAX}"


@dataclass
class CommandOperation(Operation):
    """Declares the two forms of the body, which the handler reads itself."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            required=True,
            description="The signed command, as bytes or as JSON.",
            content={
                OCTET_STREAM: OpenAPIMediaType(
                    schema=Schema(
                        type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description=f"{_COMMAND}."
                    )
                ),
                JSON: OpenAPIMediaType(
                    schema=Schema(
                        type=OpenAPIType.OBJECT,
                        properties={
                            "command": Schema(
                                type=OpenAPIType.STRING,
                                content_encoding="base64",
                                description=f"{_COMMAND}, in base64.",
                                min_length=4,
                                max_length=(usecase.SIGNED_COMMAND_BYTES_MAX + 2) // 3 * 4,
                                examples=[EXAMPLE_COMMAND],
                            ),
                            CONTENT: Schema(
                                type=OpenAPIType.STRING,
                                content_encoding="base64",
                                description=_CONTENT,
                                max_length=(CONTENT_BYTES_MAX + 2) // 3 * 4,
                            ),
                        },
                        required=["command"],
                        additional_properties=False,
                    )
                ),
            },
        )


@post(
    "/v1/commands",
    status_code=200,
    responses=PROBLEMS_OF_COMMANDS,
    request_max_body_size=BODY_BYTES_MAX,
    operation_class=CommandOperation,
    response_description="The service's answer.",
    tags=["Commands"],
)
async def send_command(
    request: AnyRequest, context: NamedDependency[Context], idempotency_key: IdempotencyKey = ""
) -> views.CommandAnswer:
    """Send one signed command to the service that its method names.

    Idempotent by command id: sending the same bytes again is safe and gives the first answer, until the
    command expires. After 503 and 504 the outcome is unknown; `command_id` names the command. An
    Idempotency-Key is not needed; one that is not the command's id is refused with 422.
    """
    signed, content = await read_parts(request, "command", CONTENT)
    command = usecase.name_command(signed, context.genesis.hash, content)
    check_idempotency_key(idempotency_key, command.id)
    response = await usecase.send_command(command, context.services)
    return views.CommandAnswer(
        command_id=command.id.hex(), method=command.method.name, response=message_document(response)
    )
