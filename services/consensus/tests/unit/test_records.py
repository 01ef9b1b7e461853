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
    ("payload", "why"),
    [
        (b"", "a record of 0 bytes"),
        (bytes(20), "a record of 20 bytes"),
        (b"\0" + bytes(20), "a record of kind 0 and 21 bytes"),
        (b"\6" + bytes(20), "a record of kind 6 and 21 bytes"),
        (b"\x08" + bytes(20), "a record of kind 8 and 21 bytes"),
        (b"\3" + bytes(16) + b"\0\0\0\2a", "a record of kind 3 and 22 bytes"),
        (b"\3" + bytes(16) + b"\0\0\0\1ab", "only a notarize record holds a block"),
    ],
)
def test_a_malformed_record_is_refused_with_what_is_wrong(payload: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=f"^{why}$"):
        decode_record(payload)
