"""Four co-ops found a federation; a fifth joins by vote, people join it by vouch; through REST, through gRPC
and through kills."""

from __future__ import annotations

import asyncio
from typing import Any

from icn.governance.v1 import service_pb2 as governance
from icn.identity.v1 import service_pb2 as identity
from icn.ledger.v1 import service_pb2 as ledger
from icn_client import decisions, transactions
from icn_client.governance import plain_draft

from e2e.stories import NO, YES, Play, tell

LANE = 5


async def onboard(play: Play) -> dict[str, Any]:
    bakery, housing, farm, workshop = play.founders.values()
    authority = await play.found(vouches_min=2)
    register = governance.RegisterOrganization(
        organization=authority, display_name="Valley Federation", kind="federation"
    )
    await play.say(bakery, register)
    (press, opens_press), (hana, opens_hana), (ivo, opens_ivo) = (play.person(bakery) for _ in range(3))
    await play.apply(bakery, opens_press, opens_hana, opens_ivo)
    await play.apply(press, transactions.apply_for_membership(authority))
    for voucher in (bakery, housing):
        await play.apply(voucher, transactions.vouch_for_applicant(authority, press.principal))
    draft = plain_draft(
        authority,
        "Lantern Press joins",
        "Shall Lantern Press become a member?",
        4,
        actions=[decisions.admit(press.principal)],
    )
    ballots = [(bakery, YES, b""), (housing, YES, b""), (farm, YES, b""), (workshop, NO, b"")]
    poll, decided = await play.decide(draft, ballots)
    register = governance.RegisterOrganization(
        organization=press.principal, display_name="Lantern Press", kind="cooperative"
    )
    await play.say(press, register)

    await asyncio.gather(
        *(play.apply(one, transactions.apply_for_membership(press.principal)) for one in (hana, ivo))
    )
    await play.apply(press, transactions.admit_member(hana.principal))
    await play.apply(hana, transactions.vouch_for_applicant(press.principal, ivo.principal))
    await play.apply(press, transactions.admit_member(ivo.principal))

    async def membership(organization: bytes, member: bytes) -> tuple[str, int]:
        name = f"memberships/{organization.hex()}/{member.hex()}"
        leaf = await play.seen(
            f"/v1/{name}",
            ledger.GetMembershipRequest(name=name),
            "membership",
            lambda shown: shown["status"] == "active",
        )
        return leaf["status"], len(leaf["vouchers"])

    leaf = await play.seen(
        f"/v1/authorities/{authority.hex()}",
        ledger.GetAuthorityRequest(name=f"authorities/{authority.hex()}"),
        "authority",
        lambda shown: shown["members"] == 5,
    )
    ballots_leaf = await play.seen(
        f"/v1/polls/{poll.hex()}", ledger.GetPollRequest(name=f"polls/{poll.hex()}"), "poll"
    )
    subject, organization = f"principals/{ivo.principal.hex()}", f"organizations/{press.principal.hex()}"
    is_allowed = await play.seen(
        f"/v1/permissions/check?subject={ivo.principal.hex()}&relation=member&object={organization}",
        identity.CheckPermissionRequest(subject=subject, relation="member", object=organization),
        "is_allowed",
        bool,
    )
    named = await play.seen(
        f"/v1/{organization}", governance.GetOrganizationRequest(name=organization), "organization"
    )
    listed = await play.seen(
        f"/v1/members?organization={press.principal.hex()}",
        governance.ListMembersRequest(organization=organization),
        "members",
        lambda shown: len(shown) == 2,
    )
    return {
        "decided": decided,
        "members": leaf["members"],
        "ballots": ballots_leaf["ballots"],
        "is_closed": ballots_leaf["is_closed"],
        "press": await membership(authority, press.principal),
        "hana": await membership(press.principal, hana.principal),
        "ivo": await membership(press.principal, ivo.principal),
        "is_allowed": is_allowed,
        "name": named["display_name"],
        "listed": len(listed),
    }


def test_a_federation_is_founded_and_grows(federation: Any) -> None:
    told = tell(federation, LANE, onboard)
    assert told["decided"]["is_carried"] and told["decided"]["is_complete"]
    assert (told["decided"]["ballots"], told["decided"]["openings"]) == (4, 4)
    assert (told["members"], told["ballots"], told["is_closed"]) == (5, 4, True)
    assert [told[name] for name in ("press", "hana", "ivo")] == [("active", 2), ("active", 0), ("active", 1)]
    assert (told["is_allowed"], told["name"], told["listed"]) == (True, "Lantern Press", 2)
