"""Demurrage: edges by block time, what is free, before what it is taken, and that nobody dodges it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_machine.credit_messages import UnitPolicy
from icn_machine.demurrage import edges_between
from icn_machine.entries import PostingKind
from icn_machine.limits import DEMURRAGE_EDGES_MAX, NO_FLOOR, QUANTITY_MAX
from icn_machine.records import PolicyInForce

from libs.machine.tests.credit_messages import (
    charge_demurrage,
    close_account,
    legs,
    offer_exchange,
    order_transfers,
    pledge_account,
    set_unit_policy,
    write_off,
)
from libs.machine.tests.credit_scene import CAY, DAY_MS, FUND, MINT, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OTHER_UNIT, OUT, UNIT
from libs.machine.tests.zone import (
    capture_hold,
    identifier,
    open_account,
    place_hold,
    set_floor,
    transfer,
    void_hold,
)

DEMURRAGE, TRANSFER = PostingKind.DEMURRAGE, PostingKind.TRANSFER
DAILY = {"demurrage_ppm": 10_000, "demurrage_days": 1, "fund": FUND}


@pytest.fixture
async def scene() -> CreditScene:
    """Ana has 1,000 on each of both accounts."""
    scene = await credit_scene()
    await scene.give(ANA, 1_000)
    await scene.give(SAVINGS, 1_000)
    return scene


async def charged_at(scene: CreditScene, time_ms: int, *accounts: bytes) -> list[tuple[bytes, int]]:
    """What a block of that time takes of accounts that somebody names."""
    message = charge_demurrage(*accounts)
    await scene.applied(scene.cay, message, after_ms=time_ms - scene.time_ms)
    assert all(kind is DEMURRAGE and fund == FUND for kind, _, fund, _ in scene.posted())
    return [(source, amount) for _, source, _, amount in scene.posted()]


@pytest.mark.parametrize(
    ("after_ms", "taken"),
    [
        (DAY_MS - 1, []),
        (DAY_MS, [10]),
        (2 * DAY_MS - 1, [10]),
        (2 * DAY_MS, [20]),
        (7 * DAY_MS + 5, [70]),
        (100 * DAY_MS, [1_000]),
        (200 * DAY_MS, [1_000]),
    ],
)
async def test_an_edge_counts_from_its_block_time_on_and_several_at_once_without_compounding(
    scene: CreditScene, after_ms: int, taken: list[int]
) -> None:
    set_ms = await scene.govern(**DAILY)
    charged = await charged_at(scene, set_ms + after_ms, ANA)
    assert charged == [(ANA, amount) for amount in taken]
    assert scene.terms(ANA).demurrage_until_ms == (scene.time_ms if taken else 0)


async def test_an_edge_is_taken_once(scene: CreditScene) -> None:
    set_ms = await scene.govern(**DAILY)
    assert await charged_at(scene, set_ms + DAY_MS, ANA) == [(ANA, 10)]
    assert await charged_at(scene, set_ms + 2 * DAY_MS - 1, ANA) == []
    assert scene.terms(ANA).demurrage_until_ms == set_ms + DAY_MS, "nothing was due"
    assert await charged_at(scene, set_ms + 2 * DAY_MS, ANA) == [(ANA, 9)], "of 990, rounded down"


async def test_edges_lie_as_far_apart_as_the_policy_says(scene: CreditScene) -> None:
    set_ms = await scene.govern(**{**DAILY, "demurrage_days": 30})
    assert await charged_at(scene, set_ms + 30 * DAY_MS - 1, ANA) == []
    assert await charged_at(scene, set_ms + 60 * DAY_MS - 1, ANA) == [(ANA, 10)]
    assert await charged_at(scene, set_ms + 60 * DAY_MS, ANA) == [(ANA, 9)]


async def test_who_changes_something_else_of_the_policy_forgives_nothing(scene: CreditScene) -> None:
    set_ms = await scene.govern(**DAILY)
    changed_ms = await scene.govern(**DAILY, soft_ppm=1)
    assert changed_ms > set_ms
    assert await charged_at(scene, set_ms + DAY_MS, ANA) == [(ANA, 10)]
    lighter_ms = await scene.govern(**{**DAILY, "demurrage_ppm": 2_000})
    assert await charged_at(scene, lighter_ms + DAY_MS - 1, ANA) == []
    assert await charged_at(scene, lighter_ms + DAY_MS, ANA) == [(ANA, 1)], "of 990, rounded down"
    free_ms = await scene.govern(**{**DAILY, "demurrage_free_minor": 90})
    assert await charged_at(scene, free_ms + DAY_MS, ANA) == [(ANA, 8)], "of 989 - 90"


@pytest.mark.parametrize(("free", "taken"), [(0, 10), (900, 1), (901, 0), (1_000, 0), (2_000, 0)])
async def test_the_free_amount_is_of_main_accounts_only(scene: CreditScene, free: int, taken: int) -> None:
    set_ms = await scene.govern(**DAILY, demurrage_free_minor=free)
    charged = dict(await charged_at(scene, set_ms + DAY_MS, ANA, SAVINGS))
    assert (charged.get(ANA, 0), charged[SAVINGS]) == (taken, 10)


async def test_no_more_is_taken_than_lies_above_the_free_amount(scene: CreditScene) -> None:
    set_ms = await scene.govern(**DAILY, demurrage_free_minor=400)
    assert await charged_at(scene, set_ms + 366 * DAY_MS, ANA) == [(ANA, 600)]


async def test_debtors_and_the_fund_pay_none(scene: CreditScene) -> None:
    await scene.give(FUND, 1_000)
    set_ms = await scene.govern(**DAILY)
    assert await charged_at(scene, set_ms + DAY_MS, MINT, FUND) == []
    assert (scene.terms(MINT).demurrage_until_ms, scene.terms(FUND).demurrage_until_ms) == (scene.time_ms, 0)


async def test_where_nothing_was_taken_the_edges_are_gone_nevertheless(scene: CreditScene) -> None:
    set_ms = await scene.govern(**DAILY)
    await charged_at(scene, set_ms + 5 * DAY_MS, BEN)
    assert scene.terms(BEN).demurrage_until_ms == scene.time_ms
    await scene.applied(scene.ana, transfer(ANA, BEN, 100))
    assert await charged_at(scene, set_ms + 6 * DAY_MS, BEN) == [(BEN, 1)]


@pytest.mark.parametrize(("room", "taken"), [(11, 10), (10, 10), (4, 4), (0, 0)])
async def test_a_full_fund_takes_what_it_has_room_for(scene: CreditScene, room: int, taken: int) -> None:
    await scene.applied(scene.shop, set_floor(CAY, NO_FLOOR))
    await scene.applied(scene.cay, transfer(CAY, FUND, QUANTITY_MAX - room))
    set_ms = await scene.govern(**DAILY)
    charged = dict(await charged_at(scene, set_ms + DAY_MS, ANA))
    assert charged.get(ANA, 0) == taken
    assert scene.terms(ANA).demurrage_until_ms == scene.time_ms


@pytest.mark.parametrize(("opened_after_ms", "taken"), [(DAY_MS - 1, 20), (DAY_MS, 10), (DAY_MS + 1, 10)])
async def test_an_account_opened_between_edges_pays_for_those_behind_its_opening(
    scene: CreditScene, opened_after_ms: int, taken: int
) -> None:
    await scene.give(CAY, 1_000)
    set_ms = await scene.govern(**DAILY, demurrage_free_minor=1_000_000)
    new = identifier("opened later")
    opened = open_account(new, UNIT), transfer(CAY, new, 1_000)
    await scene.applied(scene.cay, *opened, after_ms=opened_after_ms)
    assert scene.terms(new).demurrage_until_ms == scene.time_ms == set_ms + opened_after_ms
    assert await charged_at(scene, set_ms + 2 * DAY_MS, new) == [(new, taken)]


async def test_an_account_opened_without_such_a_policy_pays_for_the_edges_of_the_first(
    scene: CreditScene,
) -> None:
    assert scene.account(BEN).terms is None
    await scene.govern(soft_ppm=1)
    new = identifier("opened later")
    await scene.applied(scene.cay, open_account(new, UNIT))
    assert scene.terms(new).demurrage_until_ms == 0


async def test_a_new_policy_counts_its_own_edges_only(scene: CreditScene) -> None:
    set_ms = await scene.govern(**DAILY)
    await scene.until(set_ms + 5 * DAY_MS)
    again_ms = await scene.govern(**{**DAILY, "demurrage_days": 2, "demurrage_ppm": 100_000})
    assert await charged_at(scene, again_ms + 2 * DAY_MS - 1, ANA) == []
    assert await charged_at(scene, again_ms + 2 * DAY_MS, ANA) == [(ANA, 100)]


async def test_the_block_that_replaces_a_policy_still_goes_by_the_old_one(scene: CreditScene) -> None:
    await scene.govern(**DAILY)
    replaced = {**DAILY, "demurrage_ppm": 1}
    reasons = await scene.block(
        (scene.shop, [set_unit_policy(UNIT, **replaced)]),
        (scene.cay, [charge_demurrage(ANA)]),
        after_ms=DAY_MS,
    )
    assert reasons == ["", ""]
    assert scene.posted() == [(DEMURRAGE, ANA, FUND, 10)]


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1, 366),
)
def test_edges_are_those_behind_the_one_time_and_not_behind_the_other(
    set_day: int, since_day: int, until_day: int, days: int
) -> None:
    in_force = PolicyInForce(UnitPolicy(demurrage_days=days), 7, set_day * DAY_MS)
    since_ms, until_ms = sorted((since_day, until_day))[0] * DAY_MS, max(since_day, until_day) * DAY_MS
    found = edges_between(in_force, since_ms, until_ms)
    first = max(1, (since_ms - in_force.demurrage_set_time_ms) // (days * DAY_MS) - 1)
    last = (until_ms - in_force.demurrage_set_time_ms) // (days * DAY_MS) + 1
    ends = range(
        in_force.demurrage_set_time_ms + first * days * DAY_MS,
        in_force.demurrage_set_time_ms + last * days * DAY_MS + 1,
    )
    assert found == sum(since_ms < edge <= until_ms for edge in ends[:: days * DAY_MS])


def test_at_most_so_many_edges_are_taken_at_once() -> None:
    in_force = PolicyInForce(UnitPolicy(demurrage_days=1), 5, 0)
    assert edges_between(in_force, 0, (2**20 - 1) * DAY_MS) == 2**20 - 1
    assert edges_between(in_force, 0, (2**20 + 1) * DAY_MS) == DEMURRAGE_EDGES_MAX == 2**20


# Before what it is taken


async def test_both_sides_of_a_transfer_pay_first_the_one_debited(scene: CreditScene) -> None:
    await scene.give(BEN, 500)
    set_ms = await scene.govern(**DAILY)
    await scene.applied(scene.ana, transfer(ANA, BEN, 100), after_ms=DAY_MS)
    assert scene.time_ms == set_ms + DAY_MS
    assert scene.posted() == [
        (DEMURRAGE, ANA, FUND, 10),
        (DEMURRAGE, BEN, FUND, 5),
        (TRANSFER, ANA, BEN, 100),
    ]


async def test_a_transfer_is_measured_after_demurrage_and_a_refused_one_takes_none(
    scene: CreditScene,
) -> None:
    await scene.applied(scene.shop, set_floor(ANA, 0))
    await scene.govern(**DAILY)
    figures = await scene.refused(
        "CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 991), after_ms=DAY_MS
    )
    assert (figures["balance_minor"], figures["amount_minor"]) == (990, 991)
    await scene.applied(scene.ana, transfer(ANA, BEN, 990))
    assert scene.balance(ANA) == 0


async def test_the_fund_may_be_either_side(scene: CreditScene) -> None:
    await scene.govern(**DAILY)
    await scene.applied(scene.ana, transfer(ANA, FUND, 90), after_ms=DAY_MS)
    assert (scene.balance(ANA), scene.balance(FUND)) == (900, 100)
    await scene.applied(scene.shop, transfer(FUND, ANA, 100), after_ms=DAY_MS)
    assert scene.posted() == [(DEMURRAGE, ANA, FUND, 9), (TRANSFER, FUND, ANA, 100)]
    assert (scene.balance(ANA), scene.balance(FUND)) == (991, 9)


async def test_a_hold_does_not_dodge_it(scene: CreditScene) -> None:
    await scene.govern(**DAILY)
    expire_ms = scene.now_ms + 30 * DAY_MS
    await scene.applied(scene.ana, place_hold(HOLD, ANA, SAVINGS, 1_000, expire_ms))
    await scene.applied(scene.ana, void_hold(HOLD), after_ms=DAY_MS)
    assert await charged_at(scene, scene.now_ms, ANA) == [(ANA, 10)]


async def test_what_is_held_pays_so_that_a_capture_may_end_below_the_limit(scene: CreditScene) -> None:
    await scene.applied(scene.shop, set_floor(ANA, 0))
    await scene.govern(**DAILY)
    expire_ms = scene.now_ms + 30 * DAY_MS
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 1_000, expire_ms))
    await scene.applied(scene.ben, capture_hold(HOLD, 1_000), after_ms=DAY_MS)
    assert scene.posted() == [(DEMURRAGE, ANA, FUND, 10), (PostingKind.CAPTURE, ANA, BEN, 1_000)]
    assert scene.balance(ANA) == -10


async def test_a_hold_that_is_placed_settles_both(scene: CreditScene) -> None:
    await scene.give(BEN, 500)
    await scene.govern(**DAILY)
    message = place_hold(HOLD, ANA, BEN, 1, scene.now_ms + 30 * DAY_MS)
    await scene.applied(scene.ana, message, after_ms=DAY_MS)
    assert scene.posted() == [(DEMURRAGE, ANA, FUND, 10), (DEMURRAGE, BEN, FUND, 5)]


async def test_an_offer_of_exchange_settles_what_is_offered(scene: CreditScene) -> None:
    other = identifier("ana in the other unit")
    await scene.applied(scene.ana, open_account(other, OTHER_UNIT))
    await scene.govern(**DAILY)
    message = offer_exchange(HOLD, (ANA, 1), (other, 1), scene.now_ms + 30 * DAY_MS)
    await scene.applied(scene.ana, message, after_ms=DAY_MS)
    assert scene.posted() == [(DEMURRAGE, ANA, FUND, 10)]


async def test_legs_settle_each_account_once(scene: CreditScene) -> None:
    await scene.govern(**DAILY)
    await scene.applied(scene.ana, legs((ANA, SAVINGS, 5), (ANA, BEN, 5), (SAVINGS, ANA, 5)), after_ms=DAY_MS)
    assert [one[:2] for one in scene.posted()] == [
        (DEMURRAGE, ANA),
        (DEMURRAGE, SAVINGS),
        (TRANSFER, ANA),
        (TRANSFER, ANA),
        (TRANSFER, SAVINGS),
    ]


async def test_demurrage_is_no_loss_of_legs(scene: CreditScene) -> None:
    await scene.govern(**DAILY)
    moved = (SAVINGS, ANA, 990), (ANA, SAVINGS, 990)
    await scene.applied(scene.ana, legs(*moved), after_ms=DAY_MS)
    assert (scene.balance(ANA), scene.balance(SAVINGS)) == (990, 990)


async def test_an_order_that_falls_due_settles_first(scene: CreditScene) -> None:
    set_ms = await scene.govern(**DAILY)
    message = order_transfers(identifier("order"), ANA, BEN, 990, set_ms + DAY_MS)
    await scene.applied(scene.ana, message)
    await scene.until(set_ms + DAY_MS)
    assert scene.posted() == [(DEMURRAGE, ANA, FUND, 10), (PostingKind.STANDING, ANA, BEN, 990)]


async def test_closing_settles_both_before_it_passes_on(scene: CreditScene) -> None:
    await scene.give(BEN, 500)
    await scene.govern(**DAILY)
    await scene.applied(scene.ana, close_account(SAVINGS, BEN), after_ms=DAY_MS)
    assert scene.posted() == [
        (DEMURRAGE, SAVINGS, FUND, 10),
        (DEMURRAGE, BEN, FUND, 5),
        (TRANSFER, SAVINGS, BEN, 990),
    ]


async def test_a_write_off_settles_the_debtor(scene: CreditScene) -> None:
    await scene.applied(scene.ben, transfer(BEN, CAY, 50))
    await scene.give(FUND, 100)
    await scene.applied(scene.shop, pledge_account(FUND, 100))
    set_ms = await scene.govern(**DAILY)
    await scene.applied(scene.shop, write_off(BEN, 50), after_ms=DAY_MS)
    assert scene.terms(BEN).demurrage_until_ms == set_ms + DAY_MS


# charge_demurrage


@pytest.mark.parametrize(
    ("accounts", "reason"),
    [
        ([ANA, identifier("nowhere")], "ACCOUNT_UNKNOWN"),
        ([ANA, OUT], "UNIT_MISMATCH"),
        ([OUT], "POLICY_UNKNOWN"),
    ],
)
async def test_accounts_that_are_charged_are_there_and_of_one_unit_that_asks_for_it(
    scene: CreditScene, accounts: list[bytes], reason: str
) -> None:
    await scene.govern(**DAILY)
    assert await scene.refused(reason, scene.cay, charge_demurrage(*accounts), after_ms=DAY_MS) == {}


async def test_a_policy_without_demurrage_charges_nobody(scene: CreditScene) -> None:
    await scene.govern(fee_fixed_minor=1, fund=FUND)
    await scene.refused("POLICY_UNKNOWN", scene.cay, charge_demurrage(ANA))


async def test_accounts_are_charged_in_their_order(scene: CreditScene) -> None:
    await scene.give(BEN, 500)
    set_ms = await scene.govern(**DAILY)
    charged = await charged_at(scene, set_ms + DAY_MS, ANA, SAVINGS, BEN)
    assert charged == sorted([(ANA, 10), (SAVINGS, 10), (BEN, 5)])


async def test_demurrage_is_no_trade_and_pays_no_fee(scene: CreditScene) -> None:
    policy: dict[str, Any] = {"growth_ppm": 1, "growth_max_minor": 1, "counterparty_max_minor": 9}
    set_ms = await scene.govern(**DAILY, **policy, fee_fixed_minor=1)
    assert await charged_at(scene, set_ms + DAY_MS, ANA) == [(ANA, 10)]
    assert scene.ledger.state.records[-1].credit_lines[UNIT + scene.ana.principal][1:] == (0, 0)
