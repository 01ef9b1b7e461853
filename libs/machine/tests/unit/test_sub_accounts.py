"""Sub-accounts: under which accounts they stand, and the chain by which a parent's leaf names all of them."""

from __future__ import annotations

from hashlib import sha256

import pytest

from libs.machine.tests.credit_messages import close_account, open_with
from libs.machine.tests.credit_scene import SAVINGS, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, OTHER_UNIT, OUT, UNIT
from libs.machine.tests.zone import identifier, open_account, transfer

ONE, TWO, THREE = (identifier(f"sub-account {number}") for number in range(3))
NOWHERE = identifier("nowhere")
TAG = b"icn/sub-accounts/v1"


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


def chained(scene: CreditScene, *accounts: bytes) -> bytes:
    """Worked out from the specification alone: u32be(len tag) ‖ tag ‖ genesis hash ‖ u32be(48) ‖ body."""
    link = bytes(32)
    head = len(TAG).to_bytes(4, "big") + TAG + scene.zone.genesis.hash + (48).to_bytes(4, "big")
    for account in accounts:
        link = sha256(head + link + account).digest()
    return link


async def test_a_parent_chains_all_it_ever_had_in_their_order(scene: CreditScene) -> None:
    await scene.applied(scene.ana, open_with(ONE, UNIT, parent=ANA), open_with(TWO, UNIT, parent=ANA))
    await scene.applied(scene.ana, close_account(ONE))
    await scene.applied(scene.ana, open_with(THREE, UNIT, parent=ANA))
    terms = scene.terms(ANA)
    assert (terms.sub_accounts, terms.sub_accounts_hash) == (3, chained(scene, ONE, TWO, THREE))
    assert terms.bonds == 2, "the closed one binds no longer"
    assert scene.terms(TWO).parent == ANA
    assert [scene.terms(one).sub_account_number for one in (ANA, ONE, TWO, THREE)] == [0, 1, 2, 3]


async def test_a_sub_account_is_a_further_account(scene: CreditScene) -> None:
    leaves = scene.leaves_used()
    await scene.applied(scene.ana, open_with(ONE, UNIT, parent=ANA))
    assert (scene.account(ONE).floor_minor, scene.leaves_used()) == (0, leaves + 1)
    await scene.applied(scene.ana, transfer(ANA, ONE, 5))


async def test_a_first_account_has_no_parent_to_be_under(scene: CreditScene) -> None:
    await scene.refused("PARENT_UNKNOWN", scene.cay, open_with(ONE, OTHER_UNIT, parent=OUT))


@pytest.mark.parametrize(
    ("who", "unit", "parent"),
    [
        ("ana", UNIT, NOWHERE),
        ("ana", UNIT, BEN),
        ("ben", UNIT, OUT),
        ("ben", OTHER_UNIT, BEN),
        ("ana", UNIT, SAVINGS),
        ("ana", UNIT, TWO),
    ],
)
async def test_a_parent_is_the_owners_open_account_of_the_unit_and_no_sub_account(
    scene: CreditScene, who: str, unit: bytes, parent: bytes
) -> None:
    await scene.applied(scene.ana, open_with(TWO, UNIT, parent=ANA), close_account(SAVINGS))
    await scene.refused("PARENT_UNKNOWN", getattr(scene, who), open_with(ONE, unit, parent=parent))


async def test_what_is_refused_is_asked_in_the_tables_order(scene: CreditScene) -> None:
    await scene.refused("ACCOUNT_EXISTS", scene.ana, open_with(ANA, NOWHERE, parent=NOWHERE))
    await scene.refused("UNIT_UNKNOWN", scene.ana, open_with(ONE, NOWHERE, parent=NOWHERE))


async def test_a_parent_closes_after_its_sub_accounts(scene: CreditScene) -> None:
    await scene.applied(scene.ana, open_with(ONE, UNIT, parent=SAVINGS))
    figures = await scene.refused("ACCOUNT_IN_USE", scene.ana, close_account(SAVINGS))
    assert figures == {"balance_minor": 0, "held_minor": 0, "bonds": 1}
    await scene.applied(scene.ana, close_account(ONE), close_account(SAVINGS))


async def test_the_authority_that_closes_a_sub_account_frees_its_parent(scene: CreditScene) -> None:
    await scene.applied(scene.ana, open_with(ONE, UNIT, parent=SAVINGS))
    await scene.applied(scene.shop, close_account(ONE))
    assert scene.terms(SAVINGS).bonds == 0


async def test_a_sub_account_may_bring_an_opening_balance(scene: CreditScene) -> None:
    await scene.applied(scene.ana, open_with(ONE, UNIT, parent=ANA, is_opening=True, opening_minor=-5))
    assert (scene.terms(ONE).parent, scene.terms(ONE).opening_minor) == (ANA, -5)
    await scene.applied(scene.ana, close_account(ONE))
    assert scene.terms(ANA).bonds == 0


async def test_a_parent_opened_by_the_same_transaction_has_sub_accounts(scene: CreditScene) -> None:
    await scene.applied(scene.ana, open_account(ONE, UNIT), open_with(TWO, UNIT, parent=ONE))
    assert scene.terms(ONE).sub_accounts_hash == chained(scene, TWO)
