"""A federation is founded by four, and grows: co-ops join by vote, people by vouch."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final

from icn.ledger.v1.state_pb2 import MEMBERSHIP_STATUS_ACTIVE
from icn.ledger.v1.transaction_pb2 import AllowanceLimits, AuthorityRules, DecisionAction, SetAllowance
from icn_crypto.suites import Suite
from icn_tally.polls.documents import DecisionText

from icn_client import decisions, institutions, transactions
from icn_client.acting import Actor, TransactionRefused, actor_of, now_ms, zone_authority
from icn_client.governance import plain_draft
from icn_client.keystore import Identity
from icn_client.platforms import founder_slug
from icn_client.stewarding import enact
from icn_client.story import polls
from icn_client.story.stage import CODE, FLOOR_MINOR, SCALE, Coop, Member, Stage, hours
from icn_client.story.stewards import Stewards
from icn_client.transactions import KeyPair, new_identifier

NAME: Final = "Valley Federation"
JOINING: Final = ("Lantern Press", "Commons Clinic", "Tidewater Fishery")
"""Cooperatives that the founders vote in. Two of three officers sign for each."""
OFFICERS, OFFICERS_NEEDED = 3, 2
VOUCHES_MIN: Final = 2
PEOPLE: Final = {
    "Sunrise Bakery": ("Anna", "Carla"),
    "Riverside Housing": ("Dina", "Emre"),
    "Harvest Farm": ("Bruno", "Fay"),
    "Wheelwright Workshop": ("Goran",),
    "Lantern Press": ("Hana", "Ivo"),
    "Commons Clinic": ("Jun", "Kofi"),
    "Tidewater Fishery": ("Lena",),
}
"""Who belongs where: twelve people."""
RULES: Final = AuthorityRules(vouches_min=VOUCHES_MIN, poll_ms_min=1_000)
"""Of the federation. A second is enough for people who are programs; where nothing is said it is 72 hours."""
DECISION_MS: Final = 3_600_000
ALLOWANCE: Final = AllowanceLimits(
    bytes_per_epoch=2**30, signatures_per_epoch=10**6, state_leaves=10**5, fuel_per_epoch=2**40
)


async def found(stage: Stage) -> None:
    """Four co-ops countersign one decision, and govern unit and zone from then on."""
    for seat in stage.network.genesis.validators:
        identity = stage.founders[founder_slug(seat.name)]
        stage.coops[seat.name] = Coop(seat.name, identity, await actor_of(stage.connection, identity))
    founders = list(stage.coops.values())
    genesis_hash = stage.network.genesis.hash
    text = DecisionText(stage.federation, f"Founding of the {NAME}", "Four cooperatives federate.")
    members = [coop.actor.principal for coop in founders]
    body = decisions.founding_decision(genesis_hash, text, members, now_ms() + DECISION_MS, RULES)
    signed = [
        decisions.countersign(genesis_hash, body, coop.actor.principal, coop.identity.keys[0])
        for coop in founders
    ]
    try:
        await stage.act(founders[0].actor, decisions.enact_decision(body, signed[:-1]))
    except TransactionRefused as refusal:
        stage.check(True, f"three countersignatures found nothing: {refusal}")
    else:
        stage.check(False, "three countersignatures found nothing")
    height = await enact(stage.submitter, founders[0].actor, body, signed)
    authority = await institutions.authority(stage.connection, stage.federation)
    stage.check(
        (authority.members, authority.rules) == (len(founders), RULES),
        f"all four found it, block {height}: more than two thirds decide, {VOUCHES_MIN} vouch for who joins",
    )
    zone = await zone_authority(stage.connection, list(stage.founders.values()))
    await stage.act(zone, transactions.set_zone_authority(stage.federation))
    unit = transactions.create_unit(stage.unit, CODE, SCALE, FLOOR_MINOR, authority=stage.federation)
    await stage.act(founders[0].actor, unit)
    stage.show(f"it governs the zone and the unit {CODE}; nobody may owe more than {hours(-FLOOR_MINOR)}")
    await stage.governance.register(founders[0].identity, stage.federation, NAME, "federation")
    await asyncio.gather(*(_register(stage, coop) for coop in founders))
    stage.stewards = Stewards()
    for coop in founders:
        await stage.stewards.register(stage, coop)
        stage.stewards.start(stage, coop)
    stage.check(
        len(stage.stewards.names) == len(founders),
        "each runs its steward: a program of its own with a key of its own, outside the platform",
    )


async def join_by_vote(stage: Stage) -> None:
    """Three co-ops apply, are vouched for, voted on, and admitted by a decision."""
    founders = list(stage.coops.values())
    joining = [await _new_coop(stage, name, founders[position]) for position, name in enumerate(JOINING)]
    await asyncio.gather(
        *(stage.act(coop.actor, transactions.apply_for_membership(stage.federation)) for coop in joining)
    )
    for voucher in founders[:VOUCHES_MIN]:
        vouches = [
            transactions.vouch_for_applicant(stage.federation, coop.actor.principal) for coop in joining
        ]
        await stage.act(voucher.actor, *vouches)
    stage.show(f"{', '.join(JOINING)} apply; {founders[0].name} and {founders[1].name} vouch for them")
    actions = [decisions.admit(coop.actor.principal) for coop in joining]
    actions += [
        DecisionAction(set_allowance=SetAllowance(organization=coop.actor.principal, limits=ALLOWANCE))
        for coop in joining
    ]
    draft = plain_draft(
        stage.federation,
        "Three cooperatives join",
        f"Shall {', '.join(JOINING)} become members?",
        len(founders),
        actions=actions,
    )
    answers = (polls.YES, polls.YES, polls.YES, polls.NO)
    ballots = [(coop, answer, b"") for coop, answer in zip(founders, answers, strict=True)]
    proposal = await polls.ask(stage, draft, founders[0], ballots)
    shown = await polls.enacted(stage, proposal)
    decision = await institutions.decision(stage.connection, bytes.fromhex(shown.decision.rpartition("/")[2]))
    authority = await institutions.authority(stage.connection, stage.federation)
    stage.check(
        len(decision.signers) * 3 > decision.members * 2,
        f"3 yes, 1 no, recounted by the stewards: {len(decision.signers)} of {decision.members} countersign, "
        f"enacted in block {decision.height}",
    )
    stage.check(
        authority.members == len(founders) + len(joining), f"the federation has {authority.members} members"
    )
    assert stage.stewards is not None, "the founders' stewards run"
    for coop in joining:
        stage.coops[coop.name] = coop
        coop.actor.payer = coop.actor.principal
        await _register(stage, coop)
        await stage.stewards.register(stage, coop)
        stage.stewards.start(stage, coop)


async def join_by_vouch(stage: Stage) -> None:
    """Twelve people join: the first of each co-op is admitted by its officers, the others are vouched for."""
    await asyncio.gather(*(_people_join(stage, stage.coops[coop], names) for coop, names in PEOPLE.items()))
    count = 0
    for member in stage.members.values():
        leaf = await institutions.membership(
            stage.connection, stage.coops[member.coop].actor.principal, member.actor.principal
        )
        count += leaf.status == MEMBERSHIP_STATUS_ACTIVE
    stage.check(
        count == len(stage.members) == sum(map(len, PEOPLE.values())),
        f"{count} people are members of seven co-ops",
    )
    for name in ("Anna", "Bruno", "Carla"):
        leaf = await stage.balance(name)
        stage.check(
            (leaf.balance_minor, leaf.floor_minor, leaf.unit) == (0, FLOOR_MINOR, stage.unit),
            f"{name} of {stage.members[name].coop}: balance {hours(0)}, floor {hours(leaf.floor_minor)}",
        )


async def _people_join(stage: Stage, coop: Coop, names: tuple[str, ...]) -> None:
    people = [_person(stage, coop, name) for name in names]
    await stage.act(
        coop.actor,
        *(
            transactions.open_controller(
                person.actor.principal,
                1,
                [transactions.controller_key(person.identity.keys[0].public_keys)],
                transactions.recovery_policy(coop.actor.principal, RECOVERY_DELAY_MS),
            )
            for person in people
        ),
    )
    for person in people:
        await stage.act(
            person.actor,
            transactions.apply_for_membership(coop.actor.principal),
            transactions.open_account(person.account, stage.unit),
        )
    for first, other in pairwise(people):
        await stage.act(coop.actor, transactions.admit_member(first.actor.principal))
        await stage.act(
            first.actor, transactions.vouch_for_applicant(coop.actor.principal, other.actor.principal)
        )
    await stage.act(coop.actor, transactions.admit_member(people[-1].actor.principal))
    stage.members.update({person.name: person for person in people})


RECOVERY_DELAY_MS: Final = 3_000
"""Days in life; long enough here to show a veto."""


def _person(stage: Stage, coop: Coop, name: str) -> Member:
    identity = Identity.generate(name.lower())
    actor = Actor(stage.network.genesis.hash, identity.principal, coop.actor.principal, identity.keys)
    return Member(name, identity, actor, new_identifier(), coop.name)


async def _new_coop(stage: Stage, name: str, sponsor: Coop) -> Coop:
    """A co-op whose officers hold three keys, of which two must sign."""
    officers = sorted(
        (KeyPair.generate((Suite.ED25519, Suite.ML_DSA_65)) for _ in range(OFFICERS)),
        key=lambda key: key.key_id,
    )
    identity = Identity(founder_slug(name), new_identifier(), OFFICERS_NEEDED, tuple(officers))
    keys = [transactions.controller_key(key.public_keys) for key in officers]
    await stage.act(sponsor.actor, transactions.open_controller(identity.principal, OFFICERS_NEEDED, keys))
    actor = Actor(
        stage.network.genesis.hash, identity.principal, sponsor.actor.principal, officers[:OFFICERS_NEEDED]
    )
    return Coop(name, identity, actor)


async def _register(stage: Stage, coop: Coop) -> None:
    await stage.governance.register(coop.identity, coop.actor.principal, coop.name, "cooperative")
