from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

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
    assert await box.take() == [b"vote 1", b"vote 2"]
    assert await box.take() == [b"batch 1", b"batch 2"]


async def test_a_taker_waits_until_something_is_put() -> None:
    box = Outbox()
    taking = asyncio.ensure_future(box.take())
    await asyncio.sleep(0)
    assert not taking.done()
    box.put(b"vote", is_urgent=True)
    assert await taking == [b"vote"]


async def test_a_full_lane_drops_its_oldest_frames_and_says_how_many() -> None:
    box = Outbox()
    dropped = sum(box.put(b"%d" % n, is_urgent=True) for n in range(outbox.LANE_FRAMES_MAX + 3))
    assert dropped == 3
    assert (await box.take())[0] == b"3"


async def test_a_lane_is_bounded_in_bytes_too_but_always_holds_the_newest() -> None:
    box = Outbox()
    half = b"x" * (outbox.LANE_BYTES_MAX // 2)
    assert box.put(half + b"1", is_urgent=False) == 0
    assert box.put(half[:-1], is_urgent=False) == 0
    assert box.put(b"y", is_urgent=False) == 1
    box.clear()
    assert box.put(half + half + b"z", is_urgent=False) == 0
    [frame] = await box.take()
    assert frame[-1:] == b"z"


async def test_a_large_frame_goes_alone_and_small_ones_together_up_to_the_bounds() -> None:
    box = Outbox()
    large = b"x" * frames.JOINED_BYTES_MAX
    for frame in (large, b"a", b"b", large, *[b"v"] * (frames.FRAMES_MAX + 1)):
        box.put(frame, is_urgent=True)
    assert await box.take() == [large]
    assert await box.take() == [b"a", b"b"]
    assert await box.take() == [large]
    assert await box.take() == [b"v"] * frames.FRAMES_MAX
    assert await box.take() == [b"v"]


@given(votes=st.lists(st.binary(max_size=300), min_size=1, max_size=20))
def test_joined_frames_are_read_in_their_order(votes: list[bytes]) -> None:
    message = frames.joined([frames.message_frame(MessageKind.VOTE, vote) for vote in votes])
    assert [frame.vote for frame in frames.parse_frames(message)] == votes
    if len(votes) > 1:
        with pytest.raises(frames.MalformedFrame, match="where one is expected"):
            frames.parse_frame(message)


def test_as_many_frames_as_allowed_are_read_and_one_more_refused() -> None:
    vote = frames.message_frame(MessageKind.VOTE, b"v")
    assert len(frames.parse_frames(frames.joined([vote] * frames.FRAMES_MAX))) == frames.FRAMES_MAX
    with pytest.raises(frames.MalformedFrame, match="257 frames, at most 256"):
        frames.parse_frames(frames.joined([vote] * (frames.FRAMES_MAX + 1)))


def test_an_empty_frame_among_others_is_refused() -> None:
    vote = frames.message_frame(MessageKind.VOTE, b"v")
    with pytest.raises(frames.MalformedFrame, match="an empty frame"):
        frames.parse_frames(vote + b"\x12\x00")


@pytest.mark.parametrize(
    ("field", "batch", "limit"),
    [
        ("transactions", lambda n: peer_pb2.TransactionBatch(transactions=[b""] * n), 1_000),
        ("traces", lambda n: peer_pb2.TraceBatch(traces=[peer_pb2.TransactionTrace()] * n), 1_000),
        ("fetch_response", lambda n: peer_pb2.FetchResponse(blocks=[b""] * n), 64),
        ("fetch_response", lambda n: peer_pb2.FetchResponse(certificates=[b""] * n), 64),
        ("fetch_response", lambda n: peer_pb2.FetchResponse(descendant_headers=[b""] * n), 512),
    ],
)
def test_lists_of_the_longest_are_read_and_one_entry_more_refused(
    field: str, batch: Callable[[int], Any], limit: int
) -> None:
    def data(count: int) -> bytes:
        return frames.request_bytes(peer_pb2.PeerFrame(**{field: batch(count)}))

    assert frames.parse_frame(data(limit)).WhichOneof("kind") == field
    with pytest.raises(frames.MalformedFrame, match=f"more than {limit}"):
        frames.parse_frame(data(limit + 1))
