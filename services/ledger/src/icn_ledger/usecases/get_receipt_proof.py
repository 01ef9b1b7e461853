"""GetReceiptProof: the receipt of a transaction, under the chain of roots that a final header names.

Source: docs/spec/proof.md, "Receipts".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from icn_crypto.merkle_log import inclusion_proof, leaf_hash, root_of
from icn_kit.errors import FailedPrecondition
from icn_machine.blocks.breath import LEAVES_ON_LOOP_MAX
from icn_machine.blocks.ports import EpochEdge

from icn_ledger.usecases.get_proof import EPOCH_STEPS_MAX
from icn_ledger.usecases.reads import Reader, get_transaction

LATER_BLOCKS_MAX = 10_000
"""Between a block and the one that the first header behind it names: as many as a proof may carry. One while
the network is well, some hundred after an outage."""

Made = TypeVar("Made")


class FinalNaming(NamedTuple):
    """The first final header that names what came of a height or of a later one, and why it is final."""

    executed_height: int
    """Which it names."""
    header: bytes
    descendant_headers: tuple[bytes, ...]
    """From its child to the block that the finalization names."""
    finalization: bytes
    edges: tuple[EpochEdge, ...]
    """From the wanted epoch to the header's, ascending."""
    validator_set: bytes
    """Canonical bytes of the set that signed the finalization."""


class ReceiptMaterial(NamedTuple):
    """What one snapshot of the store has for a proof."""

    before: bytes
    """Receipts root of the block before."""
    naming: FinalNaming | None
    """None where no final header names the height yet, nor a later one."""


class ReceiptSource(Reader, Protocol):
    """Where receipts are read."""

    async def receipt_material(self, height: int, from_epoch: int, steps_max: int) -> ReceiptMaterial:
        """Material for a proof of what an executed block's transactions came to."""

    async def receipts_at(self, height: int) -> Sequence[bytes]:
        """Of an executed block above the snapshot that this ledger began with, in order, canonical bytes."""


class ProvenReceipt(NamedTuple):
    """A proof in parts."""

    receipt: bytes
    position: int
    """Among those of its block, from 0."""
    size: int
    path: Sequence[bytes]
    before: bytes
    """Receipts root of the block before."""
    later_roots: Sequence[bytes]
    """Of the own receipts of each block behind it, up to the named one."""
    naming: FinalNaming


async def get_receipt_proof(transaction_id: bytes, from_epoch: int, source: ReceiptSource) -> ProvenReceipt:
    """Prove what became of a transaction.

    Raises:
        NotFound: TRANSACTION_UNKNOWN.
        HistoryMissing: its block may be older than what this ledger has.
        FailedPrecondition: PROOF_NOT_READY: no final header names its block's receipts yet, a later block
            will; NAMED_TOO_LATE: the first that does names a block more than LATER_BLOCKS_MAX behind it.
    """
    row = await get_transaction(transaction_id, source)
    before, naming = await source.receipt_material(row.height, from_epoch, EPOCH_STEPS_MAX)
    if naming is None:
        raise FailedPrecondition(
            "PROOF_NOT_READY",
            f"no final header names the receipts of block {row.height} yet; try later",
            height=row.height,
        )
    if naming.executed_height - row.height > LATER_BLOCKS_MAX:
        raise FailedPrecondition(
            "NAMED_TOO_LATE",
            f"the first header that names the receipts of block {row.height} names those up to "
            f"{naming.executed_height}: more than {LATER_BLOCKS_MAX} blocks behind it",
            height=row.height,
            executed_height=naming.executed_height,
            blocks_max=LATER_BLOCKS_MAX,
        )
    receipts = await source.receipts_at(row.height)
    path = await _hash(_path, receipts, row.position)
    later_roots = [
        await _hash(root_of, await source.receipts_at(height))
        for height in range(row.height + 1, naming.executed_height + 1)
    ]
    return ProvenReceipt(row.receipt, row.position, len(receipts), path, before, later_roots, naming)


async def _hash(make: Callable[..., Made], receipts: Sequence[bytes], *further: int) -> Made:
    """What a function makes of receipts; of many on a thread."""
    if len(receipts) > LEAVES_ON_LOOP_MAX:
        return await asyncio.to_thread(make, receipts, *further)
    return make(receipts, *further)


def _path(receipts: Sequence[bytes], position: int) -> Sequence[bytes]:
    return inclusion_proof([leaf_hash(receipt) for receipt in receipts], position)
