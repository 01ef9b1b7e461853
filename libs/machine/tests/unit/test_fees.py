"""Fees: what a unit's policy takes of what arrives, of which postings, and where none is taken."""

from __future__ import annotations

import pytest
from icn_machine.entries import PostingKind
from icn_machine.events import Movement
from icn_machine.limits import QUANTITY_MAX

from libs.machine.tests.credit_messages import (
    close_account,
    confirm_openings,
    open_bringing,
    pledge_account,
    write_off,
)
from libs.machine.tests.credit_scene import CAY, FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, HOLD, UNIT
from libs.machine.tests.zone import capture_hold, identifier, place_hold, set_floor, transfer

FEE, TRANSFER = PostingKind.FEE, PostingKind.TRANSFER


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


def fees(scene: CreditScene) -> list[int]:
    return [amount for kind, *_, amount in scene.posted() if kind is FEE]


@pytest.mark.parametrize(
    ("amount", "policy", "fee"),
    [
        (100, {"fee_fixed_minor": 2}, 2),
        (1, {"fee_fixed_minor": 2}, 0),
        (3, {"fee_fixed_minor": 2}, 1),
        (4, {"fee_fixed_minor": 2}, 2),
        (100, {"fee_ppm": 10_000}, 1),
        (100, {"fee_ppm": 10_001}, 2),
        (2, {"fee_ppm": 1}, 1),
        (10_000, {"fee_ppm": 100_000, "fee_fixed_minor": 1}, 1_001),
        (10_000, {"fee_ppm": 100_000, "fee_fixed_minor": 1, "fee_max_minor": 1_001}, 1_001),
        (10_000, {"fee_ppm": 100_000, "fee_fixed_minor": 1, "fee_max_minor": 1_000}, 1_000),
        (10_000, {"fee_fixed_minor": QUANTITY_MAX}, 5_000),
        (QUANTITY_MAX, {"fee_ppm": 100_000}, -(-QUANTITY_MAX // 10)),
    ],
)
async def test_a_fee_is_fixed_and_a_share_rounded_up_at_most_half_and_at_most_its_maximum(
    scene: CreditScene, amount: int, policy: dict[str, int], fee: int
) -> None:
    await scene.give(ANA, amount)
    await scene.govern(fund=FUND, **policy)
    await scene.applied(scene.ana, transfer(ANA, BEN, amount))
    expected = [(TRANSFER, ANA, BEN, amount)] + [(FEE, BEN, FUND, fee)] * (fee > 0)
    assert scene.posted() == expected
    assert (scene.balance(ANA), scene.balance(BEN), scene.balance(FUND)) == (0, amount - fee, fee)


async def test_a_fee_stands_directly_behind_its_posting_under_the_same_transaction(
    scene: CreditScene,
) -> None:
    await scene.govern(fund=FUND, fee_fixed_minor=1)
    await scene.applied(scene.ana, transfer(ANA, BEN, 10, bytes(32)), transfer(ANA, CAY, 10))
    assert [kind for kind, *_ in scene.posted()] == [TRANSFER, FEE, TRANSFER, FEE]
    fee = scene.told(Movement)[1]
    assert (fee.transaction_index, fee.memo_hash, fee.reference, fee.hold) == (0, b"", b"", b"")


async def test_a_fee_never_needs_credit(scene: CreditScene) -> None:
    await scene.applied(scene.ben, transfer(BEN, CAY, 100))
    await scene.applied(scene.shop, set_floor(BEN, 0))
    await scene.govern(fund=FUND, fee_fixed_minor=1_000)
    await scene.applied(scene.ana, transfer(ANA, BEN, 10))
    assert scene.balance(BEN) == -100 + 10 - 5


async def test_nothing_is_taken_of_what_the_fund_gets_or_pays(scene: CreditScene) -> None:
    await scene.give(FUND, 50)
    await scene.govern(fund=FUND, fee_fixed_minor=1)
    await scene.applied(scene.ana, transfer(ANA, FUND, 10))
    await scene.applied(scene.shop, transfer(FUND, BEN, 10))
    assert fees(scene) == [] and scene.balance(FUND) == 50


async def test_payments_between_ones_own_accounts_pay_too(scene: CreditScene) -> None:
    await scene.govern(fund=FUND, fee_fixed_minor=1)
    await scene.applied(scene.ana, transfer(ANA, SAVINGS, 10))
    assert fees(scene) == [1]


async def test_a_capture_pays_and_its_hold_did_not_have_to_foresee_it(scene: CreditScene) -> None:
    await scene.govern(fund=FUND, fee_fixed_minor=1)
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 100, scene.now_ms + 60_000))
    assert scene.posted() == []
    await scene.applied(scene.ben, capture_hold(HOLD, 100))
    assert scene.posted() == [(PostingKind.CAPTURE, ANA, BEN, 100), (FEE, BEN, FUND, 1)]


async def test_what_closing_passes_on_pays(scene: CreditScene) -> None:
    await scene.give(SAVINGS, 10)
    await scene.govern(fund=FUND, fee_fixed_minor=1)
    await scene.applied(scene.ana, close_account(SAVINGS, BEN))
    assert scene.posted() == [(TRANSFER, SAVINGS, BEN, 10), (FEE, BEN, FUND, 1)]


async def test_what_rules_and_the_authority_post_pays_nothing(scene: CreditScene) -> None:
    brings, owes = identifier("brings"), identifier("owes")
    await scene.give(FUND, 100)
    await scene.applied(scene.shop, pledge_account(FUND, 100))
    await scene.applied(scene.ana, transfer(ANA, BEN, 50))
    await scene.govern(fund=FUND, fee_fixed_minor=1)
    await scene.applied(scene.shop, write_off(ANA, 50))
    assert [kind for kind, *_ in scene.posted()] == [PostingKind.WRITE_OFF]
    await scene.applied(scene.cay, open_bringing(brings, UNIT, 5), open_bringing(owes, UNIT, -5))
    await scene.applied(scene.shop, confirm_openings(UNIT, brings, owes))
    assert [kind for kind, *_ in scene.posted()] == [PostingKind.OPENING]


@pytest.mark.parametrize(("room", "taken"), [(11, [10]), (10, [10]), (3, [3]), (0, [])])
async def test_a_fee_is_at_most_what_the_fund_has_room_for(
    scene: CreditScene, room: int, taken: list[int]
) -> None:
    await scene.give(FUND, QUANTITY_MAX - room)
    await scene.govern(fund=FUND, fee_fixed_minor=10)
    await scene.applied(scene.ana, transfer(ANA, BEN, 100))
    assert fees(scene) == taken


async def test_a_fee_is_no_trade(scene: CreditScene) -> None:
    growth = {"growth_ppm": 1, "growth_max_minor": 1, "counterparty_max_minor": 1_000}
    await scene.govern(fund=FUND, fee_fixed_minor=10, **growth)
    await scene.applied(scene.ana, transfer(ANA, BEN, 100))
    lines = scene.ledger.state.records[-1].credit_lines
    assert lines[UNIT + scene.ana.principal].spent_minor == 100
    assert lines[UNIT + scene.ben.principal][1:] == (100, 0)
    assert lines[UNIT + scene.shop.principal][1:] == (0, 0)
