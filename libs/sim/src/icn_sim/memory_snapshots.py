"""The ledger's snapshots in dictionaries: a small fake of their port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from icn_crypto.state_tree import state_key
from icn_ledger.usecases.ports import RestoredChain, RestoredPiece
from icn_machine.blocks.ports import EpochEdge
from icn_machine.leaves import encode_leaf
from icn_machine.records import RecordTables
from icn_machine.snapshot_chunks import Leaf

from icn_sim.memory_state import MemoryState


class MemorySnapshots:
    """Implements `icn_ledger.usecases.ports.SnapshotStore`; what is not said here is said there."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self.chunks: dict[bytes, bytes] = {}
        self.kept: list[tuple[int, bytes, Sequence[bytes]]] = []
        """Height, snapshot and digests, the newest last."""

    @asynccontextmanager
    async def state_after(self, height: int) -> AsyncIterator[_StateAfter]:
        """See `SnapshotStore`."""
        yield _StateAfter(self._state, height)

    async def put_chunk(self, digest: bytes, chunk: bytes) -> None:
        """See `SnapshotStore`."""
        self.chunks[digest] = chunk

    async def chunk(self, digest: bytes) -> bytes | None:
        """See `SnapshotStore`."""
        return self.chunks.get(digest)

    async def held(self, digests: Collection[bytes]) -> set[bytes]:
        """See `SnapshotStore`."""
        return self.chunks.keys() & set(digests)

    async def keep(self, height: int, snapshot: bytes, digests: Sequence[bytes]) -> None:
        """See `SnapshotStore`."""
        self.kept = [*self.kept, (height, snapshot, digests)][-2:]
        wanted = {digest for _, _, digests in self.kept for digest in digests}
        self.chunks = {digest: chunk for digest, chunk in self.chunks.items() if digest in wanted}

    async def newest(self) -> bytes | None:
        """See `SnapshotStore`."""
        return self.kept[-1][1] if self.kept else None

    @asynccontextmanager
    async def restoring(self, _height: int) -> AsyncIterator[_Restoring]:
        """See `SnapshotStore`."""
        yield _Restoring(self._state)


class _StateAfter:
    """Implements `StateAt`."""

    def __init__(self, state: MemoryState, height: int) -> None:
        self._state = state
        self._height = height

    async def edges(self) -> AsyncIterator[EpochEdge]:
        """See `StateAt`."""
        for edge in self._state.edges:
            if edge.height <= self._height:
                yield edge

    async def leaves(self) -> AsyncIterator[Sequence[Leaf]]:
        """See `StateAt`."""
        yield sorted(
            Leaf(state_key(namespace, identifier), namespace, identifier, encode_leaf(namespace, record))
            for namespace, identifier, record in self._state.records_at(self._height)
            if record is not None
        )

    async def validator_sets(self, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        """See `StateAt`."""
        return await self._state.load_validator_sets(hashes)


class _Restoring:
    """Implements `Restoring`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._records = RecordTables()
        self._pages: dict[bytes, bytes | None] = {}

    async def add(self, piece: RestoredPiece) -> None:
        """See `Restoring`."""
        self._pages.update(piece.pages)
        for namespace, identifier, record in piece.records:
            self._records.put(namespace, identifier, record)

    async def finish(self, chain: RestoredChain) -> None:
        """See `Restoring`."""
        self._state.restore(self._records, {**self._pages, **chain.pages}, chain)
