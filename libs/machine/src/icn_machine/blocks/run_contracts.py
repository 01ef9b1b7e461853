"""Running the contract transactions of a block: the ledger's records before and after, the vm between.

Source: docs/spec/vm.md, "In a block".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from icn_machine.blocks.contract_engine import ContractEngine, ContractStream, Entry, VmCall
from icn_machine.blocks.ports import State
from icn_machine.contract_limits import store_fuel_limit
from icn_machine.contract_messages import ExecuteContract, InstantiateContract, StoreCode
from icn_machine.contracts import (
    CallOutcome,
    FuelExhausted,
    PreparedCall,
    check_new_code,
    events_digest,
    finish_call,
    funds,
    prepare_call,
    spendable,
    store_code,
)
from icn_machine.events import ContractResult, Receipt, TransactionRefused
from icn_machine.execution import BlockExecution, check_authority
from icn_machine.limits import IDENTIFIER_BYTES
from icn_machine.messages import Transaction
from icn_machine.posting import Cause
from icn_machine.records import Namespace, RecordTables
from icn_machine.refusals import Refused
from icn_machine.touched import RecordNames


async def run_contracts(
    execution: BlockExecution, state: State, engine: ContractEngine, genesis_hash: bytes
) -> None:
    """Run the contract transactions of a block whose native ones are done.

    Raises:
        VmUnavailable: the block was not executed; give it again.
    """
    if not execution.contract_transactions:
        return
    async with engine.open(execution.context) as stream:
        run = _Run(execution, state, stream, genesis_hash)
        for index, transaction in execution.contract_transactions:
            execution.settle(index, await run.one(index, transaction))


@dataclass(slots=True)
class _Run:
    """The calls of one block."""

    execution: BlockExecution
    state: State
    stream: ContractStream
    genesis_hash: bytes
    sent: set[bytes] = field(default_factory=set)
    """Contracts whose storage the vm has."""
    loaded: set[bytes] = field(default_factory=set)
    """Contracts whose storage is in the working set."""
    _fuel_used: int = 0
    _text: bytes = b""

    async def one(self, index: int, transaction: Transaction) -> Receipt:
        """Run a transaction, all or nothing."""
        working = self.execution.working
        controller = working.now.controllers[transaction.principal]
        assert controller is not None, "validity rule 3; no controller ever goes"
        self._fuel_used, self._text = 0, b""
        working.begin(index)
        try:
            check_authority(transaction, controller, self.execution.context.time_ms)
            data, events = await self._apply(transaction, index)
        except Refused as refusal:
            working.rollback()
            used = transaction.fuel_limit if isinstance(refusal, FuelExhausted) else self._fuel_used
            result = ContractResult(used, self._text)
            receipt = Receipt(transaction.id, refusal.reason, 0, refusal.figures, result)
            working.events.append(TransactionRefused(transaction.payer, transaction.principal, receipt))
            return receipt
        return Receipt(transaction.id, "", 0, (), ContractResult(self._fuel_used, data, events))

    async def _apply(self, transaction: Transaction, index: int) -> tuple[bytes, bytes]:
        """Data and digest of the events of a transaction that took effect. Raises Refused."""
        message = transaction.messages[0]
        if isinstance(message, StoreCode):
            await self._store(transaction, message)
            return b"", b""
        assert isinstance(message, InstantiateContract | ExecuteContract), "the kinds of contracts"
        return await self._call(transaction, message, index)

    async def _store(self, transaction: Transaction, message: StoreCode) -> None:
        working = self.execution.working
        check_new_code(working, message)
        outcome = await self.stream.check_code(message.code, store_fuel_limit(len(message.code)))
        self._fuel_used = outcome.fuel_used
        self.stream.settle(is_applied=outcome.done is not None)
        if outcome.done is None:
            raise Refused(outcome.stopped)
        store_code(working, transaction, message)

    async def _call(
        self, transaction: Transaction, message: InstantiateContract | ExecuteContract, index: int
    ) -> tuple[bytes, bytes]:
        working = self.execution.working
        cause = Cause(transaction.payer, index, self.execution.context)
        prepared = prepare_call(working, transaction, message, cause)
        await self._load(prepared)
        outcome = await self._run(prepared, transaction, index)
        self._fuel_used = prepared.ledger_fuel + outcome.fuel_used
        done = outcome.done
        if done is None:
            self.stream.settle(is_applied=False)
            self._text = outcome.text
            raise Refused(outcome.stopped)
        try:
            finish_call(working, transaction, prepared, done, cause, fuel_used=self._fuel_used)
        except Refused:
            self.stream.settle(is_applied=False)
            raise
        self.stream.settle(is_applied=True)
        return done.data, events_digest(self.genesis_hash, done.events)

    async def _load(self, prepared: PreparedCall) -> None:
        """Have the contract's storage in the working set, with the allowances of who pays for it."""
        contract = prepared.contract.contract
        if contract in self.loaded:
            return
        self.loaded.add(contract)
        if prepared.is_new:
            return
        working = self.execution.working
        entries = await self.state.load_storage(contract)
        payers = {entry.payer for entry in entries.values()} - working.now.allowances.keys()
        records = RecordTables(contract_entries=dict(entries))
        if payers:
            records.allowances.update((await self.state.load(RecordNames(allowances=payers))).allowances)
        working.add_loaded(records)

    async def _run(self, prepared: PreparedCall, transaction: Transaction, index: int) -> CallOutcome:
        contract = prepared.contract
        storage = None if contract.contract in self.sent else self._storage(contract.contract)
        outcome = await self.stream.run(
            VmCall(
                is_instantiate=prepared.is_new,
                code_hash=contract.code,
                contract=contract.contract,
                sender=transaction.principal,
                message=prepared.call.message,
                funds=funds(self.execution.working, prepared),
                fuel_limit=prepared.engine_fuel,
                transaction_index=index,
                storage=storage,
                balances=spendable(self.execution.working, prepared, self.execution.context.time_ms),
            ),
            lambda: self._code(contract.code),
        )
        self.sent.add(contract.contract)
        return outcome

    def _storage(self, contract: bytes) -> list[Entry]:
        entries = self.execution.working.now.contract_entries
        return sorted(
            Entry(identifier[IDENTIFIER_BYTES:], entry.value)
            for identifier, entry in entries.items()
            if entry is not None and identifier.startswith(contract)
        )

    async def _code(self, code_hash: bytes) -> bytes:
        codes = self.execution.working.now.codes
        code = codes.get(code_hash)
        if code is None:
            names = RecordNames(codes={code_hash})
            code = (await self.state.load(names)).codes[code_hash]
            self.execution.working.add_loaded(RecordTables(codes={code_hash: code}))
        assert code is not None, (
            f"no code ever goes, {Namespace.CODE.name} {code_hash.hex()} was instantiated"
        )
        return code.code
