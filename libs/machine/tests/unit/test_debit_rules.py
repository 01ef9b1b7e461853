"""The debit rules, in their order, and that a transaction of many messages is refused without a trace."""

from __future__ import annotations

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.events import TransactionRefused
from icn_machine.limits import NO_FLOOR, QUANTITY_MAX

from libs.machine.tests.credit_messages import (
    close_account,
    freeze_account,
    legs,
    offer_exchange,
    open_bringing,
    open_with,
    order_transfers,
    pledge_account,
)
from libs.machine.tests.credit_scene import CAY, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OTHER_UNIT, OUT, UNIT
from libs.machine.tests.zone import identifier, open_account, place_hold, set_floor, transfer

NOWHERE, BRINGING, FROZEN = identifier("nowhere"), identifier("waits"), identifier("frozen")
HOUR_MS = 3_600_000


@pytest.fixture
async def scene() -> CreditScene:
    """Cay's account and Ana's savings are closed, one of Ana's waits, another is frozen."""
    scene = await credit_scene()
    await scene.applied(scene.cay, close_account(CAY))
    await scene.applied(
        scene.ana, close_account(SAVINGS), open_bringing(BRINGING, UNIT, 1), open_account(FROZEN, UNIT)
    )
    await scene.applied(scene.shop, freeze_account(FROZEN, scene.now_ms + HOUR_MS))
    return scene


@pytest.mark.parametrize("kind", ["transfer", "place_hold"])
@pytest.mark.parametrize(
    ("source", "destination", "reason"),
    [
        (BEN, NOWHERE, "ACCOUNT_UNKNOWN"),
        (OUT, ANA, "NOT_ACCOUNT_OWNER"),
        (SAVINGS, OUT, "UNIT_MISMATCH"),
        (BRINGING, CAY, "ACCOUNT_CLOSED"),
        (SAVINGS, BRINGING, "ACCOUNT_CLOSED"),
        (FROZEN, BRINGING, "OPENING_PENDING"),
        (BRINGING, BEN, "OPENING_PENDING"),
        (FROZEN, BEN, "ACCOUNT_FROZEN"),
        (ANA, BEN, "CREDIT_LIMIT_EXCEEDED"),
    ],
)
async def test_of_several_rules_that_fail_the_first_is_told(
    scene: CreditScene, kind: str, source: bytes, destination: bytes, reason: str
) -> None:
    """An amount that no limit allows, so that each refusal hides another."""
    if kind == "transfer":
        message = transfer(source, destination, 1_000)
    else:
        message = place_hold(HOLD, source, destination, 1_000, scene.now_ms + HOUR_MS)
    await scene.refused(reason, scene.ana, message)


async def test_the_limit_is_asked_before_the_range_of_the_credit(scene: CreditScene) -> None:
    await scene.give(BEN, QUANTITY_MAX)
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 101))
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ana, transfer(ANA, BEN, 100))
    assert list(figures.items()) == [("balance_minor", QUANTITY_MAX), ("amount_minor", 100)]


async def test_without_a_floor_the_limit_is_the_lowest_balance(scene: CreditScene) -> None:
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR))
    await scene.applied(scene.ana, transfer(ANA, BEN, QUANTITY_MAX))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert figures["balance_minor"] == figures["floor_minor"] == -QUANTITY_MAX


async def test_a_refusal_at_the_end_takes_back_all_that_went_before(scene: CreditScene) -> None:
    other, below = identifier("ana in the other unit"), identifier("below")
    messages: list[pb.Message] = [
        open_account(other, OTHER_UNIT),
        open_with(below, UNIT, parent=ANA),
        order_transfers(identifier("order"), ANA, BEN, 5, scene.now_ms + HOUR_MS),
        offer_exchange(HOLD, (ANA, 5), (other, 5), scene.now_ms + HOUR_MS),
        pledge_account(ANA, 5),
        transfer(ANA, below, 5),
        legs((ANA, BEN, 1), (ANA, below, 2)),
        close_account(below, BEN),
        close_account(BRINGING),
    ]
    leaves = scene.leaves_used()
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, *messages, transfer(ANA, BEN, 88))
    assert figures == {"balance_minor": -8, "held_minor": 5, "amount_minor": 88, "floor_minor": -100}
    assert [type(event) for event in scene.events()] == [TransactionRefused]
    assert scene.leaves_used() == leaves
    await scene.applied(scene.ana, *messages, transfer(ANA, BEN, 87))
