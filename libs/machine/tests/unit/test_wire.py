"""What is written out by hand is what the generated classes write."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from icn.ledger.v1 import state_pb2
from icn_machine.wire import signed, unsigned


@given(number=st.integers(1, 2**64 - 1))
@example(number=127)
@example(number=128)
@example(number=2**14 - 1)
@example(number=2**14)
@example(number=2**28)
@example(number=2**64 - 1)
def test_a_varint_is_as_protobuf_writes_it(number: int) -> None:
    assert b"\x10" + unsigned(number) == state_pb2.Lane(last_sequence=number).SerializeToString()


@given(number=st.integers(-(2**63), 2**63 - 1).filter(bool))
@example(number=-1)
@example(number=2**63 - 1)
@example(number=-(2**63))
def test_a_signed_number_is_as_protobuf_writes_it(number: int) -> None:
    assert b"\x18" + signed(number) == state_pb2.Posting(amount_minor=number).SerializeToString()
