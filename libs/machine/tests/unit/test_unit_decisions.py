"""What an authority of members does with its units by decisions: each action, and each refusal of its own."""

from __future__ import annotations

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_machine.credit_messages import UnitPolicy
from icn_machine.entries import PostingKind
from icn_machine.events import AccountFrozen, Movement
from icn_machine.records import Period

from libs.machine.tests.credit_messages import (
    close_account,
    close_period,
    confirm_openings,
    freeze_account,
    open_bringing,
    pledge_account,
    set_unit_policy,
    write_off,
)
from libs.machine.tests.credit_scene import DAY_MS
from libs.machine.tests.institutions import FEDERATION, Federation, floor_action
from libs.machine.tests.scene import ANA, BEN, UNIT
from libs.machine.tests.zone import Zone, identifier, open_account, set_floor, transfer

COMMON = identifier("common unit")
DEBTOR, FUND = identifier("account of ana in it"), identifier("account of ben in it")
BRINGS, OWES, EMPTY = identifier("brings"), identifier("owes"), identifier("empty")
NOWHERE, DIGEST = identifier("nowhere"), bytes([9]) * 32
MEMO = bytes([4]) * 32


@pytest.fixture
async def scene(zone: Zone) -> Federation:
    """A unit of the federation's: Ana owes 80 in it, Ben has them and pledged 60; two wait."""
    scene = await Federation(zone).set_up()
    unit = pb.CreateUnit(unit=COMMON, code="HOUR", scale=2, authority=FEDERATION, default_floor_minor=-100)
    await scene.applied(scene.shop, pb.Message(create_unit=unit))
    await scene.applied(
        scene.ana, open_account(DEBTOR, COMMON), open_account(EMPTY, COMMON), open_bringing(OWES, COMMON, -5)
    )
    await scene.applied(scene.ben, open_account(FUND, COMMON), open_bringing(BRINGS, COMMON, 5))
    await scene.applied(scene.ana, transfer(DEBTOR, FUND, 80))
    await scene.applied(scene.ben, pledge_account(FUND, 60))
    return scene


def action(message: pb.Message) -> pb.DecisionAction:
    """What the message does, by decision."""
    kind = message.WhichOneof("kind") or ""
    return pb.DecisionAction(**{kind: getattr(message, kind)})


async def decided(scene: Federation, *messages: pb.Message) -> None:
    await scene.applied(scene.ana, scene.decided(*[action(message) for message in messages]))


async def test_a_decision_sets_a_policy_and_who_brings_it_pays_for_the_leaf(scene: Federation) -> None:
    leaves = scene.leaves_used()
    await decided(scene, set_unit_policy(COMMON, soft_ppm=1))
    in_force = scene.ledger.state.records[-1].unit_policies[COMMON]
    assert in_force == (UnitPolicy(soft_ppm=1), scene.last_time_ms, scene.last_time_ms)
    assert scene.leaves_used() == leaves + 1 + 1


async def test_an_authority_without_accounts_has_a_fund_that_is_pledged(scene: Federation) -> None:
    await scene.applied(scene.ben, pledge_account(FUND, 0))
    message = scene.decided(action(set_unit_policy(COMMON, fund=FUND)))
    assert await scene.refused("FUND_UNPLEDGED", scene.ana, message) == {"action": 0}
    await scene.applied(scene.ben, pledge_account(FUND, 1))
    await scene.applied(scene.ana, message)


async def test_a_decision_writes_off_what_the_fund_has_pledged(scene: Federation) -> None:
    await decided(scene, set_unit_policy(COMMON, fund=FUND))
    message = scene.decided(action(write_off(DEBTOR, 61)))
    figures = await scene.refused("PLEDGE_EXCEEDED", scene.ana, message)
    assert list(figures.items()) == [("pledged_minor", 60), ("amount_minor", 61), ("action", 0)]
    await decided(scene, write_off(DEBTOR, 60, MEMO))
    (movement,) = [event for event in scene.events() if isinstance(event, Movement)]
    assert movement.kind is PostingKind.WRITE_OFF
    assert movement[2:4] == (FUND, DEBTOR) and movement.memo_hash == MEMO
    assert (scene.account(DEBTOR).balance_minor, scene.account(DEBTOR).floor_minor) == (-20, 0)


async def test_a_decision_freezes_as_the_units_authority_or_as_the_freezer_its_policy_names(
    scene: Federation,
) -> None:
    until_ms = scene.now_ms + DAY_MS
    await decided(scene, freeze_account(DEBTOR, until_ms))
    (told,) = [event for event in scene.events() if isinstance(event, AccountFrozen)]
    assert told.frozen_by == FEDERATION
    await decided(scene, set_unit_policy(COMMON, freezer=scene.ben.principal))
    message = scene.decided(action(freeze_account(DEBTOR, 0)))
    assert await scene.refused("NOT_FREEZER", scene.ana, message) == {"action": 0}
    await scene.applied(scene.shop, set_unit_policy(UNIT, freezer=FEDERATION))
    await decided(scene, freeze_account(ANA, scene.now_ms + DAY_MS))
    await scene.refused("ACCOUNT_FROZEN", scene.ana, transfer(ANA, BEN, 1))


async def test_a_freeze_that_is_too_long_is_told_with_its_action(scene: Federation) -> None:
    until_ms = scene.now_ms + 30 * DAY_MS + 1
    message = scene.decided(floor_action(DEBTOR, -7), action(freeze_account(DEBTOR, until_ms)))
    figures = await scene.refused("FREEZE_TOO_LONG", scene.ana, message)
    assert list(figures.items()) == [
        ("until_time_ms", until_ms),
        ("block_time_ms", scene.last_time_ms),
        ("action", 1),
    ]
    assert scene.account(DEBTOR).floor_minor == -100, "all or nothing"


async def test_a_decision_closes_an_account_with_nothing_on_it(scene: Federation) -> None:
    leaves = scene.leaves_used()
    await decided(scene, close_account(EMPTY))
    assert scene.account(EMPTY).known_terms.is_closed
    assert scene.leaves_used() == leaves + 1 - 1, "the decision's leaf, and the account's"
    message = scene.decided(action(close_account(DEBTOR)))
    figures = await scene.refused("ACCOUNT_IN_USE", scene.ana, message)
    assert figures == {"balance_minor": -80, "held_minor": 0, "bonds": 0, "action": 0}


async def test_no_decision_passes_on_what_is_left(scene: Federation) -> None:
    message = scene.decided(action(close_account(FUND, DEBTOR)))
    assert await scene.refused("NOT_ACCOUNT_OWNER", scene.ana, message) == {"action": 0}


async def test_a_decision_confirms_openings(scene: Federation) -> None:
    await decided(scene, confirm_openings(COMMON, BRINGS, OWES))
    assert (scene.account(BRINGS).balance_minor, scene.account(OWES).balance_minor) == (5, -5)
    message = scene.decided(action(confirm_openings(COMMON, BRINGS, OWES)), subject=bytes(32))
    assert await scene.refused("OPENING_UNKNOWN", scene.ana, message) == {"action": 0}


async def test_a_decision_closes_a_period(scene: Federation) -> None:
    end_ms = scene.last_time_ms
    await decided(scene, close_period(COMMON, end_ms, DIGEST))
    newest = scene.ledger.state.newest
    kept = scene.ledger.state.records[-1].periods[COMMON]
    assert kept == Period(end_ms, DIGEST, newest.height, newest.time_ms, FEDERATION)
    message = scene.decided(action(close_period(COMMON, end_ms - 1, DIGEST)))
    figures = await scene.refused("PERIOD_CLOSED", scene.ana, message)
    assert list(figures.items()) == [
        ("end_time_ms", end_ms - 1),
        ("closed_until_ms", end_ms),
        ("action", 0),
    ]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (set_floor(ANA, -1), "NOT_UNIT_AUTHORITY"),
        (set_unit_policy(UNIT), "NOT_UNIT_AUTHORITY"),
        (write_off(ANA, 1), "NOT_UNIT_AUTHORITY"),
        (confirm_openings(UNIT, ANA, BEN), "NOT_UNIT_AUTHORITY"),
        (close_period(UNIT, 1), "NOT_UNIT_AUTHORITY"),
        (close_account(ANA), "NOT_ACCOUNT_OWNER"),
        (freeze_account(ANA, 1), "NOT_FREEZER"),
        (set_unit_policy(NOWHERE), "UNIT_UNKNOWN"),
        (confirm_openings(NOWHERE, ANA, BEN), "UNIT_UNKNOWN"),
        (close_period(NOWHERE, 1), "UNIT_UNKNOWN"),
        (write_off(NOWHERE, 1), "ACCOUNT_UNKNOWN"),
        (close_account(NOWHERE), "ACCOUNT_UNKNOWN"),
        (freeze_account(NOWHERE, 1), "ACCOUNT_UNKNOWN"),
        (write_off(DEBTOR, 1), "FUND_UNKNOWN"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.WhichOneof("kind"),
)
async def test_an_authority_governs_its_own_units_only(
    scene: Federation, message: pb.Message, reason: str
) -> None:
    assert await scene.refused(reason, scene.ana, scene.decided(action(message))) == {"action": 0}


async def test_actions_of_one_decision_see_what_those_before_did(scene: Federation) -> None:
    await decided(scene, set_unit_policy(COMMON, fund=FUND))
    await decided(
        scene,
        confirm_openings(COMMON, BRINGS, OWES),
        write_off(OWES, 5),
        close_account(OWES),
        close_period(COMMON, scene.last_time_ms),
    )
    assert scene.account(OWES).known_terms.is_closed
    assert scene.account(FUND).known_terms.pledged_minor == 55


async def test_no_member_governs_the_unit_by_its_own_transaction(scene: Federation) -> None:
    for message in (set_unit_policy(COMMON), write_off(DEBTOR, 1), close_period(COMMON, 0)):
        await scene.refused("NOT_UNIT_AUTHORITY", scene.shop, message)
    await scene.refused("NOT_FREEZER", scene.shop, freeze_account(DEBTOR, 0))
