"""Traces beside transactions: remembered within bounds, told by peers, taken once."""

from __future__ import annotations

from hashlib import sha256

import pytest
from icn.consensus.v1.peer_pb2 import TransactionTrace
from icn_consensus.peers.frames import parse_frame, traces_frame
from icn_consensus.usecases import traces as module
from icn_consensus.usecases.traces import TRACES_PER_SECOND_MAX, TraceBook

SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"


def told(data: bytes, traceparent: str) -> TransactionTrace:
    return TransactionTrace(digest=sha256(data).digest(), traceparent=traceparent)


def test_what_a_client_brought_is_taken_once_by_its_position_in_the_block() -> None:
    book = TraceBook()
    assert book.note(b"two", SAMPLED) == sha256(b"two").digest()
    assert book.take([b"one", b"two", b"three"]) == ((1, SAMPLED),)
    assert book.take([b"two"]) == ()


def test_what_a_peer_tells_arrives_through_its_frame() -> None:
    book = TraceBook()
    frame = parse_frame(traces_frame([(sha256(b"one").digest(), SAMPLED)]))
    book.note_told(frame.traces.traces)
    assert book.take([b"one"]) == ((0, SAMPLED),)


@pytest.mark.parametrize(
    "trace",
    [
        told(b"one", UNSAMPLED),
        told(b"one", ""),
        told(b"one", "01" + SAMPLED[2:]),
        TransactionTrace(digest=sha256(b"one").digest()[:31], traceparent=SAMPLED),
    ],
)
def test_what_is_no_sampled_trace_is_passed_over(trace: TransactionTrace) -> None:
    book = TraceBook()
    book.note_told([trace])
    assert len(book) == 0


def test_memory_and_what_clients_may_add_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRACES_MAX", 10)
    monkeypatch.setattr(module.time, "monotonic", lambda: 5.0)
    book = TraceBook()
    book.note_told([told(bytes([number]), SAMPLED) for number in range(11)])
    assert len(book) == 10
    assert book.take([bytes([0])]) == ()
    for number in range(TRACES_PER_SECOND_MAX):
        assert book.note(number.to_bytes(2, "big"), SAMPLED) is not None
    assert book.note(b"one too many", SAMPLED) is None
    assert len(book) == 10
