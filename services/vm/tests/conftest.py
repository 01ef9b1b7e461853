"""One engine for all tests, code in memory, and calls as the ledger makes them."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from icn_vm.usecases.execute_batch import Batch, Block, Call
from icn_vm.usecases.worker import Worker
from icn_wasm.engine import Engine, EntryPoint
from icn_wasm.messages import Caller, Coin

BLOCK = Block(7, 1_700_000_000_000, "c0" * 16)
CONTRACT, ANNA, BEN, CARA, UNIT = "aa" * 16, "a1" * 16, "b2" * 16, "c3" * 16, "d4" * 16
FUEL = 50_000_000


class MemoryCodes(dict[bytes, bytes]):
    """Implements `usecases.ports.CodeStore`."""

    async def get(self, checksum: bytes) -> bytes | None:  # type: ignore[override]
        return super().get(checksum)

    async def put(self, checksum: bytes, code: bytes) -> None:
        self[checksum] = code


def call(
    code: bytes,
    message: bytes = b"{}",
    *,
    is_instantiate: bool = False,
    contract: str = CONTRACT,
    sender: str = ANNA,
    funds: int = 0,
    fuel_limit: int = FUEL,
    storage: dict[bytes, bytes] | None = None,
    balances: dict[tuple[str, str], int] | None = None,
) -> Call:
    """A call with what a test leaves out filled in."""
    return Call(
        EntryPoint.INSTANTIATE if is_instantiate else EntryPoint.EXECUTE,
        sha256(code).digest(),
        contract,
        Caller(sender, (Coin(UNIT, funds),) if funds else ()),
        message,
        fuel_limit,
        0,
        storage,
        balances or {},
    )


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def faults() -> list[str]:
    return []


@pytest.fixture
def worker(faults: list[str]) -> Iterator[Worker]:
    made = Worker(faults.append)
    yield made
    made.close()


@pytest.fixture
def codes() -> MemoryCodes:
    return MemoryCodes()


@pytest.fixture
def batch(engine: Engine, worker: Worker, codes: MemoryCodes) -> Any:
    return Batch(engine, worker, codes)
