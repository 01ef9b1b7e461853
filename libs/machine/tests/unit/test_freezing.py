"""Frozen accounts: who freezes them, for how long, and what they may not do meanwhile."""

from __future__ import annotations

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.events import AccountFrozen

from libs.machine.tests.credit_messages import (
    close_account,
    freeze_account,
    legs,
    open_bringing,
    pledge_account,
    write_off,
)
from libs.machine.tests.credit_scene import CAY, DAY_MS, FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, UNIT
from libs.machine.tests.zone import capture_hold, identifier, place_hold, transfer

HOUR_MS = 3_600_000
NOWHERE = identifier("nowhere")


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


async def frozen(scene: CreditScene, account: bytes = ANA) -> int:
    """Freeze an account for an hour; until when."""
    until_ms = scene.now_ms + HOUR_MS
    await scene.applied(scene.shop, freeze_account(account, until_ms))
    return until_ms


def debits(scene: CreditScene) -> list[pb.Message]:
    return [
        transfer(ANA, BEN, 1),
        legs((ANA, BEN, 1), (ANA, CAY, 1)),
        place_hold(HOLD, ANA, BEN, 1, scene.now_ms + HOUR_MS),
    ]


async def test_voluntary_debits_are_refused_before_its_end_and_no_longer(scene: CreditScene) -> None:
    until_ms = await frozen(scene)
    for message in debits(scene):
        figures = await scene.refused("ACCOUNT_FROZEN", scene.ana, message)
        assert list(figures.items()) == [("frozen_until_ms", until_ms), ("block_time_ms", scene.time_ms)]
    await scene.until(until_ms - 2)
    await scene.refused("ACCOUNT_FROZEN", scene.ana, transfer(ANA, BEN, 1), after_ms=1)
    await scene.applied(scene.ana, transfer(ANA, BEN, 1), after_ms=1)
    assert scene.time_ms == until_ms


async def test_a_frozen_account_is_told_before_its_limit(scene: CreditScene) -> None:
    await frozen(scene)
    await scene.refused("ACCOUNT_FROZEN", scene.ana, transfer(ANA, BEN, 1_000))


async def test_a_frozen_account_gets_and_gives_what_was_held_before(scene: CreditScene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 30, scene.now_ms + HOUR_MS))
    await frozen(scene)
    await scene.applied(scene.ben, transfer(BEN, ANA, 5), capture_hold(HOLD, 30))
    assert scene.balances() == (-25, 25)


async def test_a_freeze_is_lifted_and_both_are_told(scene: CreditScene) -> None:
    until_ms = await frozen(scene)
    (told,) = scene.told(AccountFrozen)
    assert tuple(told)[1:] == (ANA, 0, until_ms, scene.shop.principal)
    await scene.applied(scene.shop, freeze_account(ANA, 0))
    (told,) = scene.told(AccountFrozen)
    assert tuple(told)[1:] == (ANA, until_ms, 0, scene.shop.principal)
    assert scene.account(ANA).terms is None
    await scene.applied(scene.ana, transfer(ANA, BEN, 1))


async def test_nobody_is_frozen_for_longer_than_thirty_days(scene: CreditScene) -> None:
    until_ms = scene.now_ms + 30 * DAY_MS
    figures = await scene.refused("FREEZE_TOO_LONG", scene.shop, freeze_account(ANA, until_ms + 1))
    assert list(figures.items()) == [("until_time_ms", until_ms + 1), ("block_time_ms", scene.time_ms)]
    await scene.applied(scene.shop, freeze_account(ANA, scene.now_ms + 30 * DAY_MS))


async def test_only_the_units_authority_freezes_where_the_policy_names_nobody(scene: CreditScene) -> None:
    await scene.refused("ACCOUNT_UNKNOWN", scene.shop, freeze_account(NOWHERE, 0))
    for who in (scene.ana, scene.ben, scene.zone.organizations[1]):
        await scene.refused("NOT_FREEZER", who, freeze_account(ANA, 0))


async def test_the_freezer_of_the_policy_freezes_and_the_authority_no_longer(scene: CreditScene) -> None:
    await scene.govern(freezer=scene.ben.principal)
    await scene.refused("NOT_FREEZER", scene.shop, freeze_account(ANA, scene.now_ms + HOUR_MS))
    await scene.applied(scene.ben, freeze_account(ANA, scene.now_ms + HOUR_MS))
    (told,) = scene.told(AccountFrozen)
    assert told.frozen_by == scene.ben.principal


async def test_a_closed_account_is_not_frozen(scene: CreditScene) -> None:
    await scene.applied(scene.ana, close_account(SAVINGS))
    await scene.refused("ACCOUNT_CLOSED", scene.shop, freeze_account(SAVINGS, scene.now_ms + 31 * DAY_MS))


async def test_an_account_that_waits_for_its_opening_may_be_frozen(scene: CreditScene) -> None:
    waits = identifier("waits")
    await scene.applied(scene.cay, open_bringing(waits, UNIT, 1))
    until_ms = await frozen(scene, waits)
    assert (scene.terms(waits).is_opening, scene.terms(waits).frozen_until_ms) == (True, until_ms)


async def test_a_frozen_account_is_closed_only_with_nothing_on_it(scene: CreditScene) -> None:
    await scene.give(SAVINGS, 5)
    until_ms = await frozen(scene, SAVINGS)
    figures = await scene.refused("ACCOUNT_FROZEN", scene.ana, close_account(SAVINGS, ANA))
    assert figures == {"frozen_until_ms": until_ms, "block_time_ms": scene.time_ms}
    await frozen(scene, CAY)
    await scene.applied(scene.cay, close_account(CAY))


async def test_rules_and_the_authority_debit_a_frozen_fund(scene: CreditScene) -> None:
    await scene.give(FUND, 100)
    await scene.applied(scene.shop, pledge_account(FUND, 100))
    await scene.govern(fund=FUND)
    await scene.applied(scene.ana, transfer(ANA, BEN, 50))
    await frozen(scene, FUND)
    await scene.applied(scene.shop, write_off(ANA, 50))
    assert (scene.balance(FUND), scene.balance(ANA)) == (50, 0)
