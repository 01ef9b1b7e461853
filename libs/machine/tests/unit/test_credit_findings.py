"""What mutual credit does otherwise than docs/spec/ledger.md says; each test quotes the sentence."""

from __future__ import annotations

import pytest
from icn_ledger.store.history import pack_entries
from icn_machine.credit_invariants import check_credit_lines
from icn_machine.limits import QUANTITY_MAX
from icn_machine.records import CreditLine, RecordTables
from icn_machine.refusals import InvariantBroken

from libs.machine.tests.credit_messages import (
    DAY_MS,
    charge_demurrage,
    close_account,
    confirm_openings,
    open_bringing,
    open_with,
    order_transfers,
    set_unit_policy,
)
from libs.machine.tests.credit_scene import FUND, CreditScene, credit_scene
from libs.machine.tests.scene import ANA, BEN, OUT, UNIT
from libs.machine.tests.unit.test_credit_scopes import excess
from libs.machine.tests.zone import identifier, transfer

BRINGING = identifier("waits for its opening")


@pytest.fixture
async def scene() -> CreditScene:
    return await credit_scene()


async def test_a_sub_account_of_an_account_that_waits_for_its_opening_does_not_stop_the_node(
    scene: CreditScene,
) -> None:
    """It says: "Whatever else posts to, holds on, pledges, orders or makes a fund of a closed or pending
    account is refused likewise." A sub-account binds its parent, and an invariant stops the node where one
    that waits is bound: any member can stop every node with two messages."""
    await scene.applied(scene.ana, open_bringing(BRINGING, UNIT, 5))
    reasons = await scene.block((scene.ana, [open_with(identifier("below it"), UNIT, parent=BRINGING)]))
    assert reasons in ([""], ["PARENT_UNKNOWN"], ["OPENING_PENDING"])
    assert scene.ledger.halts == []


async def test_a_fund_that_is_closed_in_the_block_that_dismisses_it_does_not_stop_the_node(
    scene: CreditScene,
) -> None:
    """It says "a block goes by the policies that the state before it has", and of a closed account "nothing
    can be posted or held any more": a fee of the same block goes to the fund that has just been closed."""
    await scene.govern(fee_fixed_minor=1, fund=FUND)
    reasons = await scene.block(
        (scene.shop, [set_unit_policy(UNIT)]),
        (scene.shop, [close_account(FUND)]),
        (scene.ana, [transfer(ANA, BEN, 10)]),
    )
    assert scene.ledger.halts == []
    assert reasons[0] == reasons[2] == ""


async def test_what_an_order_posts_is_an_entry_of_no_transaction(scene: CreditScene) -> None:
    """It says: "transaction id (empty where a block made it by itself)". The ledger's store names the last
    transaction of the block instead, and finds none where the block is empty."""
    due_ms = scene.now_ms + 1_000
    await scene.applied(scene.ana, order_transfers(identifier("order"), ANA, BEN, 5, due_ms))
    await scene.until(due_ms)
    assert len(scene.posted()) == 1
    packed = pack_entries(scene.ledger.state.commits[-1])
    assert set(packed) == {ANA, BEN}


def test_a_sum_that_stays_at_its_bound_in_one_unit_hides_nothing_in_another() -> None:
    """It says: "over each block, per unit, both sums grow alike (while none stays at 2^62)"."""
    before = RecordTables(credit_lines={UNIT + ANA: None, OUT + ANA: None})
    changed = {UNIT + ANA: CreditLine(ANA, 5, QUANTITY_MAX), OUT + ANA: CreditLine(OUT, 0, 5)}
    with pytest.raises(InvariantBroken, match="earned and spent"):
        check_credit_lines(before, RecordTables(credit_lines=changed))


async def test_an_opening_balance_owes_no_demurrage_for_the_time_that_it_waited(scene: CreditScene) -> None:
    """It says that demurrage counts from the confirmation: nothing was on the account before."""
    await scene.govern(demurrage_ppm=10_000, demurrage_days=1, fund=FUND)
    creditor, debtor = identifier("brings credit"), identifier("brings a debt")
    await scene.applied(scene.ana, open_bringing(creditor, UNIT, 1_000))
    await scene.applied(scene.ben, open_bringing(debtor, UNIT, -1_000))
    await scene.until(scene.now_ms + 50 * DAY_MS)
    await scene.applied(scene.shop, confirm_openings(UNIT, creditor, debtor))
    await scene.applied(scene.ana, charge_demurrage(creditor))
    assert scene.balance(creditor) == 1_000
    await scene.until(scene.now_ms + DAY_MS)
    await scene.applied(scene.ana, charge_demurrage(creditor))
    assert scene.balance(creditor) == 990


def test_a_scoped_key_promises_no_larger_debt_than_it_may_move() -> None:
    """It says: "amount_minor_max of a scoped key also bounds the debt that an account brings"."""
    debt = open_bringing(BRINGING, UNIT, -100)
    assert excess(debt, amount_minor_max=99) != ""
    assert excess(debt, amount_minor_max=100) == ""
    assert excess(open_bringing(BRINGING, UNIT, 1_000), amount_minor_max=1) == ""
