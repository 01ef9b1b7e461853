"""Contracts under a unit's policy: what they may spend, what they get, and demurrage before their calls."""

from __future__ import annotations

import pytest
from icn_machine.entries import PostingKind
from icn_machine.events import Movement

from libs.machine.tests.credit_messages import (
    close_account,
    freeze_account,
    open_bringing,
    pledge_account,
    set_unit_policy,
)
from libs.machine.tests.credit_scene import DAY_MS
from libs.machine.tests.scene import ANA, BEN, UNIT
from libs.machine.tests.unit.test_contracts import CODE_HASH, FUND, FUND_ACCOUNT, Contracts, told
from libs.machine.tests.zone import Zone, execute, identifier, instantiate, open_account, set_floor, transfer

TAKES, BRINGING = identifier("takes fees"), identifier("waits")
DEMURRAGE, FEE, TRANSFER = (
    PostingKind.DEMURRAGE,
    PostingKind.FEE,
    PostingKind.TRANSFER,
)
GROWTH = {"growth_ppm": 1_000_000, "growth_max_minor": 50, "counterparty_max_minor": 50}


@pytest.fixture
async def scene(zone: Zone) -> Contracts:
    """The shop has an account that takes fees."""
    scene = await Contracts(zone).set_up()
    await scene.applied(scene.shop, open_account(TAKES, UNIT), pledge_account(TAKES, 1))
    return scene


def posted(scene: Contracts) -> list[tuple[int, bytes, bytes, int]]:
    moved = [event for event in scene.events() if isinstance(event, Movement)]
    return [(one.kind, one.source, one.destination, one.amount_minor) for one in moved]


def paying_out(scene: Contracts, amount: int) -> bytes:
    return told(pay=[[scene.ben.principal.hex(), UNIT.hex(), amount]])


async def seen(scene: Contracts, *accounts: bytes) -> list[int]:
    """What a contract is told that the owners of the accounts could spend."""
    await scene.applied_call(scene.ben, execute(FUND, declared=list(accounts)))
    return [amount for _, _, amount in scene.vm.calls[-1].balances]


async def test_a_frozen_account_has_nothing_to_spend_until_its_time(scene: Contracts) -> None:
    assert await seen(scene, ANA) == [100]
    until_ms = scene.now_ms + 5_000
    await scene.applied(scene.shop, freeze_account(ANA, until_ms))
    assert await seen(scene, ANA) == [0]
    figures, _ = await scene.refused_call("ACCOUNT_FROZEN", scene.ana, scene.pay_in(1))
    assert figures["frozen_until_ms"] == until_ms
    await scene.ledger.execute(after_ms=until_ms - 1_000 - scene.ledger.state.newest.time_ms)
    assert await seen(scene, ANA) == [100]


async def test_a_frozen_contract_pays_nobody(scene: Contracts) -> None:
    await scene.applied_call(scene.ana, scene.pay_in(60))
    await scene.applied(scene.shop, freeze_account(FUND_ACCOUNT, scene.now_ms + DAY_MS))
    assert await seen(scene, FUND_ACCOUNT) == [0]
    out = execute(FUND, paying_out(scene, 1), declared=[FUND_ACCOUNT, BEN])
    await scene.refused_call("ACCOUNT_FROZEN", scene.ana, out)
    await scene.applied(scene.shop, freeze_account(FUND_ACCOUNT, 0))
    await scene.applied_call(scene.ana, out)


async def test_a_closed_or_pending_account_has_nothing_to_spend_and_gets_nothing(scene: Contracts) -> None:
    await scene.applied_call(scene.ana, scene.pay_in(60))
    await scene.applied(scene.ben, close_account(BEN), open_bringing(BRINGING, UNIT, 5))
    for account, reason in ((BEN, "ACCOUNT_CLOSED"), (BRINGING, "OPENING_PENDING")):
        assert await seen(scene, account) == [0]
        out = execute(FUND, paying_out(scene, 1), declared=[FUND_ACCOUNT, account])
        await scene.refused_call(reason, scene.ana, out)


async def test_what_is_spendable_grows_with_the_limit_of_a_main_account(scene: Contracts) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    await scene.applied(scene.ben, transfer(BEN, ANA, 40))
    assert await seen(scene, BEN) == [140]
    assert await seen(scene, ANA) == [100], "the authority has set its floor"


async def test_a_contract_gets_all_that_was_sent_and_whom_it_pays_pays_the_fee(scene: Contracts) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, fee_fixed_minor=10, fund=TAKES))
    await scene.applied_call(scene.ana, scene.pay_in(60))
    assert posted(scene) == [(TRANSFER, ANA, FUND_ACCOUNT, 60)]
    assert scene.vm.calls[-1].funds == [(UNIT, 60)]
    await scene.applied_call(scene.ana, execute(FUND, paying_out(scene, 40), declared=[FUND_ACCOUNT, BEN]))
    assert posted(scene) == [(TRANSFER, FUND_ACCOUNT, BEN, 40), (FEE, BEN, TAKES, 10)]


async def test_what_contracts_pay_and_get_counts_for_nobody(scene: Contracts) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, **GROWTH))
    await scene.applied_call(scene.ana, scene.pay_in(60))
    await scene.applied_call(scene.ana, execute(FUND, paying_out(scene, 40), declared=[FUND_ACCOUNT, BEN]))
    records = scene.ledger.state.records[-1]
    assert not records.trades
    assert UNIT + FUND not in {key for key, found in records.credit_lines.items() if found is not None}
    assert records.credit_lines[UNIT + scene.ben.principal][1:] == (0, 0)


async def test_demurrage_of_the_accounts_of_a_call_is_taken_before_it(scene: Contracts) -> None:
    await scene.applied_call(scene.ana, scene.pay_in(60))
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    policy = {"demurrage_ppm": 100_000, "demurrage_days": 1, "fund": TAKES}
    await scene.applied(scene.shop, set_unit_policy(UNIT, **policy))
    message = execute(FUND, declared=[FUND_ACCOUNT, BEN])
    receipt = await scene.run(scene.ana, message, after_ms=DAY_MS)
    assert not receipt.reason
    assert sorted(posted(scene)) == sorted([(DEMURRAGE, FUND_ACCOUNT, TAKES, 6), (DEMURRAGE, BEN, TAKES, 4)])
    assert {owner: amount for owner, _, amount in scene.vm.calls[-1].balances} == {
        FUND: 54,
        scene.ben.principal: 136,
    }


async def test_a_call_that_stops_takes_no_demurrage(scene: Contracts) -> None:
    await scene.applied_call(scene.ana, scene.pay_in(60))
    policy = {"demurrage_ppm": 100_000, "demurrage_days": 1, "fund": TAKES}
    await scene.applied(scene.shop, set_unit_policy(UNIT, **policy))
    await scene.refused_call("WHY", scene.ana, scene.pay_in(1, stop="WHY"), after_ms=DAY_MS)


async def test_nothing_of_a_contracts_balance_is_free_of_demurrage(scene: Contracts) -> None:
    await scene.applied_call(scene.ana, scene.pay_in(60))
    policy = {"demurrage_ppm": 100_000, "demurrage_days": 1, "fund": TAKES, "demurrage_free_minor": 1_000}
    await scene.applied(scene.shop, set_unit_policy(UNIT, **policy))
    receipt = await scene.run(scene.ana, execute(FUND, declared=[FUND_ACCOUNT]), after_ms=DAY_MS)
    assert not receipt.reason
    assert posted(scene) == [(DEMURRAGE, FUND_ACCOUNT, TAKES, 6)]


async def test_a_contract_owes_nobody_unless_the_units_authority_lets_it(scene: Contracts) -> None:
    out = execute(FUND, paying_out(scene, 1), declared=[FUND_ACCOUNT, BEN])
    figures, _ = await scene.refused_call("CREDIT_LIMIT_EXCEEDED", scene.ana, out)
    assert figures["floor_minor"] == 0
    await scene.applied(scene.shop, set_floor(FUND_ACCOUNT, -1))
    await scene.applied_call(scene.ana, out)


async def test_a_contracts_account_occupies_its_leaf_and_no_credit_line(scene: Contracts) -> None:
    leaves = scene.leaves_used()
    new, account = identifier("new contract"), identifier("account of the new contract")
    await scene.applied_call(scene.shop, instantiate(new, CODE_HASH, accounts=[(account, UNIT)]))
    assert scene.leaves_used() == leaves + 2, "the contract and its account"


async def test_a_call_changes_nothing_of_a_closed_account_that_it_declares(scene: Contracts) -> None:
    await scene.applied(scene.shop, set_unit_policy(UNIT, demurrage_ppm=1_000, demurrage_days=1, fund=TAKES))
    await scene.applied(scene.ben, close_account(BEN))
    closed = scene.account(BEN)
    await scene.ledger.execute(after_ms=2 * DAY_MS)
    await scene.applied_call(scene.ana, execute(FUND, told(), declared=[FUND_ACCOUNT, BEN]))
    assert scene.account(BEN) == closed
