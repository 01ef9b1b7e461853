"""Runs contracts: (code, environment, message, view of storage) → answer, writes and gas, or why not and gas.

Source: docs/spec/vm.md; docs/adr/0014-contract-engine-as-a-library.md.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from threading import Lock
from typing import Any, Final, NamedTuple

import wasmtime

from icn_wasm import limits
from icn_wasm.admission import IMPORTS, admit
from icn_wasm.depth import EXCEEDED, STACK_EXPORT
from icn_wasm.guest import Guest
from icn_wasm.host import Host
from icn_wasm.messages import (
    Caller,
    Environment,
    Response,
    check_message,
    read_query_answer,
    read_response,
)
from icn_wasm.module import I64
from icn_wasm.refusals import CodeReason, CodeRefused, EngineFault, Stopped, StopReason
from icn_wasm.storage import Balances, Overlay, StorageView, Write

WASMTIME_VERSION: Final = "50.0.1"
"""Fuel is counted by it, so it is protocol: another version is another chain."""

MODULES_CACHED_MAX: Final = 128
MODULES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of compiled modules kept, as wasmtime writes them down; in memory they take up to twice that."""

_TRAPS: Final = frozenset(
    {
        wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS,
        wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS,
        wasmtime.TrapCode.INDIRECT_CALL_TO_NULL,
        wasmtime.TrapCode.BAD_SIGNATURE,
        wasmtime.TrapCode.INTEGER_OVERFLOW,
        wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO,
        wasmtime.TrapCode.UNREACHABLE,
    }
)
"""Traps that follow from the code alone. Any other is the machine's doing."""

_RUNNING: Final = Lock()
"""wasmtime's Python package keeps the exception of a host call in one place for all threads."""


class EntryPoint(StrEnum):
    """What can be asked of a contract."""

    INSTANTIATE = "instantiate"
    EXECUTE = "execute"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Code:
    """A module as it was stored."""

    content: bytes
    checksum: bytes
    """SHA-256 of the content."""

    @classmethod
    def of(cls, content: bytes) -> "Code":
        """The code with its checksum."""
        return cls(content, hashlib.sha256(content).digest())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: with a response, or stopped and without any effect but the gas."""

    gas_used: int
    response: Response | None = None
    writes: tuple[Write, ...] = ()
    stopped: Stopped | None = None


class _Module(NamedTuple):
    """Code ready to run."""

    compiled: wasmtime.Module
    store_gas: int
    call_gas: int
    size_bytes: int


class Engine:
    """Compiles and runs contracts. Safe to share among threads; calls run one after the other."""

    def __init__(
        self, modules_cached_max: int = MODULES_CACHED_MAX, modules_bytes_max: int = MODULES_BYTES_MAX
    ) -> None:
        assert version("wasmtime") == WASMTIME_VERSION, "fuel is protocol: pin wasmtime"
        self._engine = wasmtime.Engine(_configuration())
        self._modules: OrderedDict[bytes, _Module] = OrderedDict()
        self._modules_cached_max = modules_cached_max
        self._modules_bytes_max = modules_bytes_max
        self._modules_bytes = 0
        self._host: Host | None = None
        self._linker = wasmtime.Linker(self._engine)
        for name, kind in IMPORTS.items():
            parameters = [wasmtime.ValType.i32() for _ in kind.parameters]
            results = [
                wasmtime.ValType.i64() if number == I64 else wasmtime.ValType.i32() for number in kind.results
            ]
            self._linker.define_func(
                "env",
                name,
                wasmtime.FuncType(parameters, results),
                self._answers(name, is_wide=I64 in kind.results),
            )

    @property
    def modules_kept(self) -> int:
        """Compiled modules in memory."""
        return len(self._modules)

    @property
    def modules_bytes(self) -> int:
        """Size of the compiled modules in memory, as wasmtime writes them down."""
        return self._modules_bytes

    def knows(self, checksum: bytes) -> bool:
        """Whether the compiled module is in memory."""
        return checksum in self._modules

    def check(self, code: Code, gas_limit: int | None = None) -> int:
        """The gas of storing the code, whose compiled module is kept.

        Raises:
            CodeRefused: it is not code that this engine runs.
            Stopped: OUT_OF_GAS: storing it costs more than the limit. Nothing was compiled.
        """
        with _RUNNING:
            return self._module(code, store_gas_max=gas_limit).store_gas

    def run(  # noqa: PLR0917 - a call has these parts
        self,
        entry_point: EntryPoint,
        code: Code,
        environment: Environment,
        caller: Caller | None,
        message: bytes,
        view: StorageView,
        gas_limit: int,
        balances: Balances | None = None,
    ) -> Outcome:
        """Run one call of code that was accepted. ``caller`` is None for a query, ``balances`` where there is
        no ledger.

        Raises:
            CodeRefused: the code was never accepted.
            EngineFault: the machine could not go on; the node must stop.
        """
        assert (caller is None) == (entry_point is EntryPoint.QUERY), "queries have no caller, the others one"
        assert 0 <= gas_limit <= limits.GAS_MAX, "callers bound the gas"
        inputs = [environment.encode()]
        if caller is not None:
            inputs.append(caller.encode())
        first_gas = limits.CALL_GAS + sum(map(len, inputs)) * limits.INPUT_GAS_PER_BYTE
        first_gas += len(message) * limits.JSON_GAS_PER_BYTE
        inputs.append(message)
        if first_gas > gas_limit:
            return Outcome(gas_limit, stopped=Stopped(StopReason.OUT_OF_GAS, "the gas limit is reached"))
        try:
            check_message(message)
        except Stopped as stopped:
            return Outcome(first_gas, stopped=stopped)
        with _RUNNING:
            fuel = gas_limit - first_gas
            return self._run(entry_point, code, environment, inputs, view, gas_limit, fuel, balances)

    def _run(  # noqa: PLR0917 - a call has these parts
        self,
        entry_point: EntryPoint,
        code: Code,
        environment: Environment,
        inputs: list[bytes],
        view: StorageView,
        gas_limit: int,
        fuel: int,
        balances: Balances | None,
    ) -> Outcome:
        try:
            module = self._module(code, call_gas_max=fuel)
        except Stopped as stopped:
            return Outcome(gas_limit, stopped=stopped)
        store = wasmtime.Store(self._engine)
        store.set_limits(
            memory_size=limits.MEMORY_PAGES_MAX * limits.PAGE_BYTES,
            table_elements=limits.TABLE_ELEMENTS_MAX,
            instances=1,
            tables=1,
            memories=1,
        )
        store.set_fuel(limits.GAS_MAX)
        storage = Overlay(view)
        try:
            exports: Any = self._linker.instantiate(store, module.compiled).exports(store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EngineFault(f"no instance could be made: {error}") from error
        store.set_fuel(fuel - module.call_gas)
        guest = Guest(store, exports["memory"], exports["allocate"])
        self._host = Host(guest, storage, balances, is_query=entry_point is EntryPoint.QUERY)
        try:
            result = _call(entry_point, exports, store, guest, inputs)
            answer = guest.read(result, limits.RESULT_BYTES_MAX, limits.OUTPUT_GAS_PER_BYTE)
            if entry_point is EntryPoint.QUERY:
                response = read_query_answer(answer)
            else:
                response = read_response(answer, environment.contract)
            return Outcome(gas_limit - store.get_fuel(), response, storage.writes())
        except Stopped as stopped:
            return Outcome(gas_limit - store.get_fuel(), stopped=stopped)
        except wasmtime.Trap as trap:
            reason = _stopped_by(trap, exports, store)
            is_empty = reason.reason is StopReason.OUT_OF_GAS
            return Outcome(gas_limit if is_empty else gas_limit - store.get_fuel(), stopped=reason)
        except wasmtime.WasmtimeError as error:
            raise EngineFault(str(error)) from error
        finally:
            self._host = None
            store.close()

    def _answers(self, name: str, *, is_wide: bool) -> Callable[..., int | None]:
        bits = 64 if is_wide else 32

        def answer(*arguments: int) -> int | None:
            assert self._host is not None, "host calls come from a running call"
            value = self._host.answer(name, arguments)
            return value if value is None or value < 1 << (bits - 1) else value - (1 << bits)

        return answer

    def _module(
        self, code: Code, *, store_gas_max: int | None = None, call_gas_max: int | None = None
    ) -> _Module:
        """The compiled module. Raises CodeRefused, Stopped; where it stops nothing was compiled."""
        known = self._modules.get(code.checksum)
        if known is not None:
            self._modules.move_to_end(code.checksum)
            _check_gas(known.store_gas, known.call_gas, store_gas_max, call_gas_max)
            return known
        content, store_gas, call_gas = admit(code.content)
        _check_gas(store_gas, call_gas, store_gas_max, call_gas_max)
        try:
            wasmtime.Module.validate(self._engine, code.content)
            compiled = wasmtime.Module(self._engine, content)
        except wasmtime.WasmtimeError as error:
            raise CodeRefused(CodeReason.INVALID_MODULE, str(error).splitlines()[0]) from None
        module = _Module(compiled, store_gas, call_gas, len(compiled.serialize()))
        self._keep(code.checksum, module)
        return module

    def _keep(self, checksum: bytes, module: _Module) -> None:
        """Forget those used longest ago where there are too many; one that is too large alone is not kept."""
        self._modules[checksum] = module
        self._modules_bytes += module.size_bytes
        while len(self._modules) > self._modules_cached_max or self._modules_bytes > self._modules_bytes_max:
            _, gone = self._modules.popitem(last=False)
            self._modules_bytes -= gone.size_bytes


def _check_gas(store_gas: int, call_gas: int, store_gas_max: int | None, call_gas_max: int | None) -> None:
    if store_gas_max is not None and store_gas > store_gas_max:
        raise Stopped(StopReason.OUT_OF_GAS, f"storing costs {store_gas}, the limit is {store_gas_max}")
    if call_gas_max is not None and call_gas > call_gas_max:
        raise Stopped(StopReason.OUT_OF_GAS, "the gas limit is reached")


def _configuration() -> wasmtime.Config:
    """Every setting that could change an outcome is set, whatever its default."""
    configuration = wasmtime.Config()
    configuration.consume_fuel = True
    configuration.cranelift_nan_canonicalization = True
    configuration.cranelift_opt_level = "none"  # frames hold what the code says and nothing hoisted
    configuration.memory_init_cow = False  # 154 bytes of code would keep 16 MiB of zeros beside them
    configuration.max_wasm_stack = limits.NATIVE_STACK_BYTES
    configuration.parallel_compilation = False
    configuration.wasm_threads = False
    configuration.wasm_tail_call = False
    configuration.wasm_simd = False
    configuration.wasm_relaxed_simd = False
    configuration.wasm_multi_value = False
    configuration.wasm_multi_memory = False
    configuration.wasm_memory64 = False
    configuration.wasm_exceptions = False
    configuration.wasm_bulk_memory = True
    return configuration


def _call(
    entry_point: EntryPoint, exports: Any, store: wasmtime.Store, guest: Guest, inputs: list[bytes]
) -> int:
    """Call the entry point and return the Region of its answer. Raises Stopped and Trap."""
    if entry_point.value not in exports:
        raise Stopped(StopReason.ENTRY_POINT_MISSING, entry_point.value)
    regions = [guest.put(content, gas_per_byte=0) for content in inputs]
    result: int = exports[entry_point.value](store, *regions)
    return result & 0xFFFFFFFF


def _stopped_by(trap: wasmtime.Trap, exports: Any, store: wasmtime.Store) -> Stopped:
    """What a trap means. Raises EngineFault where it is the machine's."""
    code = trap.trap_code
    if code is wasmtime.TrapCode.OUT_OF_FUEL:
        return Stopped(StopReason.OUT_OF_GAS, "the gas limit is reached")
    if code is wasmtime.TrapCode.UNREACHABLE and exports[STACK_EXPORT].value(store) == EXCEEDED:
        return Stopped(
            StopReason.CALL_DEPTH_EXCEEDED, f"more than {limits.STACK_VALUES_MAX} values on the call stack"
        )
    if code not in _TRAPS:
        raise EngineFault(f"trap {code}") from trap
    return Stopped(StopReason.TRAP, code.name.lower())
