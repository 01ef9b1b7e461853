"""Sends signed transactions and brings back a definite end for each, whatever happens to the validators.

A transaction's id does not depend on who takes it, so sending the same bytes again is safe: what looks lost
is asked by id first and then sent again, to another validator. The doors to the validators are ports, so that
this module is tested without a network; `icn_client.connection` has the real ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from icn_kit.errors import LASTING_REASONS
from icn_kit.lifecycle import cancel_all

from icn_client.transactions import Signed

BATCH_TRANSACTIONS_MAX: Final = 250
"""Per streamed message: fills in under 200 ms at 1,500 a second, and an eighth of a leader's block."""
WINDOW_DEFAULT: Final = 3_000
"""Outstanding transactions: four proposals of the usual 700, so that validators never run dry. With more,
each waits longer, and what depends on it with it."""
RESEND_SECONDS: Final = 10.0
"""A transaction with no news for so long is asked by id and, if nobody has it, sent again."""
RETRY_SECONDS_MAX: Final = 5.0
"""Longest wait that a validator's retry_after is believed."""
DOUBT_TRIES_MAX: Final = 6
"""How often a refusal is tried again that a validator behind the others may give: for 3 to 6 s. One that is
farther behind says so, and is not asked at all."""
DOUBT_SECONDS: Final = 0.5
UNREACHABLE_SECONDS: Final = 60.0
"""How long no validator at all may answer: twice the bound on resuming after a heal (promise P4)."""
STALLED_SECONDS: Final = 120.0
"""How long validators may answer without any transaction coming to its end: four times that bound."""
RECONNECT_SECONDS: Final = 0.25
ASK_CONCURRENCY: Final = 32
CARETAKER_SECONDS: Final = 0.5

DOUBTFUL_REASONS: Final = frozenset(
    {"CONTROLLER_UNKNOWN", "SEQUENCE_GAP", "PAYER_NOT_ALLOWED", "KEY_UNKNOWN"}
)
"""Refusals that a validator may give because it has not executed what the sender has seen committed."""
SEQUENCE_USED: Final = "SEQUENCE_USED"
USED_TRIES_MAX: Final = 3
"""How often a validator's word that the sequence is used is followed by a question by id."""
EXPIRED: Final = "EXPIRED"
"""A pool says so by its own clock, while the transaction may still commit elsewhere; only block time past the
expiry ends it.
"""


class End(Enum):
    """What became of a transaction."""

    COMMITTED = "committed"
    """A final block includes it; the receipt says whether it had an effect."""
    REFUSED = "refused"
    """No pool takes it; its sequence is not used."""
    EXPIRED = "expired"
    """Its expiry passed in block time without inclusion; its sequence is not used."""


class NewsState(Enum):
    """What one validator says of a transaction."""

    PENDING = "pending"
    COMMITTED = "committed"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class News:
    """One validator's word on one transaction."""

    transaction_id: bytes
    state: NewsState
    height: int = 0
    receipt: bytes = b""
    reason: str = ""
    message: str = ""
    retry_after_ms: int = 0
    """Above zero: the pool is full, the transaction may be sent again after so long."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The definite end of one transaction."""

    signed: Signed
    end: End
    height: int = 0
    """Block that includes it, when committed."""
    receipt: bytes = b""
    """Canonical bytes of the ledger's receipt, when committed."""
    reason: str = ""
    message: str = ""


class DoorClosed(Exception):
    """The validator does not answer, or ended the stream; nothing is known of what it held."""


class TransactionMalformed(Exception):
    """A validator could not read what we sent: our bug, and it names no id to settle."""


class DoorStream(Protocol):
    """A stream to one validator."""

    async def send(self, transactions: Sequence[bytes]) -> None:
        """Hand over some transactions. Raises DoorClosed."""

    def news(self) -> AsyncIterator[Sequence[News]]:
        """What the validator says, until the stream ends. Raises DoorClosed."""

    async def close(self) -> None:
        """End the stream."""


class Door(Protocol):
    """One validator."""

    @property
    def name(self) -> str:
        """For messages."""

    async def open(self) -> DoorStream:
        """Start a stream. Raises DoorClosed."""

    async def find(self, transaction_id: bytes) -> News | None:
        """COMMITTED news if a block that this validator executed includes it. Raises DoorClosed."""

    async def block_time_ms(self) -> int:
        """Time of the newest block it executed. Raises DoorClosed."""


class NobodyAnswers(Exception):
    """No validator answered for UNREACHABLE_SECONDS, or nothing was committed for STALLED_SECONDS; the
    outcomes still missing are unknown.
    """

    def __init__(self, missing: int, why: str) -> None:
        super().__init__(f"{why}; the outcome of {missing} transactions is unknown")
        self.missing = missing


class _Entry:
    __slots__ = (
        "doubts",
        "due_at",
        "expire_time_ms",
        "is_elsewhere",
        "is_queued",
        "is_unanswered",
        "sends",
        "signed",
        "told_at",
        "uses_told",
    )

    def __init__(self, signed: Signed, expire_time_ms: int) -> None:
        self.signed = signed
        self.expire_time_ms = expire_time_ms
        self.sends = 0
        self.doubts = self.uses_told = 0
        self.told_at = time.monotonic()
        """When anything was last heard, or done about it."""
        self.due_at: float | None = None
        self.is_queued = False
        self.is_unanswered = True
        """Sent on the stream, and not a word about it on that stream since."""
        self.is_elsewhere = False
        """Whether validators may have it that nobody hears of on this stream: those that the one which could
        not say had told of it, or one whose stream broke. Then another one's refusal is not the end: who
        signs the payment anew pays twice when that one commits."""


class Submitter:
    """Keeps a bounded number of transactions under way; use it as an async context.

    Put transactions while there is ``room``, take outcomes as they come; each transaction put gets exactly
    one.
    """

    def __init__(self, doors: Sequence[Door], window: int = WINDOW_DEFAULT) -> None:
        assert doors, "there is at least one validator"
        self._doors = list(doors)
        self._window = window
        self._entries: dict[bytes, _Entry] = {}
        self._queue: deque[_Entry] = deque()
        self._has_queued = asyncio.Event()
        self._outcomes: list[Outcome] = []
        self._has_outcomes = asyncio.Event()
        self._has_room = asyncio.Event()
        self._promises: dict[bytes, asyncio.Future[Outcome]] = {}
        """Outcomes that a `submit` waits for; those of others are taken."""
        self._failure: BaseException | None = None
        self._current: DoorStream | None = None
        self._settled_at = time.monotonic()
        self._at = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.failovers = 0
        """How often the stream was opened anew."""

    async def __aenter__(self) -> Submitter:
        for work in (self._keep_streaming(), self._take_care()):
            task = asyncio.create_task(work)
            task.add_done_callback(self._note_failure)
            self._tasks.append(task)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await cancel_all(self._tasks)

    @property
    def room(self) -> int:
        """How many more transactions may be put now."""
        return self._window - len(self._entries)

    @property
    def outstanding(self) -> int:
        """Transactions without an outcome yet."""
        return len(self._entries)

    def put(self, signed: Signed, expire_time_ms: int) -> None:
        """Have a transaction sent. There must be room; a transaction under way is not put again."""
        assert self.room > 0, "callers put only while there is room"
        assert signed.transaction_id not in self._entries, "each transaction is put once"
        if not self._entries:
            self._settled_at = time.monotonic()
        entry = _Entry(signed, expire_time_ms)
        self._entries[signed.transaction_id] = entry
        self._enqueue(entry)

    async def take(self) -> list[Outcome]:
        """Outcomes since the last call, at least one; waits for it.

        Raises:
            NobodyAnswers: see there.
        """
        assert self._outcomes or self._entries, "nothing is under way"
        while not self._outcomes:
            if self._failure is not None:
                raise self._failure
            await self._has_outcomes.wait()
            self._has_outcomes.clear()
        taken, self._outcomes = self._outcomes, []
        return taken

    async def submit(self, signed: Sequence[Signed], expire_time_ms: int) -> list[Outcome]:
        """Put all, however many; outcomes in the same order. May be called by several at once.

        Raises:
            NobodyAnswers: see there.
        """
        promises: list[asyncio.Future[Outcome]] = []
        for one in signed:
            while self.room <= 0 and self._failure is None:
                self._has_room.clear()
                await self._has_room.wait()
            if self._failure is not None:
                raise self._failure
            promise = asyncio.get_running_loop().create_future()
            self.put(one, expire_time_ms)
            self._promises[one.transaction_id] = promise
            promises.append(promise)
        return list(await asyncio.gather(*promises))

    # --- queue

    def _enqueue(self, entry: _Entry) -> None:
        if not entry.is_queued:
            entry.is_queued = True
            entry.due_at = None
            self._queue.append(entry)
            self._has_queued.set()

    def _next_batch(self) -> list[_Entry]:
        batch: list[_Entry] = []
        while self._queue and len(batch) < BATCH_TRANSACTIONS_MAX:
            entry = self._queue.popleft()
            entry.is_queued = False
            if entry.signed.transaction_id in self._entries:
                batch.append(entry)
        if not self._queue:
            self._has_queued.clear()
        return batch

    def _settle(self, entry: _Entry, outcome: Outcome) -> None:
        if self._entries.pop(entry.signed.transaction_id, None) is not None:
            self._settled_at = time.monotonic()
            self._has_room.set()
            promise = self._promises.pop(entry.signed.transaction_id, None)
            if promise is None:
                self._outcomes.append(outcome)
                self._has_outcomes.set()
            elif not promise.done():
                promise.set_result(outcome)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self._has_outcomes.set()
            self._has_room.set()
            for promise in self._promises.values():
                if not promise.done():
                    promise.set_exception(error)
            self._promises.clear()

    # --- streaming

    async def _keep_streaming(self) -> None:
        answered_at = time.monotonic()
        reason = "nothing tried"
        while True:
            if not self._entries:
                await self._has_queued.wait()
                answered_at = time.monotonic()
            door = self._doors[self._at % len(self._doors)]
            try:
                async with contextlib.aclosing(_Opened(await door.open())) as stream:
                    await self._recover(door)
                    await self._stream(stream.inner)
                    answered_at = time.monotonic()
            except DoorClosed as closed:
                reason = f"{door.name}: {closed}"
            self._at += 1
            self.failovers += 1
            if time.monotonic() - answered_at > UNREACHABLE_SECONDS:
                raise NobodyAnswers(len(self._entries), f"no validator answers; {reason}")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _stream(self, stream: DoorStream) -> None:
        """Write and read until either side ends."""
        self._current = stream
        writer = asyncio.create_task(self._write(stream))
        try:
            async for batch in stream.news():
                for news in batch:
                    self._hear(news)
        except DoorClosed:
            pass
        finally:
            self._current = None
            await cancel_all([writer])

    async def _write(self, stream: DoorStream) -> None:
        try:
            while True:
                await self._has_queued.wait()
                batch = self._next_batch()
                now = time.monotonic()
                for entry in batch:
                    entry.sends += 1
                    entry.told_at = now
                    entry.is_unanswered = True
                if batch:
                    await stream.send([entry.signed.data for entry in batch])
        except DoorClosed:
            await stream.close()  # ends the reader, and with it this stream

    async def _recover(self, door: Door) -> None:
        """After a broken stream: ask by id what became of everything sent, send again what nobody has."""
        sent = [entry for entry in self._entries.values() if entry.sends]
        await self._ask(door, sent)
        for entry in sent:
            entry.is_elsewhere = True
            if entry.signed.transaction_id in self._entries:
                self._enqueue(entry)

    async def _ask(self, door: Door, entries: Collection[_Entry]) -> None:
        limit = asyncio.Semaphore(ASK_CONCURRENCY)

        async def ask(entry: _Entry) -> None:
            async with limit:
                news = await door.find(entry.signed.transaction_id)
            entry.told_at = time.monotonic()
            if news is not None:
                self._hear(news)

        results = await asyncio.gather(*(ask(entry) for entry in entries), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _hear(self, news: News) -> None:
        entry = self._entries.get(news.transaction_id)
        if entry is None:
            return  # settled by an earlier word
        now = time.monotonic()
        entry.told_at = now
        entry.is_unanswered = False
        if news.state is NewsState.COMMITTED and news.receipt:
            self._settle(entry, Outcome(entry.signed, End.COMMITTED, news.height, news.receipt))
        elif news.state is NewsState.REFUSED and news.reason != EXPIRED:
            self._hear_refusal(entry, news, now)
        elif news.state is not NewsState.PENDING:
            # Unknown, committed without a receipt, or expired by one validator's word: ask by id and by block
            # time.
            entry.is_elsewhere = True
            self._doubt(entry, now)

    def _hear_refusal(self, entry: _Entry, news: News, now: float) -> None:
        if news.retry_after_ms > 0:
            entry.due_at = now + min(news.retry_after_ms / 1000, RETRY_SECONDS_MAX)
            return
        if news.reason == SEQUENCE_USED:  # perhaps by this very transaction
            entry.uses_told += 1
            is_open = entry.uses_told <= USED_TRIES_MAX
        elif news.reason in LASTING_REASONS:
            is_open = False
        else:
            is_doubtful = news.reason in DOUBTFUL_REASONS or entry.sends > 1
            is_open = entry.is_elsewhere or (is_doubtful and entry.doubts < DOUBT_TRIES_MAX)
        if is_open:
            self._doubt(entry, now)
        else:
            outcome = Outcome(entry.signed, End.REFUSED, reason=news.reason, message=news.message)
            self._settle(entry, outcome)

    def _doubt(self, entry: _Entry, now: float) -> None:
        """Ask about it soon; what stays doubtful, now and then."""
        entry.doubts += 1
        entry.due_at = now + (DOUBT_SECONDS if entry.doubts <= DOUBT_TRIES_MAX else RETRY_SECONDS_MAX)

    # --- caretaker

    async def _take_care(self) -> None:
        """Ask about what is due or has had no news, and send it again unless it is settled."""
        turn = 0
        while True:
            await asyncio.sleep(CARETAKER_SECONDS)
            now = time.monotonic()
            if self._entries and now - self._settled_at > STALLED_SECONDS:
                raise NobodyAnswers(
                    len(self._entries), f"nothing came to its end for {STALLED_SECONDS:.0f} s"
                )
            due = [
                entry
                for entry in self._entries.values()
                if not entry.is_queued
                and (
                    (entry.due_at is not None and entry.due_at <= now)
                    or (entry.sends and now - entry.told_at > RESEND_SECONDS)
                )
            ]
            if not due:
                continue
            turn += 1
            door = self._doors[(self._at + turn) % len(self._doors)]
            with contextlib.suppress(DoorClosed):
                await self._look_after(door, due)
            if self._current is not None and any(entry.sends > 1 and entry.is_unanswered for entry in due):
                await self._current.close()  # it takes transactions and says nothing: try the next validator

    async def _look_after(self, door: Door, due: Collection[_Entry]) -> None:
        # The time first: who has executed past the expiry and then does not know the id never will include
        # it.
        block_time_ms = await door.block_time_ms()
        await self._ask(door, due)
        for entry in due:
            if entry.signed.transaction_id not in self._entries:
                continue
            if block_time_ms > entry.expire_time_ms:
                self._settle(entry, Outcome(entry.signed, End.EXPIRED, reason=EXPIRED))
            else:
                self._enqueue(entry)


class _Opened:
    """Closes a stream as `contextlib.aclosing` expects."""

    def __init__(self, inner: DoorStream) -> None:
        self.inner = inner

    async def aclose(self) -> None:
        await self.inner.close()
