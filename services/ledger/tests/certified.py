"""Blocks that validators have signed: a chain that a snapshot of it can be shown to be the zone's."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from icn.consensus.v1.block_pb2 import (
    VOTE_KIND_FINALIZE,
    VOTE_KIND_NOTARIZE,
)
from icn.ledger.v1 import snapshot_pb2
from icn_chain.epochs import EpochSet
from icn_ledger.store.snapshots import PostgresSnapshots
from icn_ledger.store.state import StateStore
from icn_ledger.usecases.restore_snapshot import SnapshotRestorer
from icn_ledger.usecases.write_snapshot import SnapshotWriter, digests_of
from icn_machine.blocks.execute_block import Execution
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.snapshot_proof import SnapshotProof
from icn_sim.memory_snapshots import MemorySnapshots
from icn_sim.memory_state import MemoryState

from libs.machine.tests.certificates import QUORUM, certificate
from libs.machine.tests.zone import EPOCH_MS, Ledger

SMALL_CHUNKS = 2_000
"""Bytes: a few leaves each, so that a small state has many."""


class Certified:
    """A ledger that executes signed blocks, and notes the snapshots that are due."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.zone = ledger, ledger.zone
        self.due: list[SnapshotProof] = []
        ledger.executor.on_snapshot_due = self.due.append
        self.blocks: list[FinalBlock] = []
        self.snapshots: MemorySnapshots | PostgresSnapshots
        if isinstance(ledger.state, StateStore):
            self.snapshots = PostgresSnapshots(ledger.state._database)
        else:
            self.snapshots = MemorySnapshots(ledger.state)

    @property
    def state(self) -> StateStore | MemoryState:
        return self.ledger.state

    def block(self, *transactions: bytes, signers: Sequence[int] = QUORUM, **changes: Any) -> FinalBlock:
        """The next block."""
        newest = self.state.newest
        parent = certificate(self.zone, VOTE_KIND_NOTARIZE, newest.header, signers) if newest.height else b""
        digest = sha256(parent).digest() if parent else bytes(32)
        header = self.ledger.header(transactions, parent_certificate_digest=digest, **changes)
        finalization = certificate(self.zone, VOTE_KIND_FINALIZE, header)
        return FinalBlock(header, transactions, finalization, (), parent)

    async def execute(self, *transactions: bytes, **changes: Any) -> Execution:
        return await self.play(self.block(*transactions, **changes))

    async def play(self, block: FinalBlock) -> Execution:
        self.blocks.append(block)
        return await self.ledger.executor.execute(block)

    async def pass_edge(self) -> None:
        """An edge block, after which another epoch has begun."""
        await self.execute(after_ms=EPOCH_MS)

    async def write(self, chunk_bytes_max: int = SMALL_CHUNKS) -> bytes:
        """Write the snapshot that is due."""
        writer = SnapshotWriter(self.snapshots, chunk_bytes_max=chunk_bytes_max, pause_factor=0)
        await writer.write(self.due.pop())
        snapshot = await self.snapshots.newest()
        assert snapshot is not None
        return snapshot

    async def chunks(self, snapshot: bytes) -> list[bytes]:
        """The chunks of a snapshot, in the order in which they are put."""
        found = [
            await self.snapshots.chunk(digest)
            for digest in digests_of(snapshot_pb2.Snapshot.FromString(snapshot))
        ]
        assert None not in found
        return [chunk for chunk in found if chunk is not None]

    def restorer(self, checkpoint: EpochSet | None = None) -> SnapshotRestorer:
        return SnapshotRestorer(
            self.zone.genesis, self.snapshots, self.ledger.executor, checkpoint=checkpoint
        )


async def restore(
    empty: Certified, snapshot: bytes, chunks: Sequence[bytes], checkpoint: EpochSet | None = None
) -> None:
    """Offer a snapshot, put its chunks and make it the state; raises what refuses it."""
    restorer = empty.restorer(checkpoint)
    _, missing = await restorer.offer(snapshot)
    assert len(missing) == len(chunks)
    for chunk in chunks:
        await restorer.put(chunk)
    await restorer.restore()
