"""OfferSnapshot, PutSnapshotChunk, RestoreSnapshot: another validator's state in place of that of genesis.

Nothing is believed: each chunk is judged on arrival, and the whole once more while it is written.

Source: docs/spec/snapshot.md, "Restoring".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from icn.ledger.v1 import snapshot_pb2
from icn_chain.epochs import EpochSet, Verifier
from icn_crypto import tags
from icn_crypto.hashing import NO_GENESIS, domain_hash
from icn_crypto.state_tree import StateTree
from icn_crypto.suites import verify_batch
from icn_kit.errors import FailedPrecondition
from icn_kit.genesis import Genesis
from icn_machine.blocks.execute_block import Executor, check_empty
from icn_machine.blocks.ports import EpochEdge, ExecutedBlock
from icn_machine.leaves import decode_leaf
from icn_machine.records import VALIDATORS_IDENTIFIER, RecordTables, Validators
from icn_machine.snapshot_chunks import (
    ChunkInvalid,
    Leaf,
    SnapshotInvalid,
    Span,
    Subtree,
    read_leaves,
)
from icn_machine.snapshot_proof import Proven, Step, Walk, check_proof, read_snapshot, subtrees_of

from icn_ledger.usecases.ports import RestoredChain, RestoredPiece, SnapshotStore
from icn_ledger.usecases.write_snapshot import digests_of

_BITS_PER_NIBBLE = 4


@dataclass(slots=True)
class _Offer:
    """What is being restored."""

    data: bytes
    snapshot: snapshot_pb2.Snapshot
    subtrees: list[tuple[Subtree, Span]]
    missing: dict[bytes, None]
    """Digests of the chunks that are not here, in the order in which they are wanted."""
    walk: Walk
    chunks_walked: int = 0
    proven: Proven | None = None
    """Set once the epoch steps are here and lead to who signed."""
    by_digest: dict[bytes, tuple[Subtree, Span]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_digest = {subtree.digest: (subtree, span) for subtree, span in self.subtrees}


class SnapshotRestorer:
    """Takes another validator's snapshot piece by piece, one at a time."""

    def __init__(
        self,
        genesis: Genesis,
        store: SnapshotStore,
        executor: Executor,
        verify: Verifier = verify_batch,
        checkpoint: EpochSet | None = None,
    ) -> None:
        """``verify`` gives verdicts on validators' signatures; ``checkpoint``: seats that are believed."""
        self._genesis = genesis
        self._checkpoint = checkpoint
        self._verify = verify
        self._store = store
        self._executor = executor
        self._offer: _Offer | None = None
        self._lock = asyncio.Lock()

    async def offer(self, data: bytes) -> tuple[int, list[bytes]]:
        """Begin with a snapshot; gives its height and the digests of the chunks that are missing, in order.

        Chunks of an earlier attempt are not asked for again.

        Raises:
            FailedPrecondition: STATE_NOT_EMPTY.
            SnapshotInvalid: see there.
        """
        async with self._lock:
            await self._executor.state.settle()
            check_empty(self._executor.state)
            self._offer = None
            snapshot = read_snapshot(data)
            subtrees = await asyncio.to_thread(subtrees_of, snapshot)
            digests = digests_of(snapshot)
            held = await self._store.held(digests)
            missing = {digest: None for digest in digests if digest not in held}
            offer = _Offer(
                data, snapshot, subtrees, missing, Walk(self._genesis, self._verify, self._checkpoint)
            )
            await self._prove(offer)
            self._offer = offer
            return snapshot.height, list(missing)

    async def put(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises:
            FailedPrecondition: SNAPSHOT_NOT_OFFERED.
            ChunkInvalid: it is not the one that is missing next.
            SnapshotInvalid: it is, so the snapshot is none.
        """
        async with self._lock:
            offer = self._current()
            digest = sha256(chunk).digest()
            if digest != next(iter(offer.missing), None):
                raise ChunkInvalid(f"chunk {digest.hex()} is not the one that is missing next")
            try:
                if offer.proven is not None:
                    await asyncio.to_thread(read_leaves, chunk, *offer.by_digest[digest])
                else:
                    await self._walk(offer, chunk)
                await self._store.put_chunk(digest, chunk)
                del offer.missing[digest]
                await self._prove(offer)
            except SnapshotInvalid:
                self._offer = None
                raise

    async def restore(self) -> None:
        """Make the snapshot the state, as a whole or not at all.

        Raises:
            FailedPrecondition: SNAPSHOT_NOT_OFFERED, SNAPSHOT_INCOMPLETE; STATE_NOT_EMPTY.
            SnapshotInvalid: its chunks are no state; nothing was changed.
        """
        # As with a block, a caller's deadline must not cut it in two.
        await asyncio.shield(asyncio.ensure_future(self._restore()))

    async def _restore(self) -> None:
        async with self._lock:
            offer = self._current()
            if offer.missing or offer.proven is None:
                raise FailedPrecondition("SNAPSHOT_INCOMPLETE", f"{len(offer.missing)} chunks are missing")
            await self._executor.restore(lambda: self._replace_state(offer, offer.proven))
            await self._store.keep(offer.snapshot.height, offer.data, digests_of(offer.snapshot))
            self._offer = None

    def _current(self) -> _Offer:
        if self._offer is None:
            raise FailedPrecondition("SNAPSHOT_NOT_OFFERED", "no snapshot is being restored")
        return self._offer

    async def _walk(self, offer: _Offer, chunk: bytes) -> None:
        await asyncio.to_thread(offer.walk.go, chunk)
        offer.chunks_walked += 1

    async def _prove(self, offer: _Offer) -> None:
        """Walk as far as epoch steps are here; where they lead to the snapshot's epoch, judge its proof."""
        if offer.proven is not None:
            return
        for digest in offer.snapshot.epoch_chunks[offer.chunks_walked :]:
            if digest in offer.missing:
                return
            chunk = await self._store.chunk(digest)
            assert chunk is not None, "it is held"
            await self._walk(offer, chunk)
        offer.walk.check_end()
        offer.proven = await asyncio.to_thread(check_proof, offer.snapshot, offer.walk, self._genesis)

    async def _replace_state(self, offer: _Offer, proven: Proven | None) -> None:
        assert proven is not None, "it was proven"
        rebuilding = Rebuilding(max(subtree.depth for subtree, _ in offer.subtrees))
        async with self._store.restoring(proven.header.height) as restoring:
            for subtree, span in offer.subtrees:
                if subtree.leaves:
                    chunk = await self._store.chunk(subtree.digest)
                    assert chunk is not None, "it is held"
                    piece = await asyncio.to_thread(rebuilding.add, chunk, subtree, span)
                    await restoring.add(piece)
            await restoring.finish(
                rebuilding.finish(proven, offer.walk.steps, offer.snapshot.validator_sets, self._genesis)
            )


class Rebuilding:
    """Records, pages and the chain's position from chunks, which come in the order of their keys."""

    def __init__(self, depth_max: int) -> None:
        """``depth_max``: of the subtrees; pages of fewer bits are shared by chunks."""
        self._depth_max = depth_max
        self._shared: dict[bytes, bytes | None] = {}
        self._tree = StateTree(self._shared)
        self._root = b""
        self._validators: Validators | None = None

    def add(self, chunk: bytes, subtree: Subtree, span: Span) -> RestoredPiece:
        """Take the next chunk.

        Raises:
            ChunkInvalid, SnapshotInvalid: as `read_leaves`.
        """
        leaves = read_leaves(chunk, subtree, span)
        update = self._tree.update({leaf.key: leaf.value for leaf in leaves})
        self._root = update.root
        own: dict[bytes, bytes | None] = {}
        for prefix, page in update.pages.items():
            is_shared = _BITS_PER_NIBBLE * len(prefix) < self._depth_max
            (self._shared if is_shared else own)[prefix] = page
        return RestoredPiece(leaves, self._decode(leaves), own)

    def _decode(self, leaves: Sequence[Leaf]) -> RecordTables:
        records = RecordTables()
        for leaf in leaves:
            records.put(leaf.namespace, leaf.identifier, decode_leaf(leaf.namespace, leaf.value))
        self._validators = records.validators.get(VALIDATORS_IDENTIFIER) or self._validators
        return records

    def finish(
        self, proven: Proven, steps: Sequence[Step], validator_sets: Sequence[bytes], genesis: Genesis
    ) -> RestoredChain:
        """Everything beside the leaves.

        Raises:
            SnapshotInvalid: the root or the sets are not those of the state.
        """
        if self._root != proven.state_root:
            raise SnapshotInvalid(f"the leaves lead to {self._root.hex()}, not to {proven.state_root.hex()}")
        validators = self._validators
        named = {domain_hash(tags.VALIDATOR_SET, NO_GENESIS, data): data for data in validator_sets}
        if validators is None or validators.set_hash != proven.validators.hash:
            raise SnapshotInvalid("the state is of other validators than its block")
        if len(named) != len(validator_sets) or list(named) != sorted(validators.set_hashes):
            raise SnapshotInvalid("the validator sets are not those that the state names")
        of_edges = {step.following.hash: step.following.data for step in steps}
        header = proven.header
        return RestoredChain(
            block=ExecutedBlock(
                height=header.height,
                hash=header.hash,
                header=header.data,
                time_ms=header.time_ms,
                epoch=header.epoch,
                state_root=proven.state_root,
                receipts_root=proven.receipts_root,
                log_root=proven.log.root(),
                has_changed_state=True,
                next_expiry_time_ms=0,
                transaction_count=0,
                finalization=proven.finalization,
                next_validator_set_hash=validators.next_hash,
            ),
            descendant_headers=proven.descendant_headers,
            log=proven.log,
            duty=proven.duty,
            edges=[
                EpochEdge(
                    step.edge.epoch,
                    step.edge.height,
                    step.edge.executed_height,
                    step.handover.edge_header,
                    step.handover.descendant_headers,
                    step.handover.finalization,
                    step.following.data if step.handover.recovery else step.handover.next_validator_set,
                    step.handover.recovery,
                )
                for step in steps
            ],
            validator_sets={genesis.validator_set_hash: genesis.validator_set, **of_edges, **named},
            pages=dict(self._shared),
        )
