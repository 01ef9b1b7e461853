"""ListFinalBlocks and GetFinality: the chain as it lies here, for archives and for executing it again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from icn_chain.header import INTEGER_MAX
from icn_kit.errors import DomainError, ErrorKind, InvalidArgument, NotFound

from icn_consensus.usecases.ports import StoredBlock, StoredChain


class HistoryMissing(DomainError):
    """Blocks are not here: this validator began with a snapshot and has none below it; others have."""

    kind = ErrorKind.FAILED_PRECONDITION
    reason = "HISTORY_MISSING"

    def __init__(self, height: int, from_height: int) -> None:
        super().__init__(
            f"blocks {height} to {from_height - 1} are not here, but those from {from_height} on",
            from_height=from_height,
        )


async def list_final_blocks(from_height: int, store: StoredChain) -> Sequence[bytes]:
    """Blocks from a height on, as many as a page holds; none above the newest.

    Raises:
        InvalidArgument: HEIGHT_OUT_OF_RANGE.
        HistoryMissing: see there.
    """
    if not 1 <= from_height <= INTEGER_MAX - 1_000:
        raise InvalidArgument("HEIGHT_OUT_OF_RANGE", f"from_height {from_height} is no height of a block")
    return [row.block for row in await _page(from_height, store)]


async def read_chain(from_height: int, store: StoredChain) -> AsyncIterator[StoredBlock]:
    """Every block from a height on, ascending without a gap.

    Raises:
        HistoryMissing: see there; the blocks before the missing ones were given.
    """
    height = from_height
    while rows := await _page(height, store):
        for row in rows:
            if row.height != height:
                raise HistoryMissing(height, row.height)
            yield row
            height += 1


async def _page(from_height: int, store: StoredChain) -> Sequence[StoredBlock]:
    rows = await store.page(from_height)
    if not rows or rows[0].height != from_height:
        lowest = await store.lowest_height(from_height)
        if lowest:
            raise HistoryMissing(from_height, lowest)
    return rows


async def get_finality(height: int, store: StoredChain) -> StoredBlock:
    """The block of a height with what shows that it is final.

    Raises:
        NotFound: BLOCK_UNKNOWN.
    """
    found = await store.at(height) if height <= INTEGER_MAX else None
    if found is None:
        raise NotFound("BLOCK_UNKNOWN", f"there is no final block {height} here")
    return found
