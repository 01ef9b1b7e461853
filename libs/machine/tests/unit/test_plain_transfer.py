"""The reader of plain transfers against the parser of everything: the same where it answers."""

from __future__ import annotations

import random
from dataclasses import fields
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icn_machine.limits import QUANTITY_MAX
from icn_machine.messages import Transaction
from icn_machine.parsing import parse_any, parse_transaction
from icn_machine.plain_transfer import read_plain_transfer
from icn_machine.refusals import Malformed

from libs.machine.tests.zone import identifier, make_zone, transfer

ZONE = make_zone()
GENESIS_HASH = ZONE.genesis.hash
A, B, C = identifier("a"), identifier("b"), identifier("c")
BORDERS = [1, 127, 128, 2**14 - 1, 2**14, 2**49, 2**56 - 1]
BEYOND = [0, 2**56, QUANTITY_MAX, QUANTITY_MAX + 1, 2**63 - 1, 2**63, 2**64 - 1]


def varint(value: int, padding: int = 0) -> bytes:
    """The number, with so many bytes more than it needs."""
    written = bytearray()
    while value > 0x7F or padding:
        padding -= value <= 0x7F
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def field(number: int, value: bytes | int, padding: int = 0) -> bytes:
    """A field of a message, a varint or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value, padding)
    return varint(number << 3 | 2) + varint(len(value), padding) + value


def plain(
    *,
    principal: bytes = A,
    payer: bytes = B,
    lane: int = 0,
    sequence: int = 1,
    expire_time_ms: int = 1_700_000_000_000,
    source: bytes = B,
    destination: bytes = C,
    amount_minor: int = 5,
    memo_hash: bytes = b"",
    key_id: bytes = A,
    signature: bytes = bytes(64),
) -> bytes:
    """A transfer as the fast reader should take it."""
    moved = field(1, source) + field(2, destination) + field(3, amount_minor)
    moved += field(4, memo_hash) if memo_hash else b""
    body = field(1, principal) + field(2, payer) + (field(3, lane) if lane else b"") + field(4, sequence)
    body += field(5, expire_time_ms) + field(6, field(6, moved))
    return field(1, body) + field(2, field(1, 1) + field(2, key_id) + field(3, signature))


everything = attrgetter(*[one.name for one in fields(Transaction)])


def agree(data: bytes) -> bool:
    """Whether the fast reader takes these bytes; where it does, it must read what the parser reads."""
    quick = read_plain_transfer(data, GENESIS_HASH)
    if quick is None:
        return False
    thorough = parse_any(data, GENESIS_HASH)
    assert everything(quick) == everything(thorough), data.hex()
    assert type(quick.messages[0]) is type(thorough.messages[0])
    return True


identifiers = st.one_of(
    st.binary(min_size=16, max_size=16), st.sampled_from([A, B, C, bytes(16), b"\xff" * 16, b"\n\x10" * 8])
)
numbers = st.one_of(st.sampled_from(BORDERS), st.integers(1, 2**56 - 1), st.integers(1, 2**44))


@settings(max_examples=500)
@given(
    principal=identifiers,
    payer=identifiers,
    lane=st.integers(0, 15),
    sequence=numbers,
    expire_time_ms=numbers,
    accounts=st.lists(identifiers, min_size=2, max_size=2, unique=True),
    amount_minor=numbers,
    memo_hash=st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
    key_id=identifiers,
    signature=st.binary(min_size=64, max_size=64),
)
def test_every_plain_transfer_is_read_at_once(accounts: list[bytes], **others: Any) -> None:
    assert agree(plain(source=accounts[0], destination=accounts[1], **others))


def test_what_a_wallet_signs_is_a_plain_transfer() -> None:
    for message in (transfer(A, B, 5), transfer(A, B, 5, memo_hash=bytes(32))):
        assert agree(ZONE.transaction(ZONE.organizations[0], message, sequence=1))


@pytest.mark.parametrize("number", BEYOND)
@pytest.mark.parametrize("name", ["sequence", "expire_time_ms", "amount_minor"])
def test_numbers_past_their_border_are_left_to_the_parser(name: str, number: int) -> None:
    assert not agree(plain(**{name: number}))


@pytest.mark.parametrize(
    "change",
    [
        {"source": C, "destination": C},
        {"lane": 16},
        {"lane": 2**32 - 1},
        {"memo_hash": bytes(31)},
        {"memo_hash": bytes(33)},
        {"key_id": bytes(15)},
        {"signature": bytes(65)},
        {"principal": bytes(17)},
        {"payer": b""},
    ],
)
def test_what_breaks_a_static_rule_is_refused_by_the_parser(change: dict[str, Any]) -> None:
    data = plain(**change)
    assert not agree(data)
    with pytest.raises(Malformed):
        parse_transaction(data, GENESIS_HASH)


@pytest.mark.parametrize("data", [plain(), plain(lane=15, amount_minor=2**40, memo_hash=bytes(range(32)))])
def test_each_byte_may_be_any_other_and_each_piece_missing_or_there_twice(data: bytes) -> None:
    changed = [
        data[:place] + bytes([value]) + data[place + 1 :]
        for place in range(len(data))
        for value in range(256)
    ]
    for start in range(len(data)):
        for end in range(start + 1, min(start + 40, len(data) + 1)):
            changed += [data[:start] + data[end:], data[:end] + data[start:]]
    taken = sum(map(agree, changed))
    assert len(data) < taken < len(changed)


@pytest.mark.parametrize("seed", range(5))
def test_fields_in_any_order_number_and_form_are_read_alike_or_left_to_the_parser(seed: int) -> None:
    draw = random.Random(seed)
    taken = sum(agree(odd_transaction(draw)) for _ in range(5_000))
    assert 50 < taken < 4_000


def odd_transaction(draw: random.Random) -> bytes:
    """A transfer with right lengths, and mostly something else wrong with it."""

    def seldom() -> bool:
        return draw.random() < 0.02

    def number(usual: int) -> int:
        return draw.choice(BORDERS + BEYOND) if seldom() else usual

    def size(usual: int) -> bytes:
        return draw.randbytes(draw.choice([0, usual - 1, usual + 1]) if seldom() else usual)

    def message(*pairs: tuple[int, bytes | int]) -> bytes:
        written = [
            field(tag, value, padding=draw.randrange(1, 3) if seldom() else 0)
            for tag, value in pairs
            if value not in (0, b"") or seldom()
        ]
        if seldom():
            draw.shuffle(written)
        if seldom():
            written.insert(draw.randrange(len(written) + 1), draw.choice(written))
        if seldom():
            written.pop(draw.randrange(len(written)))
        if seldom():
            unknown = field(draw.choice([7, 15, 16, 2**20]), draw.choice([0, 1, b"", b"unknown"]))
            written.insert(draw.randrange(len(written) + 1), unknown)
        return b"".join(written)

    memo_hash = draw.choice([b"", size(32)])
    kind = draw.randrange(1, 32) if seldom() else 6
    moved = message((1, size(16)), (2, size(16)), (3, number(draw.randrange(1, 2**20))), (4, memo_hash))
    body = message(
        (1, size(16)),
        (2, size(16)),
        (3, draw.randrange(17)),
        (4, number(draw.randrange(1, 300))),
        (5, number(1_700_000_000_000)),
        (6, message((kind, moved))),
    )
    return message((1, body), (2, message((1, number(1)), (2, size(16)), (3, size(64)))))
