"""What co-ops share and trade: the tractor by the minute, bread by agreement, a fund by contract."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from icn.marketplace.v1 import service_pb2 as market
from icn_kit.errors import DomainError
from icn_wasm.assembly import contract as assembled

from icn_client import contract_calls, marketplace, transactions
from icn_client.acting import now_ms
from icn_client.contract_calls import Funds
from icn_client.story.stage import Member, Stage, StoryFailed, hours, wait_for

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
TOMORROW_MS: Final = 24 * HOUR_MS
SETTLED_SECONDS_MAX: Final = 60.0
PERMITTED_SECONDS_MAX: Final = 60.0
"""A membership becomes a permission at the marketplace once identity has told of it."""
PAID_IN_MINOR: Final = 20_00
ASKED_MINOR: Final = 45_00


async def bookings(stage: Stage) -> None:
    """Two want the tractor at overlapping times; one has it, the other waits and gets the next slot free."""
    bruno, goran = stage.members["Bruno"], stage.members["Goran"]
    farm = stage.coops["Harvest Farm"].actor.principal
    tractor = market.AddResource(
        owner=farm,
        title="Tractor",
        specification="tractor",
        rules=marketplace.booking_rules(),
    )
    added = await _once_permitted(stage, bruno, tractor)
    resource = marketplace.bare_id(added.resource.name)
    start = (now_ms() + TOMORROW_MS) // HOUR_MS * HOUR_MS
    wishes = (
        (bruno, start, start + 2 * HOUR_MS),
        (goran, start + HOUR_MS, start + 3 * HOUR_MS),
    )
    answers = await asyncio.gather(
        *(
            marketplace.write(
                stage.connection,
                member.identity,
                market.BookResource(
                    resource=resource, start_time_ms=begin, end_time_ms=end, if_taken=market.IF_TAKEN_WAIT
                ),
            )
            for member, begin, end in wishes
        )
    )
    states = sorted(answer.booking.state for answer in answers)
    stage.check(
        states == [market.BOOKING_STATE_BOOKED, market.BOOKING_STATE_WAITING],
        "Bruno wants it from 0 to 2 h, Goran from 1 to 3 h, at the same moment: one has it, one waits",
    )
    late = next(n for n, answer in enumerate(answers) if answer.booking.state == market.BOOKING_STATE_WAITING)
    slot, waiting = answers[late].next_free_slot, wishes[late][0]
    taken = answers[1 - late].booking
    stage.check(
        slot.end_time_ms - slot.start_time_ms == 2 * HOUR_MS
        and (slot.start_time_ms >= taken.end_time_ms or slot.end_time_ms <= taken.start_time_ms),
        f"{waiting.name} is offered the next free slot, {(slot.start_time_ms - start) // MINUTE_MS} min on",
    )
    again = await marketplace.write(
        stage.connection,
        waiting.identity,
        market.BookResource(
            resource=resource, start_time_ms=slot.start_time_ms, end_time_ms=slot.end_time_ms
        ),
    )
    stage.check(again.booking.state == market.BOOKING_STATE_BOOKED, f"{waiting.name} books it")


async def order(stage: Stage) -> None:
    """An offer becomes an agreement, a delivery, a settlement: the saga over marketplace and ledger."""
    anna, dina = stage.members["Anna"], stage.members["Dina"]
    before = (await stage.balance("Anna")).balance_minor, (await stage.balance("Dina")).balance_minor
    offer = market.PublishOffer(
        action=market.OFFER_ACTION_TRANSFER,
        title="Rye bread",
        specification="bread",
        quantity=40,
        measure="loaf",
        price_minor=50,
        account=anna.account,
        fulfil_within_ms=24 * HOUR_MS,
        expire_time_ms=now_ms() + TOMORROW_MS,
    )
    published = (await marketplace.write(stage.connection, anna.identity, offer)).offer
    accept = market.AcceptOffer(
        offer=marketplace.bare_id(published.name),
        quantity=10,
        price_minor=50,
        expire_time_ms=now_ms() + 2 * TOMORROW_MS,
    )
    agreement = (await marketplace.write(stage.connection, dina.identity, accept)).agreement
    await stage.act(dina.actor, marketplace.place_payment(agreement, dina.account))
    stage.show(f"Dina orders 10 of Anna's 40 loaves: {hours(agreement.amount_minor)} are held on the ledger")
    identifier = marketplace.bare_id(agreement.name)
    await _reaches(stage, identifier, lambda shown: shown.hold == market.HOLD_STATE_HELD)
    await marketplace.write(stage.connection, anna.identity, market.ReportDelivery(agreement=identifier))
    await marketplace.write(stage.connection, dina.identity, market.ConfirmDelivery(agreement=identifier))
    await stage.act(anna.actor, marketplace.capture_payment(agreement))
    await _reaches(stage, identifier, lambda shown: shown.state == market.AGREEMENT_STATE_SETTLED)
    after = (await stage.balance("Anna")).balance_minor, (await stage.balance("Dina")).balance_minor
    stage.check(
        (after[0] - before[0], after[1] - before[1]) == (agreement.amount_minor, -agreement.amount_minor),
        f"delivered, confirmed, captured: the agreement is settled, {hours(agreement.amount_minor)} for Anna",
    )


async def fund(stage: Stage) -> None:
    """A mutual-aid fund: a contract of three people, who pay in, ask and approve."""
    people = [stage.members[name] for name in ("Anna", "Bruno", "Carla")]
    asking = people[1]
    code = assembled("mutual_aid_fund")
    bakery = stage.coops["Sunrise Bakery"].actor
    await stage.act(bakery, transactions.store_code(code))
    terms = {
        "unit": stage.unit.hex(),
        "approvals": "2",
        "members": ",".join(person.actor.principal.hex() for person in people),
    }
    made = contract_calls.new_contract(
        contract_calls.code_id(code), json.dumps(terms, separators=(",", ":")).encode(), units=[stage.unit]
    )
    await stage.act(bakery, made.message)
    stage.contract = made.contract
    stage.show(f"{len(code)} bytes of WebAssembly run in every validator's vm; they own an account")
    for person in people:
        pay_in = await contract_calls.call_of(
            stage.connection, made.contract, b'{"pay_in":{}}', funds=Funds(person.account, PAID_IN_MINOR)
        )
        await stage.act(person.actor, pay_in)
    before = (await stage.balance(asking.name)).balance_minor
    ask = json.dumps({"ask": {"amount": str(ASKED_MINOR)}}, separators=(",", ":")).encode()
    await stage.act(asking.actor, await contract_calls.call_of(stage.connection, made.contract, ask))
    approve = await contract_calls.call_of(
        stage.connection, made.contract, b'{"approve":{"ask":"1"}}', declared=[asking.account]
    )
    await stage.act(people[0].actor, approve)
    stage.check(
        (await stage.balance(asking.name)).balance_minor == before,
        f"{asking.name} asks the fund for {hours(ASKED_MINOR)}; one approval is not enough",
    )
    await stage.act(people[2].actor, approve)
    pool = (await stage.connection.account(made.accounts[stage.unit])).leaf.balance_minor
    stage.check(
        ((await stage.balance(asking.name)).balance_minor - before, pool)
        == (ASKED_MINOR, len(people) * PAID_IN_MINOR - ASKED_MINOR),
        f"the second is: {hours(ASKED_MINOR)} for {asking.name}, {hours(pool)} stay in the fund",
    )


async def _once_permitted(
    stage: Stage, member: Member, request: market.AddResource
) -> market.AddResourceResponse:
    """The answer once the marketplace knows of the member; until then it refuses."""
    refusal: DomainError | None = None
    answer: list[market.AddResourceResponse] = []

    async def is_taken() -> bool:
        nonlocal refusal
        try:
            answer.append(await marketplace.write(stage.connection, member.identity, request))
        except DomainError as error:
            refusal = error
        return bool(answer)

    if not await wait_for(is_taken, PERMITTED_SECONDS_MAX):
        raise StoryFailed(f"{member.name} may not offer what {member.coop} owns: {refusal}")
    return answer[0]


async def _reaches(stage: Stage, agreement: bytes, is_so: object) -> None:
    async def is_there() -> bool:
        return bool(is_so(await marketplace.get_agreement(stage.connection, agreement)))  # type: ignore[operator]

    if not await wait_for(is_there, SETTLED_SECONDS_MAX):
        shown = await marketplace.get_agreement(stage.connection, agreement)
        raise StoryFailed(f"the marketplace has not seen the ledger's hold move: {shown}")
