"""The contract calls of a block, run in this process. Source: docs/spec/vm.md, "In a block"."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from icn_machine import contract_limits
from icn_machine.blocks.contract_engine import VmAnswer, VmCall, VmQuery, VmUnavailable
from icn_machine.contracts import CallDone, CallOutcome, Payment
from icn_machine.events import ContractEvent
from icn_machine.posting import BlockContext
from icn_wasm.engine import Code, Engine, EntryPoint, Outcome
from icn_wasm.kept_storage import KeptStorage
from icn_wasm.messages import Caller, Coin, Environment
from icn_wasm.payments import MessageRefused, read_payments
from icn_wasm.refusals import CodeRefused, Stopped
from icn_wasm.storage import Write

CHAIN_ID_BYTES: Final = 16
_SAID_BY_CONTRACTS: Final = frozenset({"CONTRACT_ERROR", "CONTRACT_ABORTED"})


class InProcessContracts:
    """Implements `icn_machine.blocks.contract_engine.ContractEngine`."""

    def __init__(self, genesis_hash: bytes) -> None:
        self._chain_id = genesis_hash[:CHAIN_ID_BYTES].hex()
        self._engine = Engine()
        self._codes: dict[bytes, Code] = {}

    @asynccontextmanager
    async def open(self, block: BlockContext) -> AsyncIterator[_Calls]:
        """See `ContractEngine`."""
        yield _Calls(self._engine, self._codes, block, self._chain_id)

    async def query(
        self, _block: BlockContext, _query: VmQuery, _load_code: Callable[[], Awaitable[bytes]]
    ) -> VmAnswer:
        """Nobody asks while a chain is executed again. Raises VmUnavailable."""
        raise VmUnavailable("an audit asks no contract")


class _Calls:
    """The calls of one block."""

    def __init__(self, engine: Engine, codes: dict[bytes, Code], block: BlockContext, chain_id: str) -> None:
        self._engine = engine
        self._codes = codes
        self._block = block
        self._chain_id = chain_id
        self._storages: dict[bytes, KeptStorage] = {}
        self._pending: tuple[KeptStorage, tuple[Write, ...]] | None = None

    def settle(self, *, is_applied: bool) -> None:
        """See `ContractStream`."""
        if self._pending is not None and is_applied:
            storage, writes = self._pending
            storage.apply(writes)
        self._pending = None

    async def check_code(self, code: bytes, fuel_limit: int) -> CallOutcome:
        """See `ContractStream`."""
        try:
            fuel_used = self._engine.check(Code.of(code), fuel_limit)
        except CodeRefused as refusal:
            return CallOutcome(fuel_limit, None, str(refusal.reason))
        except Stopped as stopped:
            return CallOutcome(fuel_limit, None, str(stopped.reason))
        return CallOutcome(fuel_used, CallDone(b"", (), (), ()))

    async def run(self, call: VmCall, load_code: Callable[[], Awaitable[bytes]]) -> CallOutcome:
        """See `ContractStream`."""
        if call.storage is not None:
            self._storages[call.contract] = KeptStorage({entry.key: entry.value for entry in call.storage})
        storage = self._storages[call.contract]
        code = self._codes.get(call.code_hash)
        if code is None:
            code = self._codes[call.code_hash] = Code(await load_code(), call.code_hash)
        contract = call.contract.hex()
        outcome = self._engine.run(
            EntryPoint.INSTANTIATE if call.is_instantiate else EntryPoint.EXECUTE,
            code,
            Environment(
                self._chain_id,
                self._block.height,
                self._block.time_ms * 1_000_000,
                contract,
                call.transaction_index,
            ),
            Caller(call.sender.hex(), tuple(Coin(unit.hex(), amount) for unit, amount in call.funds)),
            call.message,
            storage,
            call.fuel_limit,
            {(owner.hex(), unit.hex()): spendable for owner, unit, spendable in call.balances},
        )
        read = _read(outcome)
        if read.done is not None:
            self._pending = storage, outcome.writes
        return read


def _read(outcome: Outcome) -> CallOutcome:
    """What the ledger is told of a call."""
    if outcome.stopped is not None:
        reason = str(outcome.stopped.reason)
        said = outcome.stopped.message.encode() if reason in _SAID_BY_CONTRACTS else b""
        return CallOutcome(outcome.gas_used, None, reason, said[: contract_limits.TEXT_BYTES_MAX])
    response = outcome.response
    assert response is not None, "a call is stopped or has a response"
    try:
        payments = read_payments(response.messages)
    except MessageRefused as refusal:
        return CallOutcome(outcome.gas_used, None, refusal.reason)
    return CallOutcome(
        outcome.gas_used,
        CallDone(
            data=response.data or b"",
            writes=tuple((write.key, write.value) for write in outcome.writes),
            payments=tuple(
                Payment(bytes.fromhex(one.recipient), bytes.fromhex(one.unit), one.amount_minor)
                for one in payments
            ),
            events=tuple(
                ContractEvent(event.type, tuple((one.key, one.value) for one in event.attributes))
                for event in response.events
            ),
        ),
    )
