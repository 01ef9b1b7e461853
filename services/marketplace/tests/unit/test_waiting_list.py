"""The waiting list through its use cases, with bookings in memory: whatever people do, nobody starves."""

from __future__ import annotations

import asyncio
from itertools import combinations
from typing import Any, Self

from hypothesis import given, settings
from hypothesis import strategies as st
from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import DomainError
from icn_marketplace.domain.booking import Booking, BookingState
from icn_marketplace.domain.limits import MINUTE_MS
from icn_marketplace.domain.resource import BookingRules, Resource, Span
from icn_marketplace.usecases.announce import Announcer
from icn_marketplace.usecases.book_resource import book_resource
from icn_marketplace.usecases.cancel_booking import cancel_booking
from icn_marketplace.usecases.context import Context
from icn_marketplace.usecases.end_booking import end_booking
from icn_marketplace.usecases.permissions import PermissionsAt

from services.marketplace.tests.conftest import GENESIS, NOW, KnownRelations, TestClock, TestLedger

TRACTOR = b"t" * 16
PEOPLE = [bytes([number]) * 16 for number in range(1, 4)]
RULES = BookingRules(b"", 0, 1_440, 0, 1, 1_440, 1)


class Memory:
    """Implements the ports of a unit of work that bookings need; bookings in the order of asking."""

    def __init__(self) -> None:
        self.kept: dict[bytes, Booking] = {}
        self.commands = self.resources = self.bookings = self.outbox = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def commit(self) -> None:
        pass

    async def claim(self, _: object) -> None:
        pass

    async def answer(self, *_: object) -> None:
        pass

    async def lock(self, _: bytes) -> Resource:
        return Resource(TRACTOR, b"o" * 16, b"o" * 16, "Tractor", "", "tractor", RULES, (), NOW)

    async def add(self, *added: Any) -> int:
        for one in added:
            if isinstance(one, Booking):
                self.kept[one.booking] = one
        return 1

    async def get(self, booking: bytes) -> Booking:
        return self.kept[booking]

    async def change(self, booking: Booking) -> None:
        self.kept[booking.booking] = booking

    async def count_own(self, *_: object) -> int:
        return 0

    async def count_waiting(self, *_: object) -> int:
        return 0

    def booked(self) -> list[Booking]:
        return [one for one in self.kept.values() if one.state is BookingState.BOOKED]

    def waits(self, now_ms: int) -> list[Booking]:
        kept = self.kept.values()
        return [one for one in kept if one.state is BookingState.WAITING and one.span.start_ms > now_ms]

    async def is_taken(self, _: bytes, span: Span) -> bool:
        return any(one.span.overlaps(span) for one in self.booked())

    async def has_own(self, _: bytes, booker: bytes, span: Span) -> bool:
        return any(one.span.overlaps(span) for one in self.booked() if one.booker == booker)

    async def booked_spans(self, _: bytes, from_ms: int, limit: int) -> list[Span]:
        return sorted(one.span for one in self.booked() if one.span.end_ms > from_ms)[:limit]

    async def booked_over(self, _: bytes, _spans: object) -> list[Span]:
        return [one.span for one in self.booked()]

    async def waiting(self, _: bytes, freed: Span, now_ms: int) -> list[Booking]:
        return [one for one in self.waits(now_ms) if one.span.overlaps(freed)]

    async def own_waits(self, _: bytes, booker: bytes, span: Span, now_ms: int) -> list[Booking]:
        return [one for one in self.waits(now_ms) if one.booker == booker and one.span.overlaps(span)]

    async def waited_spans(self, _: bytes, but_of: bytes, from_ms: int, now_ms: int) -> list[Span]:
        waits = self.waits(now_ms)
        return [one.span for one in waits if one.booker != but_of and one.span.end_ms > from_ms]


steps = st.lists(
    st.tuples(
        st.sampled_from(["refuse", "wait", "wait", "next", "next", "cancel", "cancel", "end", "later"]),
        st.integers(0, len(PEOPLE) - 1),
        st.integers(1, 12),
        st.integers(1, 12),
    ),
    min_size=4,
    max_size=25,
)


@settings(max_examples=400)
@given(history=steps)
def test_no_wait_is_left_that_is_free_or_that_its_own_booker_blocks(
    history: list[tuple[str, int, int, int]],
) -> None:
    asyncio.run(_live(history))


async def _live(history: list[tuple[str, int, int, int]]) -> None:
    memory, clock, ledger = Memory(), TestClock(), TestLedger()
    context = Context(
        genesis_hash=GENESIS,
        units=lambda: memory,  # type: ignore[arg-type,return-value]
        clock=clock,
        permissions=PermissionsAt(KnownRelations(), 0),
        ledger=ledger,
        block_time=ledger,
        announcer=Announcer(GENESIS),
    )
    if_taken = {"refuse": pb.IF_TAKEN_REFUSE, "wait": pb.IF_TAKEN_WAIT, "next": pb.IF_TAKEN_NEXT_SLOT}
    for number, (action, person, start, length) in enumerate(history):

        def command(by: bytes, request: Any, number: int = number) -> Command[Any]:
            return Command(number.to_bytes(32, "big"), "", by, 0, 0, request, b"", b"")

        alive = [one for one in memory.kept.values() if one.state is not BookingState.CANCELLED]
        chosen = alive[start % len(alive)] if alive else None
        others = await memory.waited_spans(TRACTOR, PEOPLE[person], 0, clock.ms)
        try:
            if action == "later":
                clock.ms += length * MINUTE_MS
            elif action in if_taken:
                span = Span(clock.ms + start * MINUTE_MS, clock.ms + (start + length) * MINUTE_MS)
                was_taken = await memory.is_taken(TRACTOR, span)
                request = pb.BookResource(
                    resource=TRACTOR,
                    start_time_ms=span.start_ms,
                    end_time_ms=span.end_ms,
                    if_taken=if_taken[action],
                )
                answer = await book_resource(command(PEOPLE[person], request), context)
                if was_taken and action == "next":  # a day is long enough for all of them
                    got = Span(answer.booking.start_time_ms, answer.booking.end_time_ms)
                    assert not any(got.overlaps(wait) for wait in others)
            elif chosen is not None and action == "cancel":
                cancel = pb.CancelBooking(booking=chosen.booking)
                await cancel_booking(command(chosen.booker, cancel), context)
            elif chosen is not None:
                end_ms = max(chosen.span.start_ms + MINUTE_MS, clock.ms)
                end = pb.EndBooking(booking=chosen.booking, end_time_ms=end_ms)
                await end_booking(command(chosen.booker, end), context)
        except DomainError:
            pass
        booked, waits = memory.booked(), memory.waits(clock.ms)
        assert not any(one.span.overlaps(other.span) for one, other in combinations(booked, 2))
        for wait in waits:
            blocking = [one for one in booked if one.span.overlaps(wait.span)]
            assert blocking, "the whole span is free, and it still waits"
            assert all(one.booker != wait.booker for one in blocking), "it waits for its own booker"
