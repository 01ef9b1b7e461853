"""The way from a receipt to the root that a header names, however many receipts and blocks."""

from __future__ import annotations

from typing import cast

import pytest
from icn_crypto.merkle_log import EMPTY_ROOT, leaf_hash, root_of, verify_inclusion
from icn_kit.errors import FailedPrecondition
from icn_ledger.usecases.get_receipt_proof import (
    LATER_BLOCKS_MAX,
    FinalNaming,
    ReceiptMaterial,
    ReceiptSource,
    get_receipt_proof,
)
from icn_ledger.usecases.reads import TransactionRow
from icn_machine.blocks.breath import LEAVES_ON_LOOP_MAX

HEIGHT = 7


class Block:
    """A block of so many receipts, the wanted one the last; of those behind it every second has one."""

    def __init__(self, count: int, later: int = 0) -> None:
        self.later = later
        self.receipts = [b"receipt %d" % number for number in range(count)]

    async def transaction(self, _transaction_id: bytes) -> TransactionRow:
        return TransactionRow(HEIGHT, len(self.receipts) - 1, self.receipts[-1], 0)

    async def receipt_material(self, height: int, _from_epoch: int, _steps_max: int) -> ReceiptMaterial:
        assert height == HEIGHT
        named = FinalNaming(HEIGHT + self.later, b"header", (), b"final", (), b"set")
        return ReceiptMaterial(b"before", named)

    async def receipts_at(self, height: int) -> list[bytes]:
        assert HEIGHT <= height <= HEIGHT + self.later
        if height == HEIGHT:
            return self.receipts
        return [b"%d" % height] if height % 2 else []


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


async def test_a_block_that_no_header_names_comes_with_the_own_roots_of_those_up_to_a_named_one() -> None:
    proven = await get_receipt_proof(bytes(32), 0, cast(ReceiptSource, Block(3, later=2)))
    assert proven.before == b"before"
    assert proven.later_roots == [EMPTY_ROOT, leaf_hash(b"9")]


@pytest.mark.parametrize("later", [LATER_BLOCKS_MAX, LATER_BLOCKS_MAX + 1])
async def test_so_many_blocks_may_lie_between_and_no_more(later: int) -> None:
    call = get_receipt_proof(bytes(32), 0, cast(ReceiptSource, Block(1, later)))
    if later <= LATER_BLOCKS_MAX:
        assert len((await call).later_roots) == later
        return
    with pytest.raises(FailedPrecondition) as refusal:
        await call
    assert refusal.value.reason == "NAMED_TOO_LATE"
    assert "up to 10008: more than 10000" in str(refusal.value)
