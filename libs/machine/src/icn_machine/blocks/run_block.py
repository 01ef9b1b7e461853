"""Load what a final block touches, and run it."""

from __future__ import annotations

from collections.abc import Sequence

from icn.consensus.v1 import block_pb2
from icn_chain.validator_set import parse_validator_set
from icn_kit.genesis import Genesis

from icn_machine.blocks.breath import breaths
from icn_machine.blocks.contract_engine import ContractEngine
from icn_machine.blocks.ports import State
from icn_machine.blocks.run_contracts import run_contracts
from icn_machine.blocks.standing import Standing
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.duty import duty_identifier
from icn_machine.execution import BlockExecution, BlockOutcome
from icn_machine.messages import RecordEquivocation, RekeySeat, Transaction
from icn_machine.posting import BlockContext, ZoneFacts
from icn_machine.records import ZONE_IDENTIFIER, Due, Duty, RecordTables
from icn_machine.refusals import InvariantBroken, Malformed
from icn_machine.touched import touched_behind, touched_directly

ROUNDS_BEHIND_MAX = 8
"""Holds and orders name accounts, those policies, those funds, those parents, those payers; the last finds
nothing."""


async def read_transactions(transactions: Sequence[bytes], cache: TransactionCache) -> list[Transaction]:
    """Parse what the block holds, most of which the cache knows.

    Raises:
        InvariantBroken: a quorum made a block final that holds no transaction.
    """
    read = []
    try:
        async for some in breaths(transactions):
            read += [cache.read(data) for data in some]
    except Malformed as refusal:
        raise InvariantBroken(f"a final block holds a malformed transaction: {refusal.message}") from refusal
    return read


async def run_block(
    header: block_pb2.BlockHeader,
    transactions: Sequence[Transaction],
    standing: Standing,
    *,
    genesis: Genesis,
    state: State,
    contracts: ContractEngine,
) -> BlockOutcome:
    """What the block does to the newest state, in memory.

    Raises:
        Unavailable: the database or the vm went away.
    """
    context = BlockContext(
        header.height,
        header.epoch,
        header.time_ms,
        genesis.recovery_delay_ms_min,
        await _load_zone_facts(header.epoch, transactions, genesis, state),
        standing.in_force.protocol_version,
    )
    has_ended = standing.duty.epoch != header.epoch
    duties = standing.duty.evidence(standing.before.organizations) if has_ended else []
    due = await state.due(header.time_ms)
    loaded = await _load_touched(transactions, due, duties, standing, state)
    execution = BlockExecution(context, loaded, standing.sets)
    execution.record_duties(duties)
    if standing.recovery is None:
        execution.put_in_force(standing.validators.set_hash)
    else:
        execution.begin_again(standing.recovery.validators)
    execution.settle_due(due)
    async for some in breaths(transactions):
        for transaction in some:
            execution.execute(transaction)
    await run_contracts(execution, state, contracts, genesis.hash)
    return execution.finish()


async def _load_zone_facts(
    epoch: int, transactions: Sequence[Transaction], genesis: Genesis, state: State
) -> ZoneFacts:
    """Genesis, and the validators of the epochs that equivocations are about."""
    spoken_of = {
        message.proof.epoch
        for transaction in transactions
        for message in transaction.messages
        if isinstance(message, RecordEquivocation) and message.proof.epoch <= epoch
    }
    data = await state.load_sets_of_epochs(spoken_of) if spoken_of else {}
    return ZoneFacts(
        genesis, {one: parse_validator_set(data.get(one, genesis.validator_set)) for one in spoken_of}
    )


async def _load_touched(
    transactions: Sequence[Transaction], due: Due, duties: Sequence[Duty], standing: Standing, state: State
) -> RecordTables:
    """The records that the block may read or change, in rounds: some name others."""
    names = touched_directly(transactions, due)
    names.duties.update(duty_identifier(one.organization, one.epoch) for one in duties)
    if any(type(message) is RekeySeat for one in transactions for message in one.messages):
        names.consensus_keys.update(standing.in_force.public_keys)
    if standing.recovery is not None:
        names.consensus_keys.update(standing.recovery.validators.public_keys)
        names.zones.add(ZONE_IDENTIFIER)
    loaded = await state.load(names)
    for _ in range(ROUNDS_BEHIND_MAX):
        behind = touched_behind(transactions, names, loaded)
        found = await state.load(behind)
        for namespace, records in found.filled():
            loaded.table(namespace).update(records)
            names.names(namespace).update(records)
        if not found:
            return loaded
    raise AssertionError("what records lead to ends after as many rounds")
