"""What a client is told whose call finds no room in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1 import service_pb2
from icn_consensus.api.consensus_service import ConsensusServicer
from icn_consensus.usecases.admission import POOL_FULL, RETRY_AFTER_MS
from icn_consensus.usecases.ends import News, Sink, SubmitState
from icn_kit.errors import ErrorKind, ResourceExhausted


class Pool:
    """Has room for what is so named."""

    async def submit(self, transactions: Sequence[bytes], sink: Sink, first_position: int) -> None:
        for position, data in enumerate(transactions, first_position):
            if data == b"room":
                sink.tell(News(position, data, SubmitState.PENDING))
            else:
                refusal = (SubmitState.REFUSED, POOL_FULL, "no room")
                sink.tell(News(position, data, *refusal, retry_after_ms=RETRY_AFTER_MS))


def servicer() -> ConsensusServicer:
    around: Any = SimpleNamespace(genesis_hash=bytes(32))
    return ConsensusServicer(Pool(), around, around, around, around, around)


async def test_a_call_without_room_for_any_is_exhausted_and_says_when_to_come_back() -> None:
    request = service_pb2.SubmitTransactionsRequest(transactions=[b"one", b"two"], wait_ms=5_000)
    with pytest.raises(ResourceExhausted) as refused:
        await servicer().SubmitTransactions(request, None)
    error = refused.value
    assert (error.kind, error.reason, error.message) == (ErrorKind.RESOURCE_EXHAUSTED, POOL_FULL, "no room")
    assert error.retry_after_ms == RETRY_AFTER_MS


async def test_a_call_with_room_for_some_is_answered_for_each() -> None:
    request = service_pb2.SubmitTransactionsRequest(transactions=[b"one", b"room"])
    answer = await servicer().SubmitTransactions(request, None)
    assert [(one.reason, one.retry_after_ms) for one in answer.outcomes] == [
        (POOL_FULL, RETRY_AFTER_MS),
        ("", 0),
    ]


async def test_a_stream_without_room_goes_on_and_says_so_of_each() -> None:
    written: list[Any] = []

    async def write(response: Any) -> None:
        written.extend(response.outcomes)

    async def requests() -> Any:
        for _ in range(2):
            yield service_pb2.StreamTransactionsRequest(transactions=[b"one"])

    await servicer().StreamTransactions(requests(), SimpleNamespace(write=write))
    assert [(one.position, one.reason, one.retry_after_ms) for one in written] == [
        (0, POOL_FULL, RETRY_AFTER_MS),
        (1, POOL_FULL, RETRY_AFTER_MS),
    ]
