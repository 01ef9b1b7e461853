"""Proof of equivocation: one encoding, only real contradictions, only the seat's own signatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_chain.certificate import VOTE_TAGS, VoteKind
from icn_chain.equivocation import (
    EQUIVOCATION_BYTES_MAX,
    PROPOSAL,
    Equivocation,
    Statement,
    What,
    are_contrary,
    make,
)
from icn_chain.evidence import parse
from icn_chain.grounds import Grounds
from icn_chain.malformed import EvidenceInvalid
from icn_chain.validator_set import Validator, ValidatorSet
from icn_crypto import tags
from icn_crypto.hashing import preimage
from icn_crypto.suites import SigningKey, Suite

GENESIS = b"g" * 32
KEY = SigningKey.from_seed(Suite.ED25519, bytes(range(32)))
A, B = b"a" * 32, b"b" * 32
TAGS = {PROPOSAL: tags.PROPOSAL, **VOTE_TAGS}


@dataclass(frozen=True)
class Zone:
    """All that is asked of genesis here."""

    hash: bytes
    time_ms: int = 0

    def epoch_of(self, time_ms: int) -> int:
        return time_ms // 1_000


OTHERS = [SigningKey.generate(Suite.ED25519) for _ in range(3)]


def is_signed(proof: Equivocation, genesis: bytes = GENESIS, key: SigningKey = KEY) -> bool:
    """Whether it is of the seat, when that has this key."""
    keys = [other.public_key for other in OTHERS]
    keys.insert(proof.seat, key.public_key)
    seats = ValidatorSet.of(Validator(b"o" * 16, ((int(Suite.ED25519), one),)) for one in keys)
    try:
        proof.check(Grounds(Zone(genesis), seats))
    except EvidenceInvalid:
        return False
    return True


def say(
    kind: int,
    block_hash: bytes = bytes(32),
    *,
    epoch: int = 1,
    view: int = 7,
    height: int = 5,
    parent_view: int = 6,
    genesis: bytes = GENESIS,
    key: SigningKey = KEY,
) -> Statement:
    place = (1).to_bytes(4, "big") + epoch.to_bytes(8, "big") + view.to_bytes(8, "big")
    height = 0 if kind == VoteKind.NULLIFY else height
    parent = parent_view.to_bytes(8, "big") if kind == PROPOSAL else b""
    body = place + height.to_bytes(8, "big") + parent + block_hash
    return Statement(kind, body, key.sign(preimage(TAGS[kind], genesis, body)))


CONTRADICTIONS: dict[str, Callable[[], tuple[Statement, Statement]]] = {
    "two proposals": lambda: (say(PROPOSAL, A), say(PROPOSAL, B)),
    "two notarizes": lambda: (say(VoteKind.NOTARIZE, A), say(VoteKind.NOTARIZE, B)),
    "two finalizes": lambda: (say(VoteKind.FINALIZE, A), say(VoteKind.FINALIZE, A, height=6)),
    "finalize and nullify": lambda: (say(VoteKind.FINALIZE, A), say(VoteKind.NULLIFY)),
    "a proposal and a notarize of another block": lambda: (say(PROPOSAL, A), say(VoteKind.NOTARIZE, B)),
    "a proposal and a notarize at another height": lambda: (
        say(PROPOSAL, A),
        say(VoteKind.NOTARIZE, A, height=6),
    ),
    "one block on two parents": lambda: (say(PROPOSAL, A), say(PROPOSAL, A, parent_view=5)),
}
COMPATIBLE: dict[str, Callable[[], tuple[Statement, Statement]]] = {
    "the same twice": lambda: (say(VoteKind.NOTARIZE, A), say(VoteKind.NOTARIZE, A)),
    "notarize and nullify": lambda: (say(VoteKind.NOTARIZE, A), say(VoteKind.NULLIFY)),
    "notarize and finalize": lambda: (say(VoteKind.NOTARIZE, A), say(VoteKind.FINALIZE, A)),
    "proposal and notarize": lambda: (say(PROPOSAL, A), say(VoteKind.NOTARIZE, A)),
    "proposal and nullify": lambda: (say(PROPOSAL, A), say(VoteKind.NULLIFY)),
    "proposal, and finalize of what others notarized": lambda: (say(PROPOSAL, A), say(VoteKind.FINALIZE, B)),
    "notarize, and finalize of what others notarized": lambda: (
        say(VoteKind.NOTARIZE, A),
        say(VoteKind.FINALIZE, B),
    ),
    "two views": lambda: (say(VoteKind.NOTARIZE, A), say(VoteKind.NOTARIZE, B, view=8)),
    "two epochs": lambda: (say(VoteKind.FINALIZE, A), say(VoteKind.NULLIFY, epoch=2)),
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
    assert is_signed(proof)


@pytest.mark.parametrize("name", COMPATIBLE)
def test_what_an_honest_validator_may_say_is_no_proof(name: str) -> None:
    one, other = sorted(COMPATIBLE[name]())
    with pytest.raises(EvidenceInvalid):
        make(0, one, other)
    data = bytes(4)
    for said in (one, other):
        data += bytes([said.kind]) + len(said.body).to_bytes(4, "big") + said.body + said.signature
    with pytest.raises(EvidenceInvalid):
        parse(data)


def test_what_is_contrary_is_so_in_either_order() -> None:
    whats: dict[int, list[What]] = {PROPOSAL: [(5, A, 6), (5, B, 6), (5, A, 5)], VoteKind.NULLIFY: [(0, b"")]}
    said = [(kind, what) for kind in TAGS for what in whats.get(kind, [(5, A), (5, B), (6, A)])]
    for (kind, what), (other_kind, other) in product(said, said):
        assert are_contrary(kind, what, other_kind, other) == are_contrary(other_kind, other, kind, what)


def test_only_the_seats_key_of_this_zone_has_signed() -> None:
    other_key = SigningKey.from_seed(Suite.ED25519, b"o" * 32)
    one, other = CONTRADICTIONS["two notarizes"]()
    assert not is_signed(make(0, one, other), genesis=b"h" * 32)
    assert not is_signed(make(0, one, other), key=other_key)
    foreign = say(VoteKind.NOTARIZE, B, genesis=b"h" * 32)
    assert not is_signed(make(0, one, foreign))
    moved = Statement(VoteKind.FINALIZE, one.body, one.signature)  # signed under another tag
    assert not is_signed(make(0, moved, say(VoteKind.FINALIZE, B)))


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_no_changed_byte_leaves_a_valid_proof(name: str) -> None:
    data = make(3, *CONTRADICTIONS[name]()).encode()
    for position in range(4, len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        try:
            proof = parse(bytes(changed))
        except EvidenceInvalid:
            continue
        assert not is_signed(proof), position


@given(st.binary(max_size=EQUIVOCATION_BYTES_MAX + 8))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceInvalid):
        parse(data)


def test_neither_more_nor_fewer_bytes_nor_the_other_order() -> None:
    proof = make(1, *CONTRADICTIONS["two proposals"]())
    data = proof.encode()
    for wrong in (data[:-1], data + b"\0", data[:4], data[:4] + data[141:] + data[4:141], b""):
        with pytest.raises(EvidenceInvalid):
            parse(wrong)


@pytest.mark.parametrize("field", ["epoch", "view", "height"])
def test_numbers_that_no_database_holds_are_refused(field: str) -> None:
    for number, is_small_enough in ((2**63 - 1, True), (2**63, False)):
        one, other = (say(VoteKind.FINALIZE, block_hash, **{field: number}) for block_hash in (A, B))
        data = make(0, one, other).encode()
        if is_small_enough:
            assert parse(data).encode() == data
        else:
            with pytest.raises(EvidenceInvalid, match="above"):
                parse(data)
