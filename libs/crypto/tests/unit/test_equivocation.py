"""Proof of equivocation: one encoding, only real contradictions, only the seat's own signatures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_crypto import tags
from icn_crypto.equivocation import (
    EQUIVOCATION_BYTES_MAX,
    EquivocationInvalid,
    Statement,
    StatementKind,
    make,
    parse,
)
from icn_crypto.hashing import preimage
from icn_crypto.suites import SigningKey, Suite

GENESIS = b"g" * 32
KEY = SigningKey.from_seed(Suite.ED25519, bytes(range(32)))
A, B = b"a" * 32, b"b" * 32
TAGS = {
    StatementKind.PROPOSAL: tags.PROPOSAL,
    StatementKind.NOTARIZE: tags.NOTARIZE,
    StatementKind.NULLIFY: tags.NULLIFY,
    StatementKind.FINALIZE: tags.FINALIZE,
}


def say(
    kind: StatementKind,
    block_hash: bytes = bytes(32),
    *,
    epoch: int = 1,
    view: int = 7,
    height: int = 5,
    genesis: bytes = GENESIS,
    key: SigningKey = KEY,
) -> Statement:
    place = (1).to_bytes(4, "big") + epoch.to_bytes(8, "big") + view.to_bytes(8, "big")
    height = 0 if kind is StatementKind.NULLIFY else height
    parent_view = (view - 1).to_bytes(8, "big") if kind is StatementKind.PROPOSAL else b""
    body = place + height.to_bytes(8, "big") + parent_view + block_hash
    return Statement(kind, body, key.sign(preimage(TAGS[kind], genesis, body)))


CONTRADICTIONS: dict[str, Callable[[], tuple[Statement, Statement]]] = {
    "two proposals": lambda: (say(StatementKind.PROPOSAL, A), say(StatementKind.PROPOSAL, B)),
    "two notarizes": lambda: (say(StatementKind.NOTARIZE, A), say(StatementKind.NOTARIZE, B)),
    "two finalizes": lambda: (say(StatementKind.FINALIZE, A), say(StatementKind.FINALIZE, A, height=6)),
    "finalize and nullify": lambda: (say(StatementKind.FINALIZE, A), say(StatementKind.NULLIFY)),
}
COMPATIBLE: dict[str, Callable[[], tuple[Statement, Statement]]] = {
    "the same twice": lambda: (say(StatementKind.NOTARIZE, A), say(StatementKind.NOTARIZE, A)),
    "notarize and nullify": lambda: (say(StatementKind.NOTARIZE, A), say(StatementKind.NULLIFY)),
    "notarize and finalize": lambda: (say(StatementKind.NOTARIZE, A), say(StatementKind.FINALIZE, A)),
    "proposal and notarize": lambda: (say(StatementKind.PROPOSAL, A), say(StatementKind.NOTARIZE, B)),
    "two views": lambda: (say(StatementKind.NOTARIZE, A), say(StatementKind.NOTARIZE, B, view=8)),
    "two epochs": lambda: (say(StatementKind.FINALIZE, A), say(StatementKind.NULLIFY, epoch=2)),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_contradiction_is_proven_in_either_order_by_the_same_bytes(name: str) -> None:
    one, other = CONTRADICTIONS[name]()
    proof = make(3, one, other)
    assert proof == make(3, other, one)
    data = proof.encode()
    assert parse(data) == proof
    assert len(data) <= EQUIVOCATION_BYTES_MAX
    assert (proof.seat, proof.epoch, proof.view) == (3, 1, 7)
    assert proof.is_signed(GENESIS, KEY.public_key)


@pytest.mark.parametrize("name", COMPATIBLE)
def test_what_an_honest_validator_may_say_is_no_proof(name: str) -> None:
    one, other = sorted(COMPATIBLE[name]())
    with pytest.raises(EquivocationInvalid):
        make(0, one, other)
    data = bytes(4)
    for said in (one, other):
        data += bytes([said.kind]) + len(said.body).to_bytes(4, "big") + said.body + said.signature
    with pytest.raises(EquivocationInvalid):
        parse(data)


def test_only_the_seats_key_of_this_zone_has_signed() -> None:
    other_key = SigningKey.from_seed(Suite.ED25519, b"o" * 32)
    one, other = CONTRADICTIONS["two notarizes"]()
    assert not make(0, one, other).is_signed(b"h" * 32, KEY.public_key)
    assert not make(0, one, other).is_signed(GENESIS, other_key.public_key)
    foreign = say(StatementKind.NOTARIZE, B, genesis=b"h" * 32)
    assert not make(0, one, foreign).is_signed(GENESIS, KEY.public_key)
    moved = Statement(StatementKind.FINALIZE, one.body, one.signature)  # signed under another tag
    assert not make(0, moved, say(StatementKind.FINALIZE, B)).is_signed(GENESIS, KEY.public_key)


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_no_changed_byte_leaves_a_valid_proof(name: str) -> None:
    data = make(3, *CONTRADICTIONS[name]()).encode()
    for position in range(4, len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            proof = parse(bytes(changed))
        except EquivocationInvalid:
            continue
        assert not proof.is_signed(GENESIS, KEY.public_key), position


@given(st.binary(max_size=EQUIVOCATION_BYTES_MAX + 8))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(EquivocationInvalid):
        parse(data)


def test_neither_more_nor_fewer_bytes_nor_the_other_order() -> None:
    proof = make(1, *CONTRADICTIONS["two proposals"]())
    data = proof.encode()
    for wrong in (data[:-1], data + b"\0", data[:4], data[:4] + data[141:] + data[4:141], b""):
        with pytest.raises(EquivocationInvalid):
            parse(wrong)


@pytest.mark.parametrize("field", ["epoch", "view", "height"])
def test_numbers_that_no_database_holds_are_refused(field: str) -> None:
    for number, is_small_enough in ((2**63 - 1, True), (2**63, False)):
        one, other = (say(StatementKind.FINALIZE, block_hash, **{field: number}) for block_hash in (A, B))
        data = make(0, one, other).encode()
        if is_small_enough:
            assert parse(data).encode() == data
        else:
            with pytest.raises(EquivocationInvalid, match="above"):
                parse(data)
