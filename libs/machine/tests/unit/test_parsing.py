"""Validity rule 1: what can be refused by looking at the bytes alone."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import transaction_pb2 as pb
from icn_chain.envelope import TRANSACTION_BYTES_MAX
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.suites import Suite
from icn_machine.limits import NO_FLOOR, QUANTITY_MAX, RECOVERY_DELAY_MS_MAX
from icn_machine.messages import KIND_NUMBERS, Transfer
from icn_machine.parsing import parse_transaction
from icn_machine.refusals import MALFORMED_TRANSACTION, Malformed

from libs.machine.tests.credit_messages import (
    cancel_order,
    charge_demurrage,
    close_account,
    close_period,
    confirm_openings,
    freeze_account,
    legs,
    offer_exchange,
    order_transfers,
    pledge_account,
    release_order,
    set_unit_policy,
    take_exchange,
    void_exchange,
    write_off,
)
from libs.machine.tests.equivocations import evidence, record
from libs.machine.tests.institutions import (
    admit_member,
    apply_for_membership,
    cast_ballot,
    decision,
    enact,
    end_membership,
    open_poll,
    set_rules,
    set_zone_authority,
    vouch_for_applicant,
)
from libs.machine.tests.seats import activate_protocol, add, change, rekey, remove, replace
from libs.machine.tests.zone import (
    GENESIS_TIME_MS,
    TestKey,
    Zone,
    anchor,
    cancel_recovery,
    capture_hold,
    complete_recovery,
    create_unit,
    end_sponsorship,
    execute,
    identifier,
    instantiate,
    make_zone,
    open_account,
    place_hold,
    set_allowance,
    set_floor,
    set_recovery,
    sorted_keys,
    start_recovery,
    start_sponsorship,
    store_code,
    transfer,
    void_hold,
)

ZONE = make_zone()
A, B, C = identifier("a"), identifier("b"), identifier("c")
SHORT = bytes(15)


def signed(zone: Zone, *messages: pb.Message, **changes: Any) -> bytes:
    return zone.transaction(zone.organizations[0], *messages, sequence=1, **changes)


def refuse(data: bytes) -> str:
    with pytest.raises(Malformed) as refusal:
        parse_transaction(data, ZONE.genesis.hash)
    assert refusal.value.reason == MALFORMED_TRANSACTION
    return refusal.value.message


def accept(*messages: pb.Message, **changes: Any) -> None:
    assert parse_transaction(signed(ZONE, *messages, **changes), ZONE.genesis.hash).id


def test_a_transaction_becomes_values() -> None:
    data = signed(ZONE, transfer(A, B, 5, memo_hash=bytes(32)))
    read = parse_transaction(data, ZONE.genesis.hash)
    body = pb.Transaction.FromString(data).body
    assert read.id == domain_hash(tags.TRANSACTION_ID, ZONE.genesis.hash, body)
    assert read.messages == (Transfer(A, B, 5, bytes(32)),)
    assert (read.size_bytes, read.lane, read.sequence) == (len(data), 0, 1)
    assert read.expire_time_ms == GENESIS_TIME_MS + 3_600_000


def test_the_id_leaves_signatures_out() -> None:
    shop = ZONE.organizations[0]
    body = ZONE.body(shop, transfer(A, B, 5), sequence=1).SerializeToString(deterministic=True)
    one = parse_transaction(ZONE.sign(body, shop.keys), ZONE.genesis.hash)
    other = parse_transaction(ZONE.sign(body, shop.keys, Suite.ML_DSA_65), ZONE.genesis.hash)
    assert one.id == other.id
    assert one.size_bytes != other.size_bytes


@given(st.binary(max_size=300))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    refuse(data)


POLICY = pb.RecoveryPolicy(guardian=B, delay_ms=1)
ONE_KEY = sorted_keys(TestKey("one"))
COUNTERSIGNATURE = pb.Countersignature(signer=A, key_id=B, suite=1, signature=bytes(64))
EVERY_KIND = [
    pb.Message(open_controller=pb.OpenController(principal=A, threshold=1, keys=ONE_KEY, recovery=POLICY)),
    pb.Message(update_controller=pb.UpdateController(threshold=1, keys=ONE_KEY)),
    create_unit(A),
    open_account(A, B),
    set_floor(A, -1),
    transfer(A, B, 5),
    place_hold(C, A, B, 5, 1),
    capture_hold(C, 1),
    void_hold(C),
    anchor(bytes(32)),
    set_allowance(A, state_leaves=1),
    start_recovery(A, 1, TestKey("one")),
    cancel_recovery(A),
    complete_recovery(A),
    set_recovery(POLICY),
    enact(decision(set_rules(1)), [COUNTERSIGNATURE]),
    apply_for_membership(A),
    vouch_for_applicant(A, B),
    admit_member(A),
    end_membership(A, B),
    open_poll(A, B, 1),
    cast_ballot(A, bytes(32)),
    set_zone_authority(A),
    store_code(b"code"),
    instantiate(A, sha256(b"code").digest(), b"{}", accounts=[(B, C)], funds=[(C, B, 5)], declared=[A, C]),
    execute(A, b"{}", funds=[(C, B, 5)], declared=[A, C]),
    start_sponsorship(A),
    end_sponsorship(A),
    record(evidence(ZONE)),
    change(ZONE, add(ZONE, A, "key"), remove(B), replace(ZONE, B, C, "other key")),
    rekey(ZONE, A, "key"),
    legs((A, B, 1), (B, C, 1)),
    offer_exchange(C, (A, 5), (B, 7), 1, taker=A),
    take_exchange(C, (A, B, 5), (B, A, 7)),
    void_exchange(C),
    order_transfers(C, A, B, 5, 1, every_months=1, times=12),
    cancel_order(C),
    release_order(C, A, B, 5),
    set_unit_policy(A, growth_ppm=1, growth_max_minor=1, counterparty_max_minor=1, fund=B, freezer=C),
    freeze_account(A, 1),
    pledge_account(A, 5),
    write_off(A, 5, bytes(32)),
    close_account(A, B),
    confirm_openings(A, B, C),
    close_period(A, 1),
    charge_demurrage(A, B),
    activate_protocol(2),
]


def test_every_kind_is_read_and_has_its_number() -> None:
    fields = pb.Message.DESCRIPTOR.fields_by_name
    for message in EVERY_KIND:
        (read,) = parse_transaction(signed(ZONE, message), ZONE.genesis.hash).messages
        assert KIND_NUMBERS[type(read)] == fields[message.WhichOneof("kind") or ""].number
    assert {message.WhichOneof("kind") for message in EVERY_KIND} == set(fields)


@given(st.sampled_from(EVERY_KIND), st.data())
def test_a_changed_byte_is_malformed_or_another_transaction(message: pb.Message, data: st.DataObject) -> None:
    original = signed(ZONE, message)
    position = data.draw(st.integers(0, len(original) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != original[position]))
    changed = original[:position] + bytes([value]) + original[position + 1 :]
    try:
        read = parse_transaction(changed, ZONE.genesis.hash)
    except Malformed:
        return
    before = parse_transaction(original, ZONE.genesis.hash)
    assert read.id != before.id or read.signatures != before.signatures


def _field(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


def test_an_unknown_field_is_refused_in_the_envelope_and_in_the_body() -> None:
    data = signed(ZONE, transfer(A, B, 5))
    refuse(data + _field(9, 1))
    shop = ZONE.organizations[0]
    body = ZONE.body(shop, transfer(A, B, 5), sequence=1).SerializeToString(deterministic=True)
    refuse(ZONE.sign(body + _field(9, 1), shop.keys))


def test_a_default_written_out_is_not_canonical() -> None:
    shop = ZONE.organizations[0]
    body = ZONE.body(shop, transfer(A, B, 5), sequence=1)
    written = body.SerializeToString(deterministic=True)
    # Field 3 (lane) is at its default; written between fields 2 and 4 it changes nothing but the bytes.
    cut = written.index(b"\x20\x01")
    refuse(ZONE.sign(written[:cut] + b"\x18\x00" + written[cut:], shop.keys))


def test_a_varint_that_is_not_minimal_is_refused() -> None:
    shop = ZONE.organizations[0]
    written = ZONE.body(shop, transfer(A, B, 5), sequence=1).SerializeToString(deterministic=True)
    cut = written.index(b"\x20\x01")
    refuse(ZONE.sign(written[:cut] + b"\x20\x81\x00" + written[cut + 2 :], shop.keys))


def test_two_kinds_in_one_message_are_refused() -> None:
    shop = ZONE.organizations[0]
    two = transfer(A, B, 5).SerializeToString() + void_hold(C).SerializeToString()
    body = ZONE.body(shop, sequence=1).SerializeToString(deterministic=True)
    refuse(ZONE.sign(body + bytes([6 << 3 | 2, len(two)]) + two, shop.keys))


def test_a_message_without_a_kind_is_refused() -> None:
    refuse(signed(ZONE, pb.Message()))


@pytest.mark.parametrize("count", [0, 17])
def test_no_message_and_seventeen_are_refused(count: int) -> None:
    refuse(signed(ZONE, *[void_hold(C)] * count))


@pytest.mark.parametrize("count", [1, 16])
def test_one_message_and_sixteen_are_accepted(count: int) -> None:
    accept(*[void_hold(C)] * count)


@pytest.mark.parametrize(
    "changes",
    [
        {"principal": SHORT},
        {"principal": b""},
        {"payer": bytes(17)},
        {"lane": 16},
        {"sequence": 0},
        {"sequence": QUANTITY_MAX + 1},
        {"expire_time_ms": QUANTITY_MAX + 1},
    ],
)
def test_a_body_outside_of_its_limits_is_refused(changes: dict[str, Any]) -> None:
    shop = ZONE.organizations[0]
    fields = {"sequence": 1, **changes}
    body = ZONE.body(shop, transfer(A, B, 5), **fields).SerializeToString(deterministic=True)
    refuse(ZONE.sign(body, shop.keys))


def test_the_highest_lane_is_accepted() -> None:
    accept(transfer(A, B, 5), lane=15)


@pytest.mark.parametrize(
    "message",
    [
        transfer(A, B, 0),
        transfer(A, B, QUANTITY_MAX + 1),
        transfer(A, A, 5),
        transfer(SHORT, B, 5),
        transfer(A, SHORT, 5),
        transfer(A, B, 5, memo_hash=bytes(31)),
        place_hold(SHORT, A, B, 5, 1),
        place_hold(C, A, A, 5, 1),
        place_hold(C, A, B, 0, 1),
        place_hold(C, A, B, QUANTITY_MAX + 1, 1),
        place_hold(C, A, B, 5, QUANTITY_MAX + 1),
        capture_hold(C, 0),
        capture_hold(C, QUANTITY_MAX + 1),
        capture_hold(SHORT, 1),
        void_hold(SHORT),
        set_floor(A, 1),
        set_floor(A, NO_FLOOR - 1),
        set_floor(SHORT, 0),
        open_account(SHORT, A),
        open_account(A, SHORT),
        create_unit(SHORT),
        create_unit(A, floor_minor=1),
        create_unit(A, floor_minor=NO_FLOOR - 1),
        create_unit(A, scale=10),
        create_unit(A, code="H"),
        create_unit(A, code="HOURSHOURSHOU"),
        create_unit(A, code="hour"),
        create_unit(A, code="HOUR\n"),
        anchor(bytes(31)),
        anchor(bytes(33)),
        anchor(bytes(32), topic=""),
        anchor(bytes(32), topic="a" * 65),
        anchor(bytes(32), topic="A"),
        set_allowance(SHORT, state_leaves=1),
        set_allowance(A, state_leaves=2**40 + 1),
        set_allowance(A, fuel_per_epoch=2**50 + 1),
        set_allowance(A, bytes_per_epoch=2**40 + 1),
        set_allowance(A, signatures_per_epoch=2**40 + 1),
        pb.Message(set_allowance=pb.SetAllowance(organization=A)),
        start_recovery(SHORT, 1, TestKey("one")),
        start_recovery(A, 0, TestKey("one")),
        start_recovery(A, 2, TestKey("one")),
        start_recovery(A, 1),
        start_recovery(A, 1, (TestKey("one"), pb.KeyScope(message_kinds=[6]))),
        cancel_recovery(SHORT),
        cancel_recovery(b""),
        complete_recovery(bytes(17)),
    ],
)
def test_a_message_outside_of_its_limits_is_refused(message: pb.Message) -> None:
    refuse(signed(ZONE, message))


@pytest.mark.parametrize(
    "message",
    [
        transfer(A, B, 1),
        transfer(A, B, QUANTITY_MAX),
        place_hold(C, A, B, QUANTITY_MAX, QUANTITY_MAX),
        place_hold(C, A, B, 1, 0),
        capture_hold(C, QUANTITY_MAX),
        set_floor(A, 0),
        set_floor(A, NO_FLOOR),
        create_unit(A, floor_minor=NO_FLOOR, scale=9, code="H-"),
        create_unit(A, code="HOURSHOURSHO"),
        anchor(bytes(32), topic="a" * 64),
        set_allowance(
            A,
            state_leaves=2**40,
            bytes_per_epoch=2**40,
            signatures_per_epoch=2**40,
            fuel_per_epoch=2**50,
        ),
        pb.Message(set_allowance=pb.SetAllowance(organization=A, limits=pb.AllowanceLimits())),
    ],
)
def test_a_message_at_its_limits_is_accepted(message: pb.Message) -> None:
    accept(message)


def controller(threshold: int, *keys: pb.ControllerKey) -> pb.Message:
    return pb.Message(open_controller=pb.OpenController(principal=A, threshold=threshold, keys=keys))


def with_policy(guardian: bytes, delay_ms: int) -> list[pb.Message]:
    """A controller opened with this policy, and one that gets it."""
    policy = pb.RecoveryPolicy(guardian=guardian, delay_ms=delay_ms)
    return [
        pb.Message(
            open_controller=pb.OpenController(principal=A, threshold=1, keys=ONE_KEY, recovery=policy)
        ),
        pb.Message(set_recovery=pb.SetRecovery(recovery=policy)),
    ]


@pytest.mark.parametrize(
    ("guardian", "delay_ms"), [(SHORT, 1), (b"", 1), (B, 0), (B, RECOVERY_DELAY_MS_MAX + 1), (b"", 0)]
)
def test_a_policy_outside_of_its_limits_is_refused(guardian: bytes, delay_ms: int) -> None:
    for message in with_policy(guardian, delay_ms):
        refuse(signed(ZONE, message))


@pytest.mark.parametrize("delay_ms", [1, RECOVERY_DELAY_MS_MAX])
def test_a_policy_at_its_limits_is_accepted(delay_ms: int) -> None:
    accept(*with_policy(B, delay_ms))


def test_nobody_is_their_own_guardian() -> None:
    acting = ZONE.organizations[0].principal
    opening, updating = with_policy(A, 1)
    assert "its own guardian" in refuse(signed(ZONE, opening))
    accept(updating)
    opening, updating = with_policy(acting, 1)
    assert "its own guardian" in refuse(signed(ZONE, updating))
    accept(opening)


def ascending(*keys: TestKey, scope: pb.KeyScope | None = None) -> list[pb.ControllerKey]:
    return [key.message(scope) for key in sorted(keys, key=lambda key: key.key_id)]


MANY = [TestKey(f"key {number}") for number in range(17)]
SCOPE = pb.KeyScope(message_kinds=[6])


def test_controllers_have_one_to_sixteen_keys() -> None:
    accept(controller(1, *ascending(*MANY[:1])))
    accept(controller(16, *ascending(*MANY[:16])))
    refuse(signed(ZONE, controller(1)))
    refuse(signed(ZONE, controller(1, *ascending(*MANY))))


def test_keys_ascend_and_none_stands_there_twice() -> None:
    keys = ascending(*MANY[:2])
    refuse(signed(ZONE, controller(1, *reversed(keys))))
    refuse(signed(ZONE, controller(1, keys[0], keys[0])))


def test_the_threshold_is_at_most_the_number_of_keys_without_a_scope() -> None:
    keys = ascending(*MANY[:2])
    refuse(signed(ZONE, controller(0, *keys)))
    refuse(signed(ZONE, controller(3, *keys)))
    scoped = pb.ControllerKey(public_keys=keys[1].public_keys, scope=SCOPE)
    accept(controller(1, keys[0], scoped))
    refuse(signed(ZONE, controller(2, keys[0], scoped)))


def test_a_public_key_cannot_count_twice_towards_a_threshold() -> None:
    alone = TestKey("same", (Suite.ED25519,))
    paired = TestKey("same", (Suite.ED25519, Suite.ML_DSA_65))
    assert alone.public[Suite.ED25519] == paired.public[Suite.ED25519]
    refuse(signed(ZONE, controller(2, *ascending(alone, paired))))


@pytest.mark.parametrize(
    "public_keys",
    [
        [],
        [pb.PublicKey(suite=3, public_key=bytes(32))],
        [pb.PublicKey(suite=1, public_key=bytes(31))],
        [pb.PublicKey(suite=2, public_key=bytes(1951))],
        [pb.PublicKey(suite=2, public_key=bytes(1952)), pb.PublicKey(suite=1, public_key=bytes(32))],
        [pb.PublicKey(suite=1, public_key=bytes(32)), pb.PublicKey(suite=1, public_key=bytes([1] * 32))],
    ],
)
def test_public_keys_of_a_wrong_shape_are_refused(public_keys: list[pb.PublicKey]) -> None:
    refuse(signed(ZONE, controller(1, pb.ControllerKey(public_keys=public_keys))))


@pytest.mark.parametrize(
    "scope",
    [
        pb.KeyScope(),
        pb.KeyScope(message_kinds=[2]),
        pb.KeyScope(message_kinds=[0]),
        pb.KeyScope(message_kinds=[12]),
        pb.KeyScope(message_kinds=[14]),
        pb.KeyScope(message_kinds=[15]),
        pb.KeyScope(message_kinds=[23]),
        pb.KeyScope(message_kinds=[7, 6]),
        pb.KeyScope(message_kinds=[6, 6]),
        pb.KeyScope(message_kinds=[6], amount_minor_max=QUANTITY_MAX + 1),
        pb.KeyScope(message_kinds=[6], expire_time_ms=QUANTITY_MAX + 1),
        pb.KeyScope(message_kinds=[6], accounts=[SHORT]),
        pb.KeyScope(message_kinds=[6], accounts=sorted([A, B], reverse=True)),
        pb.KeyScope(message_kinds=[6], accounts=[A, A]),
        pb.KeyScope(message_kinds=[6], accounts=sorted(identifier(str(n)) for n in range(65))),
    ],
)
def test_a_scope_outside_of_its_limits_is_refused(scope: pb.KeyScope) -> None:
    keys = [MANY[0].message(), MANY[1].message(scope)]
    keys.sort(key=lambda key: MANY[0].key_id if not key.HasField("scope") else MANY[1].key_id)
    refuse(signed(ZONE, controller(1, *keys)))


def test_a_scope_may_name_every_kind_that_replaces_no_keys() -> None:
    scope = pb.KeyScope(message_kinds=[1, *range(3, 12), 13, *range(16, 23)])
    accept(controller(1, *sorted_keys(MANY[0], (MANY[1], scope))))


def test_signatures_ascend_and_no_key_signs_twice() -> None:
    shop = ZONE.organizations[0]
    body = ZONE.body(shop, transfer(A, B, 5), sequence=1).SerializeToString(deterministic=True)
    two = pb.Transaction.FromString(ZONE.sign(body, MANY[:2]))
    refuse(pb.Transaction(body=body, signatures=reversed(two.signatures)).SerializeToString())
    refuse(pb.Transaction(body=body, signatures=[two.signatures[0]] * 2).SerializeToString())
    refuse(pb.Transaction(body=body).SerializeToString())
    refuse(ZONE.sign(body, MANY))
    parse_transaction(ZONE.sign(body, MANY[:16]), ZONE.genesis.hash)


@pytest.mark.parametrize(
    "signature",
    [
        pb.Signature(suite=1, key_id=A, signature=bytes(63)),
        pb.Signature(suite=2, key_id=A, signature=bytes(64)),
        pb.Signature(suite=3, key_id=A, signature=bytes(64)),
        pb.Signature(suite=1, key_id=SHORT, signature=bytes(64)),
    ],
)
def test_a_signature_of_a_wrong_shape_is_refused(signature: pb.Signature) -> None:
    body = ZONE.body(ZONE.organizations[0], transfer(A, B, 5), sequence=1).SerializeToString(
        deterministic=True
    )
    refuse(pb.Transaction(body=body, signatures=[signature]).SerializeToString(deterministic=True))


def test_a_transaction_of_65536_bytes_is_read_and_one_byte_more_is_not() -> None:
    """Filled up with two controllers of sixteen ML-DSA-65 keys, and with scopes and topics for the rest."""
    keys = ascending(*(TestKey(f"big {number}", (Suite.ML_DSA_65,)) for number in range(16)))
    accounts = sorted(identifier(str(number)) for number in range(64))

    def sized(scoped_accounts: int, topic_characters: int) -> bytes:
        scoped = [pb.ControllerKey.FromString(key.SerializeToString()) for key in keys]
        for key, count in ((scoped[0], min(64, scoped_accounts)), (scoped[1], max(0, scoped_accounts - 64))):
            key.scope.message_kinds.append(6)
            key.scope.accounts.extend(accounts[:count])
        messages = [controller(1, *keys), controller(1, *scoped), *[anchor(bytes(32), "a" * 64)] * 12]
        return signed(ZONE, *messages, anchor(bytes(32), "a" * topic_characters))

    missing = {count: TRANSACTION_BYTES_MAX - len(sized(count, 1)) for count in range(129)}
    count = next(count for count, bytes_missing in missing.items() if 0 <= bytes_missing < 64)
    exact = sized(count, 1 + missing[count])
    assert len(exact) == TRANSACTION_BYTES_MAX
    parse_transaction(exact, ZONE.genesis.hash)
    assert "at most 65536" in refuse(bytes(TRANSACTION_BYTES_MAX + 1))
    assert "at most" not in refuse(bytes(TRANSACTION_BYTES_MAX))


def call_changed(**changes: Any) -> pb.Message:
    message = execute(A, b"{}", funds=[(C, B, 5)], declared=[A, C])
    for name, value in changes.items():
        field = getattr(message.execute_contract.call, name)
        if isinstance(value, list):
            del field[:]
            field.extend(value)
        else:
            setattr(message.execute_contract.call, name, value)
    return message


def leaf(identifier: bytes, namespace: int = 3) -> pb.LeafName:
    return pb.LeafName(namespace=namespace, identifier=identifier)


ACCOUNTS = sorted([A, B, C])


@pytest.mark.parametrize(
    "message",
    [
        store_code(b""),
        store_code(bytes(61_441)),
        instantiate(SHORT, bytes(32)),
        instantiate(A, bytes(31)),
        instantiate(A, bytes(32), accounts=[(identifier(str(n)), identifier(f"u{n}")) for n in range(9)]),
        instantiate(A, bytes(32), accounts=[(B, A), (B, C)]),
        instantiate(A, bytes(32), accounts=[(B, A), (C, A)]),
        pb.Message(execute_contract=pb.ExecuteContract(contract=A)),
        execute(SHORT),
        execute(A, bytes(16_385)),
        execute(A, fuel_limit=0),
        execute(A, fuel_limit=1_000_000_001),
        call_changed(funds=[pb.Transfer(source=A, destination=A, amount_minor=5)]),
        call_changed(funds=[pb.Transfer(source=A, destination=B, amount_minor=0)]),
        call_changed(funds=[pb.Transfer(source=one, destination=B, amount_minor=5) for one in (A, C)]),
        call_changed(
            funds=[pb.Transfer(source=A, destination=identifier(str(n)), amount_minor=5) for n in range(9)]
        ),
        call_changed(declared=[leaf(SHORT)]),
        call_changed(declared=[leaf(A, 1)]),
        call_changed(declared=[leaf(A), leaf(A)]),
        call_changed(declared=[leaf(ACCOUNTS[1]), leaf(ACCOUNTS[0])]),
        call_changed(declared=[leaf(number.to_bytes(16, "big")) for number in range(17)]),
    ],
)
def test_a_contract_message_outside_its_bounds_is_malformed(message: pb.Message) -> None:
    refuse(signed(ZONE, message))


@pytest.mark.parametrize(
    "message",
    [
        store_code(bytes(61_440)),
        execute(A, bytes(16_384)),
        execute(A, fuel_limit=1),
        execute(A, fuel_limit=1_000_000_000),
        call_changed(declared=[leaf(number.to_bytes(16, "big")) for number in range(16)]),
        call_changed(
            funds=[pb.Transfer(source=A, destination=identifier(str(n)), amount_minor=5) for n in range(8)]
        ),
    ],
)
def test_a_contract_message_at_its_bounds_is_read(message: pb.Message) -> None:
    assert parse_transaction(signed(ZONE, message), ZONE.genesis.hash).is_of_contracts


@pytest.mark.parametrize("message", [store_code(b"code"), instantiate(A, bytes(32)), execute(A)])
def test_a_contract_message_stands_alone(message: pb.Message) -> None:
    assert "alone" in refuse(signed(ZONE, message, transfer(A, B, 5)))
    assert "alone" in refuse(signed(ZONE, transfer(A, B, 5), message))


def test_what_a_contract_transaction_is_charged_follows_from_its_bytes() -> None:
    def read(message: pb.Message) -> tuple[int, int]:
        transaction = parse_transaction(signed(ZONE, message), ZONE.genesis.hash)
        return transaction.fuel_limit, transaction.leaves_made_max

    assert read(store_code(bytes(1_000))) == (20_000_000, 1)
    assert read(instantiate(A, bytes(32), accounts=[(B, C)], fuel_limit=7)) == (7, 66)
    assert read(execute(A, fuel_limit=7)) == (7, 64)
    assert read(transfer(A, B, 5)) == (0, 0)
