"""Offers, agreements and what the ledger's events make of them, on a real database."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.ledger.v1 import events_pb2 as ledger_events
from icn.ledger.v1.state_pb2 import HoldLeaf
from icn.marketplace.v1 import events_pb2
from icn.marketplace.v1 import service_pb2 as pb
from icn_kit import block_clock
from icn_kit.block_clock import EVENT_HEIGHTS_AHEAD_MAX
from icn_kit.envelope import new_event_id
from icn_kit.errors import DomainError, Unavailable
from icn_marketplace.domain.agreement import AgreementState
from icn_marketplace.domain.identifiers import derive_identifier
from icn_marketplace.domain.limits import ABSENCE_MARGIN_MS, DAY_MS, HOLD_DUE_MS
from icn_marketplace.events.ledger_holds import CAPTURED, PLACED, RELEASED
from icn_marketplace.store.photos import PhotoQueries
from icn_marketplace.usecases.accept_offer import accept_offer
from icn_marketplace.usecases.add_photo import add_photo
from icn_marketplace.usecases.close_offer import close_offer
from icn_marketplace.usecases.confirm_delivery import confirm_delivery
from icn_marketplace.usecases.ports import AccountSeen, PostingSeen
from icn_marketplace.usecases.publish_offer import publish_offer
from icn_marketplace.usecases.report_delivery import report_delivery
from icn_marketplace.usecases.report_return import report_return
from icn_marketplace.usecases.withdraw_agreement import withdraw_agreement

from services.marketplace.tests.conftest import GENESIS, NOW, Market, Person

UNIT = b"u" * 16
PRICE = 450
JPEG = b"\xff\xd8\xff\xe0 a photo"


def identifier(name: str) -> bytes:
    return bytes.fromhex(name.rpartition("/")[2])


@dataclass
class Trade:
    """An offer of bread and somebody who wants some."""

    market: Market
    baker: Person
    anna: Person
    account: bytes
    offer: bytes
    source: bytes = b"s" * 16

    async def accept(self, quantity: int = 2, by: Person | None = None, **changes: Any) -> pb.Agreement:
        values = {"expire_time_ms": NOW + 60_000, "price_minor": PRICE, **changes}
        request = pb.AcceptOffer(offer=self.offer, quantity=quantity, **values)
        answer = await accept_offer(self.market.command(by or self.anna, request), self.market.context)
        return answer.agreement

    def hold(self, agreement: pb.Agreement, **changes: Any) -> HoldLeaf:
        values: dict[str, Any] = {
            "hold": identifier(agreement.commitments[1].name),
            "source": self.source,
            "destination": self.account,
            "remaining_minor": agreement.amount_minor,
            "expire_time_ms": agreement.expire_time_ms,
        }
        return HoldLeaf(**{**values, **changes})

    async def place(self, agreement: pb.Agreement, **changes: Any) -> EventEnvelope:
        placed = ledger_events.HoldPlaced(height=7, hold=self.hold(agreement, **changes))
        return await self.tell(PLACED, placed)

    async def capture(self, agreement: pb.Agreement, amount_minor: int | None = None) -> EventEnvelope:
        captured = ledger_events.HoldCaptured(
            height=8,
            block_time_ms=NOW + 500,
            hold=identifier(agreement.commitments[1].name),
            source=self.source,
            destination=self.account,
            amount_minor=agreement.amount_minor if amount_minor is None else amount_minor,
        )
        return await self.tell(CAPTURED, captured)

    async def release(self, agreement: pb.Agreement, *, is_expired: bool) -> EventEnvelope:
        released = ledger_events.HoldReleased(height=9, hold=self.hold(agreement), is_expired=is_expired)
        return await self.tell(RELEASED, released)

    async def tell(self, subject: str, payload: Any) -> EventEnvelope:
        event = EventEnvelope(
            id=new_event_id(),
            zone=GENESIS[:16],
            height=7,
            schema_version=1,
            subject=subject,
            aggregate="holds/x",
            payload=payload.SerializeToString(),
        )
        await self.market.tell(event)
        return event

    async def report(self, agreement: pb.Agreement, by: Person | None = None) -> pb.Agreement:
        request = pb.ReportDelivery(agreement=identifier(agreement.name))
        command = self.market.command(by or self.baker, request)
        return (await report_delivery(command, self.market.context)).agreement

    async def confirm(self, agreement: pb.Agreement, by: Person | None = None) -> pb.Agreement:
        request = pb.ConfirmDelivery(agreement=identifier(agreement.name))
        command = self.market.command(by or self.anna, request)
        return (await confirm_delivery(command, self.market.context)).agreement

    async def withdraw(self, agreement: pb.Agreement, by: Person) -> pb.Agreement:
        request = pb.WithdrawAgreement(agreement=identifier(agreement.name))
        command = self.market.command(by, request)
        return (await withdraw_agreement(command, self.market.context)).agreement

    async def left(self) -> int:
        offer = await self.market.queries.offer(self.offer)
        assert offer is not None
        return offer.quantity_left

    async def evidence(self) -> list[tuple[str, str, str]]:
        """Dimension, reason of a failure, about whom."""
        told = []
        for event in await self.market.events():
            name = event.subject.rpartition(".")[2]
            if name == "commitment_fulfilled":
                fulfilled = events_pb2.CommitmentFulfilled.FromString(event.payload)
                told.append((fulfilled.dimension, "", self.name_of(fulfilled.about)))
            elif name == "commitment_failed":
                failed = events_pb2.CommitmentFailed.FromString(event.payload)
                told.append((failed.dimension, failed.reason, self.name_of(failed.about)))
        return told

    def name_of(self, principal: bytes) -> str:
        return self.market.people.known[principal].name


@pytest.fixture
async def trade(market: Market) -> Trade:
    baker, anna = market.people.person("baker"), market.people.person("anna")
    account = b"c" * 16
    market.ledger.accounts[account] = AccountSeen(baker.principal, UNIT)
    request = pb.PublishOffer(
        action=pb.OFFER_ACTION_TRANSFER,
        title="Rye bread",
        specification="bread",
        quantity=10,
        measure="loaf",
        price_minor=PRICE,
        account=account,
        fulfil_within_ms=60_000,
    )
    published = await publish_offer(market.command(baker, request), market.context)
    assert published.offer.unit == f"units/{UNIT.hex()}"
    return Trade(market, baker, anna, account, identifier(published.offer.name))


async def test_an_order_is_agreed_held_delivered_and_settled(trade: Trade) -> None:
    agreement = await trade.accept()
    assert (agreement.amount_minor, agreement.hold) == (2 * PRICE, pb.HOLD_STATE_ABSENT)
    await trade.place(agreement)
    assert (await trade.report(agreement)).hold == pb.HOLD_STATE_HELD
    confirmed = await trade.confirm(agreement)
    assert confirmed.commitments[0].state == pb.COMMITMENT_STATE_FULFILLED
    assert confirmed.state == pb.AGREEMENT_STATE_OPEN
    await trade.capture(agreement)
    after = await trade.market.agreement(agreement.name)
    assert after.state is AgreementState.SETTLED
    assert await trade.evidence() == [("delivery", "", "baker"), ("payment", "", "anna")]
    assert (await trade.market.event_names())[-1] == "agreement_ended"
    assert await trade.left() == 8


async def test_events_that_come_again_change_nothing(trade: Trade) -> None:
    agreement = await trade.accept()
    events = [await trade.place(agreement), await trade.capture(agreement)]
    await trade.confirm(agreement)
    before = await trade.market.event_names()
    for event in events:
        assert not await trade.market.tell(event)
    assert await trade.market.event_names() == before


@pytest.mark.parametrize("is_hold_first", [True, False])
async def test_the_hold_may_come_before_the_agreement(trade: Trade, is_hold_first: bool) -> None:
    request = pb.AcceptOffer(offer=trade.offer, quantity=1, price_minor=PRICE, expire_time_ms=NOW + 60_000)
    command = trade.market.command(trade.anna, request)
    payment = derive_identifier(GENESIS, command.id, "payment")
    hold = HoldLeaf(
        hold=payment,
        source=trade.source,
        destination=trade.account,
        remaining_minor=PRICE,
        expire_time_ms=NOW + 60_000,
    )
    captured = ledger_events.HoldCaptured(hold=payment, amount_minor=PRICE, block_time_ms=NOW + 1)
    if is_hold_first:
        await trade.tell(PLACED, ledger_events.HoldPlaced(hold=hold))
        await trade.tell(CAPTURED, captured)
        answer = await accept_offer(command, trade.market.context)
        assert answer.agreement.hold == pb.HOLD_STATE_CAPTURED
    else:
        await asyncio.gather(
            accept_offer(command, trade.market.context),
            trade.tell(PLACED, ledger_events.HoldPlaced(hold=hold)),
        )
        await trade.tell(CAPTURED, captured)
        answer = await accept_offer(command, trade.market.context)
    settled = await trade.confirm(answer.agreement)
    assert settled.state == pb.AGREEMENT_STATE_SETTLED


async def test_holds_that_pay_nobody_here_are_not_kept(trade: Trade) -> None:
    agreement = await trade.accept()
    await trade.place(agreement, hold=b"z" * 16, destination=b"y" * 16)
    async with trade.market.database.connection() as connection:
        rows = await (await connection.execute("SELECT id FROM holds")).fetchall()
    assert rows == [(identifier(agreement.commitments[1].name),)]


async def test_the_last_loaf_is_sold_once(trade: Trade) -> None:
    people = [trade.market.people.person(str(number)) for number in range(30)]
    answers = await asyncio.gather(*(trade.accept(1, person) for person in people), return_exceptions=True)
    sold = [answer for answer in answers if isinstance(answer, pb.Agreement)]
    refused = [answer.reason for answer in answers if isinstance(answer, DomainError)]
    assert (len(sold), len(refused), set(refused)) == (10, 20, {"OFFER_CLOSED"})
    assert await trade.left() == 0


async def test_what_is_never_paid_is_released_only_when_that_is_certain(trade: Trade) -> None:
    agreement = await trade.accept()
    market = trade.market
    certain_ms = agreement.expire_time_ms + ABSENCE_MARGIN_MS
    assert await market.expire(agreement.expire_time_ms - 1) == 0
    assert await market.expire(certain_ms - 1) == 0
    market.ledger.is_stream_handled = False
    assert await market.expire(certain_ms) == 0
    market.ledger.is_stream_handled = True
    market.ledger.holds = {identifier(agreement.commitments[1].name)}
    assert await market.expire(certain_ms) == 0
    market.ledger.holds = set()
    assert (await market.agreement(agreement.name)).state is AgreementState.OPEN
    assert await market.expire(certain_ms) == 1
    assert await market.expire(certain_ms + 1) == 0
    assert (await market.agreement(agreement.name)).state is AgreementState.LAPSED
    assert await trade.evidence() == [("payment", "not_paid", "anna")]
    assert await trade.left() == 10


async def test_a_forged_release_of_a_hold_that_lasts_gives_nothing_up(
    trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreement = await trade.accept()
    await trade.place(agreement)
    market = trade.market
    market.ledger.holds = {identifier(agreement.commitments[1].name)}

    def released(height: int) -> EventEnvelope:
        payload = ledger_events.HoldReleased(height=height, hold=trade.hold(agreement), is_expired=True)
        return EventEnvelope(id=new_event_id(), subject=RELEASED, payload=payload.SerializeToString())

    forged = released(9)
    assert not await market.holds.is_true(forged)
    assert (await market.agreement(agreement.name)).state is AgreementState.OPEN
    monkeypatch.setattr(block_clock, "BEHIND_SECONDS_MAX", 0.05)
    for height, reason in ((100 + EVENT_HEIGHTS_AHEAD_MAX, "LEDGER_BEHIND"), (165, "EVENT_FROM_FUTURE")):
        with pytest.raises(DomainError) as refusal:
            await market.holds.is_true(released(height))  # the validators stand at 100
        assert refusal.value.reason == reason
    market.ledger.holds = set()
    true = released(100)
    assert await market.holds.is_true(true)
    await market.tell(true)
    assert (await market.agreement(agreement.name)).state is AgreementState.FAILED


async def test_a_release_is_not_disbelieved_because_of_validators_that_have_not_executed_it_yet(
    trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two have executed height 100, and the two that are asked stand at 99."""
    agreement = await trade.accept()
    await trade.place(agreement)
    market = trade.market

    async def still_held(_hold: bytes) -> int:
        return 99

    monkeypatch.setattr(market.ledger, "held_at", still_held)
    payload = ledger_events.HoldReleased(height=100, hold=trade.hold(agreement), is_expired=True)
    event = EventEnvelope(id=new_event_id(), subject=RELEASED, payload=payload.SerializeToString())
    with pytest.raises(Unavailable) as refusal:
        await market.holds.is_true(event)
    assert refusal.value.reason == "LEDGER_BEHIND"


async def test_an_offer_is_taken_hostage_for_ten_minutes_at_most(trade: Trade) -> None:
    """Also by an agreement that is to last a year, and by a hold of another amount under the payment's id."""
    market, year_ms = trade.market, NOW + 365 * DAY_MS
    hostage = await trade.accept(10, expire_time_ms=year_ms)
    assert (hostage.hold_due_time_ms, await trade.left()) == (NOW + HOLD_DUE_MS, 0)
    await trade.place(hostage, remaining_minor=1)
    market.ledger.holds = {identifier(hostage.commitments[1].name)}
    assert await market.expire(NOW + HOLD_DUE_MS + ABSENCE_MARGIN_MS - 1) == 0
    assert await market.expire(NOW + HOLD_DUE_MS + ABSENCE_MARGIN_MS) == 1
    after = await market.agreement(hostage.name)
    assert (after.state, after.ended_at_ms) == (AgreementState.LAPSED, NOW + HOLD_DUE_MS)
    assert await trade.left() == 10
    assert await trade.evidence() == [("payment", "not_paid", "anna")]


async def test_what_is_held_in_time_does_not_lapse_and_what_was_received_is_owed(trade: Trade) -> None:
    market, day_ms = trade.market, NOW + DAY_MS
    held, received = [await trade.accept(1, expire_time_ms=day_ms) for _ in range(2)]
    await trade.place(held)
    await trade.confirm(received)
    assert await market.expire(day_ms - 1) == 0
    assert await market.expire(day_ms + ABSENCE_MARGIN_MS) == 1
    assert (await market.agreement(received.name)).state is AgreementState.FAILED
    assert (await market.agreement(held.name)).state is AgreementState.OPEN


async def test_a_party_withdraws_while_nothing_is_held_and_the_quantity_is_on_offer_again(
    trade: Trade,
) -> None:
    market = trade.market
    for by in (trade.anna, trade.baker):
        agreement = await trade.accept(10)
        ended = await trade.withdraw(agreement, by)
        assert (ended.state, ended.hold) == (pb.AGREEMENT_STATE_LAPSED, pb.HOLD_STATE_RELEASED)
        assert await trade.left() == 10
        with pytest.raises(DomainError) as refused:
            await trade.withdraw(agreement, by)
        assert refused.value.reason == "AGREEMENT_ENDED"
    assert await trade.evidence() == []
    seen, unseen = [await trade.accept(1) for _ in range(2)]
    await trade.place(seen)
    market.ledger.holds = {identifier(unseen.commitments[1].name)}  # its event is on the way
    for agreement, by, reason in (
        (seen, trade.anna, "HOLD_PRESENT"),
        (unseen, trade.anna, "HOLD_PRESENT"),
        (seen, market.people.person("cora"), "NOT_A_PARTY"),
    ):
        with pytest.raises(DomainError) as refused:
            await trade.withdraw(agreement, by)
        assert refused.value.reason == reason
    with pytest.raises(DomainError) as refused:
        await trade.withdraw(pb.Agreement(name="agreements/" + "ab" * 16), trade.anna)
    assert refused.value.reason == "AGREEMENT_UNKNOWN"


async def test_the_provider_lets_a_hold_go_and_the_agreement_ends_at_the_next_look(trade: Trade) -> None:
    agreement, delivered = [await trade.accept(1, expire_time_ms=NOW + DAY_MS) for _ in range(2)]
    await trade.confirm(delivered)
    for one in (agreement, delivered):
        await trade.place(one)
        await trade.release(one, is_expired=False)
    assert await trade.market.expire(NOW + 700) == 2
    after = await trade.market.agreement(agreement.name)
    assert (after.state, after.ended_at_ms) == (AgreementState.FAILED, NOW + 700)
    assert (await trade.market.agreement(delivered.name)).state is AgreementState.WAIVED
    assert ("delivery", "withdrawn", "baker") in await trade.evidence()
    assert await trade.left() == 9


async def test_who_lets_ten_agreements_lapse_does_not_take_the_offer_again(trade: Trade) -> None:
    for _ in range(10):
        await trade.withdraw(await trade.accept(10), trade.anna)
    with pytest.raises(DomainError) as refused:
        await trade.accept(10)
    assert (refused.value.reason, refused.value.metadata) == (
        "TOO_MANY_LAPSED",
        {"lapsed": 10, "lapsed_max": 10},
    )
    await trade.accept(10, trade.market.people.person("ben"))


async def test_what_is_held_but_not_delivered_fails_by_the_holds_own_expiry(trade: Trade) -> None:
    agreement = await trade.accept()
    await trade.place(agreement)
    assert await trade.market.expire(agreement.expire_time_ms + ABSENCE_MARGIN_MS) == 0
    await trade.release(agreement, is_expired=True)
    assert (await trade.market.agreement(agreement.name)).state is AgreementState.FAILED
    assert await trade.evidence() == [("delivery", "not_delivered", "baker")]
    assert await trade.left() == 10


async def test_a_payment_that_is_captured_and_not_delivered_for_is_owed_back(trade: Trade) -> None:
    agreement = await trade.accept()
    await trade.place(agreement)
    await trade.capture(agreement)
    assert await trade.market.expire(agreement.expire_time_ms) == 1
    after = await trade.market.agreement(agreement.name)
    assert (after.state, after.return_owed_minor) == (AgreementState.FAILED, 2 * PRICE)
    await _give_back(trade, agreement)


async def test_a_capture_that_is_seen_late_is_owed_back_once(trade: Trade) -> None:
    agreement = await trade.accept()
    await trade.market.expire(agreement.expire_time_ms + ABSENCE_MARGIN_MS)
    await trade.place(agreement)
    await trade.capture(agreement)
    after = await trade.market.agreement(agreement.name)
    assert (after.state, after.return_owed_minor) == (AgreementState.LAPSED, 2 * PRICE)
    assert await trade.evidence() == [("payment", "not_paid", "anna")]
    await _give_back(trade, agreement)


async def _give_back(trade: Trade, agreement: pb.Agreement) -> None:
    """Every wrong way first."""
    market, ledger = trade.market, trade.market.ledger
    good, small, other = (secrets.token_bytes(32) for _ in range(3))
    ledger.transactions[good] = [PostingSeen(trade.account, trade.source, -2 * PRICE)]
    ledger.transactions[small] = [PostingSeen(trade.account, trade.source, -2 * PRICE + 1)]
    ledger.transactions[other] = [PostingSeen(trade.account, b"x" * 16, -2 * PRICE)]

    async def give_back(transaction: bytes, by: Person) -> pb.Agreement:
        request = pb.ReportReturn(agreement=identifier(agreement.name), transaction_id=transaction)
        return (await report_return(market.command(by, request), market.context)).agreement

    for transaction, by, reason in (
        (good, trade.anna, "NOT_A_PARTY"),
        (small, trade.baker, "TRANSFER_MISMATCH"),
        (other, trade.baker, "TRANSFER_MISMATCH"),
        (b"n" * 32, trade.baker, "TRANSACTION_UNKNOWN"),
    ):
        with pytest.raises(DomainError) as refused:
            await give_back(transaction, by)
        assert refused.value.reason == reason
    assert (await give_back(good, trade.baker)).return_owed_minor == 0
    with pytest.raises(DomainError) as refused:
        await give_back(good, trade.baker)
    assert refused.value.reason == "NOTHING_OWED"


async def test_one_transfer_gives_back_for_one_agreement_only(trade: Trade) -> None:
    transaction = secrets.token_bytes(32)
    trade.market.ledger.transactions[transaction] = [PostingSeen(trade.account, trade.source, -2 * PRICE)]
    agreements = [await trade.accept() for _ in range(2)]
    for agreement in agreements:
        await trade.place(agreement)
        await trade.capture(agreement)
    await trade.market.expire(agreements[0].expire_time_ms)
    outcomes = []
    for agreement in agreements:
        request = pb.ReportReturn(agreement=identifier(agreement.name), transaction_id=transaction)
        try:
            await report_return(trade.market.command(trade.baker, request), trade.market.context)
            outcomes.append("")
        except DomainError as error:
            outcomes.append(error.reason)
    assert outcomes == ["", "TRANSFER_USED"]


async def test_a_hold_that_is_not_as_agreed_is_no_payment(trade: Trade) -> None:
    agreement = await trade.accept()
    await trade.place(agreement, remaining_minor=1)
    await trade.capture(agreement, 1)
    assert (await trade.report(agreement)).hold == pb.HOLD_STATE_ABSENT
    await trade.place(agreement)
    await trade.capture(agreement)
    assert (await trade.confirm(agreement)).state == pb.AGREEMENT_STATE_SETTLED


async def test_words_of_the_wrong_party_and_late_words_are_refused(trade: Trade) -> None:
    agreement = await trade.accept()
    for say, by in ((trade.report, trade.anna), (trade.confirm, trade.baker)):
        with pytest.raises(DomainError) as refused:
            await say(agreement, by)
        assert refused.value.reason == "NOT_A_PARTY"
    await trade.confirm(agreement)
    for say_late in (trade.report, trade.confirm):
        with pytest.raises(DomainError) as refused:
            await say_late(agreement)
        assert refused.value.reason == "DELIVERY_ENDED"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantity": 0}, "FIELD_INVALID"),
        ({"quantity": 11}, "QUANTITY_EXCEEDED"),
        ({"quantity": 2**63}, "FIELD_INVALID"),
        ({"price_minor": PRICE - 1}, "PRICE_CHANGED"),
        ({"expire_time_ms": NOW + 59_999}, "FIELD_INVALID"),
        ({"expire_time_ms": 2**64 - 1}, "FIELD_INVALID"),
    ],
)
async def test_an_acceptance_that_does_not_fit_is_refused(
    trade: Trade, changes: dict[str, int], reason: str
) -> None:
    with pytest.raises(DomainError) as refused:
        await trade.accept(**changes)
    assert refused.value.reason == reason
    assert await trade.left() == 10


async def test_a_closed_offer_and_ones_own_are_not_accepted(trade: Trade) -> None:
    with pytest.raises(DomainError) as refused:
        await trade.accept(by=trade.baker)
    assert refused.value.reason == "OWN_OFFER"
    close = pb.CloseOffer(offer=trade.offer)
    with pytest.raises(DomainError) as refused:
        await close_offer(trade.market.command(trade.anna, close), trade.market.context)
    assert refused.value.reason == "NOT_YOUR_OFFER"
    closed = await close_offer(trade.market.command(trade.baker, close), trade.market.context)
    assert not closed.offer.is_open
    with pytest.raises(DomainError) as refused:
        await trade.accept()
    assert refused.value.reason == "OFFER_CLOSED"


async def test_one_receiver_keeps_at_most_50_agreements_with_an_offer_open(market: Market) -> None:
    baker, anna = market.people.person("baker"), market.people.person("anna")
    market.ledger.accounts[b"c" * 16] = AccountSeen(baker.principal, UNIT)
    request = pb.PublishOffer(
        action=pb.OFFER_ACTION_WORK,
        title="An hour",
        specification="hour",
        quantity=1_000,
        measure="h",
        price_minor=1,
        account=b"c" * 16,
        fulfil_within_ms=60_000,
    )
    published = await publish_offer(market.command(baker, request), market.context)
    trade = Trade(market, baker, anna, b"c" * 16, identifier(published.offer.name))
    for _ in range(50):
        await trade.accept(1, price_minor=1)
    with pytest.raises(DomainError) as refused:
        await trade.accept(1, price_minor=1)
    assert refused.value.reason == "TOO_MANY_AGREEMENTS"


async def test_an_offer_names_an_account_of_ones_own(market: Market) -> None:
    baker, anna = market.people.person("baker"), market.people.person("anna")
    market.ledger.accounts[b"c" * 16] = AccountSeen(anna.principal, UNIT)
    values: dict[str, Any] = {
        "action": pb.OFFER_ACTION_USE,
        "title": "Oven",
        "specification": "oven",
        "quantity": 1,
        "measure": "h",
        "price_minor": 1,
        "fulfil_within_ms": 60_000,
    }
    for account, action, reason in (
        (b"c" * 16, pb.OFFER_ACTION_USE, "NOT_ACCOUNT_OWNER"),
        (b"n" * 16, pb.OFFER_ACTION_USE, "ACCOUNT_UNKNOWN"),
        (b"c" * 16, pb.OFFER_ACTION_UNSPECIFIED, "FIELD_INVALID"),
        (b"c" * 16, 77, "FIELD_INVALID"),
    ):
        request = pb.PublishOffer(**{**values, "account": account, "action": action})
        with pytest.raises(DomainError) as refused:
            await publish_offer(market.command(baker, request), market.context)
        assert refused.value.reason == reason


async def test_a_photo_is_kept_sealed_and_read_back_and_repeated(trade: Trade) -> None:
    market = trade.market
    digest = sha256(JPEG).digest()
    command = market.command(trade.baker, pb.AddPhoto(offer=trade.offer, digest=digest))
    answer = await add_photo(command, JPEG, market.context)
    assert answer.photo == f"photos/{digest.hex()}"
    assert await add_photo(command, JPEG, market.context) == answer
    photos = PhotoQueries(market.database, market.blobs)
    assert await photos.get(digest) == (JPEG, "image/jpeg")
    assert await photos.get(b"x" * 32) is None
    async with market.database.connection() as connection:
        rows = await (await connection.execute("SELECT sealed FROM blobs")).fetchall()
    assert len(rows) == 1 and JPEG not in bytes(rows[0][0])
    async with market.database.transaction() as connection:
        await market.blobs.delete_subject(connection, f"principals/{trade.baker.principal.hex()}")
    assert await photos.get(digest) is None


async def test_a_photo_that_may_not_be_added_leaves_nothing(trade: Trade) -> None:
    market, digest = trade.market, sha256(JPEG).digest()
    for request, content, by, reason in (
        (pb.AddPhoto(offer=trade.offer, digest=digest), JPEG, trade.anna, "NOT_YOUR_OFFER"),
        (pb.AddPhoto(offer=trade.offer, digest=digest), b"", trade.baker, "PHOTO_DIGEST_MISMATCH"),
        (pb.AddPhoto(offer=trade.offer, digest=b"short"), JPEG, trade.baker, "FIELD_INVALID"),
        (pb.AddPhoto(digest=digest), JPEG, trade.baker, "FIELD_INVALID"),
        (pb.AddPhoto(offer=b"o" * 16, digest=digest), JPEG, trade.baker, "OFFER_UNKNOWN"),
        (pb.AddPhoto(resource=b"o" * 16, digest=digest), JPEG, trade.baker, "RESOURCE_UNKNOWN"),
        (
            pb.AddPhoto(resource=b"o" * 16, offer=trade.offer, digest=digest),
            JPEG,
            trade.baker,
            "FIELD_INVALID",
        ),
    ):
        with pytest.raises(DomainError) as refused:
            await add_photo(market.command(by, request), content, market.context)
        assert refused.value.reason == reason
    async with market.database.connection() as connection:
        rows = await (await connection.execute("SELECT 1 FROM blobs")).fetchall()
    assert rows == []


async def test_no_event_holds_a_title_or_a_note(trade: Trade) -> None:
    agreement = await trade.accept()
    await trade.place(agreement)
    await trade.confirm(agreement)
    await trade.capture(agreement)
    for event in await trade.market.events():
        assert b"Rye" not in event.SerializeToString()
