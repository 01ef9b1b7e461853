"""Bring any call of a service to it, as bytes, for clients that speak its messages but cannot reach it."""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message
from icn_kit.errors import InvalidArgument

from icn_gateway.usecases.contracts import CALLS, LEDGER
from icn_gateway.usecases.ports import Services
from icn_gateway.usecases.send_command import METHOD_CHARACTERS_SHOWN


async def forward_call(name: str, request: bytes, services: Services) -> Message:
    """The service's answer.

    Args:
        name: full name of the call, ``/icn.ledger.v1.LedgerService/GetAccount``.
        request: serialized; what goes to a service is left as it is, since it may hold what was signed.
        services: behind the door.

    Raises:
        InvalidArgument: METHOD_UNKNOWN, REQUEST_MALFORMED.
        DomainError: the service refused it, with its reason.
    """
    method = CALLS.get(name)
    if method is None:
        raise InvalidArgument("METHOD_UNKNOWN", f"no service answers {name[:METHOD_CHARACTERS_SHOWN]!r}")
    try:
        asked = method.request.FromString(request)
    except DecodeError:
        raise InvalidArgument(
            "REQUEST_MALFORMED", f"the bytes are no {method.descriptor.input_type.name}"
        ) from None
    if method.service == LEDGER:
        return await services.ask(method, asked)
    return await services.send(method, request)
