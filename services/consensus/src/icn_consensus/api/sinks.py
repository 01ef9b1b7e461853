"""Where news about transactions collect until a call or stream carries them to its client."""

from __future__ import annotations

import asyncio
from typing import Final

from icn_consensus.usecases.ends import News, SubmitState

STREAM_OUTSTANDING_MAX: Final = 10_000
"""Transactions of one stream without their end, and words that its client has not read; beyond it the stream
is not read. Half a pool."""
MESSAGE_NEWS_MAX: Final = 1_000
"""News in one message of a stream."""
MESSAGE_RECEIPT_BYTES_MAX: Final = 1024 * 1024


class CallSink:
    """The answer to one unary call."""

    def __init__(self, count: int) -> None:
        self._news: list[News | None] = [None] * count
        self._first_words = count
        self._open = count
        self._failure: Exception | None = None
        self._is_admitted = asyncio.Event()
        self._is_settled = asyncio.Event()
        self.is_closed = False

    def tell(self, news: News) -> None:
        """Keep the latest word on a position."""
        if self._news[news.position] is None:
            self._first_words -= 1
        self._news[news.position] = news
        if news.state is not SubmitState.PENDING:
            self._open -= 1
        if self._first_words == 0:
            self._is_admitted.set()
        if self._open == 0:
            self._is_settled.set()

    def fail(self, error: Exception) -> None:
        """End the call with an error."""
        self._failure = error
        self._is_admitted.set()
        self._is_settled.set()

    async def wait(self, seconds: float) -> list[News]:
        """The latest word on each transaction: its end, if that comes within ``seconds`` of its admission.

        Raises:
            Unavailable: the validator could not check the transactions.
        """
        await self._is_admitted.wait()
        if seconds > 0 and not self._is_settled.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._is_settled.wait()
            except TimeoutError:
                pass  # the latest word is PENDING then
        if self._failure is not None:
            raise self._failure
        return [news for news in self._news if news is not None]

    def close(self) -> None:
        """Nobody listens any more."""
        self.is_closed = True


class StreamSink:
    """What a stream still has to say."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._expected = 0
        self._outstanding = 0
        self._has_ended = False
        self._failure: Exception | None = None
        self._has_something = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.is_closed = False

    def expect(self, count: int) -> int:
        """More transactions came on the stream; gives the position of their first."""
        first = self._expected
        self._expected += count
        self._outstanding += count
        self._note_room()
        return first

    async def wait_for_room(self) -> None:
        """Return when the stream may be read on."""
        if not self._has_room.is_set():
            await self._has_room.wait()

    def tell(self, news: News) -> None:
        """Queue a word."""
        self._news.append(news)
        if news.state is SubmitState.PENDING:
            self._note_room()
        else:
            self._outstanding -= 1  # a word more, a transaction less: the room is the same
        self._has_something.set()

    def fail(self, error: Exception) -> None:
        """End the stream with an error."""
        self._failure = error
        self._has_something.set()

    def end(self) -> None:
        """The client sends nothing more: the stream ends with the last word."""
        self._has_ended = True
        self._has_something.set()

    async def take(self) -> list[News] | None:
        """What is to be said next; None when all is said.

        Raises:
            Unavailable: the validator could not check the transactions.
        """
        while not self._news:
            if self._failure is not None:
                raise self._failure
            if self._has_ended and self._outstanding == 0:
                return None
            self._has_something.clear()
            await self._has_something.wait()
        count = receipt_bytes = 0
        while count < min(len(self._news), MESSAGE_NEWS_MAX) and receipt_bytes < MESSAGE_RECEIPT_BYTES_MAX:
            receipt_bytes += len(self._news[count].receipt)
            count += 1
        taken, self._news = self._news[:count], self._news[count:]
        self._note_room()
        return taken

    def close(self) -> None:
        """Nobody listens any more."""
        self.is_closed = True

    def _note_room(self) -> None:
        """A refusal is no room yet: its word waits here until the client reads it."""
        if self._outstanding + len(self._news) > STREAM_OUTSTANDING_MAX:
            self._has_room.clear()
        else:
            self._has_room.set()
