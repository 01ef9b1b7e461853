"""Bookings on a real database: the race, the queue, repeats."""

from __future__ import annotations

import asyncio
import random
import secrets
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from icn.marketplace.v1 import events_pb2
from icn.marketplace.v1 import service_pb2 as pb
from icn_kit.commands import Command
from icn_kit.errors import DomainError, FailedPrecondition
from icn_kit.permissions import HeightNotReached
from icn_marketplace.domain.booking import Booking, BookingState
from icn_marketplace.domain.limits import MINUTE_MS
from icn_marketplace.domain.resource import Span
from icn_marketplace.usecases.add_resource import add_resource
from icn_marketplace.usecases.book_resource import book_resource
from icn_marketplace.usecases.cancel_booking import cancel_booking
from icn_marketplace.usecases.end_booking import end_booking
from icn_marketplace.usecases.patience import with_newest_permissions

from services.marketplace.tests.conftest import NOW, Market, Person, always_open, wish


async def tractor(market: Market, **rules: int) -> bytes:
    farm = market.people.person("farm")
    request = pb.AddResource(
        owner=farm.principal,
        title="Tractor",
        specification="tractor",
        rules=always_open(**rules),
    )
    added = await add_resource(market.command(farm, request), market.context)
    return bytes.fromhex(added.resource.name.removeprefix("resources/"))


async def booked(market: Market, resource: bytes) -> list[Span]:
    return await market.queries.booked_spans(resource, 0)


def no_two_overlap(spans: list[Span]) -> bool:
    return all(first.end_ms <= second.start_ms for first, second in pairwise(spans))


async def test_of_200_who_want_the_same_hour_one_gets_it_and_everybody_a_definite_answer(
    market: Market,
) -> None:
    resource = await tractor(market)
    people = [market.people.person(f"member {number}") for number in range(200)]
    commands = [market.command(person, wish(resource, 60, 120)) for person in people]
    answers = await asyncio.gather(
        *(book_resource(command, market.context) for command in commands), return_exceptions=True
    )
    won = [answer for answer in answers if isinstance(answer, pb.BookResourceResponse)]
    refused = [answer for answer in answers if isinstance(answer, FailedPrecondition)]
    assert (len(won), len(refused)) == (1, 199)
    assert {refusal.reason for refusal in refused} == {"BOOKING_OVERLAPS"}
    assert {refusal.metadata["next_start_time_ms"] for refusal in refused} == {NOW + 120 * MINUTE_MS}
    assert await booked(market, resource) == [Span(NOW + 60 * MINUTE_MS, NOW + 120 * MINUTE_MS)]


async def test_of_200_who_take_the_next_slot_all_are_booked_one_after_the_other(market: Market) -> None:
    resource = await tractor(market)
    commands = [
        market.command(market.people.person(f"{number}"), wish(resource, 60, 70, pb.IF_TAKEN_NEXT_SLOT))
        for number in range(200)
    ]
    await asyncio.gather(*(book_resource(command, market.context) for command in commands))
    assert await booked(market, resource) == [
        Span(NOW + start * MINUTE_MS, NOW + (start + 10) * MINUTE_MS) for start in range(60, 2_060, 10)
    ]


async def test_two_want_the_tractor_one_wins_and_the_other_gets_the_next_slot(market: Market) -> None:
    resource = await tractor(market)
    anna, ben = market.people.person("anna"), market.people.person("ben")
    first = await book_resource(market.command(anna, wish(resource, 60, 180)), market.context)
    assert first.booking.state == pb.BOOKING_STATE_BOOKED
    with pytest.raises(DomainError) as refused:
        await book_resource(market.command(ben, wish(resource, 120, 240)), market.context)
    assert refused.value.reason == "BOOKING_OVERLAPS"
    assert refused.value.metadata == {
        "next_start_time_ms": NOW + 180 * MINUTE_MS,
        "next_end_time_ms": NOW + 300 * MINUTE_MS,
    }
    next_slot = market.command(ben, wish(resource, 120, 240, pb.IF_TAKEN_NEXT_SLOT))
    second = await book_resource(next_slot, market.context)
    assert second.booking.start_time_ms == NOW + 180 * MINUTE_MS
    assert second.booking.end_time_ms == NOW + 300 * MINUTE_MS
    assert await market.event_names() == ["resource_added", "booking_made", "booking_made"]


async def test_the_database_itself_refuses_an_overlap(market: Market) -> None:
    resource = await tractor(market)
    span = Span(NOW + MINUTE_MS, NOW + 3 * MINUTE_MS)
    inside = Span(NOW + 2 * MINUTE_MS, NOW + 4 * MINUTE_MS)
    touching = Span(NOW + 3 * MINUTE_MS, NOW + 4 * MINUTE_MS)

    async def insert(own: Span, state: BookingState) -> None:
        async with market.context.units() as uow:
            booking = Booking(secrets.token_bytes(16), resource, b"x" * 16, own, state, NOW)
            await uow.bookings.add(booking)
            await uow.commit()

    await insert(span, BookingState.BOOKED)
    await insert(inside, BookingState.WAITING)
    await insert(touching, BookingState.BOOKED)
    with pytest.raises(DomainError) as refused:
        await insert(inside, BookingState.BOOKED)
    assert refused.value.reason == "BOOKING_OVERLAPS"
    async with market.database.connection() as connection:
        with pytest.raises(psycopg.errors.ExclusionViolation):
            await connection.execute("UPDATE bookings SET state = 'booked'")
        await connection.rollback()


async def test_a_cancellation_promotes_who_waits_in_order_and_once(market: Market) -> None:
    resource = await tractor(market)
    anna, ben, cora, dan = (market.people.person(name) for name in ("anna", "ben", "cora", "dan"))
    first = await book_resource(market.command(anna, wish(resource, 60, 120)), market.context)
    waits = []
    for person, start, end in ((ben, 90, 150), (cora, 60, 90), (dan, 60, 120)):
        command = market.command(person, wish(resource, start, end, pb.IF_TAKEN_WAIT))
        answer = await book_resource(command, market.context)
        assert answer.booking.state == pb.BOOKING_STATE_WAITING
        assert answer.next_free_slot.start_time_ms >= NOW + 120 * MINUTE_MS
        waits.append(answer.booking)
    assert [wait.queue_place for wait in waits] == [1, 2, 3]
    identifier = bytes.fromhex(first.booking.name.removeprefix("bookings/"))
    commands = [market.command(anna, pb.CancelBooking(booking=identifier)) for _ in range(8)]
    answers = await asyncio.gather(
        *(cancel_booking(command, market.context) for command in commands), return_exceptions=True
    )
    done = [answer for answer in answers if isinstance(answer, pb.CancelBookingResponse)]
    assert len(done) == 1
    assert [one.name for one in done[0].promoted] == [waits[0].name, waits[1].name]
    assert all(one.is_promoted for one in done[0].promoted)
    assert {answer.reason for answer in answers if isinstance(answer, DomainError)} == {"BOOKING_OVER"}
    seen = await market.queries.booking(bytes.fromhex(waits[2].name.removeprefix("bookings/")))
    assert seen is not None and seen.booking.state is BookingState.WAITING
    assert (await market.event_names()).count("booking_promoted") == 2


async def test_an_early_end_promotes_who_fits_into_the_freed_time(market: Market) -> None:
    resource = await tractor(market)
    anna, ben, cora = (market.people.person(name) for name in ("anna", "ben", "cora"))
    first = await book_resource(market.command(anna, wish(resource, 60, 120)), market.context)
    for person, start, end in ((ben, 80, 110), (cora, 100, 120)):
        await book_resource(
            market.command(person, wish(resource, start, end, pb.IF_TAKEN_WAIT)), market.context
        )
    identifier = bytes.fromhex(first.booking.name.removeprefix("bookings/"))
    request = pb.EndBooking(booking=identifier, end_time_ms=NOW + 90 * MINUTE_MS)
    answer = await end_booking(market.command(anna, request), market.context)
    assert answer.booking.end_time_ms == NOW + 90 * MINUTE_MS
    assert [one.booker for one in answer.promoted] == [f"principals/{cora.principal.hex()}"]
    assert (await market.event_names())[-2:] == ["booking_ended", "booking_promoted"]


async def test_taking_the_next_slot_ends_ones_own_wait_that_it_overlaps(market: Market) -> None:
    resource = await tractor(market)
    anna, ben, cora = (market.people.person(name) for name in ("anna", "ben", "cora"))
    first = await book_resource(market.command(anna, wish(resource, 480, 720)), market.context)
    kept = await book_resource(
        market.command(ben, wish(resource, 480, 600, pb.IF_TAKEN_WAIT)), market.context
    )
    waits = await book_resource(
        market.command(ben, wish(resource, 600, 840, pb.IF_TAKEN_WAIT)), market.context
    )
    slot = waits.next_free_slot
    assert (slot.start_time_ms, slot.end_time_ms) == (NOW + 720 * MINUTE_MS, NOW + 960 * MINUTE_MS)
    taken = await book_resource(market.command(ben, wish(resource, 720, 960)), market.context)
    assert [(one.name, one.state) for one in taken.replaced] == [
        (waits.booking.name, pb.BOOKING_STATE_CANCELLED)
    ]
    (event,) = [event for event in await market.events() if event.subject.endswith("booking_cancelled")]
    told = events_pb2.BookingCancelled.FromString(event.payload)
    assert told.is_from_queue and told.replaced_by.hex() == taken.booking.name.removeprefix("bookings/")
    later = await book_resource(
        market.command(cora, wish(resource, 540, 700, pb.IF_TAKEN_WAIT)), market.context
    )
    assert later.booking.queue_place == 2
    request = pb.CancelBooking(booking=bytes.fromhex(first.booking.name.removeprefix("bookings/")))
    cancelled = await cancel_booking(market.command(anna, request), market.context)
    assert [one.name for one in cancelled.promoted] == [kept.booking.name]
    with pytest.raises(DomainError) as refused:
        await book_resource(market.command(ben, wish(resource, 700, 800, pb.IF_TAKEN_WAIT)), market.context)
    assert refused.value.reason == "OWN_BOOKING_OVERLAPS"


async def test_the_next_slot_of_a_stranger_is_not_one_that_somebody_waits_for(market: Market) -> None:
    resource = await tractor(market, ahead_days_max=1)
    anna, ben, cora, dan = (market.people.person(name) for name in ("anna", "ben", "cora", "dan"))
    first = await book_resource(market.command(anna, wish(resource, 480, 720)), market.context)
    waits = await book_resource(
        market.command(ben, wish(resource, 600, 840, pb.IF_TAKEN_WAIT)), market.context
    )
    stranger = await book_resource(
        market.command(cora, wish(resource, 500, 600, pb.IF_TAKEN_NEXT_SLOT)), market.context
    )
    assert stranger.booking.start_time_ms == NOW + 840 * MINUTE_MS
    await book_resource(market.command(cora, wish(resource, 940, 2_000)), market.context)
    # Now there is no other in time.
    squeezed = await book_resource(
        market.command(dan, wish(resource, 500, 600, pb.IF_TAKEN_NEXT_SLOT)), market.context
    )
    assert squeezed.booking.start_time_ms == NOW + 720 * MINUTE_MS
    for one in (squeezed, first):
        request = pb.CancelBooking(booking=bytes.fromhex(one.booking.name.removeprefix("bookings/")))
        by = dan if one is squeezed else anna
        cancelled = await cancel_booking(market.command(by, request), market.context)
    assert [one.name for one in cancelled.promoted] == [waits.booking.name]


async def test_leaving_the_queue_promotes_nobody(market: Market) -> None:
    resource = await tractor(market)
    anna, ben = market.people.person("anna"), market.people.person("ben")
    await book_resource(market.command(anna, wish(resource, 60, 120)), market.context)
    waits = await book_resource(
        market.command(ben, wish(resource, 60, 120, pb.IF_TAKEN_WAIT)), market.context
    )
    identifier = bytes.fromhex(waits.booking.name.removeprefix("bookings/"))
    answer = await cancel_booking(market.command(ben, pb.CancelBooking(booking=identifier)), market.context)
    assert list(answer.promoted) == []
    (event,) = [event for event in await market.events() if event.subject.endswith("booking_cancelled")]
    assert events_pb2.BookingCancelled.FromString(event.payload).is_from_queue


async def test_a_repeat_gets_the_first_answer_also_at_the_same_time_and_later(market: Market) -> None:
    resource = await tractor(market)
    anna = market.people.person("anna")
    command = market.command(anna, wish(resource, 60, 120))
    answers = await asyncio.gather(*(book_resource(command, market.context) for _ in range(16)))
    assert all(answer == answers[0] for answer in answers)
    identifier = bytes.fromhex(answers[0].booking.name.removeprefix("bookings/"))
    await cancel_booking(market.command(anna, pb.CancelBooking(booking=identifier)), market.context)
    assert await book_resource(command, market.context) == answers[0]
    assert (await market.event_names()).count("booking_made") == 1


async def test_a_refusal_stores_nothing_and_the_same_command_may_succeed_later(market: Market) -> None:
    resource = await tractor(market)
    anna, ben = market.people.person("anna"), market.people.person("ben")
    first = await book_resource(market.command(anna, wish(resource, 60, 120)), market.context)
    command = market.command(ben, wish(resource, 60, 120))
    with pytest.raises(DomainError):
        await book_resource(command, market.context)
    identifier = bytes.fromhex(first.booking.name.removeprefix("bookings/"))
    await cancel_booking(market.command(anna, pb.CancelBooking(booking=identifier)), market.context)
    answer = await book_resource(command, market.context)
    assert answer.booking.state == pb.BOOKING_STATE_BOOKED


async def test_only_the_audience_books_and_only_those_who_belong_add(market: Market) -> None:
    farm, anna, ben = (market.people.person(name) for name in ("farm", "anna", "ben"))
    request = pb.AddResource(
        owner=farm.principal,
        title="Tractor",
        specification="tractor",
        rules=always_open(audience=farm.principal),
    )
    with pytest.raises(DomainError) as refused:
        await add_resource(market.command(anna, request), market.context)
    assert refused.value.reason == "NOT_A_MEMBER"
    market.join(anna, farm)
    added = await add_resource(market.command(anna, request), market.context)
    resource = bytes.fromhex(added.resource.name.removeprefix("resources/"))
    await book_resource(market.command(anna, wish(resource, 10, 20)), market.context)
    await book_resource(market.command(farm, wish(resource, 20, 30)), market.context)
    with pytest.raises(DomainError) as refused:
        await book_resource(market.command(ben, wish(resource, 30, 40)), market.context)
    assert refused.value.reason == "NOT_IN_AUDIENCE"
    market.join(ben, farm, "member_of_member")
    await book_resource(market.command(ben, wish(resource, 30, 40)), market.context)


async def judged_at(market: Market, command: Command[Any]) -> int | None:
    """The height that is kept with a command."""
    async with market.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT judged_at_height FROM commands WHERE id = %s", (command.id,)
        )
        row = await cursor.fetchone()
    assert row is not None
    height: int | None = row[0]
    return height


async def test_a_refusal_waits_for_a_membership_that_is_on_its_way(market: Market) -> None:
    farm, anna = market.people.person("farm"), market.people.person("anna")
    rules = always_open(audience=farm.principal)
    request = pb.AddResource(owner=farm.principal, title="Saw", specification="saw", rules=rules)
    market.permissions.arriving.add((anna.principal, "member", farm.principal))
    command = market.command(anna, request)
    added = await with_newest_permissions(lambda context: add_resource(command, context), market.context)
    assert added.resource.title == "Saw"


async def test_a_command_is_judged_at_the_newest_block_and_the_height_is_kept(market: Market) -> None:
    resource = await tractor(market)
    farm = next(person for person in market.people.known.values() if person.name == "farm")
    anna = market.people.person("anna")
    market.join(anna, farm)
    market.permissions.height, market.permissions.newest = 10, 17  # its tuples come while it waits
    request = pb.AddResource(owner=farm.principal, title="Saw", specification="saw", rules=always_open())
    command = market.command(anna, request)
    await with_newest_permissions(lambda context: add_resource(command, context), market.context)
    assert market.permissions.height == 17
    assert await judged_at(market, command) == 17
    unjudged = market.command(anna, wish(resource, 10, 20))
    await with_newest_permissions(lambda context: book_resource(unjudged, context), market.context)
    assert await judged_at(market, unjudged) is None


async def test_without_the_permissions_of_the_newest_block_nobody_is_judged(market: Market) -> None:
    """An office that ended long ago lets nobody through for as long as no checkpoint comes."""
    farm, anna = market.people.person("farm"), market.people.person("anna")
    market.join(anna, farm)
    market.permissions.height, market.permissions.newest = 10, 1_000_000
    market.permissions.is_late = True
    request = pb.AddResource(owner=farm.principal, title="Saw", specification="saw", rules=always_open())
    command = market.command(anna, request)
    with pytest.raises(HeightNotReached) as refusal:
        await with_newest_permissions(lambda context: add_resource(command, context), market.context)
    assert (refusal.value.asked, refusal.value.reached) == (1_000_000, 10)
    own = market.command(farm, request)  # nothing to judge: it does not wait for anybody
    assert await with_newest_permissions(lambda context: add_resource(own, context), market.context)


async def test_a_repeat_gets_its_answer_also_when_the_right_has_ended(market: Market) -> None:
    farm, anna = market.people.person("farm"), market.people.person("anna")
    market.join(anna, farm)
    request = pb.AddResource(owner=farm.principal, title="Saw", specification="saw", rules=always_open())
    command = market.command(anna, request)
    first = await add_resource(command, market.context)
    market.permissions.known.clear()
    assert await add_resource(command, market.context) == first


async def test_an_officer_of_the_owner_cancels_and_a_stranger_does_not(market: Market) -> None:
    resource = await tractor(market)
    farm = next(person for person in market.people.known.values() if person.name == "farm")
    anna, ben, cora = (market.people.person(name) for name in ("anna", "ben", "cora"))
    market.join(cora, farm, "officer")
    first = await book_resource(market.command(anna, wish(resource, 60, 120)), market.context)
    request = pb.CancelBooking(booking=bytes.fromhex(first.booking.name.removeprefix("bookings/")))
    with pytest.raises(DomainError) as refused:
        await cancel_booking(market.command(ben, request), market.context)
    assert refused.value.reason == "NOT_YOUR_BOOKING"
    answer = await cancel_booking(market.command(cora, request), market.context)
    assert answer.booking.state == pb.BOOKING_STATE_CANCELLED


async def test_one_principal_holds_at_most_20_at_once(market: Market) -> None:
    resource = await tractor(market)
    anna = market.people.person("anna")
    for number in range(20):
        await book_resource(market.command(anna, wish(resource, 10 + number, 11 + number)), market.context)
    with pytest.raises(DomainError) as refused:
        await book_resource(market.command(anna, wish(resource, 100, 110)), market.context)
    assert refused.value.reason == "TOO_MANY_BOOKINGS"
    market.clock.ms = NOW + 11 * MINUTE_MS
    await book_resource(market.command(anna, wish(resource, 100, 110)), market.context)


async def test_the_queue_holds_at_most_100(market: Market) -> None:
    resource = await tractor(market)
    await book_resource(market.command(market.people.person("anna"), wish(resource, 60, 120)), market.context)
    commands = [
        market.command(market.people.person(f"{number}"), wish(resource, 60, 120, pb.IF_TAKEN_WAIT))
        for number in range(101)
    ]
    answers = await asyncio.gather(
        *(book_resource(command, market.context) for command in commands), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, DomainError)]
    assert [refusal.reason for refusal in refused] == ["WAITING_LIST_FULL"]
    places = sorted(
        answer.booking.queue_place for answer in answers if isinstance(answer, pb.BookResourceResponse)
    )
    assert places == list(range(1, 101))


class Naive:
    """Bookings as sets of minutes."""

    def __init__(self) -> None:
        self.state: dict[str, tuple[int, int, str]] = {}
        self.queue: list[str] = []

    def taken(self) -> set[int]:
        minutes: set[int] = set()
        for start, end, state in self.state.values():
            if state == "booked":
                minutes |= set(range(start, end))
        return minutes

    def free(self, freed: set[int]) -> list[str]:
        promoted = []
        for name in self.queue:
            start, end, state = self.state[name]
            own = set(range(start, end))
            if state == "waiting" and own & freed and not own & self.taken():
                self.state[name] = (start, end, "booked")
                promoted.append(name)
        return promoted


async def test_a_random_history_is_as_a_naive_model_has_it(market: Market) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    resource = await tractor(market)
    people: dict[str, Person] = {}
    model = Naive()
    for step in range(150):
        names = [name for name, (_, _, state) in model.state.items() if state != "cancelled"]
        action = chance.random()
        if action < 0.6 or not names:
            person = market.people.person(str(step))
            start = chance.randrange(1, 120)
            end = start + chance.randrange(1, 30)
            command = market.command(person, wish(resource, start, end, pb.IF_TAKEN_WAIT))
            answer = await book_resource(command, market.context)
            state = "waiting" if set(range(start, end)) & model.taken() else "booked"
            model.state[answer.booking.name] = (start, end, state)
            people[answer.booking.name] = person
            if state == "waiting":
                model.queue.append(answer.booking.name)
            continue
        name = chance.choice(names)
        start, end, state = model.state[name]
        identifier = bytes.fromhex(name.removeprefix("bookings/"))
        if action < 0.85 or state == "waiting" or end - start < 2:
            model.state[name] = (start, end, "cancelled")
            cancelled = await cancel_booking(
                market.command(people[name], pb.CancelBooking(booking=identifier)), market.context
            )
            promoted = [one.name for one in cancelled.promoted]
            freed = set(range(start, end)) if state == "booked" else set()
        else:
            new_end = chance.randrange(start + 1, end)
            model.state[name] = (start, new_end, state)
            request = pb.EndBooking(booking=identifier, end_time_ms=NOW + new_end * MINUTE_MS)
            ended = await end_booking(market.command(people[name], request), market.context)
            promoted = [one.name for one in ended.promoted]
            freed = set(range(new_end, end))
        assert promoted == model.free(freed)
    expected = sorted(
        Span(NOW + start * MINUTE_MS, NOW + end * MINUTE_MS)
        for start, end, state in model.state.values()
        if state == "booked"
    )
    found = await booked(market, resource)
    assert found == expected
    assert no_two_overlap(found)
