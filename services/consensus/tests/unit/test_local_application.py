from __future__ import annotations

import asyncio
from typing import Any

import pytest
from icn.consensus.v1 import application_pb2
from icn_consensus.domain.actions import Branch
from icn_consensus.peers.application import LocalApplication
from icn_consensus.usecases.ports import AncestorUnknown
from icn_kit.errors import DeadlineExceeded, ErrorKind, FailedPrecondition, RemoteError


class Service:
    """An ApplicationService whose answers a test chooses."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def CheckTransactions(self, request: Any, _context: Any) -> Any:  # noqa: N802
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(request)

    async def ValidateBlock(self, request: Any, _context: Any) -> Any:  # noqa: N802
        return await self.CheckTransactions(request, None)

    async def ExecuteBlock(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        await asyncio.Event().wait()


def application(answer: Any) -> LocalApplication:
    return LocalApplication(lambda: Service(answer))


async def test_a_call_reaches_the_ledger_beside_it_without_a_connection() -> None:
    def answer(request: Any) -> Any:
        assert list(request.transactions) == [b"one"]
        check = application_pb2.TransactionCheck(transaction_id=b"id", expire_time_ms=7)
        return application_pb2.CheckTransactionsResponse(checks=[check])

    (check,) = await application(answer).check([b"one"])
    assert (check.transaction_id, check.reason, check.expire_time_ms) == (b"id", "", 7)


async def test_a_refusal_keeps_its_reason() -> None:
    unknown = FailedPrecondition("ANCESTOR_UNKNOWN", "validate it first")
    with pytest.raises(AncestorUnknown):
        await application(unknown).validate(bytes(32), Branch(0, ()), 0, 1, [], recovery=b"")


async def test_of_a_fault_in_the_ledger_consensus_learns_no_more_than_over_a_socket() -> None:
    with pytest.raises(RemoteError) as caught:
        await application(KeyError("what nobody else should read")).check([b"one"])
    assert caught.value.kind is ErrorKind.INTERNAL
    assert "nobody" not in str(caught.value)


async def test_a_call_without_an_answer_ends() -> None:
    calls = application(None)._stub
    with pytest.raises(DeadlineExceeded):
        await calls.ExecuteBlock(None, timeout=0.01)
