# ruff: noqa: N802, D102 - gRPC names the methods, the proto describes them
"""VmService. Source: protos/icn/vm/v1/service.proto."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from time import perf_counter
from typing import Any

from icn.vm.v1 import service_pb2, service_pb2_grpc
from icn_kit.errors import InvalidArgument
from icn_wasm import limits
from icn_wasm.engine import WASMTIME_VERSION, Engine, EntryPoint
from icn_wasm.messages import Caller, Coin

from icn_vm.metrics import CALL_SECONDS, CALLS, FUEL, MODULES, MODULES_BYTES
from icn_vm.usecases.execute_batch import (
    STREAM_MALFORMED,
    Answer,
    Batch,
    Block,
    Call,
    CheckCode,
    CodeMissing,
    Done,
    GiveCode,
    Halted,
)
from icn_vm.usecases.ports import CodeStore
from icn_vm.usecases.query import Question, query
from icn_vm.usecases.worker import Worker

EXECUTE_BATCH = "/icn.vm.v1.VmService/ExecuteBatch"
"""Full name of the stream that no deadline ends: the watchdog does."""
CHECKSUM_BYTES = 32
ENTRIES_MAX = 8_192
"""Twice what the ledger lets a contract have."""
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER_MAX = 2**63 - 1


class VmServicer(service_pb2_grpc.VmServiceServicer):
    """The RPCs; errors become statuses in the interceptor."""

    def __init__(self, engine: Engine, worker: Worker, codes: CodeStore) -> None:
        self._engine = engine
        self._worker = worker
        self._codes = codes

    async def ExecuteBatch(
        self, requests: AsyncIterator[Any], _context: Any
    ) -> AsyncIterator[service_pb2.ExecuteBatchResponse]:
        batch = Batch(self._engine, self._worker, self._codes)
        async for request in requests:
            started = perf_counter()
            answer = await batch.answer(_block(request.block), request.is_previous_applied, _read(request))
            if answer is None:
                continue
            CALL_SECONDS.observe(perf_counter() - started)
            _count(answer)
            MODULES.set(self._engine.modules_kept)
            MODULES_BYTES.set(self._engine.modules_bytes)
            yield _written(answer)

    async def Query(self, request: Any, _context: Any) -> service_pb2.QueryResponse:
        question = Question(
            _checksum(request.code_hash),
            request.code,
            _identifier(request.contract),
            request.message,
            _fuel(request.fuel_limit),
            _storage(request.storage),
        )
        reply = await query(_block(request.block), question, self._engine, self._worker, self._codes)
        return service_pb2.QueryResponse(data=reply.data, fuel_used=reply.fuel_used)

    async def GetEngine(self, _request: Any, _context: Any) -> service_pb2.GetEngineResponse:
        return service_pb2.GetEngineResponse(engine=f"wasmtime {WASMTIME_VERSION}")


def _read(request: Any) -> CheckCode | GiveCode | Call:
    kind = request.WhichOneof("call")
    match kind:
        case "check_code":
            return CheckCode(request.check_code.code, _fuel(request.check_code.fuel_limit))
        case "code":
            return GiveCode(request.code.code)
        case "instantiate":
            return _call(EntryPoint.INSTANTIATE, request.instantiate)
        case "execute":
            return _call(EntryPoint.EXECUTE, request.execute)
    raise InvalidArgument(STREAM_MALFORMED, "a request has no call")


def _call(entry_point: EntryPoint, call: Any) -> Call:
    return Call(
        entry_point=entry_point,
        checksum=_checksum(call.code),
        contract=_identifier(call.contract),
        caller=Caller(
            _identifier(call.sender),
            tuple(Coin(_identifier(coin.denomination), coin.amount) for coin in call.funds),
        ),
        message=call.message,
        fuel_limit=_fuel(call.fuel_limit),
        transaction_index=call.transaction_index,
        storage=_storage(call.storage) if call.HasField("storage") else None,
        balances={
            (balance.owner, balance.denomination): balance.spendable_minor for balance in call.balances
        },
    )


def _block(block: Any) -> Block:
    if block.height > _NUMBER_MAX or block.time_ms > _NUMBER_MAX:
        raise InvalidArgument(STREAM_MALFORMED, "height and time fit signed 64 bits")
    return Block(block.height, block.time_ms, _identifier(block.chain_id))


def _identifier(text: str) -> str:
    if _ID.fullmatch(text) is None:
        raise InvalidArgument(STREAM_MALFORMED, "an id is 32 hex characters")
    return text


def _checksum(value: bytes) -> bytes:
    if len(value) != CHECKSUM_BYTES:
        raise InvalidArgument(STREAM_MALFORMED, f"a checksum has {CHECKSUM_BYTES} bytes")
    return value


def _fuel(limit: int) -> int:
    if limit > limits.GAS_MAX:
        raise InvalidArgument(STREAM_MALFORMED, f"a fuel limit is at most {limits.GAS_MAX}")
    return limit


def _storage(storage: Any) -> Mapping[bytes, bytes]:
    if len(storage.entries) > ENTRIES_MAX:
        raise InvalidArgument(STREAM_MALFORMED, f"a storage has at most {ENTRIES_MAX} entries")
    return {entry.key: entry.value for entry in storage.entries}


def _count(answer: Answer) -> None:
    match answer:
        case Done():
            CALLS.labels("done").inc()
            FUEL.inc(answer.fuel_used)
        case Halted():
            CALLS.labels("stopped").inc()
            FUEL.inc(answer.fuel_used)
        case CodeMissing():
            CALLS.labels("code_missing").inc()


def _written(answer: Answer) -> service_pb2.ExecuteBatchResponse:
    match answer:
        case CodeMissing():
            return service_pb2.ExecuteBatchResponse(code_missing=answer.checksum)
        case Halted():
            stopped = service_pb2.CallStopped(reason=answer.reason, message=answer.message)
            return service_pb2.ExecuteBatchResponse(fuel_used=answer.fuel_used, stopped=stopped)
        case Done():
            return service_pb2.ExecuteBatchResponse(fuel_used=answer.fuel_used, done=_done(answer))


def _done(answer: Done) -> service_pb2.CallDone:
    return service_pb2.CallDone(
        data=answer.data or b"",
        has_data=answer.data is not None,
        writes=[
            service_pb2.StorageWrite(key=write.key, value=write.value or b"", is_removed=write.value is None)
            for write in answer.writes
        ],
        payments=[
            service_pb2.Payment(
                recipient=payment.recipient,
                coin=service_pb2.Coin(denomination=payment.unit, amount=payment.amount_minor),
            )
            for payment in answer.payments
        ],
        events=[
            service_pb2.Event(
                type=event.type,
                attributes=[
                    service_pb2.Attribute(key=attribute.key, value=attribute.value)
                    for attribute in event.attributes
                ],
            )
            for event in answer.events
        ],
    )
