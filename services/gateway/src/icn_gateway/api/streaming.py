"""Committed events as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
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
    Cursor,
    FeedSignal,
    format_cursors,
    may_be_of,
    parse_cursors,
    subject_filter,
)

EVENT_STREAM = "text/event-stream"
RETRY_MS = 2_000
"""How long a browser waits before it connects again."""
HEARTBEAT = b": still here\n\n"
STREAM_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

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
        pattern="^(([a-z]{1,16}:)?[0-9]{1,19}-[0-9a-f]{32}(,|$))*$",
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
        "`aggregate`, `tenant` and `payload`, the fields of its message in its service's `events.proto`: "
        "bytes in hex, 64-bit numbers as decimal strings. Its `id` says where the client stands in every "
        "stream it follows. An event named `gap` says that events may have "
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
    wants = subject_filter(subject)
    cursors = {
        service: cursor for service, cursor in context.feed.newest().items() if may_be_of(subject, service)
    }
    if last_event_id:
        cursors |= {
            service: cursor for service, cursor in parse_cursors(last_event_id).items() if service in cursors
        }
    following = context.feed.follow(wants, cursors)
    return Stream(
        _frames(following, cursors),
        media_type=EVENT_STREAM,
        headers=STREAM_HEADERS,
    )


async def _frames(
    following: AsyncIterator[CommittedEvent | FeedSignal], cursors: dict[str, Cursor]
) -> AsyncIterator[bytes]:
    # An id without data is no event, and is remembered all the same: who never saw one resumes from here.
    yield b"retry: %d\n%s\n" % (RETRY_MS, _identifier(cursors))
    told = dict(cursors)
    async for item in following:
        if isinstance(item, CommittedEvent):
            told[item.service] = item.cursor
        yield frame(item, told)


def _identifier(cursors: Mapping[str, Cursor]) -> bytes:
    return b"id: %s\n" % format_cursors(cursors).encode() if cursors else b""


def frame(item: CommittedEvent | FeedSignal, told: Mapping[str, Cursor]) -> bytes:
    """One event, or what stands between events, as the wire has it. ``told``: where the client then
    stands."""
    match item:
        case CommittedEvent():
            return b"%sdata: %s\n\n" % (_identifier(told), item.document)
        case FeedSignal.GAP:
            return b"event: gap\ndata: {}\n\n"
        case FeedSignal.HEARTBEAT:
            return HEARTBEAT
