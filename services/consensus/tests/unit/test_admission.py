from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from icn_consensus.usecases import admission
from icn_consensus.usecases.admission import Admission
from icn_consensus.usecases.ends import Ends, SubmitState
from icn_consensus.usecases.pool import Pool, PoolItem
from icn_kit.errors import InvalidArgument, Unavailable

from .fakes import LATER_MS, FakeApplication, FakeSink, check_of, settle

ANA, BEN = b"key of ana", b"key of ben"


class World:
    def __init__(self, pool: Pool | None = None) -> None:
        self.application = FakeApplication()
        self.pool = Pool() if pool is None else pool
        self.ends = Ends()
        self.executed_height = 10
        self.halted = ""
        self.admitted: list[tuple[list[bytes], list[bytes]]] = []
        self.admission = Admission(
            self.application,
            self.pool,
            self.ends,
            executed_height=lambda: self.executed_height,
            on_admitted=self._on_admitted,
            halted=lambda: self.halted,
        )

    def _on_admitted(self, from_clients: list[PoolItem], from_peers: list[PoolItem]) -> None:
        self.admitted.append(([item.data for item in from_clients], [item.data for item in from_peers]))

    async def submit(self, *transactions: bytes, sink: FakeSink | None = None) -> FakeSink:
        sink = sink or FakeSink()
        await self.admission.submit(list(transactions), sink, 0)
        await settle(100)
        return sink


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch waits for one turn of the loop, so that no test depends on the machine's speed."""
    monkeypatch.setattr(admission, "CHECK_INTERVAL_SECONDS", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    task = asyncio.ensure_future(world.admission.run())
    yield world
    task.cancel()


@pytest.fixture
async def small_world() -> AsyncIterator[World]:
    world = World(Pool(transactions_max=2))
    task = asyncio.ensure_future(world.admission.run())
    yield world
    task.cancel()


async def test_a_clients_transaction_enters_the_pool_and_is_pending(world: World) -> None:
    sink = await world.submit(b"one", b"two")
    assert [(news.position, news.state, news.transaction_id) for news in sink.news] == [
        (0, SubmitState.PENDING, b"id of one"),
        (1, SubmitState.PENDING, b"id of two"),
    ]
    assert world.admitted == [([b"one", b"two"], [])]


async def test_what_arrives_together_is_checked_together(world: World) -> None:
    sink = FakeSink()
    for number in range(20):
        await world.admission.submit([b"%d" % number], sink, number)
    world.admission.offer(ANA, [b"from a peer"])
    await settle(100)
    assert [len(asked) for asked in world.application.asked] == [21]
    assert [news.position for news in sink.news] == list(range(20))


async def test_no_check_holds_more_than_a_thousand_transactions(world: World) -> None:
    for source in range(5):
        await world.admission.submit([b"%d %d" % (source, number) for number in range(300)], FakeSink(), 0)
    await settle(100)
    assert [len(asked) for asked in world.application.asked] == [1_000, 450, 50]
    fifth = [data for data in world.application.asked[1] if data.startswith(b"4 ")]
    assert len(fifth) == 250, "whose turn did not come is first in the next call"
    assert len(world.pool) == 1_500


async def test_a_flood_of_one_source_is_checked_by_turns(world: World) -> None:
    turn = admission.SOURCE_TURN_TRANSACTIONS
    flood = FakeSink()
    for number in range(8):
        transactions = [b"flood %d %d" % (number, one) for one in range(turn - 1)]
        await world.admission.submit(transactions, flood, number * (turn - 1))
    await world.admission.submit([b"another's"], FakeSink(), 0)
    await settle(200)
    first, *rest = world.application.asked
    assert (len(first), b"another's" in first) == (turn + 1, True)
    assert [len(asked) for asked in rest] == [turn] * 6 + [8 * (turn - 1) - 7 * turn]
    assert [news.position for news in flood.news] == list(range(8 * (turn - 1)))


async def test_no_check_holds_much_more_than_its_bytes(world: World) -> None:
    size = admission.CHECK_BYTES_MAX // 4
    await world.submit(*(bytes([number]) * size for number in range(9)))
    await settle(100)
    assert [len(asked) for asked in world.application.asked] == [4, 4, 1]


async def test_a_transaction_in_the_pool_is_not_checked_again_and_its_second_sender_waits_too(
    world: World,
) -> None:
    first = await world.submit(b"one")
    second = await world.submit(b"one")
    assert len(world.application.asked) == 1
    world.ends.commit(11, 11_000, [(b"id of one", b"receipt")])
    for sink in (first, second):
        assert [news.state for news in sink.news] == [SubmitState.PENDING, SubmitState.COMMITTED]


async def test_the_applications_refusal_is_told_with_its_reason(world: World) -> None:
    world.application.checks[b"bad"] = check_of(b"bad", reason="EXPIRED", message="too late")
    sink = await world.submit(b"bad")
    [news] = sink.news
    assert (news.state, news.reason, news.message) == (SubmitState.REFUSED, "EXPIRED", "too late")
    assert len(world.pool) == 0


async def test_what_was_executed_lately_is_answered_with_its_receipt(world: World) -> None:
    world.ends.commit(9, 9_000, [(b"id of one", b"receipt")])
    world.application.checks[b"one"] = check_of(b"one", reason="SEQUENCE_USED", executed_height=9)
    [news] = (await world.submit(b"one")).news
    assert (news.state, news.height, news.receipt) == (SubmitState.COMMITTED, 9, b"receipt")


async def test_what_is_executed_while_it_is_checked_does_not_enter_the_pool(world: World) -> None:
    world.application.on_check = lambda: world.ends.commit(11, 11_000, [(b"id of one", b"receipt")])
    [news] = (await world.submit(b"one")).news
    assert news.state is SubmitState.COMMITTED
    assert len(world.pool) == 0


async def test_what_was_executed_long_ago_is_to_be_asked_by_id(world: World) -> None:
    world.application.checks[b"one"] = check_of(b"one", reason="SEQUENCE_USED", executed_height=10)
    [news] = (await world.submit(b"one")).news
    assert (news.state, news.reason, news.height) == (SubmitState.UNKNOWN, "ALREADY_EXECUTED", 10)


async def test_what_the_application_has_executed_ahead_of_us_is_pending_until_its_receipt_comes(
    world: World,
) -> None:
    world.application.checks[b"one"] = check_of(b"one", reason="SEQUENCE_USED", executed_height=11)
    sink = await world.submit(b"one")
    world.ends.commit(11, 11_000, [(b"id of one", b"receipt")])
    assert [news.state for news in sink.news] == [SubmitState.PENDING, SubmitState.COMMITTED]


async def test_a_full_pool_refuses_with_a_time_to_come_back(small_world: World) -> None:
    sink = await small_world.submit(b"one", b"two", b"three")
    assert [news.state for news in sink.news] == [
        SubmitState.PENDING,
        SubmitState.PENDING,
        SubmitState.REFUSED,
    ]
    assert (sink.news[2].reason, sink.news[2].retry_after_ms) == ("POOL_FULL", admission.RETRY_AFTER_MS)


@pytest.mark.parametrize(
    ("elsewhere", "state"),
    [
        ("", SubmitState.REFUSED),
        ("forwarded", SubmitState.UNKNOWN),
        ("in a block that may become final", SubmitState.UNKNOWN),
    ],
)
async def test_what_waits_for_a_gap_makes_room_in_a_full_pool_and_its_sender_hears_of_it(
    small_world: World, elsewhere: str, state: SubmitState
) -> None:
    """REFUSED only where nobody else could include it: who hears that may sign the payment anew."""
    waiting = await small_world.submit(b"ahead")
    item = small_world.pool.get(b"id of ahead")
    assert item is not None
    small_world.pool.defer([item])
    if elsewhere == "forwarded":
        item.sent_to |= small_world.pool.bit(BEN)
    elif elsewhere:
        small_world.pool.note_block(b"block", (b"before", b"ahead"))
    sink = await small_world.submit(b"one", b"two")
    assert [news.state for news in sink.news] == [SubmitState.PENDING] * 2
    last = waiting.news[-1]
    assert (last.state, last.reason, last.retry_after_ms) == (state, "POOL_FULL", 500)
    again = await small_world.submit(b"ahead")
    assert [(news.state, news.reason) for news in again.news] == [(state, "POOL_FULL")]


@pytest.mark.parametrize(
    ("reason", "state"), [("ALLOWANCE_EXCEEDED", SubmitState.UNKNOWN), ("SEQUENCE_USED", SubmitState.REFUSED)]
)
async def test_what_others_may_include_is_refused_only_when_its_sequence_is_executed(
    world: World, reason: str, state: SubmitState
) -> None:
    """Told UNKNOWN and then, on asking again, REFUSED, a client signed the payment anew, and paid twice."""
    world.ends.refuse(b"id of one", reason, "no", open_until_ms=LATER_MS)
    world.application.checks[b"one"] = check_of(b"one", reason=reason, message="no")
    world.application.checks[b"two"] = check_of(b"two", reason=reason, message="no")
    sink = await world.submit(b"one", b"two")
    assert [(news.state, news.reason) for news in sink.news] == [
        (state, reason),
        (SubmitState.REFUSED, reason),
    ]
    world.ends.commit(11, LATER_MS + 1, [])
    assert [news.state for news in (await world.submit(b"one")).news] == [SubmitState.REFUSED]


async def test_forwarded_transactions_enter_the_pool_and_are_not_forwarded_to_who_sent_them(
    world: World,
) -> None:
    world.admission.offer(BEN, [b"one"])
    await settle(100)
    item = world.pool.get(b"id of one")
    assert item is not None
    assert item.sent_to == world.pool.bit(BEN)
    assert world.admitted == [([], [b"one"])]
    world.admission.offer(ANA, [b"one"])
    await settle(100)
    assert item.sent_to == world.pool.bit(BEN) | world.pool.bit(ANA)


async def test_forwarded_batches_above_the_limit_are_dropped(world: World) -> None:
    world.admission.offer(BEN, [b"%d" % number for number in range(1_001)])
    await settle(100)
    assert len(world.pool) == 0
    world.admission.offer(BEN, [b"%d" % number for number in range(1_000)])
    await settle(100)
    assert len(world.pool) == 1_000


async def test_when_too_many_wait_clients_wait_and_forwarded_batches_are_dropped() -> None:
    world = World()
    sink = FakeSink()
    await world.admission.submit([b"%d" % n for n in range(admission.WAITING_TRANSACTIONS_MAX)], sink, 0)
    world.admission.offer(BEN, [b"from a peer"])
    waiting = asyncio.ensure_future(world.admission.submit([b"one more"], sink, 8_000))
    await asyncio.sleep(0)
    assert not waiting.done()
    task = asyncio.ensure_future(world.admission.run())
    await waiting
    await settle(200)
    assert len(world.pool) == admission.WAITING_TRANSACTIONS_MAX + 1
    assert world.pool.get(b"id of from a peer") is None
    task.cancel()


def batch(seat: int, number: int, size_bytes: int = 10) -> list[bytes]:
    """A thousand transactions, unlike those of any other batch."""
    return [b"%d %d %d " % (seat, number, n) + bytes(size_bytes) for n in range(1_000)]


async def test_one_faulty_validator_cannot_take_the_room_of_another_nor_all_of_them_that_of_clients() -> None:
    world = World()
    for number in range(9):
        for seat in (0, 2):
            world.admission.offer(seat, batch(seat, number))
    task = asyncio.ensure_future(world.admission.run())
    async with asyncio.timeout(1):  # there is room at once
        await world.admission.submit([b"a client's"], FakeSink(), 0)
    await settle(300)
    taken = Counter(data[:1] for asked in world.application.asked for data in asked)
    assert taken == {b"0": 3_000, b"2": 3_000, b"a": 1}
    task.cancel()


async def test_one_validator_alone_has_half_of_the_room_and_has_it_again_when_it_was_checked() -> None:
    world = World()
    for _ in range(2):
        for number in range(9):
            world.admission.offer(3, batch(3, number))
        task = asyncio.ensure_future(world.admission.run())
        await settle(300)
        task.cancel()
        await settle(5)
        world.pool = world.admission._pool = Pool()
    assert sum(len(asked) for asked in world.application.asked) == 8_000


async def test_what_waits_is_bounded_in_bytes_too() -> None:
    world = World()
    large = admission.WAITING_BYTES_MAX // 16
    for number in range(20):
        world.admission.offer(3, [bytes([number]) * large])
    task = asyncio.ensure_future(world.admission.run())
    await settle(300)
    assert sum(len(asked) for asked in world.application.asked) == 8
    task.cancel()


async def test_a_transaction_larger_than_a_check_is_refused_alone_and_harms_no_other(world: World) -> None:
    huge = bytes(7 * 1024 * 1024)
    await world.submit(b"before", huge, b"behind")
    await settle(100)
    assert world.application.asked == [[b"before"], [huge], [b"behind"]]


async def test_an_application_that_is_away_for_a_moment_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "CHECK_RETRY_SECONDS", 0)
    failures = [Unavailable("AWAY", "restarting")] * (admission.CHECK_TRIES_MAX - 1)

    def fail_at_first() -> None:
        if failures:
            raise failures.pop()

    world.application.on_check = fail_at_first
    [news] = (await world.submit(b"one")).news
    assert news.state is SubmitState.PENDING


@pytest.mark.parametrize("error", [Unavailable("AWAY", "for long"), InvalidArgument("BUG", "of ours")])
async def test_an_application_that_cannot_check_ends_the_stream(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(admission, "CHECK_RETRY_SECONDS", 0)

    def fail() -> None:
        raise error

    world.application.on_check = fail
    sink = await world.submit(b"one")
    assert isinstance(sink.failure, Unavailable)
    assert sink.failure.reason == "APPLICATION_AWAY"
    world.application.on_check = lambda: None
    assert (await world.submit(b"two")).news[0].state is SubmitState.PENDING


async def test_a_client_that_has_gone_puts_nothing_into_the_pool(world: World) -> None:
    sink = await world.submit(b"one", sink=FakeSink(is_closed=True))
    assert (sink.news, len(world.pool)) == ([], 0)


async def test_a_validator_that_takes_no_part_sends_clients_elsewhere(world: World) -> None:
    world.halted = "protocol version 2 is in force from height 9 on; this release knows 1: upgrade icn"
    with pytest.raises(Unavailable) as refusal:
        await world.submit(b"one")
    assert (refusal.value.reason, refusal.value.message) == (
        "VALIDATOR_HALTED",
        f"{world.halted}; hand in elsewhere",
    )
    assert len(world.pool) == 0
