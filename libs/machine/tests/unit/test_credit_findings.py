"""What the oracle of `test_credit_model` found: the smallest example of each, and the sentence it breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from libs.machine.tests.credit_messages import (
    close_account,
    pledge_account,
    set_unit_policy,
    write_off,
)
from libs.machine.tests.scene import ANA, BEN, UNIT, Scene
from libs.machine.tests.zone import identifier, make_zone, open_account, transfer

FUND = identifier("fund")
FEE = {"fee_fixed_minor": 2, "fund": FUND}


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    yield await Scene(make_zone()).set_up()


async def test_a_fund_closed_in_the_block_that_names_another_gets_no_fee(scene: Scene) -> None:
    # "is_closed: nothing can be posted or held any more", and "A block goes by the policies that the state before it has".
    shop = scene.shop
    await scene.applied(shop, open_account(FUND, UNIT))
    await scene.applied(shop, set_unit_policy(UNIT, **FEE))
    reasons = await scene.block(
        (shop, [set_unit_policy(UNIT), close_account(FUND)]),
        (scene.ana, [transfer(ANA, BEN, 10)]),
    )
    print(reasons, scene.account(FUND), scene.ledger.halts)
    assert scene.account(FUND).known_terms.is_closed is False or scene.account(FUND).balance_minor == 0


async def test_writing_off_after(scene: Scene) -> None:
    shop = scene.shop
    await scene.applied(shop, open_account(FUND, UNIT))
    await scene.applied(shop, set_unit_policy(UNIT, fund=FUND), pledge_account(FUND, 50))
    await scene.applied(scene.ana, transfer(ANA, BEN, 10))
    reasons = await scene.block(
        (shop, [set_unit_policy(UNIT), close_account(FUND)]),
        (shop, [write_off(ANA, 5)]),
    )
    print(reasons, scene.account(FUND), scene.ledger.halts)
    assert 0
