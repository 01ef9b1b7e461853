"""ExecuteBatch: the contract calls of one block, one after the other.

Source: docs/spec/vm.md, "The stream".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple

from icn_kit.errors import FailedPrecondition, InvalidArgument
from icn_wasm.engine import Code, Engine, EntryPoint, Outcome
from icn_wasm.kept_storage import KeptStorage
from icn_wasm.messages import Caller, Environment, Event
from icn_wasm.payments import MessageRefused, Payment, read_payments
from icn_wasm.refusals import CodeRefused, Stopped
from icn_wasm.storage import Write

from icn_vm.usecases.ports import CodeStore
from icn_vm.usecases.worker import Worker

STREAM_MALFORMED: Final = "STREAM_MALFORMED"
STORAGE_MISSING: Final = "STORAGE_MISSING"


class Block(NamedTuple):
    """The block that calls are part of."""

    height: int
    time_ms: int
    chain_id: str

    def environment(self, contract: str, transaction_index: int | None) -> Environment:
        """As the contract sees it."""
        return Environment(self.chain_id, self.height, self.time_ms * 1_000_000, contract, transaction_index)


class CheckCode(NamedTuple):
    """Code to be checked."""

    code: bytes
    fuel_limit: int


class GiveCode(NamedTuple):
    """Code that was asked for."""

    code: bytes


class Call(NamedTuple):
    """One call of a contract."""

    entry_point: EntryPoint
    checksum: bytes
    contract: str
    caller: Caller
    message: bytes
    fuel_limit: int
    transaction_index: int
    storage: Mapping[bytes, bytes] | None
    balances: Mapping[tuple[str, str], int]


class Done(NamedTuple):
    """A call that went well."""

    fuel_used: int
    data: bytes | None
    writes: tuple[Write, ...]
    payments: tuple[Payment, ...]
    events: tuple[Event, ...]


class Halted(NamedTuple):
    """A call that was stopped, or code that was refused."""

    fuel_used: int
    reason: str
    message: str


class CodeMissing(NamedTuple):
    """The ledger has to send this code, then the call again."""

    checksum: bytes


Answer = Done | Halted | CodeMissing


@dataclass(slots=True)
class Batch:
    """One stream. Nothing of it outlives it but code."""

    engine: Engine
    worker: Worker
    codes: CodeStore
    _block: Block | None = None
    _storages: dict[str, KeptStorage] = field(default_factory=dict)
    _pending: tuple[KeptStorage, tuple[Write, ...]] | None = None
    """What the last call wrote, until the ledger says whether it was applied."""
    _wanted: bytes | None = None

    async def answer(
        self, block: Block, is_previous_applied: bool, request: CheckCode | GiveCode | Call
    ) -> Answer | None:
        """Serve one request; None for those that have no answer.

        Raises:
            InvalidArgument: STREAM_MALFORMED: not what may come here.
            FailedPrecondition: STORAGE_MISSING: a call without storage of a contract that has none here.
            Unavailable: the machine or the database could not go on. The ledger begins again.
        """
        if self._block is None:
            self._block = block
        if block != self._block:
            raise InvalidArgument(STREAM_MALFORMED, "a stream is of one block")
        if isinstance(request, GiveCode):
            await self._take_code(request)
            return None
        self._wanted = None
        if self._pending is not None and is_previous_applied:
            storage, writes = self._pending
            storage.apply(writes)
        self._pending = None
        if isinstance(request, CheckCode):
            return await self._check(block, request)
        return await self._call(block, request)

    async def _take_code(self, request: GiveCode) -> None:
        checksum = sha256(request.code).digest()
        if checksum != self._wanted:
            raise InvalidArgument(STREAM_MALFORMED, "this is not the code that was asked for")
        await self.codes.put(checksum, request.code)
        self._wanted = None

    async def _check(self, block: Block, request: CheckCode) -> Answer:
        code = Code.of(request.code)

        def check() -> Answer:
            try:
                return Done(self.engine.check(code, request.fuel_limit), None, (), (), ())
            except CodeRefused as refusal:
                return Halted(request.fuel_limit, refusal.reason, refusal.message)
            except Stopped as stopped:
                return Halted(request.fuel_limit, stopped.reason, stopped.message)

        what = f"check of code {code.checksum.hex()} in block {block.height}"
        answer = await self.worker.run(check, what)
        if isinstance(answer, Done):
            await self.codes.put(code.checksum, code.content)
        return answer

    async def _call(self, block: Block, call: Call) -> Answer:
        if call.storage is not None:
            storage = KeptStorage(call.storage)
        elif (kept := self._storages.get(call.contract)) is not None:
            storage = kept
        else:
            raise FailedPrecondition(STORAGE_MISSING, f"the storage of {call.contract} was not sent")
        content = await self.codes.get(call.checksum)
        if content is None:
            self._wanted = call.checksum
            return CodeMissing(call.checksum)
        outcome = await self.worker.run(
            lambda: self.engine.run(
                call.entry_point,
                Code(content, call.checksum),
                block.environment(call.contract, call.transaction_index),
                call.caller,
                call.message,
                storage,
                call.fuel_limit,
                call.balances,
            ),
            f"{call.entry_point} of contract {call.contract}, code {call.checksum.hex()}, "
            f"by transaction {call.transaction_index} of block {block.height}",
        )
        self._storages[call.contract] = storage
        answer = read_outcome(outcome)
        if isinstance(answer, Done):
            self._pending = storage, answer.writes
        return answer


def read_outcome(outcome: Outcome) -> Done | Halted:
    """What the ledger is told of a call that is no query."""
    if outcome.stopped is not None:
        return Halted(outcome.gas_used, outcome.stopped.reason, outcome.stopped.message)
    response = outcome.response
    assert response is not None, "a call is stopped or has a response"
    try:
        payments = read_payments(response.messages)
    except MessageRefused as refusal:
        return Halted(outcome.gas_used, refusal.reason, refusal.message)
    return Done(outcome.gas_used, response.data, outcome.writes, payments, response.events)
