"""vm over gRPC with a real Postgres: hostile code, restarts, and health while a contract runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import wasmtime
from grpc_health.v1 import health_pb2, health_pb2_grpc
from icn.vm.v1 import service_pb2 as pb
from icn.vm.v1.service_pb2_grpc import VmServiceStub
from icn_kit.errors import DomainError, from_rpc_error
from icn_kit.lifecycle import EXIT_FATAL, Stop
from icn_localnet.pytest_plugin import DatabaseFor
from icn_vm.main import Service, build
from icn_vm.settings import VmSettings
from icn_vm.store.code_store import PostgresCodeStore
from icn_wasm.assembly import assemble, contract

from services.vm.tests.conftest import ANNA, BEN, CONTRACT, UNIT

BLOCK = pb.BlockContext(height=7, time_ms=1_700_000_000_000, chain_id="c0" * 16)
FUND = contract("mutual_aid_fund")
START = f'{{"unit":"{UNIT}","approvals":"1","members":"{ANNA},{BEN}"}}'.encode()
FUEL = 50_000_000


class Running:
    """A vm and a stub."""

    def __init__(self, dsn: str, socket: Path) -> None:
        self.stop = Stop()
        self._settings = VmSettings(database_url=dsn, address=f"unix:{socket}")  # type: ignore[arg-type]
        self.service: Service | None = None

    async def __aenter__(self) -> Running:
        self.service = await build(self._settings, self.stop)
        await self.service.start()
        self.channel = grpc.aio.insecure_channel(self._settings.address)
        self.stub: Any = VmServiceStub(self.channel)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self.service is not None
        await self.channel.close()
        await self.service.drain()

    async def ask(self, *requests: pb.ExecuteBatchRequest, answers: int | None = None) -> list[Any]:
        """A stream of these requests, each after the answer to the one before."""
        call = self.stub.ExecuteBatch()
        found = []
        try:
            for request in requests:
                await call.write(request)
                if request.WhichOneof("call") != "code":
                    found.append(await call.read())
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        return found


@pytest.fixture
async def vm(database_for: DatabaseFor, tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(database_for("icn_vm"), tmp_path / "vm.sock") as running:
        yield running


def request(is_previous_applied: bool = True, **call: Any) -> pb.ExecuteBatchRequest:
    return pb.ExecuteBatchRequest(block=BLOCK, is_previous_applied=is_previous_applied, **call)


def check(code: bytes, fuel_limit: int = FUEL) -> pb.ExecuteBatchRequest:
    return request(check_code=pb.CheckCode(code=code, fuel_limit=fuel_limit))


def call_of(content: bytes, message: bytes = b"{}", sender: str = ANNA, **more: Any) -> pb.Call:
    return pb.Call(
        **{
            "code": sha256(content).digest(),
            "contract": CONTRACT,
            "sender": sender,
            "message": message,
            "fuel_limit": FUEL,
            **more,
        }
    )


EMPTY = pb.Storage()
EXECUTE = '(func (export "execute") (param i32 i32 i32) (result i32) {})'
INSTANTIATE = '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'
BARE = """
(memory (export "memory") 1) (func (export "interface_version_8"))
(func (export "allocate") (param i32) (result i32) (i32.const 0)) (func (export "deallocate") (param i32))
(func (export "instantiate") (param i32 i32 i32) (result i32) (i32.const 0))
"""


def plain(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {text})"))


REFUSED = {
    "floats": (plain(BARE + "(func (drop (f64.const 1)))"), "FLOAT_USED"),
    "a start function": (plain(BARE + "(func $s) (start $s)"), "START_FUNCTION"),
    "a bad import": (plain('(import "env" "open_file" (func (param i32)))' + BARE), "IMPORT_UNKNOWN"),
    "an import of another module": (plain('(import "wasi" "fd_write" (func))' + BARE), "IMPORT_UNKNOWN"),
    "the old interface": (
        plain(BARE.replace("interface_version_8", "interface_version_5")),
        "INTERFACE_VERSION",
    ),
    "the oldest interface": (
        plain(BARE.replace("interface_version_8", "cosmwasm_vm_version_4")),
        "INTERFACE_VERSION",
    ),
    "no memory": (plain(BARE.replace('(memory (export "memory") 1)', "")), "MEMORY_INVALID"),
    "a giant memory": (plain(BARE.replace('"memory") 1', '"memory") 513')), "MEMORY_INVALID"),
    "no module": (b"\x7fELF", "MALFORMED_MODULE"),
}
STOPPED = {
    "an endless loop": ("(loop $again (br $again)) (unreachable)", "OUT_OF_GAS"),
    "a memory bomb": (
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
        "TRAP",
    ),
    "a storm of host calls": (
        "(loop $again (call $db_remove (call $region (i32.const 1024) (i32.const 1))) (br $again))"
        "(unreachable)",
        "OUT_OF_GAS",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_hostile_code_is_refused_at_the_store_ten_times_alike(vm: Running, name: str) -> None:
    code, reason = REFUSED[name]
    answers = await vm.ask(*(check(code) for _ in range(10)))
    assert {(answer.stopped.reason, answer.fuel_used) for answer in answers} == {(reason, FUEL)}


@pytest.mark.parametrize("name", STOPPED)
async def test_a_hostile_call_is_stopped_at_its_cap_ten_times_alike(vm: Running, name: str) -> None:
    body, reason = STOPPED[name]
    code = assemble(EXECUTE.format(body) + INSTANTIATE)
    storage = pb.Storage(entries=[pb.StorageEntry(key=b"a", value=b"1")])
    first = request(execute=call_of(code, storage=storage))
    again = request(execute=call_of(code))
    answers = await vm.ask(check(code, 10**9), first, *(again for _ in range(9)))
    assert {answer.stopped.reason for answer in answers[1:]} == {reason}
    assert len({answer.fuel_used for answer in answers[1:]}) == 1


async def test_a_deep_recursion_is_stopped_at_its_depth(vm: Running) -> None:
    code = assemble("(func $deep (call $deep))" + EXECUTE.format("(call $deep) (unreachable)") + INSTANTIATE)
    answers = await vm.ask(check(code), *(request(execute=call_of(code, storage=EMPTY)) for _ in range(10)))
    assert {answer.stopped.reason for answer in answers[1:]} == {"CALL_DEPTH_EXCEEDED"}
    assert len({answer.fuel_used for answer in answers[1:]}) == 1


async def test_the_fund_lives_in_one_stream(vm: Running) -> None:
    funds = [pb.Coin(denomination=UNIT, amount=500)]
    answers = await vm.ask(
        check(FUND, 100_000_000),
        request(instantiate=call_of(FUND, START, storage=EMPTY)),
        request(execute=call_of(FUND, b'{"pay_in":{}}', funds=funds)),
        request(execute=call_of(FUND, b'{"ask":{"amount":"40"}}', sender=BEN)),
        request(execute=call_of(FUND, b'{"approve":{"ask":"1"}}')),
    )
    assert all(answer.WhichOneof("outcome") == "done" for answer in answers)
    (payment,) = answers[-1].done.payments
    assert (payment.recipient, payment.coin.denomination, payment.coin.amount) == (BEN, UNIT, 40)
    assert [event.type for event in answers[-1].done.events] == ["wasm"]
    assert [write.key for write in answers[-1].done.writes] == sorted(
        write.key for write in answers[-1].done.writes
    )


async def test_code_survives_a_restart_and_a_fresh_vm_asks_for_it(
    database_for: DatabaseFor, tmp_path: Path
) -> None:
    dsn = database_for("icn_vm")
    start = request(instantiate=call_of(FUND, START, storage=EMPTY))
    async with Running(dsn, tmp_path / "one.sock") as vm:
        missing, done = await vm.ask(start, request(code=pb.Code(code=FUND)), start)
        assert missing.code_missing == sha256(FUND).digest()
        assert done.WhichOneof("outcome") == "done"
    async with Running(dsn, tmp_path / "two.sock") as vm:
        assert list(await vm.ask(start)) == [done], "the same answer, and the code was there"


async def test_a_query_is_answered_on_storage_that_comes_along(vm: Running) -> None:
    asked = pb.QueryRequest(
        block=BLOCK,
        code_hash=sha256(FUND).digest(),
        contract=CONTRACT,
        message=b'{"fund":{}}',
        fuel_limit=FUEL,
        storage=pb.Storage(entries=[pb.StorageEntry(key=b"pool", value=(7).to_bytes(8, "little"))]),
    )
    with pytest.raises(grpc.RpcError) as missing:
        await vm.stub.Query(asked)
    assert from_rpc_error(missing.value).reason == "CODE_MISSING"
    asked.code = b"other"
    with pytest.raises(grpc.RpcError) as mismatch:
        await vm.stub.Query(asked)
    assert from_rpc_error(mismatch.value).reason == "CODE_MISMATCH"
    asked.code = FUND
    assert (await vm.stub.Query(asked)).data == b'{"pool":"7","asks":"0"}'
    asked.code = b""
    asked.message = b'{"ask":{"ask":"9"}}'
    with pytest.raises(grpc.RpcError) as stopped:
        await vm.stub.Query(asked)
    error = from_rpc_error(stopped.value)
    assert (error.reason, error.metadata["stopped"]) == ("CALL_STOPPED", "CONTRACT_ERROR")


async def test_the_engine_is_named(vm: Running) -> None:
    assert (await vm.stub.GetEngine(pb.GetEngineRequest())).engine == "wasmtime 50.0.1"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (request(), "STREAM_MALFORMED"),
        (request(code=pb.Code(code=b"x")), "STREAM_MALFORMED"),
        (request(execute=call_of(FUND, contract="anna", storage=EMPTY)), "STREAM_MALFORMED"),
        (request(execute=call_of(FUND, sender="A1" * 16, storage=EMPTY)), "STREAM_MALFORMED"),
        (request(execute=call_of(FUND, code=bytes(31), storage=EMPTY)), "STREAM_MALFORMED"),
        (request(execute=call_of(FUND, fuel_limit=10**9 + 1, storage=EMPTY)), "STREAM_MALFORMED"),
        (request(execute=call_of(FUND)), "STORAGE_MISSING"),
        (pb.ExecuteBatchRequest(check_code=pb.CheckCode(code=b"x")), "STREAM_MALFORMED"),
    ],
)
async def test_what_no_ledger_says_ends_the_stream(
    vm: Running, asked: pb.ExecuteBatchRequest, reason: str
) -> None:
    with pytest.raises(DomainError) as refusal:
        await vm.ask(asked)
    assert refusal.value.reason == reason


async def test_health_answers_while_a_contract_uses_a_billion_units_of_fuel(vm: Running) -> None:
    code = assemble(EXECUTE.format("(loop $again (br $again)) (unreachable)") + INSTANTIATE)
    await vm.ask(check(code))
    long = asyncio.create_task(vm.ask(request(execute=call_of(code, storage=EMPTY, fuel_limit=10**9))))
    answered = 0
    health = health_pb2_grpc.HealthStub(vm.channel)
    while not long.done():
        await health.Check(health_pb2.HealthCheckRequest())
        answered += 1
    assert (await long)[0].stopped.reason == "OUT_OF_GAS"
    assert answered >= 5


async def test_an_engine_fault_ends_the_process_and_refuses_nothing(vm: Running, monkeypatch: Any) -> None:
    from icn_wasm.engine import Engine
    from icn_wasm.refusals import EngineFault

    def fail(*_arguments: object) -> None:
        raise EngineFault("no memory left")

    monkeypatch.setattr(Engine, "_run", fail)
    start = request(instantiate=call_of(FUND, START, storage=EMPTY))
    with pytest.raises(DomainError) as fault:
        await vm.ask(start, request(code=pb.Code(code=FUND)), start)
    assert fault.value.reason == "ENGINE_FAULT"
    assert vm.stop.is_requested and vm.stop.exit_code == EXIT_FATAL


async def test_kept_code_is_bounded_and_a_damaged_row_is_no_code(vm: Running) -> None:
    assert vm.service is not None and vm.service.database is not None
    store = PostgresCodeStore(vm.service.database, codes_max=2, in_memory_max=1)
    contents = [bytes([number]) * 10 for number in range(3)]
    for content in contents:
        await store.put(sha256(content).digest(), content)
    found = [await store.get(sha256(content).digest()) for content in contents]
    assert found == [None, contents[1], contents[2]]
    async with vm.service.database.transaction() as connection:
        await connection.execute("UPDATE codes SET code = 'x'")
    assert await PostgresCodeStore(vm.service.database).get(sha256(contents[2]).digest()) is None
