"""Transactions as they are made: canonical, signed for one zone, named without their signatures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1.transaction_pb2 import (
    Countersignature,
    DecisionAction,
    LeafName,
    Message,
    OfferedKey,
    SeatChange,
    SeatOffer,
    Transaction,
    TransactionBody,
    Transfer,
    UnitPolicy,
)
from icn_client import credit, transactions
from icn_client.decisions import GOVERNED, decided
from icn_client.transactions import KeyPair
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.suites import Suite, verify
from icn_crypto.wire import parse_canonical
from icn_machine.parsing import parse_transaction

GENESIS_HASH = bytes(range(32))
ID = b"i" * 16
KEYS = [KeyPair.generate() for _ in range(3)]
CALL = transactions.contract_call(b"{}", 1_000, declared=[LeafName(namespace=3, identifier=ID)])

MESSAGES = {
    "open_controller": transactions.open_controller(
        ID, 2, [transactions.controller_key(key.public_keys) for key in KEYS]
    ),
    "update_controller": transactions.update_controller(
        1, [transactions.controller_key(KEYS[0].public_keys)]
    ),
    "start_recovery": transactions.start_recovery(
        ID, 2, [transactions.controller_key(key.public_keys) for key in KEYS]
    ),
    "record_equivocation": transactions.record_equivocation(b"a proof"),
    "change_validators": transactions.change_validators(b"h" * 32, [SeatChange(remove=ID)]),
    "rekey_seat": transactions.rekey_seat(b"h" * 32, SeatOffer(keys=[OfferedKey(suite=1)])),
    "activate_protocol": transactions.activate_protocol(2),
    "cancel_recovery": transactions.cancel_recovery(ID),
    "complete_recovery": transactions.complete_recovery(ID),
    "set_recovery": transactions.set_recovery(transactions.recovery_policy(b"g" * 16, 5)),
    "create_unit": transactions.create_unit(ID, "HOURS", 2, -50_000),
    "open_account": transactions.open_account(ID, b"u" * 16),
    "set_floor": transactions.set_floor(ID, -(2**62)),
    "transfer": transactions.transfer(ID, b"d" * 16, 2**62, b"m" * 32),
    "place_hold": transactions.place_hold(ID, b"s" * 16, b"d" * 16, 5, 1),
    "capture_hold": transactions.capture_hold(ID, 5),
    "void_hold": transactions.void_hold(ID),
    "anchor": transactions.anchor(b"d" * 32, "minutes/2026"),
    "set_allowance": transactions.set_allowance(
        ID,
        bytes_per_epoch=2**40,
        signatures_per_epoch=1,
        state_leaves=2,
        fuel_per_epoch=3,
        new_leaves_per_epoch=4,
    ),
    "enact_decision": transactions.enact_decision(
        b"decision", [Countersignature(signer=bytes([9 - index]) * 16) for index in range(3)]
    ),
    "apply_for_membership": transactions.apply_for_membership(ID),
    "vouch_for_applicant": transactions.vouch_for_applicant(ID, b"a" * 16),
    "admit_member": transactions.admit_member(ID),
    "end_membership": transactions.end_membership(ID, b"a" * 16),
    "open_poll": transactions.open_poll(ID, b"o" * 16, b"d" * 32, 5),
    "cast_ballot": transactions.cast_ballot(ID, b"c" * 32, b"o" * 16),
    "start_sponsorship": transactions.start_sponsorship(ID),
    "end_sponsorship": transactions.end_sponsorship(ID),
    "set_zone_authority": transactions.set_zone_authority(ID),
    "store_code": transactions.store_code(b"\0asm"),
    "instantiate_contract": transactions.instantiate_contract(ID, b"c" * 32, CALL),
    "execute_contract": transactions.execute_contract(ID, CALL),
    "transfer_legs": credit.transfer_legs(
        [Transfer(source=ID, destination=bytes([n]) * 16, amount_minor=n) for n in (1, 2)]
    ),
    "offer_exchange": credit.offer_exchange(
        ID,
        give_account=b"g" * 16,
        give_minor=10,
        take_account=b"t" * 16,
        take_minor=25,
        expire_time_ms=9,
        taker=b"p" * 16,
    ),
    "take_exchange": credit.take_exchange(
        ID,
        source=b"s" * 16,
        take_account=b"t" * 16,
        destination=b"d" * 16,
        give_account=b"g" * 16,
        give_minor=4,
        pay_minor=10,
    ),
    "void_exchange": credit.void_exchange(ID),
    "order_transfers": credit.order_transfers(
        ID, b"s" * 16, b"d" * 16, 5, 9, every_months=1, times=12, memo_hash=b"m" * 32, reference=b"r"
    ),
    "cancel_order": credit.cancel_order(ID),
    "release_order": credit.release_order(ID, b"s" * 16, b"d" * 16, 5),
    "set_unit_policy": credit.set_unit_policy(ID, UnitPolicy(soft_ppm=800_000)),
    "freeze_account": credit.freeze_account(ID, 9),
    "pledge_account": credit.pledge_account(ID, 5),
    "write_off": credit.write_off(ID, 5, b"m" * 32),
    "close_account": credit.close_account(ID, b"o" * 16),
    "confirm_openings": credit.confirm_openings(ID, [b"b" * 16, b"a" * 16]),
    "close_period": credit.close_period(ID, 9, b"d" * 32),
    "charge_demurrage": credit.charge_demurrage([b"b" * 16, b"a" * 16]),
}


def body_of(message: Message, sequence: int = 1, lane: int = 0) -> bytes:
    return transactions.build_body(
        principal=ID,
        payer=b"p" * 16,
        lane=lane,
        sequence=sequence,
        expire_time_ms=1_700_000_000_000,
        messages=[message],
    )


def test_every_kind_of_message_can_be_built() -> None:
    assert set(MESSAGES) == {field.name for field in Message.DESCRIPTOR.fields}


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_a_signed_transaction_is_canonical_and_verifies(kind: str) -> None:
    body = body_of(MESSAGES[kind])
    assert parse_canonical(TransactionBody, body, 65_536).messages[0].WhichOneof("kind") == kind
    signed = transactions.sign(GENESIS_HASH, body, KEYS)
    parsed = parse_canonical(Transaction, signed.data, 65_536)
    assert parsed.body == body
    assert [entry.key_id for entry in parsed.signatures] == sorted(key.key_id for key in KEYS)
    by_id = {key.key_id: key for key in KEYS}
    for entry in parsed.signatures:
        public_key = by_id[entry.key_id].public_keys[Suite.ED25519]
        message = preimage(tags.TRANSACTION, GENESIS_HASH, body)
        assert verify(Suite.ED25519, public_key, message, entry.signature)


def test_the_id_names_the_body_and_the_zone_but_not_the_signatures() -> None:
    body = body_of(MESSAGES["transfer"])
    one = transactions.sign(GENESIS_HASH, body, KEYS[:1])
    two = transactions.sign(GENESIS_HASH, body, KEYS[:2])
    assert one.transaction_id == two.transaction_id == domain_hash(tags.TRANSACTION_ID, GENESIS_HASH, body)
    assert one.data != two.data
    assert transactions.sign(bytes(32), body, KEYS[:1]).transaction_id != one.transaction_id


def test_a_key_with_both_suites_can_sign_with_either() -> None:
    key = KeyPair.generate((Suite.ML_DSA_65, Suite.ED25519))
    assert list(key.public_keys) == [Suite.ED25519, Suite.ML_DSA_65], (
        "ascending by suite, as controllers list them"
    )
    body = body_of(MESSAGES["anchor"])
    for suite in key.public_keys:
        signed = transactions.sign(GENESIS_HASH, body, [key], suite)
        (entry,) = Transaction.FromString(signed.data).signatures
        assert entry.suite == suite
        assert verify(
            suite, key.public_keys[suite], preimage(tags.TRANSACTION, GENESIS_HASH, body), entry.signature
        )


def test_controller_keys_are_put_in_order_of_their_ids() -> None:
    for listed in (MESSAGES["open_controller"].open_controller, MESSAGES["start_recovery"].start_recovery):
        found = [entry.public_keys[0].public_key for entry in listed.keys]
        assert found == [key.public_keys[Suite.ED25519] for key in sorted(KEYS, key=lambda key: key.key_id)]


@pytest.mark.parametrize("kind", sorted(name for name in MESSAGES if hasattr(credit, name)))
def test_what_is_built_is_what_the_ledger_reads(kind: str) -> None:
    signed = transactions.sign(GENESIS_HASH, body_of(MESSAGES[kind]), KEYS[:1])
    (read,) = parse_transaction(signed.data, GENESIS_HASH).messages
    assert type(read).__name__ == "".join(word.capitalize() for word in kind.split("_"))


def test_an_account_waits_only_where_its_owner_brings_something_even_if_that_is_nothing() -> None:
    plain, brings, nothing = (
        transactions.open_account(ID, b"u" * 16, opening_minor=minor).open_account for minor in (None, -5, 0)
    )
    assert (plain.is_opening, plain.opening_minor) == (False, 0)
    assert (brings.is_opening, brings.opening_minor) == (True, -5)
    assert (nothing.is_opening, nothing.opening_minor) == (True, 0)


def test_an_allowance_sets_every_limit_that_there_is() -> None:
    limits = MESSAGES["set_allowance"].set_allowance.limits
    assert {field.name for field, _ in limits.ListFields()} == set(limits.DESCRIPTOR.fields_by_name)
    bare = transactions.set_allowance(ID, bytes_per_epoch=1, signatures_per_epoch=1, state_leaves=1)
    assert bare.set_allowance.limits.new_leaves_per_epoch == 0, "as many as state leaves"


def test_accounts_that_are_named_together_are_put_in_order() -> None:
    for listed in (
        MESSAGES["confirm_openings"].confirm_openings,
        MESSAGES["charge_demurrage"].charge_demurrage,
    ):
        assert list(listed.accounts) == [b"a" * 16, b"b" * 16]


def test_a_decision_does_what_a_message_of_a_unit_s_authority_does_and_nothing_else() -> None:
    actions = {field.name for field in DecisionAction.DESCRIPTOR.fields}
    for kind, message in MESSAGES.items():
        if kind in GOVERNED:
            assert getattr(decided(message), kind) == getattr(message, kind)
        elif kind not in actions:
            with pytest.raises(ValueError, match=kind):
                decided(message)
    assert actions >= GOVERNED


@pytest.mark.parametrize(
    ("part", "price"), [(1, 3), (4, 10), (10, 25), (9, 23)], ids=["up", "exact", "all", "nearly all"]
)
def test_a_part_of_an_offer_costs_its_share_rounded_up(part: int, price: int) -> None:
    assert credit.exchange_price(part, 10, 25) == price


def test_countersignatures_are_put_in_order_of_their_signers() -> None:
    signers = [entry.signer[0] for entry in MESSAGES["enact_decision"].enact_decision.countersignatures]
    assert signers == [7, 8, 9]


def test_a_recovery_policy_is_there_only_when_given() -> None:
    policy = transactions.recovery_policy(b"g" * 16, 5)
    opened = transactions.open_controller(ID, 1, [], policy).open_controller
    assert opened.recovery == transactions.set_recovery(policy).set_recovery.recovery == policy
    assert not transactions.open_controller(ID, 1, []).open_controller.HasField("recovery")
    assert not transactions.set_recovery(None).set_recovery.HasField("recovery")


def test_a_scope_names_message_kinds_by_number() -> None:
    scope = transactions.key_scope(
        ["place_hold", "transfer"], amount_minor_max=100, accounts=[b"b" * 16, b"a" * 16], expire_time_ms=9
    )
    assert list(scope.message_kinds) == [6, 7]
    assert list(scope.accounts) == [b"a" * 16, b"b" * 16]
    key = transactions.controller_key(KEYS[0].public_keys, scope)
    assert key.scope.amount_minor_max == 100
    assert not transactions.controller_key(KEYS[0].public_keys).HasField("scope")


@given(st.integers(0, 15), st.integers(1, 2**62))
def test_lane_and_sequence_change_the_id(lane: int, sequence: int) -> None:
    message = MESSAGES["void_hold"]
    this = transactions.transaction_id(GENESIS_HASH, body_of(message, sequence, lane))
    assert this != transactions.transaction_id(GENESIS_HASH, body_of(message, sequence + 1, lane))
    assert this != transactions.transaction_id(GENESIS_HASH, body_of(message, sequence, (lane + 1) % 16))


def test_new_ids_are_sixteen_bytes_and_differ() -> None:
    made = {transactions.new_identifier() for _ in range(100)}
    assert len(made) == 100 and {len(one) for one in made} == {16}
