"""Committed events as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from icn_gateway.api.context import Context
from icn_gateway.api.declared import PROBLEMS_OF_STREAMS
from icn_gateway.domain.events import (
    CURSOR_CHARACTERS_MAX,
    SUBJECT_CHARACTERS_MAX,
    CommittedEvent,
    FeedSignal,
    parse_cursor,
    subject_filter,
)

EVENT_STREAM = "text/event-stream"
RETRY_MS = 2_000
"""How long a browser waits before it connects again."""

Subject = Annotated[
    str,
    QueryParameter(
        name="subject",
        description="A subject by name, or a prefix that ends in `.>`; `icn.>` is every event.",
        pattern=r"^icn(\.[a-z0-9_]+)*(\.>)?$",
        max_length=SUBJECT_CHARACTERS_MAX,
        examples=[Example(value="icn.ledger.v1.transfer_committed")],
    ),
]
LastEventId = Annotated[
    str,
    HeaderParameter(
        name="last-event-id",
        description="The `id` of the last event seen; browsers send it by themselves.",
        pattern="^([0-9]{1,19}-[0-9a-f]{32})?$",
        max_length=CURSOR_CHARACTERS_MAX,
    ),
]


@get(
    "/v1/events",
    responses=PROBLEMS_OF_STREAMS,
    media_type=EVENT_STREAM,
    tags=["Events"],
    response_description=(
        "A stream without end. `data` of each event is one JSON object: `id`, `subject`, `height`, "
        "`aggregate`, `tenant` and `payload`, the fields of its message in `icn/ledger/v1/events.proto`: "
        "bytes in hex, 64-bit numbers as decimal strings. An event named `gap` says that events may have "
        "been lost to this client: read the state anew."
    ),
)
async def stream_events(
    context: NamedDependency[Context], subject: Subject = "icn.>", last_event_id: LastEventId = ""
) -> Stream:
    """Committed events as they come, at least once each, in order per aggregate.

    Continues after Last-Event-ID where it is still kept. A client that reads too slowly is cut off and may
    resume.
    """
    cursor = parse_cursor(last_event_id) if last_event_id else None
    following = context.feed.follow(subject_filter(subject), cursor)
    return Stream(
        _frames(following),
        media_type=EVENT_STREAM,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _frames(following: AsyncIterator[CommittedEvent | FeedSignal]) -> AsyncIterator[bytes]:
    yield b"retry: %d\n\n" % RETRY_MS
    async for item in following:
        yield frame(item)


def frame(item: CommittedEvent | FeedSignal) -> bytes:
    """One event, or what stands between events, as the wire has it."""
    match item:
        case CommittedEvent():
            return b"id: %s\ndata: %s\n\n" % (item.cursor.encode(), item.document)
        case FeedSignal.GAP:
            return b"event: gap\ndata: {}\n\n"
        case FeedSignal.HEARTBEAT:
            return b": still here\n\n"
