"""What a hostile or broken client may send to the gateway, and which reason it gets; nothing takes effect."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from icn.ledger.v1.transaction_pb2 import Transaction
from icn_client import transactions
from icn_client.acting import Actor
from icn_client.transactions import KeyPair, Signed
from icn_crypto.suites import Suite

LANE = 9
"""Of no other test: each lane counts its own sequence."""
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's base point (RFC 8032, 5.1)."""
MINUTE_MS = 60_000


def soon() -> int:
    return time.time_ns() // 1_000_000 + 5 * MINUTE_MS


def an_anchor() -> Any:
    return transactions.anchor(secrets.token_bytes(32), "e2e/refusals")


class Door:
    """The gateway as a client of another make sees it."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def send(self, transaction: bytes) -> httpx.Response:
        return self.client.post(
            "/v1/transactions",
            params={"wait_ms": 20_000},
            content=transaction,
            headers={"content-type": "application/octet-stream"},
        )

    def refuses(self, transaction: bytes, status: int, reason: str) -> None:
        answer = self.send(transaction)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason), answer.text
        assert answer.headers["content-type"] == "application/problem+json"

    def commits(self, signed: Signed) -> Any:
        answer = self.send(signed.data)
        assert answer.status_code == 200, answer.text
        assert answer.json()["receipt"]["status"] == "applied", answer.text
        return answer.json()


@pytest.fixture
def door(federation: Any) -> Iterator[Door]:
    with httpx.Client(base_url=federation.gateway_url, timeout=60) as client:
        yield Door(client)


@pytest.fixture
def workshop(federation: Any, door: Door) -> Actor:
    """A founding co-op on a lane of its own."""
    keys = federation.founders[3]
    principal = keys.founder.principal
    lanes = door.client.get(f"/v1/principals/{principal.hex()}").json()["lanes"]
    used = {lane["lane"]: lane["last_sequence"] for lane in lanes}
    return Actor(
        federation.network.genesis.hash,
        principal,
        principal,
        [KeyPair(keys.keys.values())],
        lane=LANE,
        next_sequence=used.get(LANE, 0) + 1,
    )


def changed(signed: Signed, change: Callable[[Any], None]) -> bytes:
    """The transaction with something about its envelope changed."""
    transaction = Transaction.FromString(signed.data)
    change(transaction)
    serialized: bytes = transaction.SerializeToString(deterministic=True)
    return serialized


def test_the_same_bytes_give_the_first_answer_however_often_they_are_sent(
    door: Door, workshop: Actor
) -> None:
    signed = workshop.sign([an_anchor()], soon())
    first = door.commits(signed)
    assert [door.commits(signed) for _ in range(3)] == [first] * 3
    assert first["transaction_id"] == signed.transaction_id.hex()


def test_another_valid_signature_is_the_same_transaction(door: Door, workshop: Actor) -> None:
    message = [an_anchor()]
    expire_time_ms = soon()
    signed = workshop.sign(message, expire_time_ms)
    first = door.commits(signed)
    body = Transaction.FromString(signed.data).body
    again = transactions.sign(workshop.genesis_hash, body, workshop.keys, Suite.ML_DSA_65)
    assert again.data != signed.data
    assert door.commits(again) == first


def test_a_transaction_signed_for_another_zone_is_noise_here(door: Door, workshop: Actor) -> None:
    workshop.genesis_hash = secrets.token_bytes(32)
    door.refuses(workshop.sign([an_anchor()], soon()).data, 403, "SIGNATURE_INVALID")


def test_a_signature_made_malleable_is_refused(door: Door, workshop: Actor) -> None:
    def add_group_order(transaction: Any) -> None:
        signature = transaction.signatures[0].signature
        scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
        transaction.signatures[0].signature = signature[:32] + scalar.to_bytes(32, "little")

    door.refuses(changed(workshop.sign([an_anchor()], soon()), add_group_order), 403, "SIGNATURE_INVALID")


def test_a_flipped_bit_anywhere_in_the_body_is_never_committed(door: Door, workshop: Actor) -> None:
    signed = workshop.sign([an_anchor()], soon())
    body = bytearray(Transaction.FromString(signed.data).body)
    for position in range(0, len(body), 7):
        flipped = bytearray(body)
        flipped[position] ^= 1

        def replace(transaction: Any, flipped: bytes = bytes(flipped)) -> None:
            transaction.body = flipped

        answer = door.send(changed(signed, replace))
        assert 400 <= answer.status_code < 500, (position, answer.text)


def test_a_used_sequence_is_refused_to_another_transaction(door: Door, workshop: Actor) -> None:
    sequence = workshop.next_sequence
    door.commits(workshop.sign([an_anchor()], soon()))
    door.refuses(workshop.sign_as([an_anchor()], soon(), sequence).data, 409, "SEQUENCE_USED")


def test_expiry_has_two_borders(door: Door, workshop: Actor) -> None:
    now_ms = soon() - 5 * MINUTE_MS
    door.refuses(workshop.sign_as([an_anchor()], 1, workshop.next_sequence).data, 409, "EXPIRED")
    too_far = now_ms + 25 * 60 * MINUTE_MS
    door.refuses(workshop.sign_as([an_anchor()], too_far, workshop.next_sequence).data, 400, "EXPIRY_TOO_FAR")


def test_strangers_and_their_keys_are_refused(door: Door, workshop: Actor) -> None:
    stranger = KeyPair.generate()
    workshop.keys = [stranger]
    door.refuses(workshop.sign_as([an_anchor()], soon(), workshop.next_sequence).data, 403, "KEY_UNKNOWN")
    workshop.principal = workshop.payer = secrets.token_bytes(16)
    door.refuses(workshop.sign_as([an_anchor()], soon(), 1).data, 403, "CONTROLLER_UNKNOWN")


def test_somebody_else_does_not_pay(door: Door, workshop: Actor, federation: Any) -> None:
    workshop.payer = federation.founders[0].founder.principal
    door.refuses(
        workshop.sign_as([an_anchor()], soon(), workshop.next_sequence).data, 403, "PAYER_NOT_ALLOWED"
    )


def test_a_scoped_key_acts_only_within_its_scope(door: Door, workshop: Actor) -> None:
    key, principal = KeyPair.generate(), secrets.token_bytes(16)
    owner = KeyPair.generate()
    scope = transactions.key_scope(["anchor"])
    keys = [
        transactions.controller_key(owner.public_keys),
        transactions.controller_key(key.public_keys, scope),
    ]
    door.commits(workshop.sign([transactions.open_controller(principal, 1, keys)], soon()))
    member = Actor(workshop.genesis_hash, principal, workshop.principal, [key])
    unit = transactions.create_unit(secrets.token_bytes(16), "SCOPED", 0)
    door.refuses(member.sign_as([unit], soon(), 1).data, 403, "KEY_SCOPE_EXCEEDED")
    door.refuses(member.sign_as([an_anchor(), unit], soon(), 1).data, 403, "KEY_SCOPE_EXCEEDED")
    door.commits(member.sign([an_anchor()], soon()))


@pytest.mark.parametrize(
    "garble",
    [
        lambda data: data + b"\x18\x01",
        lambda data: data + data,
        lambda data: data[:-1],
        lambda data: b"\x0a\x81\x80\x00" + data[3:],
        lambda data: bytes(len(data)),
        lambda data: secrets.token_bytes(500),
        lambda data: data[:2] + secrets.token_bytes(65_000),
    ],
    ids=["unknown field", "twice", "cut", "long varint", "zeros", "noise", "long noise"],
)
def test_bytes_of_another_form_are_malformed(
    door: Door, workshop: Actor, garble: Callable[[bytes], bytes]
) -> None:
    signed = workshop.sign_as([an_anchor()], soon(), workshop.next_sequence)
    door.refuses(garble(signed.data), 400, "MALFORMED_TRANSACTION")


def test_a_transaction_over_the_limit_is_refused_before_it_is_read(door: Door) -> None:
    door.refuses(bytes(65_537), 400, "MALFORMED_TRANSACTION")
    door.refuses(bytes(200_000), 413, "BODY_TOO_LARGE")


def test_after_all_this_the_validators_agree_and_go_on(door: Door, workshop: Actor) -> None:
    door.commits(workshop.sign([an_anchor()], soon()))
    seats = door.client.get("/v1/validators").json()["validators"]
    assert [seat["is_reachable"] for seat in seats] == [True] * 4
