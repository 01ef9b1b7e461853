"""The blocks of an archive as a ledger executes them: each with what shows that it is final.

An archive has that of the last block of an epoch only; of the others a later block tells, which carries a
finalization of one of its ancestors.

Source: docs/spec/audit.md, "Archive"; docs/spec/block.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from icn.consensus.v1 import block_pb2
from icn_machine.blocks.final_block import FinalBlock

from icn_audit.archive import Kind, read_chunks


def final_blocks(read: Callable[[int], bytes]) -> Iterator[FinalBlock]:
    """The blocks of an archive that `icn_audit.verify.verify_archive` has found valid, in order.

    Blocks are in memory until they are shown to be final: two or three, as a rule.

    Args:
        read: gives the next bytes of the file, as many as asked for unless it ends.

    Raises:
        Diverged: as `icn_audit.archive.read_chunks`.
    """
    waiting = _Waiting()
    for chunk in read_chunks(read):
        if chunk.kind is Kind.BLOCKS:
            for archived in chunk.message.blocks:
                yield from waiting.add(archived)


class _Waiting:
    """Blocks of which nothing has shown yet that they are final."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, block_pb2.Block]] = deque()

    def add(self, archived: Any) -> Iterator[FinalBlock]:
        """Take the next block; gives those that are shown to be final by it or by what came with it."""
        block = block_pb2.Block.FromString(archived.block)
        if block.finalization:
            height = block_pb2.Certificate.FromString(block.finalization).height
            yield from self._shown(height, block.finalization, ())
        height = block_pb2.BlockHeader.FromString(block.header).height
        self._blocks.append((height, block))
        if archived.finalization:
            yield from self._shown(height, archived.finalization, tuple(archived.descendant_headers))

    def _shown(self, height: int, finalization: bytes, beyond: tuple[bytes, ...]) -> Iterator[FinalBlock]:
        """Blocks up to the height; ``beyond``: headers from there to the block that the certificate names."""
        shown = []
        while self._blocks and self._blocks[0][0] <= height:
            shown.append(self._blocks.popleft()[1])
        headers = [block.header for block in shown]
        for position, block in enumerate(shown):
            yield FinalBlock(
                block.header,
                block.transactions,
                finalization,
                (*headers[position + 1 :], *beyond),
                block.parent_certificate,
                block.recovery,
            )
