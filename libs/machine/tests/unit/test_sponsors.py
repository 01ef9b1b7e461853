"""Sponsors: who pays for a member, and how that ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from icn_machine.events import ControllerChanged, RecoveryCancelled
from icn_machine.leaves import decode_leaf, encode_leaf
from icn_machine.records import Controller, Namespace

from libs.machine.tests.scene import ANA, BEN, Scene
from libs.machine.tests.zone import (
    Member,
    TestKey,
    Zone,
    complete_recovery,
    end_sponsorship,
    guarded_by,
    identifier,
    open_controller,
    set_recovery,
    start_recovery,
    start_sponsorship,
    transfer,
)

DELAY_MS = 60_000
NOBODY = identifier("nobody")


class Sponsored(Scene):
    """The shop sponsors Ana and Ben; the other organization may."""

    @property
    def other(self) -> Member:
        return self.zone.organizations[1]

    def controller(self, member: Member) -> Controller:
        return self.ledger.state.records[-1].controllers[member.principal]


@pytest.fixture
async def scene(zone: Zone) -> Sponsored:
    scene = Sponsored(zone)
    await scene.set_up()
    return scene


async def test_a_sponsor_ends_paying_and_another_takes_the_member_on(scene: Sponsored) -> None:
    ana, before = scene.ana, scene.controller(scene.ana)
    await scene.applied(scene.shop, end_sponsorship(ana.principal))
    after = scene.controller(ana)
    assert after == before._replace(sponsor=b"", head=after.head)
    assert decode_leaf(Namespace.CONTROLLER, encode_leaf(Namespace.CONTROLLER, after)) == after
    assert scene.ledger.state.commits[-1].events == [ControllerChanged(scene.shop.principal, ana.principal)]
    await scene.applied(scene.other, start_sponsorship(ana.principal))
    assert scene.ledger.state.commits[-1].events == [ControllerChanged(scene.other.principal, ana.principal)]
    taken = scene.controller(ana)
    assert taken.sponsor == scene.other.principal
    assert decode_leaf(Namespace.CONTROLLER, encode_leaf(Namespace.CONTROLLER, taken)) == taken
    await scene.applied(replace(ana, payer=scene.other.principal), transfer(ANA, BEN, 1))


async def test_a_member_leaves_its_sponsor_by_itself(scene: Sponsored) -> None:
    await scene.applied(scene.ana, end_sponsorship(scene.ana.principal))
    assert scene.controller(scene.ana).sponsor == b""


async def test_only_sponsor_and_member_end_it_and_only_once(scene: Sponsored) -> None:
    await scene.refused("NOT_SPONSOR", scene.other, end_sponsorship(scene.ana.principal))
    await scene.refused("NOT_SPONSOR", scene.ben, end_sponsorship(scene.ana.principal))
    await scene.refused("CONTROLLER_UNKNOWN", scene.shop, end_sponsorship(NOBODY))
    await scene.refused("NOT_SPONSOR", scene.shop, end_sponsorship(scene.shop.principal))
    await scene.applied(scene.shop, end_sponsorship(scene.ana.principal))
    await scene.refused("NOT_SPONSOR", scene.shop, end_sponsorship(scene.ana.principal))


async def test_nobody_is_taken_on_who_is_paid_for(scene: Sponsored) -> None:
    await scene.refused("SPONSOR_EXISTS", scene.other, start_sponsorship(scene.ana.principal))
    await scene.refused("PAYS_FOR_ITSELF", scene.shop, start_sponsorship(scene.other.principal))
    await scene.refused("CONTROLLER_UNKNOWN", scene.shop, start_sponsorship(NOBODY))
    await scene.applied(scene.shop, end_sponsorship(scene.ana.principal))
    await scene.refused("SPONSOR_NOT_ORGANIZATION", scene.ben, start_sponsorship(scene.ana.principal))


async def test_whom_nobody_pays_for_cannot_be_taken_over_by_its_guardian(scene: Sponsored) -> None:
    ana, key = scene.ana, TestKey("thief")
    await scene.applied(ana, set_recovery(guarded_by(scene.other, DELAY_MS)))
    await scene.applied(scene.other, start_recovery(ana.principal, 1, key))
    before = scene.ledger.state.records[-1].recoveries[ana.principal]
    await scene.applied(scene.shop, end_sponsorship(ana.principal))
    assert scene.ledger.state.commits[-1].events == [
        RecoveryCancelled(scene.shop.principal, before, scene.shop.principal),
        ControllerChanged(scene.shop.principal, ana.principal),
    ]
    assert not scene.controller(ana).is_being_recovered
    await scene.refused("RECOVERY_UNKNOWN", scene.other, complete_recovery(ana.principal), after_ms=DELAY_MS)
    await scene.refused("NOT_SPONSORED", scene.other, start_recovery(ana.principal, 1, key))
    await scene.applied(scene.other, start_sponsorship(ana.principal), start_recovery(ana.principal, 1, key))
    veto = replace(ana, payer=scene.other.principal)
    await scene.applied(veto, end_sponsorship(ana.principal))
    assert scene.ledger.state.records[-1].recoveries[ana.principal] is None


async def test_an_organization_that_pays_for_itself_can_be_recovered(scene: Sponsored) -> None:
    await scene.applied(scene.shop, set_recovery(guarded_by(scene.other, DELAY_MS)))
    await scene.applied(scene.other, start_recovery(scene.shop.principal, 1, TestKey("new")))
    assert scene.controller(scene.shop).is_being_recovered


async def test_in_one_transaction_a_member_opened_is_released_again(scene: Sponsored) -> None:
    eve = scene.zone.member("eve", scene.shop)
    await scene.applied(scene.shop, open_controller(eve), end_sponsorship(eve.principal))
    assert scene.controller(eve).sponsor == b""
