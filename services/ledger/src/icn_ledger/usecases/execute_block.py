"""ExecuteBlock: apply the next final block, exactly once, and answer when its effects are on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_chain.header import header_hash
from icn_chain.recovery import RecoveryCertificate, RecoveryInvalid, recovery_digest
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_crypto.merkle_log import Log, leaf_hash, tree_root
from icn_crypto.state_tree import StateTree, Update, state_key
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.errors import DomainError, ErrorKind, FailedPrecondition, InvalidArgument
from icn_kit.genesis import Genesis
from icn_kit.spans import log_span
from icn_kit.trace import Trace, parse_traceparent

from icn_ledger.domain.duty import (
    CERTIFICATE_BYTES_MAX,
    DutyCounts,
    duty_identifier,
    parent_signers,
    seats_after,
)
from icn_ledger.domain.execution import BlockExecution, BlockOutcome
from icn_ledger.domain.invariants import check_block
from icn_ledger.domain.leaves import encode_leaves
from icn_ledger.domain.limits import QUANTITY_MAX
from icn_ledger.domain.messages import RecordEquivocation, RekeySeat, Transaction
from icn_ledger.domain.posting import BlockContext, ZoneFacts
from icn_ledger.domain.receipts import encode_postings, encode_receipts, receipts_root
from icn_ledger.domain.records import (
    VALIDATORS_IDENTIFIER,
    ZONE_IDENTIFIER,
    Namespace,
    RecordTables,
    Validators,
)
from icn_ledger.domain.refusals import InvariantBroken, Malformed
from icn_ledger.domain.seats import find_validators
from icn_ledger.domain.snapshot_proof import SnapshotPlan, SnapshotProof
from icn_ledger.domain.touched import RecordNames, touched_behind, touched_directly
from icn_ledger.domain.working_set import WorkingSet
from icn_ledger.usecases.breath import LEAVES_ON_LOOP_MAX, in_breaths
from icn_ledger.usecases.check_recovery import read_recovery
from icn_ledger.usecases.contract_engine import ContractEngine, NoVm
from icn_ledger.usecases.ports import (
    AnotherExecuted,
    BlockCommit,
    EpochEdge,
    ExecutedBlock,
    HistoryMissing,
    Pages,
    State,
)
from icn_ledger.usecases.run_contracts import run_contracts
from icn_ledger.usecases.transaction_cache import TransactionCache

HEADER_BYTES_MAX = 1_024
"""Fifteen fields, seven of them hashes."""
DESCENDANTS_MAX = 10_000
"""As many as a proof may carry (docs/spec/proof.md)."""
STATE_KEYS_KEPT = 32_768
"""A key costs as much as hashing two nodes; the same records change again and again. About 8 MB."""

_state_key = lru_cache(STATE_KEYS_KEPT)(state_key)


class FinalBlock(NamedTuple):
    """A block that consensus made final."""

    header: bytes
    transactions: Sequence[bytes]
    finalization: bytes
    """Certificate of it or of a descendant."""
    descendant_headers: tuple[bytes, ...]
    parent_certificate: bytes = b""
    """As the block carries it; its digest is the header's. Empty where the parent is genesis."""
    recovery: bytes = b""
    """RecoveryCertificate that the block carries; its digest is the header's. Mostly empty."""
    traces: tuple[tuple[int, str], ...] = ()
    """Position and traceparent of transactions whose call was sampled; no part of the block."""


class Execution(NamedTuple):
    """What execution left."""

    block: ExecutedBlock
    outcomes: Sequence[tuple[bytes, bytes]]
    """Id and receipt of each transaction, in order."""


class _Standing(NamedTuple):
    """Who validates when a block begins."""

    before: ValidatorSet
    """Of the block's parent."""
    validators: Validators
    """What the state says, the block's own set in force."""
    sets: Mapping[bytes, ValidatorSet]
    """Those that it names, and the parent's, by hash."""
    recovery: RecoveryCertificate | None
    """What put the set in force, where no edge block did."""

    @property
    def in_force(self) -> ValidatorSet:
        """The set of the block's epoch."""
        return self.sets[self.validators.set_hash]


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
    _plan: SnapshotPlan = field(default_factory=SnapshotPlan)
    _source: _CurrentPages = field(init=False)
    _tree: StateTree = field(init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _halted: str = ""

    def __post_init__(self) -> None:
        self._source = _CurrentPages()
        self._tree = StateTree(self._source)

    async def execute(self, final: FinalBlock) -> Execution:
        """Execute the block, or give the first answer when its height is executed already.

        Raises:
            InvalidArgument: MALFORMED_HEADER, MALFORMED_FINALIZATION, TOO_MANY_HEADERS; or
                TRANSACTIONS_ROOT_MISMATCH: these are not the header's transactions.
            FailedPrecondition: HEIGHT_GAP: not the next height; BLOCK_CONFLICT: another block was executed at
                this height, or the block does not extend the one executed last.
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
        header = _parse_header(final)
        newest = self.state.newest
        block_hash = header_hash(self.genesis.hash, final.header)
        if header.height <= newest.height:
            return await self._first_answer(header.height, block_hash)
        if header.height != newest.height + 1:
            raise FailedPrecondition(
                "HEIGHT_GAP",
                f"height {header.height} does not follow {newest.height}, which was executed last",
                height=header.height,
                executed_height=newest.height,
            )
        if header.parent != newest.hash:
            raise FailedPrecondition(
                "BLOCK_CONFLICT",
                f"the block at height {header.height} does not extend the one that was executed",
                height=header.height,
            )
        recovery = await self._read_recovery(final, header, newest)
        self._check_position(header, newest, recovery)
        if header.transactions_root != tree_root([leaf_hash(data) for data in final.transactions]):
            raise InvalidArgument(
                "TRANSACTIONS_ROOT_MISMATCH", "these are not the transactions that the header names"
            )
        standing = await self._standing(header, recovery)
        signers = parent_signers(
            final.parent_certificate, header.parent_certificate_digest, len(standing.before.validators)
        )
        await self._check_named_roots(header)
        return await self._apply(final, header, block_hash, standing, signers)

    async def _read_recovery(
        self, final: FinalBlock, header: block_pb2.BlockHeader, newest: ExecutedBlock
    ) -> RecoveryCertificate | None:
        """What begins the block's epoch, where that is no edge block.

        Raises:
            InvalidArgument: RECOVERY_MISMATCH: the header names another.
            InvariantBroken: a quorum made a block final that begins an epoch which nobody may begin.
        """
        if not final.recovery:
            return None
        if recovery_digest(self.genesis.hash, final.recovery) != header.finalization_digest:
            raise InvalidArgument(
                "RECOVERY_MISMATCH", "this is not the recovery certificate that the header names"
            )
        try:
            return await read_recovery(final.recovery, newest, header.epoch, self.genesis, self.state)
        except RecoveryInvalid as fault:
            raise InvariantBroken(
                f"final block {header.height} carries a recovery certificate that is none: {fault}"
            ) from fault

    def _check_position(
        self,
        header: block_pb2.BlockHeader,
        newest: ExecutedBlock,
        recovery: RecoveryCertificate | None,
    ) -> None:
        """Refuse what no consensus makes final and no table could hold."""
        if not newest.time_ms < header.time_ms <= QUANTITY_MAX:
            raise InvalidArgument(
                "MALFORMED_HEADER", f"block time {header.time_ms} does not follow {newest.time_ms}"
            )
        # The block after an edge is the first of the epoch that the edge's time lies in (consensus.md, E3).
        epoch = newest.epoch_of_next(self.genesis)
        if recovery is None and header.epoch != epoch:
            raise InvalidArgument("MALFORMED_HEADER", f"epoch {header.epoch}, its parent leads to {epoch}")
        if header.executed_height >= header.height or (recovery and header.executed_height != newest.height):
            raise InvalidArgument(
                "MALFORMED_HEADER", f"executed_height {header.executed_height} of block {header.height}"
            )
        parent = block_pb2.BlockHeader.FromString(newest.header)
        expected = parent.next_validator_set_hash if recovery is None else recovery.validators.hash
        if header.validator_set_hash != expected:
            raise InvalidArgument(
                "MALFORMED_HEADER", "its validator set is not the one that its parent or its recovery names"
            )
        if (
            self.genesis.epoch_of(header.time_ms) <= header.epoch
            and header.next_validator_set_hash != header.validator_set_hash
        ):
            raise InvalidArgument(
                "MALFORMED_HEADER", "another validator set is named before the epoch's edge"
            )

    async def _standing(
        self, header: block_pb2.BlockHeader, recovery: RecoveryCertificate | None
    ) -> _Standing:
        """Who validates when the block begins.

        Raises:
            InvariantBroken: its parent named a set that our state did not.
        """
        loaded = await self.state.load(RecordNames(validators={VALIDATORS_IDENTIFIER}))
        before = loaded.validators[VALIDATORS_IDENTIFIER]
        assert before is not None, "the leaf is there from genesis on"
        if recovery is None:
            validators = before.enter(header.validator_set_hash, header.epoch)
        else:
            validators = before.begin_again(recovery.validators.hash, header.epoch)
        if validators is None:
            raise InvariantBroken(
                f"final block {header.height} is of validators that our state does not name: "
                f"{header.validator_set_hash.hex()}"
            )
        hashes = before.set_hashes
        data = await self.state.load_validator_sets(hashes)
        sets = {set_hash: parse_validator_set(data[set_hash]) for set_hash in hashes}
        if recovery is not None:
            sets[recovery.validators.hash] = recovery.validators
        return _Standing(sets[before.set_hash], validators, sets, recovery)

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
        standing: _Standing,
        signers: Sequence[int],
    ) -> Execution:
        started = perf_counter()
        traces = {index: parse_traceparent(traceparent) for index, traceparent in final.traces}
        newest = self.state.newest
        edge = self._edge(header, final, standing)
        transactions = await self._read(final.transactions)
        context = BlockContext(
            header.height,
            header.epoch,
            header.time_ms,
            self.genesis.recovery_delay_ms_min,
            await self._zone_facts(header.epoch, transactions),
        )
        duty = self._duty_before(header, standing)
        outcome = await self._run(context, transactions, duty, standing)
        recovery = standing.recovery
        changes = outcome.working.changes()
        check_block(outcome, changes, len(transactions))
        leaves = encode_leaves(changes)
        update = await self._update_tree(leaves)
        posted = encode_postings(outcome.working.events)
        receipts = encode_receipts(outcome.receipts, posted)
        log = _extended(self.state.log, newest, block_hash)
        block = ExecutedBlock(
            height=header.height,
            hash=block_hash,
            header=final.header,
            time_ms=header.time_ms,
            epoch=header.epoch,
            state_root=update.root,
            receipts_root=receipts_root(receipts),
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
                duty=self._duty_of(duty, header, standing, signers),
                recovered=None if recovery is None else _recovered(newest, recovery),
                validator_sets=_sets_made(outcome, recovery),
                traceparents=_traceparents(outcome.working, traces) if traces else {},
            )
        )
        for trace in traces.values():
            log_span(trace, "ledger: block", perf_counter() - started, height=header.height)
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

    async def _read(self, transactions: Sequence[bytes]) -> list[Transaction]:
        read = []
        try:
            async for data in in_breaths(transactions):
                read.append(self.cache.read(data).transaction)
        except Malformed as refusal:
            raise InvariantBroken(
                f"a final block holds a malformed transaction: {refusal.message}"
            ) from refusal
        return read

    def _duty_before(self, header: block_pb2.BlockHeader, standing: _Standing) -> DutyCounts:
        """The counts up to the block before, those of an earlier epoch when the block begins one."""
        counts = self.state.duty
        assert counts.seats == len(standing.before.validators), "they count the seats of their epoch"
        assert counts.epoch <= header.epoch, "epochs never go back"
        return counts

    def _duty_of(
        self,
        before: DutyCounts,
        header: block_pb2.BlockHeader,
        standing: _Standing,
        signers: Sequence[int],
    ) -> DutyCounts:
        """The counts of the block's epoch, with the block."""
        if before.epoch != header.epoch:
            in_force = standing.in_force
            before = DutyCounts.start(header.epoch, len(in_force.validators))
            signers = seats_after(signers, standing.before.organizations, in_force.organizations)
        return before.with_block(header.view, signers)

    async def _zone_facts(self, epoch: int, transactions: Sequence[Transaction]) -> ZoneFacts:
        spoken_of = {
            message.proof.epoch
            for transaction in transactions
            for message in transaction.messages
            if isinstance(message, RecordEquivocation) and message.proof.epoch <= epoch
        }
        data = await self.state.load_sets_of_epochs(spoken_of) if spoken_of else {}
        return ZoneFacts(
            self.genesis,
            {one: parse_validator_set(data.get(one, self.genesis.validator_set)) for one in spoken_of},
        )

    async def _run(
        self,
        context: BlockContext,
        transactions: Sequence[Transaction],
        duty: DutyCounts,
        standing: _Standing,
    ) -> BlockOutcome:
        has_ended = duty.epoch != context.epoch
        duties = duty.evidence(standing.before.organizations) if has_ended else []
        due = await self.state.due(context.time_ms)
        names = touched_directly(transactions, due)
        names.duties.update(duty_identifier(one.organization, one.epoch) for one in duties)
        if any(type(message) is RekeySeat for one in transactions for message in one.messages):
            names.consensus_keys.update(standing.in_force.public_keys)
        recovery = standing.recovery
        if recovery is not None:
            names.consensus_keys.update(recovery.validators.public_keys)
            names.zones.add(ZONE_IDENTIFIER)
        loaded = await self.state.load(names)
        behind = await self.state.load(touched_behind(transactions, names, loaded))
        for namespace in Namespace:
            loaded.table(namespace).update(behind.table(namespace))
        execution = BlockExecution(context, loaded, standing.sets)
        execution.record_duties(duties)
        if recovery is None:
            execution.put_in_force(standing.validators.set_hash)
        else:
            execution.begin_again(recovery.validators)
        execution.release_due(due)
        async for transaction in in_breaths(transactions):
            execution.execute(transaction)
        await run_contracts(execution, self.state, self.contracts, self.genesis.hash)
        return execution.finish()

    async def _update_tree(self, leaves: Sequence[tuple[Namespace, bytes, bytes | None]]) -> Update:
        if not leaves:
            return Update(self.state.newest.state_root, {})  # no page is loaded to read the root from
        changes = {_state_key(namespace, identifier): value for namespace, identifier, value in leaves}
        self._source.pages = await self.state.load_pages(list(changes))
        if len(changes) > LEAVES_ON_LOOP_MAX:
            return await asyncio.to_thread(self._tree.update, changes)
        return self._tree.update(changes)

    def _edge(
        self, header: block_pb2.BlockHeader, final: FinalBlock, standing: _Standing
    ) -> EpochEdge | None:
        """The epoch's last block in the chain is the one whose time lies in a later epoch (E1 and E2)."""
        if self.genesis.epoch_of(header.time_ms) <= header.epoch:
            return None
        following = standing.validators.next_hash_at(header.executed_height)
        if header.next_validator_set_hash != following:
            raise InvariantBroken(
                f"final block {header.height} names validators {header.next_validator_set_hash.hex()}, our "
                f"state after {header.executed_height} names {following.hex()}"
            )
        is_same = following == standing.validators.set_hash
        return EpochEdge(
            epoch=header.epoch,
            height=header.height,
            executed_height=header.executed_height,
            header=final.header,
            descendant_headers=final.descendant_headers,
            finalization=final.finalization,
            next_validator_set=b"" if is_same else standing.sets[following].data,
        )


def check_empty(state: State) -> None:
    """Raise FailedPrecondition (STATE_NOT_EMPTY) when a block was executed."""
    if state.newest.height:
        raise FailedPrecondition(
            "STATE_NOT_EMPTY", f"this ledger stands at height {state.newest.height}, not at genesis"
        )


class _CurrentPages:
    """The pages of the block under way, behind one lasting tree that keeps decoded pages between blocks."""

    def __init__(self) -> None:
        self.pages: Pages = {}

    def get(self, prefix: bytes, /) -> bytes | None:
        return self.pages.get(prefix)


def initial_commit(genesis: Genesis, records: RecordTables, header: Callable[[bytes], bytes]) -> BlockCommit:
    """What height 0 writes: the genesis records, their tree and the genesis block.

    Args:
        genesis: the zone's.
        records: its state at height 0.
        header: makes the genesis header from the state root.
    """
    leaves = encode_leaves(records)
    source = _CurrentPages()
    update = StateTree(source).update(
        {state_key(namespace, identifier): value for namespace, identifier, value in leaves}
    )
    header_bytes = header(update.root)
    log = Log()
    block = ExecutedBlock(
        height=0,
        hash=header_hash(genesis.hash, header_bytes),
        header=header_bytes,
        time_ms=genesis.time_ms,
        epoch=0,
        state_root=update.root,
        receipts_root=receipts_root(()),
        log_root=log.root(),
        has_changed_state=False,
        next_expiry_time_ms=0,
        transaction_count=0,
        finalization=b"",
        next_validator_set_hash=genesis.validator_set_hash,
    )
    absent = RecordTables()
    for namespace, identifier, _ in records:
        absent.put(namespace, identifier, None)
    return BlockCommit(
        block=block,
        descendant_headers=(),
        transaction_ids=(),
        receipts=(),
        events=(),
        posted=(),
        before=absent,
        changes=records,
        leaves=leaves,
        pages=update.pages,
        log=log,
        edge=None,
        duty=DutyCounts.start(0, len(genesis.validators)),
        validator_sets={genesis.validator_set_hash: genesis.validator_set},
    )


def _sets_made(outcome: BlockOutcome, recovery: RecoveryCertificate | None) -> dict[bytes, bytes]:
    """The sets that the block named first: the one it began with, and the one it left for later."""
    made = {} if recovery is None else {recovery.validators.hash: recovery.validators.data}
    newest = find_validators(outcome.working)
    if newest.pending and newest.pending[-1].height == outcome.context.height:
        made[newest.next_hash] = outcome.working.validator_sets[newest.next_hash].data
    return made


def _recovered(parent: ExecutedBlock, recovery: RecoveryCertificate) -> EpochEdge:
    """How the parent's epoch ended by a certificate."""
    header = block_pb2.BlockHeader.FromString(parent.header)
    return EpochEdge(
        epoch=parent.epoch,
        height=parent.height,
        executed_height=header.executed_height,
        header=parent.header,
        descendant_headers=(),
        finalization=parent.finalization,
        next_validator_set=recovery.validators.data,
        recovery=recovery.data,
    )


def _traceparents(working: WorkingSet, traces: Mapping[int, Trace]) -> dict[int, str]:
    """Per position of an event the trace of the transaction that made it, with our span as its parent."""
    return {
        position: traces[origin].traceparent
        for position, origin in enumerate(working.origins())
        if origin in traces and traces[origin].is_sampled
    }


def _parse_header(final: FinalBlock) -> block_pb2.BlockHeader:
    if len(final.finalization) > CERTIFICATE_BYTES_MAX or not final.finalization:
        raise InvalidArgument("MALFORMED_FINALIZATION", "the finalization is missing or too large")
    if len(final.descendant_headers) > DESCENDANTS_MAX:
        raise InvalidArgument("TOO_MANY_HEADERS", f"at most {DESCENDANTS_MAX} descendant headers")
    try:
        return parse_canonical(block_pb2.BlockHeader, final.header, HEADER_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise InvalidArgument("MALFORMED_HEADER", str(error)) from error


def _extended(log: Log, newest: ExecutedBlock, block_hash: bytes) -> Log:
    """The block log with one block more. The genesis header enters with height 1: it cannot hold its hash."""
    if log.size == 0:
        log.append(leaf_hash(newest.hash))
    log.append(leaf_hash(block_hash))
    return log
