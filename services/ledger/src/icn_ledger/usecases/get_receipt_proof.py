"""GetReceiptProof: the receipt of a transaction, under the root that a final header names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from icn_crypto.merkle_log import inclusion_proof, leaf_hash
from icn_kit.errors import FailedPrecondition
from icn_machine.blocks.breath import LEAVES_ON_LOOP_MAX
from icn_machine.blocks.ports import EpochEdge

from icn_ledger.usecases.get_proof import EPOCH_STEPS_MAX
from icn_ledger.usecases.reads import Reader, get_transaction


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

    receipts: Sequence[bytes]
    """Of the block, in order, canonical bytes."""
    naming: FinalNaming | None
    """None where no final header names the height yet, nor a later one."""


class ReceiptSource(Reader, Protocol):
    """Where receipts are read."""

    async def receipt_material(self, height: int, from_epoch: int, steps_max: int) -> ReceiptMaterial:
        """Material for a proof of what an executed block's transactions came to."""


class ProvenReceipt(NamedTuple):
    """A proof in parts."""

    receipt: bytes
    position: int
    """Among those of its block, from 0."""
    size: int
    path: Sequence[bytes]
    naming: FinalNaming


async def get_receipt_proof(transaction_id: bytes, from_epoch: int, source: ReceiptSource) -> ProvenReceipt:
    """Prove what became of a transaction.

    Raises:
        NotFound: TRANSACTION_UNKNOWN.
        HistoryMissing: its block may be older than what this ledger has.
        FailedPrecondition: PROOF_NOT_READY: no final header names its block's receipts yet, a later block
            will; RECEIPT_UNNAMED: the chain went past them, so that none will.
    """
    row = await get_transaction(transaction_id, source)
    receipts, naming = await source.receipt_material(row.height, from_epoch, EPOCH_STEPS_MAX)
    if naming is None:
        raise FailedPrecondition(
            "PROOF_NOT_READY",
            f"no final header names the receipts of block {row.height} yet; try later",
            height=row.height,
        )
    if naming.executed_height != row.height:
        raise FailedPrecondition(
            "RECEIPT_UNNAMED",
            f"no header names the receipts of block {row.height}: the first behind it names those of "
            f"{naming.executed_height}",
            height=row.height,
            executed_height=naming.executed_height,
        )
    if len(receipts) > LEAVES_ON_LOOP_MAX:
        path = await asyncio.to_thread(_path, receipts, row.position)
    else:
        path = _path(receipts, row.position)
    return ProvenReceipt(row.receipt, row.position, len(receipts), path, naming)


def _path(receipts: Sequence[bytes], position: int) -> Sequence[bytes]:
    return inclusion_proof([leaf_hash(receipt) for receipt in receipts], position)
