"""The canonical wire form, on the messages that are signed and stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.ledger.v1 import state_pb2, transaction_pb2
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical

ids = st.binary(min_size=16, max_size=16)
transfers = st.builds(
    transaction_pb2.Transfer,
    source=ids,
    destination=ids,
    amount_minor=st.integers(0, 2**62),
    memo_hash=st.just(b"") | st.binary(min_size=32, max_size=32),
)
bodies = st.builds(
    transaction_pb2.TransactionBody,
    principal=ids,
    payer=ids,
    lane=st.integers(0, 15),
    sequence=st.integers(0, 2**64 - 1),
    expire_time_ms=st.integers(0, 2**64 - 1),
    messages=st.lists(st.builds(transaction_pb2.Message, transfer=transfers), max_size=3),
)


def parse(data: bytes) -> transaction_pb2.TransactionBody:
    return parse_canonical(transaction_pb2.TransactionBody, data, 65_536)


@given(bodies)
def test_what_the_runtime_writes_is_read_back(body: transaction_pb2.TransactionBody) -> None:
    assert parse(body.SerializeToString(deterministic=True)) == body


@given(bodies)
def test_fields_are_written_in_ascending_order(body: transaction_pb2.TransactionBody) -> None:
    data = body.SerializeToString(deterministic=True)
    numbers = []
    position = 0
    while position < len(data):
        number, wire_type = data[position] >> 3, data[position] & 7
        numbers.append(number)
        position += 1
        length = 0
        shift = 0
        while True:
            byte = data[position]
            position += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        position += length if wire_type == 2 else 0
    assert numbers == sorted(numbers)


BODY = transaction_pb2.TransactionBody(principal=b"p" * 16, lane=3, sequence=7)
CANONICAL = BODY.SerializeToString(deterministic=True)
PRINCIPAL, LANE, SEQUENCE = CANONICAL[:18], CANONICAL[18:20], CANONICAL[20:]


@pytest.mark.parametrize(
    "other",
    [
        LANE + PRINCIPAL + SEQUENCE,  # not ascending
        PRINCIPAL + LANE + LANE + SEQUENCE,  # a field twice
        PRINCIPAL + PRINCIPAL + LANE + SEQUENCE,
        PRINCIPAL + b"\x18\x83\x00" + SEQUENCE,  # a longer varint
        PRINCIPAL + b"\x98\x00\x03" + SEQUENCE,  # a longer tag
        PRINCIPAL + b"\x18\x83\x80\x80\x80\x10" + SEQUENCE,  # more than 32 bits
        PRINCIPAL + b"\x12\x00" + LANE + SEQUENCE,  # a default that is written
        PRINCIPAL + LANE + SEQUENCE + b"\x28\x00",
        CANONICAL + b"\xf8\x01\x01",  # an unknown field
        CANONICAL + b"\xfb\x01\xfc\x01",  # an unknown group
        CANONICAL + b"\x32\x05\x32\x03\xf8\x01\x01",  # an unknown field inside a message
    ],
)
def test_any_other_encoding_of_a_message_is_refused(other: bytes) -> None:
    assert parse(CANONICAL) == BODY
    with pytest.raises(NotCanonical):
        parse(other)


def test_two_kinds_in_one_message_are_refused() -> None:
    transfer = transaction_pb2.Message(transfer=transaction_pb2.Transfer(amount_minor=1)).SerializeToString()
    anchor = transaction_pb2.Message(anchor=transaction_pb2.Anchor(topic="a")).SerializeToString()
    parse_canonical(transaction_pb2.Message, transfer, 100)
    with pytest.raises(NotCanonical):
        parse_canonical(transaction_pb2.Message, transfer + anchor, 100)


def test_repeated_numbers_are_packed() -> None:
    scope = transaction_pb2.KeyScope(message_kinds=[6, 7])
    packed = scope.SerializeToString(deterministic=True)
    assert parse_canonical(transaction_pb2.KeyScope, packed, 100) == scope
    with pytest.raises(NotCanonical):
        parse_canonical(transaction_pb2.KeyScope, b"\x08\x06\x08\x07", 100)


def test_an_enum_value_nobody_knows_is_kept_for_the_caller_to_judge() -> None:
    receipt = parse_canonical(state_pb2.Receipt, b"\x10\x63", 100)
    assert receipt.status == 99


@pytest.mark.parametrize(
    "broken", [b"\xff", b"\x0a", b"\x0a\x05ab", b"\x00\x01", b"\x07", CANONICAL[:-1] + b"\x80"]
)
def test_bytes_that_are_no_message_are_malformed(broken: bytes) -> None:
    with pytest.raises(MalformedBytes):
        parse(broken)


def test_text_that_is_not_utf_8_is_malformed() -> None:
    with pytest.raises(MalformedBytes):
        parse_canonical(transaction_pb2.Anchor, b"\x12\x01\xff", 100)


def test_the_size_is_bounded_to_the_byte() -> None:
    assert parse_canonical(transaction_pb2.TransactionBody, CANONICAL, len(CANONICAL)) == BODY
    with pytest.raises(MalformedBytes):
        parse_canonical(transaction_pb2.TransactionBody, CANONICAL, len(CANONICAL) - 1)


def test_the_empty_message_is_canonical() -> None:
    assert parse(b"") == transaction_pb2.TransactionBody()


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_is_what_would_be_written(data: bytes) -> None:
    try:
        body = parse(data)
    except (MalformedBytes, NotCanonical):
        return
    assert body.SerializeToString(deterministic=True) == data
