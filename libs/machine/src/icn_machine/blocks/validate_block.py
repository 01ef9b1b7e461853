"""ValidateBlock: whether the transactions of a proposed block are valid on its branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icn_chain.recovery import RecoveryInvalid
from icn_kit.genesis import Genesis

from icn_machine.blocks.branches import Branch, BranchCache
from icn_machine.blocks.breath import breaths
from icn_machine.blocks.check_recovery import read_recovery
from icn_machine.blocks.judging import Signatures, judged
from icn_machine.blocks.ports import State, StateBehind
from icn_machine.blocks.transaction_cache import TransactionCache
from icn_machine.messages import Transaction
from icn_machine.refusals import Malformed, NotValid
from icn_machine.touched import touched_by_validity
from icn_machine.validity import Moment, Use, ValidityView, include


class BlockJudgement(NamedTuple):
    """What came of a block."""

    transaction_ids: tuple[bytes, ...]
    reason: str
    """Empty when valid."""
    message: str


async def validate_block(
    block_hash: bytes,
    branch: Branch,
    moment: Moment,
    transactions: Sequence[bytes],
    *,
    recovery: bytes = b"",
    genesis: Genesis,
    state: State,
    cache: TransactionCache,
    branches: BranchCache,
) -> BlockJudgement:
    """Judge a block and remember what it uses, for those that extend it.

    Raises:
        StateBehind: the branch's executed height is not executed here yet.
        StatePruned: it lies more than 256 heights back.
        AncestorUnknown: a block of the branch was not validated here.
    """
    if recovery and (refused := await _find_fault(recovery, branch, moment, genesis, state)) is not None:
        return refused
    ancestors = branches.ancestors(branch.unexecuted)
    if (own := branches.prepared(branch, moment, transactions)) is not None:
        branches.add(block_hash, own.use)
        return BlockJudgement(own.transaction_ids, "", "")
    known: list[Transaction] = []
    try:
        async for some in breaths(transactions):
            for data in some:
                known.append(cache.read(data))
    except Malformed as refusal:
        return _invalid(len(known), refusal)
    view = await state.load_validity(touched_by_validity(known), branch.executed_height)

    async def judge(signatures: Signatures) -> Use | BlockJudgement:
        return await _judge_all(known, view, Use.after(ancestors, moment.epoch), moment, signatures)

    found = await judged(cache, judge)
    if isinstance(found, BlockJudgement):
        return found
    branches.add(block_hash, found)
    return BlockJudgement(tuple([one.id for one in known]), "", "")


async def _judge_all(
    known: Sequence[Transaction],
    view: ValidityView,
    use: Use,
    moment: Moment,
    signatures: Signatures,
) -> Use | BlockJudgement:
    """What the block alone uses, or why it is not valid."""
    position = 0
    try:
        async for some in breaths(known):
            for one in some:
                include(one, view, use, moment, verdict_of=signatures.verdict_of)
                position += 1
    except NotValid as refusal:
        return _invalid(position, refusal)
    return use.alone()


async def _find_fault(
    recovery: bytes, branch: Branch, moment: Moment, genesis: Genesis, state: State
) -> BlockJudgement | None:
    """Why the block may not begin its epoch by the certificate that it carries; None where it may."""
    parent = await state.block_at(branch.executed_height)
    if parent is None:
        raise StateBehind(branch.executed_height, state.newest.height)
    if branch.unexecuted:
        return BlockJudgement((), "RECOVERY_OTHER_BLOCK", "its parent is not the block executed last")
    try:
        await read_recovery(recovery, parent, moment.epoch, genesis, state)
    except RecoveryInvalid as fault:
        return BlockJudgement((), fault.reason, str(fault))
    return None


def _invalid(position: int, refusal: NotValid) -> BlockJudgement:
    return BlockJudgement((), refusal.reason, f"transaction {position}: {refusal.message}")
