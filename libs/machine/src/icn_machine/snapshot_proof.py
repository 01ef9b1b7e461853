"""Which height a snapshot is of, and what shows that its root and all beside the leaves are the zone's.

Of what a ledger needs to go on, the counts of duty are neither leaves nor in any header: they follow from
the blocks of the epoch so far. So a snapshot is of one of an epoch's first blocks, and brings what they are
counted from.

Source: docs/spec/snapshot.md, "Proof"; docs/adr/0030-snapshots-of-an-epoch-s-beginning.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import DecodeError
from icn.consensus.v1 import block_pb2
from icn.ledger.v1 import snapshot_pb2
from icn_chain.epochs import (
    EpochSet,
    Handover,
    ProofInvalid,
    Verifier,
    check_finalization,
    closes_epoch,
    first_set,
    next_set,
    read_chain,
)
from icn_chain.header import BlockHeader
from icn_chain.validator_set import ValidatorSet
from icn_crypto.merkle_log import InvalidFrontier, Log
from icn_crypto.suites import verify_batch
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.errors import InvalidArgument
from icn_kit.genesis import Genesis

from icn_machine.duty import DutyCounts, parent_signers, seats_after
from icn_machine.snapshot_chunks import CHUNK_BYTES_MAX, SnapshotInvalid, Span, Subtree, spans_of

SNAPSHOT_BYTES_MAX = 3 * 1_048_576
"""Fits a message between validators with room to spare."""
HEADERS_MAX = 64
"""From an epoch's first block to one that names its state or a later one's: two while the network is well."""
DESCENDANTS_MAX = 512
"""As in a page of final blocks."""
_DIGEST_BYTES = 32


class SnapshotProof(NamedTuple):
    """Everything of a snapshot that a ledger notes while it executes."""

    height: int
    headers: tuple[bytes, ...]
    """From the epoch's first block to one that names the height."""
    parent_certificates: tuple[bytes, ...]
    """Of the blocks up to the height."""
    descendant_headers: tuple[bytes, ...]
    finalization: bytes
    log_frontier: bytes


class SnapshotPlan:
    """Notes the first blocks of each epoch until one of their states is named by a final header."""

    def __init__(self) -> None:
        self._first_height = 0
        """Of the epoch that is noted; 0 while none is."""
        self._headers: list[bytes] = []
        self._certificates: list[bytes] = []
        self._frontiers: list[bytes] = []

    def note(
        self,
        header: block_pb2.BlockHeader,
        data: bytes,
        parent_certificate: bytes,
        frontier: bytes,
        *,
        is_first: bool,
        is_edge: bool,
        finalization: bytes,
        descendant_headers: tuple[bytes, ...],
    ) -> SnapshotProof | None:
        """A block was executed; gives what shows the state that its header names, once per epoch.

        Args:
            header, data: of the block, and its canonical bytes.
            parent_certificate: as the block carries it.
            frontier: of the block log with the block.
            is_first: whether it is the first of an epoch that follows another.
            is_edge: whether it closes the epoch.
            finalization, descendant_headers: what shows that it is final.
        """
        if is_first:
            self._forget()
            self._first_height = header.height
        if not self._first_height:
            return None
        self._headers.append(data)
        height = header.executed_height
        if height >= self._first_height and len(descendant_headers) <= DESCENDANTS_MAX:
            count = height - self._first_height + 1
            proof = SnapshotProof(
                height,
                tuple(self._headers),
                tuple(self._certificates[:count]),
                descendant_headers,
                finalization,
                self._frontiers[count - 1],
            )
            self._forget()
            return proof
        self._certificates.append(parent_certificate)
        self._frontiers.append(frontier)
        if is_edge or len(self._headers) >= HEADERS_MAX:
            self._forget()
        return None

    def _forget(self) -> None:
        self._first_height = 0
        self._headers, self._certificates, self._frontiers = [], [], []


@dataclass(frozen=True, slots=True)
class Step:
    """An epoch's handover to the next, as it was proven."""

    edge: BlockHeader
    handover: Handover
    following: ValidatorSet
    """Who decides in the next epoch."""


class Walk:
    """From genesis to an epoch, step by step, by the checkpoint where there is one."""

    def __init__(
        self, genesis: Genesis, verify: Verifier = verify_batch, checkpoint: EpochSet | None = None
    ) -> None:
        """``checkpoint``: seats of an epoch that the operator believes."""
        self._genesis = genesis
        self._checkpoint = checkpoint
        self.verify = verify
        """Gives verdicts on validators' signatures."""
        self.sets: list[EpochSet] = [first_set(genesis.validator_set)]
        """Of each epoch with a block, up to where the walk has come."""
        self.steps: list[Step] = []

    def go(self, chunk: bytes) -> None:
        """Take the steps of a chunk.

        Raises:
            SnapshotInvalid: they do not lead on.
        """
        for handover in read_epochs(chunk):
            try:
                following = next_set(self.sets[-1], handover, self._genesis, verify=self.verify)
                (edge, *_) = read_chain(self._genesis.hash, handover.edge_header, (), "EPOCH_STEP_INVALID")
            except ProofInvalid as error:
                raise SnapshotInvalid(f"epoch step {len(self.steps)}: {error}") from error
            if self.steps and edge.height <= self.steps[-1].edge.height:
                raise SnapshotInvalid(f"epoch step {len(self.steps)} goes back in height")
            believed = self._checkpoint
            if believed is not None and following.epoch == believed.epoch and following != believed:
                raise SnapshotInvalid(f"epoch {following.epoch} has other seats than the checkpoint's")
            self.sets.append(following)
            self.steps.append(Step(edge, handover, following.validators))

    def check_end(self) -> None:
        """Raise SnapshotInvalid where the walk has not come by the checkpoint."""
        believed = self._checkpoint
        if believed is not None and believed not in self.sets:
            raise SnapshotInvalid(f"its epochs do not come by the checkpoint's, {believed.epoch}")


@dataclass(frozen=True, slots=True)
class Proven:
    """What a snapshot's proof shows, if its leaves lead to the root."""

    header: BlockHeader
    """Of the block whose state it is."""
    state_root: bytes
    receipts_root: bytes
    log: Log
    duty: DutyCounts
    descendant_headers: tuple[bytes, ...]
    """From the block's child to the block that the finalization names."""
    finalization: bytes
    validators: ValidatorSet
    """In force."""


def read_snapshot(data: bytes) -> snapshot_pb2.Snapshot:
    """Read what another validator offers.

    Raises:
        SnapshotInvalid: it is no snapshot, or a list in it is too long.
    """
    try:
        snapshot = parse_canonical(snapshot_pb2.Snapshot, data, SNAPSHOT_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise SnapshotInvalid(str(error)) from error
    headers, descendants = len(snapshot.headers), len(snapshot.descendant_headers)
    if not 2 <= headers <= HEADERS_MAX or descendants > DESCENDANTS_MAX:
        raise SnapshotInvalid(f"{headers} headers and {descendants} descendants")
    if any(len(digest) != _DIGEST_BYTES for digest in snapshot.epoch_chunks):
        raise SnapshotInvalid("a digest is not of 32 bytes")
    return snapshot


def subtrees_of(snapshot: snapshot_pb2.Snapshot) -> list[tuple[Subtree, Span]]:
    """The subtrees with their keys.

    Raises:
        SnapshotInvalid: they do not lead to the root that the last of the headers names.
    """
    subtrees = [Subtree(one.depth, one.leaves, one.hash, one.digest) for one in snapshot.subtrees]
    try:
        named = block_pb2.BlockHeader.FromString(snapshot.headers[-1]).state_root
    except DecodeError as error:
        raise SnapshotInvalid("not a header") from error
    return list(zip(subtrees, spans_of(subtrees, named), strict=True))


def read_epochs(chunk: bytes) -> list[Handover]:
    """The steps of a chunk.

    Raises:
        SnapshotInvalid: it is none.
    """
    try:
        message = parse_canonical(snapshot_pb2.SnapshotEpochs, chunk, CHUNK_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise SnapshotInvalid(f"a chunk holds no epoch steps: {error}") from error
    return [
        Handover(
            one.edge_header,
            tuple(one.descendant_headers),
            one.finalization,
            one.next_validator_set,
            one.recovery,
        )
        for one in message.steps
    ]


def check_proof(snapshot: snapshot_pb2.Snapshot, walk: Walk, genesis: Genesis) -> Proven:
    """What the snapshot shows, after a walk to the epoch that it is of.

    Raises:
        SnapshotInvalid: it shows nothing.
    """
    if not walk.steps:
        raise SnapshotInvalid("a snapshot is of an epoch that follows another")
    before, deciding, edge = walk.sets[-2], walk.sets[-1], walk.steps[-1].edge
    headers = (*snapshot.headers[1:], *snapshot.descendant_headers)
    try:
        chain = read_chain(genesis.hash, snapshot.headers[0], headers, "HEADER_CHAIN_INVALID")
        check_finalization(snapshot.finalization, chain[-1], deciding, genesis.hash, verify=walk.verify)
    except ProofInvalid as error:
        raise SnapshotInvalid(str(error)) from error
    first, naming = chain[0], chain[len(snapshot.headers) - 1]
    if first.parent != edge.hash or first.height != edge.height + 1:
        raise SnapshotInvalid(f"header {first.height} does not follow the edge block {edge.height}")
    if any(
        (one.epoch, one.validator_set_hash) != (deciding.epoch, deciding.validators.hash) for one in chain
    ):
        raise SnapshotInvalid(f"a header is not of epoch {deciding.epoch} and its validators")
    count = snapshot.height - first.height + 1
    if naming.executed_height != snapshot.height or not 1 <= count < len(snapshot.headers):
        raise SnapshotInvalid(
            f"header {naming.height} names the state after {naming.executed_height}, not {snapshot.height}"
        )
    blocks = chain[:count]
    if any(closes_epoch(one, genesis) for one in blocks):
        raise SnapshotInvalid(f"height {snapshot.height} does not lie before the edge of its epoch")
    return Proven(
        header=blocks[-1],
        state_root=naming.state_root,
        receipts_root=naming.receipts_root,
        log=_read_log(snapshot, naming),
        duty=_count_duty(snapshot.parent_certificates, blocks, before.validators, deciding),
        descendant_headers=tuple(one.data for one in chain[count:]),
        finalization=snapshot.finalization,
        validators=deciding.validators,
    )


def _read_log(snapshot: snapshot_pb2.Snapshot, naming: BlockHeader) -> Log:
    try:
        log = Log.from_bytes(snapshot.log_frontier)
    except InvalidFrontier as error:
        raise SnapshotInvalid(str(error)) from error
    if log.size != snapshot.height + 1 or log.root() != naming.log_root:
        raise SnapshotInvalid(f"the frontier is not that of the block log up to {snapshot.height}")
    return log


def _count_duty(
    certificates: Sequence[bytes], blocks: Sequence[BlockHeader], before: ValidatorSet, deciding: EpochSet
) -> DutyCounts:
    """The counts of the epoch after its first blocks."""
    if len(certificates) != len(blocks):
        raise SnapshotInvalid(f"{len(certificates)} certificates of parents for {len(blocks)} blocks")
    in_force = deciding.validators
    counts, signing = DutyCounts.start(deciding.epoch, in_force.seats), before
    for header, data in zip(blocks, certificates, strict=True):
        try:
            signers = parent_signers(data, header.parent_certificate_digest, signing.seats)
        except InvalidArgument as error:
            raise SnapshotInvalid(error.message) from error
        if signing is before:
            signers = seats_after(signers, before.organizations, in_force.organizations)
        counts, signing = counts.with_block(header.view, signers), in_force
    return counts
