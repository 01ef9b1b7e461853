from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from icn_consensus.usecases.pool import Admitted, Pool

LATER_MS = 2_000_000


def data_of(number: int) -> bytes:
    return b"transaction %d" % number


def id_of(number: int) -> bytes:
    return b"id %d" % number


def add(pool: Pool, number: int, expire_time_ms: int = LATER_MS) -> Admitted:
    return pool.add(id_of(number), data_of(number), expire_time_ms, now=0.0)


def offered(pool: Pool, branch: tuple[bytes, ...] = (), **limits: int) -> list[bytes]:
    limits = {"transactions_max": 1_000, "size_bytes_max": 1_000_000, **limits}
    return [item.data for item in pool.candidates(branch, **limits)]


def test_transactions_are_offered_first_come_first_served() -> None:
    pool = Pool()
    for number in (3, 1, 2):
        assert add(pool, number) is Admitted.NEW
    assert offered(pool) == [data_of(3), data_of(1), data_of(2)]


def test_an_id_is_taken_once_also_with_other_signatures() -> None:
    pool = Pool()
    add(pool, 1)
    assert pool.add(id_of(1), b"signed differently", LATER_MS, 0.0) is Admitted.KNOWN
    assert len(pool) == 1
    assert pool.size_bytes == len(data_of(1))


def test_the_pool_takes_exactly_as_many_transactions_as_it_may() -> None:
    pool = Pool(transactions_max=2)
    assert [add(pool, number) for number in range(3)] == [Admitted.NEW, Admitted.NEW, Admitted.FULL]
    pool.remove(id_of(0))
    assert add(pool, 2) is Admitted.NEW


def test_the_pool_takes_exactly_as_many_bytes_as_it_may() -> None:
    pool = Pool(bytes_max=2 * len(data_of(1)))
    assert [add(pool, number) for number in range(3)] == [Admitted.NEW, Admitted.NEW, Admitted.FULL]
    assert Pool(bytes_max=len(data_of(1)) - 1).add(id_of(1), data_of(1), LATER_MS, 0.0) is Admitted.FULL


def test_a_known_transaction_is_known_also_when_the_pool_is_full() -> None:
    pool = Pool(transactions_max=1)
    add(pool, 1)
    assert add(pool, 1) is Admitted.KNOWN


def test_candidates_stop_at_the_limits_of_a_block() -> None:
    pool = Pool()
    for number in range(5):
        add(pool, number)
    assert len(offered(pool, transactions_max=3)) == 3
    size = len(data_of(0))
    assert len(offered(pool, size_bytes_max=2 * size)) == 2
    assert len(offered(pool, size_bytes_max=2 * size - 1)) == 1


def test_what_a_notarized_block_holds_is_not_pending_and_not_offered_on_its_branch() -> None:
    pool = Pool()
    add(pool, 1)
    add(pool, 2)
    pool.note_block(b"block", (data_of(1), data_of(2)))
    assert pool.has_pending, "a proposal may still come to nothing"
    assert offered(pool, (b"block",)) == []
    pool.note_notarized(b"block")
    assert not pool.has_pending
    assert offered(pool) == [data_of(1), data_of(2)], "another branch may hold them"


def test_transactions_of_an_abandoned_block_return() -> None:
    pool = Pool()
    add(pool, 1)
    pool.note_block(b"block", (data_of(1),))
    pool.note_notarized(b"block")
    pool.note_abandoned([b"block"])
    assert pool.has_pending
    assert offered(pool, (b"block",)) == [data_of(1)]


def test_a_transaction_in_two_notarized_blocks_returns_when_both_are_abandoned() -> None:
    pool = Pool()
    add(pool, 1)
    for block in (b"one", b"other"):
        pool.note_block(block, (data_of(1),))
        pool.note_notarized(block)
    pool.note_abandoned([b"one"])
    assert not pool.has_pending
    pool.note_abandoned([b"other"])
    assert pool.has_pending


def test_a_block_notarized_before_its_body_came_counts_when_it_comes() -> None:
    pool = Pool()
    add(pool, 1)
    pool.note_notarized(b"block")
    assert pool.has_pending
    pool.note_block(b"block", (data_of(1),))
    assert not pool.has_pending


def test_a_transaction_that_comes_after_the_block_that_holds_it_is_not_pending() -> None:
    pool = Pool()
    pool.note_block(b"block", (data_of(1),))
    pool.note_notarized(b"block")
    add(pool, 1)
    assert not pool.has_pending
    pool.note_executed(b"block", [id_of(1)])
    assert len(pool) == 0


def test_an_executed_transaction_leaves_also_when_it_was_included_with_other_signatures() -> None:
    pool = Pool()
    add(pool, 1)
    pool.note_block(b"block", (b"signed differently",))
    pool.note_notarized(b"block")
    pool.note_executed(b"block", [id_of(1)])
    assert (len(pool), pool.has_pending, pool.size_bytes) == (0, False, 0)


def test_what_was_put_aside_is_not_offered_until_something_changes_and_then_comes_last() -> None:
    pool = Pool()
    for number in range(3):
        add(pool, number)
    first = pool.get(id_of(0))
    assert first is not None
    pool.defer([first])
    assert offered(pool) == [data_of(1), data_of(2)]
    assert pool.oldest_deferred() is first
    pool.wake()
    assert offered(pool) == [data_of(1), data_of(2), data_of(0)]
    assert pool.oldest_deferred() is None


def test_a_pool_of_nothing_but_what_waits_for_a_gap_has_nothing_pending() -> None:
    pool = Pool()
    add(pool, 1)
    pool.defer(pool.candidates((), transactions_max=9, size_bytes_max=999))
    assert not pool.has_pending
    pool.wake()
    assert pool.has_pending


def test_a_transaction_expires_once_block_time_is_past_its_expiry_not_when_it_reaches_it() -> None:
    pool = Pool()
    add(pool, 1, expire_time_ms=1_000)
    assert pool.expire(1_000) == []
    assert [item.id for item in pool.expire(1_001)] == [id_of(1)]
    assert (len(pool), pool.has_pending) == (0, False)


def test_expiries_of_transactions_that_left_are_forgotten() -> None:
    pool = Pool()
    for number in range(5_000):
        add(pool, number)
        pool.remove(id_of(number))
    pool.expire(0)
    assert len(pool._expiries) <= 1_000


class PoolModel(RuleBasedStateMachine):
    """Whatever happens, the counts agree with what a slow look at everything says."""

    blocks: Bundle[bytes] = Bundle("blocks")
    notarized: Bundle[bytes] = Bundle("notarized")

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(transactions_max=8)
        self.bodies: dict[bytes, tuple[bytes, ...]] = {}
        self.covering: set[bytes] = set()
        self.count = 0

    @rule(number=st.integers(0, 12))
    def admit(self, number: int) -> None:
        add(self.pool, number)

    @rule(target=blocks, numbers=st.lists(st.integers(0, 12), unique=True, max_size=5))
    def propose(self, numbers: list[int]) -> bytes:
        self.count += 1
        block = b"block %d" % self.count
        self.bodies[block] = tuple(map(data_of, numbers))
        self.pool.note_block(block, self.bodies[block])
        return block

    @rule(target=notarized, block=consumes(blocks))
    def notarize(self, block: bytes) -> bytes:
        self.pool.note_notarized(block)
        self.covering.add(block)
        return block

    @rule(block=consumes(notarized))
    def abandon(self, block: bytes) -> None:
        self.pool.note_abandoned([block])
        self.covering.discard(block)

    @rule(block=consumes(notarized))
    def execute(self, block: bytes) -> None:
        numbers = [int(data.split()[1]) for data in self.bodies[block]]
        self.pool.note_executed(block, map(id_of, numbers))
        self.covering.discard(block)

    @rule(count=st.integers(0, 8))
    def defer(self, count: int) -> None:
        self.pool.defer(self.pool.candidates((), transactions_max=count, size_bytes_max=10_000))

    @rule()
    def wake(self) -> None:
        self.pool.wake()

    @invariant()
    def counts_agree(self) -> None:
        covered = {data for block in self.covering for data in self.bodies[block]}
        items: list[Any] = list(self.pool._items.values())
        free = [item for item in items if item.data not in covered and not item.is_deferred]
        assert self.pool.has_pending == bool(free)
        assert self.pool._free == len(free)
        assert self.pool.size_bytes == sum(len(item.data) for item in items)
        assert len(items) <= 8


PoolModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestPoolModel = PoolModel.TestCase


@pytest.mark.parametrize("count", [1_023, 1_024, 1_025])
def test_blocks_that_never_end_are_forgotten_oldest_first(count: int) -> None:
    pool = Pool()
    for number in range(count):
        pool.note_block(b"block %d" % number, (data_of(number),))
        pool.note_notarized(b"block %d" % number)
    add(pool, 0)
    assert pool.has_pending == (count > 1_024)


def test_the_oldest_is_found_wherever_it_was_put() -> None:
    pool = Pool()
    assert pool.oldest_age_seconds(9.0) == 0
    for number in range(3):
        pool.add(bytes([number]), bytes([number]), 1_000, float(number))
    first = pool.get(bytes([0]))
    assert first is not None
    pool.defer([first])
    assert (pool.deferred, pool.oldest_age_seconds(9.0)) == (1, 9.0)
    pool.wake()
    pool.remove(first.id)
    assert (pool.deferred, pool.oldest_age_seconds(9.0)) == (0, 8.0)
