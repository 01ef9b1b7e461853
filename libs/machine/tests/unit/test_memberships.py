"""Memberships: applied for, vouched for, admitted, ended, begun anew; each refusal beside its success."""

from __future__ import annotations

import pytest
from icn_machine.events import MembershipChanged
from icn_machine.records import Membership, MembershipStatus

from libs.machine.tests.institutions import (
    FEDERATION,
    Federation,
    admit,
    admit_member,
    apply_for_membership,
    end_membership,
    exclude,
    vouch_for_applicant,
)
from libs.machine.tests.zone import Member, Zone, identifier, open_controller

APPLIED, ACTIVE, ENDED = MembershipStatus
NOBODY = identifier("nobody")


@pytest.fixture
async def scene(zone: Zone) -> Federation:
    return await Federation(zone).set_up()


async def test_an_application_becomes_a_membership_and_ends(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    leaves = scene.leaves_used()
    await scene.applied(scene.ana, apply_for_membership(shop))
    applied = scene.last_time_ms
    assert scene.membership(shop, ana) == Membership(shop, ana, APPLIED, applied, 0, 0, (), shop)
    await scene.applied(scene.shop, admit_member(ana))
    since = scene.last_time_ms
    assert scene.membership(shop, ana) == Membership(shop, ana, ACTIVE, applied, since, 0, (), shop)
    await scene.applied(scene.ana, end_membership(shop, ana))
    ended = scene.last_time_ms
    assert scene.membership(shop, ana) == Membership(shop, ana, ENDED, applied, since, ended, (), shop)
    assert scene.leaves_used() == leaves + 1, "who was a member stays visible"


async def test_every_step_is_told(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    for actor, message in (
        (scene.ana, apply_for_membership(shop)),
        (scene.shop, admit_member(ana)),
        (scene.shop, end_membership(shop, ana)),
    ):
        await scene.applied(actor, message)
        events = scene.ledger.state.commits[-1].events
        assert events == [MembershipChanged(scene.membership(shop, ana))]


async def test_who_has_left_may_apply_again_and_starts_from_nothing(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    await scene.joined(scene.ben, scene.shop)
    await scene.applied(scene.ana, apply_for_membership(shop))
    await scene.applied(scene.ben, vouch_for_applicant(shop, ana))
    await scene.applied(scene.shop, admit_member(ana))
    await scene.applied(scene.shop, end_membership(shop, ana))
    leaves = scene.leaves_used()
    await scene.applied(scene.ana, apply_for_membership(shop))
    assert scene.membership(shop, ana) == Membership(shop, ana, APPLIED, scene.last_time_ms, 0, 0, (), shop)
    assert scene.leaves_used() == leaves, "the leaf is there already"
    await scene.applied(scene.shop, admit_member(ana))
    assert scene.membership(shop, ana).since_time_ms == scene.last_time_ms


async def test_only_what_has_a_controller_or_is_an_authority_can_be_applied_to(scene: Federation) -> None:
    await scene.refused("ORGANIZATION_UNKNOWN", scene.ana, apply_for_membership(NOBODY))
    await scene.applied(scene.ana, apply_for_membership(FEDERATION))
    await scene.applied(scene.ana, apply_for_membership(scene.ben.principal))


async def test_nobody_applies_twice(scene: Federation) -> None:
    shop = scene.shop.principal
    await scene.applied(scene.ana, apply_for_membership(shop))
    await scene.refused("MEMBERSHIP_EXISTS", scene.ana, apply_for_membership(shop))
    await scene.applied(scene.shop, admit_member(scene.ana.principal))
    await scene.refused("MEMBERSHIP_EXISTS", scene.ana, apply_for_membership(shop))


async def test_only_active_members_vouch_and_only_once_for_an_open_application(scene: Federation) -> None:
    shop, ana, ben = scene.shop.principal, scene.ana.principal, scene.ben.principal
    vouch = vouch_for_applicant(shop, ana)
    await scene.refused("NOT_A_MEMBER", scene.ben, vouch)
    await scene.applied(scene.ben, apply_for_membership(shop))
    await scene.refused("NOT_A_MEMBER", scene.ben, vouch)
    await scene.applied(scene.shop, admit_member(ben))
    await scene.refused("MEMBERSHIP_UNKNOWN", scene.ben, vouch)
    await scene.applied(scene.ana, apply_for_membership(shop))
    await scene.refused("NOT_A_MEMBER", scene.ana, vouch)
    await scene.refused("NOT_A_MEMBER", scene.shop, vouch)
    await scene.applied(scene.ben, vouch)
    assert scene.membership(shop, ana).vouchers == (ben,)
    await scene.refused("ALREADY_VOUCHED", scene.ben, vouch)
    await scene.applied(scene.shop, admit_member(ana))
    assert await scene.refused("MEMBERSHIP_NOT_APPLIED", scene.ben, vouch) == {"status": ACTIVE}
    await scene.applied(scene.ana, end_membership(shop, ana))
    assert await scene.refused("MEMBERSHIP_NOT_APPLIED", scene.ben, vouch) == {"status": ENDED}
    await scene.applied(scene.ben, end_membership(shop, ben))
    await scene.applied(scene.ana, apply_for_membership(shop))
    await scene.refused("NOT_A_MEMBER", scene.ben, vouch)


async def test_sixteen_members_vouch_and_not_one_more(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    crowd = [scene.zone.member(f"neighbour {number}", scene.shop) for number in range(17)]
    await scene.applied(scene.shop, *[open_controller(one) for one in crowd[:16]])
    await scene.applied(scene.shop, open_controller(crowd[16]))
    await scene.applied(scene.ana, apply_for_membership(shop))
    for one in crowd:
        await scene.joined(one, scene.shop)
    for one in crowd[:16]:
        await scene.applied(one, vouch_for_applicant(shop, ana))
    assert scene.membership(shop, ana).vouchers == tuple(sorted(one.principal for one in crowd[:16]))
    figures = await scene.refused("VOUCHES_FULL", crowd[16], vouch_for_applicant(shop, ana))
    assert figures == {"vouches": 16, "vouches_max": 16}


async def test_only_the_organization_admits_and_only_who_applied(scene: Federation) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    await scene.refused("MEMBERSHIP_UNKNOWN", scene.shop, admit_member(ana))
    await scene.applied(scene.ana, apply_for_membership(shop))
    # The acting principal is the organization, so that nobody can even say that they admit for another.
    for actor in (scene.ana, scene.ben, scene.founders[1]):
        await scene.refused("MEMBERSHIP_UNKNOWN", actor, admit_member(ana))
    await scene.applied(scene.shop, admit_member(ana))
    assert await scene.refused("MEMBERSHIP_NOT_APPLIED", scene.shop, admit_member(ana)) == {"status": ACTIVE}
    await scene.applied(scene.shop, end_membership(shop, ana))
    assert await scene.refused("MEMBERSHIP_NOT_APPLIED", scene.shop, admit_member(ana)) == {"status": ENDED}


@pytest.mark.parametrize("by", ["member", "organization"])
@pytest.mark.parametrize("is_admitted", [False, True])
async def test_a_membership_and_an_application_are_ended_by_either_side_and_nobody_else(
    scene: Federation, by: str, is_admitted: bool
) -> None:
    shop, ana = scene.shop.principal, scene.ana.principal
    actor: Member = scene.ana if by == "member" else scene.shop
    await scene.refused("MEMBERSHIP_UNKNOWN", actor, end_membership(shop, ana))
    await scene.applied(scene.ana, apply_for_membership(shop))
    if is_admitted:
        await scene.applied(scene.shop, admit_member(ana))
    for other in (scene.ben, scene.founders[1]):
        await scene.refused("NOT_MEMBER_NOR_ORGANIZATION", other, end_membership(shop, ana))
    await scene.applied(actor, end_membership(shop, ana))
    await scene.refused("MEMBERSHIP_ENDED", actor, end_membership(shop, ana))


async def test_an_authority_counts_its_active_members(scene: Federation) -> None:
    ana, baker = scene.ana.principal, scene.founders[3].principal
    assert scene.authority.members == 4
    await scene.applied(scene.ana, apply_for_membership(FEDERATION))
    assert scene.authority.members == 4, "an applicant is none yet"
    await scene.applied(scene.shop, scene.decided(admit(ana)))
    assert scene.authority.members == 5
    await scene.applied(scene.founders[3], end_membership(FEDERATION, baker))
    assert scene.authority.members == 4
    await scene.applied(scene.ben, apply_for_membership(FEDERATION))
    await scene.applied(scene.ben, end_membership(FEDERATION, scene.ben.principal))
    assert scene.authority.members == 4, "a withdrawn application never counted"


async def test_a_principal_cannot_admit_to_an_authority_nor_exclude_from_it(scene: Federation) -> None:
    await scene.applied(scene.ana, apply_for_membership(FEDERATION))
    await scene.refused("MEMBERSHIP_UNKNOWN", scene.shop, admit_member(scene.ana.principal))
    other = scene.founders[1].principal
    await scene.refused("NOT_MEMBER_NOR_ORGANIZATION", scene.shop, end_membership(FEDERATION, other))


async def test_the_last_member_of_an_authority_stays(scene: Federation) -> None:
    for founder in scene.founders[1:]:
        await scene.applied(founder, end_membership(FEDERATION, founder.principal))
    last = scene.founders[0]
    figures = await scene.refused("LAST_MEMBER", last, end_membership(FEDERATION, last.principal))
    assert figures == {"members": 1}
    message = scene.decided(exclude(last.principal), by=[last])
    assert await scene.refused("LAST_MEMBER", scene.shop, message) == {"members": 1, "action": 0}
    assert scene.authority.members == 1
