"""History under another policy of a unit: who would have been refused, and who would not.

The transactions of an archive are executed twice in turn: as they were, with everything that `verify` checks,
and in a state that differs by the policy. There, the policy is put in force anew after every block, whatever
the unit's authority set in history. Balances are those of the simulation: what a refusal leads to, a capture
without its hold, a payment out of what never arrived, is counted as well.

Source: docs/spec/ledger.md, "Simulation".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO, NamedTuple

from icn.ledger.v1.state_pb2 import Receipt
from icn_kit.genesis import Genesis
from icn_machine import refusals
from icn_machine.blocks.block_commit import initial_commit
from icn_machine.blocks.contract_engine import ContractEngine
from icn_machine.blocks.execute_block import Execution, Executor
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import BlockCommit, ExecutedBlock
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.credit_messages import UnitPolicy
from icn_machine.genesis_state import first_header, genesis_records
from icn_machine.posting import check_open
from icn_machine.records import PolicyInForce, RecordTables
from icn_machine.refusals import Refused

from icn_audit.contracts import InProcessContracts
from icn_audit.state import ReplayedState
from icn_audit.verify import verify_archive


@dataclass(frozen=True, slots=True)
class Supposition:
    """What is different."""

    unit: bytes
    policy: UnitPolicy
    default_floor_minor: int | None = None
    """Of main accounts that are opened once the unit is there; None: as it was."""


class SuppositionImpossible(Exception):
    """What is supposed could not have been in force; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Difference(NamedTuple):
    """A transaction that would have ended otherwise."""

    height: int
    transaction_id: bytes
    principal: bytes
    was: str
    """Reason in history; empty: it took effect."""
    would_be: str
    """Reason in the simulation; empty: it would have taken effect."""
    figures: tuple[tuple[str, int], ...]
    """Numbers compared, of the simulation's refusal, else of history's."""


class SupposedState(ReplayedState):
    """The state of a history that was not: another policy, and the roots that later headers name."""

    def __init__(self, first: BlockCommit, supposed: Supposition) -> None:
        super().__init__(first)
        self._supposed = supposed
        self._in_force: PolicyInForce | None = None
        self.actual: ExecutedBlock = first.block
        """The block under way as it was in history."""
        self.since_height = 0
        """First block that went by the policy; 0: none yet."""

    async def commit(self, commit: BlockCommit) -> ExecutedBlock:
        """See `State`."""
        actual = self.actual
        block = replace(
            commit.block,
            state_root=actual.state_root,
            receipts_root=actual.receipts_root,
            log_root=actual.log_root,
        )
        return await super().commit(replace(commit, block=block))

    def put_in_force(self) -> None:
        """Have the next block go by the policy, once the unit and its fund are there.

        Raises:
            SuppositionImpossible: UNIT_MISMATCH, ACCOUNT_CLOSED: the account can never be its fund.
        """
        if self.missing():
            return
        records, supposed, newest = self.records, self._supposed, self.newest
        self.since_height = self.since_height or newest.height + 1
        unit = records.units[supposed.unit]
        assert unit is not None, "it is not missing"
        if supposed.default_floor_minor is not None:
            records.units[supposed.unit] = unit._replace(default_floor_minor=supposed.default_floor_minor)
        before = records.unit_policies.get(supposed.unit)
        if before is None or before.policy != supposed.policy:
            _bind(records, before.policy.fund if before is not None else b"", -1)
            _bind(records, supposed.policy.fund, 1)
            since_ms = newest.time_ms if self._in_force is None else self._in_force.set_time_ms
            self._in_force = PolicyInForce(supposed.policy, since_ms, since_ms)
            records.unit_policies[supposed.unit] = self._in_force

    def missing(self) -> str:
        """The reason for which the policy cannot be in force yet; empty where it can. Raises as
        `put_in_force`."""
        records, supposed = self.records, self._supposed
        if records.units.get(supposed.unit) is None:
            return refusals.UNIT_UNKNOWN
        identifier = supposed.policy.fund
        if not identifier:
            return ""
        fund = records.accounts.get(identifier)
        if fund is None:
            return refusals.FUND_UNKNOWN
        if fund.unit != supposed.unit:
            raise SuppositionImpossible(
                refusals.UNIT_MISMATCH,
                f"the fund {identifier.hex()} is of the unit {fund.unit.hex()}, not of {supposed.unit.hex()}",
            )
        try:
            check_open(fund)
        except Refused as refusal:
            if refusal.reason == refusals.OPENING_PENDING:
                return refusal.reason
            raise SuppositionImpossible(
                refusal.reason, f"the fund {identifier.hex()} is closed after height {self.newest.height}"
            ) from None
        return ""


def _bind(records: RecordTables, fund: bytes, bonds: int) -> None:
    if not fund:
        return
    account = records.accounts[fund]
    assert account is not None, "accounts never go"
    records.accounts[fund] = account.with_terms(bonds=account.known_terms.bonds + bonds)


class Simulation:
    """Executes a history's blocks under a supposition, each behind the execution of what was."""

    def __init__(
        self,
        genesis: Genesis,
        supposed: Supposition,
        contracts: ContractEngine,
        on_difference: Callable[[Difference], None],
    ) -> None:
        self._state = SupposedState(
            initial_commit(genesis, genesis_records(genesis), lambda root: first_header(genesis, root)),
            supposed,
        )
        self._genesis = genesis
        self._contracts = contracts
        self._on_difference = on_difference
        self.transactions = 0
        self.refused = 0
        """In history."""
        self.would_be_refused = 0

    @property
    def since_height(self) -> int:
        """First block that went by the policy; 0: none did."""
        since_height = self._state.since_height
        return since_height if since_height <= self._state.newest.height else 0

    async def add(self, final: FinalBlock, was: Execution, cache: TransactionCache) -> None:
        """Execute the block that was just executed as it was. Raises SuppositionImpossible."""
        self._state.actual = was.block
        executor = Executor(
            self._genesis,
            self._state,
            cache,
            lambda _done: None,
            lambda _why: None,
            contracts=self._contracts,
        )
        would_be = await executor.execute(final)
        self._state.put_in_force()
        for data, (identifier, before), (_, after) in zip(
            final.transactions, was.outcomes, would_be.outcomes, strict=True
        ):
            first, second = Receipt.FromString(before), Receipt.FromString(after)
            self.transactions += 1
            self.refused += bool(first.reason)
            self.would_be_refused += bool(second.reason)
            if first.reason != second.reason:
                figures = (second if second.reason else first).figures
                self._on_difference(
                    Difference(
                        was.block.height,
                        identifier,
                        cache.read(data).principal,
                        first.reason,
                        second.reason,
                        tuple((figure.name, figure.value) for figure in figures),
                    )
                )

    def check(self) -> None:
        """Whether the policy came to be in force, at the end of the archive.

        Raises:
            SuppositionImpossible: UNIT_UNKNOWN, FUND_UNKNOWN, OPENING_PENDING: all that was simulated is
                history.
        """
        if reason := self._state.missing():
            raise SuppositionImpossible(
                reason,
                f"up to height {self._state.newest.height} the policy could not be in force: the unit, or "
                "the fund that it names, is not there, or waits for its opening",
            )


async def simulate_archive(
    archive: IO[bytes],
    genesis: Genesis,
    supposed: Supposition,
    *,
    on_difference: Callable[[Difference], None],
    on_block: Callable[[int, int], None] = lambda _height, _last: None,
) -> Simulation:
    """Verify an archive, and execute it under a supposition.

    Args:
        archive: as `verify_archive` takes it.
        genesis: of the archive's zone.
        supposed: what is different.
        on_difference: told of every transaction that ends otherwise, in their order.
        on_block: told of every block: its height and that of the last one.

    Raises:
        Diverged: the archive is not what it says.
        SuppositionImpossible: the policy could not have been in force, or not before the archive ends.
    """
    contracts = InProcessContracts(genesis.hash)
    simulation = Simulation(genesis, supposed, contracts, on_difference)
    await verify_archive(archive, genesis, on_block=on_block, on_executed=simulation.add)
    simulation.check()
    return simulation
