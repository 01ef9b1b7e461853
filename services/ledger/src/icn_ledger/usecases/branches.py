"""What unexecuted blocks use of lanes and allowances, by block hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from icn_kit.errors import DomainError, ErrorKind

from icn_ledger.domain.validity import Use

BLOCKS_MAX = 512
"""Twice the heights that state is kept for."""
LANES_MAX = 262_144
"""About 40 MB; sixty-five full blocks."""


class AncestorUnknown(DomainError):
    """A block of the branch was not validated here; validate it first."""

    kind = ErrorKind.FAILED_PRECONDITION
    reason = "ANCESTOR_UNKNOWN"

    def __init__(self, block_hash: bytes) -> None:
        super().__init__(
            f"block {block_hash.hex()} was not validated here, or too long ago", block_hash=block_hash.hex()
        )


@dataclass(slots=True)
class BranchCache:
    """Bounded memory of validated blocks, the least recently used forgotten first."""

    blocks_max: int = BLOCKS_MAX
    lanes_max: int = LANES_MAX
    _uses: dict[bytes, Use] = field(default_factory=dict)
    _lanes: int = 0

    def add(self, block_hash: bytes, use: Use) -> None:
        """Remember what a valid block uses."""
        previous = self._uses.pop(block_hash, None)
        if previous is not None:
            self._lanes -= len(previous.lanes)
        self._uses[block_hash] = use
        self._lanes += len(use.lanes)
        while len(self._uses) > 1 and (len(self._uses) > self.blocks_max or self._lanes > self.lanes_max):
            self._lanes -= len(self._uses.pop(next(iter(self._uses))).lanes)

    def ancestors(self, block_hashes: Sequence[bytes]) -> list[Use]:
        """What each of these blocks uses, in their order.

        Raises:
            AncestorUnknown: one of them was not validated here.
        """
        found = []
        for block_hash in block_hashes:
            use = self._uses.pop(block_hash, None)
            if use is None:
                raise AncestorUnknown(block_hash)
            self._uses[block_hash] = use
            found.append(use)
        return found
