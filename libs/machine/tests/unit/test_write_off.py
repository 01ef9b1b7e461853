"""Pledges and write-offs: a fund pays a debt, within its pledge, its limit and the debt itself."""

from __future__ import annotations

import pytest
from icn_machine.entries import PostingKind
from icn_machine.events import FloorChanged, Movement
from icn_machine.limits import QUANTITY_MAX

from libs.machine.tests.credit_messages import (
    close_account,
    open_bringing,
    pledge_account,
    set_unit_policy,
    write_off,
)
from libs.machine.tests.credit_scene import FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OUT, UNIT
from libs.machine.tests.zone import identifier, place_hold, transfer

WRITE_OFF = PostingKind.WRITE_OFF
NOWHERE, BRINGING = identifier("nowhere"), identifier("waits")
MEMO = bytes([4]) * 32


@pytest.fixture
async def scene() -> CreditScene:
    """Ana owes 80; the fund has 100 and pledged 60."""
    scene = await credit_scene()
    await scene.give(FUND, 100)
    await scene.applied(scene.shop, pledge_account(FUND, 60))
    await scene.govern(fund=FUND)
    await scene.applied(scene.ana, transfer(ANA, BEN, 80))
    return scene


async def test_the_fund_pays_its_pledge_shrinks_and_the_debtor_has_no_credit_left(
    scene: CreditScene,
) -> None:
    await scene.applied(scene.shop, write_off(ANA, 50, MEMO))
    assert scene.posted() == [(WRITE_OFF, FUND, ANA, 50)]
    (movement,) = scene.told(Movement)
    assert (movement.memo_hash, movement.reference, movement.hold) == (MEMO, b"", b"")
    assert (scene.balance(FUND), scene.terms(FUND).pledged_minor) == (50, 10)
    assert (scene.balance(ANA), scene.account(ANA).floor_minor) == (-30, 0)
    assert scene.terms(ANA).has_own_floor
    (changed,) = scene.told(FloorChanged)
    assert (changed.account, changed.previous_floor_minor, changed.floor_minor) == (ANA, -100, 0)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert (figures["balance_minor"], figures["floor_minor"]) == (-30, 0)
    await scene.applied(scene.ben, transfer(BEN, ANA, 10))


async def test_growth_does_not_give_back_what_a_write_off_took(scene: CreditScene) -> None:
    growth = {"growth_ppm": 1_000_000, "growth_max_minor": 500, "counterparty_max_minor": 500}
    await scene.applied(scene.shop, set_unit_policy(UNIT, fund=FUND, **growth))
    await scene.applied(scene.ben, transfer(BEN, ANA, 60))
    await scene.applied(scene.ana, transfer(ANA, BEN, 60))
    await scene.applied(scene.shop, write_off(ANA, 1))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert figures["floor_minor"] == 0


async def test_no_more_is_written_off_than_is_owed(scene: CreditScene) -> None:
    await scene.applied(scene.shop, pledge_account(FUND, 1_000))
    figures = await scene.refused("WRITE_OFF_ABOVE_DEBT", scene.shop, write_off(ANA, 81))
    assert list(figures.items()) == [("balance_minor", -80), ("amount_minor", 81)]
    await scene.applied(scene.shop, write_off(ANA, 80))
    assert scene.balance(ANA) == 0


async def test_no_more_is_written_off_than_is_pledged(scene: CreditScene) -> None:
    figures = await scene.refused("PLEDGE_EXCEEDED", scene.shop, write_off(ANA, 61))
    assert list(figures.items()) == [("pledged_minor", 60), ("amount_minor", 61)]
    await scene.applied(scene.shop, write_off(ANA, 60))
    assert scene.terms(FUND).pledged_minor == 0
    figures = await scene.refused("PLEDGE_EXCEEDED", scene.shop, write_off(ANA, 1))
    assert figures["pledged_minor"] == 0


async def test_the_fund_goes_no_further_than_its_limit(scene: CreditScene) -> None:
    await scene.applied(scene.shop, transfer(FUND, BEN, 50))
    await scene.applied(scene.shop, place_hold(HOLD, FUND, BEN, 10, scene.now_ms + 60_000))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.shop, write_off(ANA, 41))
    assert list(figures.items()) == [
        ("balance_minor", 50),
        ("held_minor", 10),
        ("amount_minor", 41),
        ("floor_minor", 0),
    ]
    await scene.applied(scene.shop, write_off(ANA, 40))


async def test_only_the_units_authority_writes_off(scene: CreditScene) -> None:
    await scene.refused("ACCOUNT_UNKNOWN", scene.shop, write_off(NOWHERE, 1))
    for who in (scene.ana, scene.ben):
        await scene.refused("NOT_UNIT_AUTHORITY", who, write_off(ANA, 1))


async def test_nothing_is_written_off_of_a_closed_or_pending_account(scene: CreditScene) -> None:
    await scene.applied(scene.ana, close_account(SAVINGS), open_bringing(BRINGING, UNIT, -5))
    await scene.refused("ACCOUNT_CLOSED", scene.shop, write_off(SAVINGS, 1))
    await scene.refused("OPENING_PENDING", scene.shop, write_off(BRINGING, 1))


async def test_without_a_fund_nothing_is_written_off(scene: CreditScene) -> None:
    await scene.refused("FUND_UNKNOWN", scene.shop, write_off(OUT, 1))
    await scene.govern(soft_ppm=1)
    await scene.refused("FUND_UNKNOWN", scene.shop, write_off(ANA, 1))


async def test_the_fund_does_not_pay_its_own_debt(scene: CreditScene) -> None:
    await scene.refused("FUND_ITSELF", scene.shop, write_off(FUND, 1))


async def test_a_write_off_counts_as_no_trade(scene: CreditScene) -> None:
    growth = {"growth_ppm": 1, "growth_max_minor": 500, "counterparty_max_minor": 500}
    await scene.applied(scene.shop, set_unit_policy(UNIT, fund=FUND, **growth))
    await scene.applied(scene.shop, write_off(ANA, 50))
    assert not scene.ledger.state.records[-1].trades


# Pledges


async def test_a_pledge_is_its_owners_and_may_rise_and_fall(scene: CreditScene) -> None:
    for amount in (QUANTITY_MAX, 1, 0):
        await scene.applied(scene.shop, pledge_account(FUND, amount))
        assert scene.terms(FUND).pledged_minor == amount
    await scene.refused("ACCOUNT_UNKNOWN", scene.ana, pledge_account(NOWHERE, 1))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ana, pledge_account(FUND, 1))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.shop, pledge_account(ANA, 1))


async def test_a_closed_or_pending_account_pledges_nothing(scene: CreditScene) -> None:
    await scene.applied(scene.ana, close_account(SAVINGS), open_bringing(BRINGING, UNIT, 5))
    await scene.refused("ACCOUNT_CLOSED", scene.ana, pledge_account(SAVINGS, 0))
    await scene.refused("OPENING_PENDING", scene.ana, pledge_account(BRINGING, 0))


async def test_somebody_elses_account_is_a_fund_while_it_is_pledged(scene: CreditScene) -> None:
    await scene.refused("FUND_UNPLEDGED", scene.shop, set_unit_policy(UNIT, fund=BEN))
    await scene.applied(scene.ben, pledge_account(BEN, 1))
    await scene.applied(scene.shop, set_unit_policy(UNIT, fund=BEN))
    assert (scene.terms(BEN).bonds, scene.terms(FUND).bonds) == (1, 0)
    await scene.applied(scene.shop, write_off(ANA, 1))
    assert scene.posted() == [(WRITE_OFF, BEN, ANA, 1)]


async def test_no_closed_or_pending_account_is_a_fund(scene: CreditScene) -> None:
    await scene.applied(scene.ana, close_account(SAVINGS), open_bringing(BRINGING, UNIT, 5))
    await scene.refused("ACCOUNT_CLOSED", scene.shop, set_unit_policy(UNIT, fund=SAVINGS))
    await scene.refused("OPENING_PENDING", scene.shop, set_unit_policy(UNIT, fund=BRINGING))


async def test_a_fund_that_is_named_again_is_bound_once(scene: CreditScene) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, fund=FUND, soft_ppm=1))
    assert scene.terms(FUND).bonds == 1
    await scene.applied(scene.shop, set_unit_policy(UNIT))
    assert scene.terms(FUND).bonds == 0
