from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn_chain.malformed import MalformedMessage
from icn_consensus.domain.records import Record, RecordKind, decode_record, encode_record

u64 = st.integers(0, 2**64 - 1)


@given(kind=st.sampled_from(list(RecordKind)), epoch=u64, view=u64, message=st.binary(), block=st.binary())
def test_a_record_is_read_back(kind: RecordKind, epoch: int, view: int, message: bytes, block: bytes) -> None:
    record = Record(kind, epoch, view, message, block if kind == RecordKind.NOTARIZE else b"")
    assert decode_record(encode_record(record)) == record


def test_a_record_is_laid_out_as_the_spec_says() -> None:
    record = Record(RecordKind.NOTARIZE, 1, 2, b"vote", b"block")
    assert encode_record(record) == b"\2" + bytes(7) + b"\1" + bytes(7) + b"\2" + b"\0\0\0\4voteblock"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        bytes(20),
        b"\0" + bytes(20),
        b"\6" + bytes(20),
        b"\x08" + bytes(20),
        b"\3" + bytes(16) + b"\0\0\0\2a",
        b"\3" + bytes(16) + b"\0\0\0\1ab",
    ],
)
def test_a_malformed_record_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(payload)
