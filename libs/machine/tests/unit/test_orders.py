"""Orders: when they fall due, what they post or miss, how they end, and release by other keys."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.credit_messages import OrderTransfers
from icn_machine.entries import PostingKind
from icn_machine.events import (
    NO_TRANSACTION,
    HoldReleased,
    Movement,
    OrderPlaced,
    StandingOrderEnded,
    StandingOrderMissed,
)
from icn_machine.limits import QUANTITY_MAX
from icn_machine.order_times import TIME_MS_MAX, time_of

from libs.machine.tests.credit_messages import (
    cancel_order,
    close_account,
    freeze_account,
    open_bringing,
    order_transfers,
    release_order,
)
from libs.machine.tests.credit_scene import CAY, DAY_MS, FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OUT, UNIT
from libs.machine.tests.zone import (
    TestKey,
    identifier,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    transfer,
    update_controller,
)

ORDER, NOWHERE, BRINGING = identifier("order"), identifier("nowhere"), identifier("waits")
STANDING = PostingKind.STANDING
HOUR_MS = 3_600_000


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


def at(*date: int) -> int:
    """Unix milliseconds of a date in UTC."""
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 1_000


def ordered(first_time_ms: int, **every: int) -> OrderTransfers:
    fields = {"every_days": 0, "every_months": 0, "times": 1_200, **every}
    return OrderTransfers(ORDER, ANA, BEN, 1, b"", b"", first_time_ms, **fields, needs_release=False)


async def order(scene: CreditScene, after_ms: int, amount: int = 10, **fields: Any) -> int:
    """An order of Ana's to Ben; when it first falls due."""
    first_ms = scene.now_ms + after_ms
    await scene.applied(scene.ana, order_transfers(ORDER, ANA, BEN, amount, first_ms, **fields))
    return first_ms


# When


@given(st.integers(0, 2**41), st.integers(1, 366), st.integers(0, 1_199))
def test_in_days_times_lie_whole_days_apart(first: int, days: int, number: int) -> None:
    assert time_of(ordered(first, every_days=days), number) == first + number * days * DAY_MS


@pytest.mark.parametrize(
    ("first", "months", "days"),
    [
        ((2023, 1, 31), 1, [(2023, 2, 28), (2023, 3, 31), (2023, 4, 30), (2023, 5, 31)]),
        ((2024, 1, 31), 1, [(2024, 2, 29), (2024, 3, 31)]),
        ((2024, 2, 29), 12, [(2025, 2, 28), (2026, 2, 28), (2027, 2, 28), (2028, 2, 29)]),
        ((2099, 11, 30), 3, [(2100, 2, 28), (2100, 5, 30)]),
        ((2024, 12, 15), 1, [(2025, 1, 15)]),
        ((2024, 12, 31), 11, [(2025, 11, 30), (2026, 10, 31)]),
        ((2024, 8, 30), 6, [(2025, 2, 28), (2025, 8, 30)]),
    ],
)
def test_in_months_it_is_the_same_day_or_the_months_last(
    first: tuple[int, ...], months: int, days: list[tuple[int, ...]]
) -> None:
    time_of_day = (23, 59, 59)
    found = [
        time_of(ordered(at(*first, *time_of_day) + 999, every_months=months), 1 + k) for k in range(len(days))
    ]
    assert found == [at(*day, *time_of_day) + 999 for day in days]


@given(st.integers(0, 2**42), st.integers(1, 12))
def test_times_in_months_ascend_and_keep_the_time_of_day(first: int, months: int) -> None:
    times = [time_of(ordered(first, every_months=months), number) for number in range(40)]
    known = [time for time in times if time is not None]
    assert known[0] == first
    assert all(before < after for before, after in pairwise(known))
    assert {time % DAY_MS for time in known} == {first % DAY_MS}


def test_no_time_lies_past_the_year_9999() -> None:
    last = at(9999, 12, 31, 23, 59, 59) + 999
    assert last == TIME_MS_MAX
    for every in ({"every_days": 1}, {"every_months": 1}):
        assert time_of(ordered(last, **every), 0) == last
        assert time_of(ordered(last + 1, **every), 0) is None
        assert time_of(ordered(last, **every), 1) is None
    assert time_of(ordered(at(9999, 11, 30), every_months=1), 1) == at(9999, 12, 30)
    assert time_of(ordered(QUANTITY_MAX), 0) is None


# Placing


async def test_an_order_is_kept_and_binds_what_it_debits(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    message = order_transfers(
        ORDER, ANA, BEN, 10, scene.now_ms + HOUR_MS, memo_hash=bytes([3]) * 32, reference=b"rent"
    )
    await scene.applied(scene.ana, message)
    (told,) = scene.told(OrderPlaced)
    kept = scene.order(ORDER)
    assert kept == told.order
    assert kept is not None and kept[1:] == (0, scene.time_ms + HOUR_MS, 0, (), scene.shop.principal)
    assert (kept.ordered.memo_hash, kept.ordered.reference) == (bytes([3]) * 32, b"rent")
    assert (scene.terms(ANA).bonds, scene.terms(BEN).bonds) == (1, 0)
    assert scene.leaves_used() == leaves + 1
    figures = await scene.refused("ACCOUNT_IN_USE", scene.ana, close_account(ANA))
    assert list(figures.items()) == [("balance_minor", 0), ("held_minor", 0), ("bonds", 1)]


@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        (NOWHERE, BEN, "ACCOUNT_UNKNOWN"),
        (ANA, NOWHERE, "ACCOUNT_UNKNOWN"),
        (BEN, ANA, "NOT_ACCOUNT_OWNER"),
        (ANA, OUT, "UNIT_MISMATCH"),
        (SAVINGS, BEN, "ACCOUNT_CLOSED"),
        (ANA, SAVINGS, "ACCOUNT_CLOSED"),
        (BRINGING, BEN, "OPENING_PENDING"),
        (ANA, BRINGING, "OPENING_PENDING"),
    ],
)
async def test_nothing_is_ordered_that_could_not_be_paid(
    scene: CreditScene, source: bytes, destination: bytes, reason: str
) -> None:
    await scene.applied(scene.ana, close_account(SAVINGS), open_bringing(BRINGING, UNIT, 1))
    message = order_transfers(ORDER, source, destination, 1, scene.now_ms + HOUR_MS)
    await scene.refused(reason, scene.ana, message)


async def test_an_order_may_be_for_more_than_there_is_and_from_a_frozen_account(scene: CreditScene) -> None:
    await scene.applied(scene.shop, freeze_account(ANA, scene.now_ms + HOUR_MS))
    await order(scene, HOUR_MS, amount=1_000_000)
    assert scene.order(ORDER) is not None


async def test_the_first_time_lies_ahead_and_at_most_366_days(scene: CreditScene) -> None:
    def first(after_ms: int) -> pb.Message:
        return order_transfers(ORDER, ANA, BEN, 1, scene.now_ms + after_ms)

    for after_ms in (0, 366 * DAY_MS + 1):
        figures = await scene.refused("ORDER_TIME_OUT_OF_RANGE", scene.ana, first(after_ms))
        expected = {"first_time_ms": scene.time_ms + after_ms, "block_time_ms": scene.time_ms}
        assert list(figures.items()) == list(expected.items())
    await scene.applied(scene.ana, first(366 * DAY_MS))
    await scene.refused("ORDER_EXISTS", scene.ana, first(HOUR_MS))
    await scene.applied(scene.ana, cancel_order(ORDER))
    await scene.applied(scene.ana, first(1))


# Falling due


async def test_an_order_is_posted_in_the_first_block_at_its_time_or_later(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    first_ms = await order(scene, HOUR_MS, memo_hash=bytes([3]) * 32, reference=b"rent")
    await scene.until(first_ms - 1)
    assert scene.posted() == []
    await scene.until(first_ms)
    assert scene.posted() == [(STANDING, ANA, BEN, 10)]
    (movement,) = scene.told(Movement)
    assert movement.transaction_index == NO_TRANSACTION
    assert (movement.hold, movement.memo_hash, movement.reference) == (ORDER, bytes([3]) * 32, b"rent")
    assert movement.payer == scene.shop.principal
    (ended,) = scene.told(StandingOrderEnded)
    assert (ended.reason, ended.order.times_passed) == ("COMPLETED", 1)
    assert (scene.order(ORDER), scene.terms(ANA).bonds, scene.leaves_used()) == (None, 0, leaves)


async def test_all_its_times_come_one_after_the_other(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, every_days=7, times=3)
    for number in range(3):
        await scene.until(first_ms + number * 7 * DAY_MS - 1)
        assert scene.posted() == []
        await scene.until(first_ms + number * 7 * DAY_MS)
        assert scene.posted() == [(STANDING, ANA, BEN, 10)]
    assert [ended.reason for ended in scene.told(StandingOrderEnded)] == ["COMPLETED"]
    assert scene.balances() == (-30, 30)


async def test_by_months_it_comes_on_the_last_day_where_there_is_no_such_day(scene: CreditScene) -> None:
    first_ms = at(2024, 1, 31, 8)
    await scene.applied(scene.ana, order_transfers(ORDER, ANA, BEN, 10, first_ms, every_months=1, times=3))
    for due_ms in (first_ms, at(2024, 2, 29, 8), at(2024, 3, 31, 8)):
        await scene.until(due_ms - 1)
        assert scene.posted() == []
        await scene.until(due_ms)
        assert len(scene.posted()) == 1
    assert scene.order(ORDER) is None


@pytest.mark.parametrize(("late_ms", "passed"), [(DAY_MS - 1, 1), (DAY_MS, 2), (3 * DAY_MS, 4)])
async def test_times_passed_over_are_gone_and_count_as_one_missed(
    scene: CreditScene, late_ms: int, passed: int
) -> None:
    first_ms = await order(scene, HOUR_MS, every_days=1, times=10)
    await scene.until(first_ms + late_ms)
    assert scene.posted() == [(STANDING, ANA, BEN, 10)]
    over = [missed.reason for missed in scene.told(StandingOrderMissed)]
    assert over == (["PASSED_OVER"] if passed > 1 else [])
    kept = scene.order(ORDER)
    assert kept is not None
    assert kept[1:4] == (passed, first_ms + passed * DAY_MS, int(passed > 1))


async def test_when_the_last_times_are_passed_over_it_has_ended(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, every_days=1, times=3)
    await scene.until(first_ms + 5 * DAY_MS)
    assert len(scene.posted()) == 1
    assert [missed.reason for missed in scene.told(StandingOrderMissed)] == ["PASSED_OVER"]
    assert [ended.reason for ended in scene.told(StandingOrderEnded)] == ["COMPLETED"]


async def test_three_missed_in_a_row_end_it(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    first_ms = await order(scene, HOUR_MS, amount=101, every_days=1, times=10)
    for number in range(3):
        await scene.until(first_ms + number * DAY_MS)
        (missed,) = scene.told(StandingOrderMissed)
        assert (missed.reason, missed.order.missed) == ("CREDIT_LIMIT_EXCEEDED", number + 1)
        assert dict(missed.figures) == {
            "balance_minor": 0,
            "held_minor": 0,
            "amount_minor": 101,
            "floor_minor": -100,
        }
        assert [ended.reason for ended in scene.told(StandingOrderEnded)] == ["MISSED"] * (number == 2)
    assert (scene.order(ORDER), scene.terms(ANA).bonds, scene.leaves_used()) == (None, 0, leaves)
    assert scene.balances() == (0, 0)


async def test_one_that_is_paid_begins_the_row_anew(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, amount=101, every_days=1, times=10)
    for number in range(5):
        if number == 2:
            await scene.applied(scene.shop, set_floor(ANA, -101))
        await scene.until(first_ms + number * DAY_MS)
    kept = scene.order(ORDER)
    assert kept is not None and kept.missed == 2, "missed, missed, paid, missed, missed"
    assert scene.balances() == (-101, 101)


async def test_one_missed_and_others_passed_over_are_two_missed(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, amount=101, every_days=1, times=10)
    await scene.until(first_ms + 2 * DAY_MS)
    reasons = [missed.reason for missed in scene.told(StandingOrderMissed)]
    assert reasons == ["CREDIT_LIMIT_EXCEEDED", "PASSED_OVER"]
    kept = scene.order(ORDER)
    assert kept is not None and kept.missed == 2
    await scene.until(first_ms + 3 * DAY_MS)
    assert [ended.reason for ended in scene.told(StandingOrderEnded)] == ["MISSED"]


@pytest.mark.parametrize(("bytes_per_epoch", "is_paid"), [(256, True), (255, False)])
async def test_its_payer_is_charged_256_bytes_of_the_epoch(
    scene: CreditScene, bytes_per_epoch: int, is_paid: bool
) -> None:
    first_ms = await order(scene, 2 * DAY_MS, times=2, every_days=1)
    limits = {"bytes_per_epoch": bytes_per_epoch, "state_leaves": 2**40}
    await scene.applied(scene.zone.authority, set_allowance(scene.shop.principal, **limits))
    await scene.until(first_ms - 1)
    await scene.until(first_ms)
    allowance = scene.ledger.state.records[-1].allowances[scene.shop.principal]
    if is_paid:
        assert scene.posted() == [(STANDING, ANA, BEN, 10)]
        assert (allowance.used_bytes, allowance.used_signatures) == (256, 0)
        return
    (missed,) = scene.told(StandingOrderMissed)
    assert missed.reason == "ALLOWANCE_EXCEEDED"
    assert scene.posted() == []


async def test_what_is_missed_costs_nothing(scene: CreditScene) -> None:
    first_ms = await order(scene, 2 * DAY_MS, amount=101)
    before = scene.ledger.state.records[-1].allowances[scene.shop.principal]
    await scene.until(first_ms)
    after = scene.ledger.state.records[-1].allowances[scene.shop.principal]
    assert after == before.occupy(-1)


async def test_an_order_to_a_closed_account_ends(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, times=9, every_days=1)
    await scene.applied(scene.ben, close_account(BEN))
    await scene.until(first_ms)
    (ended,) = scene.told(StandingOrderEnded)
    assert (ended.reason, scene.posted(), scene.terms(ANA).bonds) == ("ACCOUNT_CLOSED", [], 0)


async def test_a_frozen_account_misses_its_time(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, times=2, every_days=1)
    await scene.applied(scene.shop, freeze_account(ANA, first_ms + 1))
    await scene.until(first_ms)
    (missed,) = scene.told(StandingOrderMissed)
    assert (missed.reason, dict(missed.figures)) == (
        "ACCOUNT_FROZEN",
        {"frozen_until_ms": first_ms + 1, "block_time_ms": first_ms},
    )
    await scene.until(first_ms + DAY_MS)
    assert len(scene.posted()) == 1


async def test_a_standing_transfer_pays_the_fee_and_counts_as_trade(scene: CreditScene) -> None:
    growth = {"growth_ppm": 1, "growth_max_minor": 1, "counterparty_max_minor": 1_000}
    await scene.govern(fee_fixed_minor=3, fund=FUND, **growth)
    await scene.until(await order(scene, HOUR_MS))
    assert scene.posted() == [(STANDING, ANA, BEN, 10), (PostingKind.FEE, BEN, FUND, 3)]
    assert scene.ledger.state.records[-1].credit_lines[UNIT + scene.ben.principal].earned_minor == 10


async def test_holds_that_are_due_are_released_before_orders(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, amount=100)
    await scene.applied(scene.ana, place_hold(HOLD, ANA, CAY, 100, first_ms))
    await scene.until(first_ms)
    assert [type(event) for event in scene.events()] == [HoldReleased, Movement, StandingOrderEnded]


async def test_more_than_a_block_carries_out_wait_for_the_next_by_time_then_id(
    scene: CreditScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_sim.memory_state.ORDERS_PER_BLOCK_MAX", 2)
    low, middle, high = sorted(identifier(f"order {number}") for number in range(3))
    first_ms = scene.now_ms + HOUR_MS
    await scene.applied(
        scene.ana,
        order_transfers(middle, ANA, BEN, 2, first_ms),
        order_transfers(low, ANA, BEN, 3, first_ms),
        order_transfers(high, ANA, BEN, 1, first_ms - 1),
    )
    await scene.until(first_ms)
    assert [one.hold for one in scene.told(Movement)] == [high, low]
    await scene.until(first_ms + 1)
    assert [one.hold for one in scene.told(Movement)] == [middle]


async def test_what_is_due_is_posted_before_the_blocks_transactions(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS, amount=60)
    reasons = await scene.block(
        (scene.ana, [transfer(ANA, BEN, 60)]), (scene.ana, [cancel_order(ORDER)]), after_ms=HOUR_MS
    )
    assert (scene.time_ms, reasons) == (first_ms, ["CREDIT_LIMIT_EXCEEDED", "ORDER_UNKNOWN"])


async def test_an_order_outlives_a_change_of_keys(scene: CreditScene) -> None:
    first_ms = await order(scene, HOUR_MS)
    await scene.applied(scene.ana, update_controller(1, TestKey("new key of ana")))
    await scene.until(first_ms)
    assert len(scene.posted()) == 1


# Cancelling


async def test_the_owner_of_either_side_ends_an_order(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    for who in (scene.ana, scene.ben):
        await order(scene, HOUR_MS)
        await scene.refused("NOT_ACCOUNT_OWNER", scene.cay, cancel_order(ORDER))
        await scene.applied(who, cancel_order(ORDER))
        assert [ended.reason for ended in scene.told(StandingOrderEnded)] == ["CANCELLED"]
        assert (scene.terms(ANA).bonds, scene.leaves_used()) == (0, leaves)
    await scene.refused("ORDER_UNKNOWN", scene.ana, cancel_order(ORDER))


# Release


async def two_hands(scene: CreditScene) -> tuple[TestKey, TestKey]:
    """A clerk's key that may order and an officer's that may release, beside Ana's own."""
    clerk, officer = TestKey("clerk"), TestKey("officer")
    scopes = [(clerk, pb.KeyScope(message_kinds=[36])), (officer, pb.KeyScope(message_kinds=[38]))]
    await scene.applied(scene.ana, update_controller(1, *scene.ana.keys, *scopes))
    return clerk, officer


async def test_what_a_clerk_orders_an_officer_releases(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    clerk, officer = await two_hands(scene)
    first_ms = scene.now_ms + HOUR_MS
    message = order_transfers(
        ORDER, ANA, BEN, 10, first_ms, needs_release=True, memo_hash=bytes([3]) * 32, reference=b"rent"
    )
    await scene.applied(scene.ana, message, keys=[clerk])
    kept = scene.order(ORDER)
    assert kept is not None and kept.key_ids == (clerk.key_id,)
    assert scene.posted() == []
    await scene.applied(scene.ana, release_order(ORDER, ANA, BEN, 10), keys=[officer])
    assert scene.posted() == [(PostingKind.TRANSFER, ANA, BEN, 10)]
    (movement,) = scene.told(Movement)
    assert (movement.hold, movement.memo_hash, movement.reference) == (ORDER, bytes([3]) * 32, b"rent")
    (ended,) = scene.told(StandingOrderEnded)
    assert (ended.reason, scene.terms(ANA).bonds, scene.leaves_used()) == ("RELEASED", 0, leaves)


async def test_no_key_that_signed_the_order_releases_it(scene: CreditScene) -> None:
    dora = scene.zone.member("dora", scene.shop, keys=4)
    one, two, three, four = dora.keys
    hers = identifier("account of dora")
    await scene.applied(scene.shop, open_controller(dora, threshold=2))
    await scene.applied(dora, pb.Message(open_account=pb.OpenAccount(account=hers, unit=UNIT)))
    first_ms = scene.now_ms + HOUR_MS
    message = order_transfers(ORDER, hers, BEN, 10, first_ms, needs_release=True)
    await scene.applied(dora, message, keys=[one, two])
    release = release_order(ORDER, hers, BEN, 10)
    for keys in ([one, two], [one, three], [three, two], [one, three, four]):
        assert await scene.refused("SAME_KEY", dora, release, keys=keys) == {}
    await scene.applied(dora, release, keys=[three, four])


async def test_what_two_of_three_keys_ordered_only_a_scoped_key_releases(scene: CreditScene) -> None:
    dora, officer = scene.zone.member("dora", scene.shop, keys=3), TestKey("officer")
    hers = identifier("account of dora")
    await scene.applied(scene.shop, open_controller(dora, threshold=2))
    await scene.applied(dora, pb.Message(open_account=pb.OpenAccount(account=hers, unit=UNIT)))
    message = order_transfers(ORDER, hers, BEN, 10, scene.now_ms + HOUR_MS, needs_release=True)
    await scene.applied(dora, message, keys=dora.keys[:2])
    release = release_order(ORDER, hers, BEN, 10)
    for keys in combinations(dora.keys, 2):
        await scene.refused("SAME_KEY", dora, release, keys=keys)
    scope = pb.KeyScope(message_kinds=[38])
    await scene.applied(dora, update_controller(2, *dora.keys, (officer, scope)), keys=dora.keys[:2])
    await scene.applied(dora, release, keys=[officer])


@pytest.mark.parametrize(
    ("release", "reason"),
    [
        (release_order(NOWHERE, ANA, BEN, 10), "ORDER_UNKNOWN"),
        (release_order(ORDER, SAVINGS, BEN, 10), "ORDER_MISMATCH"),
        (release_order(ORDER, ANA, CAY, 10), "ORDER_MISMATCH"),
        (release_order(ORDER, ANA, BEN, 9), "ORDER_MISMATCH"),
        (release_order(ORDER, ANA, BEN, 11), "ORDER_MISMATCH"),
    ],
)
async def test_a_release_says_what_was_ordered(scene: CreditScene, release: pb.Message, reason: str) -> None:
    clerk, officer = await two_hands(scene)
    message = order_transfers(ORDER, ANA, BEN, 10, scene.now_ms + HOUR_MS, needs_release=True)
    await scene.applied(scene.ana, message, keys=[clerk])
    await scene.refused(reason, scene.ana, release, keys=[officer])


async def test_an_order_without_release_is_not_released(scene: CreditScene) -> None:
    clerk, officer = await two_hands(scene)
    message = order_transfers(ORDER, ANA, BEN, 10, scene.now_ms + HOUR_MS)
    await scene.applied(scene.ana, message, keys=[clerk])
    release = release_order(ORDER, ANA, BEN, 10)
    await scene.refused("ORDER_MISMATCH", scene.ana, release, keys=[officer])


async def test_a_release_is_a_voluntary_debit_of_its_owner(scene: CreditScene) -> None:
    clerk, officer = await two_hands(scene)
    message = order_transfers(ORDER, ANA, BEN, 101, scene.now_ms + HOUR_MS, needs_release=True)
    await scene.applied(scene.ana, message, keys=[clerk])
    release = release_order(ORDER, ANA, BEN, 101)
    await scene.refused("NOT_ACCOUNT_OWNER", scene.cay, release)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, release, keys=[officer])
    assert figures["amount_minor"] == 101
    await scene.applied(scene.shop, freeze_account(ANA, scene.now_ms + HOUR_MS))
    await scene.refused("ACCOUNT_FROZEN", scene.ana, release, keys=[officer])
    await scene.applied(scene.shop, freeze_account(ANA, 0), set_floor(ANA, -101))
    await scene.applied(scene.ben, close_account(BEN))
    await scene.refused("ACCOUNT_CLOSED", scene.ana, release, keys=[officer])
    assert scene.order(ORDER) is not None


async def test_an_order_that_nobody_released_ends_at_its_time(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    first_ms = await order(scene, HOUR_MS, needs_release=True)
    await scene.until(first_ms - 1)
    assert scene.order(ORDER) is not None
    await scene.until(first_ms)
    (ended,) = scene.told(StandingOrderEnded)
    assert (ended.reason, scene.posted()) == ("NOT_RELEASED", [])
    assert (scene.terms(ANA).bonds, scene.leaves_used()) == (0, leaves)
    await scene.refused("ORDER_UNKNOWN", scene.ana, release_order(ORDER, ANA, BEN, 10))
