"""From clients and other validators into the pool: checked by the application in batches, then forwarded."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from icn_kit.errors import DomainError, ErrorKind, Unavailable
from icn_kit.trace import current_trace

from icn_consensus.metrics import EVENTS_DROPPED, SUBMITTED
from icn_consensus.usecases.ends import Ends, News, Sink, SubmitState
from icn_consensus.usecases.pool import Admitted, Place, Pool, PoolItem
from icn_consensus.usecases.ports import Application, TransactionCheck

HALTED: Final = "VALIDATOR_HALTED"
CHECK_TRANSACTIONS_MAX: Final = 1_000
"""Of one CheckTransactions (application.proto)."""
CHECK_BYTES_MAX: Final = 2 * 1024 * 1024
"""Keeps a check of the largest transactions short and within gRPC's message limit."""
CHECK_INTERVAL_SECONDS: Final = 0.015
"""Between two calls on small batches: a call costs 290 µs of CPU whatever it holds (design §5), and the next
leaders are told of each batch. What comes alone waits for nothing."""
CHECKS_IN_FLIGHT_MAX: Final = 2
"""One that the application works on, one that waits behind it."""
WAITING_TRANSACTIONS_MAX: Final = 8_000
"""Not checked yet; about a second of work. Clients wait beyond it, forwarded batches are dropped."""
WAITING_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of those, as many bytes as the pool takes."""
QUARTERS_PER_PEER_MAX: Final = 2
"""Of both, what one other validator's forwarded ones may take: a faulty one leaves room for another."""
QUARTERS_FORWARDED_MAX: Final = 3
"""Of both, what all other validators' may take: the rest is always there for clients."""
SOURCE_TURN_TRANSACTIONS: Final = 250
"""Of one source in a call, a message of a client's stream: others wait for no more of a flood than what two
calls take of it. A call's own cost is 1 µs for each of so many."""
CHECK_TRIES_MAX: Final = 5
CHECK_RETRY_SECONDS: Final = 0.2
POOL_FULL: Final = "POOL_FULL"
"""Stable reason of a refusal for want of room; retry_after_ms says when to try again."""
HISTORY_MISSING: Final = "HISTORY_MISSING"
"""What an application that began with a snapshot says where it cannot know what was executed before."""
SEQUENCE_GAP: Final = "SEQUENCE_GAP"
SEQUENCE_USED: Final = "SEQUENCE_USED"
"""The application's reasons, also where only the pool knows of the gap, or of who stands there already."""
RETRY_AFTER_MS: Final = 500
"""What a client is told when the pool is full: about two full blocks are final after it."""

_AWAY: Final = (ErrorKind.UNAVAILABLE, ErrorKind.DEADLINE_EXCEEDED, ErrorKind.CANCELLED)


@dataclass(slots=True)
class _Load:
    """What waits to be checked."""

    transactions: int = 0
    size_bytes: int = 0

    def add(self, transactions: int, size_bytes: int) -> None:
        """Count more, or less."""
        self.transactions += transactions
        self.size_bytes += size_bytes

    def takes(self, transactions: int, size_bytes: int, *, quarters: int) -> bool:
        """Whether so much more stays within so many quarters of the bounds."""
        return (
            4 * (self.transactions + transactions) <= quarters * WAITING_TRANSACTIONS_MAX
            and 4 * (self.size_bytes + size_bytes) <= quarters * WAITING_BYTES_MAX
        )

    @property
    def is_full(self) -> bool:
        """Whether a bound is reached."""
        return self.transactions >= WAITING_TRANSACTIONS_MAX or self.size_bytes >= WAITING_BYTES_MAX


@dataclass(slots=True)
class _Offer:
    """Transactions from one place, not checked yet."""

    transactions: Sequence[bytes]
    sink: Sink | None
    first_position: int
    peer: bytes
    """Who forwarded them; empty for a client's."""
    traceparent: str = ""
    """Of the client's call, where that is sampled."""

    @property
    def source(self) -> object:
        """Who takes turns with others."""
        return self.peer if self.sink is None else id(self.sink)


_Entry = tuple[bytes, _Offer, int]
"""A transaction, where it came from, and its position there."""


class Admission:
    """Takes transactions; `run` keeps it going."""

    def __init__(
        self,
        application: Application,
        pool: Pool,
        ends: Ends,
        *,
        executed_height: Callable[[], int],
        on_admitted: Callable[[list[PoolItem], list[PoolItem]], None],
        halted: Callable[[], str] = lambda: "",
    ) -> None:
        """``on_admitted`` is told of new items from clients and of new ones from other validators; ``halted``
        says why this validator takes no part, and so hears of no end, empty while it does."""
        self._halted = halted
        self._application = application
        self._pool = pool
        self._ends = ends
        self._executed_height = executed_height
        self._on_admitted = on_admitted
        self._offers: dict[object, deque[_Offer]] = {}
        """By who handed them in, a client's call or stream or another validator; whose turn is next first."""
        self._waiting = _Load()
        self._forwarded = _Load()
        """Of it, what other validators forwarded."""
        self._by_peer: dict[bytes, _Load] = {}
        """The same by validator."""
        self._has_offers = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._tally: Counter[tuple[str, str]] = Counter()
        """Verdicts of one batch by source; looking a metric up costs as much as admitting a transaction."""
        self._in_flight = asyncio.Semaphore(CHECKS_IN_FLIGHT_MAX)

    async def submit(self, transactions: Sequence[bytes], sink: Sink, first_position: int) -> None:
        """Take a client's transactions; waits while too many wait to be checked.

        Raises:
            Unavailable: VALIDATOR_HALTED.
        """
        if why := self._halted():
            raise Unavailable(HALTED, f"{why}; hand in elsewhere")
        while not self._has_room.is_set():
            await self._has_room.wait()
        trace = current_trace.get()
        traceparent = trace.traceparent if trace is not None and trace.is_sampled else ""
        self._put(_Offer(transactions, sink, first_position, b"", traceparent))

    def offer(self, peer: bytes, transactions: Sequence[bytes]) -> None:
        """Take what another validator forwarded, or drop it when it has had its share of the room."""
        count, size_bytes = len(transactions), sum(map(len, transactions))
        of_peer = self._by_peer.setdefault(peer, _Load())
        if (
            count > CHECK_TRANSACTIONS_MAX
            or not self._has_room.is_set()
            or not of_peer.takes(count, size_bytes, quarters=QUARTERS_PER_PEER_MAX)
            or not self._forwarded.takes(count, size_bytes, quarters=QUARTERS_FORWARDED_MAX)
        ):
            EVENTS_DROPPED.labels("forwarded").inc(count)
            return
        self._put(_Offer(transactions, None, 0, peer))

    async def run(self) -> None:
        """Check what comes in, until cancelled."""
        checked_at = 0.0
        async with asyncio.TaskGroup() as group:
            while True:
                await self._has_offers.wait()
                if self._waiting.transactions < CHECK_TRANSACTIONS_MAX:
                    await asyncio.sleep(checked_at + CHECK_INTERVAL_SECONDS - time.monotonic())
                await self._in_flight.acquire()
                checked_at = time.monotonic()
                entries = self._next_entries()
                if entries:
                    group.create_task(self._check_and_admit(entries))
                else:
                    self._in_flight.release()

    def _put(self, offer: _Offer) -> None:
        if not offer.transactions:
            return
        self._offers.setdefault(offer.source, deque()).append(offer)
        self._count(offer, len(offer.transactions), sum(map(len, offer.transactions)))
        self._has_offers.set()
        if self._waiting.is_full:
            self._has_room.clear()

    def _count(self, offer: _Offer, transactions: int, size_bytes: int) -> None:
        self._waiting.add(transactions, size_bytes)
        if offer.sink is None:
            self._forwarded.add(transactions, size_bytes)
            self._by_peer[offer.peer].add(transactions, size_bytes)

    def _next_entries(self) -> list[_Entry]:
        """What one call checks, a turn of each source; what is in the pool already is settled on the way."""
        entries: list[_Entry] = []
        size_bytes = 0
        for source, offers in list(self._offers.items()):
            if len(entries) == CHECK_TRANSACTIONS_MAX:
                break
            del self._offers[source]
            turn = SOURCE_TURN_TRANSACTIONS
            while offers and turn and len(entries) < CHECK_TRANSACTIONS_MAX:
                offer = offers.popleft()
                taken, taken_bytes = 0, 0
                for data in offer.transactions[: min(turn, CHECK_TRANSACTIONS_MAX - len(entries))]:
                    # One that is larger than a check takes, which no block could hold, is refused in a check
                    # of its own: with others it could be more than the application's door lets in.
                    if entries and size_bytes + len(data) > CHECK_BYTES_MAX:
                        turn = taken
                        break
                    position = offer.first_position + taken
                    taken += 1
                    taken_bytes += len(data)
                    known = self._pool.find(data)
                    if known is None:
                        entries.append((data, offer, position))
                        size_bytes += len(data)
                    else:
                        self._meet(known, offer, position)
                turn -= taken
                self._count(offer, -taken, -taken_bytes)
                if taken < len(offer.transactions):
                    rest = offer.transactions[taken:]
                    first = offer.first_position + taken
                    offers.appendleft(_Offer(rest, offer.sink, first, offer.peer, offer.traceparent))
            if offers:
                self._offers[source] = offers  # behind the others
        if not self._offers:
            self._has_offers.clear()
        if not self._waiting.is_full:
            self._has_room.set()
        return entries

    def _meet(self, item: PoolItem, offer: _Offer, position: int) -> None:
        """A transaction came that is in the pool already."""
        if offer.sink is None:
            item.sent_to |= self._pool.bit(offer.peer)
        else:
            self._ends.wait(item.id, offer.sink, position)

    async def _check_and_admit(self, entries: list[_Entry]) -> None:
        try:
            checks = await self._check([entry[0] for entry in entries])
        except DomainError as error:
            refusal = Unavailable("APPLICATION_AWAY", f"the application cannot check: {error.reason}")
            for sink in {id(entry[1].sink): entry[1].sink for entry in entries}.values():
                if sink is not None:
                    sink.fail(refusal)
            return
        finally:
            self._in_flight.release()
        from_clients: list[PoolItem] = []
        from_peers: list[PoolItem] = []
        now = time.monotonic()
        for (data, offer, position), check in zip(entries, checks, strict=True):
            if offer.sink is None:
                item = self._admit_forwarded(data, offer.peer, check, now)
                if item is not None:
                    from_peers.append(item)
            elif not offer.sink.is_closed:
                item = self._admit_submitted(data, offer.sink, position, check, now)
                if item is not None:
                    item.traceparent = offer.traceparent
                    from_clients.append(item)
        for labels, count in self._tally.items():
            SUBMITTED.labels(*labels).inc(count)
        self._tally.clear()
        if from_clients or from_peers:
            self._on_admitted(from_clients, from_peers)

    async def _check(self, transactions: list[bytes]) -> list[TransactionCheck]:
        for attempt in range(1, CHECK_TRIES_MAX + 1):
            try:
                return await self._application.check(transactions)
            except DomainError as error:
                if error.kind not in _AWAY or attempt == CHECK_TRIES_MAX:
                    raise
            await asyncio.sleep(CHECK_RETRY_SECONDS)
        raise AssertionError("the last try returns or raises")

    def _admit_forwarded(
        self, data: bytes, peer: bytes, check: TransactionCheck, now: float
    ) -> PoolItem | None:
        if check.reason or self._ends.committed(check.transaction_id) is not None:
            self._tally["peer", "refused"] += 1
            return None
        admitted = self._add(data, check, now)
        self._tally["peer", admitted] += 1
        item = self._pool.get(check.transaction_id)
        if item is not None:
            item.sent_to |= self._pool.bit(peer)
        return item if admitted is Admitted.NEW else None

    def _admit_submitted(
        self, data: bytes, sink: Sink, position: int, check: TransactionCheck, now: float
    ) -> PoolItem | None:
        identifier = check.transaction_id
        committed = self._ends.committed(identifier)
        if committed is not None:
            height, receipt = committed
            sink.tell(News(position, identifier, SubmitState.COMMITTED, height=height, receipt=receipt))
        elif check.executed_height and check.executed_height > self._executed_height():
            self._ends.wait(identifier, sink, position)  # its receipt is on its way to us
        elif check.executed_height:
            message = f"executed at height {check.executed_height}: ask the ledger by id"
            sink.tell(
                News(
                    position,
                    identifier,
                    SubmitState.UNKNOWN,
                    "ALREADY_EXECUTED",
                    message,
                    check.executed_height,
                )
            )
        elif check.reason:
            sink.tell(News(position, identifier, self._no(check), check.reason, check.message))
        else:
            return self._admit_sound(data, sink, position, check, now)
        self._tally["client", "refused" if check.reason else "known"] += 1
        return None

    def _admit_sound(
        self, data: bytes, sink: Sink, position: int, check: TransactionCheck, now: float
    ) -> PoolItem | None:
        identifier = check.transaction_id
        admitted = self._add(data, check, now)
        self._tally["client", admitted] += 1
        is_new = admitted is Admitted.NEW
        if not is_new and admitted is not Admitted.KNOWN:
            reason, message, retry_after_ms = self._why_not(admitted, check.place)
            sink.tell(
                News(position, identifier, self._no(check), reason, message, retry_after_ms=retry_after_ms)
            )
            return None
        self._ends.wait(identifier, sink, position)
        return self._pool.get(identifier) if is_new else None

    def _no(self, check: TransactionCheck) -> SubmitState:
        """REFUSED only where it cannot commit by what was done here: that its sequence is executed is the
        end of it, of any other reason others may know better."""
        if check.reason == SEQUENCE_USED:
            return SubmitState.REFUSED
        is_unknown = check.reason == HISTORY_MISSING or self._ends.is_undecided(
            check.transaction_id, check.expire_time_ms
        )
        return SubmitState.UNKNOWN if is_unknown else SubmitState.REFUSED

    def _why_not(self, admitted: Admitted, place: Place) -> tuple[str, str, int]:
        """Reason, message and when to try again."""
        pool = self._pool
        if admitted is Admitted.RIVAL:
            return SEQUENCE_USED, f"another transaction of sequence {place.sequence} waits in this pool", 0
        if admitted is Admitted.BEHIND_GAP:
            message = f"sequence {place.sequence} has a gap before it, and no more may wait for that here"
            return SEQUENCE_GAP, message, 0
        if admitted is Admitted.PAYER_FULL:
            count, size_bytes = pool.of_payer(place.payer)
            message = f"{count} transactions of {size_bytes} bytes of the same payer wait here already"
        else:
            message = f"{len(pool)} transactions of {pool.size_bytes} bytes wait here already"
        return POOL_FULL, message, RETRY_AFTER_MS

    def _add(self, data: bytes, check: TransactionCheck, now: float) -> Admitted:
        """Add to the pool; where it is full, what no block could take yet makes room first."""
        pool, expire_time_ms = self._pool, check.expire_time_ms
        admitted = pool.add(check.transaction_id, data, expire_time_ms, now, check.place)
        while admitted is Admitted.FULL and (waiting := pool.first_to_leave()) is not None:
            open_until_ms = pool.open_until_ms(waiting)
            pool.remove(waiting.id)
            message = "the pool is full and no block could take it yet"
            self._ends.refuse(waiting.id, POOL_FULL, message, RETRY_AFTER_MS, open_until_ms=open_until_ms)
            admitted = pool.add(check.transaction_id, data, expire_time_ms, now, check.place)
        return admitted
