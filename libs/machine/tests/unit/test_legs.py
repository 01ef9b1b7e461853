"""Transfers of several legs: all or nothing, and the limit asked of what each account loses on the whole."""

from __future__ import annotations

import pytest
from icn_machine.entries import PostingKind
from icn_machine.events import Movement, SoftLimitPassed
from icn_machine.limits import NO_FLOOR, QUANTITY_MAX

from libs.machine.tests.credit_messages import close_account, freeze_account, legs, open_bringing
from libs.machine.tests.credit_scene import CAY, FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OUT, UNIT
from libs.machine.tests.zone import identifier, open_account, place_hold, set_floor, transfer

TRANSFER, FEE = PostingKind.TRANSFER, PostingKind.FEE
NOWHERE, OTHERS = identifier("nowhere"), identifier("another account of cay")


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


async def test_legs_are_posted_in_their_order_with_memo_and_reference(scene: CreditScene) -> None:
    message = legs((ANA, BEN, 10), (ANA, CAY, 20))
    message.transfer_legs.legs[1].memo_hash = bytes([7]) * 32
    message.transfer_legs.legs[1].reference = b"invoice"
    await scene.applied(scene.ana, message)
    assert scene.posted() == [(TRANSFER, ANA, BEN, 10), (TRANSFER, ANA, CAY, 20)]
    assert [(one.memo_hash, one.reference) for one in scene.told(Movement)] == [
        (b"", b""),
        (bytes([7]) * 32, b"invoice"),
    ]
    assert [scene.balance(account) for account in (ANA, BEN, CAY)] == [-30, 10, 20]


async def test_one_leg_that_fails_takes_all_of_them_back(scene: CreditScene) -> None:
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs((ANA, BEN, 10), (SAVINGS, BEN, 1)))
    assert scene.balances() == (0, 0)


async def test_the_limit_is_asked_of_the_loss_on_the_whole(scene: CreditScene) -> None:
    await scene.applied(scene.ana, legs((ANA, SAVINGS, 500), (SAVINGS, ANA, 400)))
    assert (scene.balance(ANA), scene.balance(SAVINGS)) == (-100, 100)


async def test_a_loss_past_the_limit_is_refused_with_the_first_debit_of_its_account(
    scene: CreditScene,
) -> None:
    moved = (ANA, SAVINGS, 500), (SAVINGS, BEN, 99), (SAVINGS, ANA, 399), (ANA, CAY, 1)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs(*moved))
    assert list(figures.items()) == [
        ("balance_minor", 0),
        ("held_minor", 0),
        ("amount_minor", 102),
        ("floor_minor", -100),
        ("leg", 0),
    ]
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs((ANA, BEN, 9), (SAVINGS, BEN, 1)))
    assert (figures["amount_minor"], figures["floor_minor"], figures["leg"]) == (1, 0, 1)


async def test_of_two_that_lose_too_much_the_one_debited_first_is_named(scene: CreditScene) -> None:
    moved = (SAVINGS, BEN, 1), (ANA, BEN, 101)
    assert (await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs(*moved)))["amount_minor"] == 1
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs(*reversed(moved)))
    assert (figures["amount_minor"], figures["leg"]) == (101, 0)


async def test_an_account_without_credit_passes_on_what_it_gets(scene: CreditScene) -> None:
    await scene.applied(scene.ana, legs((ANA, SAVINGS, 50), (SAVINGS, BEN, 50)))
    assert (scene.balance(SAVINGS), scene.balance(BEN)) == (0, 50)
    await scene.applied(scene.ana, legs((SAVINGS, BEN, 50), (ANA, SAVINGS, 50)))
    assert (scene.balance(SAVINGS), scene.balance(BEN)) == (0, 100)


async def test_what_is_held_is_not_there_to_be_lost(scene: CreditScene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 30, scene.now_ms + 60_000))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs((ANA, BEN, 70), (ANA, CAY, 1)))
    assert (figures["held_minor"], figures["amount_minor"]) == (30, 71)
    await scene.applied(scene.ana, legs((ANA, BEN, 69), (ANA, CAY, 1)))


async def test_fees_count_into_the_loss(scene: CreditScene) -> None:
    await scene.govern(fee_fixed_minor=10, fund=FUND)
    moved = (ANA, SAVINGS, 100), (SAVINGS, BEN, 91)
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs(*moved))
    assert (figures["amount_minor"], figures["leg"]) == (1, 1)
    await scene.applied(scene.ana, legs((ANA, SAVINGS, 100), (SAVINGS, BEN, 90)))
    assert scene.posted() == [
        (TRANSFER, ANA, SAVINGS, 100),
        (FEE, SAVINGS, FUND, 10),
        (TRANSFER, SAVINGS, BEN, 90),
        (FEE, BEN, FUND, 10),
    ]


@pytest.mark.parametrize(
    ("leg", "reason"),
    [
        ((ANA, NOWHERE, 1), "ACCOUNT_UNKNOWN"),
        ((NOWHERE, BEN, 1), "ACCOUNT_UNKNOWN"),
        ((BEN, ANA, 1), "NOT_ACCOUNT_OWNER"),
        ((ANA, OUT, 1), "UNIT_MISMATCH"),
        ((ANA, CAY, 1), "ACCOUNT_CLOSED"),
        ((ANA, OTHERS, 1), "OPENING_PENDING"),
        ((SAVINGS, BEN, 1), "ACCOUNT_FROZEN"),
    ],
)
async def test_every_leg_stands_under_the_debit_rules(
    scene: CreditScene, leg: tuple[bytes, bytes, int], reason: str
) -> None:
    await scene.applied(scene.cay, close_account(CAY), open_bringing(OTHERS, UNIT, 5))
    await scene.applied(scene.shop, freeze_account(SAVINGS, scene.now_ms + 60_000))
    await scene.refused(reason, scene.ana, legs((ANA, BEN, 1), leg))
    await scene.refused(reason, scene.ana, legs(leg, (ANA, BEN, 1)))


async def test_the_rules_of_a_leg_come_before_the_limit_of_the_whole(scene: CreditScene) -> None:
    await scene.refused("UNIT_MISMATCH", scene.ana, legs((ANA, BEN, 101), (ANA, OUT, 1)))


async def test_no_balance_on_the_way_leaves_the_range(scene: CreditScene) -> None:
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR))
    await scene.applied(scene.ana, transfer(ANA, BEN, 1))
    figures = await scene.refused(
        "BALANCE_OUT_OF_RANGE", scene.ana, legs((ANA, SAVINGS, QUANTITY_MAX), (SAVINGS, ANA, 5))
    )
    assert figures == {"balance_minor": -1, "amount_minor": QUANTITY_MAX}
    await scene.applied(scene.ana, legs((ANA, SAVINGS, QUANTITY_MAX - 1), (SAVINGS, ANA, 5)))
    assert scene.balance(ANA) == -QUANTITY_MAX + 5


async def test_no_credit_on_the_way_passes_the_largest_balance(scene: CreditScene) -> None:
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR))
    await scene.give(SAVINGS, 1)
    moved = (ANA, SAVINGS, QUANTITY_MAX), (SAVINGS, ANA, 5)
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ana, legs(*moved))
    assert figures == {"balance_minor": 1, "amount_minor": QUANTITY_MAX}
    await scene.applied(scene.ana, legs((SAVINGS, ANA, 1), moved[0]))
    assert scene.balance(SAVINGS) == QUANTITY_MAX


async def test_legs_do_not_raise_the_limit_they_are_measured_against(scene: CreditScene) -> None:
    await scene.govern(growth_ppm=1_000_000, growth_max_minor=1_000, counterparty_max_minor=1_000)
    await scene.applied(scene.ben, transfer(BEN, ANA, 40))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, legs((ANA, BEN, 140), (ANA, CAY, 1)))
    assert figures["floor_minor"] == -100
    await scene.applied(scene.ana, legs((ANA, BEN, 139), (ANA, CAY, 1)))
    await scene.applied(scene.ana, transfer(ANA, CAY, 40))
    assert scene.balance(ANA) == -140, "40 earned and more spent: it has grown since"


async def test_the_soft_limit_is_asked_of_the_whole(scene: CreditScene) -> None:
    await scene.govern(soft_ppm=800_000)
    await scene.applied(scene.ana, legs((ANA, SAVINGS, 90), (SAVINGS, ANA, 90)))
    assert scene.told(SoftLimitPassed) == []
    await scene.applied(scene.ana, legs((ANA, BEN, 80), (ANA, CAY, 10)))
    (told,) = scene.told(SoftLimitPassed)
    assert tuple(told)[1:] == (ANA, -90, 0, -100, -80)


async def test_sixty_four_legs_are_one_transaction(scene: CreditScene) -> None:
    mine = [ANA, SAVINGS, *[identifier(f"account {number} of ana") for number in range(7)]]
    await scene.applied(scene.ana, *[open_account(one, UNIT) for one in mine[2:]])
    around = [(one, mine[(index + step) % 9], 5) for step in range(1, 8) for index, one in enumerate(mine)]
    await scene.applied(scene.ana, legs(*around, (ANA, mine[8], 7)))
    assert len(scene.posted()) == 64
    assert [scene.balance(account) for account in mine] == [-7, *[0] * 7, 7]
