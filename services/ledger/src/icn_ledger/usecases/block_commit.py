"""What a block writes, and the tree that its state root is of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from icn_chain.header import header_hash
from icn_chain.recovery import RecoveryCertificate
from icn_crypto.merkle_log import Log, leaf_hash
from icn_crypto.state_tree import StateTree, Update, state_key
from icn_kit.genesis import Genesis
from icn_kit.trace import Trace

from icn_ledger.domain.duty import DutyCounts
from icn_ledger.domain.execution import BlockOutcome
from icn_ledger.domain.leaves import encode_leaves
from icn_ledger.domain.receipts import receipts_root
from icn_ledger.domain.records import Namespace, RecordTables
from icn_ledger.domain.seats import find_validators
from icn_ledger.domain.working_set import WorkingSet
from icn_ledger.usecases.breath import LEAVES_ON_LOOP_MAX
from icn_ledger.usecases.ports import BlockCommit, ExecutedBlock, Pages, State

STATE_KEYS_KEPT = 32_768
"""A key costs as much as hashing two nodes; the same records change again and again. About 8 MB."""

_state_key = lru_cache(STATE_KEYS_KEPT)(state_key)


class LastingTree:
    """The state tree, which keeps decoded pages from one block to the next."""

    def __init__(self) -> None:
        self._source = _CurrentPages()
        self._tree = StateTree(self._source)

    async def update(self, leaves: Sequence[tuple[Namespace, bytes, bytes | None]], state: State) -> Update:
        """Put the leaves in the place of those of the newest state; None removes one."""
        if not leaves:
            return Update(state.newest.state_root, {})  # no page is loaded to read the root from
        changes = {_state_key(namespace, identifier): value for namespace, identifier, value in leaves}
        self._source.pages = await state.load_pages(list(changes))
        if len(changes) > LEAVES_ON_LOOP_MAX:
            return await asyncio.to_thread(self._tree.update, changes)
        return self._tree.update(changes)


class _CurrentPages:
    """The pages of the block under way."""

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


def sets_made(outcome: BlockOutcome, recovery: RecoveryCertificate | None) -> dict[bytes, bytes]:
    """The sets that the block named first: the one it began with, and the one it left for later."""
    made = {} if recovery is None else {recovery.validators.hash: recovery.validators.data}
    newest = find_validators(outcome.working)
    if newest.pending and newest.pending[-1].height == outcome.context.height:
        made[newest.next_hash] = outcome.working.validator_sets[newest.next_hash].data
    return made


def event_traces(working: WorkingSet, traces: Mapping[int, Trace]) -> dict[int, str]:
    """Per position of an event the trace of the transaction that made it, with our span as its parent."""
    return {
        position: traces[origin].traceparent
        for position, origin in enumerate(working.origins())
        if origin in traces and traces[origin].is_sampled
    }


def extend_log(log: Log, newest: ExecutedBlock, block_hash: bytes) -> Log:
    """The block log with one block more. The genesis header enters with height 1: it cannot hold its hash."""
    if log.size == 0:
        log.append(leaf_hash(newest.hash))
    log.append(leaf_hash(block_hash))
    return log
