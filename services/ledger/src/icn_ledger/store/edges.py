"""Rows of `epoch_edges`. Source: docs/spec/ledger-store.md, "Tables"."""

from __future__ import annotations

from typing import Any

from icn_machine.blocks.ports import EpochEdge

SELECT_EDGES = """
    SELECT epoch, height, executed_height, header, descendant_headers, finalization, next_validator_set,
        recovery
    FROM epoch_edges
"""
EDGES_FROM = SELECT_EDGES + "WHERE epoch >= %(first)s AND epoch < %(end)s ORDER BY epoch LIMIT %(count)s"


def read_edge(row: Any) -> EpochEdge:
    """A row of `SELECT_EDGES`."""
    epoch, height, executed_height, header, descendant_headers, finalization, next_set, recovery = row
    descendants = tuple(descendant_headers)
    return EpochEdge(epoch, height, executed_height, header, descendants, finalization, next_set, recovery)
