"""The submitter: a definite end for each transaction, whatever the validators do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from icn_client import submitter as module
from icn_client.submitter import (
    Door,
    DoorClosed,
    End,
    News,
    NewsState,
    NobodyAnswers,
    Submitter,
    TransactionMalformed,
)
from icn_client.transactions import Signed

EXPIRY = 10**15


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESEND_SECONDS", 0.15)
    monkeypatch.setattr(module, "DOUBT_SECONDS", 0.02)
    monkeypatch.setattr(module, "RETRY_SECONDS_MAX", 0.05)
    monkeypatch.setattr(module, "CARETAKER_SECONDS", 0.02)
    monkeypatch.setattr(module, "RECONNECT_SECONDS", 0.01)
    monkeypatch.setattr(module, "UNREACHABLE_SECONDS", 0.3)


def signed(number: int) -> Signed:
    return Signed(number.to_bytes(32, "big"), number.to_bytes(4, "big"))


def number_of(data: bytes) -> int:
    return int.from_bytes(data, "big")


class Chain:
    """What all validators have executed."""

    def __init__(self) -> None:
        self.executed: dict[int, int] = {}
        self.time_ms = 0

    def execute(self, number: int) -> int:
        """Height of the transaction, included once."""
        return self.executed.setdefault(number, len(self.executed) + 1)


Behaviour = Callable[["FakeStream", int], None]


class FakeStream:
    def __init__(self, door: FakeDoor) -> None:
        self.door = door
        self._news: asyncio.Queue[list[News] | None] = asyncio.Queue()

    async def send(self, transactions: Sequence[bytes]) -> None:
        for data in transactions:
            self.door.received.append(number_of(data))
            self.door.behaviour(self, number_of(data))

    def tell(self, number: int, state: NewsState, **values: object) -> None:
        self._news.put_nowait([News(number.to_bytes(32, "big"), state, **values)])  # type: ignore[arg-type]

    def commit(self, number: int) -> None:
        height = self.door.chain.execute(number)
        self.tell(number, NewsState.COMMITTED, height=height, receipt=b"receipt")

    def end(self) -> None:
        self._news.put_nowait(None)

    async def news(self) -> AsyncIterator[Sequence[News]]:
        while (batch := await self._news.get()) is not None:
            yield batch
        raise DoorClosed("ended")

    async def close(self) -> None:
        self.end()


class FakeDoor:
    def __init__(self, chain: Chain, behaviour: Behaviour, name: str = "one", is_away: bool = False) -> None:
        self.chain = chain
        self.behaviour = behaviour
        self.name = name
        self.is_away = is_away
        self.received: list[int] = []
        self.asked: list[int] = []
        self.opened = 0

    async def open(self) -> FakeStream:
        if self.is_away:
            raise DoorClosed("away")
        self.opened += 1
        return FakeStream(self)

    async def find(self, transaction_id: bytes) -> News | None:
        if self.is_away:
            raise DoorClosed("away")
        number = int.from_bytes(transaction_id, "big")
        self.asked.append(number)
        height = self.chain.executed.get(number)
        return (height and News(transaction_id, NewsState.COMMITTED, height, b"receipt")) or None

    async def block_time_ms(self) -> int:
        if self.is_away:
            raise DoorClosed("away")
        return self.chain.time_ms


def commits(stream: FakeStream, number: int) -> None:
    stream.tell(number, NewsState.PENDING)
    stream.commit(number)


async def submit(doors: Sequence[Door], count: int, window: int = 10) -> list[module.Outcome]:
    async with asyncio.timeout(10):
        async with Submitter(doors, window) as submitter:
            return await submitter.submit([signed(number) for number in range(1, count + 1)], EXPIRY)


async def test_every_transaction_gets_its_outcome_in_order_and_the_window_is_kept() -> None:
    most = 0

    def watch(stream: FakeStream, number: int) -> None:
        nonlocal most
        most = max(most, len(stream.door.received) - len(stream.door.chain.executed))
        commits(stream, number)

    door = FakeDoor(Chain(), watch)
    outcomes = await submit([door], 95)
    assert [number_of(outcome.signed.data) for outcome in outcomes] == list(range(1, 96))
    assert {outcome.end for outcome in outcomes} == {End.COMMITTED}
    assert door.received == list(range(1, 96)), "sent in order, each once"
    assert most <= 10


async def test_several_may_submit_at_once_and_each_gets_its_own_outcomes() -> None:
    door = FakeDoor(Chain(), commits)
    async with Submitter([door], window=3) as submitter:
        parts = await asyncio.wait_for(
            asyncio.gather(
                *(submitter.submit([signed(n) for n in range(10 * k, 10 * k + 5)], EXPIRY) for k in range(4))
            ),
            30,
        )
    for k, outcomes in enumerate(parts):
        expected = [signed(n).transaction_id for n in range(10 * k, 10 * k + 5)]
        assert [outcome.signed.transaction_id for outcome in outcomes] == expected
        assert {outcome.end for outcome in outcomes} == {End.COMMITTED}


async def test_what_a_broken_stream_left_unknown_is_asked_by_id_and_only_the_rest_is_sent_again() -> None:
    chain = Chain()

    def breaks(stream: FakeStream, number: int) -> None:
        if number <= 3:
            chain.execute(number)  # included, and nobody is told
        if number == 6:
            stream.end()

    first, second = FakeDoor(chain, breaks, "first"), FakeDoor(chain, commits, "second")
    outcomes = await submit([first, second], 6)
    assert {outcome.end for outcome in outcomes} == {End.COMMITTED}
    assert sorted(second.asked) == [1, 2, 3, 4, 5, 6]
    assert sorted(second.received) == [4, 5, 6]
    assert len(chain.executed) == 6


async def test_a_validator_that_is_away_is_passed_over() -> None:
    chain = Chain()
    away, there = FakeDoor(chain, commits, is_away=True), FakeDoor(chain, commits)
    assert len(await submit([away, there], 3)) == 3
    assert there.received == [1, 2, 3]


async def test_a_validator_that_says_nothing_is_left_for_another() -> None:
    chain = Chain()
    silent, there = FakeDoor(chain, lambda _stream, _number: None), FakeDoor(chain, commits)
    outcomes = await submit([silent, there], 3)
    assert {outcome.end for outcome in outcomes} == {End.COMMITTED}
    assert sorted(set(there.received)) == [1, 2, 3]


async def test_a_full_pool_is_tried_again_after_the_time_it_names() -> None:
    refused = set()

    def full(stream: FakeStream, number: int) -> None:
        if number not in refused:
            refused.add(number)
            stream.tell(number, NewsState.REFUSED, reason="POOL_FULL", retry_after_ms=30)
        else:
            commits(stream, number)

    door = FakeDoor(Chain(), full)
    outcomes = await submit([door], 4)
    assert {outcome.end for outcome in outcomes} == {End.COMMITTED}
    assert sorted(door.received) == [1, 1, 2, 2, 3, 3, 4, 4]


async def test_a_refusal_that_does_not_depend_on_who_is_behind_is_final_at_once() -> None:
    door = FakeDoor(
        Chain(),
        lambda stream, number: stream.tell(
            number, NewsState.REFUSED, reason="SIGNATURE_INVALID", message="no"
        ),
    )
    (outcome,) = await submit([door], 1)
    assert (outcome.end, outcome.reason, outcome.message) == (End.REFUSED, "SIGNATURE_INVALID", "no")
    assert door.received == [1]


async def test_a_used_sequence_that_was_ours_is_a_commit() -> None:
    chain = Chain()

    def already(stream: FakeStream, number: int) -> None:
        chain.execute(number)
        stream.tell(number, NewsState.REFUSED, reason="SEQUENCE_USED")

    (outcome,) = await submit([FakeDoor(chain, already)], 1)
    assert outcome.end is End.COMMITTED


async def test_a_used_sequence_that_was_somebody_else_s_is_a_refusal() -> None:
    door = FakeDoor(
        Chain(), lambda stream, number: stream.tell(number, NewsState.REFUSED, reason="SEQUENCE_USED")
    )
    (outcome,) = await submit([door], 1)
    assert (outcome.end, outcome.reason) == (End.REFUSED, "SEQUENCE_USED")


async def test_a_validator_that_is_behind_is_asked_again_until_it_knows_the_controller() -> None:
    tries = 0

    def behind(stream: FakeStream, number: int) -> None:
        nonlocal tries
        tries += 1
        if tries < 4:
            stream.tell(number, NewsState.REFUSED, reason="CONTROLLER_UNKNOWN")
        else:
            commits(stream, number)

    (outcome,) = await submit([FakeDoor(Chain(), behind)], 1)
    assert outcome.end is End.COMMITTED


@pytest.mark.parametrize("reason", ["SEQUENCE_GAP", "POOL_FULL", "ALLOWANCE_EXCEEDED"])
@pytest.mark.parametrize("first", [NewsState.UNKNOWN, None])
async def test_what_others_may_have_is_refused_by_nobody(first: NewsState | None, reason: str) -> None:
    """Told that it has no place in one pool, the sender would sign the payment anew, and pay twice when a
    validator that had it from another, or before its stream broke, included the first."""
    chain, tries = Chain(), 0

    def drops(stream: FakeStream, number: int) -> None:
        nonlocal tries
        tries += 1
        if tries == 1 and first is None:
            stream.end()
        elif tries == 1:
            stream.tell(number, first, reason=reason)
        else:
            stream.tell(number, NewsState.REFUSED, reason=reason)
            if tries == module.DOUBT_TRIES_MAX + 3:
                chain.execute(number)

    (outcome,) = await submit([FakeDoor(chain, drops)], 1)
    assert (outcome.end, tries) == (End.COMMITTED, module.DOUBT_TRIES_MAX + 3)


async def test_what_others_may_have_ends_with_its_expiry() -> None:
    chain, tries = Chain(), 0

    def drops(stream: FakeStream, number: int) -> None:
        nonlocal tries
        tries += 1
        stream.tell(number, NewsState.UNKNOWN if tries == 1 else NewsState.REFUSED, reason="SEQUENCE_GAP")
        if tries == 4:
            chain.time_ms = EXPIRY + 1

    (outcome,) = await submit([FakeDoor(chain, drops)], 1)
    assert (outcome.end, tries) == (End.EXPIRED, 4)


@pytest.mark.parametrize("reason", ["SIGNATURE_INVALID", "MALFORMED_TRANSACTION"])
async def test_what_no_validator_ever_takes_is_refused_whoever_has_it(reason: str) -> None:
    tries = 0

    def drops(stream: FakeStream, number: int) -> None:
        nonlocal tries
        tries += 1
        stream.tell(number, NewsState.UNKNOWN if tries == 1 else NewsState.REFUSED, reason=reason)

    (outcome,) = await submit([FakeDoor(Chain(), drops)], 1)
    assert (outcome.end, outcome.reason, tries) == (End.REFUSED, reason, 2)


async def test_a_used_sequence_is_asked_by_id_however_often_it_was_unknown_before() -> None:
    chain, tries = Chain(), 0

    def drops(stream: FakeStream, number: int) -> None:
        nonlocal tries
        tries += 1
        if tries <= 5:
            stream.tell(number, NewsState.UNKNOWN)
        else:
            chain.execute(number)
            stream.tell(number, NewsState.REFUSED, reason="SEQUENCE_USED")

    (outcome,) = await submit([FakeDoor(chain, drops)], 1)
    assert outcome.end is End.COMMITTED


async def test_unknown_and_a_commit_without_receipt_are_asked_by_id() -> None:
    chain = Chain()

    def vague(stream: FakeStream, number: int) -> None:
        chain.execute(number)
        if number == 1:
            stream.tell(number, NewsState.UNKNOWN)
        else:
            stream.tell(number, NewsState.COMMITTED, height=2)

    door = FakeDoor(chain, vague)
    outcomes = await submit([door], 2)
    assert [(outcome.end, outcome.receipt) for outcome in outcomes] == [(End.COMMITTED, b"receipt")] * 2
    assert sorted(door.asked) == [1, 2]


async def test_an_expiry_that_block_time_has_passed_is_definite() -> None:
    chain = Chain()
    chain.time_ms = EXPIRY + 1
    (outcome,) = await submit([FakeDoor(chain, lambda _stream, _number: None)], 1)
    assert outcome.end is End.EXPIRED


@pytest.mark.parametrize("state", [NewsState.REFUSED, NewsState.EXPIRED])
async def test_an_expiry_by_a_pool_s_own_clock_does_not_hide_a_commit_elsewhere(state: NewsState) -> None:
    chain = Chain()

    def hasty(stream: FakeStream, number: int) -> None:
        stream.tell(number, state, reason="EXPIRED")
        chain.execute(number)  # a block before the expiry includes it all the same

    (outcome,) = await submit([FakeDoor(chain, hasty)], 1)
    assert (outcome.end, outcome.receipt) == (End.COMMITTED, b"receipt")


@pytest.mark.parametrize("state", [NewsState.REFUSED, NewsState.EXPIRED])
async def test_an_expiry_by_a_pool_s_own_clock_ends_only_when_block_time_has_passed_it(
    state: NewsState,
) -> None:
    chain = Chain()
    told = 0

    def hasty(stream: FakeStream, number: int) -> None:
        nonlocal told
        told += 1
        if told > module.DOUBT_TRIES_MAX:
            chain.time_ms = EXPIRY + 1
        stream.tell(number, state, reason="EXPIRED")

    (outcome,) = await submit([FakeDoor(chain, hasty)], 1)
    assert (outcome.end, outcome.reason) == (End.EXPIRED, "EXPIRED")
    assert told > module.DOUBT_TRIES_MAX


async def test_nobody_answering_is_told_with_how_many_outcomes_are_unknown() -> None:
    door = FakeDoor(Chain(), commits, is_away=True)
    with pytest.raises(NobodyAnswers) as told:
        await submit([door, door], 3)
    assert told.value.missing == 3


async def test_validators_that_commit_nothing_are_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.5)
    doors = [
        FakeDoor(Chain(), lambda stream, number: stream.tell(number, NewsState.PENDING)) for _ in range(2)
    ]
    with pytest.raises(NobodyAnswers, match="nothing came to its end"):
        await submit(doors, 2)


async def test_bytes_that_a_validator_cannot_read_are_our_bug_and_end_everything() -> None:
    class Unreadable(FakeStream):
        async def news(self) -> AsyncIterator[Sequence[News]]:
            await asyncio.sleep(0.01)
            raise TransactionMalformed("transaction 0")
            yield []

    class UnreadableDoor(FakeDoor):
        async def open(self) -> FakeStream:
            return Unreadable(self)

    with pytest.raises(TransactionMalformed):
        await submit([UnreadableDoor(Chain(), lambda _stream, _number: None)], 1)


async def test_many_breaks_lose_and_double_nothing() -> None:
    chain = Chain()
    handled = 0

    def shaky(stream: FakeStream, number: int) -> None:
        nonlocal handled
        handled += 1
        if handled % 7 == 0:
            stream.end()
        elif handled % 5 == 0:
            chain.execute(number)
        else:
            commits(stream, number)

    doors = [FakeDoor(chain, shaky, str(name)) for name in range(4)]
    outcomes = await submit(doors, 200, window=20)
    assert {outcome.end for outcome in outcomes} == {End.COMMITTED}
    assert sorted(chain.executed) == list(range(1, 201))
    assert sorted(outcome.height for outcome in outcomes) == list(range(1, 201))
