"""ExecuteBlock: apply the next final block, exactly once, and answer when its effects are on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_chain.header import header_hash
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_crypto.merkle_log import Log
from icn_kit.errors import DomainError, ErrorKind, FailedPrecondition
from icn_kit.genesis import Genesis
from icn_kit.spans import record_span
from icn_kit.trace import parse_traceparent

from icn_machine.blocks.block_commit import event_traces, extend_log, sets_made, update_tree
from icn_machine.blocks.contract_engine import ContractEngine, NoVm
from icn_machine.blocks.final_block import (
    FinalBlock,
    check_extends,
    check_position,
    check_protocol,
    check_transactions_root,
    parse_final,
)
from icn_machine.blocks.ports import AnotherExecuted, BlockCommit, ExecutedBlock, HistoryMissing, State
from icn_machine.blocks.run_block import read_transactions, run_block
from icn_machine.blocks.standing import (
    Standing,
    duty_with,
    edge_by_recovery,
    find_edge,
    find_recovery,
    find_standing,
)
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.duty import parent_signers
from icn_machine.invariants import check_block
from icn_machine.leaves import encode_leaves
from icn_machine.receipts import encode_postings, encode_receipts, receipts_root
from icn_machine.refusals import InvariantBroken
from icn_machine.seats import find_validators
from icn_machine.snapshot_proof import SnapshotPlan, SnapshotProof


class Execution(NamedTuple):
    """What execution left."""

    block: ExecutedBlock
    outcomes: Sequence[tuple[bytes, bytes]]
    """Id and receipt of each transaction, in order."""


class Halted(DomainError):
    """This ledger found that its state cannot be right, or cannot be its own. It executes nothing more."""

    kind = ErrorKind.FAILED_PRECONDITION
    reason = "LEDGER_HALTED"


async def _nothing() -> None:
    return


@dataclass(slots=True)
class Executor:
    """Executes blocks one after the other."""

    genesis: Genesis
    state: State
    cache: TransactionCache
    on_executed: Callable[[Execution], None]
    """Told of every block after its commit; must not raise."""
    on_halt: Callable[[str], None]
    """Told once why execution stopped for good."""
    contracts: ContractEngine = field(default_factory=NoVm)
    """Where contracts run."""
    on_snapshot_due: Callable[[SnapshotProof], None] = lambda _proof: None
    """Told once per epoch of a height whose state can be shown to be the zone's."""
    on_restored: Callable[[], Awaitable[None]] = _nothing
    """Called when the state was restored; an AssertionError of it halts this ledger."""
    protocol_newest: int = NEWEST_PROTOCOL
    """Protocol version up to which blocks are executed: what the release knows."""
    _plan: SnapshotPlan = field(default_factory=SnapshotPlan)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _halted: str = ""

    async def execute(self, final: FinalBlock) -> Execution:
        """Execute the block, or give the first answer when its height is executed already.

        Raises:
            InvalidArgument: MALFORMED_HEADER, MALFORMED_FINALIZATION, TOO_MANY_HEADERS; or
                TRANSACTIONS_ROOT_MISMATCH: these are not the header's transactions.
            FailedPrecondition: HEIGHT_GAP: not the next height; BLOCK_CONFLICT: another block was executed at
                this height, or the block does not extend the one executed last; PROTOCOL_VERSION_UNKNOWN: a
                newer release has to execute it.
            Halted: an invariant broke or another process executes on this database; the node has to stop.
            Unavailable: the database or the vm went away; the same call may be made again.
        """
        # A caller's deadline must not cut a commit in two, so the work is its own task.
        return await asyncio.shield(asyncio.ensure_future(self._execute_alone(final)))

    async def restore(self, replace_state: Callable[[], Awaitable[None]]) -> None:
        """Put another state in place of that of genesis, while no block is under way.

        Raises:
            FailedPrecondition: STATE_NOT_EMPTY, a block was executed.
            Halted: as `execute`.
        """
        await asyncio.shield(asyncio.ensure_future(self._restore_alone(replace_state)))

    async def _restore_alone(self, replace_state: Callable[[], Awaitable[None]]) -> None:
        async with self._lock:
            if self._halted:
                raise Halted(self._halted)
            check_empty(self.state)
            try:
                try:
                    await replace_state()
                finally:
                    await self.state.reload()
                await self.on_restored()
            except AssertionError as fault:
                raise self._halt(fault) from fault

    def _halt(self, fault: Exception) -> Halted:
        self._halted = f"{type(fault).__name__}: {fault}"
        self.on_halt(self._halted)
        return Halted(self._halted)

    async def finish(self) -> None:
        """Return when no block is under way."""
        async with self._lock:
            pass

    async def _execute_alone(self, final: FinalBlock) -> Execution:
        async with self._lock:
            if self._halted:
                raise Halted(self._halted)
            try:
                await self.state.settle()
                return await self._execute(final)
            except (AssertionError, AnotherExecuted) as fault:
                raise self._halt(fault) from fault

    async def _execute(self, final: FinalBlock) -> Execution:
        header = parse_final(final)
        newest = self.state.newest
        block_hash = header_hash(self.genesis.hash, final.header)
        if header.height <= newest.height:
            first = await self._first_answer(header.height, block_hash)
            check_transactions_root(header, final.transactions)
            return first
        check_extends(header, newest)
        recovery = await find_recovery(final, header, self.genesis, self.state)
        check_position(header, newest, recovery, self.genesis)
        check_transactions_root(header, final.transactions)
        standing = await find_standing(header, recovery, self.state)
        check_protocol(header, standing.in_force.protocol_version, self.protocol_newest)
        signers = parent_signers(
            final.parent_certificate, header.parent_certificate_digest, len(standing.before.validators)
        )
        await self._check_named_roots(header)
        return await self._apply(final, header, block_hash, standing, signers)

    async def _first_answer(self, height: int, block_hash: bytes) -> Execution:
        if 0 < height <= self.state.snapshot_height:
            raise HistoryMissing(f"block {height}", self.state.snapshot_height + 1)
        block = await self.state.block_at(height)
        assert block is not None, "every height from the first on is there"
        if block.hash != block_hash:
            raise FailedPrecondition(
                "BLOCK_CONFLICT",
                f"another block was executed at height {height}",
                height=height,
                executed_hash=block.hash.hex(),
            )
        return Execution(block, await self.state.receipts_at(height))

    async def _check_named_roots(self, header: block_pb2.BlockHeader) -> None:
        """A final header names the roots of an earlier height; if ours differ, our state is wrong.

        Those of a height below the snapshot that this state began with are not known here.
        """
        if header.executed_height < self.state.snapshot_height:
            return
        named = await self.state.block_at(header.executed_height)
        ours = None if named is None else (named.state_root, named.receipts_root, named.log_root)
        if ours != (header.state_root, header.receipts_root, header.log_root):
            raise InvariantBroken(
                f"final block {header.height} names other roots than ours after {header.executed_height}"
            )

    async def _apply(
        self,
        final: FinalBlock,
        header: block_pb2.BlockHeader,
        block_hash: bytes,
        standing: Standing,
        signers: Sequence[int],
    ) -> Execution:
        started = perf_counter()
        traces = {index: parse_traceparent(traceparent) for index, traceparent in final.traces}
        newest = self.state.newest
        edge = find_edge(header, final, standing, self.genesis)
        transactions = await read_transactions(final.transactions, self.cache)
        outcome = await run_block(
            header,
            transactions,
            standing,
            genesis=self.genesis,
            state=self.state,
            contracts=self.contracts,
        )
        recovery = standing.recovery
        changes = outcome.working.changes()
        check_block(outcome, changes, len(transactions))
        leaves = encode_leaves(changes)
        update = await update_tree(leaves, self.state)
        posted = encode_postings(outcome.working.events)
        receipts = encode_receipts(outcome.receipts, posted)
        log = extend_log(self.state.log, newest, block_hash)
        block = ExecutedBlock(
            height=header.height,
            hash=block_hash,
            header=final.header,
            time_ms=header.time_ms,
            epoch=header.epoch,
            state_root=update.root,
            receipts_root=receipts_root(newest.receipts_root, receipts),
            log_root=log.root(),
            has_changed_state=update.root != newest.state_root,
            next_expiry_time_ms=0,
            transaction_count=len(transactions),
            finalization=final.finalization,
            next_validator_set_hash=find_validators(outcome.working).next_hash,
        )
        ids = [transaction.id for transaction in transactions]
        block = await self.state.commit(
            BlockCommit(
                block=block,
                descendant_headers=final.descendant_headers,
                transaction_ids=ids,
                receipts=receipts,
                events=outcome.working.events,
                posted=posted,
                before=outcome.working.loaded,
                changes=changes,
                leaves=leaves,
                pages=update.pages,
                log=log,
                edge=edge,
                duty=duty_with(header, standing, signers),
                recovered=None if recovery is None else edge_by_recovery(newest, recovery),
                validator_sets=sets_made(outcome, recovery),
                traceparents=event_traces(outcome.working, traces) if traces else {},
            )
        )
        for trace in traces.values():
            record_span(trace, "ledger: block", perf_counter() - started, height=header.height)
        execution = Execution(block, list(zip(ids, receipts, strict=True)))
        self.on_executed(execution)
        self._note_snapshot(
            final, header, log, is_first=newest.epoch != header.epoch, is_edge=edge is not None
        )
        return execution

    def _note_snapshot(
        self, final: FinalBlock, header: block_pb2.BlockHeader, log: Log, *, is_first: bool, is_edge: bool
    ) -> None:
        proof = self._plan.note(
            header,
            final.header,
            final.parent_certificate,
            log.to_bytes(),
            is_first=is_first,
            is_edge=is_edge,
            finalization=final.finalization,
            descendant_headers=final.descendant_headers,
        )
        if proof is not None:
            self.on_snapshot_due(proof)


def check_empty(state: State) -> None:
    """Raise FailedPrecondition (STATE_NOT_EMPTY) when a block was executed."""
    if state.newest.height:
        raise FailedPrecondition(
            "STATE_NOT_EMPTY", f"this ledger stands at height {state.newest.height}, not at genesis"
        )
