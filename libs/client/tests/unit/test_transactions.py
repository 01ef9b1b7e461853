"""Transactions as they are made: canonical, signed for one zone, named without their signatures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1.transaction_pb2 import (
    Countersignature,
    LeafName,
    Message,
    OfferedKey,
    SeatChange,
    SeatOffer,
    Transaction,
    TransactionBody,
)
from icn_client import transactions
from icn_client.transactions import KeyPair
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage
from icn_crypto.suites import Suite, verify
from icn_crypto.wire import parse_canonical

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
    "cancel_recovery": transactions.cancel_recovery(ID),
    "complete_recovery": transactions.complete_recovery(ID),
    "set_recovery": transactions.set_recovery(transactions.recovery_policy(b"g" * 16, 5)),
    "create_unit": transactions.create_unit(ID, "HOURS", 2, -50_000),
    "open_account": transactions.open_account(ID, b"u" * 16),
    "set_floor": transactions.set_floor(ID, transactions.FLOOR_NONE_MINOR),
    "transfer": transactions.transfer(ID, b"d" * 16, 2**62, b"m" * 32),
    "place_hold": transactions.place_hold(ID, b"s" * 16, b"d" * 16, 5, 1),
    "capture_hold": transactions.capture_hold(ID, 5),
    "void_hold": transactions.void_hold(ID),
    "anchor": transactions.anchor(b"d" * 32, "minutes/2026"),
    "set_allowance": transactions.set_allowance(
        ID, bytes_per_epoch=2**40, signatures_per_epoch=1, state_leaves=0
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
