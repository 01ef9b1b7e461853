"""The whole state after a height: in order, in parts, to one caller at a time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from icn_crypto.state_tree import state_key
from icn_kit.errors import InvalidArgument, ResourceExhausted
from icn_ledger.usecases import stream_leaves
from icn_ledger.usecases.stream_leaves import LeafReader
from icn_machine.blocks.ports import StateBehind
from icn_machine.leaves import encode_leaf
from icn_sim.memory_snapshots import MemorySnapshots
from icn_sim.memory_state import MemoryState

from libs.machine.tests.zone import Ledger, anchor


def reader(ledger: Ledger) -> LeafReader:
    assert isinstance(ledger.state, MemoryState)
    return LeafReader(MemorySnapshots(ledger.state), pause_factor=0)


async def test_every_leaf_comes_once_in_the_order_of_state_keys(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_leaves, "PART_BYTES", 200)
    zone = ledger.zone
    messages = [anchor(bytes([number]) * 32) for number in range(9)]
    await ledger.execute(zone.transaction(zone.organizations[0], *messages))
    parts = [part async for part in reader(ledger).read(1, 1)]
    leaves = [leaf for part in parts for leaf in part]
    assert len(parts) > 3
    keys = [state_key(leaf.namespace, leaf.identifier) for leaf in leaves]
    assert keys == sorted(set(keys))
    assert isinstance(ledger.state, MemoryState)
    assert {(leaf.namespace, leaf.identifier, leaf.value) for leaf in leaves} == {
        (namespace, identifier, encode_leaf(namespace, record))
        for namespace, identifier, record in ledger.state.records[-1]
        if record is not None
    }


async def test_one_caller_reads_at_a_time(ledger: Ledger) -> None:
    leaves = reader(ledger)
    async with aclosing(leaves.read(0, 0)) as first:
        await anext(first)
        with pytest.raises(ResourceExhausted, match="another call"):
            await anext(leaves.read(0, 0))
    assert [part async for part in leaves.read(0, 0)], "who stops reading makes room"
    await asyncio.sleep(0)


async def test_a_height_that_is_not_there_is_refused(ledger: Ledger) -> None:
    with pytest.raises(StateBehind):
        await anext(reader(ledger).read(1, 0))
    with pytest.raises(InvalidArgument, match="above"):
        await anext(reader(ledger).read(2**62 + 1, 0))
