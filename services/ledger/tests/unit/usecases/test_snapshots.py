"""Snapshots in memory: what is written can be restored, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE
from icn.ledger.v1 import snapshot_pb2
from icn_chain.checkpoint import Checkpoint, CheckpointMalformed
from icn_chain.epochs import EpochSet
from icn_chain.validator_set import ValidatorSet, parse_validator_set
from icn_crypto.state_page import leaf_hash, subtree_hash
from icn_crypto.state_tree import state_key
from icn_kit.errors import DomainError, FailedPrecondition, NotFound
from icn_ledger.main import read_checkpoint
from icn_ledger.usecases.write_snapshot import digests_of, get_snapshot_chunk
from icn_machine.blocks.ports import HistoryMissing
from icn_machine.duty import DutyCounts
from icn_machine.records import Namespace
from icn_machine.snapshot_chunks import ChunkInvalid, Cutter, Leaf, SnapshotInvalid
from icn_machine.snapshot_proof import HEADERS_MAX

from libs.machine.tests.certificates import certificate, flips
from libs.machine.tests.workload import Workload
from libs.machine.tests.zone import Zone, make_zone, memory_ledger
from services.ledger.tests.certified import Certified, restore

BLOCKS = 12
STRIDE = 97
"""All 14,000 bytes take minutes: most are found wrong only after every chunk was put."""


async def filled(zone: Zone, seed: int = 1) -> Certified:
    """A ledger two epochs on, with a snapshot due."""
    source = Certified(memory_ledger(zone))
    for block in Workload(zone, seed).blocks(BLOCKS):
        await source.execute(*block)
    for _ in range(2):
        await source.pass_edge()
        await source.execute(signers=(0, 2, 3))
        await source.execute()
    return source


def subtree_hash_of(leaves: Iterable[snapshot_pb2.SnapshotLeaf], depth: int) -> bytes:
    hashed = []
    for leaf in leaves:
        key, value_hash = state_key(leaf.namespace, leaf.identifier), sha256(leaf.value).digest()
        hashed.append((key + value_hash, leaf_hash(key, value_hash)))
    return subtree_hash(hashed, depth)


def empty(zone: Zone) -> Certified:
    return Certified(memory_ledger(zone))


async def test_a_snapshot_is_restored_only_where_its_history_comes_by_the_checkpoint(zone: Zone) -> None:
    """Keys that left their seats long ago could sign another history from genesis on."""
    source = await filled(zone)
    snapshot = await source.write()
    chunks = await source.chunks(snapshot)
    validators = parse_validator_set(zone.genesis.validator_set)
    others = ValidatorSet.of(validators.validators[::-1])
    newest = source.state.newest.epoch
    for epoch in (0, newest):
        await restore(empty(zone), snapshot, chunks, EpochSet(epoch, validators))
    with pytest.raises(SnapshotInvalid, match="other seats than the checkpoint's"):
        await restore(empty(zone), snapshot, chunks, EpochSet(newest, others))
    with pytest.raises(SnapshotInvalid, match="do not come by the checkpoint's"):
        await restore(empty(zone), snapshot, chunks, EpochSet(newest + 1, validators))


def test_a_checkpoint_of_another_zone_keeps_a_ledger_from_starting(zone: Zone, tmp_path: Path) -> None:
    genesis, path = zone.genesis, tmp_path / "checkpoint.json"
    settings: Any = SimpleNamespace(checkpoint=path)
    for of_zone in (genesis.hash, bytes(32)):
        checkpoint = Checkpoint(of_zone, 3, 7, bytes(32), 1, genesis.validator_set)
        path.write_bytes(checkpoint.to_bytes())
        if of_zone == genesis.hash:
            assert read_checkpoint(settings, genesis) == EpochSet(3, checkpoint.validators)
        else:
            with pytest.raises(CheckpointMalformed, match="of zone"):
                read_checkpoint(settings, genesis)
    settings.checkpoint = None
    assert read_checkpoint(settings, genesis) is None


async def test_a_restored_state_goes_on_with_the_same_roots_and_duty(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    height = snapshot_pb2.Snapshot.FromString(snapshot).height
    assert height == source.state.newest.height - 1
    target = empty(zone)
    await restore(target, snapshot, await source.chunks(snapshot))
    assert (target.state.newest.height, target.state.snapshot_height) == (height, height)
    for block in source.blocks[height:]:
        await target.play(block)
    for _ in range(3):
        await source.execute()
        await target.play(source.blocks[-1])
    await source.pass_edge()
    await target.play(source.blocks[-1])
    await source.execute(signers=(1, 2, 3))  # records the epoch's duty
    await target.play(source.blocks[-1])
    assert target.state.newest.state_root == source.state.newest.state_root
    assert target.state.newest.log_root == source.state.newest.log_root
    assert target.state.duty == source.state.duty
    assert target.ledger.halts == []


async def test_a_height_whose_first_blocks_nobody_named_counts_the_duty_of_all_of_them(zone: Zone) -> None:
    source = empty(zone)
    await source.execute()
    await source.pass_edge()
    edge = source.state.newest
    await source.execute(signers=(0, 1, 3), named=edge)
    first = source.state.newest
    await source.execute(signers=(0, 1, 2), named=edge)
    second = source.state.newest
    duty = source.state.duty
    assert source.due == []
    await source.execute(named=second)
    snapshot = await source.write()
    assert snapshot_pb2.Snapshot.FromString(snapshot).height == second.height == first.height + 1
    target = empty(zone)
    await restore(target, snapshot, await source.chunks(snapshot))
    assert target.state.duty == duty != DutyCounts.start(1, 4)
    assert duty.signed == (2, 2, 1, 1)


async def test_one_snapshot_per_epoch_is_due_and_none_in_the_first(zone: Zone) -> None:
    source = empty(zone)
    for _ in range(5):
        await source.execute()
    assert source.due == []
    await source.pass_edge()
    for _ in range(5):
        await source.execute()
    assert [proof.height for proof in source.due] == [7]


async def test_an_epoch_whose_states_are_named_late_has_none(zone: Zone) -> None:
    source = empty(zone)
    await source.execute()
    await source.pass_edge()
    edge = source.state.newest
    for _ in range(HEADERS_MAX):
        await source.execute(named=edge)
    await source.execute()
    assert source.due == []


async def test_every_byte_of_a_snapshot_counts(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    chunks = await source.chunks(snapshot)
    target = empty(zone)
    genesis = target.state.newest
    for changed in flips(snapshot, every=STRIDE):
        target.snapshots = empty(zone).snapshots
        with pytest.raises((DomainError, AssertionError)):
            await restore(target, changed, chunks)
        assert target.state.newest is genesis
        assert target.ledger.halts == []
    target.snapshots = Certified(target.ledger).snapshots
    await restore(target, snapshot, chunks)


async def test_every_byte_of_a_chunk_counts(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    chunks = await source.chunks(snapshot)
    target = empty(zone)
    restorer = target.restorer()
    await restorer.offer(snapshot)
    for chunk in chunks:
        for changed in flips(chunk):
            with pytest.raises(ChunkInvalid):
                await restorer.put(changed)
        await restorer.put(chunk)
    await restorer.restore()


async def test_a_liar_who_hashes_its_own_chunks_is_found_at_the_first(zone: Zone) -> None:
    """The digests are right, the leaves are not those of the root."""
    source = await filled(zone)
    message = snapshot_pb2.Snapshot.FromString(await source.write())
    part = next(part for part in message.subtrees if part.leaves)
    chunk = await source.snapshots.chunk(part.digest)
    assert chunk is not None
    leaves = snapshot_pb2.SnapshotLeaves.FromString(chunk)
    leaves.leaves[0].value += b"\0"
    forged = leaves.SerializeToString(deterministic=True)
    part.digest = sha256(forged).digest()
    target = empty(zone)
    restorer = target.restorer()
    _, missing = await restorer.offer(message.SerializeToString(deterministic=True))
    for digest in missing[: len(message.epoch_chunks)]:
        step = await source.snapshots.chunk(digest)
        assert step is not None
        await restorer.put(step)
    with pytest.raises(SnapshotInvalid, match="not the subtree"):
        await restorer.put(forged)
    with pytest.raises(FailedPrecondition, match="no snapshot"):
        await restorer.put(forged)
    assert target.state.newest.height == 0


async def test_a_liar_who_hashes_the_whole_tree_anew_is_refused_for_the_root(zone: Zone) -> None:
    """Digests and hashes are right, the root is not the one that the validators signed."""
    source = await filled(zone)
    message = snapshot_pb2.Snapshot.FromString(await source.write())
    chunks = {}
    for digest in digests_of(message):
        chunk = await source.snapshots.chunk(digest)
        assert chunk is not None
        chunks[digest] = chunk
    part = next(part for part in message.subtrees if part.leaves)
    leaves = snapshot_pb2.SnapshotLeaves.FromString(chunks[part.digest])
    account = next(leaf for leaf in leaves.leaves if leaf.namespace)
    account.value += b"\x78\x01"
    cutter = Cutter()
    for leaf in leaves.leaves:
        key = state_key(leaf.namespace, leaf.identifier)
        cutter.add(Leaf(key, Namespace(leaf.namespace), leaf.identifier, leaf.value))
    forged = cutter.finish()[0]
    part.hash = subtree_hash_of(leaves.leaves, part.depth)
    part.digest = forged.subtree.digest
    target = empty(zone)
    with pytest.raises(SnapshotInvalid, match="do not lead to the root"):
        await target.restorer().offer(message.SerializeToString(deterministic=True))


@pytest.mark.parametrize("seats", [(0, 1), (0, 1, 1), ()])
async def test_a_snapshot_that_no_quorum_stands_behind_is_refused_before_its_leaves(
    zone: Zone, seats: tuple[int, ...]
) -> None:
    source = await filled(zone)
    message = snapshot_pb2.Snapshot.FromString(await source.write())
    message.finalization = certificate(zone, VOTE_KIND_FINALIZE, message.headers[-1], seats)
    target = empty(zone)
    restorer = target.restorer()
    _, missing = await restorer.offer(message.SerializeToString(deterministic=True))
    step = await source.snapshots.chunk(missing[0])
    assert step is not None
    with pytest.raises(SnapshotInvalid):
        await restorer.put(step)


async def test_another_zones_snapshot_is_refused(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    target = empty(make_zone(seats=5))
    restorer = target.restorer()
    await restorer.offer(snapshot)
    with pytest.raises(SnapshotInvalid):
        await restorer.put((await source.chunks(snapshot))[0])


async def test_only_a_ledger_at_genesis_is_restored(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    target = empty(zone)
    await target.play(source.blocks[0])
    with pytest.raises(FailedPrecondition) as refusal:
        await target.restorer().offer(snapshot)
    assert refusal.value.reason == "STATE_NOT_EMPTY"


async def test_chunks_of_an_earlier_attempt_are_not_asked_for_again(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    chunks = await source.chunks(snapshot)
    target = empty(zone)
    restorer = target.restorer()
    _, all_missing = await restorer.offer(snapshot)
    assert len(all_missing) == len(chunks) > 3
    for chunk in chunks[:3]:
        await restorer.put(chunk)
    with pytest.raises(FailedPrecondition, match="missing"):
        await restorer.restore()
    again = target.restorer()
    _, missing = await again.offer(snapshot)
    assert missing == all_missing[3:]
    for chunk in chunks[3:]:
        await again.put(chunk)
    await again.restore()


async def test_who_was_restored_serves_the_snapshot_and_not_what_lies_before_it(zone: Zone) -> None:
    source = await filled(zone)
    snapshot = await source.write()
    chunks = await source.chunks(snapshot)
    target = empty(zone)
    await restore(target, snapshot, chunks)
    assert await target.snapshots.newest() == snapshot
    assert await target.chunks(snapshot) == chunks
    with pytest.raises(HistoryMissing) as refusal:
        await target.play(source.blocks[3])
    assert refusal.value.metadata["from_height"] == target.state.newest.height + 1
    with pytest.raises(NotFound):
        await get_snapshot_chunk(bytes(32), target.snapshots)


async def test_two_validators_cut_alike_whatever_signatures_they_hold(zone: Zone) -> None:
    source, other = await filled(zone), Certified(memory_ledger(zone))
    for block in source.blocks:
        await other.play(block)
    first = snapshot_pb2.Snapshot.FromString(await source.write())
    second = snapshot_pb2.Snapshot.FromString(await other.write())
    assert first.subtrees == second.subtrees
    assert len(first.subtrees) > 4
