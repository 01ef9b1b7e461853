"""A statement of an account, read part by part however long it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import structlog
from icn.ledger.v1.service_pb2 import GetStatementRequest, GetStatementResponse
from icn_kit.errors import DomainError, ErrorKind, RemoteError

from icn_gateway.usecases.contracts import method
from icn_gateway.usecases.ports import Services

GET_STATEMENT = method("ledger", "GetStatement")

_log = structlog.get_logger(__name__)


async def read_statement(
    request: GetStatementRequest, services: Services
) -> AsyncIterator[GetStatementResponse]:
    """The statement's parts, the first with its opening, the last with its closing.

    A part is one call, so a client that reads slowly holds nothing at a validator. Without closing it broke
    off, and goes on at the height after the last entry.

    Raises:
        DomainError: before the first part only.
    """
    asked = GetStatementRequest()
    asked.CopyFrom(request)
    part = await _ask(asked, services)
    while True:
        yield part
        if part.HasField("closing"):
            return
        asked.from_height = part.entries[-1].height + 1
        try:
            part = await _ask(asked, services)
        except DomainError as error:
            _log.warning("statement broke off", height=asked.from_height, reason=error.reason)
            return
        part.ClearField("opening")


async def _ask(request: GetStatementRequest, services: Services) -> GetStatementResponse:
    part = cast(GetStatementResponse, await services.ask(GET_STATEMENT, request))
    goes_on = part.entries and part.entries[0].height >= request.from_height
    if not part.HasField("closing") and not goes_on:
        raise RemoteError(
            ErrorKind.INTERNAL,
            "MALFORMED_ANSWER",
            "a validator answered with a statement that does not go on",
        )
    return part
