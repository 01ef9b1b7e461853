from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.consensus.v1 import peer_pb2
from icn_consensus.domain.actions import MessageKind
from icn_consensus.peers import frames, outbox
from icn_consensus.peers.outbox import Outbox
from icn_consensus.usecases.ports import FetchRequest

sizes = st.one_of(st.integers(0, 300), st.sampled_from([16_383, 16_384, 2_097_151, 2_097_152]))


@given(kind=st.sampled_from(list(MessageKind)), size=sizes)
def test_frames_made_by_hand_are_what_protobuf_would_write(kind: MessageKind, size: int) -> None:
    data = b"x" * size
    frame = peer_pb2.PeerFrame(**{kind.value: data})
    assert frames.message_frame(kind, data) == peer_pb2.ConnectRequest(frame=frame).SerializeToString()


@given(transactions=st.lists(st.binary(max_size=300), max_size=20))
def test_a_batch_made_by_hand_is_what_protobuf_would_write(transactions: list[bytes]) -> None:
    batch = peer_pb2.TransactionBatch(transactions=transactions)
    frame = peer_pb2.PeerFrame(transactions=batch)
    expected = peer_pb2.ConnectRequest(frame=frame).SerializeToString()
    assert frames.transactions_frame(transactions) == expected


@given(data=st.binary(max_size=500))
def test_garbage_is_refused_or_read_never_a_crash(data: bytes) -> None:
    try:
        frame = frames.parse_frame(data)
    except frames.MalformedFrame:
        return
    assert frame.WhichOneof("kind") is not None


def test_a_frame_of_exactly_the_limit_is_read_and_one_byte_more_refused() -> None:
    overhead = len(frames.message_frame(MessageKind.PROPOSAL, b"x" * 4_000_000)) - 4_000_000
    data = b"x" * (frames.FRAME_BYTES_MAX - overhead)
    frame = frames.message_frame(MessageKind.PROPOSAL, data)
    assert len(frame) == frames.FRAME_BYTES_MAX
    assert frames.parse_frame(frame).proposal == data
    with pytest.raises(frames.MalformedFrame, match="at most"):
        frames.parse_frame(frames.message_frame(MessageKind.PROPOSAL, data + b"x"))


@pytest.mark.parametrize(
    ("request_", "field", "value"),
    [
        (FetchRequest(1, block_hash=b"h" * 32), "block_hash", b"h" * 32),
        (FetchRequest(2, final_from_height=9), "final_from_height", 9),
        (FetchRequest(3, certificates_from_view=0), "certificates_from_view", 0),
    ],
)
def test_a_request_names_one_thing(request_: FetchRequest, field: str, value: object) -> None:
    frame = frames.parse_frame(frames.fetch_request_frame(request_))
    assert frame.fetch_request.request == request_.request
    assert frame.fetch_request.WhichOneof("what") == field
    assert getattr(frame.fetch_request, field) == value


async def test_votes_go_before_bulk_and_otherwise_first_in_first_out() -> None:
    box = Outbox()
    for name, is_urgent in ((b"batch 1", False), (b"vote 1", True), (b"batch 2", False), (b"vote 2", True)):
        box.put(name, is_urgent=is_urgent)
    assert [await box.take() for _ in range(4)] == [b"vote 1", b"vote 2", b"batch 1", b"batch 2"]


async def test_a_taker_waits_until_something_is_put() -> None:
    box = Outbox()
    taking = asyncio.ensure_future(box.take())
    await asyncio.sleep(0)
    assert not taking.done()
    box.put(b"vote", is_urgent=True)
    assert await taking == b"vote"


async def test_a_full_lane_drops_its_oldest_frames_and_says_how_many() -> None:
    box = Outbox()
    dropped = sum(box.put(b"%d" % n, is_urgent=True) for n in range(outbox.LANE_FRAMES_MAX + 3))
    assert dropped == 3
    assert await box.take() == b"3"


async def test_a_lane_is_bounded_in_bytes_too_but_always_holds_the_newest() -> None:
    box = Outbox()
    half = b"x" * (outbox.LANE_BYTES_MAX // 2)
    assert box.put(half + b"1", is_urgent=False) == 0
    assert box.put(half[:-1], is_urgent=False) == 0
    assert box.put(b"y", is_urgent=False) == 1
    box.clear()
    assert box.put(half + half + b"z", is_urgent=False) == 0
    assert (await box.take())[-1:] == b"z"
