"""Opening balances: what members bring is put in force together, or not at all."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_machine.entries import PostingKind
from icn_machine.limits import OPENING_MINOR_MAX, OPENINGS_MAX
from icn_machine.records import AccountTerms

from libs.machine.tests.credit_messages import close_account, confirm_openings, open_bringing
from libs.machine.tests.credit_scene import FUND, SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, HOLD, OTHER_UNIT, UNIT
from libs.machine.tests.zone import identifier, open_controller, place_hold, transfer

OPENING = PostingKind.OPENING
NOWHERE = identifier("nowhere")
WAITING = sorted(identifier(f"waiting {number}") for number in range(6))


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


async def bring(scene: CreditScene, *claims: int) -> list[bytes]:
    """Accounts of Ben's, ascending, that bring these claims."""
    accounts = WAITING[: len(claims)]
    messages = [open_bringing(*one) for one in zip(accounts, [UNIT] * len(claims), claims, strict=True)]
    await scene.applied(scene.ben, *messages)
    return accounts


async def test_an_account_that_waits_takes_part_in_nothing(scene: CreditScene) -> None:
    (one,) = await bring(scene, 50)
    assert scene.terms(one) == AccountTerms(is_opening=True, opening_minor=50)
    assert scene.balance(one) == 0
    expire_ms = scene.now_ms + 60_000
    for who, message in (
        (scene.ana, transfer(ANA, one, 1)),
        (scene.ben, transfer(one, ANA, 1)),
        (scene.ana, place_hold(HOLD, ANA, one, 1, expire_ms)),
        (scene.ben, place_hold(HOLD, one, ANA, 1, expire_ms)),
    ):
        await scene.refused("OPENING_PENDING", who, message)


async def test_debtors_are_set_against_creditors_in_the_order_given(scene: CreditScene) -> None:
    a, b, c, d, e, f = await bring(scene, -10, 7, 20, -12, 0, -5)
    await scene.applied(scene.shop, confirm_openings(UNIT, *WAITING))
    assert scene.posted() == [
        (OPENING, a, b, 7),
        (OPENING, a, c, 3),
        (OPENING, d, c, 12),
        (OPENING, f, c, 5),
    ]
    assert [scene.balance(one) for one in (a, b, c, d, e, f)] == [-10, 7, 20, -12, 0, -5]
    assert all(scene.account(one).terms is None for one in WAITING), "nothing waits any more"
    await scene.applied(scene.ben, transfer(c, ANA, 20))


async def test_openings_do_not_ask_for_floors_but_later_debits_do(scene: CreditScene) -> None:
    dora = scene.zone.member("dora", scene.shop)
    await scene.applied(scene.shop, open_controller(dora))
    debt = identifier("account of dora")
    await scene.applied(dora, open_bringing(debt, UNIT, -500))
    (credit,) = await bring(scene, 500)
    await scene.applied(scene.shop, confirm_openings(UNIT, debt, credit))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", dora, transfer(debt, ANA, 1))
    assert (figures["balance_minor"], figures["floor_minor"]) == (-500, -100)


@pytest.mark.parametrize("claims", [(-10, 9), (-9, 10), (-1, 0), (0, 1), (-5, -5)])
async def test_claims_that_do_not_add_up_to_nothing_are_refused_with_their_sums(
    scene: CreditScene, claims: tuple[int, ...]
) -> None:
    accounts = await bring(scene, *claims)
    figures = await scene.refused("OPENINGS_UNBALANCED", scene.shop, confirm_openings(UNIT, *accounts))
    debts = sum(max(-claim, 0) for claim in claims)
    credited = sum(max(claim, 0) for claim in claims)
    assert list(figures.items()) == [("debts_minor", debts), ("credits_minor", credited)]


async def test_who_brings_nothing_may_be_confirmed_alone_with_others_of_that_kind(scene: CreditScene) -> None:
    accounts = await bring(scene, 0, 0)
    await scene.applied(scene.shop, confirm_openings(UNIT, *accounts))
    assert scene.posted() == []
    await scene.applied(scene.ana, transfer(ANA, accounts[0], 1))


async def test_the_largest_claims_are_posted(scene: CreditScene) -> None:
    accounts = await bring(scene, -OPENING_MINOR_MAX, OPENING_MINOR_MAX)
    await scene.applied(scene.shop, confirm_openings(UNIT, *accounts))
    assert scene.balance(accounts[1]) == 2**53


async def test_only_the_units_authority_confirms(scene: CreditScene) -> None:
    accounts = await bring(scene, -5, 5)
    await scene.refused("UNIT_UNKNOWN", scene.shop, confirm_openings(NOWHERE, *accounts))
    await scene.refused("NOT_UNIT_AUTHORITY", scene.ben, confirm_openings(UNIT, *accounts))


async def test_every_account_is_there_of_the_unit_and_waits(scene: CreditScene) -> None:
    one, other = await bring(scene, -5, 5)
    elsewhere = identifier("elsewhere")
    await scene.applied(scene.ben, open_bringing(elsewhere, OTHER_UNIT, 5))
    for third, reason in (
        (NOWHERE, "ACCOUNT_UNKNOWN"),
        (elsewhere, "UNIT_MISMATCH"),
        (SAVINGS, "OPENING_UNKNOWN"),
        (FUND, "OPENING_UNKNOWN"),
    ):
        assert await scene.refused(reason, scene.shop, confirm_openings(UNIT, one, other, third)) == {}
    await scene.applied(scene.ben, close_account(other))
    await scene.refused("OPENING_UNKNOWN", scene.shop, confirm_openings(UNIT, one, other))


async def test_what_is_wrong_of_accounts_is_told_account_by_account(scene: CreditScene) -> None:
    low, high = bytes(16), b"\xff" * 16
    await scene.refused("ACCOUNT_UNKNOWN", scene.shop, confirm_openings(UNIT, low, SAVINGS))
    await scene.refused("OPENING_UNKNOWN", scene.shop, confirm_openings(UNIT, SAVINGS, high))


async def test_an_opening_is_confirmed_once(scene: CreditScene) -> None:
    accounts = await bring(scene, -5, 5)
    await scene.applied(scene.shop, confirm_openings(UNIT, *accounts))
    await scene.refused("OPENING_UNKNOWN", scene.shop, confirm_openings(UNIT, *accounts))


async def test_an_opening_is_no_trade(scene: CreditScene) -> None:
    await scene.govern(growth_ppm=1, growth_max_minor=1, counterparty_max_minor=1)
    mine = identifier("of ana")
    await scene.applied(scene.ana, open_bringing(mine, UNIT, -5))
    (hers,) = await bring(scene, 5)
    await scene.applied(scene.shop, confirm_openings(UNIT, mine, hers))
    assert not scene.ledger.state.records[-1].trades


async def test_as_many_as_a_large_cooperative_has_members_begin_at_once(scene: CreditScene) -> None:
    accounts = sorted(identifier(f"member {number}") for number in range(OPENINGS_MAX))
    claims = [3 * (-1) ** number for number in range(OPENINGS_MAX)]
    for start in range(0, OPENINGS_MAX, 64):
        pairs = list(zip(accounts, claims, strict=True))[start : start + 64]
        await scene.block(
            *[
                (scene.ben, [open_bringing(account, UNIT, claim) for account, claim in pairs[k : k + 16]])
                for k in range(0, 64, 16)
            ]
        )
    await scene.applied(scene.shop, confirm_openings(UNIT, *accounts))
    assert len(scene.posted()) == 256
    assert [scene.balance(account) for account in accounts] == claims


def pairs_of(claims: Iterable[int]) -> list[tuple[int, int]]:
    """What each debtor pays each creditor, worked out unit by unit."""
    claims = list(claims)
    debtors = [n for n, claim in enumerate(claims) for _ in range(-claim)]
    creditors = [n for n, claim in enumerate(claims) for _ in range(claim)]
    return list(dict.fromkeys(zip(debtors, creditors, strict=True)))


@settings(max_examples=8)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5))
async def test_any_claims_that_balance_are_paired_in_order(claims: list[int]) -> None:
    scene = await credit_scene()
    claims = [*claims, -sum(claims)]
    accounts = await bring(scene, *claims)
    await scene.applied(scene.shop, confirm_openings(UNIT, *accounts))
    index = {account: number for number, account in enumerate(accounts)}
    assert [(index[source], index[other]) for _, source, other, _ in scene.posted()] == pairs_of(claims)
    assert [scene.balance(account) for account in accounts] == claims
