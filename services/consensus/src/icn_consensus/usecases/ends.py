"""What became of transactions, for those who wait to hear it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

REMEMBERED_MAX: Final = 20_000
"""Ends kept for who asks again soon; as many as the pool holds. The ledger answers by id for good."""
WAITERS_PER_TRANSACTION_MAX: Final = 16
"""Streams that may wait for the same transaction; a later one is told to ask by id."""


class SubmitState(IntEnum):
    """What is known of a submitted transaction; numbers as in service.proto."""

    PENDING = 1
    COMMITTED = 2
    REFUSED = 3
    EXPIRED = 4
    UNKNOWN = 5


class News(NamedTuple):
    """One word on one transaction of a call or stream; fields as in service.proto, SubmitOutcome."""

    position: int
    transaction_id: bytes
    state: SubmitState
    reason: str = ""
    message: str = ""
    height: int = 0
    receipt: bytes = b""
    retry_after_ms: int = 0


class Sink(Protocol):
    """A call or stream that wants news. Each position it submitted gets one last word, not PENDING."""

    @property
    def is_closed(self) -> bool:
        """Whether nobody listens any more."""

    def tell(self, news: News) -> None:
        """Take one word."""

    def fail(self, error: Exception) -> None:
        """The validator cannot say what becomes of the transactions: end the call or stream with this."""


class Ends:
    """Who waits for which transaction, and the ends of those that came to one lately."""

    def __init__(self, remembered_max: int = REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._waiters: dict[bytes, list[tuple[Sink, int]]] = {}
        self._committed: dict[bytes, tuple[int, bytes]] = {}
        self._undecided: dict[bytes, int] = {}
        """What has lost its place in this pool while others may include it: until when, by id."""
        self._undecided_until_ms = 0
        """Latest expiry of those that were forgotten: whatever expires by then may be one of them."""
        self._block_time_ms = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def committed(self, identifier: bytes) -> tuple[int, bytes] | None:
        """Height and receipt of a transaction executed lately."""
        return self._committed.get(identifier)

    def is_undecided(self, identifier: bytes, expire_time_ms: int) -> bool:
        """Whether others may include it for what was done here, although it has no place here any more."""
        may_be = identifier in self._undecided or 0 < expire_time_ms <= self._undecided_until_ms
        return may_be and expire_time_ms >= self._block_time_ms

    def wait(self, identifier: bytes, sink: Sink, position: int) -> None:
        """Tell ``sink`` PENDING now, and the end when it comes; UNKNOWN when too many wait already."""
        waiters = self._waiters.setdefault(identifier, [])
        if len(waiters) >= WAITERS_PER_TRANSACTION_MAX:
            waiters[:] = [waiter for waiter in waiters if not waiter[0].is_closed]
        if len(waiters) >= WAITERS_PER_TRANSACTION_MAX:
            sink.tell(
                News(
                    position, identifier, SubmitState.UNKNOWN, "TOO_MANY_WAIT", "many wait for it: ask by id"
                )
            )
            return
        waiters.append((sink, position))
        sink.tell(News(position, identifier, SubmitState.PENDING))

    def commit(self, height: int, block_time_ms: int, outcomes: Iterable[tuple[bytes, bytes]]) -> None:
        """A block of this time was executed with these ids and receipts."""
        self._block_time_ms = block_time_ms
        remembered = self._committed
        for identifier, receipt in outcomes:
            remembered[identifier] = (height, receipt)
            self._undecided.pop(identifier, None)
            for sink, position in self._waiters.pop(identifier, ()):
                if not sink.is_closed:
                    sink.tell(
                        News(position, identifier, SubmitState.COMMITTED, height=height, receipt=receipt)
                    )
        while len(remembered) > self._remembered_max:
            del remembered[next(iter(remembered))]

    def expire(self, identifier: bytes, message: str) -> None:
        """No block can include the transaction any more."""
        self._end(identifier, SubmitState.EXPIRED, "EXPIRED", message)

    def refuse(
        self, identifier: bytes, reason: str, message: str, retry_after_ms: int = 0, *, open_until_ms: int
    ) -> None:
        """The transaction has lost its place in the pool. Until its expiry ``open_until_ms`` others may yet
        include it, so that nothing is known: who signed it anew might pay twice. 0 where nobody may.
        """
        if not open_until_ms:
            self._end(identifier, SubmitState.REFUSED, reason, message, retry_after_ms)
            return
        self._undecided[identifier] = open_until_ms
        while len(self._undecided) > self._remembered_max:
            forgotten = self._undecided.pop(next(iter(self._undecided)))
            self._undecided_until_ms = max(self._undecided_until_ms, forgotten)
        self._end(identifier, SubmitState.UNKNOWN, reason, message, retry_after_ms)

    def close(self, reason: str = "DRAINING", why: str = "this validator is stopping") -> None:
        """This validator stops, or takes no part: everybody who still waits is told to ask by id."""
        for identifier in list(self._waiters):
            self._end(identifier, SubmitState.UNKNOWN, reason, f"{why}: ask by id")

    def _end(
        self, identifier: bytes, state: SubmitState, reason: str, message: str, retry_after_ms: int = 0
    ) -> None:
        for sink, position in self._waiters.pop(identifier, ()):
            if not sink.is_closed:
                news = News(position, identifier, state, reason, message, retry_after_ms=retry_after_ms)
                sink.tell(news)
