"""Proofs of older states: of the last heights, by whatever certificate covers them, and of epochs' edges."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, BlockHeader
from icn_chain.epochs import check_finalization, first_set, read_chain
from icn_crypto.state_proof import verify_absence, verify_inclusion
from icn_crypto.state_tree import Proof, state_key
from icn_kit.errors import FailedPrecondition, ResourceExhausted
from icn_ledger.store.pruner import Pruner
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.usecases.get_proof import ProvenLeaf, Wanted, get_proof
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.leaves import encode_leaf
from icn_machine.records import Namespace

from libs.machine.tests.certificates import certificate
from libs.machine.tests.workload import ACCOUNTS, BLOCK_MS, Workload
from libs.machine.tests.zone import EPOCH_MS, Ledger, Zone, block_hash, memory_ledger
from services.ledger.tests.certified import Certified
from services.ledger.tests.conftest import OpenLedger

ACCOUNT = ACCOUNTS[0]
KEPT = 3
"""Heights that can be read in these tests."""


@pytest.fixture
async def busy(
    zone: Zone, open_ledger: OpenLedger, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Certified, Ledger]]:
    """A pruned ledger after five epochs of six blocks, and the same in memory."""
    monkeypatch.setattr("icn_ledger.store.pruner.VERSIONED_HEIGHTS", KEPT)
    in_memory = memory_ledger(zone)
    async with open_ledger(dsn) as ledger:
        certified = Certified(ledger)
        for number, transactions in enumerate(Workload(zone, 11).blocks(32)):
            changes = {"after_ms": EPOCH_MS if number % 6 == 5 else BLOCK_MS}
            await certified.execute(*transactions, **changes)
            await in_memory.execute(*transactions, **changes)
        while await Pruner(ledger.state._database).prune():
            pass
        yield certified, in_memory


def check(proven: ProvenLeaf, zone: Zone) -> BlockHeader:
    """Judge a proof as who gets it does; the zone keeps its validators."""
    chain = read_chain(zone.genesis.hash, proven.block.header, proven.descendant_headers, "HEADERS")
    trusted = replace(first_set(zone.genesis.validator_set), epoch=chain[-1].epoch)
    check_finalization(proven.block.finalization, chain[-1], trusted, zone.genesis.hash)
    assert [edge.epoch for edge in proven.edges] == list(range(chain[-1].epoch))
    header = BlockHeader.FromString(proven.block.header)
    key, proof = state_key(Namespace.ACCOUNT, ACCOUNT), Proof.from_dict(json.loads(proven.state_proof))
    if proven.value:
        assert verify_inclusion(header.state_root, key, proven.value, proof)
    else:
        assert verify_absence(header.state_root, key, proof)
    return header


async def test_before_any_block_the_newest_state_that_can_be_is_proven(
    busy: tuple[Certified, Ledger], zone: Zone
) -> None:
    certified, in_memory = busy
    headers = [BlockHeader.FromString(block.header) for block in certified.blocks]
    edges = [one.executed_height for one in headers if zone.genesis.epoch_of(one.time_ms) != one.epoch]
    assert len(edges) == 5
    newest = headers[-1].executed_height
    oldest = headers[-1].height - KEPT - 1
    queries = LedgerQueries(certified.ledger.state._database)
    for header in [*headers[edges[0] :], None]:
        time_ms = headers[-1].time_ms + 1 if header is None else header.time_ms
        before = max(one.height for one in headers if one.time_ms < time_ms)
        proven = await get_proof(Wanted(Namespace.ACCOUNT, ACCOUNT, time_ms), 0, queries)
        found = check(proven, zone).executed_height
        readable = [*edges, *range(oldest, newest + 1)]
        assert found == max(height for height in readable if height <= before)
        record = in_memory.state.records_at(found).accounts.get(ACCOUNT)
        assert proven.value == (b"" if record is None else encode_leaf(Namespace.ACCOUNT, record))
    for time_ms in (1, zone.genesis.time_ms, headers[edges[0] - 1].time_ms):
        with pytest.raises(FailedPrecondition) as refusal:
            await get_proof(Wanted(Namespace.ACCOUNT, ACCOUNT, time_ms), 0, queries)
        assert refusal.value.reason == "PROOF_NOT_READY"


async def test_an_edge_since_which_too_much_changed_is_refused(
    busy: tuple[Certified, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    certified, _ = busy
    monkeypatch.setattr("icn_ledger.store.versions.LEAVES_CHANGED_MAX", 3)
    queries = LedgerQueries(certified.ledger.state._database)
    with pytest.raises(ResourceExhausted) as refusal:
        time_ms = BlockHeader.FromString(certified.blocks[10].header).time_ms
        await get_proof(Wanted(Namespace.ACCOUNT, ACCOUNT, time_ms), 0, queries)
    assert refusal.value.reason == "TOO_MANY_CHANGED"


async def test_edges_that_are_forgotten_are_not_proven(
    busy: tuple[Certified, Ledger], monkeypatch: pytest.MonkeyPatch, zone: Zone
) -> None:
    certified, _ = busy
    monkeypatch.setattr("icn_ledger.store.named_states.EDGES_KEPT", 2)
    queries = LedgerQueries(certified.ledger.state._database)
    times = [BlockHeader.FromString(block.header).time_ms for block in certified.blocks]
    assert check(await get_proof(Wanted(Namespace.ACCOUNT, ACCOUNT, times[25]), 0, queries), zone).epoch == 3
    with pytest.raises(FailedPrecondition):
        await get_proof(Wanted(Namespace.ACCOUNT, ACCOUNT, times[12]), 0, queries)


def following(zone: Zone, header: bytes) -> bytes:
    """The empty block behind one that is not executed yet: it names the same state."""
    parent = BlockHeader.FromString(header)
    child = BlockHeader()
    child.CopyFrom(parent)
    child.height, child.view = parent.height + 1, parent.view + 1
    child.time_ms, child.parent = parent.time_ms + 1_000, block_hash(zone, header)
    return child.SerializeToString(deterministic=True)


async def test_a_block_that_a_descendants_certificate_made_final_is_proven_by_it(
    zone: Zone, open_ledger: OpenLedger, dsn: str
) -> None:
    async with open_ledger(dsn) as ledger:
        certified = Certified(ledger)
        for transactions in Workload(zone, 11).blocks(3):
            await certified.execute(*transactions)
        header = ledger.header(())
        child = following(zone, header)
        final = certificate(zone, VOTE_KIND_FINALIZE, child)
        await certified.play(FinalBlock(header, (), final, (child,), b""))
        await certified.play(FinalBlock(child, (), final, (), b""))
        for _ in range(3):
            await certified.execute()
        queries = LedgerQueries(ledger.state._database)
        time_ms = BlockHeader.FromString(header).time_ms
        proven = await get_proof(Wanted(Namespace.ACCOUNT, ACCOUNT, time_ms), 0, queries)
        found = check(proven, zone)
        assert (found.height, found.executed_height) == (4, 3)
        assert proven.descendant_headers == (child,)
