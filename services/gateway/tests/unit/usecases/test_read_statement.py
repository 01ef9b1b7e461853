"""A statement is read by calls, each behind the last entry of the one before, until its closing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from icn.ledger.v1.service_pb2 import Entry, GetStatementRequest, GetStatementResponse, StatementEdge
from icn_gateway.usecases.read_statement import read_statement
from icn_kit.errors import DomainError, NotFound, Unavailable


class Parts:
    """Answers one after the other, and remembers what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[GetStatementRequest] = []

    async def ask(self, _method: object, request: GetStatementRequest) -> Any:
        copied = GetStatementRequest()
        copied.CopyFrom(request)
        self.asked.append(copied)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def part(heights: Sequence[int] = (), *, closed: bool = False, opened: bool = True) -> GetStatementResponse:
    return GetStatementResponse(
        entries=[Entry(height=height) for height in heights],
        opening=StatementEdge(height=2) if opened else None,
        closing=StatementEdge(height=9) if closed else None,
    )


async def read(parts: Parts, **span: int) -> list[GetStatementResponse]:
    request = GetStatementRequest(name="accounts/x", **span)
    told: AsyncIterator[GetStatementResponse] = read_statement(request, parts)  # type: ignore[arg-type]
    return [one async for one in told]


async def test_each_call_goes_on_behind_the_last_entry_until_the_closing() -> None:
    parts = Parts(part([3, 4, 4]), part([6]), part([], closed=True))
    told = await read(parts, from_time_ms=5, until_time_ms=99)
    assert [[entry.height for entry in one.entries] for one in told] == [[3, 4, 4], [6], []]
    assert [one.HasField("opening") for one in told] == [True, False, False]
    assert [one.HasField("closing") for one in told] == [False, False, True]
    assert [(one.from_time_ms, one.from_height) for one in parts.asked] == [(5, 0), (0, 5), (0, 7)]
    assert {one.until_time_ms for one in parts.asked} == {99}


async def test_a_refusal_of_the_first_call_is_that_of_the_statement() -> None:
    with pytest.raises(NotFound):
        await read(Parts(NotFound("ACCOUNT_UNKNOWN", "none")))


async def test_what_breaks_off_later_ends_without_closing() -> None:
    parts = Parts(part([3]), Unavailable("NO_VALIDATOR_REACHABLE", "none"))
    (told,) = await read(parts)
    assert not told.HasField("closing")


@pytest.mark.parametrize("answers", [(part(),), (part([4]),)])
async def test_an_answer_that_does_not_go_on_is_malformed(answers: Sequence[GetStatementResponse]) -> None:
    """Else a validator could keep a client for ever."""
    with pytest.raises(DomainError) as refusal:
        await read(Parts(*answers), from_height=5)
    assert refusal.value.reason == "MALFORMED_ANSWER"


async def test_a_later_answer_that_does_not_go_on_ends_it() -> None:
    for later in (part([3]), part()):
        parts = Parts(part([3]), later)
        assert len(await read(parts)) == 1
        assert not parts.answers
