"""What the use cases need from outside, and the values that cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from icn_consensus.domain.actions import Branch, MessageKind
from icn_consensus.domain.block import ExecutedState
from icn_consensus.usecases.ends import Sink
from icn_consensus.usecases.pool import NO_PLACE, Place


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A final block as it is kept; all bytes canonical and as received."""

    height: int
    hash: bytes
    epoch: int
    view: int
    block: bytes
    finalization: bytes
    """Certificate of it or of a descendant."""
    descendant_headers: tuple[bytes, ...]
    """Headers from its child to the block that the certificate names."""


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A final block on its way to execution."""

    height: int
    header: bytes
    transactions: Sequence[bytes]
    finalization: bytes
    descendant_headers: tuple[bytes, ...]
    parent_certificate: bytes
    """As the block carries it; empty where the parent is genesis."""
    recovery: bytes = b""
    """RecoveryCertificate that it carries, mostly empty."""
    traces: tuple[tuple[int, str], ...] = ()
    """Position and traceparent of transactions whose call was sampled; no part of the block."""


class TransactionCheck(NamedTuple):
    """Whether a transaction may enter the pool (application.proto, TransactionCheck)."""

    transaction_id: bytes
    """Empty when the bytes are malformed."""
    reason: str
    """Empty when it may enter."""
    message: str
    expire_time_ms: int
    executed_height: int
    """0 unless this id is executed."""
    place: Place = NO_PLACE


class Choice(NamedTuple):
    """What a proposal holds."""

    chosen: tuple[int, ...]
    """Indexes into the candidates in block order."""
    refused: tuple[int, ...]
    """Indexes of candidates that, on the newest state, have no place in a pool any more."""


class Execution(NamedTuple):
    """What execution left."""

    state: ExecutedState
    outcomes: Sequence[tuple[bytes, bytes]]
    """Id and receipt per transaction, in order."""
    sequences: Sequence[tuple[bytes, int]] = ()
    """Lane and sequence per transaction, in order, where the application has lanes."""


class AncestorUnknown(Exception):
    """The application did not validate a block of the branch; validate it first."""


class StateBehind(Exception):
    """The application has not executed the branch's height yet."""


class ApplicationRefused(Exception):
    """The application will not execute a final block: one of us is wrong, and the node must stop.

    Args:
        reason: stable word of the application for it; empty where it gave none.
        message: for the log.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Application(Protocol):
    """The state machine of this validator (ApplicationService). Calls wait through restarts where said."""

    async def get_info(self) -> tuple[bytes, int, ExecutedState]:
        """Genesis hash, newest protocol version, newest state. Waits until the application answers."""

    async def check_recovery(self, certificate: bytes) -> None:
        """Pass when blocks of the epoch that a certificate begins will be valid. Raises DomainError."""

    async def check(self, transactions: Sequence[bytes]) -> list[TransactionCheck]:
        """Verdicts on at most 1,000 transactions, in order. Raises DomainError when it cannot tell."""

    async def prepare(
        self,
        branch: Branch,
        epoch: int,
        time_ms: int,
        candidates: Sequence[bytes],
        *,
        size_bytes_max: int,
        transactions_max: int,
    ) -> Choice:
        """Choose for a proposal. Raises AncestorUnknown, StateBehind, DomainError."""

    async def validate(
        self,
        block_hash: bytes,
        branch: Branch,
        epoch: int,
        time_ms: int,
        transactions: Sequence[bytes],
        *,
        recovery: bytes,
    ) -> str:
        """Why a block is not valid, empty when it is. Raises AncestorUnknown, StateBehind, DomainError."""

    async def validator_set(self, set_hash: bytes) -> bytes:
        """A set that a state has named, by its hash. Waits until the application answers."""

    async def execute(self, block: FinalBlock) -> Execution:
        """Execute the next final block. Waits until it is done; raises ApplicationRefused."""


class BlockStore(Protocol):
    """Final blocks on disk."""

    async def add(self, blocks: Sequence[StoredBlock], sequence: int) -> None:
        """Store the next blocks and the last durable record's number; repeating it does no harm."""

    async def newest(self) -> StoredBlock | None:
        """The highest; None before the first."""

    async def recent_hashes(self, count: int) -> list[bytes]:
        """Of the highest blocks, ascending, at most so many."""

    async def by_hash(self, block_hash: bytes) -> StoredBlock | None:
        """The final block of this hash."""

    async def page(self, from_height: int) -> list[StoredBlock]:
        """Blocks from this height on, ascending, as many as one answer to a peer holds."""


class StoredChain(Protocol):
    """Final blocks on disk, as others read them."""

    async def page(self, from_height: int) -> list[StoredBlock]:
        """Blocks from this height on, ascending, as many as one answer holds."""

    async def at(self, height: int) -> StoredBlock | None:
        """The final block of this height."""

    async def lowest_height(self, from_height: int) -> int:
        """Of the blocks that are here from this height on; 0 where none is."""


class Evidence(NamedTuple):
    """That a seat broke the rules in an epoch."""

    epoch: int
    seat: int
    view: int
    proof: bytes
    """As `icn_chain.evidence` encodes it."""


class EvidenceStore(Protocol):
    """The first proof of each seat and epoch, on disk."""

    async def add(self, evidence: Evidence) -> None:
        """Store it, unless there is one of its seat and epoch. Raises Unavailable."""

    async def page(self, before: tuple[int, int], count: int) -> Sequence[Evidence]:
        """Those of (epoch, seat) below a place, newest epoch first. Raises Unavailable."""


class RecordLog(Protocol):
    """The write-ahead log (docs/spec/wal.md). Its methods block."""

    @property
    def size_bytes(self) -> int:
        """On disk."""

    @property
    def sequence(self) -> int:
        """Number of the record appended last."""

    @property
    def synced_sequence(self) -> int:
        """Number of the last durable record."""

    def append(self, payload: bytes, epoch: int, view: int) -> None:
        """Write a record; durable after the next `sync`."""

    def sync(self) -> None:
        """Make durable what was appended."""

    def prune(self, epoch: int, view: int) -> None:
        """Forget what is only about lower (epoch, view)."""


class KeyLease(Protocol):
    """The right to vote with this validator's key, which one process has at a time (docs/spec/wal.md)."""

    @property
    def is_fresh(self) -> bool:
        """Whether nobody else can have taken the key yet. Asks nobody."""

    async def hold(self) -> None:
        """Return once this process is known to hold the key; raises where another has taken it."""


class Peers(Protocol):
    """The other validators, by consensus key. Nothing here waits: what cannot be sent is dropped, and the
    core says it again."""

    def broadcast(self, kind: MessageKind, data: bytes, except_peers: tuple[bytes, ...]) -> None:
        """Send to everybody but those."""

    def send(self, peer: bytes, kind: MessageKind, data: bytes) -> None:
        """Send to one peer."""

    def note_fault(self, peer: bytes) -> None:
        """The peer sent a message that no honest validator sends; too many of them bar it for a while."""

    def send_transactions(self, peer: bytes, transactions: Sequence[bytes]) -> bool:
        """Send up to 1,000 transactions; False when the peer is not connected."""

    def broadcast_traces(self, traces: Sequence[tuple[bytes, str]]) -> None:
        """Tell everybody the traces of transactions, by digest, at most 1,000."""

    def send_fetch_request(self, peer: bytes, request: FetchRequest) -> bool:
        """Ask a peer; False when it is not connected."""

    def send_fetch_response(self, peer: bytes, request: int, found: Found) -> None:
        """Answer a peer."""


class PeerStreams(NamedTuple):
    """The streams with one peer, since the first of them opened."""

    is_dialled: bool
    """Whether what is for it goes out on the stream that this validator dialled, not on the peer's."""
    final_height: int
    """The highest it told of."""
    sent_bytes: int
    received_bytes: int
    dropped_frames: int
    """For want of room: it was too slow."""


class RestoredBlock(NamedTuple):
    """The block whose state an application was restored to; the application has judged it final."""

    header: bytes
    finalization: bytes
    """Of a descendant."""
    descendant_headers: tuple[bytes, ...]
    """From its child to the block that the finalization names."""


class Snapshots(Protocol):
    """Snapshots of this validator's application (ApplicationService), which alone looks inside. Every call
    raises DomainError when it is refused or the application is away."""

    async def snapshot(self) -> bytes:
        """The newest that is kept, without its chunks; empty where none is."""

    async def snapshot_chunk(self, digest: bytes) -> bytes:
        """A chunk by its SHA-256; empty where it is not kept."""

    async def offer_snapshot(self, snapshot: bytes) -> tuple[int, tuple[bytes, ...]]:
        """Begin to restore another's: its height, and the chunks that are missing, in order."""

    async def put_snapshot_chunk(self, chunk: bytes) -> None:
        """Hand over the next chunk that is missing."""

    async def restore_snapshot(self) -> None:
        """Make it the state."""

    async def restored(self) -> RestoredBlock | None:
        """The block whose state was restored, while none was executed after it."""


class FetchRequest(NamedTuple):
    """What one validator asks of another (peer.proto); exactly one is set."""

    request: int
    block_hash: bytes | None = None
    final_from_height: int | None = None
    certificates_from_view: int | None = None
    snapshot: bool = False
    snapshot_chunk: bytes | None = None


class Found(NamedTuple):
    """What one validator answers another (peer.proto, FetchResponse); empty where it has nothing."""

    blocks: tuple[bytes, ...] = ()
    certificates: tuple[bytes, ...] = ()
    descendant_headers: tuple[bytes, ...] = ()
    snapshot: bytes = b""
    """Or the chunk of one."""


class Submissions(Protocol):
    """Where clients' transactions go in."""

    async def submit(self, transactions: Sequence[bytes], sink: Sink, first_position: int) -> None:
        """Take transactions; ``sink`` is told what becomes of each. Waits while too many wait for a check."""
