"""Another protocol version: who may name it, when it comes in force, and what then is different."""

from __future__ import annotations

from dataclasses import replace as changed

import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_kit.errors import FailedPrecondition, InvalidArgument
from icn_machine.blocks.check_transactions import check_transactions
from icn_machine.parsing import parse_transaction
from icn_machine.records import PendingSeats, RecordTables, Validators, Zone
from icn_machine.refusals import InvariantBroken, Malformed
from icn_machine.validator_invariants import check_validators

from libs.machine.tests.institutions import (
    FEDERATION,
    countersign,
    decision,
    enact,
    found,
    set_zone_authority,
)
from libs.machine.tests.scene import Scene
from libs.machine.tests.seats import activate_protocol, change, next_hash, rekey, remove
from libs.machine.tests.zone import EPOCH_MS, FixedClock, anchor, make_zone

DIGEST = bytes([7]) * 32
EMPTY = b""


class Zoned(Scene):
    """Seven seats, at protocol version 1."""

    def __init__(self) -> None:
        super().__init__(make_zone(seats=7))
        self.authority = self.zone.authority
        self.decisions = 0

    @property
    def version(self) -> int:
        """Of the newest block."""
        return BlockHeader.FromString(self.ledger.state.newest.header).protocol_version

    @property
    def leaf(self) -> Validators:
        leaf = self.ledger.state.records[-1].validators[EMPTY]  # type: ignore[attr-defined]
        assert leaf is not None
        return leaf

    @property
    def zone_leaf(self) -> Zone:
        leaf = self.ledger.state.records[-1].zones[EMPTY]  # type: ignore[attr-defined]
        assert leaf is not None
        return leaf

    @property
    def following(self) -> ValidatorSet:
        return parse_validator_set(
            self.ledger.state.validator_sets[next_hash(self.ledger)]  # type: ignore[attr-defined]
        )

    async def pass_edge(self) -> None:
        """An edge block that names the newest state's next set, and the first block behind it."""
        await self.ledger.execute(after_ms=EPOCH_MS)
        await self.ledger.execute()

    async def activate(self) -> None:
        """Version 2, in force."""
        await self.applied(self.authority, activate_protocol(2))
        await self.pass_edge()

    def decided(self, *actions: pb.DecisionAction) -> pb.Message:
        self.decisions += 1
        body = decision(*actions, subject=self.decisions.to_bytes(32, "big"))
        members = self.zone.organizations
        return enact(body, [countersign(self.zone, body, one.principal, one.keys[0]) for one in members])


@pytest.fixture
async def zoned() -> Zoned:
    scene = Zoned()
    await scene.set_up()
    return scene


async def test_it_comes_in_force_with_the_first_block_behind_the_edge(zoned: Zoned) -> None:
    in_force = zoned.zone.genesis.validator_set_hash
    await zoned.applied(zoned.authority, activate_protocol(2))
    height = zoned.ledger.state.newest.height
    following = zoned.following
    assert (following.protocol_version, following.validators) == (
        2,
        parse_validator_set(zoned.zone.genesis.validator_set).validators,
    )
    assert zoned.leaf == Validators(in_force, 0, height, (PendingSeats(following.hash, height, 0),))
    assert zoned.zone_leaf.protocol_version == 2, "of the next epoch, as the hash beside it"
    assert zoned.zone_leaf.validator_set_hash == following.hash
    await zoned.ledger.execute(after_ms=EPOCH_MS)
    assert (zoned.version, zoned.leaf.set_hash) == (1, in_force), "the edge block is of the old epoch"
    edge = zoned.ledger.state.commits[-1].edge  # type: ignore[attr-defined]
    assert edge is not None and edge.next_validator_set == following.data
    await zoned.ledger.execute()
    assert (zoned.version, zoned.leaf.set_hash, zoned.leaf.pending) == (2, following.hash, ())


async def test_only_the_zone_s_authority_names_it(zoned: Zoned) -> None:
    assert await zoned.refused("NOT_ZONE_AUTHORITY", zoned.shop, activate_protocol(2)) == {}


async def test_the_members_of_an_authority_name_it_by_a_decision(zoned: Zoned) -> None:
    action = pb.DecisionAction(activate_protocol=pb.ActivateProtocol(protocol_version=2))
    await zoned.applied(zoned.shop, zoned.decided(found([one.principal for one in zoned.zone.organizations])))
    assert await zoned.refused("NOT_ZONE_AUTHORITY", zoned.shop, zoned.decided(action)) == {"action": 0}
    await zoned.applied(zoned.authority, set_zone_authority(FEDERATION))
    await zoned.applied(zoned.shop, zoned.decided(action))
    await zoned.pass_edge()
    assert zoned.version == 2
    assert await zoned.refused("PROTOCOL_NOT_NEXT", zoned.shop, zoned.decided(action)) == {
        "named": 2,
        "in_force": 2,
        "action": 0,
    }


@pytest.mark.parametrize("named", [3, 4, 2**32 - 1])
async def test_only_the_one_after_the_one_in_force_is_taken(zoned: Zoned, named: int) -> None:
    refused = await zoned.refused("PROTOCOL_NOT_NEXT", zoned.authority, activate_protocol(named))
    assert refused == {"named": named, "in_force": 1}
    await zoned.activate()
    refused = await zoned.refused("PROTOCOL_NOT_NEXT", zoned.authority, activate_protocol(2))
    assert refused == {"named": 2, "in_force": 2}


@pytest.mark.parametrize("named", [2, 3])
async def test_while_one_is_pending_none_is_named(zoned: Zoned, named: int) -> None:
    await zoned.applied(zoned.authority, activate_protocol(2))
    refused = await zoned.refused("PROTOCOL_PENDING", zoned.authority, activate_protocol(named))
    assert refused == {"named": named, "pending": 2}


async def test_what_no_release_knows_is_named_all_the_same(zoned: Zoned) -> None:
    """Else releases that know more would come to another state than those that know less."""
    await zoned.activate()
    await zoned.applied(zoned.authority, activate_protocol(3))
    assert zoned.following.protocol_version == 3


async def test_a_block_of_what_is_not_known_is_refused_with_the_sentence(zoned: Zoned) -> None:
    await zoned.activate()
    await zoned.applied(zoned.authority, activate_protocol(3))
    await zoned.ledger.execute(after_ms=EPOCH_MS)
    height = zoned.ledger.state.newest.height
    with pytest.raises(FailedPrecondition) as refusal:
        await zoned.ledger.execute()
    assert (refusal.value.reason, refusal.value.message) == (
        "PROTOCOL_VERSION_UNKNOWN",
        f"protocol version 3 is in force from height {height + 1} on; "
        "this release knows 1 and 2: upgrade icn",
    )
    assert (zoned.ledger.state.newest.height, zoned.ledger.halts) == (height, []), (
        "a newer one goes on from here"
    )


async def test_an_older_release_executes_up_to_the_edge(zoned: Zoned) -> None:
    zoned.ledger.executor.protocol_newest = 1
    await zoned.applied(zoned.authority, activate_protocol(2))
    await zoned.ledger.execute(after_ms=EPOCH_MS)
    with pytest.raises(FailedPrecondition, match="this release knows 1: upgrade icn"):
        await zoned.ledger.execute()
    zoned.ledger.executor.protocol_newest = 2
    await zoned.ledger.execute()
    assert zoned.version == 2


@pytest.mark.parametrize(("before", "wrong"), [(1, 2), (2, 1), (2, 3)])
async def test_a_block_of_another_version_than_its_validators_is_refused(
    zoned: Zoned, before: int, wrong: int
) -> None:
    if before == 2:
        await zoned.activate()
    with pytest.raises(InvalidArgument, match=f"the validators of its epoch decide by {before}"):
        await zoned.ledger.execute(protocol_version=wrong)


async def test_the_first_block_behind_the_edge_is_of_the_new_version_and_the_edge_of_the_old(
    zoned: Zoned,
) -> None:
    await zoned.applied(zoned.authority, activate_protocol(2))
    with pytest.raises(InvalidArgument, match="decide by 1"):
        await zoned.ledger.execute(after_ms=EPOCH_MS, protocol_version=2)
    await zoned.ledger.execute(after_ms=EPOCH_MS)
    with pytest.raises(InvalidArgument, match="decide by 2"):
        await zoned.ledger.execute(protocol_version=1)
    await zoned.ledger.execute()


async def test_seats_may_change_at_the_same_edge_in_either_order(zoned: Zoned) -> None:
    zone, seated = zoned.zone, [one.principal for one in zoned.zone.organizations]
    await zoned.applied(zone.authority, change(zone, remove(seated[6])))
    await zoned.applied(zone.authority, activate_protocol(2))
    await zoned.applied(zone.organizations[1], rekey(zone, seated[1], "new of 1", of=next_hash(zoned.ledger)))
    assert [step.seats for step in zoned.leaf.pending] == [1, 0, 1]
    await zoned.pass_edge()
    assert zoned.version == 2
    in_force = parse_validator_set(
        zoned.ledger.state.validator_sets[zoned.leaf.set_hash]  # type: ignore[attr-defined]
    )
    assert (in_force.seats, in_force.protocol_version) == (6, 2)


async def test_named_too_late_for_an_edge_it_waits_for_the_next(zoned: Zoned) -> None:
    named = zoned.ledger.state.newest
    await zoned.applied(zoned.authority, activate_protocol(2))
    await zoned.ledger.execute(after_ms=EPOCH_MS, named=named)
    await zoned.ledger.execute()
    assert (zoned.version, zoned.zone_leaf.protocol_version) == (1, 2)
    refused = await zoned.refused("PROTOCOL_PENDING", zoned.authority, activate_protocol(2))
    assert refused == {"named": 2, "pending": 2}
    await zoned.pass_edge()
    assert zoned.version == 2


async def test_a_refusal_for_what_is_there_tells_since_when_from_version_2_on(zoned: Zoned) -> None:
    await zoned.applied(zoned.shop, anchor(DIGEST))
    height = zoned.ledger.state.newest.height
    assert await zoned.refused("ANCHOR_EXISTS", zoned.ana, anchor(DIGEST)) == {}
    await zoned.activate()
    assert await zoned.refused("ANCHOR_EXISTS", zoned.ana, anchor(DIGEST)) == {"height": height}


@pytest.mark.parametrize("version", [0, 1])
def test_nobody_activates_the_first_version(version: int) -> None:
    zone = make_zone()
    data = zone.transaction(zone.authority, activate_protocol(version), time_ms=1)
    with pytest.raises(Malformed, match="the first to be activated is 2"):
        parse_transaction(data, zone.genesis.hash)


async def test_a_pool_takes_no_activation_of_what_its_release_does_not_know(zoned: Zoned) -> None:
    """A door of its own, and no rule of the chain: a block with it is judged like any other."""
    ledger, now_ms = zoned.ledger, zoned.now_ms
    action = pb.DecisionAction(activate_protocol=pb.ActivateProtocol(protocol_version=2))
    for messages in ([activate_protocol(2)], [zoned.decided(action)]):
        data = zoned.zone.transaction(zoned.authority, *messages, time_ms=now_ms)
        for newest, reason in ((1, "PROTOCOL_VERSION_UNKNOWN"), (2, "")):
            (check,) = await check_transactions(
                [data], zoned.zone.genesis, ledger.state, ledger.cache, FixedClock(now_ms), newest
            )
            assert check.reason == reason
            assert newest == 2 or check.message == (
                "it activates protocol version 2; this release knows 1: upgrade icn first"
            )


async def test_versions_that_go_back_or_skip_break_an_invariant(zoned: Zoned) -> None:
    await zoned.applied(zoned.authority, activate_protocol(2))
    state = zoned.ledger.state
    before, after = state.records[-2], state.records[-1]  # type: ignore[attr-defined]
    now = RecordTables()
    now.validators.update(after.validators)
    now.zones.update(after.zones)
    sets = {key: parse_validator_set(data) for key, data in state.validator_sets.items()}  # type: ignore[attr-defined]
    check_validators(before, now, now, sets)
    first, second = sets[zoned.leaf.set_hash], sets[zoned.leaf.next_hash]
    for wrong in (3, 5):
        broken = {**sets, second.hash: changed(second, protocol_version=wrong)}
        with pytest.raises(InvariantBroken, match=rf"protocol versions \[1, {wrong}\]"):
            check_validators(before, now, now, broken)
    with pytest.raises(InvariantBroken, match=r"\[3, 2\]"):
        check_validators(before, now, now, {**sets, first.hash: changed(first, protocol_version=3)})
