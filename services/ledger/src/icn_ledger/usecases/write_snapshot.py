"""Writing a snapshot in the background: GetSnapshot and GetSnapshotChunk answer with what was written.

Source: docs/spec/snapshot.md, "Writing".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from time import perf_counter

import structlog
from icn.ledger.v1 import service_pb2, snapshot_pb2
from icn_kit.errors import InvalidArgument, NotFound, Unavailable
from icn_machine.blocks.ports import EpochEdge
from icn_machine.leaves import decode_leaf
from icn_machine.limits import DIGEST_BYTES
from icn_machine.records import Namespace, Validators
from icn_machine.snapshot_chunks import CHUNK_BYTES_MAX, Cut, Cutter, Leaf, Subtree
from icn_machine.snapshot_proof import SNAPSHOT_BYTES_MAX, SnapshotProof, subtrees_of

from icn_ledger.metrics import SNAPSHOT_HEIGHT
from icn_ledger.usecases.ports import SnapshotStore, StateAt

PAUSE_FACTOR = 3
"""A quarter of a core at most, so that blocks go on."""

_log = structlog.get_logger(__name__)


class TooLarge(Exception):
    """The state does not fit a snapshot; the message says what is too large."""


class SnapshotWriter:
    """Writes a snapshot when one is due; `run` keeps it going."""

    def __init__(
        self,
        store: SnapshotStore,
        *,
        chunk_bytes_max: int = CHUNK_BYTES_MAX,
        pause_factor: float = PAUSE_FACTOR,
    ) -> None:
        self._store = store
        self._chunk_bytes_max = chunk_bytes_max
        self._pause_factor = pause_factor
        self._due: SnapshotProof | None = None
        self._wake = asyncio.Event()

    def note_due(self, proof: SnapshotProof) -> None:
        """Say that the state after a height can be shown; an older one that waits is forgotten."""
        self._due = proof
        self._wake.set()

    async def run(self) -> None:
        """Write for ever, whatever is due."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            proof, self._due = self._due, None
            assert proof is not None, "what is due wakes"
            started = perf_counter()
            try:
                await self.write(proof)
            except (Unavailable, TooLarge) as error:
                _log.warning("no snapshot", height=proof.height, problem=str(error))
                continue
            _log.info("snapshot written", height=proof.height, seconds=round(perf_counter() - started, 3))

    async def write(self, proof: SnapshotProof) -> None:
        """Write the state after the height.

        Raises:
            TooLarge: see there.
            Unavailable: the database went away.
            SnapshotInvalid: the leaves do not lead to the root that the zone agreed on: our state is wrong.
        """
        async with self._store.state_after(proof.height) as state:
            epoch_chunks = await self._write_epochs(state)
            subtrees, validators = await self._write_leaves(state)
            sets = await state.validator_sets(validators.set_hashes)
        snapshot = snapshot_pb2.Snapshot(
            height=proof.height,
            headers=proof.headers,
            parent_certificates=proof.parent_certificates,
            descendant_headers=proof.descendant_headers,
            finalization=proof.finalization,
            log_frontier=proof.log_frontier,
            validator_sets=[data for _, data in sorted(sets.items())],
            epoch_chunks=epoch_chunks,
            subtrees=[snapshot_pb2.SnapshotSubtree(**subtree._asdict()) for subtree in subtrees],
        )
        subtrees_of(snapshot)
        data = snapshot.SerializeToString(deterministic=True)
        if len(data) > SNAPSHOT_BYTES_MAX:
            raise TooLarge(f"it takes {len(data)} bytes without its chunks, at most {SNAPSHOT_BYTES_MAX}")
        await self._store.keep(proof.height, data, digests_of(snapshot))
        SNAPSHOT_HEIGHT.set(proof.height)

    async def _write_epochs(self, state: StateAt) -> list[bytes]:
        digests = []
        steps = snapshot_pb2.SnapshotEpochs()
        size_bytes = 0
        async for edge in state.edges():
            step = epoch_step(edge)
            size_bytes += step.ByteSize() + 8
            if steps.steps and size_bytes > self._chunk_bytes_max:
                digests.append(await self._put(steps.SerializeToString(deterministic=True)))
                steps = snapshot_pb2.SnapshotEpochs()
                size_bytes = step.ByteSize() + 8
            steps.steps.append(step)
        digests.append(await self._put(steps.SerializeToString(deterministic=True)))
        return digests

    async def _write_leaves(self, state: StateAt) -> tuple[list[Subtree], Validators]:
        subtrees: list[Subtree] = []
        validators: Validators | None = None
        cutter = Cutter(self._chunk_bytes_max)

        def cut(leaves: Sequence[Leaf]) -> list[Cut]:
            return [done for leaf in leaves for done in cutter.add(leaf)]

        async for leaves in state.leaves():
            started = perf_counter()
            for leaf in leaves:
                if leaf.namespace is Namespace.VALIDATORS:
                    record = decode_leaf(leaf.namespace, leaf.value)
                    assert isinstance(record, Validators), "the namespace says so"
                    validators = record
            for done in await asyncio.to_thread(cut, leaves):
                await self._keep(done, subtrees)
            await asyncio.sleep(self._pause_factor * (perf_counter() - started))
        for done in cutter.finish():
            await self._keep(done, subtrees)
        assert validators is not None, "the leaf is there from genesis on"
        return subtrees, validators

    async def _keep(self, cut: Cut, subtrees: list[Subtree]) -> None:
        subtrees.append(cut.subtree)
        if cut.subtree.leaves:
            await self._store.put_chunk(cut.subtree.digest, cut.chunk)

    async def _put(self, chunk: bytes) -> bytes:
        if len(chunk) > CHUNK_BYTES_MAX:
            raise TooLarge(f"an epoch's step takes {len(chunk)} bytes, at most {CHUNK_BYTES_MAX}")
        digest = sha256(chunk).digest()
        await self._store.put_chunk(digest, chunk)
        return digest


async def get_snapshot_chunk(digest: bytes, store: SnapshotStore) -> bytes:
    """GetSnapshotChunk.

    Raises:
        InvalidArgument: MALFORMED_HASH.
        NotFound: SNAPSHOT_CHUNK_UNKNOWN.
    """
    if len(digest) != DIGEST_BYTES:
        raise InvalidArgument("MALFORMED_HASH", f"digest must have {DIGEST_BYTES} bytes")
    chunk = await store.chunk(digest)
    if chunk is None:
        raise NotFound("SNAPSHOT_CHUNK_UNKNOWN", f"no chunk {digest.hex()} is kept here")
    return chunk


def epoch_step(edge: EpochEdge) -> service_pb2.EpochStep:
    """An edge as proofs and snapshots carry it."""
    return service_pb2.EpochStep(
        edge_header=edge.header,
        descendant_headers=edge.descendant_headers,
        finalization=edge.finalization,
        next_validator_set=b"" if edge.recovery else edge.next_validator_set,
        recovery=edge.recovery,
    )


def digests_of(snapshot: snapshot_pb2.Snapshot) -> list[bytes]:
    """Of all chunks, in the order in which they are put: epoch steps first, which show whom to believe."""
    leaves = [subtree.digest for subtree in snapshot.subtrees if subtree.leaves]
    return list(dict.fromkeys([*snapshot.epoch_chunks, *leaves]))
