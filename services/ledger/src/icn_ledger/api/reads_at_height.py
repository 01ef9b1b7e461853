"""Makes every call of LedgerService wait for the height that its metadata asks for.

Source: docs/spec/ledger-store.md, "Reads".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import grpc
from icn.ledger.v1 import service_pb2_grpc
from icn_kit.min_height import MIN_HEIGHT_KEY, min_height, parse_min_height

from icn_ledger.usecases.watch_blocks import BlockFeed

WAIT_SECONDS_MAX: Final = 3.0
"""Validators execute a block within a fraction of a second of each other; one that does not is behind, and
another one answers sooner."""
ANSWER_SECONDS: Final = 0.25
"""Of the caller's time kept for the answer: a refusal that says where this ledger stands is worth more than a
call cut off."""

Handler = Any
"""grpc.RpcMethodHandler, which has no types."""


async def wait_for_height(context: Any, feed: BlockFeed) -> None:
    """Wait for the height that the call's metadata asks for; the context variable says it from then on.

    Raises:
        InvalidArgument: MIN_HEIGHT_MALFORMED.
        StateBehind: it has not come in time, or is too far ahead to come.
    """
    for name, value in context.invocation_metadata():
        if name == MIN_HEIGHT_KEY:
            height = parse_min_height(value)
            await feed.reach(height, wait_seconds(context))
            min_height.set(height)


def wait_seconds(context: Any) -> float:
    """How long a call may wait for a block."""
    remaining: float | None = context.time_remaining()
    if remaining is None:
        return WAIT_SECONDS_MAX
    return min(WAIT_SECONDS_MAX, max(0.0, remaining - ANSWER_SECONDS))


class AddLedgerService:
    """Registers LedgerService in place of ``add_LedgerServiceServicer_to_server``."""

    def __init__(self, feed: BlockFeed) -> None:
        self._feed = feed

    def __call__(self, servicer: Any, server: Any) -> None:
        """Add the servicer to a server, each of its methods behind the wait."""
        service_pb2_grpc.add_LedgerServiceServicer_to_server(servicer, _Waiting(server, self._feed))


class _Waiting:
    """Stands in for the server while generated code registers its handlers."""

    def __init__(self, server: Any, feed: BlockFeed) -> None:
        self._server = server
        self._feed = feed

    def add_registered_method_handlers(self, service_name: str, handlers: Mapping[str, Handler]) -> None:
        waiting = {name: self._wrap(handler) for name, handler in handlers.items()}
        self._server.add_registered_method_handlers(service_name, waiting)

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        self._server.add_generic_rpc_handlers(handlers)

    def _wrap(self, handler: Handler) -> Handler:
        feed = self._feed
        if handler.response_streaming:
            streaming = handler.unary_stream

            async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                await wait_for_height(context, feed)
                async for answer in streaming(request, context):
                    yield answer

            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        answering = handler.unary_unary

        async def answer_once(request: Any, context: Any) -> Any:
            await wait_for_height(context, feed)
            return await answering(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer_once, handler.request_deserializer, handler.response_serializer
        )
