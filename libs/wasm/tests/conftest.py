"""One engine for all tests, and storage in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from icn_wasm.assembly import assemble
from icn_wasm.engine import Code, Engine, EntryPoint, Outcome
from icn_wasm.messages import Caller, Coin, Environment

GAS = 100_000_000
ENVIRONMENT = Environment("icn-test", 7, 1_700_000_000_000_000_000, "contracts/0000", 2)


class Memory(dict[bytes, bytes]):
    """A contract's storage, and what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def get(self, key: bytes, default: None = None) -> bytes | None:  # type: ignore[override]
        self.asked.append(key)
        return super().get(key, default)

    def scan(
        self, start: bytes | None, end: bytes | None, is_descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        self.asked.append((start, end, is_descending))
        for key in sorted(self, reverse=is_descending):
            if (start is None or key >= start) and (end is None or key < end):
                yield key, self[key]


class Contract:
    """A contract with its storage, called as the ledger would."""

    def __init__(self, engine: Engine, content: bytes) -> None:
        self.engine = engine
        self.code = Code.of(content)
        self.storage = Memory()
        self.balances: dict[tuple[str, str], int] | None = None
        engine.check(self.code)

    def call(
        self,
        entry_point: EntryPoint,
        message: bytes = b"{}",
        sender: str = "anna",
        gas_limit: int = GAS,
        *funds: Coin,
    ) -> Outcome:
        caller = None if entry_point is EntryPoint.QUERY else Caller(sender, funds)
        before = dict(self.storage)
        outcome = self.engine.run(
            entry_point, self.code, ENVIRONMENT, caller, message, self.storage, gas_limit, self.balances
        )
        assert dict(self.storage) == before, "only the caller applies writes"
        if outcome.stopped is not None:
            assert outcome.writes == () and outcome.response is None
        for write in outcome.writes:
            if write.value is None:
                self.storage.pop(write.key, None)
            else:
                self.storage[write.key] = write.value
        return outcome

    def instantiate(
        self, message: bytes = b"{}", sender: str = "anna", gas_limit: int = GAS, *funds: Coin
    ) -> Outcome:
        return self.call(EntryPoint.INSTANTIATE, message, sender, gas_limit, *funds)

    def execute(
        self, message: bytes = b"{}", sender: str = "anna", gas_limit: int = GAS, *funds: Coin
    ) -> Outcome:
        return self.call(EntryPoint.EXECUTE, message, sender, gas_limit, *funds)

    def query(self, message: bytes = b"{}", gas_limit: int = GAS) -> Outcome:
        return self.call(EntryPoint.QUERY, message, gas_limit=gas_limit)


Deploy = Callable[[bytes | str], Contract]


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine()


@pytest.fixture
def deploy(engine: Engine) -> Deploy:
    """A contract from code, or from the text of its entry points, to which an ``instantiate`` is added."""

    def deployed(content: bytes | str) -> Contract:
        return Contract(
            engine, content if isinstance(content, bytes) else assemble(with_instantiate(content))
        )

    return deployed


def with_instantiate(text: str) -> str:
    if '"instantiate"' in text:
        return text
    return text + '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'
