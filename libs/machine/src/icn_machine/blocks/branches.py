"""What unexecuted blocks use of lanes and allowances, by block hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from icn_kit.errors import DomainError, ErrorKind

from icn_machine.validity import Moment, Use

BLOCKS_MAX = 512
"""Twice the heights that state is kept for."""
LANES_MAX = 262_144
"""About 40 MB; sixty-five full blocks."""


class Branch(NamedTuple):
    """What a block extends."""

    executed_height: int
    """Newest finalization on the branch; validity starts from the state after it."""
    unexecuted: tuple[bytes, ...]
    """Hashes of the branch's blocks above it, ascending by height, the parent last."""


class Prepared(NamedTuple):
    """A proposal that was made here: its transactions were judged when they were chosen."""

    branch: Branch
    moment: Moment
    transactions: tuple[bytes, ...]
    transaction_ids: tuple[bytes, ...]
    use: Use


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
    """Bounded memory of validated blocks, the least recently used forgotten first, and of one proposal."""

    blocks_max: int = BLOCKS_MAX
    lanes_max: int = LANES_MAX
    _uses: dict[bytes, Use] = field(default_factory=dict)
    _lanes: int = 0
    _prepared: Prepared | None = None

    def note_prepared(self, prepared: Prepared) -> None:
        """Remember the newest proposal of ours, which we shall be asked to judge like any other."""
        self._prepared = prepared

    def prepared(self, branch: Branch, moment: Moment, transactions: Sequence[bytes]) -> Prepared | None:
        """The newest proposal of ours, where this is it: every one of these decides what is valid."""
        newest = self._prepared
        if newest is None or newest.branch != branch or newest.moment != moment:
            return None
        return newest if newest.transactions == tuple(transactions) else None

    def add(self, block_hash: bytes, use: Use) -> None:
        """Remember what a valid block uses."""
        previous = self._uses.pop(block_hash, None)
        if previous is not None:
            self._lanes -= len(previous.lanes)
        self._uses[block_hash] = use
        self._lanes += len(use.lanes)
        while len(self._uses) > 1 and (len(self._uses) > self.blocks_max or self._lanes > self.lanes_max):
            self._lanes -= len(self._uses.pop(next(iter(self._uses))).lanes)

    def forget(self, block_hash: bytes) -> None:
        """Forget a block that nobody extends any more."""
        use = self._uses.pop(block_hash, None)
        if use is not None:
            self._lanes -= len(use.lanes)

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
