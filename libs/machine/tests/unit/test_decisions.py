"""Decisions of an authority: founded by all, carried by a quorum, once, all or nothing."""

from __future__ import annotations

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_crypto import tags
from icn_crypto.suites import Suite
from icn_machine.events import AuthorityFounded, DecisionEnacted, FloorChanged, MembershipChanged
from icn_machine.records import Authority, AuthorityRules, Decision, MembershipStatus

from libs.machine.tests.institutions import (
    FEDERATION,
    POLL,
    POLL_MS_MIN,
    SUBJECT,
    Federation,
    admit,
    allowance_action,
    apply_for_membership,
    countersign,
    decision,
    decision_id,
    enact,
    end_membership,
    exclude,
    floor_action,
    found,
    open_poll,
    set_rules,
    set_zone_authority,
    steward,
    vouch_for_applicant,
)
from libs.machine.tests.scene import ANA
from libs.machine.tests.seats import change, ed25519, next_hash, replace
from libs.machine.tests.zone import (
    Member,
    TestKey,
    Zone,
    create_unit,
    identifier,
    open_account,
    open_controller,
    set_allowance,
    set_floor,
    update_controller,
)

COMMON, ACCOUNT = identifier("common unit"), identifier("account in it")
OTHER = identifier("another federation")
NOBODY = identifier("nobody")
PLENTY = {"bytes_per_epoch": 2**30, "signatures_per_epoch": 2**30, "state_leaves": 2**30}


def action_of(message: pb.Message) -> pb.DecisionAction:
    """What the message does, by decision."""
    return pb.DecisionAction(change_validators=message.change_validators)


@pytest.fixture
async def scene(zone: Zone) -> Federation:
    return await Federation(zone).set_up()


async def governed_unit(scene: Federation) -> None:
    """A unit whose floors the federation sets, with an account of Ana's."""
    message = pb.Message(create_unit=pb.CreateUnit(unit=COMMON, code="HOUR", scale=2, authority=FEDERATION))
    await scene.applied(scene.shop, message)
    await scene.applied(scene.ana, open_account(ACCOUNT, COMMON))


async def test_all_founding_members_found_an_authority(scene: Federation) -> None:
    records = scene.ledger.state.records[-1]
    assert scene.authority == Authority(FEDERATION, AuthorityRules(0, 0, POLL_MS_MIN), 4)
    for member in scene.members:
        membership = scene.membership(FEDERATION, member)
        assert membership.status is MembershipStatus.ACTIVE
        assert membership.applied_time_ms == membership.since_time_ms == scene.last_time_ms
        assert membership.payer == scene.shop.principal
    body = decision(found(scene.members))
    leaf = Decision(FEDERATION, b"", SUBJECT, tuple(scene.members), 4, scene.ledger.state.newest.height)
    assert records.decisions[decision_id(scene.zone, body)] == leaf
    events = scene.ledger.state.commits[-1].events
    assert [type(event) for event in events] == [
        AuthorityFounded,
        *[MembershipChanged] * 4,
        DecisionEnacted,
    ]
    assert events[-1] == DecisionEnacted(decision_id(scene.zone, body), leaf, body)


async def test_founding_occupies_what_validity_charged_for(scene: Federation) -> None:
    leaves = scene.leaves_used()
    message = scene.decided(found(scene.members), authority=OTHER, by=scene.founders)
    await scene.applied(scene.shop, message)
    assert scene.leaves_used() == leaves + 1 + 1 + 4


async def test_nobody_founds_with_a_founding_member_missing_or_a_stranger(scene: Federation) -> None:
    three = scene.founders[:3]
    message = scene.decided(found(scene.members), authority=OTHER, by=three)
    figures = await scene.refused("QUORUM_NOT_MET", scene.shop, message)
    assert list(figures.items()) == [("signed", 3), ("members", 4), ("needed", 4)]
    message = scene.decided(found(one.principal for one in three), authority=OTHER, by=scene.founders)
    stranger = scene.members.index(scene.founders[3].principal)
    assert await scene.refused("NOT_A_MEMBER", scene.shop, message) == {"countersignature": stranger}


async def test_an_authority_takes_no_id_that_is_used_and_members_have_controllers(scene: Federation) -> None:
    by = scene.founders
    body = found(scene.members)
    await scene.refused("AUTHORITY_EXISTS", scene.shop, scene.decided(body, by=by, subject=bytes(32)))
    for taken in (scene.ana.principal, scene.shop.principal):
        await scene.refused("PRINCIPAL_EXISTS", scene.shop, scene.decided(body, authority=taken, by=by))
    message = scene.decided(found([*scene.members, NOBODY]), authority=OTHER, by=by)
    await scene.refused("CONTROLLER_UNKNOWN", scene.shop, message)
    message = scene.decided(found([*scene.members, FEDERATION]), authority=OTHER, by=by)
    await scene.refused("CONTROLLER_UNKNOWN", scene.shop, message)


async def test_no_controller_takes_the_id_of_an_authority(scene: Federation) -> None:
    impostor = Member(FEDERATION, [TestKey("impostor")], scene.shop.principal)
    await scene.refused("PRINCIPAL_EXISTS", scene.shop, open_controller(impostor))


@pytest.mark.parametrize(("signers", "is_enough"), [(1, False), (2, False), (3, True), (4, True)])
async def test_more_than_two_thirds_carry_a_decision(
    scene: Federation, signers: int, is_enough: bool
) -> None:
    message = scene.decided(by=scene.founders[:signers])
    if is_enough:
        await scene.applied(scene.shop, message)
    else:
        figures = await scene.refused("QUORUM_NOT_MET", scene.shop, message)
        assert figures == {"signed": signers, "members": 4, "needed": 3}


@pytest.mark.parametrize("members", range(1, 65))
def test_the_quorum_is_the_least_number_above_two_thirds(members: int) -> None:
    quorum = Authority(FEDERATION, AuthorityRules(0, 0), members).quorum
    assert 3 * quorum > 2 * members >= 3 * (quorum - 1)
    for threshold in (1, 5, 64):
        rules = AuthorityRules(threshold, 0)
        assert Authority(FEDERATION, rules, members).quorum == max(quorum, min(threshold, members))


async def test_two_of_three_are_not_more_than_two_thirds(scene: Federation) -> None:
    leaving = scene.founders[3]
    await scene.applied(leaving, end_membership(FEDERATION, leaving.principal))
    figures = await scene.refused("QUORUM_NOT_MET", scene.shop, scene.decided(by=scene.founders[:2]))
    assert figures == {"signed": 2, "members": 3, "needed": 3}
    await scene.applied(scene.shop, scene.decided(by=scene.founders[:3]))


async def test_a_threshold_of_the_rules_only_raises_what_is_needed(scene: Federation) -> None:
    """One member that sets a threshold of 1 could else end everybody's membership."""
    await scene.applied(scene.shop, scene.decided(set_rules(1, 1)))
    assert scene.authority.rules == AuthorityRules(1, 1, POLL_MS_MIN)
    for signers in (1, 2):
        message = scene.decided(by=scene.founders[:signers], subject=bytes(32))
        figures = await scene.refused("QUORUM_NOT_MET", scene.shop, message)
        assert figures == {"signed": signers, "members": 4, "needed": 3}
    await scene.applied(scene.shop, scene.decided(set_rules(4), by=scene.founders[:3]))
    figures = await scene.refused("QUORUM_NOT_MET", scene.shop, scene.decided(subject=bytes(32)))
    assert figures == {"signed": 3, "members": 4, "needed": 4}
    await scene.applied(scene.shop, scene.decided(set_rules(5), by=scene.founders))
    figures = await scene.refused("QUORUM_NOT_MET", scene.shop, scene.decided(subject=bytes(32)))
    assert figures["needed"] == 4, "all members where they are fewer"
    await scene.applied(scene.shop, scene.decided(subject=bytes(32), by=scene.founders))


async def test_only_active_members_countersign(scene: Federation) -> None:
    leaving = scene.founders[3]
    message = scene.decided(by=scene.founders)
    await scene.applied(leaving, end_membership(FEDERATION, leaving.principal))
    position = scene.members.index(leaving.principal)
    assert await scene.refused("NOT_A_MEMBER", scene.shop, message) == {"countersignature": position}
    await scene.applied(leaving, apply_for_membership(FEDERATION))
    assert await scene.refused("NOT_A_MEMBER", scene.shop, message) == {"countersignature": position}


async def test_an_authority_that_is_not_there_decides_nothing(scene: Federation) -> None:
    for authority in (OTHER, scene.shop.principal):
        await scene.refused("AUTHORITY_UNKNOWN", scene.shop, scene.decided(authority=authority))


async def test_a_decision_takes_effect_once_whoever_brings_it(scene: Federation) -> None:
    message = scene.decided()
    other_signers = scene.decided(by=scene.founders)
    await scene.applied(scene.ana, message)
    await scene.refused("DECISION_EXISTS", scene.shop, message)
    await scene.refused("DECISION_EXISTS", scene.ben, other_signers)


async def test_a_decision_that_was_refused_may_be_brought_again(scene: Federation) -> None:
    """What was missing may have come meanwhile; its id is used up only when it takes effect."""
    message = scene.decided(admit(scene.ana.principal))
    figures = await scene.refused("MEMBERSHIP_UNKNOWN", scene.shop, message)
    assert figures == {"action": 0}
    await scene.applied(scene.ana, apply_for_membership(FEDERATION))
    await scene.applied(scene.shop, message)


async def test_two_decisions_under_way_do_not_invalidate_each_other(scene: Federation) -> None:
    one, two = scene.decided(set_rules(2)), scene.decided(set_rules(3))
    await scene.applied(scene.shop, two)
    await scene.applied(scene.shop, one)
    assert scene.authority.rules == AuthorityRules(2, 0, POLL_MS_MIN)


async def test_a_decision_expires_after_its_last_block_time(scene: Federation) -> None:
    last = scene.now_ms + 5_000
    message = scene.decided(expire_time_ms=last)
    other = scene.decided(expire_time_ms=last, subject=bytes(32))
    await scene.applied(scene.shop, message, after_ms=last - scene.last_time_ms)
    assert scene.last_time_ms == last
    figures = await scene.refused("DECISION_EXPIRED", scene.shop, other, after_ms=1)
    assert list(figures.items()) == [("expire_time_ms", last), ("block_time_ms", last + 1)]


# Countersignatures: which key, and what it is over.


def with_signature(scene: Federation, position: int, changed: pb.Countersignature, body: bytes) -> pb.Message:
    """A decision by the first three members in order, with one countersignature in the place of its own."""
    by = sorted(scene.founders, key=lambda one: one.principal)[:3]
    signed = [countersign(scene.zone, body, one.principal, steward(one)) for one in by]
    changed.signer = by[position].principal
    signed[position] = changed
    return enact(body, signed)


def second(scene: Federation) -> Member:
    return sorted(scene.founders, key=lambda one: one.principal)[1]


async def test_a_signature_over_anything_else_does_not_verify(scene: Federation) -> None:
    body, who = decision(), second(scene)
    key, principal = steward(who), second(scene).principal
    for changed in (
        countersign(scene.zone, decision(subject=bytes(32)), principal, key),
        countersign(scene.zone, body, principal, key, tag=tags.TRANSACTION),
        pb.Countersignature(key_id=key.key_id, suite=1, signature=bytes(64)),
    ):
        message = with_signature(scene, 1, changed, body)
        assert await scene.refused("SIGNATURE_INVALID", scene.shop, message) == {"countersignature": 1}


async def test_a_key_that_the_controller_has_not_is_refused(scene: Federation) -> None:
    body, who = decision(), second(scene)
    for key in (TestKey("somebody's"), steward(scene.zone.member("x", scene.shop))):
        message = with_signature(scene, 1, countersign(scene.zone, body, who.principal, key), body)
        assert await scene.refused("KEY_UNKNOWN", scene.shop, message) == {"countersignature": 1}
    # The steward's key has no ML-DSA public key.
    signed = countersign(scene.zone, body, who.principal, who.keys[0], Suite.ML_DSA_65)
    signed.key_id = steward(who).key_id
    message = with_signature(scene, 1, signed, body)
    assert await scene.refused("KEY_UNKNOWN", scene.shop, message) == {"countersignature": 1}


@pytest.mark.parametrize("suite", [Suite.ED25519, Suite.ML_DSA_65])
async def test_an_unscoped_key_countersigns_where_it_is_enough_alone(scene: Federation, suite: Suite) -> None:
    body, who = decision(), second(scene)
    message = with_signature(scene, 1, countersign(scene.zone, body, who.principal, who.keys[0], suite), body)
    other = TestKey("second officer")
    scope = pb.KeyScope(message_kinds=[16])
    await scene.applied(who, update_controller(2, who.keys[0], other, (steward(who), scope)))
    assert await scene.refused("KEY_SCOPE_EXCEEDED", scene.shop, message) == {"countersignature": 1}
    who.keys.append(other)
    await scene.applied(who, update_controller(1, who.keys[0], other))
    await scene.applied(scene.shop, message)


async def test_a_scoped_key_countersigns_only_where_its_scope_says_so_and_until_it_ends(
    scene: Federation,
) -> None:
    who = second(scene)
    last = scene.now_ms + 10_000
    one, two = decision(), decision(subject=bytes(32))
    messages = [
        with_signature(scene, 1, countersign(scene.zone, body, who.principal, steward(who)), body)
        for body in (one, two)
    ]
    await scene.register_steward(who, kinds=(6, 10))
    assert await scene.refused("KEY_SCOPE_EXCEEDED", scene.shop, messages[0]) == {"countersignature": 1}
    await scene.register_steward(who, kinds=(6, 16), expire_time_ms=last)
    await scene.applied(scene.shop, messages[0], after_ms=last - scene.last_time_ms)
    assert scene.last_time_ms == last
    figures = await scene.refused("KEY_SCOPE_EXCEEDED", scene.shop, messages[1], after_ms=1)
    assert figures == {"countersignature": 1}


async def test_a_stewards_key_may_sign_the_transaction_that_carries_the_decision(scene: Federation) -> None:
    who = scene.founders[1]
    await scene.applied(who, scene.decided(), keys=[steward(who)])
    data = scene.zone.transaction(who, set_floor(ANA, 0), time_ms=scene.now_ms, keys=[steward(who)])
    await scene.ledger.execute(data)
    records = scene.ledger.state.records[-1]
    assert records.accounts[ANA].floor_minor == -100


async def test_a_key_replaced_meanwhile_does_not_countersign(scene: Federation) -> None:
    message = scene.decided(by=scene.founders)
    who = scene.founders[2]
    await scene.applied(who, update_controller(1, who.keys[0]))
    position = scene.members.index(who.principal)
    assert await scene.refused("KEY_UNKNOWN", scene.shop, message) == {"countersignature": position}


# Actions.


async def test_applicants_are_admitted_when_enough_members_vouch(scene: Federation) -> None:
    ana = scene.ana.principal
    await scene.applied(scene.shop, scene.decided(set_rules(0, 2)))
    await scene.applied(scene.ana, apply_for_membership(FEDERATION))
    message = scene.decided(admit(ana))
    figures = await scene.refused("VOUCHES_NOT_MET", scene.shop, message)
    assert list(figures.items()) == [("vouches", 0), ("vouches_min", 2), ("action", 0)]
    await scene.applied(scene.founders[1], vouch_for_applicant(FEDERATION, ana))
    assert (await scene.refused("VOUCHES_NOT_MET", scene.shop, message))["vouches"] == 1
    await scene.applied(scene.founders[2], vouch_for_applicant(FEDERATION, ana))
    await scene.applied(scene.shop, message)
    assert scene.authority.members == 5
    assert scene.membership(FEDERATION, ana).since_time_ms == scene.last_time_ms
    again = scene.decided(admit(ana), subject=bytes(32), by=scene.founders)
    assert await scene.refused("MEMBERSHIP_NOT_APPLIED", scene.shop, again) == {"status": 2, "action": 0}


async def test_an_authority_has_at_most_sixty_four_members(scene: Federation) -> None:
    crowd = [scene.zone.member(f"co-op {number}", scene.shop) for number in range(4, 65)]
    for start in range(0, len(crowd), 16):
        await scene.applied(scene.shop, *[open_controller(one) for one in crowd[start : start + 16]])
    for one in crowd:
        await scene.applied(one, apply_for_membership(FEDERATION))
    signers: list[Member] = list(scene.founders)
    for start in range(0, 60, 15):
        admitted = crowd[start : start + 15]
        actions = [admit(one.principal) for one in admitted]
        await scene.applied(scene.shop, scene.decided(*actions, by=signers))
        for one in admitted:
            await scene.register_steward(one)
        signers += admitted
    assert scene.authority.members == 64
    message = scene.decided(admit(crowd[60].principal), by=signers)
    figures = await scene.refused("MEMBERS_FULL", scene.shop, message)
    assert list(figures.items()) == [("members", 64), ("members_max", 64), ("action", 0)]
    swap = scene.decided(exclude(crowd[0].principal), admit(crowd[60].principal), by=signers)
    await scene.applied(scene.shop, swap)
    assert scene.authority.members == 64


async def test_a_member_is_excluded_by_a_decision_that_it_need_not_sign(scene: Federation) -> None:
    out = scene.founders[3].principal
    await scene.applied(scene.shop, scene.decided(exclude(out)))
    assert scene.authority.members == 3
    assert scene.membership(FEDERATION, out).status is MembershipStatus.ENDED
    again = scene.decided(exclude(out), subject=bytes(32))
    assert await scene.refused("MEMBERSHIP_ENDED", scene.shop, again) == {"action": 0}
    await scene.refused("MEMBERSHIP_UNKNOWN", scene.shop, scene.decided(exclude(NOBODY)))


async def test_floors_of_a_unit_that_the_authority_governs_are_set_by_decision_only(
    scene: Federation,
) -> None:
    await governed_unit(scene)
    await scene.refused("NOT_UNIT_AUTHORITY", scene.shop, set_floor(ACCOUNT, -500))
    await scene.applied(scene.ben, scene.decided(floor_action(ACCOUNT, -500)))
    assert scene.account(ACCOUNT).floor_minor == -500
    changed = scene.ledger.state.commits[-1].events[0]
    assert isinstance(changed, FloorChanged)
    assert (changed.account, changed.previous_floor_minor, changed.floor_minor) == (ACCOUNT, 0, -500)
    assert (changed.set_by, changed.payer) == (FEDERATION, scene.shop.principal)
    refused = scene.decided(floor_action(ANA, -500))
    assert await scene.refused("NOT_UNIT_AUTHORITY", scene.shop, refused) == {"action": 0}
    refused = scene.decided(floor_action(NOBODY, -500))
    assert await scene.refused("ACCOUNT_UNKNOWN", scene.shop, refused) == {"action": 0}


async def test_a_unit_is_governed_by_a_principal_or_an_authority_that_is_there(scene: Federation) -> None:
    def unit(authority: bytes) -> pb.Message:
        return pb.Message(create_unit=pb.CreateUnit(unit=COMMON, code="HOUR", scale=2, authority=authority))

    await scene.refused("AUTHORITY_UNKNOWN", scene.shop, unit(NOBODY))
    await scene.refused("UNIT_EXISTS", scene.shop, create_unit(COMMON), unit(NOBODY))
    await scene.applied(scene.shop, unit(scene.ben.principal))
    await scene.applied(scene.ana, open_account(ACCOUNT, COMMON))
    await scene.refused("NOT_UNIT_AUTHORITY", scene.shop, set_floor(ACCOUNT, -1))
    await scene.applied(scene.ben, set_floor(ACCOUNT, -1))


async def test_allowances_are_set_by_decision_once_the_zone_is_handed_over(scene: Federation) -> None:
    ana = scene.ana.principal
    authority = scene.zone.authority
    message = scene.decided(allowance_action(ana, **PLENTY))
    assert await scene.refused("NOT_ZONE_AUTHORITY", scene.shop, message) == {"action": 0}
    await scene.refused("NOT_ZONE_AUTHORITY", scene.shop, set_zone_authority(FEDERATION))
    await scene.refused("AUTHORITY_UNKNOWN", authority, set_zone_authority(NOBODY))
    await scene.applied(authority, set_zone_authority(FEDERATION))
    await scene.refused("NOT_ZONE_AUTHORITY", authority, set_allowance(ana, **PLENTY))
    await scene.refused("NOT_ZONE_AUTHORITY", authority, set_zone_authority(authority.principal))
    leaves = scene.leaves_used()
    await scene.applied(scene.shop, message)
    allowance = scene.ledger.state.records[-1].allowances[ana]
    assert allowance is not None and allowance.limits.bytes_per_epoch == 2**30
    assert scene.leaves_used() == leaves + 2, "the decision and the allowance"
    refused = scene.decided(allowance_action(NOBODY, **PLENTY))
    assert await scene.refused("CONTROLLER_UNKNOWN", scene.shop, refused) == {"action": 0}


async def test_validators_are_changed_by_decision_once_the_zone_is_handed_over(scene: Federation) -> None:
    """Three of four seats cannot change at once; of two in one decision the second is one too many."""
    zone, seated = scene.zone, [one.principal for one in scene.zone.organizations]
    one = replace(zone, seated[0], seated[0], "new key")
    message = scene.decided(action_of(change(zone, one)))
    assert await scene.refused("NOT_ZONE_AUTHORITY", scene.shop, message) == {"action": 0}
    await scene.applied(zone.authority, set_zone_authority(FEDERATION))
    await scene.refused("NOT_ZONE_AUTHORITY", zone.authority, change(zone, one))
    two = action_of(change(zone, one, replace(zone, seated[1], seated[1], "another")))
    refused = await scene.refused("SEATS_CHANGED_TOO_MANY", scene.shop, scene.decided(two))
    assert refused == {"seats_changed": 2, "seats_changed_max": 1, "action": 0}
    assert next_hash(scene.ledger) == zone.genesis.validator_set_hash
    leaves = scene.leaves_used()
    await scene.applied(scene.shop, message)
    assert next_hash(scene.ledger) != zone.genesis.validator_set_hash
    assert scene.leaves_used() == leaves + 2, "the decision and the key that is named"
    key = scene.ledger.state.records[-1].consensus_keys[ed25519("new key")]
    assert key is not None and key.organization == seated[0]
    refused = await scene.refused("SET_CHANGED", scene.shop, scene.decided(two))
    assert refused["action"] == 0


async def test_the_zone_may_be_handed_to_a_principal_and_back(scene: Federation) -> None:
    authority = scene.zone.authority
    await scene.applied(authority, set_zone_authority(scene.shop.principal))
    await scene.applied(scene.shop, set_allowance(scene.ana.principal, **PLENTY))
    await scene.applied(scene.shop, set_zone_authority(authority.principal))
    await scene.refused("NOT_ZONE_AUTHORITY", scene.shop, set_allowance(scene.ana.principal, **PLENTY))


async def test_actions_take_effect_in_order_all_or_nothing(scene: Federation) -> None:
    await governed_unit(scene)
    ana = scene.ana.principal
    await scene.applied(scene.ana, apply_for_membership(FEDERATION))
    message = scene.decided(floor_action(ACCOUNT, -7), admit(ana), set_rules(1), exclude(NOBODY))
    assert await scene.refused("MEMBERSHIP_UNKNOWN", scene.shop, message) == {"action": 3}
    assert (scene.account(ACCOUNT).floor_minor, scene.authority.members) == (0, 4)
    message = scene.decided(admit(ana), exclude(ana), floor_action(ACCOUNT, -7))
    await scene.applied(scene.shop, message)
    assert (scene.account(ACCOUNT).floor_minor, scene.authority.members) == (-7, 4)


async def test_a_decision_is_taken_back_with_its_transaction(scene: Federation) -> None:
    message = scene.decided(set_rules(1))
    await scene.refused("NOT_UNIT_AUTHORITY", scene.ana, message, set_floor(ANA, 0))
    assert scene.authority.rules == AuthorityRules(0, 0, POLL_MS_MIN)
    await scene.applied(scene.ana, message)


# Polls.


async def test_a_decision_records_the_result_of_its_closed_poll_once(scene: Federation) -> None:
    close = scene.now_ms + 5_000
    await scene.applied(scene.shop, open_poll(POLL, FEDERATION, close))
    message = scene.decided(set_rules(3), poll=POLL)
    figures = await scene.refused("POLL_OPEN", scene.shop, message, after_ms=close - scene.last_time_ms - 1)
    assert list(figures.items()) == [("close_time_ms", close), ("block_time_ms", close - 1)]
    assert not scene.poll().is_closed
    await scene.applied(scene.shop, message, after_ms=1)
    assert scene.poll().is_closed
    body = decision(set_rules(3), poll=POLL)
    assert (scene.poll().result, scene.poll().decision) == (SUBJECT, decision_id(scene.zone, body))
    other = scene.decided(poll=POLL, subject=bytes(32))
    await scene.refused("POLL_DECIDED", scene.shop, other)


async def test_a_decision_carries_out_polls_of_its_authority_only(scene: Federation) -> None:
    shop = scene.shop.principal
    await scene.refused("POLL_UNKNOWN", scene.shop, scene.decided(poll=POLL))
    await scene.applied(scene.shop, open_poll(POLL, shop, scene.now_ms + 60_000))
    await scene.refused("POLL_OF_ANOTHER", scene.shop, scene.decided(poll=POLL))


async def test_a_bad_countersignature_is_found_after_everything_cheaper(scene: Federation) -> None:
    """Nobody pays for verification where a look at numbers is enough."""
    body = decision(poll=POLL)
    by = sorted(scene.founders, key=lambda one: one.principal)[:3]
    signed = [countersign(scene.zone, body, one.principal, steward(one)) for one in by]
    signed[0].signature = bytes(64)
    await scene.refused("POLL_UNKNOWN", scene.shop, enact(body, signed))
    signed[2].key_id = bytes(16)
    await scene.applied(scene.shop, open_poll(POLL, FEDERATION, scene.now_ms + 1))
    await scene.ledger.execute(after_ms=1)
    figures = await scene.refused("KEY_UNKNOWN", scene.shop, enact(body, signed))
    assert figures == {"countersignature": 2}


async def test_founding_in_the_block_that_opens_its_members(scene: Federation) -> None:
    zone, now_ms = scene.zone, scene.now_ms
    new = [zone.member(f"new co-op {number}", scene.shop) for number in range(2)]
    body = decision(found([one.principal for one in new]), authority=OTHER)
    signed = [countersign(zone, body, one.principal, one.keys[0]) for one in new]
    await scene.ledger.execute(
        zone.transaction(scene.shop, *[open_controller(one) for one in new], time_ms=now_ms),
        zone.transaction(scene.shop, enact(body, signed), time_ms=now_ms),
        zone.transaction(new[0], open_poll(POLL, OTHER, now_ms + 1_000), time_ms=now_ms),
    )
    records = scene.ledger.state.records[-1]
    assert records.authorities[OTHER] == Authority(OTHER, AuthorityRules(0, 0, POLL_MS_MIN), 2)
    assert records.polls[POLL] is not None
