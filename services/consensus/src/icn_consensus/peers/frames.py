"""Frames between validators as bytes (protos/icn/consensus/v1/peer.proto).

What carries a block is framed by hand: one copy for all peers instead of one protobuf message per peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError
from icn.consensus.v1 import peer_pb2
from icn_kit.genesis import BLOCK_BYTES_MAX

from icn_consensus.domain.actions import MessageKind
from icn_consensus.usecases.ports import FetchRequest, Found

FRAME_BYTES_MAX: Final = BLOCK_BYTES_MAX + 64 * 1024
"""As the proto says, 4 MiB. A proposal is one frame: its block, signature and field tags."""
FRAMES_MAX: Final = 256
"""In one message, as the proto says: more events than a turn of the core digests would only wait."""
JOINED_BYTES_MAX: Final = 64 * 1024
"""Small frames share a message up to it; what is larger costs little by being one of its own."""
BATCH_TRANSACTIONS_MAX: Final = 1_000
"""Transactions in one TransactionBatch."""
BATCH_TRACES_MAX: Final = 1_000
"""Traces in one TraceBatch, as the proto says."""
PAGE_MAX: Final = 64
"""Blocks and certificates in one FetchResponse, as the proto says."""
DESCENDANT_HEADERS_MAX: Final = 512
"""Headers in one FetchResponse, as the proto says: as many blocks as may wait to become final."""
BATCH_BYTES_MAX: Final = 1024 * 1024
"""A batch is split above it: larger ones would delay votes behind them on the same stream."""

_FRAME_TAG: Final = b"\x0a"
"""Field 1 of ConnectRequest and ConnectResponse, length-delimited."""
_FURTHER_TAG: Final = b"\x12"
"""Field 2 of ConnectRequest."""
_KIND_TAGS: Final = {
    MessageKind.PROPOSAL: b"\x12",
    MessageKind.VOTE: b"\x1a",
    MessageKind.CERTIFICATE: b"\x22",
    MessageKind.RECOVERY: b"\x4a",
}
_TRANSACTIONS_TAG: Final = b"\x2a"
_TRANSACTION_TAG: Final = b"\x0a"


class MalformedFrame(ValueError):
    """Bytes that are no frame, or one that no validator sends."""


def message_frame(kind: MessageKind, data: bytes) -> bytes:
    """A ConnectRequest whose frame holds a consensus message."""
    head = _KIND_TAGS[kind] + _varint(len(data))
    return b"".join((_FRAME_TAG, _varint(len(head) + len(data)), head, data))


def transactions_frame(transactions: Sequence[bytes]) -> bytes:
    """A ConnectRequest whose frame holds a TransactionBatch."""
    parts = [part for data in transactions for part in (_TRANSACTION_TAG, _varint(len(data)), data)]
    batch = b"".join(parts)
    head = _TRANSACTIONS_TAG + _varint(len(batch))
    return b"".join((_FRAME_TAG, _varint(len(head) + len(batch)), head, batch))


def traces_frame(traces: Sequence[tuple[bytes, str]]) -> bytes:
    """A ConnectRequest whose frame holds a TraceBatch."""
    told = [peer_pb2.TransactionTrace(digest=digest, traceparent=parent) for digest, parent in traces]
    batch = peer_pb2.TraceBatch(traces=told)
    return request_bytes(peer_pb2.PeerFrame(traces=batch))


def fetch_request_frame(request: FetchRequest) -> bytes:
    """A ConnectRequest whose frame asks for something."""
    message = peer_pb2.FetchRequest(request=request.request)
    if request.block_hash is not None:
        message.block_hash = request.block_hash
    elif request.final_from_height is not None:
        message.final_from_height = request.final_from_height
    elif request.snapshot_chunk is not None:
        message.snapshot_chunk = request.snapshot_chunk
    elif request.snapshot:
        message.snapshot = True
    else:
        assert request.certificates_from_view is not None, "a request asks for one thing"
        message.certificates_from_view = request.certificates_from_view
    return request_bytes(peer_pb2.PeerFrame(fetch_request=message))


def fetch_response_frame(request: int, found: Found) -> bytes:
    """A ConnectRequest whose frame answers a FetchRequest."""
    response = peer_pb2.FetchResponse(
        request=request,
        blocks=found.blocks,
        certificates=found.certificates,
        descendant_headers=found.descendant_headers,
        snapshot=found.snapshot,
    )
    return request_bytes(peer_pb2.PeerFrame(fetch_response=response))


def request_bytes(frame: peer_pb2.PeerFrame) -> bytes:
    """Bytes of a ConnectRequest (and as well of a ConnectResponse: they are alike)."""
    return peer_pb2.ConnectRequest(frame=frame).SerializeToString()


def joined(requests: Sequence[bytes]) -> bytes:
    """One ConnectRequest with the frames of several, each of which holds one."""
    if len(requests) == 1:
        return requests[0]
    return b"".join(
        (requests[0], *(part for request in requests[1:] for part in (_FURTHER_TAG, request[1:])))
    )


def parse_frame(data: bytes) -> peer_pb2.PeerFrame:
    """The only frame in a ConnectRequest or ConnectResponse.

    Raises:
        MalformedFrame: as `parse_frames`, or there are several.
    """
    first, *further = parse_frames(data)
    if further:
        raise MalformedFrame(f"{1 + len(further)} frames where one is expected")
    return first


def parse_frames(data: bytes) -> list[peer_pb2.PeerFrame]:
    """The frames in a ConnectRequest, in order.

    Raises:
        MalformedFrame: too large, no such message, too many frames, one without its kind, or one with longer
            lists than the proto allows.
    """
    if len(data) > FRAME_BYTES_MAX:
        raise MalformedFrame(f"a frame of {len(data)} bytes, at most {FRAME_BYTES_MAX}")
    try:
        request = peer_pb2.ConnectRequest.FromString(data)
    except DecodeError as error:
        raise MalformedFrame("not a frame") from error
    if len(request.further) >= FRAMES_MAX:
        raise MalformedFrame(f"{1 + len(request.further)} frames, at most {FRAMES_MAX}")
    frames = [request.frame, *request.further]
    for frame in frames:
        _check_counts(frame)
    return frames


def _check_counts(frame: peer_pb2.PeerFrame) -> None:
    """Two bytes make an entry of a list: who sends millions of them pays with its stream."""
    kind = frame.WhichOneof("kind")
    if kind is None:
        raise MalformedFrame("an empty frame")
    if kind == "transactions" and len(frame.transactions.transactions) > BATCH_TRANSACTIONS_MAX:
        raise MalformedFrame(f"more than {BATCH_TRANSACTIONS_MAX} transactions")
    if kind == "traces" and len(frame.traces.traces) > BATCH_TRACES_MAX:
        raise MalformedFrame(f"more than {BATCH_TRACES_MAX} traces")
    if kind == "fetch_response":
        response = frame.fetch_response
        if max(len(response.blocks), len(response.certificates)) > PAGE_MAX:
            raise MalformedFrame(f"more than {PAGE_MAX} blocks or certificates")
        if len(response.descendant_headers) > DESCENDANT_HEADERS_MAX:
            raise MalformedFrame(f"more than {DESCENDANT_HEADERS_MAX} headers")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
