"""Closing accounts: what keeps one open, what is passed on, and that it stays closed for ever."""

from __future__ import annotations

import pytest
from icn_machine.entries import PostingKind
from icn_machine.events import AccountClosed
from icn_machine.limits import NO_FLOOR, QUANTITY_MAX
from icn_machine.records import AccountTerms, CreditLine

from libs.machine.tests.credit_messages import (
    cancel_order,
    close_account,
    freeze_account,
    open_bringing,
    open_with,
    order_transfers,
    pledge_account,
    set_unit_policy,
)
from libs.machine.tests.credit_scene import CAY, FUND, MINT, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, OUT, UNIT
from libs.machine.tests.zone import (
    capture_hold,
    identifier,
    open_account,
    place_hold,
    set_floor,
    transfer,
    void_hold,
)

NOWHERE, BRINGING, BELOW = identifier("nowhere"), identifier("waits"), identifier("below savings")
HOUR_MS = 3_600_000


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


async def test_an_account_with_nothing_on_it_is_closed_and_gives_its_leaf_back(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    await scene.applied(scene.ana, close_account(SAVINGS))
    (told,) = scene.told(AccountClosed)
    account = scene.account(SAVINGS)
    assert told.account == account
    assert (account.terms, account.payer) == (AccountTerms(is_closed=True), b"")
    assert scene.leaves_used() == leaves - 1
    assert scene.posted() == []


async def test_what_stays_of_a_closed_account_is_what_others_may_have_to_know(scene: CreditScene) -> None:
    await scene.applied(scene.ana, open_with(BELOW, UNIT, parent=SAVINGS))
    await scene.applied(scene.ana, pledge_account(SAVINGS, 5))
    await scene.applied(scene.shop, set_floor(SAVINGS, -7), freeze_account(SAVINGS, scene.now_ms + HOUR_MS))
    chained = scene.terms(SAVINGS).sub_accounts_hash
    await scene.applied(scene.ana, close_account(BELOW), close_account(SAVINGS))
    assert scene.terms(SAVINGS) == AccountTerms(
        sub_accounts=1, sub_accounts_hash=chained, has_own_floor=True, is_closed=True
    )
    assert scene.terms(BELOW) == AccountTerms(parent=SAVINGS, is_closed=True, sub_account_number=1)


async def test_a_remainder_is_passed_on(scene: CreditScene) -> None:
    await scene.give(SAVINGS, 30)
    figures = await scene.refused("ACCOUNT_IN_USE", scene.ana, close_account(SAVINGS))
    assert list(figures.items()) == [("balance_minor", 30), ("held_minor", 0), ("bonds", 0)]
    await scene.applied(scene.ana, close_account(SAVINGS, BEN))
    assert scene.posted() == [(PostingKind.TRANSFER, SAVINGS, BEN, 30)]
    assert (scene.balance(SAVINGS), scene.balance(BEN)) == (0, 30)
    assert scene.terms(SAVINGS).is_closed


async def test_a_debt_is_not_passed_on(scene: CreditScene) -> None:
    await scene.applied(scene.ana, transfer(ANA, BEN, 1))
    for message in (close_account(ANA), close_account(ANA, SAVINGS)):
        figures = await scene.refused("ACCOUNT_IN_USE", scene.ana, message)
        assert figures == {"balance_minor": -1, "held_minor": 0, "bonds": 0}


async def test_what_is_held_keeps_an_account_open_even_with_a_remainder(scene: CreditScene) -> None:
    await scene.give(SAVINGS, 30)
    await scene.applied(scene.ana, place_hold(HOLD, SAVINGS, BEN, 10, scene.now_ms + HOUR_MS))
    figures = await scene.refused("ACCOUNT_IN_USE", scene.ana, close_account(SAVINGS, ANA))
    assert figures == {"balance_minor": 30, "held_minor": 10, "bonds": 0}
    await scene.applied(scene.ben, void_hold(HOLD))
    await scene.applied(scene.ana, close_account(SAVINGS, ANA))


async def test_what_binds_an_account_keeps_it_open(scene: CreditScene) -> None:
    order = identifier("order")
    await scene.applied(scene.shop, set_unit_policy(UNIT, fund=FUND))
    await scene.applied(scene.shop, order_transfers(order, FUND, BEN, 1, scene.now_ms + HOUR_MS))
    await scene.applied(scene.shop, open_with(BELOW, UNIT, parent=FUND))
    closing = close_account(FUND)
    steps = [
        (3, set_unit_policy(UNIT)),
        (2, cancel_order(order)),
        (1, close_account(BELOW)),
    ]
    for bonds, unbind in steps:
        figures = await scene.refused("ACCOUNT_IN_USE", scene.shop, closing)
        assert figures == {"balance_minor": 0, "held_minor": 0, "bonds": bonds}
        await scene.applied(scene.shop, unbind)
    await scene.applied(scene.shop, closing)


@pytest.mark.parametrize(
    ("heir", "reason"),
    [
        (NOWHERE, "ACCOUNT_UNKNOWN"),
        (OUT, "UNIT_MISMATCH"),
        (CAY, "ACCOUNT_CLOSED"),
        (BRINGING, "OPENING_PENDING"),
    ],
)
async def test_a_remainder_goes_to_an_open_account_of_the_unit(
    scene: CreditScene, heir: bytes, reason: str
) -> None:
    await scene.give(SAVINGS, 30)
    await scene.applied(scene.cay, close_account(CAY), open_bringing(BRINGING, UNIT, 1))
    await scene.refused(reason, scene.ana, close_account(SAVINGS, heir))


async def test_a_remainder_does_not_pass_the_largest_balance(scene: CreditScene) -> None:
    await scene.applied(scene.shop, set_floor(CAY, NO_FLOOR))
    await scene.applied(scene.cay, transfer(CAY, BEN, QUANTITY_MAX - 29))
    await scene.give(SAVINGS, 30)
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ana, close_account(SAVINGS, BEN))
    assert list(figures.items()) == [("balance_minor", QUANTITY_MAX - 29), ("amount_minor", 30)]
    await scene.applied(scene.ben, transfer(BEN, CAY, 1))
    await scene.applied(scene.ana, close_account(SAVINGS, BEN))


async def test_the_owner_closes_or_where_nothing_is_left_the_units_authority(scene: CreditScene) -> None:
    await scene.refused("ACCOUNT_UNKNOWN", scene.ana, close_account(NOWHERE))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ben, close_account(SAVINGS))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.shop, close_account(SAVINGS, MINT))
    await scene.give(SAVINGS, 1)
    await scene.refused("ACCOUNT_IN_USE", scene.shop, close_account(SAVINGS))
    await scene.applied(scene.ana, transfer(SAVINGS, ANA, 1))
    await scene.applied(scene.shop, close_account(SAVINGS))
    for who in (scene.ana, scene.shop):
        await scene.refused("ACCOUNT_CLOSED", who, close_account(SAVINGS))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ben, close_account(SAVINGS))


async def test_nobody_opens_the_id_again(scene: CreditScene) -> None:
    await scene.applied(scene.ana, close_account(SAVINGS))
    for who in (scene.ana, scene.ben):
        await scene.refused("ACCOUNT_EXISTS", who, open_account(SAVINGS, UNIT))


async def test_nothing_is_posted_to_or_held_on_a_closed_account(scene: CreditScene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, SAVINGS, 5, scene.now_ms + HOUR_MS))
    await scene.applied(scene.ana, close_account(SAVINGS))
    expire_ms = scene.now_ms + HOUR_MS
    for who, message in (
        (scene.ana, transfer(ANA, SAVINGS, 1)),
        (scene.ana, transfer(SAVINGS, BEN, 1)),
        (scene.ben, place_hold(identifier("another"), BEN, SAVINGS, 1, expire_ms)),
        (scene.ana, place_hold(identifier("another"), SAVINGS, BEN, 1, expire_ms)),
        (scene.ana, capture_hold(HOLD, 5)),
    ):
        await scene.refused("ACCOUNT_CLOSED", who, message)
    await scene.applied(scene.ana, void_hold(HOLD))
    assert scene.account(ANA).held_minor == 0


@pytest.mark.parametrize("was", ["used", "with a floor of its own", "frozen"])
async def test_who_closed_its_main_account_has_further_ones_only(scene: CreditScene, was: str) -> None:
    if was == "used":
        await scene.applied(scene.ana, transfer(ANA, BEN, 1))
        await scene.applied(scene.ben, transfer(BEN, ANA, 1))
    elif was == "frozen":
        await scene.applied(scene.shop, freeze_account(BEN, scene.now_ms + HOUR_MS))
    else:
        await scene.applied(scene.shop, set_floor(BEN, -100))
    await scene.applied(scene.ben, close_account(BEN))
    again = identifier("another account of ben")
    leaves = scene.leaves_used()
    await scene.applied(scene.ben, open_account(again, UNIT))
    assert (scene.account(again).floor_minor, scene.leaves_used()) == (0, leaves + 1)


@pytest.mark.parametrize("closing", ["ben", "shop"])
async def test_the_next_account_takes_the_place_of_a_main_one_that_was_never_used(
    scene: CreditScene, closing: str
) -> None:
    """So a wrong opening balance is mended by closing and opening; the authority takes nobody's credit so."""
    further, again, third = map(identifier, ("further of ben", "again of ben", "third of ben"))
    await scene.govern(growth_ppm=1_000_000, growth_max_minor=50, counterparty_max_minor=90)
    await scene.applied(scene.ben, open_account(further, UNIT))
    await scene.applied(scene.ana, transfer(ANA, further, 40))
    await scene.applied(scene.ben, transfer(further, ANA, 40))
    await scene.applied(getattr(scene, closing), close_account(BEN))
    line = scene.ledger.state.records[-1].credit_lines[UNIT + scene.ben.principal]
    assert line == CreditLine(b"", 40, 40)
    leaves = scene.leaves_used()
    await scene.applied(scene.ben, open_bringing(again, UNIT, 0), open_account(third, UNIT))
    assert [scene.account(one).floor_minor for one in (again, third)] == [-100, 0]
    assert scene.leaves_used() == leaves + 2
    await scene.applied(scene.ben, close_account(again), open_account(BELOW, UNIT))
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ben, transfer(BELOW, ANA, 141))
    await scene.applied(scene.ben, transfer(BELOW, ANA, 140))


async def test_an_opening_that_waits_is_withdrawn_by_closing(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    await scene.applied(scene.ben, open_bringing(BRINGING, UNIT, -50))
    await scene.applied(scene.ben, close_account(BRINGING))
    assert scene.terms(BRINGING) == AccountTerms(is_closed=True)
    assert scene.leaves_used() == leaves


async def test_an_account_opened_and_closed_in_one_transaction_leaves_its_id_used(scene: CreditScene) -> None:
    await scene.applied(scene.ben, open_account(BELOW, UNIT), close_account(BELOW))
    await scene.refused("ACCOUNT_EXISTS", scene.ben, open_account(BELOW, UNIT))


async def test_what_closing_passes_on_is_trade(scene: CreditScene) -> None:
    await scene.give(SAVINGS, 30)
    await scene.govern(growth_ppm=1, growth_max_minor=1, counterparty_max_minor=100)
    await scene.applied(scene.ana, close_account(SAVINGS, BEN))
    lines = scene.ledger.state.records[-1].credit_lines
    assert lines[UNIT + scene.ana.principal].spent_minor == 30
    assert lines[UNIT + scene.ben.principal].earned_minor == 30
