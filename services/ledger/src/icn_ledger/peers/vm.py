"""This validator's vm over gRPC on a unix socket (protos/icn/vm/v1/service.proto).

Whatever goes wrong here becomes `VmUnavailable`: nothing that a connection or another process does may decide
what becomes of a transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from icn.vm.v1 import service_pb2
from icn.vm.v1.service_pb2_grpc import VmServiceStub
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DomainError, FailedPrecondition, from_rpc_error
from icn_machine import contract_limits
from icn_machine.blocks.contract_engine import Entry, VmAnswer, VmCall, VmQuery, VmUnavailable
from icn_machine.contracts import CallDone, CallOutcome, Payment
from icn_machine.events import ContractEvent
from icn_machine.limits import IDENTIFIER_BYTES, QUANTITY_MAX
from icn_machine.posting import BlockContext

from icn_ledger.metrics import UNFINISHED_CALLS, UNFINISHED_HEIGHT

ANSWER_SECONDS_MAX: Final = 90.0
"""Longer than the vm's own watchdog (60 s): it is the vm that gives up first."""
QUERY_SECONDS_MAX: Final = 10.0
END_SECONDS_MAX: Final = 1.0
"""For a stream that has done its work; what takes longer is cut off."""
EXECUTE_BATCH: Final = "/icn.vm.v1.VmService/ExecuteBatch"
CHAIN_ID_BYTES: Final = 16

_SAID_BY_CONTRACTS: Final = frozenset({"CONTRACT_ERROR", "CONTRACT_ABORTED"})
"""Reasons whose message is the contract's own and so the same on every node."""

_log = structlog.get_logger(__name__)


class VmClient:
    """`usecases.contract_engine.ContractEngine` at an address."""

    def __init__(self, address: str, genesis_hash: bytes) -> None:
        self._address = address
        self._chain_id = genesis_hash[:CHAIN_ID_BYTES].hex()
        self._channels = ChannelFactory(long_lived_streams=(EXECUTE_BATCH,), call_seconds=QUERY_SECONDS_MAX)
        self._has_told = False
        self._unfinished: Counter[tuple[int, str]] = Counter()
        """How often the vm was given the same call of the same block and did not finish it."""
        self._is_closed = False

    @asynccontextmanager
    async def open(self, block: BlockContext) -> AsyncIterator[_Stream]:
        """A stream for the calls of a block; connects with the first."""
        if self._is_closed:
            raise VmUnavailable("this ledger is stopping")
        stream = _Stream(self._stub, self._block(block))
        try:
            yield stream
        except VmUnavailable as error:
            self._tell(block.height, stream.waits_for, error.message)
            raise
        finally:
            await stream.end()
        self._has_told = False
        self._unfinished.clear()
        UNFINISHED_HEIGHT.set(0)

    async def query(
        self, block: BlockContext, query: VmQuery, load_code: Callable[[], Awaitable[bytes]]
    ) -> VmAnswer:
        """Ask a contract."""
        request = service_pb2.QueryRequest(
            block=self._block(block),
            code_hash=query.code_hash,
            contract=query.contract.hex(),
            message=query.message,
            fuel_limit=query.fuel_limit,
            storage=_storage(query.storage),
        )
        try:
            answer = await self._ask(request)
        except FailedPrecondition as error:
            if error.reason != "CODE_MISSING":
                raise
            request.code = await load_code()
            answer = await self._ask(request)
        return VmAnswer(answer.data, answer.fuel_used)

    async def close(self) -> None:
        """Cut the connection; what is under way ends with VmUnavailable."""
        self._is_closed = True
        await self._channels.close()

    def _tell(self, height: int, call: str, problem: str) -> None:
        """Name the block and call that a vm was given and did not finish; or say, once, that it is away.

        The same block comes again until a vm finishes it. Its call is named at the first, second, fourth
        and so on time, so that a log says how long it has been the same one.
        """
        if self._is_closed:
            return
        if not call:
            if not self._has_told:
                _log.warning("vm is away", height=height, problem=problem)
                self._has_told = True
            return
        known = self._unfinished.get((height, call), 0)
        self._unfinished.clear()
        tries = self._unfinished[height, call] = known + 1
        UNFINISHED_CALLS.inc()
        UNFINISHED_HEIGHT.set(height)
        if tries & (tries - 1) == 0:
            _log.error("the vm did not finish a call", height=height, call=call, tries=tries, problem=problem)

    @property
    def _stub(self) -> Any:
        return self._channels.stub(VmServiceStub, self._address)

    async def _ask(self, request: service_pb2.QueryRequest) -> Any:
        try:
            return await self._stub.Query(request)
        except grpc.RpcError as failure:
            error: DomainError = from_rpc_error(failure)
            if isinstance(error, FailedPrecondition):
                raise error from failure
            raise VmUnavailable(f"{error.reason}: {error.message}") from failure

    def _block(self, block: BlockContext) -> service_pb2.BlockContext:
        return service_pb2.BlockContext(height=block.height, time_ms=block.time_ms, chain_id=self._chain_id)


class _Stream:
    """The calls of one block."""

    def __init__(self, stub: Any, block: service_pb2.BlockContext) -> None:
        self._stub = stub
        self._block = block
        self._call: Any = None
        self._is_previous_applied = False
        self.waits_for = ""
        """What the vm was given and has not answered, in words; empty where it has answered everything."""

    def settle(self, *, is_applied: bool) -> None:
        """Say of the last answer whether it was applied."""
        self._is_previous_applied = is_applied

    async def check_code(self, code: bytes, fuel_limit: int) -> CallOutcome:
        """Have code checked."""
        what = f"check of code {sha256(code).hexdigest()}"
        answer = await self._ask(what, check_code=service_pb2.CheckCode(code=code, fuel_limit=fuel_limit))
        return _outcome(answer, fuel_limit)

    async def run(self, call: VmCall, load_code: Callable[[], Awaitable[bytes]]) -> CallOutcome:
        """Have a contract run; its code is sent where the vm lacks it."""
        message = _call(call)
        kind = "instantiate" if call.is_instantiate else "execute"
        what = (
            f"{kind} of contract {call.contract.hex()}, code {call.code_hash.hex()}, "
            f"by transaction {call.transaction_index}"
        )
        answer = await self._ask(what, **{kind: message})
        if answer.WhichOneof("outcome") == "code_missing":
            code = await load_code()
            if answer.code_missing != sha256(code).digest():
                raise VmUnavailable("the vm asks for other code than the contract's")
            self._is_previous_applied = False
            await self._write(code=service_pb2.Code(code=code))
            answer = await self._ask(what, **{kind: message})
        return _outcome(answer, call.fuel_limit)

    async def end(self) -> None:
        """End the stream, in order where it is."""
        call, self._call = self._call, None
        if call is None or call.done():
            return
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, TimeoutError):
            async with asyncio.timeout(END_SECONDS_MAX):
                await call.done_writing()
                if await call.read() is grpc.aio.EOF:
                    return
        call.cancel()

    async def _ask(self, what: str, **request: Any) -> Any:
        await self._write(**request)
        self.waits_for = what
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                answer = await self._call.read()
        except grpc.RpcError as failure:
            raise _unavailable(failure) from failure
        except TimeoutError:
            self._call.cancel()
            raise VmUnavailable(f"no answer within {ANSWER_SECONDS_MAX:g} s") from None
        if answer is grpc.aio.EOF:
            raise VmUnavailable("the vm ended the stream")
        self.waits_for = ""
        return answer

    async def _write(self, **request: Any) -> None:
        try:
            if self._call is None:
                await self._check_engine()
                self._call = self._stub.ExecuteBatch()
            await self._call.write(
                service_pb2.ExecuteBatchRequest(
                    block=self._block, is_previous_applied=self._is_previous_applied, **request
                )
            )
        except grpc.RpcError as failure:
            raise _unavailable(failure) from failure
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as failure:
            raise VmUnavailable(f"the stream is over: {failure}") from failure

    async def _check_engine(self) -> None:
        """Another engine could count other fuel: with it this node must not execute."""
        engine = (await self._stub.GetEngine(service_pb2.GetEngineRequest())).engine
        if engine != contract_limits.ENGINE:
            raise VmUnavailable(f"the vm runs {engine}, the protocol {contract_limits.ENGINE}")


def _unavailable(failure: grpc.RpcError) -> VmUnavailable:
    error = from_rpc_error(failure)
    return VmUnavailable(f"{error.reason}: {error.message}")


def _storage(entries: Sequence[Entry]) -> service_pb2.Storage:
    return service_pb2.Storage(
        entries=[service_pb2.StorageEntry(key=entry.key, value=entry.value) for entry in entries]
    )


def _call(call: VmCall) -> service_pb2.Call:
    return service_pb2.Call(
        code=call.code_hash,
        contract=call.contract.hex(),
        sender=call.sender.hex(),
        message=call.message,
        funds=[
            service_pb2.Coin(denomination=unit.hex(), amount=amount_minor)
            for unit, amount_minor in call.funds
        ],
        fuel_limit=call.fuel_limit,
        transaction_index=call.transaction_index,
        storage=None if call.storage is None else _storage(call.storage),
        balances=[
            service_pb2.DeclaredBalance(
                owner=owner.hex(), denomination=unit.hex(), spendable_minor=spendable_minor
            )
            for owner, unit, spendable_minor in call.balances
        ],
    )


def _outcome(answer: Any, fuel_limit: int) -> CallOutcome:
    """What the answer says.

    Raises:
        VmUnavailable: it says what no vm may say.
    """
    if answer.fuel_used > fuel_limit:
        raise VmUnavailable(f"the vm used {answer.fuel_used} of {fuel_limit}")
    kind = answer.WhichOneof("outcome")
    if kind == "stopped" and answer.stopped.reason:
        said = answer.stopped.message.encode() if answer.stopped.reason in _SAID_BY_CONTRACTS else b""
        return CallOutcome(
            answer.fuel_used, None, answer.stopped.reason, said[: contract_limits.TEXT_BYTES_MAX]
        )
    if kind != "done":
        raise VmUnavailable(f"the vm answered {kind or 'nothing'}")
    done = answer.done
    writes = tuple((write.key, None if write.is_removed else write.value) for write in done.writes)
    for key, value in writes:
        if not 1 <= len(key) <= contract_limits.KEY_BYTES_MAX:
            raise VmUnavailable(f"the vm wrote a key of {len(key)} bytes")
        if value is not None and not 1 <= len(value) <= contract_limits.VALUE_BYTES_MAX:
            raise VmUnavailable(f"the vm wrote a value of {len(value)} bytes")
    if any(before[0] >= after[0] for before, after in pairwise(writes)):
        raise VmUnavailable("the vm wrote keys out of order")
    if len(done.payments) > contract_limits.PAYMENTS_MAX:
        raise VmUnavailable(f"the vm pays {len(done.payments)} times")
    return CallOutcome(
        answer.fuel_used,
        CallDone(
            data=done.data,
            writes=writes,
            payments=tuple(_payment(payment) for payment in done.payments),
            events=tuple(
                ContractEvent(
                    event.type, tuple((attribute.key, attribute.value) for attribute in event.attributes)
                )
                for event in done.events
            ),
        ),
    )


def _payment(payment: service_pb2.Payment) -> Payment:
    try:
        recipient = bytes.fromhex(payment.recipient)
        unit = bytes.fromhex(payment.coin.denomination)
    except ValueError:
        recipient = unit = b""
    if not len(recipient) == len(unit) == IDENTIFIER_BYTES or not 1 <= payment.coin.amount <= QUANTITY_MAX:
        raise VmUnavailable("the vm pays what cannot be paid")
    return Payment(recipient, unit, payment.coin.amount)
