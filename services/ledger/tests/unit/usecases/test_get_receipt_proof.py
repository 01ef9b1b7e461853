"""The path of a receipt among those of its block, however many."""

from __future__ import annotations

from typing import cast

import pytest
from icn_crypto.merkle_log import leaf_hash, root_of, verify_inclusion
from icn_ledger.usecases.get_receipt_proof import (
    FinalNaming,
    ReceiptMaterial,
    ReceiptSource,
    get_receipt_proof,
)
from icn_ledger.usecases.reads import TransactionRow
from icn_machine.blocks.breath import LEAVES_ON_LOOP_MAX

HEIGHT = 7


class Block:
    """A block of so many receipts, the wanted one the last."""

    def __init__(self, count: int) -> None:
        self.receipts = [b"receipt %d" % number for number in range(count)]

    async def transaction(self, _transaction_id: bytes) -> TransactionRow:
        return TransactionRow(HEIGHT, len(self.receipts) - 1, self.receipts[-1], 0)

    async def receipt_material(self, height: int, _from_epoch: int, _steps_max: int) -> ReceiptMaterial:
        assert height == HEIGHT
        return ReceiptMaterial(self.receipts, FinalNaming(HEIGHT, b"header", (), b"final", (), b"set"))


@pytest.mark.parametrize("count", [1, 2, LEAVES_ON_LOOP_MAX, LEAVES_ON_LOOP_MAX + 1])
async def test_a_receipt_comes_with_its_path_to_the_root(count: int) -> None:
    block = Block(count)
    proven = await get_receipt_proof(bytes(32), 0, cast(ReceiptSource, block))
    assert (proven.position, proven.size, proven.naming.header) == (count - 1, count, b"header")
    assert verify_inclusion(
        leaf_index=proven.position,
        size=proven.size,
        leaf=leaf_hash(proven.receipt),
        proof=proven.path,
        root=root_of(block.receipts),
    )
