"""ListFinalBlocks and GetFinality: the chain as it lies here, for archives."""

from __future__ import annotations

from collections.abc import Sequence

from icn_chain.header import INTEGER_MAX
from icn_kit.errors import DomainError, ErrorKind, InvalidArgument, NotFound

from icn_consensus.usecases.ports import StoredBlock, StoredChain


class HistoryMissing(DomainError):
    """This validator began with a snapshot, and has no block below it; others have."""

    kind = ErrorKind.FAILED_PRECONDITION
    reason = "HISTORY_MISSING"

    def __init__(self, height: int, from_height: int) -> None:
        super().__init__(
            f"block {height}: this validator has blocks from height {from_height} on", from_height=from_height
        )


async def list_final_blocks(from_height: int, store: StoredChain) -> Sequence[bytes]:
    """Blocks from a height on, as many as a page holds; none above the newest.

    Raises:
        InvalidArgument: HEIGHT_OUT_OF_RANGE.
        HistoryMissing: see there.
    """
    if not 1 <= from_height <= INTEGER_MAX - 1_000:
        raise InvalidArgument("HEIGHT_OUT_OF_RANGE", f"from_height {from_height} is no height of a block")
    rows = await store.page(from_height)
    oldest = await store.oldest_height() if not rows or rows[0].height != from_height else from_height
    if oldest > from_height:
        raise HistoryMissing(from_height, oldest)
    return [row.block for row in rows]


async def get_finality(height: int, store: StoredChain) -> StoredBlock:
    """The block of a height with what shows that it is final.

    Raises:
        NotFound: BLOCK_UNKNOWN.
    """
    found = await store.at(height) if height <= INTEGER_MAX else None
    if found is None:
        raise NotFound("BLOCK_UNKNOWN", f"there is no final block {height} here")
    return found
