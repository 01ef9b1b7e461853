"""Which final header names what came of a height, and what shows that it is final.

Of every block its finalization is kept, which may be that of a later one. The headers between are those of
`blocks`; where they go past the newest block, or past the end of an epoch, they are kept with those.

Source: docs/spec/ledger-store.md, "Tables"; docs/spec/proof.md, "Receipts".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from icn.consensus.v1.block_pb2 import BlockHeader, Certificate
from icn_kit.database import Connection

from icn_ledger.store.arrays import ByteaArray
from icn_ledger.store.edges import EDGES_FROM, read_edge
from icn_ledger.store.state import SELECT_VALIDATOR_SETS
from icn_ledger.usecases.get_receipt_proof import FinalNaming

PAGE_BLOCKS = 16
"""Headers trail by one or two heights; further only after an outage."""

_BLOCKS_BEHIND = """
    SELECT height, epoch, header, finalization FROM blocks
    WHERE height > %(height)s ORDER BY height LIMIT %(count)s
"""
_HEADERS = "SELECT header FROM blocks WHERE height > %(first)s AND height <= %(last)s ORDER BY height"
_NEWEST = """
    SELECT blocks.height, chain.descendant_headers, blocks.finalization
    FROM chain JOIN blocks ON blocks.height = chain.executed_height
"""


class NamingBlock(NamedTuple):
    """A block whose header names what came of earlier ones."""

    height: int
    epoch: int
    header: bytes
    finalization: bytes


async def fetch_naming(
    connection: Connection, height: int, from_epoch: int, steps_max: int
) -> FinalNaming | None:
    """The first final header that names an executed height or one above it, with at most so many edges.

    None where there is none yet. The transaction must see one version of the store.
    """
    cursor = connection.cursor(binary=True)
    block = await _first_naming(cursor, height)
    if block is None:
        return None
    header = BlockHeader.FromString(block.header)
    descendants, finalization = await fetch_finality(cursor, block)
    await cursor.execute(EDGES_FROM, {"first": from_epoch, "end": block.epoch, "count": steps_max})
    edges = tuple(read_edge(edge) for edge in await cursor.fetchall())
    await cursor.execute(SELECT_VALIDATOR_SETS, (ByteaArray([header.validator_set_hash]),))
    ((_, validator_set),) = await cursor.fetchall()
    return FinalNaming(header.executed_height, block.header, descendants, finalization, edges, validator_set)


async def _first_naming(cursor: Any, height: int) -> NamingBlock | None:
    behind = height
    while True:
        await cursor.execute(_BLOCKS_BEHIND, {"height": behind, "count": PAGE_BLOCKS})
        page = [NamingBlock(*row) for row in await cursor.fetchall()]
        for block in page:
            if BlockHeader.FromString(block.header).executed_height >= height:
                return block
        if len(page) < PAGE_BLOCKS:
            return None
        behind = page[-1].height


async def fetch_finality(cursor: Any, block: NamingBlock) -> tuple[tuple[bytes, ...], bytes]:
    """Headers from the block's child to the finalized one, and the finalization."""
    finalization = block.finalization
    last = max(block.height, Certificate.FromString(finalization).height)
    await cursor.execute(EDGES_FROM, {"first": block.epoch, "end": block.epoch + 1, "count": 1})
    edges = [read_edge(row) for row in await cursor.fetchall()]
    ends = [(edge.height, edge.descendant_headers, edge.finalization) for edge in edges]
    await cursor.execute(_NEWEST)
    ends += await cursor.fetchall()
    behind: tuple[bytes, ...] = ()
    for height, descendants, kept in ends:
        if last > height:
            last, behind, finalization = height, tuple(descendants), kept
    await cursor.execute(_HEADERS, {"first": block.height, "last": last})
    return (*(header for (header,) in await cursor.fetchall()), *behind), finalization
