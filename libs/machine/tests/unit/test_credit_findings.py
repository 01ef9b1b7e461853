"""What the oracle of `test_credit_model` found: the smallest example of each, and the sentence it breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from libs.machine.tests.credit_messages import close_account, open_bringing, open_with, set_unit_policy
from libs.machine.tests.scene import ANA, BEN, UNIT, Scene
from libs.machine.tests.zone import identifier, make_zone, open_account, transfer

FUND = identifier("fund")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    yield await Scene(make_zone()).set_up()


async def test_a_fund_that_closes_in_the_block_that_replaces_its_policy_stops_no_node(scene: Scene) -> None:
    # "A block goes by the policies that the state before it has"; "nothing can be posted or held any more".
    shop = scene.shop
    await scene.applied(shop, open_account(FUND, UNIT))
    await scene.applied(shop, set_unit_policy(UNIT, fee_fixed_minor=2, fund=FUND))
    await scene.block(
        (shop, [set_unit_policy(UNIT), close_account(FUND)]),
        (scene.ana, [transfer(ANA, BEN, 10)]),
    )
    fund = scene.account(FUND)
    assert not fund.known_terms.is_closed or fund.balance_minor == 0


async def test_a_sub_account_of_one_that_waits_for_its_opening_stops_no_node(scene: Scene) -> None:
    # "PARENT_UNKNOWN (not there, of another owner or unit, closed, a sub-account)": not one that waits.
    waiting, below = identifier("waiting"), identifier("below")
    await scene.applied(scene.ana, open_bringing(waiting, UNIT, 5))
    receipt = await scene.run(scene.ana, open_with(below, UNIT, parent=waiting))
    assert receipt.reason in ("", "OPENING_PENDING", "PARENT_UNKNOWN")
