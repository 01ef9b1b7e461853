"""Recovery: a guardian replaces lost keys after a delay, unless the principal objects."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import Receipt, RecoveryLeaf
from icn_machine.events import (
    ControllerChanged,
    RecoveryCancelled,
    RecoveryCompleted,
    RecoveryStarted,
)
from icn_machine.leaves import decode_leaf, encode_leaf
from icn_machine.limits import RECOVERY_LAPSE_MS
from icn_machine.records import Controller, Namespace, Recovery, RecoveryPolicy

from libs.machine.tests.scene import ANA, BEN, Scene
from libs.machine.tests.zone import (
    Member,
    TestKey,
    Zone,
    cancel_recovery,
    complete_recovery,
    guarded_by,
    identifier,
    make_zone,
    open_controller,
    set_allowance,
    set_floor,
    set_recovery,
    start_recovery,
    transfer,
    update_controller,
)

DELAY_MS = 60_000
DELAY_MS_MIN = 1_000
"""Of the zone."""
NEW = TestKey("new key of ana")
LOST = identifier("ana")
"""Principal of the member who loses her keys."""


class Guarded(Scene):
    """Ana's guardian is her sponsor, the shop."""

    async def set_up(self) -> Guarded:
        await super().set_up()
        await self.applied(self.ana, set_recovery(guarded_by(self.shop, DELAY_MS)))
        return self

    @property
    def controller(self) -> Controller:
        return self.ledger.state.records[-1].controllers[LOST]

    @property
    def recovery(self) -> Recovery | None:
        return self.ledger.state.records[-1].recoveries.get(LOST)

    def events(self) -> list[Any]:
        """Those of the newest block."""
        return list(self.ledger.state.commits[-1].events)


@pytest.fixture
async def scene(zone: Zone) -> Guarded:
    return await Guarded(zone).set_up()


async def test_after_the_delay_the_new_keys_sign_and_the_old_ones_do_not(scene: Guarded) -> None:
    before, leaves = scene.controller, scene.leaves_used()
    started_ms = scene.now_ms
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    assert scene.leaves_used() == leaves + 1
    await scene.applied(scene.ana, transfer(ANA, BEN, 1))  # until then the old keys are in force
    await scene.ledger.execute(after_ms=started_ms + DELAY_MS - scene.now_ms)
    await scene.applied(scene.shop, complete_recovery(LOST))
    assert scene.ledger.state.newest.time_ms == started_ms + DELAY_MS
    after = scene.controller
    assert decode_leaf(Namespace.CONTROLLER, encode_leaf(Namespace.CONTROLLER, after)) == after
    assert [key.key_id for key in after.keys] == [NEW.key_id]
    assert (after.sponsor, after.recovery, after.threshold) == (before.sponsor, before.recovery, 1)
    assert after.lanes == ((0, 3),)
    assert (scene.recovery, scene.leaves_used()) == (None, leaves)
    await scene.applied(scene.ana, transfer(ANA, BEN, 1), keys=[NEW])
    await scene.refused("KEY_REVOKED", scene.ana, transfer(ANA, BEN, 1))


async def test_a_recovery_can_be_completed_from_its_ready_time_to_thirty_days_later(scene: Guarded) -> None:
    for wait_ms, reason in (
        (DELAY_MS - 1, "RECOVERY_NOT_READY"),
        (DELAY_MS, ""),
        (DELAY_MS + RECOVERY_LAPSE_MS, ""),
        (DELAY_MS + RECOVERY_LAPSE_MS + 1, "RECOVERY_LAPSED"),
    ):
        await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
        ready_ms = scene.ledger.state.newest.time_ms + DELAY_MS
        now_ms = ready_ms - DELAY_MS + wait_ms
        if not reason:
            await scene.applied(scene.shop, complete_recovery(LOST), after_ms=wait_ms)
            continue
        figures = await scene.refused(reason, scene.shop, complete_recovery(LOST), after_ms=wait_ms)
        if reason == "RECOVERY_NOT_READY":
            assert list(figures.items()) == [("ready_time_ms", ready_ms), ("block_time_ms", now_ms)]
            await scene.applied(scene.shop, cancel_recovery(LOST))
        else:
            lapse_ms = ready_ms + RECOVERY_LAPSE_MS
            assert list(figures.items()) == [("lapse_time_ms", lapse_ms), ("block_time_ms", now_ms)]


async def test_the_principal_vetoes_and_nothing_has_changed(scene: Guarded) -> None:
    before, leaves = scene.controller, scene.leaves_used()
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    await scene.applied(scene.ana, cancel_recovery(LOST))
    assert (scene.recovery, scene.leaves_used()) == (None, leaves)
    assert scene.controller == before.consume(0, 3)
    await scene.refused("RECOVERY_UNKNOWN", scene.shop, complete_recovery(LOST), after_ms=DELAY_MS)
    await scene.refused("RECOVERY_UNKNOWN", scene.ana, cancel_recovery(LOST))


async def test_the_phone_alone_vetoes_when_its_scope_says_so(scene: Guarded) -> None:
    phone = TestKey("phone")
    scope = pb.KeyScope(message_kinds=[13])
    await scene.applied(scene.ana, update_controller(1, *scene.ana.keys, (phone, scope)))
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    await scene.applied(scene.ana, cancel_recovery(LOST), keys=[phone])
    assert scene.recovery is None


async def test_new_keys_or_another_policy_by_the_principal_cancel_what_is_under_way(scene: Guarded) -> None:
    leaves = scene.leaves_used()
    policy = scene.controller.recovery
    for message in (
        update_controller(1, *scene.ana.keys, TestKey("second")),
        set_recovery(guarded_by(scene.ben, DELAY_MS)),
    ):
        assert scene.controller.recovery == policy, "new keys leave the policy"
        await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
        assert scene.controller.is_being_recovered
        pending = scene.recovery
        await scene.applied(scene.ana, message)
        home = scene.shop.principal
        told = [ControllerChanged(home, LOST)] if message.HasField("update_controller") else []
        assert scene.events() == [RecoveryCancelled(home, pending, LOST), *told]
        assert (scene.recovery, scene.leaves_used()) == (None, leaves)
        assert not scene.controller.is_being_recovered
    assert len(scene.controller.keys) == 2, "another policy leaves the keys"
    await scene.refused("NOT_GUARDIAN", scene.shop, start_recovery(LOST, 1, NEW))
    await scene.applied(scene.ben, start_recovery(LOST, 1, NEW))


async def test_an_update_that_is_refused_later_cancels_nothing(scene: Guarded) -> None:
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    update = update_controller(1, *scene.ana.keys)
    await scene.refused("NOT_UNIT_AUTHORITY", scene.ana, update, set_floor(ANA, 0))
    assert scene.recovery is not None
    assert scene.controller.recovery == RecoveryPolicy(scene.shop.principal, DELAY_MS)


async def test_only_the_guardian_starts_and_completes(scene: Guarded) -> None:
    nobody = identifier("nobody")
    await scene.refused("CONTROLLER_UNKNOWN", scene.shop, start_recovery(nobody, 1, NEW))
    await scene.refused("NOT_GUARDIAN", scene.ben, start_recovery(LOST, 1, NEW))
    await scene.refused("NOT_GUARDIAN", scene.ana, start_recovery(LOST, 1, NEW))
    await scene.refused("NOT_GUARDIAN", scene.shop, start_recovery(scene.ben.principal, 1, NEW))
    for message in (cancel_recovery(LOST), complete_recovery(LOST), complete_recovery(nobody)):
        await scene.refused("RECOVERY_UNKNOWN", scene.shop, message)
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    await scene.refused("NOT_GUARDIAN", scene.ben, cancel_recovery(LOST))
    for actor in (scene.ana, scene.ben):
        await scene.refused("NOT_GUARDIAN", actor, complete_recovery(LOST), after_ms=DELAY_MS)


async def test_one_recovery_at_a_time_until_it_has_lapsed(scene: Guarded) -> None:
    leaves = scene.leaves_used()
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    first = scene.recovery
    assert first is not None
    other = TestKey("another new key")
    figures = await scene.refused(
        "RECOVERY_PENDING", scene.shop, start_recovery(LOST, 1, other), after_ms=DELAY_MS + RECOVERY_LAPSE_MS
    )
    now_ms = scene.ledger.state.newest.time_ms
    assert list(figures.items()) == [("ready_time_ms", first.ready_time_ms), ("block_time_ms", now_ms)]
    await scene.applied(scene.shop, start_recovery(LOST, 1, other), after_ms=1)
    second = scene.recovery
    assert second is not None and [key.key_id for key in second.keys] == [other.key_id]
    home = scene.shop.principal
    assert scene.events() == [RecoveryCancelled(home, first, home), RecoveryStarted(home, second)]
    assert scene.leaves_used() == leaves + 1


async def test_a_lapsed_recovery_can_be_cancelled(scene: Guarded) -> None:
    leaves = scene.leaves_used()
    for actor in (scene.shop, scene.ana):
        await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
        await scene.applied(actor, cancel_recovery(LOST), after_ms=DELAY_MS + RECOVERY_LAPSE_MS + 1)
        assert (scene.recovery, scene.leaves_used()) == (None, leaves)


async def test_a_guardian_must_be_there_and_is_the_last_to_be_asked_for(scene: Guarded) -> None:
    nobody = pb.RecoveryPolicy(guardian=identifier("nobody"), delay_ms=DELAY_MS_MIN)
    eve = scene.zone.member("eve", scene.shop)
    await scene.refused("CONTROLLER_UNKNOWN", scene.shop, open_controller(eve, recovery=nobody))
    await scene.refused("PRINCIPAL_EXISTS", scene.shop, open_controller(scene.ben, recovery=nobody))
    await scene.refused("SPONSOR_NOT_ORGANIZATION", scene.ben, open_controller(eve, recovery=nobody))
    await scene.refused("CONTROLLER_UNKNOWN", scene.ana, set_recovery(nobody))
    # One that an earlier message of the same transaction opens is there.
    adam = scene.zone.member("adam", scene.shop)
    await scene.applied(
        scene.shop, open_controller(eve), open_controller(adam, recovery=guarded_by(eve, DELAY_MS))
    )
    controllers = scene.ledger.state.records[-1].controllers
    assert controllers[adam.principal].recovery == RecoveryPolicy(eve.principal, DELAY_MS)
    assert controllers[eve.principal].recovery is None


async def test_nobody_is_given_less_time_to_object_than_the_zone_says(scene: Guarded) -> None:
    assert scene.zone.genesis.recovery_delay_ms_min == DELAY_MS_MIN
    eve = scene.zone.member("eve", scene.shop)
    too_short = guarded_by(scene.shop, DELAY_MS_MIN - 1)
    for actor, message in (
        (scene.shop, open_controller(eve, recovery=too_short)),
        (scene.ana, set_recovery(guarded_by(scene.shop, DELAY_MS_MIN - 1))),
    ):
        figures = await scene.refused("RECOVERY_DELAY_TOO_SHORT", actor, message)
        assert figures == {"delay_ms": DELAY_MS_MIN - 1, "delay_ms_min": DELAY_MS_MIN}
    await scene.applied(scene.shop, open_controller(eve, recovery=guarded_by(scene.shop, DELAY_MS_MIN)))


async def test_keys_that_are_not_of_prime_order_cannot_be_announced(scene: Guarded) -> None:
    point = (1).to_bytes(32, "little")
    bad = pb.ControllerKey(public_keys=[pb.PublicKey(suite=1, public_key=point)])
    message = pb.Message(start_recovery=pb.StartRecovery(principal=LOST, threshold=1, keys=[bad]))
    await scene.refused("INVALID_KEY", scene.shop, message)
    assert scene.recovery is None


async def test_starting_and_cancelling_in_one_transaction_leaves_nothing(scene: Guarded) -> None:
    leaves = scene.leaves_used()
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW), cancel_recovery(LOST))
    assert (scene.recovery, scene.leaves_used()) == (None, leaves)
    assert [type(event) for event in scene.events()] == [RecoveryStarted, RecoveryCancelled]


async def test_the_officers_threshold_of_the_guardian_acts(scene: Guarded) -> None:
    """A co-op with three officers, two of whom sign; none of their devices acts alone."""
    officers = [TestKey(f"officer {number}") for number in range(3)]
    shop = scene.shop
    await scene.applied(shop, update_controller(2, *officers))
    shop.keys = officers[:1]
    data = scene.zone.transaction(shop, start_recovery(LOST, 1, NEW), time_ms=scene.now_ms)
    execution = await scene.ledger.execute(data)
    assert Receipt.FromString(execution.outcomes[0][1]).reason == "THRESHOLD_NOT_MET"
    shop.keys = officers[1:]
    await scene.applied(shop, start_recovery(LOST, 1, NEW))
    await scene.applied(shop, complete_recovery(LOST), after_ms=DELAY_MS)


async def test_what_the_old_key_signed_for_the_same_block_is_refused_after_completion(
    scene: Guarded,
) -> None:
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    now_ms = scene.now_ms + DELAY_MS
    complete = scene.zone.transaction(scene.shop, complete_recovery(LOST), time_ms=now_ms)
    pay = scene.zone.transaction(scene.ana, transfer(ANA, BEN, 1), time_ms=now_ms)
    veto = scene.zone.transaction(scene.ana, cancel_recovery(LOST), time_ms=now_ms)
    execution = await scene.ledger.execute(complete, pay, veto, after_ms=1_000 + DELAY_MS)
    reasons = [Receipt.FromString(receipt).reason for _, receipt in execution.outcomes]
    assert reasons == ["", "KEY_REVOKED", "KEY_REVOKED"]


async def test_every_step_is_told_where_the_member_is_at_home(scene: Guarded) -> None:
    """Also when the guardian is another than the sponsor, who does not pay for it."""
    other = scene.zone.organizations[1]
    await scene.applied(scene.ana, set_recovery(guarded_by(other, DELAY_MS)))
    await scene.applied(other, start_recovery(LOST, 1, NEW))
    started = scene.recovery
    assert started is not None
    home = scene.shop.principal
    assert started.payer == other.principal
    assert scene.events() == [RecoveryStarted(home, started)]
    await scene.applied(other, complete_recovery(LOST), after_ms=DELAY_MS)
    assert scene.events() == [RecoveryCompleted(home, started), ControllerChanged(home, LOST)]


async def test_a_founding_co_op_is_recovered_by_the_zones_authority_and_told_itself(scene: Guarded) -> None:
    shop, authority = scene.shop, scene.zone.authority
    await scene.applied(shop, set_recovery(guarded_by(authority, DELAY_MS)))
    await scene.applied(authority, start_recovery(shop.principal, 1, NEW))
    assert [event.tenant for event in scene.events()] == [shop.principal]
    await scene.applied(authority, complete_recovery(shop.principal), after_ms=DELAY_MS)
    await scene.refused("KEY_REVOKED", shop, set_floor(ANA, -1))
    await scene.applied(shop, set_floor(ANA, -1), keys=[NEW])


async def test_the_leaf_says_what_was_announced(scene: Guarded) -> None:
    await scene.applied(scene.shop, start_recovery(LOST, 1, NEW))
    assert scene.recovery is not None
    leaf = RecoveryLeaf.FromString(encode_leaf(Namespace.RECOVERY, scene.recovery))
    shop = scene.shop.principal
    assert (leaf.principal, leaf.threshold, leaf.guardian, leaf.payer) == (LOST, 1, shop, shop)
    assert list(leaf.keys) == [NEW.message()]
    assert leaf.ready_time_ms == scene.ledger.state.newest.time_ms + DELAY_MS


async def test_a_guardian_that_takes_the_allowance_away_does_not_keep_the_veto_out(scene: Guarded) -> None:
    shop, authority = scene.shop, scene.zone.authority
    await scene.applied(shop, set_recovery(guarded_by(authority, DELAY_MS)))
    nothing = set_allowance(shop.principal, bytes_per_epoch=0, signatures_per_epoch=0, state_leaves=0)
    await scene.applied(authority, nothing, start_recovery(shop.principal, 1, NEW))
    await scene.applied(shop, cancel_recovery(shop.principal))
    controller = scene.ledger.state.records[-1].controllers[shop.principal]
    assert controller is not None
    assert not controller.is_being_recovered
    await scene.refused("RECOVERY_UNKNOWN", authority, complete_recovery(shop.principal), after_ms=DELAY_MS)


@dataclass
class Model:
    """What the specification says of one principal, in the plainest words."""

    guardian: str | None = "shop"
    key: int = 0
    """The key in force."""
    ready_ms: int | None = None
    """When the recovery under way is ready."""
    announced: int = 0

    def start(self, actor: str, key: int, now_ms: int) -> str:
        if actor != self.guardian:
            return "NOT_GUARDIAN"
        if self.ready_ms is not None and now_ms <= self.ready_ms + RECOVERY_LAPSE_MS:
            return "RECOVERY_PENDING"
        self.ready_ms, self.announced = now_ms + DELAY_MS, key
        return ""

    def cancel(self, actor: str) -> str:
        if self.ready_ms is None:
            return "RECOVERY_UNKNOWN"
        if actor not in ("ana", self.guardian):
            return "NOT_GUARDIAN"
        self.ready_ms = None
        return ""

    def complete(self, actor: str, now_ms: int) -> str:
        if self.ready_ms is None:
            return "RECOVERY_UNKNOWN"
        if actor != self.guardian:
            return "NOT_GUARDIAN"
        if now_ms < self.ready_ms:
            return "RECOVERY_NOT_READY"
        if now_ms > self.ready_ms + RECOVERY_LAPSE_MS:
            return "RECOVERY_LAPSED"
        self.key, self.ready_ms = self.announced, None
        return ""

    def update(self, key: int) -> str:
        self.key, self.ready_ms = key, None
        return ""

    def set_guardian(self, guardian: str | None) -> str:
        self.guardian, self.ready_ms = guardian, None
        return ""


actors = st.sampled_from([None, None, None, "ana", "ben", "shop", "other"])
"""None: the guardian, whoever that is."""
keys = st.integers(0, 3)
moments = st.sampled_from([None, -1, 0, 1, RECOVERY_LAPSE_MS, RECOVERY_LAPSE_MS + 1])
"""When the next block comes, milliseconds from the ready time of what is under way; None: a second later."""


class RecoveryMachine(RuleBasedStateMachine):
    """Plays steps of everybody to the ledger and to the model, and compares reasons and state."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        self.loop.close()

    @initialize()
    def set_up(self) -> None:
        self.scene = self.loop.run_until_complete(Guarded(make_zone()).set_up())
        self.model = Model()
        self.keys = [self.scene.ana.keys[0], *(TestKey(f"key {number}") for number in range(1, 4))]
        scene = self.scene
        self.actors: dict[str, Member] = {
            "ana": scene.ana,
            "ben": scene.ben,
            "shop": scene.shop,
            "other": scene.zone.organizations[1],
        }
        self.others_leaves = self.leaves()

    def leaves(self) -> int:
        records = self.scene.ledger.state.records[-1]
        payers = (self.actors[name].principal for name in ("shop", "other"))
        return sum(records.allowances[payer].used_state_leaves for payer in payers)

    def who(self, actor: str | None) -> str:
        return actor or self.model.guardian or "shop"

    def play(self, actor: str, message: pb.Message, moment: int | None) -> str:
        wait_ms = 1_000
        if moment is not None and self.model.ready_ms is not None:
            wait_ms = max(1, self.model.ready_ms + moment - self.scene.ledger.state.newest.time_ms)
        self.scene.ana.keys = [self.keys[self.model.key]]
        run = self.scene.run(self.actors[actor], message, after_ms=wait_ms)
        return self.loop.run_until_complete(run).reason

    @rule(actor=actors, key=keys, moment=moments)
    def start(self, actor: str | None, key: int, moment: int | None) -> None:
        actor = self.who(actor)
        refused = self.play(actor, start_recovery(LOST, 1, self.keys[key]), moment)
        assert refused == self.model.start(actor, key, self.scene.ledger.state.newest.time_ms)

    @rule(actor=actors, moment=moments)
    def cancel(self, actor: str | None, moment: int | None) -> None:
        actor = self.who(actor)
        assert self.play(actor, cancel_recovery(LOST), moment) == self.model.cancel(actor)

    @rule(actor=actors, moment=moments)
    def complete(self, actor: str | None, moment: int | None) -> None:
        actor = self.who(actor)
        refused = self.play(actor, complete_recovery(LOST), moment)
        assert refused == self.model.complete(actor, self.scene.ledger.state.newest.time_ms)

    @rule(key=keys, moment=moments)
    def update(self, key: int, moment: int | None) -> None:
        message = update_controller(1, self.keys[key])
        assert self.play("ana", message, moment) == self.model.update(key)

    @rule(guardian=st.sampled_from([None, "shop", "shop", "other", "ben"]), moment=moments)
    def set_guardian(self, guardian: str | None, moment: int | None) -> None:
        policy = None if guardian is None else guarded_by(self.actors[guardian], DELAY_MS)
        assert self.play("ana", set_recovery(policy), moment) == self.model.set_guardian(guardian)

    @invariant()
    def the_ledger_stands_where_the_model_does(self) -> None:
        if not hasattr(self, "model"):
            return
        controller, recovery, model = self.scene.controller, self.scene.recovery, self.model
        assert [key.key_id for key in controller.keys] == [self.keys[model.key].key_id]
        guardian = None if model.guardian is None else self.actors[model.guardian].principal
        assert (controller.recovery and controller.recovery.guardian) == guardian
        assert (recovery and recovery.ready_time_ms) == model.ready_ms
        assert controller.is_being_recovered == (model.ready_ms is not None)
        for namespace, record in ((Namespace.CONTROLLER, controller), (Namespace.RECOVERY, recovery)):
            assert record is None or decode_leaf(namespace, encode_leaf(namespace, record)) == record
        assert self.leaves() == self.others_leaves + (recovery is not None)
        assert self.scene.ledger.halts == []


TestRecoveryMachine = RecoveryMachine.TestCase
TestRecoveryMachine.settings = settings(
    max_examples=60, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
