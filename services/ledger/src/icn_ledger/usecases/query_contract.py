"""QueryContract: what a contract answers on the newest executed state.

Source: docs/spec/vm.md, "Queries".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from icn_kit.errors import InvalidArgument, NotFound, ResourceExhausted
from icn_machine.blocks.contract_engine import ContractEngine, Entry, VmQuery
from icn_machine.contract_limits import MESSAGE_BYTES_MAX
from icn_machine.limits import IDENTIFIER_BYTES
from icn_machine.posting import BlockContext
from icn_machine.records import Contract, ContractEntry

QUERY_FUEL_MAX: Final = 100_000_000
"""About a tenth of a second of one core: nobody pays for it."""
QUERIES_WAITING_MAX: Final = 3
"""Beside the one that is answered; blocks use the same vm and come first."""


class ContractAt(NamedTuple):
    """A contract with its whole storage after one height."""

    block: BlockContext
    contract: Contract
    entries: Mapping[bytes, ContractEntry]
    """By identifier (contract ‖ key), ascending."""


class ContractAnswer(NamedTuple):
    """What a contract says."""

    data: bytes
    """JSON."""
    fuel_used: int
    height: int


class ContractReader(Protocol):
    """Where contracts are read."""

    async def contract_at_newest(self, contract: bytes) -> ContractAt | None:
        """A contract in the newest state, None where there is none."""

    async def code(self, code_hash: bytes) -> bytes:
        """Code of a contract."""


@dataclass(slots=True)
class ContractQueries:
    """Asks contracts, one at a time."""

    reader: ContractReader
    engine: ContractEngine
    _waiting: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def query(self, contract: bytes, message: bytes, fuel_limit: int) -> ContractAnswer:
        """What the contract answers.

        Args:
            contract: its id.
            message: JSON that the contract reads.
            fuel_limit: where the query is stopped; 0 means QUERY_FUEL_MAX.

        Raises:
            InvalidArgument: MESSAGE_TOO_LARGE, FUEL_LIMIT_OUT_OF_RANGE.
            NotFound: CONTRACT_UNKNOWN.
            FailedPrecondition: CALL_STOPPED: the contract was stopped; ``stopped`` says why.
            ResourceExhausted: QUERIES_PENDING: too many wait already.
            VmUnavailable: try again.
        """
        if len(message) > MESSAGE_BYTES_MAX:
            raise InvalidArgument(
                "MESSAGE_TOO_LARGE", f"message of {len(message)} bytes, at most {MESSAGE_BYTES_MAX}"
            )
        if fuel_limit > QUERY_FUEL_MAX:
            raise InvalidArgument(
                "FUEL_LIMIT_OUT_OF_RANGE", f"fuel_limit {fuel_limit}, at most {QUERY_FUEL_MAX}"
            )
        if self._waiting > QUERIES_WAITING_MAX:
            raise ResourceExhausted("QUERIES_PENDING", "too many queries wait already; try again")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._ask(contract, message, fuel_limit or QUERY_FUEL_MAX)
        finally:
            self._waiting -= 1

    async def _ask(self, contract: bytes, message: bytes, fuel_limit: int) -> ContractAnswer:
        found = await self.reader.contract_at_newest(contract)
        if found is None:
            raise NotFound("CONTRACT_UNKNOWN", f"there is no contract {contract.hex()}")
        code_hash = found.contract.code
        answer = await self.engine.query(
            found.block,
            VmQuery(
                code_hash=code_hash,
                contract=contract,
                message=message,
                fuel_limit=fuel_limit,
                storage=[
                    Entry(identifier[IDENTIFIER_BYTES:], entry.value)
                    for identifier, entry in found.entries.items()
                ],
            ),
            lambda: self.reader.code(code_hash),
        )
        return ContractAnswer(answer.data, answer.fuel_used, found.block.height)
