"""Asking contracts: one at a time, bounded, and with the code only where the vm lacks it."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256

import pytest
from icn_kit.errors import InvalidArgument, NotFound, ResourceExhausted
from icn_ledger.usecases.query_contract import QUERIES_WAITING_MAX, ContractAt, ContractQueries
from icn_machine.posting import BlockContext
from icn_machine.records import Contract, ContractEntry

from libs.machine.tests.fake_vm import FakeVm
from libs.machine.tests.zone import identifier

FUND, PAYER = identifier("fund"), identifier("payer")
CODE = b"\0asm"


class Reader:
    """One contract; waits until it may answer."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def contract_at_newest(self, contract: bytes) -> ContractAt | None:
        await self.may_answer.wait()
        if contract != FUND:
            return None
        return ContractAt(
            BlockContext(7, 0, 1_000),
            Contract(FUND, sha256(CODE).digest(), PAYER, 1, 5, len(CODE)),
            {FUND + b"pool": ContractEntry(b"5", PAYER)},
        )

    async def code(self, code_hash: bytes) -> bytes:
        assert code_hash == sha256(CODE).digest()
        return CODE


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def queries(reader: Reader) -> ContractQueries:
    return ContractQueries(reader, FakeVm())


async def test_a_contract_is_asked_with_its_storage_at_the_newest_height(queries: ContractQueries) -> None:
    answer = await queries.query(FUND, b"{}", 0)
    assert (json.loads(answer.data), answer.height) == ({"height": 7, "pool": "5"}, 7)


async def test_what_cannot_be_asked_is_refused(queries: ContractQueries) -> None:
    with pytest.raises(NotFound):
        await queries.query(PAYER, b"{}", 0)
    with pytest.raises(InvalidArgument, match="at most 16384"):
        await queries.query(FUND, bytes(16_385), 0)
    with pytest.raises(InvalidArgument, match="at most 100000000"):
        await queries.query(FUND, b"{}", 100_000_001)


async def test_who_comes_when_enough_wait_is_sent_away(queries: ContractQueries, reader: Reader) -> None:
    reader.may_answer.clear()
    waiting = [asyncio.create_task(queries.query(FUND, b"{}", 0)) for _ in range(1 + QUERIES_WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as refusal:
        await queries.query(FUND, b"{}", 0)
    assert refusal.value.reason == "QUERIES_PENDING"
    waiting.pop().cancel()
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(queries.query(FUND, b"{}", 0)))
    reader.may_answer.set()
    assert len(await asyncio.gather(*waiting)) == 1 + QUERIES_WAITING_MAX
