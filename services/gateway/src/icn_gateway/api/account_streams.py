"""Routes of an account whose answers are streams: its statement, and the account as it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from icn.ledger.v1.service_pb2 import GetStatementRequest, GetStatementResponse, WatchAccountResponse
from icn.ledger.v1.state_pb2 import UnitLeaf
from icn_kit.errors import InvalidArgument
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from icn_gateway.api import translate
from icn_gateway.api.context import Context
from icn_gateway.api.declared import PROBLEMS_OF_READS
from icn_gateway.api.fields import HEIGHT_MAX
from icn_gateway.api.reading import Identifier
from icn_gateway.api.streaming import EVENT_STREAM, HEARTBEAT, RETRY_MS, STREAM_HEADERS
from icn_gateway.usecases.read_accounts import get_account
from icn_gateway.usecases.read_statement import read_statement

JSON_LINES = "text/jsonl"
STATEMENT_PATH = "/v1/accounts/{account_id}/statement"
WATCH_PATH = "/v1/accounts/{account_id}/watch"


def _bound(name: str, what: str, example: int) -> Any:
    return QueryParameter(name=name, description=what, ge=0, le=HEIGHT_MAX, examples=[Example(value=example)])


FromHeight = Annotated[int | None, _bound("from_height", "First block of the span.", 1)]
FromTime = Annotated[
    int | None, _bound("from_time_ms", "In place of it: first block at or past this, unix milliseconds.", 0)
]
UntilHeight = Annotated[int | None, _bound("until_height", "First block behind the span.", 1)]
UntilTime = Annotated[
    int | None,
    _bound("until_time_ms", "In place of it: first block at or past this, unix milliseconds.", HEIGHT_MAX),
]
WatchFrom = Annotated[
    int,
    _bound("from_height", "First height whose entries are wanted at once; 0: those to come.", 0),
]
LastHeight = Annotated[
    str,
    HeaderParameter(
        name="last-event-id",
        description="The `id` of the last event seen, a height; browsers send it by themselves.",
        pattern="^([0-9]{1,15})?$",
        max_length=15,
    ),
]


@get(
    "/v1/accounts/{account_id:str}/statement",
    responses=PROBLEMS_OF_READS,
    media_type=JSON_LINES,
    tags=["Accounts"],
    response_description=(
        "A JSON object per line: first `unit` and `opening`, what the account had before the span; then each "
        "entry, as in a page of entries, oldest first, however many; at last `closing`, what it had behind "
        "the span. Without `closing` it broke off: ask again with `from_height`, that of the last entry + 1."
    ),
)
async def get_statement(  # noqa: PLR0917 - one per end of the span, and how it is given
    account_id: Identifier,
    context: NamedDependency[Context],
    from_height: FromHeight = None,
    from_time_ms: FromTime = None,
    until_height: UntilHeight = None,
    until_time_ms: UntilTime = None,
) -> Stream:
    """An account's statement over a span, its first block until its newest where nothing else is given.

    404 with reason ACCOUNT_UNKNOWN; 400 with reason SPAN_REVERSED; 409 with reason HISTORY_MISSING; 503 with
    reason STATE_BEHIND for a height that is yet to come. `icn statement export` writes one that shows that it
    is complete.
    """
    for by_height, by_time in ((from_height, from_time_ms), (until_height, until_time_ms)):
        if by_height is not None and by_time is not None:
            raise InvalidArgument("INVALID_ARGUMENT", "give a height or a time for an end, and not both")
    request = GetStatementRequest(
        name=f"accounts/{account_id}",
        from_height=from_height,
        from_time_ms=from_time_ms,
        until_height=until_height,
        until_time_ms=until_time_ms,
    )
    _, unit, _ = await get_account(account_id, context.ledger, context.units)
    parts = read_statement(request, context.services)
    first = await anext(parts)
    return Stream(_statement_lines(unit, first, parts), media_type=JSON_LINES, headers=STREAM_HEADERS)


async def _statement_lines(
    unit: UnitLeaf, first: GetStatementResponse, parts: AsyncIterator[GetStatementResponse]
) -> AsyncIterator[bytes]:
    yield _line(translate.statement_opening(first.opening, unit)) + _part_lines(first)
    async for part in parts:
        yield _part_lines(part)


def _part_lines(part: GetStatementResponse) -> bytes:
    lines = [_line(translate.entry(entry)) for entry in part.entries]
    if part.HasField("closing"):
        lines.append(_line(translate.statement_closing(part.closing)))
    return b"".join(lines)


def _line(view: msgspec.Struct) -> bytes:
    return msgspec.json.encode(view) + b"\n"


@get(
    "/v1/accounts/{account_id:str}/watch",
    responses=PROBLEMS_OF_READS,
    media_type=EVENT_STREAM,
    tags=["Accounts"],
    response_description=(
        "Server-sent events. `data` of each is one JSON object: `account`, `entries` since the one before, "
        "`has_skipped`; its `id` is the height that it was read at. The first is the account as it stands."
    ),
)
async def watch_account(
    account_id: Identifier,
    context: NamedDependency[Context],
    from_height: WatchFrom = 0,
    last_event_id: LastHeight = "",
) -> Stream:
    """One account as it is, then again after every block that changed it or what its owner may spend.

    Continues after Last-Event-ID, or from `from_height` on: no entry is missed, and none comes twice. A
    client that reads slowly is shown the newest state alone. 404 with reason ACCOUNT_UNKNOWN; 429 with reason
    WATCHERS_FULL.
    """
    _, unit, _ = await get_account(account_id, context.ledger, context.units)
    begin = int(last_event_id) + 1 if last_event_id else from_height
    following = context.watched.watch(account_id, begin)
    first = await anext(following)
    return Stream(_watch_frames(unit, first, following), media_type=EVENT_STREAM, headers=STREAM_HEADERS)


async def _watch_frames(
    unit: UnitLeaf,
    first: WatchAccountResponse | None,
    following: AsyncIterator[WatchAccountResponse | None],
) -> AsyncIterator[bytes]:
    yield b"retry: %d\n" % RETRY_MS + _watch_frame(unit, first)
    async for news in following:
        yield _watch_frame(unit, news)


def _watch_frame(unit: UnitLeaf, news: WatchAccountResponse | None) -> bytes:
    if news is None:
        return HEARTBEAT
    data = msgspec.json.encode(translate.account_news(news, unit))
    return b"id: %d\ndata: %s\n\n" % (news.account.height, data)
