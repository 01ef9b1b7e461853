"""Equivocations of validators: recorded once per seat and epoch, and only what the seat has signed."""

from __future__ import annotations

import pytest
from icn_chain.evidence import parse
from icn_chain.grounds import Grounds
from icn_chain.malformed import EvidenceInvalid
from icn_chain.validator_set import parse_validator_set
from icn_crypto.suites import Suite
from icn_machine.events import EquivocationRecorded
from icn_machine.parsing import parse_transaction
from icn_machine.refusals import Malformed
from icn_sim import lies

from libs.machine.tests.equivocations import SEAT, evidence, invalid_proposal, notarize, record
from libs.machine.tests.scene import Scene
from libs.machine.tests.zone import EPOCH_MS, SUITES, TestKey, Zone, anchor


@pytest.fixture
async def scene(zone: Zone) -> Scene:
    return await Scene(zone).set_up()


async def test_anybody_records_what_a_seat_has_signed(scene: Scene) -> None:
    zone, used = scene.zone, scene.leaves_used()
    data = evidence(zone)
    await scene.applied(scene.ana, record(data))
    (leaf,) = scene.ledger.state.records[-1].equivocations.values()
    assert leaf is not None
    assert (leaf.epoch, leaf.seat, leaf.view, leaf.evidence) == (0, SEAT, 9, data)
    assert leaf.organization == zone.genesis.validators[SEAT].organization
    assert leaf.recorded_by == scene.ana.principal
    newest = scene.ledger.state.newest
    assert (leaf.height, leaf.block_time_ms) == (newest.height, newest.time_ms)
    assert scene.leaves_used() == used + 1
    events = scene.ledger.state.commits[-1].events
    assert [event for event in events if isinstance(event, EquivocationRecorded)] == [
        EquivocationRecorded(leaf)
    ]
    grounds = Grounds(zone.genesis, parse_validator_set(zone.genesis.validator_set))
    assert parse(leaf.evidence).check(grounds), "whoever has the leaf can check it"


async def test_a_leader_s_proposal_and_its_notarize_of_another_block_are_recorded(scene: Scene) -> None:
    zone = scene.zone
    key = TestKey(f"seat {SEAT}", SUITES).signing[Suite.ED25519]
    proposal = lies.propose_block(key, zone.genesis.hash, b"one".ljust(32, b"."), view=9, parent_view=8)
    data = evidence(zone, statements=(proposal, notarize(zone, "other")))
    await scene.applied(scene.ana, record(data))
    (leaf,) = scene.ledger.state.records[-1].equivocations.values()
    assert leaf is not None and leaf.evidence == data
    with pytest.raises(EvidenceInvalid, match="may say both"):
        evidence(zone, statements=(proposal, notarize(zone, "one")))


async def test_one_of_a_seat_and_epoch_is_enough(scene: Scene) -> None:
    zone = scene.zone
    await scene.applied(scene.ana, record(evidence(zone)))
    await scene.refused("EQUIVOCATION_RECORDED", scene.ben, record(evidence(zone, view=10)))
    await scene.applied(scene.ben, record(evidence(zone, claimed=3, seat=3)))
    await scene.applied(scene.ana, anchor(b"a" * 32), after_ms=EPOCH_MS)
    await scene.applied(scene.ana, record(evidence(zone, epoch=1, view=10)))
    assert len(scene.ledger.state.records[-1].equivocations) == 3


async def test_what_the_seat_has_not_signed_is_refused_and_leaves_no_trace(scene: Scene) -> None:
    zone = scene.zone
    for wrong in (evidence(zone, claimed=1), evidence(zone, claimed=3)):
        assert await scene.refused("EQUIVOCATION_UNPROVEN", scene.ana, record(wrong)) == {}
    assert await scene.refused("SEAT_UNKNOWN", scene.ana, record(evidence(zone, claimed=4))) == {
        "seat": 4,
        "seats": 4,
    }
    for epoch in (1, 2**62):
        assert await scene.refused("EPOCH_UNKNOWN", scene.ana, record(evidence(zone, epoch=epoch))) == {
            "epoch": epoch,
            "epoch_now": 0,
        }
    await scene.applied(scene.ana, record(evidence(zone)))


def test_what_is_no_contradiction_is_malformed_and_sixteen_signatures_are_charged(zone: Zone) -> None:
    member = zone.organizations[0]
    same = notarize(zone, "one")
    twice = evidence(zone)[:4] + 2 * (b"\x01" + (60).to_bytes(4, "big") + same.body + same.signature)
    too_far = [
        evidence(zone, **{name: number}) for name in ("epoch", "view") for number in (2**62 + 1, 2**63)
    ]
    for wrong in (b"", twice, evidence(zone) + b"\0", *too_far):
        with pytest.raises(Malformed, match="evidence: "):
            parse_transaction(zone.transaction(member, record(wrong)), zone.genesis.hash)
    right = parse_transaction(zone.transaction(member, record(evidence(zone))), zone.genesis.hash)
    assert (right.signatures_charged, right.leaves_made_max) == (17, 1)


async def test_an_invalid_proposal_is_recorded_like_a_contradiction_and_one_of_both_is_enough(
    scene: Scene,
) -> None:
    zone, data = scene.zone, invalid_proposal(scene.zone)
    await scene.applied(scene.ana, record(data))
    (leaf,) = scene.ledger.state.records[-1].equivocations.values()
    assert leaf is not None
    assert (leaf.epoch, leaf.seat, leaf.view, leaf.evidence) == (0, SEAT, 14, data)
    grounds = Grounds(zone.genesis, parse_validator_set(zone.genesis.validator_set))
    assert "executed_height 5 at height 5" in parse(leaf.evidence).check(grounds)
    await scene.refused("EQUIVOCATION_RECORDED", scene.ben, record(evidence(zone)))


async def test_a_proposal_that_an_honest_leader_may_make_or_that_another_made_is_no_evidence(
    scene: Scene,
) -> None:
    for data in (
        invalid_proposal(scene.zone, executed_height=4),
        invalid_proposal(scene.zone, seat=1),
        invalid_proposal(scene.zone, claimed=1),
    ):
        assert await scene.refused("EQUIVOCATION_UNPROVEN", scene.ana, record(data)) == {}
    figures = await scene.refused("SEAT_UNKNOWN", scene.ana, record(invalid_proposal(scene.zone, claimed=4)))
    assert figures == {"seat": 4, "seats": 4}
