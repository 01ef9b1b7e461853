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

    def __len__(self) -> int:
        return len(self._waiters)

    def committed(self, identifier: bytes) -> tuple[int, bytes] | None:
        """Height and receipt of a transaction executed lately."""
        return self._committed.get(identifier)

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

    def commit(self, height: int, outcomes: Iterable[tuple[bytes, bytes]]) -> None:
        """A block was executed with these ids and receipts."""
        remembered = self._committed
        for identifier, receipt in outcomes:
            remembered[identifier] = (height, receipt)
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
        self, identifier: bytes, reason: str, message: str, retry_after_ms: int = 0, *, is_final: bool
    ) -> None:
        """The transaction has lost its place in the pool; unless that is final others may yet include it, so
        that nothing is known: who signed it anew might pay twice."""
        state = SubmitState.REFUSED if is_final else SubmitState.UNKNOWN
        self._end(identifier, state, reason, message, retry_after_ms)

    def close(self) -> None:
        """This validator stops: everybody who still waits is told to ask by id."""
        for identifier in list(self._waiters):
            self._end(identifier, SubmitState.UNKNOWN, "DRAINING", "this validator is stopping: ask by id")

    def _end(
        self, identifier: bytes, state: SubmitState, reason: str, message: str, retry_after_ms: int = 0
    ) -> None:
        for sink, position in self._waiters.pop(identifier, ()):
            if not sink.is_closed:
                news = News(position, identifier, state, reason, message, retry_after_ms=retry_after_ms)
                sink.tell(news)
