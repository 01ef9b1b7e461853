"""Limits: main and further accounts, growth with cleared trade, soft limits, history by events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from icn_machine.credit_messages import UnitPolicy
from icn_machine.events import FloorChanged, SoftLimitPassed, UnitPolicySet

from libs.machine.tests.credit_messages import set_unit_policy
from libs.machine.tests.scene import ANA, BEN, HOLD, OUT, UNIT, Scene
from libs.machine.tests.zone import (
    create_unit,
    identifier,
    make_zone,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    transfer,
)

GROWTH = {"growth_ppm": 500_000, "growth_max_minor": 80, "counterparty_max_minor": 60}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    yield await Scene(make_zone()).set_up()


def line(scene: Scene, owner: bytes) -> tuple[int, int]:
    found = scene.ledger.state.records[-1].credit_lines[UNIT + owner]
    return found.earned_minor, found.spent_minor


async def test_only_the_first_account_in_a_unit_has_the_units_credit(scene: Scene) -> None:
    second = identifier("second")
    await scene.applied(scene.ana, open_account(second, UNIT))
    assert (scene.account(ANA).floor_minor, scene.account(second).floor_minor) == (-100, 0)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(second, BEN, 1))
    assert figures == {"balance_minor": 0, "held_minor": 0, "amount_minor": 1, "floor_minor": 0}


async def test_the_first_account_in_each_unit_has_that_units_credit(scene: Scene) -> None:
    other = identifier("a third unit")
    await scene.applied(scene.shop, create_unit(other, floor_minor=-7))
    mine = identifier("mine there")
    await scene.applied(scene.ana, open_account(mine, other))
    assert scene.account(mine).floor_minor == -7


async def test_an_account_occupies_its_leaf_and_with_the_first_the_owners_credit_line(scene: Scene) -> None:
    before = scene.leaves_used()
    await scene.applied(scene.ana, open_account(identifier("second"), UNIT))
    assert scene.leaves_used() == before + 1
    fay = scene.zone.member("fay", scene.shop)
    await scene.applied(scene.shop, open_controller(fay))
    await scene.applied(fay, open_account(identifier("of fay"), UNIT))
    assert scene.leaves_used() == before + 1 + 1 + 2


async def test_limits_grow_by_what_was_earned_and_spent(scene: Scene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    assert line(scene, scene.ana.principal) == (0, 40)
    assert line(scene, scene.ben.principal) == (40, 0)
    await scene.applied(scene.ben, transfer(BEN, ANA, 40))
    assert line(scene, scene.ana.principal) == line(scene, scene.ben.principal) == (40, 40)
    await scene.applied(scene.ana, transfer(ANA, BEN, 120))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert figures["floor_minor"] == -100 - 20
    assert figures["balance_minor"] == -120


async def test_trade_of_two_counts_up_to_the_counterparty_maximum_each_way(scene: Scene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    for _ in range(5):
        await scene.applied(scene.ana, transfer(ANA, BEN, 90))
        await scene.applied(scene.ben, transfer(BEN, ANA, 90))
    assert line(scene, scene.ana.principal) == line(scene, scene.ben.principal) == (60, 60)
    await scene.applied(scene.ana, transfer(ANA, BEN, 130))
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))


async def test_growth_never_passes_its_maximum(scene: Scene) -> None:
    growth = {"growth_ppm": 1_000_000, "growth_max_minor": 30, "counterparty_max_minor": 1_000}
    await scene.applied(scene.shop, set_unit_policy(UNIT, **growth))
    await scene.applied(scene.ana, transfer(ANA, BEN, 90))
    await scene.applied(scene.ben, transfer(BEN, ANA, 90))
    await scene.applied(scene.ana, transfer(ANA, BEN, 130))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert figures["floor_minor"] == -130


async def test_payments_between_ones_own_accounts_count_for_nothing(scene: Scene) -> None:
    second = identifier("second")
    await scene.applied(scene.ana, open_account(second, UNIT))
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    await scene.applied(scene.ana, transfer(ANA, second, 40))
    await scene.applied(scene.ana, transfer(second, ANA, 40))
    assert line(scene, scene.ana.principal) == (0, 0)
    assert not scene.ledger.state.records[-1].trades


async def test_a_floor_that_the_authority_sets_is_the_limit_whatever_was_traded(scene: Scene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    await scene.applied(scene.ben, transfer(BEN, ANA, 40))
    await scene.applied(scene.shop, set_floor(ANA, -10))
    (changed,) = [event for event in scene.events() if isinstance(event, FloorChanged)]
    assert (changed.previous_floor_minor, changed.floor_minor) == (-100, -10)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 11))
    assert figures["floor_minor"] == -10


async def test_without_room_for_a_leaf_trade_is_not_counted_and_nothing_is_refused(scene: Scene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    full = {"bytes_per_epoch": 2**40, "signatures_per_epoch": 2**40, "state_leaves": scene.leaves_used()}
    await scene.applied(scene.zone.authority, set_allowance(scene.shop.principal, **full))
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    assert line(scene, scene.ana.principal) == (0, 0)
    more = {**full, "state_leaves": scene.leaves_used() + 1}
    await scene.applied(scene.zone.authority, set_allowance(scene.shop.principal, **more))
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    assert line(scene, scene.ana.principal) == (0, 40)


async def test_a_policy_acts_from_the_next_block_on(scene: Scene) -> None:
    await scene.block((scene.shop, [set_unit_policy(UNIT, **GROWTH)]), (scene.ana, [transfer(ANA, BEN, 40)]))
    assert line(scene, scene.ana.principal) == (0, 0)
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    assert line(scene, scene.ana.principal) == (0, 40)


async def test_accounts_that_the_block_itself_opens_trade_as_others_do(scene: Scene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    fay = scene.zone.member("fay", scene.shop)
    await scene.applied(scene.shop, open_controller(fay))
    hers = identifier("of fay")
    await scene.block(
        (fay, [open_account(hers, UNIT)]),
        (scene.ana, [transfer(ANA, hers, 40)]),
        (fay, [transfer(hers, ANA, 30)]),
    )
    assert line(scene, fay.principal) == (40, 30)
    assert line(scene, scene.ana.principal) == (30, 40)


async def test_what_passes_the_soft_limit_is_told_once_and_not_refused(scene: Scene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, soft_ppm=799_999))
    await scene.applied(scene.ana, transfer(ANA, BEN, 79))
    assert not [event for event in scene.events() if isinstance(event, SoftLimitPassed)]
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 1, scene.now_ms + 60_000))
    told = [event for event in scene.events() if isinstance(event, SoftLimitPassed)]
    assert [tuple(event)[1:] for event in told] == [(ANA, -79, 1, -100, -79)]
    await scene.applied(scene.ana, transfer(ANA, BEN, 5))
    assert [event for event in scene.events() if isinstance(event, SoftLimitPassed)] == []


async def test_only_the_units_authority_sets_its_policy(scene: Scene) -> None:
    await scene.refused("NOT_UNIT_AUTHORITY", scene.ana, set_unit_policy(UNIT, **GROWTH))
    await scene.refused("UNIT_UNKNOWN", scene.shop, set_unit_policy(identifier("no unit"), **GROWTH))


async def test_a_policy_is_told_with_the_one_before(scene: Scene) -> None:
    before = scene.leaves_used()
    await scene.applied(scene.shop, set_unit_policy(UNIT, soft_ppm=1))
    (first,) = [event for event in scene.events() if isinstance(event, UnitPolicySet)]
    assert (first.previous, first.policy) == (None, UnitPolicy(soft_ppm=1))
    await scene.applied(scene.shop, set_unit_policy(UNIT, soft_ppm=2))
    (second,) = [event for event in scene.events() if isinstance(event, UnitPolicySet)]
    assert (second.previous, second.policy) == (UnitPolicy(soft_ppm=1), UnitPolicy(soft_ppm=2))
    assert scene.leaves_used() == before + 1, "the second takes the place of the first"


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"fee_ppm": 1, "fund": identifier("nowhere")}, "FUND_UNKNOWN"),
        ({"fee_ppm": 1, "fund": OUT}, "FUND_UNKNOWN"),
        ({"fee_ppm": 1, "fund": BEN}, "FUND_UNPLEDGED"),
        ({"freezer": identifier("nobody")}, "AUTHORITY_UNKNOWN"),
    ],
)
async def test_what_a_policy_names_must_be_there(
    scene: Scene, policy: dict[str, int | bytes], reason: str
) -> None:
    await scene.refused(reason, scene.shop, set_unit_policy(UNIT, **policy))
