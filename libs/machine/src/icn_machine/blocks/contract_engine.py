"""What running contracts needs from outside: the vm of this node.

Source: docs/spec/vm.md, "The stream"; protos/icn/vm/v1/service.proto.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from icn_kit.errors import Unavailable

from icn_machine.contracts import CallOutcome
from icn_machine.posting import BlockContext

VM_UNAVAILABLE = "VM_UNAVAILABLE"


class VmUnavailable(Unavailable):
    """The vm is away, too slow or says what it must not. Nothing was executed; the block may come again."""

    def __init__(self, message: str) -> None:
        super().__init__(VM_UNAVAILABLE, message)


class Entry(NamedTuple):
    """One entry of a contract's storage."""

    key: bytes
    value: bytes


class VmCall(NamedTuple):
    """One call of a contract."""

    is_instantiate: bool
    code_hash: bytes
    contract: bytes
    sender: bytes
    message: bytes
    funds: Sequence[tuple[bytes, int]]
    """Unit and amount, ascending by unit."""
    fuel_limit: int
    transaction_index: int
    storage: Sequence[Entry] | None
    """All of it, ascending by key; None where the stream has it."""
    balances: Sequence[tuple[bytes, bytes, int]]
    """Owner, unit and what the owner could spend."""


class ContractStream(Protocol):
    """The contract calls of one block, one after the other."""

    async def check_code(self, code: bytes, fuel_limit: int) -> CallOutcome:
        """Have code checked.

        Raises:
            VmUnavailable: then the stream is of no more use.
        """

    async def run(self, call: VmCall, load_code: Callable[[], Awaitable[bytes]]) -> CallOutcome:
        """Have a contract run.

        Args:
            call: what to run.
            load_code: asked where the vm lacks the contract's code.

        Raises:
            VmUnavailable: then the stream is of no more use.
        """

    def settle(self, *, is_applied: bool) -> None:
        """Say of the last answer whether it was applied, before the next is asked for."""


class VmQuery(NamedTuple):
    """A question to a contract."""

    code_hash: bytes
    contract: bytes
    message: bytes
    fuel_limit: int
    storage: Sequence[Entry]


class VmAnswer(NamedTuple):
    """Its answer."""

    data: bytes
    """JSON."""
    fuel_used: int


class ContractEngine(Protocol):
    """The vm of this node."""

    def open(self, block: BlockContext) -> AbstractAsyncContextManager[ContractStream]:
        """A stream for the calls of a block; connects with the first."""

    async def query(
        self, block: BlockContext, query: VmQuery, load_code: Callable[[], Awaitable[bytes]]
    ) -> VmAnswer:
        """Ask a contract.

        Raises:
            FailedPrecondition: CALL_STOPPED: it was stopped.
            VmUnavailable: try again.
        """


class NoVm:
    """Where no vm is set up: blocks with contract calls wait."""

    def open(self, _block: BlockContext) -> AbstractAsyncContextManager[ContractStream]:
        """Raises VmUnavailable."""
        raise VmUnavailable("this ledger has no vm: set vm_address")

    async def query(
        self, _block: BlockContext, _query: VmQuery, _load_code: Callable[[], Awaitable[bytes]]
    ) -> VmAnswer:
        """Raises VmUnavailable."""
        raise VmUnavailable("this ledger has no vm: set vm_address")
