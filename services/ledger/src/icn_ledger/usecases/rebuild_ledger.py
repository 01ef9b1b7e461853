"""Executing every block again on an empty ledger, as if it were given them one by one.

Source: docs/spec/ledger-store.md, "Rebuilding".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_kit.errors import FailedPrecondition
from icn_machine.blocks.execute_block import Executor
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.blocks.ports import ExecutedBlock

PRUNED_EVERY_HEIGHTS = 16
"""As often as a running ledger is (`icn_ledger.store.pruner`)."""


class RootDiffers(FailedPrecondition):
    """A block names a root of an earlier height that executing does not give."""

    def __init__(self, height: int, name: str, expected: bytes, found: bytes, named_by: int) -> None:
        super().__init__(
            "ROOT_DIFFERS",
            f"{name} after height {height}: block {named_by} names {expected.hex()}, "
            f"executing gives {found.hex()}",
            height=height,
            name=name,
            expected=expected.hex(),
            found=found.hex(),
            named_by=named_by,
        )


class Rebuilt(NamedTuple):
    """What came of executing the blocks."""

    height: int
    """Of the last block."""
    transactions: int
    state_root: bytes
    """After the last block."""
    named_height: int
    """The newest whose roots a block names; those of all before it are equal, too."""
    named_state_root: bytes


async def rebuild_ledger(
    blocks: AsyncIterator[FinalBlock],
    executor: Executor,
    prune: Callable[[], Awaitable[bool]],
    on_block: Callable[[int], None],
) -> Rebuilt:
    """Execute the blocks, which begin at height 1, and compare each root that they name.

    Args:
        blocks: ascending without a gap.
        executor: over the state of genesis.
        prune: forgets some of what the horizon has left behind; False when there was nothing.
        on_block: told of every height that was executed.

    Raises:
        RootDiffers: see there.
        FailedPrecondition: NO_BLOCKS: there is none.
        DomainError: as `Executor.execute`, and what the blocks raise.
    """
    state = executor.state
    named, transactions = state.newest, 0
    async for block in blocks:
        header = block_pb2.BlockHeader.FromString(block.header)
        if (found := await state.block_at(header.executed_height)) is not None:  # else it is refused below
            named = found
            _compare(header, named)
        execution = await executor.execute(block)
        transactions += len(execution.outcomes)
        if header.height % PRUNED_EVERY_HEIGHTS == 0:
            while await prune():
                pass
        on_block(header.height)
    newest = state.newest
    if not newest.height:
        raise FailedPrecondition("NO_BLOCKS", "there is no block to execute")
    return Rebuilt(newest.height, transactions, newest.state_root, named.height, named.state_root)


def _compare(header: block_pb2.BlockHeader, named: ExecutedBlock) -> None:
    for name in ("state_root", "receipts_root", "log_root"):
        expected, found = getattr(header, name), getattr(named, name)
        if expected != found:
            raise RootDiffers(named.height, name, expected, found, header.height)
