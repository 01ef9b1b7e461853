from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from icn_consensus.usecases import pool as pools
from icn_consensus.usecases.pool import Admitted, Place, Pool

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
    assert pool.first_to_leave() is first
    pool.wake()
    assert offered(pool) == [data_of(1), data_of(2), data_of(0)]
    assert pool.first_to_leave() is first, "what a proposal passed over still makes room for others"


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


def in_lane(
    pool: Pool, sequence: int, lane: bytes = b"lane", *, payer: bytes = b"payer", executed: int = 0
) -> Admitted:
    name = b"%s %d" % (lane, sequence)
    return pool.add(b"id of " + name, name, LATER_MS, 0.0, Place(payer, lane, sequence, executed))


def put_aside(pool: Pool) -> None:
    """A proposal with room left takes nothing of what it was offered."""
    pool.defer(pool.candidates((), transactions_max=1_000_000, size_bytes_max=1_000_000_000))


def test_what_waits_for_a_gap_is_not_pending_and_offered_once_for_the_branch_may_close_it() -> None:
    pool = Pool()
    assert in_lane(pool, 2) is Admitted.NEW
    assert not pool.has_pending
    assert offered(pool) == [b"lane 2"]
    put_aside(pool)
    pool.wake()
    assert (offered(pool), pool.has_pending) == ([], False)


def test_a_transaction_that_closes_the_gap_brings_back_what_waited_behind_it() -> None:
    pool = Pool()
    for sequence in (2, 3, 5):
        in_lane(pool, sequence)
    put_aside(pool)
    in_lane(pool, 1)
    assert sorted(offered(pool)) == [b"lane 1", b"lane 2", b"lane 3"]
    assert pool.has_pending


def test_a_gap_that_others_closed_is_closed_when_that_is_executed_and_no_other_lane_moves() -> None:
    pool = Pool()
    in_lane(pool, 2)
    in_lane(pool, 2, b"other")
    put_aside(pool)
    pool.note_executed(b"block", [b"never here"], [(b"lane", 1)])
    assert (offered(pool), pool.has_pending) == ([b"lane 2"], True)


def test_a_verdict_older_than_an_execution_opens_no_gap() -> None:
    pool = Pool()
    pool.note_executed(b"block", [b"never here"], [(b"lane", 6)])
    in_lane(pool, 7, executed=5)
    assert pool.has_pending


def test_lanes_that_stand_still_are_forgotten() -> None:
    pool = Pool()
    for number in range(10 * pools.LANE_REMEMBERED_BLOCKS):
        pool.note_executed(b"block", [], [(b"lane %d" % number, 1)])
        in_lane(pool, 5, b"gone %d" % number)
        pool.remove(b"id of gone %d 5" % number)
    assert len(pool._lanes) <= 2 * pools.LANE_REMEMBERED_BLOCKS


def test_what_stands_behind_a_transaction_that_expires_has_a_gap_before_it() -> None:
    pool = Pool()
    pool.add(b"id of first", b"first", 1_000, 0.0, Place(b"payer", b"lane", 1))
    in_lane(pool, 2)
    in_lane(pool, 3)
    pool.expire(1_001)
    assert not pool.has_pending
    assert pool.deferred == 2
    in_lane(pool, 1)
    assert sorted(offered(pool)) == [b"lane 1", b"lane 2", b"lane 3"]


def test_exactly_so_many_of_a_lane_may_wait_for_a_gap_and_what_closes_it_is_always_taken() -> None:
    pool = Pool()
    numbers = range(2, 3 + pools.LANE_GAPPED_MAX)
    assert [in_lane(pool, number) for number in numbers] == [Admitted.NEW] * pools.LANE_GAPPED_MAX + [
        Admitted.BEHIND_GAP
    ]
    assert in_lane(pool, 1) is Admitted.NEW
    assert in_lane(pool, numbers[-1]) is Admitted.NEW, "there is no gap before it any more"
    assert in_lane(pool, 9_999, b"other") is Admitted.NEW


def test_exactly_so_many_of_a_payer_may_wait_for_gaps() -> None:
    pool = Pool()
    for number in range(pools.PAYER_GAPPED_MAX):
        assert in_lane(pool, 2, b"lane %d" % number) is Admitted.NEW
    assert in_lane(pool, 2, b"another") is Admitted.BEHIND_GAP
    assert in_lane(pool, 1, b"another") is Admitted.NEW
    assert in_lane(pool, 2, b"of ben", payer=b"ben") is Admitted.NEW


def test_a_pool_full_of_one_payers_transactions_has_room_for_another() -> None:
    pool = Pool(transactions_max=4)
    assert [in_lane(pool, 1, lane, payer=b"ana") for lane in (b"a", b"b", b"c")] == [
        Admitted.NEW,
        Admitted.NEW,
        Admitted.PAYER_FULL,
    ]
    assert pool.of_payer(b"ana") == (2, len(b"a 1b 1"))
    assert in_lane(pool, 1, payer=b"ben") is Admitted.NEW
    pool.remove(b"id of a 1")
    assert in_lane(pool, 1, b"c", payer=b"ana") is Admitted.NEW


def test_a_payers_share_of_the_bytes_is_held_to_the_byte() -> None:
    size = len(b"lane 1")
    pool = Pool(bytes_max=4 * size)
    assert [in_lane(pool, number) for number in (1, 2, 3)][2] is Admitted.PAYER_FULL
    odd = Pool(bytes_max=4 * size - 1)
    assert [in_lane(odd, number) for number in (1, 2)][1] is Admitted.PAYER_FULL


def test_of_one_sequence_of_a_lane_one_transaction_waits() -> None:
    pool = Pool()
    in_lane(pool, 1)
    rival = pool.add(b"another id", b"other bytes", LATER_MS, 0.0, Place(b"payer", b"lane", 1))
    assert rival is Admitted.RIVAL
    pool.remove(b"id of lane 1")
    assert pool.add(b"another id", b"other bytes", LATER_MS, 0.0, Place(b"payer", b"lane", 1)) is Admitted.NEW


def pay(pool: Pool, payer: bytes, number: int, size_bytes: int = 300, now: float = 0.0) -> bytes:
    """A transaction of a payer, without a lane; its bytes."""
    data = b"%s %d " % (payer, number)
    data += bytes(size_bytes - len(data))
    assert pool.add(b"id of " + data, data, LATER_MS, now, Place(payer)) is Admitted.NEW
    return data


def execute(pool: Pool, block_hash: bytes, transactions: tuple[bytes, ...]) -> None:
    pool.note_executed(block_hash, [b"id of " + data for data in transactions])


def test_payers_take_turns_and_of_equal_ones_who_waits_longest_is_first() -> None:
    pool = Pool()
    ana = [pay(pool, b"ana", number, now=5.0) for number in range(3)]
    ben = [pay(pool, b"ben", number, now=3.0) for number in range(2)]
    cay = pay(pool, b"cay", 0, now=4.0)
    assert offered(pool) == [ben[0], cay, ana[0], ben[1], ana[1], ana[2]]


@pytest.mark.parametrize(("size_bytes", "turns"), [(pools.TURN_BYTES, 1), (pools.TURN_BYTES + 1, 2)])
def test_a_large_transaction_counts_as_several_turns(size_bytes: int, turns: int) -> None:
    pool = Pool()
    large = [pay(pool, b"ana", number, size_bytes, now=1.0) for number in range(2)]
    small = [pay(pool, b"ben", number, now=2.0) for number in range(3)]
    expected = [large[0], *small[:turns], large[1], *small[turns:]]
    assert offered(pool) == expected


def test_of_one_payer_beside_others_exactly_so_many_are_proposed_and_alone_a_full_block() -> None:
    pool = Pool()
    flood = [pay(pool, b"flood", number) for number in range(900)]
    assert offered(pool, transactions_max=700) == flood[:700]
    other = pay(pool, b"ana", 1, now=9.0)
    assert offered(pool, transactions_max=700) == [
        flood[0],
        other,
        *flood[1 : pools.PAYER_TURNS_MAX],
    ]


def test_who_paid_lately_keeps_a_flood_small_for_exactly_so_many_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = 100
    monkeypatch.setattr(pools, "PAYER_SEEN_BLOCKS", blocks)
    pool = Pool()
    execute(pool, b"of ben", (pay(pool, b"ben", 1),))
    for number in range(900):
        pay(pool, b"flood", number)
    for number in range(2):  # Ana's second counts
        execute(pool, b"of ana %d" % number, (pay(pool, b"ana", number),))
    for number in range(blocks - 1):
        execute(pool, b"empty %d" % number, ())
        assert len(offered(pool)) == pools.PAYER_TURNS_MAX
    execute(pool, b"the last", ())
    assert len(offered(pool)) == 900


def test_a_flood_delays_no_transaction_of_others_by_a_block() -> None:
    """Leaders propose from the same pool; a block is executed when its child is notarized."""
    pool, sent = Pool(), 0
    others = (b"ana", b"ben", b"cay")
    pay(pool, b"ana", 0)
    blocks: list[tuple[bytes, tuple[bytes, ...]]] = []
    for height in range(60):
        while pool.of_payer(b"flood")[0] < pools.POOL_TRANSACTIONS_MAX // pools.PAYER_SHARE:
            pay(pool, b"flood", sent := sent + 1, now=height)
        handed_in = {pay(pool, payer, height + 1, now=height + 0.5) for payer in others}
        transactions = tuple(
            offered(pool, tuple(block_hash for block_hash, _ in blocks), transactions_max=700)
        )
        assert handed_in <= set(transactions), "all of them are in the very next block"
        assert sum(data.startswith(b"flood") for data in transactions) == pools.PAYER_TURNS_MAX
        block_hash = b"block %d" % height
        pool.note_block(block_hash, transactions)
        pool.note_notarized(block_hash)
        blocks.append((block_hash, transactions))
        if len(blocks) > 1:
            execute(pool, *blocks.pop(0))


def test_what_a_flood_was_passed_over_with_takes_turns_too() -> None:
    pool = Pool()
    for number in range(500):
        pay(pool, b"flood", number)
    late = pay(pool, b"ana", 1, now=9.0)
    put_aside(pool)  # at most its turns of the flood, and Ana's
    pool.wake()
    fresh = [data for data in offered(pool) if data == late]
    assert fresh == [late]
    again = [item.data for item in pool._again.in_turn((), 99)]
    assert again.index(late) == 1


def test_gap_transactions_by_the_thousand_put_nothing_before_the_next_honest_one() -> None:
    pool = Pool()
    for lane in range(16):
        for sequence in range(2, 1_252):
            in_lane(pool, sequence, b"lane %d" % lane)
    assert len(pool) == 16 * pools.LANE_GAPPED_MAX
    put_aside(pool)
    for height in range(20):
        in_lane(pool, height + 1, b"honest", payer=b"honest")
        assert offered(pool) == [b"honest %d" % (height + 1)]
        pool.note_executed(b"%d" % height, [b"id of honest %d" % (height + 1)], [(b"honest", height + 1)])
        pool.wake()
        assert not pool.has_pending


def test_what_was_passed_over_gets_every_eighth_place_however_much_is_new() -> None:
    pool = Pool()
    for number in range(3):
        add(pool, number)
    put_aside(pool)
    for number in range(10, 30):
        add(pool, number)
    pool.wake()
    places = [place for place, data in enumerate(offered(pool)) if data in map(data_of, range(3))]
    assert places == [7, 15, 22]


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
        self.executed: dict[bytes, int] = {}

    @rule(number=st.integers(0, 12))
    def admit(self, number: int) -> None:
        place = Place(b"payer %d" % (number % 3), b"lane %d" % (number % 2), number // 2 + 1)
        self.pool.add(id_of(number), data_of(number), LATER_MS, 0.0, place)

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
        sequences = [(b"lane %d" % (number % 2), number // 2 + 1) for number in sorted(numbers)]
        for lane, sequence in sequences:
            self.executed[lane] = max(sequence, self.executed.get(lane, 0))
        self.pool.note_executed(block, map(id_of, numbers), sequences)
        self.covering.discard(block)

    @rule(number=st.integers(0, 12))
    def drop(self, number: int) -> None:
        self.pool.remove(id_of(number))

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
        for item in items:
            here = {one.sequence for one in items if one.lane is item.lane}
            before = range(self.executed.get(item.lane.name, 0) + 1, item.sequence)
            assert item.is_gapped == (not here.issuperset(before))
        free = [
            item for item in items if item.data not in covered and not (item.is_deferred or item.is_gapped)
        ]
        offered = [*self.pool._fresh.in_turn((), 99), *self.pool._again.in_turn((), 99)]
        assert sorted(item.id for item in offered) == sorted(
            item.id for item in items if not item.is_deferred
        )
        for payer in {item.payer for item in items}:
            of_payer = [item for item in items if item.payer is payer]
            assert self.pool._payers[payer.name] is payer
            assert (payer.transactions, payer.gapped) == (
                len(of_payer),
                sum(item.is_gapped for item in of_payer),
            )
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


@pytest.mark.parametrize("bytes_too_many", [0, 1])
def test_blocks_are_forgotten_oldest_first_for_their_bytes_too(bytes_too_many: int) -> None:
    pool, size_bytes = Pool(), pools.NOTED_BYTES_MAX // 4
    add(pool, 0)
    first = pool.get(id_of(0))
    assert first is not None
    pool.note_block(b"of the first", (data_of(0), bytes(size_bytes - len(data_of(0)))))
    pool.note_block(b"executed", (bytes(size_bytes),))
    for number in range(2):
        pool.note_block(b"block %d" % number, (bytes(size_bytes),))
    pool.note_executed(b"executed", [])
    assert pool.open_until_ms(first) == first.expire_time_ms
    pool.note_block(b"the last", (bytes(size_bytes + bytes_too_many),))
    assert (pool.open_until_ms(first) == 0) is bool(bytes_too_many)


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
