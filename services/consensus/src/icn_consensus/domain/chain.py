"""The blocks above the newest final one, and how they hang together.

Source: docs/spec/consensus.md, "Branches".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icn_chain.block import Block
from icn_chain.certificate import Certificate
from icn_chain.header import BlockHeader

from icn_consensus.domain.actions import Branch

RECENT_HEIGHTS: Final = 256
"""Final heights whose hashes and roots are remembered; the ledger keeps as many."""
BLOCKS_MAX: Final = 512
"""Blocks held above the final one; four pages of a catch-up beside an unusually long unfinished branch."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way from the newest final block to another."""

    blocks: tuple[Block, ...]
    """Ascending by height, the target last; empty when the target is the final block itself."""
    missing: bytes | None = None
    """Hash of the block that is not here and ends the search."""
    leaves_final: bool = False
    """The target does not descend from the final block."""


class Chain:
    """The newest final header and the unfinished blocks known above it."""

    def __init__(self, final: BlockHeader, recent: Sequence[bytes] = ()) -> None:
        """``recent``: hashes of the newest final blocks, ascending, `final`'s last; as many as are known."""
        self.final = final
        self.final_notarization: Certificate | None = None
        """Parent certificate for a block on `final`; None for genesis, and until it is fetched."""
        self.blocks: dict[bytes, Block] = {}
        self._recent = dict(enumerate(recent, final.height + 1 - len(recent)))
        self._recent[final.height] = final.hash
        if final.height:
            self._recent[final.height - 1] = final.parent

    def header(self, block_hash: bytes) -> BlockHeader | None:
        """Header of the final block or of an unfinished one."""
        if block_hash == self.final.hash:
            return self.final
        block = self.blocks.get(block_hash)
        return None if block is None else block.header

    def add(self, block: Block) -> bool:
        """Keep an unfinished block; False when it is below the final height or there is no room."""
        if block.header.height <= self.final.height or len(self.blocks) >= BLOCKS_MAX:
            return False
        self.blocks[block.hash] = block
        return True

    def path_to(self, block_hash: bytes) -> Path:
        """Blocks from the final one (exclusive) to this one (inclusive), as far as they are here."""
        descending: list[Block] = []
        while block_hash != self.final.hash:
            block = self.blocks.get(block_hash)
            if block is None:
                lowest = descending[-1].header.height if descending else None
                leaves_final = lowest is not None and lowest <= self.final.height + 1
                return Path((), missing=block_hash, leaves_final=leaves_final)
            descending.append(block)
            block_hash = block.header.parent
        return Path(tuple(reversed(descending)))

    def branch_of(self, path: Sequence[Block], executed_height: int) -> Branch | None:
        """The branch that ends with this path, above a height; None when hashes below are not remembered."""
        hashes = []
        for height in range(executed_height + 1, self.final.height + 1):
            known = self._recent.get(height)
            if known is None:
                return None
            hashes.append(known)
        hashes.extend(block.hash for block in path if block.header.height > executed_height)
        return Branch(executed_height, tuple(hashes))

    def final_hash_at(self, height: int) -> bytes | None:
        """Hash of the final block at this height, when it is remembered."""
        return self._recent.get(height)

    def finalize(self, block: Block) -> None:
        """Make the child of the final block final."""
        assert block.header.parent == self.final.hash, "blocks become final in order"
        self.blocks.pop(block.hash, None)
        self.final = block.header
        self.final_notarization = None
        self._recent[block.header.height] = block.hash
        self._recent.pop(block.header.height - RECENT_HEIGHTS, None)

    def prune(self) -> tuple[bytes, ...]:
        """Drop blocks that can no longer become final, and tell which."""
        dropped = []
        for block_hash, block in self.blocks.items():
            header = block.header
            is_old = header.epoch == self.final.epoch and header.view <= self.final.view
            if header.height <= self.final.height or header.epoch < self.final.epoch or is_old:
                dropped.append(block_hash)
        for block_hash in dropped:
            del self.blocks[block_hash]
        return tuple(dropped)
