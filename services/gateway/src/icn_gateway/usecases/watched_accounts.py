"""Accounts as they change, for some clients at once: each has a stream of a validator to itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from icn.ledger.v1.service_pb2 import WatchAccountRequest, WatchAccountResponse
from icn_kit.errors import DomainError, Unavailable
from icn_kit.places import Places

from icn_gateway.usecases.ports import AccountSource

WATCHES_MAX = 64
"""Half of what a validator serves: the validators' own programs watch, too."""
HEARTBEAT_SECONDS = 15.0
STREAM_SECONDS_MAX = 900.0
"""As for events (`icn_gateway.events.feed`)."""


class WatchedAccounts:
    """Brings validators' streams to clients, with signs of life, until they end or this process does."""

    def __init__(
        self,
        source: AccountSource,
        *,
        watches_max: int = WATCHES_MAX,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        stream_seconds_max: float = STREAM_SECONDS_MAX,
    ) -> None:
        self._source = source
        self._places = Places(watches_max, "WATCHERS_FULL", "watched accounts")
        self._heartbeat_seconds = heartbeat_seconds
        self._stream_seconds_max = stream_seconds_max
        self._draining = asyncio.Event()

    async def watch(self, account: str, from_height: int) -> AsyncIterator[WatchAccountResponse | None]:
        """The account with this hex id as it stands, then its news; None as a sign of life between them.

        Ends when the validator's stream does, after a while, and when this process drains; go on from the
        height after the last one.

        Raises:
            DomainError: before the first answer only; WATCHERS_FULL.
        """
        if self._draining.is_set():
            raise Unavailable("DRAINING", "this process is stopping; another one answers")
        request = WatchAccountRequest(name=f"accounts/{account}", from_height=from_height)
        with self._places.take():
            async with aclosing(self._source.watch_account(request)) as told:  # type: ignore[type-var]
                yield await anext(told)
                async for news in self._between(told):
                    yield news

    async def _between(
        self, told: AsyncIterator[WatchAccountResponse]
    ) -> AsyncIterator[WatchAccountResponse | None]:
        """What follows, with signs of life."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._stream_seconds_max
        draining = asyncio.ensure_future(self._draining.wait())
        following = asyncio.ensure_future(_next(told))
        try:
            while (left := ends_at - loop.time()) > 0:
                await asyncio.wait(
                    {draining, following},
                    timeout=min(self._heartbeat_seconds, left),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if draining.done():
                    return
                if not following.done():
                    yield None
                    continue
                news = following.result()
                if news is None:
                    return
                yield news
                following = asyncio.ensure_future(_next(told))
        finally:
            draining.cancel()
            following.cancel()
            await asyncio.wait({draining, following})

    def drain(self) -> None:
        """End every stream, and take no new one."""
        self._draining.set()


async def _next(told: AsyncIterator[WatchAccountResponse]) -> WatchAccountResponse | None:
    """None where the stream ended, however."""
    try:
        return await anext(told, None)
    except DomainError:
        return None
