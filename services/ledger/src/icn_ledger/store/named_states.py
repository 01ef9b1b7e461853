"""Which states can be proven: those that a final header names, while they can still be read.

Source: docs/spec/ledger-store.md, "How far back".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from icn.consensus.v1 import block_pb2
from icn_kit.database import Connection
from icn_machine.blocks.ports import ExecutedBlock

from icn_ledger.store.edges import SELECT_EDGES, read_edge
from icn_ledger.store.naming import NamingBlock, fetch_finality
from icn_ledger.store.pruner import EDGES_KEPT
from icn_ledger.store.state import SELECT_BLOCKS, read_block

_POSITION = (
    "SELECT chain.descendant_headers, horizon.provable_from, chain.snapshot_height FROM chain, horizon"
)

_BEFORE = "SELECT height FROM blocks WHERE time_ms < %s ORDER BY time_ms DESC LIMIT 1"


# Of what a recovery took up, and of what is forgotten, nothing is shown.
_EDGE = f"""{SELECT_EDGES}
    WHERE executed_height <= %(height)s AND executed_height >= %(snapshot_height)s AND recovery = ''
        AND epoch > coalesce(
            (SELECT max(epoch) FROM epoch_edges WHERE executed_height < %(provable_from)s), 0
        ) - %(edges)s
    ORDER BY epoch DESC LIMIT 1
"""  # noqa: S608 - of constants


class NamedState(NamedTuple):
    """A state and what shows that it is final."""

    block: ExecutedBlock
    """Whose header names it; with the finalization that covers the last descendant."""
    descendant_headers: tuple[bytes, ...]
    """From its child to the block that its finalization names."""
    height: int
    """The state is that after this height."""
    edge: int | None = None
    """Epoch whose edge it is, where it lies below the horizon."""


async def newest_state(connection: Connection) -> NamedState | None:
    """What the newest final header names; None where that is no longer kept, or no header is final yet."""
    cursor = connection.cursor(binary=True)
    await cursor.execute(SELECT_BLOCKS + "ORDER BY height DESC LIMIT 1")
    block = read_block(await cursor.fetchone())
    descendants, provable_from, _snapshot_height = await _one(connection, _POSITION)
    named = NamedState(block, tuple(descendants), _named_height(block))
    return named if block.height and named.height >= provable_from else None


async def state_before(connection: Connection, time_ms: int) -> NamedState | None:
    """The newest state after a block before a time that a final header names and that can be read."""
    found = await _one(connection, _BEFORE, time_ms)
    if found is None:
        return None
    (height,) = found
    newest = await newest_state(connection)
    if newest is not None and newest.height <= height:
        return newest
    _, provable_from, snapshot_height = await _one(connection, _POSITION)
    cursor = connection.cursor(binary=True)
    await cursor.execute(SELECT_BLOCKS + "WHERE height = %s", (height + 1,))
    if (row := await cursor.fetchone()) is not None:
        block = read_block(row)
        named_height = _named_height(block)
        if named_height >= max(provable_from, 1):
            naming = NamingBlock(block.height, block.epoch, block.header, block.finalization)
            descendants, finalization = await fetch_finality(cursor, naming)
            return NamedState(replace(block, finalization=finalization), descendants, named_height)
    await cursor.execute(
        _EDGE,
        {
            "height": height,
            "snapshot_height": max(snapshot_height, 1),
            "provable_from": provable_from,
            "edges": EDGES_KEPT,
        },
    )
    if (row := await cursor.fetchone()) is None:
        return None
    edge = read_edge(row)
    await cursor.execute(SELECT_BLOCKS + "WHERE height = %s", (edge.height,))
    block = replace(read_block(await cursor.fetchone()), finalization=edge.finalization)
    return NamedState(block, edge.descendant_headers, edge.executed_height, edge.epoch)


def _named_height(block: ExecutedBlock) -> int:
    return block_pb2.BlockHeader.FromString(block.header).executed_height


async def _one(connection: Connection, text: str, *parameters: object) -> Any:
    cursor = connection.cursor(binary=True)
    await cursor.execute(text, parameters)
    return await cursor.fetchone()
