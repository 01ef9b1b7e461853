"""A vm whose contracts are Python functions: a small fake of the port `usecases.contract_engine`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from icn_machine.blocks.contract_engine import VmAnswer, VmCall, VmQuery, VmUnavailable
from icn_machine.contracts import CallDone, CallOutcome, Payment
from icn_machine.events import ContractEvent
from icn_machine.posting import BlockContext

FUEL_USED = 1_000_000


@dataclass
class FakeVm:
    """Runs messages such as {"write": {"a": "1"}, "pay": [["<recipient>", "<unit>", 5]], "stop": "WHY"}."""

    calls: list[VmCall] = field(default_factory=list)
    opened: int = 0
    fails_at: int = 0
    """Which call of a stream, from 1, finds the vm away; 0 for none."""
    knows: set[bytes] = field(default_factory=set)
    """Code that need not be sent."""

    @asynccontextmanager
    async def open(self, block: BlockContext) -> AsyncIterator[FakeStream]:
        self.opened += 1
        yield FakeStream(self, block)

    async def query(
        self, block: BlockContext, query: VmQuery, load_code: Callable[[], Awaitable[bytes]]
    ) -> VmAnswer:
        assert sha256(await load_code()).digest() == query.code_hash
        stored = {entry.key.decode(): entry.value.decode() for entry in query.storage}
        return VmAnswer(json.dumps({"height": block.height, **stored}).encode(), FUEL_USED)


@dataclass
class FakeStream:
    vm: FakeVm
    block: BlockContext
    storages: dict[bytes, dict[bytes, bytes]] = field(default_factory=dict)
    pending: tuple[bytes, dict[bytes, bytes | None]] | None = None
    count: int = 0

    def _begin(self) -> None:
        self.count += 1
        if self.count == self.vm.fails_at:
            raise VmUnavailable("killed")

    async def check_code(self, code: bytes, fuel_limit: int) -> CallOutcome:
        self._begin()
        if not code.startswith(b"\0asm"):
            return CallOutcome(fuel_limit, None, "MALFORMED_MODULE")
        self.vm.knows.add(sha256(code).digest())
        return CallOutcome(FUEL_USED, CallDone(b"", (), (), ()))

    async def run(self, call: VmCall, load_code: Callable[[], Awaitable[bytes]]) -> CallOutcome:
        self._begin()
        self.vm.calls.append(call)
        if call.code_hash not in self.vm.knows:
            assert sha256(await load_code()).digest() == call.code_hash
            self.vm.knows.add(call.code_hash)
        if call.storage is not None:
            self.storages[call.contract] = {entry.key: entry.value for entry in call.storage}
        storage = self.storages[call.contract]
        asked: dict[str, Any] = json.loads(call.message)
        if call.fuel_limit < FUEL_USED:
            return CallOutcome(call.fuel_limit, None, "OUT_OF_GAS")
        if "stop" in asked:
            return CallOutcome(FUEL_USED, None, asked["stop"])
        for key, value in asked.get("expect", {}).items():
            assert storage.get(key.encode()) == (value and value.encode()), (key, storage)
        writes = {
            key.encode(): None if value is None else value.encode()
            for key, value in sorted(asked.get("write", {}).items())
        }
        self.pending = call.contract, writes
        payments = tuple(
            Payment(bytes.fromhex(recipient), bytes.fromhex(unit), amount)
            for recipient, unit, amount in asked.get("pay", [])
        )
        events = tuple(
            ContractEvent("wasm", ((key, value),)) for key, value in asked.get("events", {}).items()
        )
        events += tuple(
            ContractEvent("wasm", (("key", "x" * size),)) for size in asked.get("long_events", [])
        )
        data = asked.get("data", "").encode()
        return CallOutcome(FUEL_USED, CallDone(data, tuple(sorted(writes.items())), payments, events))

    def settle(self, *, is_applied: bool) -> None:
        if self.pending is not None and is_applied:
            contract, writes = self.pending
            for key, value in writes.items():
                if value is None:
                    self.storages[contract].pop(key, None)
                else:
                    self.storages[contract][key] = value
        self.pending = None
