"""A stream of calls: what one leaves belongs to the next only when the ledger has applied it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from icn_kit.errors import FailedPrecondition, InvalidArgument
from icn_vm.usecases.execute_batch import Batch, CheckCode, CodeMissing, Done, GiveCode, Halted
from icn_wasm.assembly import assemble, contract

from services.vm.tests.conftest import ANNA, BEN, BLOCK, CARA, CONTRACT, UNIT, MemoryCodes, call

FUND = contract("mutual_aid_fund")
COUNTER = contract("counter")
START = f'{{"unit":"{UNIT}","approvals":"1","members":"{ANNA},{BEN},{CARA}"}}'.encode()


async def made(batch: Batch, codes: MemoryCodes) -> None:
    """The fund, made in this stream; its writes wait for the ledger's word."""
    codes[sha256(FUND).digest()] = FUND
    answer = await batch.answer(BLOCK, False, call(FUND, START, is_instantiate=True, storage={}))
    assert isinstance(answer, Done)


def count(answer: Any) -> int:
    (write,) = answer.writes
    return int.from_bytes(write.value, "little")


async def test_writes_that_were_applied_are_seen_by_the_next_call(batch: Batch, codes: MemoryCodes) -> None:
    codes[sha256(COUNTER).digest()] = COUNTER
    answer = await batch.answer(BLOCK, False, call(COUNTER, is_instantiate=True, storage={}))
    assert isinstance(answer, Done)
    by_one = call(COUNTER, b'{"by":"1"}')
    assert count(await batch.answer(BLOCK, True, by_one)) == 1
    assert count(await batch.answer(BLOCK, True, by_one)) == 2
    assert count(await batch.answer(BLOCK, False, by_one)) == 2  # the last was not applied
    assert count(await batch.answer(BLOCK, True, by_one)) == 3


async def test_a_payment_is_asked_of_the_ledger(batch: Batch, codes: MemoryCodes) -> None:
    await made(batch, codes)
    paid = await batch.answer(BLOCK, True, call(FUND, b'{"pay_in":{}}', funds=500))
    assert isinstance(paid, Done) and paid.payments == ()
    await batch.answer(BLOCK, True, call(FUND, b'{"ask":{"amount":"40"}}', sender=BEN))
    approve = call(FUND, b'{"approve":{"ask":"1"}}', sender=CARA)
    out = await batch.answer(BLOCK, True, approve)
    assert isinstance(out, Done)
    assert out.payments == ((BEN, UNIT, 40),)
    # Refused by the ledger: the approval never happened, and can be repeated.
    again = await batch.answer(BLOCK, False, approve)
    assert again == out
    after = await batch.answer(BLOCK, True, approve)
    assert isinstance(after, Halted) and after.reason == "CONTRACT_ERROR"


async def test_a_stopped_call_leaves_nothing(batch: Batch, codes: MemoryCodes) -> None:
    await made(batch, codes)
    stopped = await batch.answer(BLOCK, True, call(FUND, b'{"pay_in":{}}'))
    assert isinstance(stopped, Halted) and stopped.fuel_used > 0
    paid = await batch.answer(BLOCK, True, call(FUND, b'{"pay_in":{}}', funds=5))
    assert isinstance(paid, Done)


async def test_code_is_asked_for_once_and_the_call_comes_again(batch: Batch, codes: MemoryCodes) -> None:
    start = call(FUND, START, is_instantiate=True, storage={})
    assert await batch.answer(BLOCK, False, start) == CodeMissing(sha256(FUND).digest())
    assert await batch.answer(BLOCK, False, GiveCode(FUND)) is None
    assert isinstance(await batch.answer(BLOCK, False, start), Done)
    assert codes[sha256(FUND).digest()] == FUND


async def test_code_nobody_asked_for_is_not_taken(batch: Batch, codes: MemoryCodes) -> None:
    with pytest.raises(InvalidArgument, match="asked for"):
        await batch.answer(BLOCK, False, GiveCode(FUND))
    await batch.answer(BLOCK, False, call(FUND, START, is_instantiate=True, storage={}))
    with pytest.raises(InvalidArgument, match="asked for"):
        await batch.answer(BLOCK, False, GiveCode(COUNTER))
    assert not codes


async def test_a_contract_that_is_not_known_needs_its_storage(batch: Batch, codes: MemoryCodes) -> None:
    codes[sha256(COUNTER).digest()] = COUNTER
    with pytest.raises(FailedPrecondition, match="was not sent"):
        await batch.answer(BLOCK, False, call(COUNTER))
    # Asked for code, it has kept nothing: the call comes again as it was.
    other = call(FUND, START, is_instantiate=True, storage={}, contract="bb" * 16)
    assert isinstance(await batch.answer(BLOCK, False, other), CodeMissing)
    with pytest.raises(FailedPrecondition, match="was not sent"):
        await batch.answer(BLOCK, False, other._replace(storage=None))


async def test_a_stream_is_of_one_block(batch: Batch, codes: MemoryCodes) -> None:
    await made(batch, codes)
    with pytest.raises(InvalidArgument, match="one block"):
        await batch.answer(BLOCK._replace(height=8), True, call(FUND))


async def test_code_that_is_accepted_is_kept(batch: Batch, codes: MemoryCodes) -> None:
    answer = await batch.answer(BLOCK, False, CheckCode(COUNTER, 50_000_000))
    assert isinstance(answer, Done) and answer.fuel_used > 500_000
    assert codes[sha256(COUNTER).digest()] == COUNTER


async def test_code_that_is_refused_is_not_kept_and_uses_all_its_fuel(
    batch: Batch, codes: MemoryCodes
) -> None:
    for code, reason in ((b"\0asm\1\0\0\0\x08\1\0", "START_FUNCTION"), (b"text", "MALFORMED_MODULE")):
        answers = [await batch.answer(BLOCK, False, CheckCode(code, 777)) for _ in range(10)]
        assert {(answer.fuel_used, answer.reason) for answer in answers if isinstance(answer, Halted)} == {
            (777, reason)
        }
    short = await batch.answer(BLOCK, False, CheckCode(COUNTER, 600_000))
    assert isinstance(short, Halted) and (short.fuel_used, short.reason) == (600_000, "OUT_OF_GAS")
    assert not codes


async def test_a_message_that_the_ledger_does_not_know_stops_the_call(
    batch: Batch, codes: MemoryCodes
) -> None:
    text = """
        (func (export "instantiate") (param i32 i32 i32) (result i32)
          (call $emit '{"ok":{"messages":[{"id":0,"msg":{"wasm":{"execute":{}}},"gas_limit":null,')
          (call $emit '"reply_on":"never"}]')
          (call $emit ',"attributes":[],"events":[],"data":null}}')
          (call $answer))"""
    code = assemble(text)
    codes[sha256(code).digest()] = code
    answer = await batch.answer(BLOCK, False, call(code, is_instantiate=True, storage={}))
    assert isinstance(answer, Halted) and answer.reason == "MESSAGE_UNSUPPORTED"
    assert answer.fuel_used > 500_000


async def test_a_contract_sees_the_block_it_is_in(batch: Batch, codes: MemoryCodes) -> None:
    text = """
        (func (export "instantiate") (param $environment i32) (param i32 i32) (result i32)
          (call $key_begin 'seen')
          (call $db_write (call $key_region) (local.get $environment))
          (call $done))"""
    code = assemble(text)
    codes[sha256(code).digest()] = code
    answer = await batch.answer(BLOCK, False, call(code, is_instantiate=True, storage={}))
    assert isinstance(answer, Done)
    assert answer.writes[0].value == (
        b'{"block":{"height":7,"time":"1700000000000000000","chain_id":"%s"},"transaction":{"index":0},'
        b'"contract":{"address":"%s"}}'
    ) % (BLOCK.chain_id.encode(), CONTRACT.encode())
