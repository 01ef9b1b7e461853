"""What the use cases need from outside beside the state, and the values that cross."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from icn_crypto.merkle_log import Log
from icn_machine.blocks.ports import BlockCommit, EpochEdge, ExecutedBlock
from icn_machine.duty import DutyCounts
from icn_machine.records import RecordTables
from icn_machine.snapshot_chunks import Leaf


class OutboxRow(NamedTuple):
    """Some of a block's events, as the outbox keeps them."""

    id: bytes
    """Of the last of them."""
    run: bytes
    """A serialized `icn.kit.v1.EventRun`."""


EventRows = Callable[[BlockCommit], Sequence[OutboxRow]]
"""Turns a block's events into rows, in order; `icn_ledger.events` has it."""


@dataclass(frozen=True, slots=True)
class RestoredPiece:
    """What a chunk of leaves writes."""

    leaves: Sequence[Leaf]
    records: RecordTables
    """The same leaves."""
    pages: Mapping[bytes, bytes | None]
    """Of the state tree by prefix, those that no other chunk changes."""


@dataclass(frozen=True, slots=True)
class RestoredChain:
    """What restoring a state writes beside its leaves."""

    block: ExecutedBlock
    """Its ``next_expiry_time_ms`` is filled in by the store."""
    descendant_headers: tuple[bytes, ...]
    log: Log
    duty: DutyCounts
    edges: Sequence[EpochEdge]
    """Of every epoch before the block's."""
    validator_sets: Mapping[bytes, bytes]
    """Canonical bytes of those that the state and the edges name, by hash."""
    pages: Mapping[bytes, bytes | None]
    """Of the state tree, those that several chunks share."""


class StateAt(Protocol):
    """The state after a height, while it is read for a snapshot."""

    def edges(self) -> AsyncIterator[EpochEdge]:
        """Of every epoch that had ended, ascending."""

    def leaves(self) -> AsyncIterator[Sequence[Leaf]]:
        """Every leaf, ascending by state key, some at a time."""

    async def validator_sets(self, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
        """Canonical bytes by hash."""


class Restoring(Protocol):
    """A transaction that puts another state in place of that of genesis."""

    async def add(self, piece: RestoredPiece) -> None:
        """Write a chunk's leaves."""

    async def finish(self, chain: RestoredChain) -> None:
        """Write what makes it a state."""


class SnapshotStore(Protocol):
    """Snapshots that are kept here, and their chunks by SHA-256."""

    def state_after(self, height: int) -> AbstractAsyncContextManager[StateAt]:
        """The state after a height that can still be read."""

    async def put_chunk(self, digest: bytes, chunk: bytes) -> None:
        """Keep a chunk."""

    async def chunk(self, digest: bytes) -> bytes | None:
        """A chunk that is kept."""

    async def held(self, digests: Collection[bytes]) -> set[bytes]:
        """Which of the chunks are kept."""

    async def keep(self, height: int, snapshot: bytes, digests: Sequence[bytes]) -> None:
        """Keep a snapshot whose chunks are all kept; of the others only the newest, and no chunk besides."""

    async def newest(self) -> bytes | None:
        """The newest snapshot that is kept."""

    def restoring(self, height: int) -> AbstractAsyncContextManager[Restoring]:
        """Replaces the state of genesis by that after a height: all of it, or nothing when the context ends
        with an exception."""
