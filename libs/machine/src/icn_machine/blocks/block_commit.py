"""What a block writes, and the tree that its state root is of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from icn_chain.header import header_hash
from icn_chain.recovery import RecoveryCertificate
from icn_crypto.merkle_log import EMPTY_ROOT, Log, leaf_hash
from icn_crypto.state_tree import StateTree, Update, build, changes_of
from icn_kit.genesis import Genesis
from icn_kit.trace import Trace

from icn_machine.blocks.breath import LEAVES_ON_LOOP_MAX
from icn_machine.blocks.ports import BlockCommit, ExecutedBlock, PageNotLoaded, Pages, State
from icn_machine.duty import DutyCounts
from icn_machine.execution import BlockOutcome
from icn_machine.leaves import encode_leaves
from icn_machine.records import Namespace, RecordTables
from icn_machine.seats import find_validators
from icn_machine.working_set import WorkingSet


async def update_tree(leaves: Sequence[tuple[Namespace, bytes, bytes | None]], state: State) -> Update:
    """Put the leaves in the place of those of the newest state; None removes one."""
    if not leaves:
        return Update(state.newest.state_root, {})  # no page is loaded to read the root from
    changes = changes_of(leaves)
    try:
        return await _update(changes, state.pages)
    except PageNotLoaded:
        return await _update(changes, await state.load_pages(list(changes)))


async def _update(changes: Mapping[bytes, bytes | None], pages: Pages) -> Update:
    tree = StateTree(pages)
    if len(changes) > LEAVES_ON_LOOP_MAX:
        return await asyncio.to_thread(tree.update, changes)
    return tree.update(changes)


def initial_commit(genesis: Genesis, records: RecordTables, header: Callable[[bytes], bytes]) -> BlockCommit:
    """What height 0 writes: the genesis records, their tree and the genesis block.

    Args:
        genesis: the zone's.
        records: its state at height 0.
        header: makes the genesis header from the state root.
    """
    leaves = encode_leaves(records)
    update = build(changes_of(leaves))
    header_bytes = header(update.root)
    log = Log()
    block = ExecutedBlock(
        height=0,
        hash=header_hash(genesis.hash, header_bytes),
        header=header_bytes,
        time_ms=genesis.time_ms,
        epoch=0,
        state_root=update.root,
        receipts_root=EMPTY_ROOT,
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
