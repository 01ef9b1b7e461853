"""Execution: what each message does, and each of its refusals at the exact border."""

from __future__ import annotations

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import Receipt
from icn_machine.events import NO_TRANSACTION
from icn_machine.limits import HOLD_AHEAD_MS_MAX, NO_FLOOR, QUANTITY_MAX
from icn_machine.records import Anchor, Hold, RecordTables, Unit
from icn_machine.working_set import WorkingSet

from libs.machine.tests.scene import ANA, BEN, HOLD, OUT, UNIT, Scene
from libs.machine.tests.zone import (
    EPOCH_MS,
    TestKey,
    Zone,
    anchor,
    capture_hold,
    create_unit,
    identifier,
    open_account,
    open_controller,
    place_hold,
    set_allowance,
    set_floor,
    transfer,
    update_controller,
    void_hold,
)

DIGEST = bytes(range(32))


@pytest.fixture
async def scene(zone: Zone) -> Scene:
    return await Scene(zone).set_up()


async def test_a_transfer_posts_to_both_sides(scene: Scene) -> None:
    receipt = await scene.applied(scene.ana, transfer(ANA, BEN, 40))
    assert [(p.account, p.counter_account, p.amount_minor, p.balance_minor) for p in receipt.postings] == [
        (ANA, BEN, -40, -40),
        (BEN, ANA, 40, 40),
    ]
    assert scene.balances() == (-40, 40)


async def test_a_debit_may_reach_the_floor_exactly_and_not_pass_it(scene: Scene) -> None:
    await scene.applied(scene.ana, transfer(ANA, BEN, 100))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    assert figures == {"balance_minor": -100, "held_minor": 0, "amount_minor": 1, "floor_minor": -100}
    assert list(figures) == ["balance_minor", "held_minor", "amount_minor", "floor_minor"]


async def test_what_is_held_counts_against_the_floor(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 60, scene.now_ms + HOLD_AHEAD_MS_MAX))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 41))
    assert figures == {"balance_minor": 0, "held_minor": 60, "amount_minor": 41, "floor_minor": -100}
    await scene.applied(scene.ana, transfer(ANA, BEN, 40))


async def test_a_transfer_needs_both_accounts(scene: Scene) -> None:
    await scene.refused("ACCOUNT_UNKNOWN", scene.ana, transfer(ANA, identifier("nobody"), 1))
    await scene.refused("ACCOUNT_UNKNOWN", scene.ana, transfer(identifier("nobody"), BEN, 1))


async def test_only_the_owner_debits(scene: Scene) -> None:
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ben, transfer(ANA, BEN, 1))


async def test_credit_stays_inside_its_unit(scene: Scene) -> None:
    await scene.refused("UNIT_MISMATCH", scene.ana, transfer(ANA, OUT, 1))


async def test_a_balance_may_reach_the_largest_number_and_not_pass_it(scene: Scene) -> None:
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR))
    await scene.applied(scene.ana, transfer(ANA, BEN, QUANTITY_MAX))
    assert scene.balances() == (-QUANTITY_MAX, QUANTITY_MAX)
    third = identifier("third")
    await scene.applied(scene.ana, open_account(third, UNIT))
    await scene.applied(scene.shop, set_floor(third, -1))
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ana, transfer(third, BEN, 1))
    assert figures == {"balance_minor": QUANTITY_MAX, "amount_minor": 1}


async def test_no_floor_still_ends_at_the_smallest_number(scene: Scene) -> None:
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR))
    await scene.applied(scene.ana, transfer(ANA, BEN, QUANTITY_MAX))
    await scene.applied(scene.ben, transfer(BEN, ANA, 1))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 2))
    assert figures["floor_minor"] == NO_FLOOR


async def test_messages_apply_all_or_nothing(scene: Scene) -> None:
    before = scene.leaves_used()
    receipt = await scene.run(
        scene.ana,
        transfer(ANA, BEN, 30),
        open_account(identifier("second"), UNIT),
        place_hold(HOLD, ANA, BEN, 10, scene.now_ms + 5_000),
        transfer(ANA, BEN, 61),
    )
    assert (receipt.reason, receipt.message_index) == ("CREDIT_LIMIT_EXCEEDED", 3)
    assert scene.balances() == (0, 0)
    assert scene.account(ANA).held_minor == 0
    assert scene.leaves_used() == before
    assert scene.ledger.state.records[-1].accounts.get(identifier("second")) is None


async def test_a_later_message_sees_what_an_earlier_one_did(scene: Scene) -> None:
    new = identifier("new account")
    receipt = await scene.applied(
        scene.ana, open_account(new, UNIT), transfer(ANA, new, 60), transfer(new, BEN, 50)
    )
    assert [posting.balance_minor for posting in receipt.postings] == [-60, 60, 10, 50]


async def test_a_refused_transaction_still_uses_its_sequence_and_is_charged(scene: Scene) -> None:
    records = scene.ledger.state.records
    before = records[-1].allowances[scene.shop.principal]
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ben, transfer(ANA, BEN, 1))
    after = records[-1].allowances[scene.shop.principal]
    assert after.used_signatures == before.used_signatures + 1
    assert after.used_bytes > before.used_bytes
    assert records[-1].controllers[scene.ben.principal].lanes == ((0, 2),)


async def test_a_set_floor_needs_the_units_authority_and_is_never_refused_for_the_balance(
    scene: Scene,
) -> None:
    await scene.applied(scene.ana, transfer(ANA, BEN, 80))
    await scene.refused("NOT_UNIT_AUTHORITY", scene.ana, set_floor(ANA, -1_000))
    await scene.refused("ACCOUNT_UNKNOWN", scene.shop, set_floor(identifier("nobody"), -1))
    await scene.applied(scene.shop, set_floor(ANA, -10))
    assert scene.account(ANA)[:7] == (ANA, scene.ana.principal, UNIT, -80, 0, -10, 80)


async def test_a_balance_below_a_raised_floor_may_only_rise(scene: Scene) -> None:
    await scene.applied(scene.ana, transfer(ANA, BEN, 80))
    await scene.applied(scene.shop, set_floor(ANA, -10))
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))
    await scene.applied(scene.ben, transfer(BEN, ANA, 5))
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1))


async def test_ids_are_used_once(scene: Scene) -> None:
    await scene.refused("UNIT_EXISTS", scene.ana, create_unit(UNIT))
    await scene.refused("ACCOUNT_EXISTS", scene.ben, open_account(ANA, UNIT))
    await scene.refused("UNIT_UNKNOWN", scene.ben, open_account(identifier("new"), identifier("no unit")))
    await scene.refused("PRINCIPAL_EXISTS", scene.shop, open_controller(scene.ana))


async def test_a_unit_belongs_to_who_created_it(scene: Scene) -> None:
    unit = identifier("time")
    await scene.applied(scene.ana, create_unit(unit, floor_minor=-7, code="TIME", scale=0))
    principal = scene.ana.principal
    assert scene.ledger.state.records[-1].units[unit] == Unit(unit, "TIME", 0, principal, principal, -7)


async def test_only_a_payer_opens_controllers(scene: Scene) -> None:
    await scene.refused(
        "SPONSOR_NOT_ORGANIZATION", scene.ana, open_controller(scene.zone.member("eve", scene.shop))
    )
    await scene.applied(scene.shop, open_controller(scene.zone.member("eve", scene.shop)))


def bad_key() -> pb.ControllerKey:
    """The identity point: canonical, but of order 1."""
    point = (1).to_bytes(32, "little")
    return pb.ControllerKey(public_keys=[pb.PublicKey(suite=1, public_key=point)])


async def test_a_key_that_is_not_of_prime_order_is_refused(scene: Scene) -> None:
    opening = pb.Message(
        open_controller=pb.OpenController(principal=identifier("eve"), threshold=1, keys=[bad_key()])
    )
    await scene.refused("INVALID_KEY", scene.shop, opening)
    updating = pb.Message(update_controller=pb.UpdateController(threshold=1, keys=[bad_key()]))
    await scene.refused("INVALID_KEY", scene.ana, updating)


async def test_updating_a_controller_replaces_keys_and_keeps_lanes_and_sponsor(scene: Scene) -> None:
    new = TestKey("new key of ana")
    await scene.applied(scene.ana, update_controller(1, new))
    controller = scene.ledger.state.records[-1].controllers[scene.ana.principal]
    assert [key.key_id for key in controller.keys] == [new.key_id]
    assert controller.lanes == ((0, 2),)
    assert controller.sponsor == scene.shop.principal
    await scene.refused("KEY_REVOKED", scene.ana, transfer(ANA, BEN, 1))
    await scene.applied(scene.ana, transfer(ANA, BEN, 1), keys=[new])


async def test_a_threshold_that_rose_in_the_same_block_is_asked_at_execution(scene: Scene) -> None:
    second = TestKey("second key of ana")
    ledger, ana = scene.ledger, scene.ana
    update = scene.zone.transaction(ana, update_controller(2, ana.keys[0], second), time_ms=scene.now_ms)
    move = scene.zone.transaction(ana, transfer(ANA, BEN, 1), time_ms=scene.now_ms)
    execution = await ledger.execute(update, move)
    receipt = Receipt.FromString(execution.outcomes[1][1])
    assert receipt.reason == "THRESHOLD_NOT_MET"
    assert [(figure.name, figure.value) for figure in receipt.figures] == [("signed", 1), ("threshold", 2)]


async def test_a_scope_that_shrank_in_the_same_block_is_asked_at_execution(scene: Scene) -> None:
    phone = TestKey("phone")
    ana = scene.ana
    wide, narrow = pb.KeyScope(message_kinds=[6]), pb.KeyScope(message_kinds=[6], amount_minor_max=1)
    await scene.applied(ana, update_controller(1, ana.keys[0], (phone, wide)))
    update = scene.zone.transaction(
        ana, update_controller(1, ana.keys[0], (phone, narrow)), time_ms=scene.now_ms
    )
    move = scene.zone.transaction(ana, transfer(ANA, BEN, 2), time_ms=scene.now_ms, keys=[phone])
    execution = await scene.ledger.execute(update, move)
    assert Receipt.FromString(execution.outcomes[1][1]).reason == "KEY_SCOPE_EXCEEDED"


async def test_a_hold_is_placed_captured_in_part_and_ends_at_zero(scene: Scene) -> None:
    before = scene.leaves_used()
    expiry = scene.now_ms + 60_000
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 60, expiry))
    assert scene.account(ANA).held_minor == 60
    assert scene.leaves_used() == before + 1
    await scene.applied(scene.ben, capture_hold(HOLD, 25))
    assert scene.ledger.state.records[-1].holds[HOLD] == Hold(
        HOLD, ANA, BEN, 35, expiry, scene.shop.principal
    )
    figures = await scene.refused("HOLD_AMOUNT_EXCEEDED", scene.ben, capture_hold(HOLD, 36))
    assert figures == {"remaining_minor": 35, "amount_minor": 36}
    await scene.applied(scene.ben, capture_hold(HOLD, 35))
    assert scene.ledger.state.records[-1].holds[HOLD] is None
    assert scene.account(ANA)[:7] == (ANA, scene.ana.principal, UNIT, -60, 0, -100, 60)
    assert scene.balances() == (-60, 60)
    assert scene.leaves_used() == before


async def test_capturing_works_also_after_the_floor_was_raised(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 100, scene.now_ms + 60_000))
    await scene.applied(scene.shop, set_floor(ANA, 0))
    await scene.applied(scene.ben, capture_hold(HOLD, 100))
    assert scene.balances() == (-100, 100)


async def test_a_hold_expiry_lies_after_the_block_and_at_most_366_days_ahead(scene: Scene) -> None:
    for offset, is_good in ((0, False), (1, True), (HOLD_AHEAD_MS_MAX, True), (HOLD_AHEAD_MS_MAX + 1, False)):
        now = scene.now_ms
        message = place_hold(identifier(f"hold {offset}"), ANA, BEN, 1, now + offset)
        if is_good:
            await scene.applied(scene.ana, message)
        else:
            figures = await scene.refused("HOLD_EXPIRY_OUT_OF_RANGE", scene.ana, message)
            assert figures == {"expire_time_ms": now + offset, "block_time_ms": now}


async def test_placing_a_hold_is_refused_like_a_transfer(scene: Scene) -> None:
    expiry = scene.now_ms + 60_000
    await scene.refused("ACCOUNT_UNKNOWN", scene.ana, place_hold(HOLD, ANA, identifier("nobody"), 1, expiry))
    await scene.refused("NOT_ACCOUNT_OWNER", scene.ben, place_hold(HOLD, ANA, BEN, 1, expiry))
    await scene.refused("UNIT_MISMATCH", scene.ana, place_hold(HOLD, ANA, OUT, 1, expiry))
    figures = await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, place_hold(HOLD, ANA, BEN, 101, expiry))
    assert figures == {"balance_minor": 0, "held_minor": 0, "amount_minor": 101, "floor_minor": -100}
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 100, expiry))
    await scene.refused("HOLD_EXISTS", scene.ben, place_hold(HOLD, BEN, ANA, 1, expiry))


async def test_held_may_reach_the_largest_number_and_not_pass_it(scene: Scene) -> None:
    expiry = scene.now_ms + 60_000
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR), set_floor(BEN, NO_FLOOR))
    await scene.applied(scene.ben, transfer(BEN, ANA, 1))
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, QUANTITY_MAX, expiry))
    figures = await scene.refused(
        "BALANCE_OUT_OF_RANGE", scene.ana, place_hold(identifier("more"), ANA, BEN, 1, expiry)
    )
    assert figures == {"held_minor": QUANTITY_MAX, "amount_minor": 1}


async def test_a_capture_cannot_lift_a_balance_past_the_largest_number(scene: Scene) -> None:
    third = identifier("third")
    await scene.applied(scene.ben, open_account(third, UNIT))
    await scene.applied(scene.ana, open_account(identifier("fourth"), UNIT))
    await scene.applied(scene.shop, set_floor(ANA, NO_FLOOR), set_floor(identifier("fourth"), -1))
    await scene.applied(scene.ana, place_hold(HOLD, identifier("fourth"), third, 1, scene.now_ms + 60_000))
    await scene.applied(scene.ana, transfer(ANA, third, QUANTITY_MAX))
    figures = await scene.refused("BALANCE_OUT_OF_RANGE", scene.ben, capture_hold(HOLD, 1))
    assert figures == {"balance_minor": QUANTITY_MAX, "amount_minor": 1}


async def test_only_the_payee_captures_or_voids(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 60, scene.now_ms + 60_000))
    for message in (capture_hold(HOLD, 1), void_hold(HOLD)):
        await scene.refused("NOT_ACCOUNT_OWNER", scene.ana, message)
    for message in (capture_hold(identifier("no hold"), 1), void_hold(identifier("no hold"))):
        await scene.refused("HOLD_UNKNOWN", scene.ben, message)


async def test_what_was_given_grows_with_every_debit_and_never_shrinks(scene: Scene) -> None:
    await scene.applied(scene.ana, transfer(ANA, BEN, 30))
    await scene.applied(scene.ben, transfer(BEN, ANA, 50))
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 60, scene.now_ms + 60_000))
    assert (scene.account(ANA).given_minor, scene.account(BEN).given_minor) == (30, 50), (
        "a hold moves nothing"
    )
    await scene.applied(scene.ben, capture_hold(HOLD, 20))
    await scene.applied(scene.ben, void_hold(HOLD))
    assert (scene.account(ANA).given_minor, scene.account(BEN).given_minor) == (50, 50)
    await scene.refused("CREDIT_LIMIT_EXCEEDED", scene.ana, transfer(ANA, BEN, 1_000))
    assert scene.account(ANA).given_minor == 50


async def test_voiding_gives_back_what_is_left(scene: Scene) -> None:
    before = scene.leaves_used()
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 60, scene.now_ms + 60_000))
    await scene.applied(scene.ben, capture_hold(HOLD, 10))
    await scene.applied(scene.ben, void_hold(HOLD))
    assert scene.account(ANA)[:7] == (ANA, scene.ana.principal, UNIT, -10, 0, -100, 10)
    assert scene.leaves_used() == before
    await scene.refused("HOLD_UNKNOWN", scene.ben, void_hold(HOLD))


async def test_a_hold_is_released_by_the_first_block_at_its_expiry(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 60, scene.now_ms + 5_000))
    assert scene.ledger.state.newest.next_expiry_time_ms == scene.now_ms - 1_000 + 5_000
    await scene.ledger.execute(after_ms=4_999)
    assert scene.account(ANA).held_minor == 60
    await scene.ledger.execute(after_ms=1)
    assert scene.account(ANA).held_minor == 0
    assert scene.ledger.state.records[-1].holds[HOLD] is None
    assert scene.ledger.state.newest.next_expiry_time_ms == 0
    assert scene.ledger.state.newest.has_changed_state


async def test_a_block_releases_what_is_due_before_its_transactions(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 100, scene.now_ms + 5_000))
    await scene.applied(scene.ana, transfer(ANA, BEN, 100), after_ms=5_000)
    assert scene.balances() == (-100, 100)


async def test_a_due_hold_cannot_be_captured_in_the_block_that_releases_it(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 100, scene.now_ms + 5_000))
    receipt = await scene.run(scene.ben, capture_hold(HOLD, 1), after_ms=5_000)
    assert receipt.reason == "HOLD_UNKNOWN"


async def test_the_id_of_an_ended_hold_may_be_used_again(scene: Scene) -> None:
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 10, scene.now_ms + 60_000))
    expiry = scene.now_ms + 70_000
    void = scene.zone.transaction(scene.ben, void_hold(HOLD), time_ms=scene.now_ms)
    place = scene.zone.transaction(scene.ana, place_hold(HOLD, ANA, BEN, 20, expiry), time_ms=scene.now_ms)
    await scene.ledger.execute(void, place)
    assert scene.ledger.state.records[-1].holds[HOLD] == Hold(
        HOLD, ANA, BEN, 20, expiry, scene.shop.principal
    )


async def test_an_anchor_keeps_who_and_when(scene: Scene) -> None:
    await scene.applied(scene.ana, anchor(DIGEST, "minutes/2024"))
    newest = scene.ledger.state.newest
    expected = Anchor(DIGEST, "minutes/2024", scene.ana.principal, newest.height, newest.time_ms)
    assert scene.ledger.state.records[-1].anchors[DIGEST] == expected
    await scene.refused("ANCHOR_EXISTS", scene.ben, anchor(DIGEST))


async def test_only_the_zones_authority_sets_allowances(scene: Scene) -> None:
    await scene.refused("NOT_ZONE_AUTHORITY", scene.shop, set_allowance(scene.ana.principal, state_leaves=5))
    await scene.refused("CONTROLLER_UNKNOWN", scene.zone.authority, set_allowance(identifier("nobody")))
    await scene.applied(scene.zone.authority, set_allowance(scene.ana.principal, state_leaves=5))
    made = scene.ledger.state.records[-1].allowances[scene.ana.principal]
    assert (made.limits, made.used_state_leaves) == ((0, 0, 5, 0, 0), 0)


async def test_leaves_that_are_made_count_in_their_epoch_also_when_they_went(scene: Scene) -> None:
    def made() -> tuple[int, int]:
        allowance = scene.ledger.state.records[-1].allowances[scene.shop.principal]
        return allowance.used_state_leaves, allowance.used_new_leaves

    kept, new = made()
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 1, scene.now_ms + 60_000))
    assert made() == (kept + 1, new + 1)
    await scene.applied(scene.ben, void_hold(HOLD))
    assert made() == (kept, new + 1)
    await scene.block(after_ms=EPOCH_MS)  # the edge
    await scene.applied(scene.ana, place_hold(HOLD, ANA, BEN, 1, scene.now_ms + 60_000))
    assert made() == (kept + 1, 1), "another epoch"


async def test_setting_an_allowance_again_keeps_what_is_used(scene: Scene) -> None:
    shop = scene.shop.principal
    before = scene.ledger.state.records[-1].allowances[shop]
    await scene.applied(scene.zone.authority, set_allowance(shop, bytes_per_epoch=1, state_leaves=2))
    after = scene.ledger.state.records[-1].allowances[shop]
    assert after.limits == (1, 0, 2, 0, 0)
    assert after[2:] == before[2:]


async def test_the_counts_of_an_allowance_start_again_with_the_epoch(scene: Scene) -> None:
    await scene.ledger.execute(after_ms=86_400_000)
    await scene.applied(scene.ana, transfer(ANA, BEN, 1))
    allowance = scene.ledger.state.records[-1].allowances[scene.shop.principal]
    assert (allowance.epoch, allowance.used_signatures) == (1, 1)
    assert allowance.used_state_leaves > 0


def test_every_event_knows_its_transaction() -> None:
    working = WorkingSet(RecordTables())
    working.begin()
    working.events.append("released")  # type: ignore[arg-type]
    working.begin(0)
    working.events += ["a", "b"]  # type: ignore[list-item]
    working.begin(1)
    working.events.append("undone")  # type: ignore[arg-type]
    working.rollback()
    working.events.append("refused")  # type: ignore[arg-type]
    working.begin(2)
    working.begin(3)
    working.events.append("c")  # type: ignore[arg-type]
    assert working.origins() == [NO_TRANSACTION, 0, 0, 1, 3]
