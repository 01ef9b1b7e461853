"""What a replica wants done. The driver carries a list out in order.

A synced `Persist` must be on disk before any later action of its list is begun; lists are carried out in the
order of their steps. Answers come back as events; an action that is not said to be answered is not.
A peer is named by its consensus key: which seat that holds depends on the epoch, or none.

Source: docs/spec/consensus.md, "Events and actions".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from icn_chain.block import Block


class MessageKind(StrEnum):
    """Which field of a PeerFrame carries the bytes."""

    PROPOSAL = "proposal"
    VOTE = "vote"
    CERTIFICATE = "certificate"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Persist:
    """Append a record payload (docs/spec/wal.md) to the log.

    ``is_synced``: durable before the next action. Otherwise it becomes so with the next synced one; losing it
    loses nothing that was promised.
    """

    record: bytes
    epoch: int
    view: int
    """What it is about: once a final block of a higher (epoch, view) is in the block store, it may go."""
    is_synced: bool


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every peer, except those named. Dropped for a peer that is not connected."""

    kind: MessageKind
    data: bytes
    except_peers: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer; dropped when it is not connected."""

    peer: bytes
    kind: MessageKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Branch:
    """A chain of blocks above a height: what a block would extend (application.proto, Branch)."""

    executed_height: int
    unexecuted: tuple[bytes, ...]
    """Hashes above executed_height, ascending by height, the parent last."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Choose transactions for a proposal: pool candidates not in ``branch.unexecuted``, through PrepareBlock.

    Answered by `BlockPrepared` with the same request; a newer Prepare makes an older one void.
    """

    request: int
    branch: Branch
    epoch: int
    time_ms: int
    size_bytes_max: int
    transactions_max: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask the application's ValidateBlock; answered by `BlockJudged`. Ancestors come before descendants."""

    block_hash: bytes
    branch: Branch
    epoch: int
    time_ms: int
    transactions: tuple[bytes, ...]
    recovery: bytes = b""
    """Canonical bytes of the RecoveryCertificate that the block carries, or empty."""


@dataclass(frozen=True, slots=True)
class Execute:
    """A block became final: put it into the block store with its finality, then ExecuteBlock; answered by
    `BlockExecuted`. Comes once per height, ascending."""

    block: Block
    finalization: bytes
    """Canonical bytes of the finalization Certificate of it or of a descendant."""
    descendant_headers: tuple[bytes, ...]
    """Headers from its child to the block that the certificate names."""


@dataclass(frozen=True, slots=True)
class FetchBlock:
    """The block of this hash, final or not."""

    block_hash: bytes


@dataclass(frozen=True, slots=True)
class FetchFinalBlocks:
    """Final blocks of one epoch from this height on, and what shows that the last of them is final."""

    from_height: int


@dataclass(frozen=True, slots=True)
class FetchCertificates:
    """Notarizations and nullifications of the current epoch from this view on."""

    from_view: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send a FetchRequest; answered by `BlocksFetched`, `CertificatesFetched` or `FetchFailed`."""

    request: int
    peer: bytes
    what: FetchBlock | FetchFinalBlocks | FetchCertificates


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `TimerFired` at this time; replaces the earlier one. None: no timer."""

    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Notarized:
    """A block was notarized, not final: its transactions need no other proposal unless it is `Abandoned`."""

    block_hash: bytes
    height: int
    view: int
    milliseconds: int | None
    """Since its proposal was seen here; None where it was not."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A block is final; comes just before its `Execute`. Its transactions leave the pool."""

    block_hash: bytes
    height: int
    epoch: int
    view: int


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Blocks that can no longer become final; their transactions return to the pool unless committed."""

    block_hashes: tuple[bytes, ...]


class ReportKind(StrEnum):
    """What a `Report` is about."""

    EQUIVOCATION = "equivocation"
    """A seat contradicted itself; ``evidence`` shows it (docs/spec/consensus.md, "Evidence")."""
    INVALID_PROPOSAL = "invalid_proposal"
    """Not voted for; ``evidence`` where it can be shown to others why."""
    DISHONEST_MESSAGE = "dishonest_message"
    """What no honest validator sends: malformed, in another seat's name, or with a signature that is none."""
    BLOCK_TIME_REFUSED = "block_time_refused"
    """A proposal is too far from this clock; ``milliseconds`` of block time after the clock."""
    ROOT_MISMATCH = "root_mismatch"
    """A proposal names other roots than this node computed: it or we are wrong."""
    TIMED_OUT = "timed_out"
    """This replica nullified a view because its timer ran out."""
    SILENT_LEADER = "silent_leader"
    """This replica nullified a view at once because its leader counts as silent."""
    RECOVERED = "recovered"
    """The epoch of a recovery certificate begins."""
    RECOVERY_REFUSED = "recovery_refused"
    """A recovery certificate is for another chain or root than this one, or behind the times."""
    PROTOCOL_UNKNOWN = "protocol_unknown"
    """The epoch that begins is of a protocol version that is not known here: this replica takes no part."""
    FINALIZED = "finalized"
    """A block became final; ``milliseconds`` since its proposal was seen here."""


@dataclass(frozen=True, slots=True)
class Report:
    """For logs, metrics and governance; needs no answer."""

    kind: ReportKind
    epoch: int
    view: int
    seat: int
    """Whom it is about."""
    detail: str = ""
    evidence: bytes = b""
    milliseconds: int = 0
    peer: bytes = b""
    """Who sent what is dishonest, or a recovery certificate of no use here."""


Action = (
    Persist
    | Broadcast
    | Send
    | Prepare
    | Judge
    | Execute
    | Fetch
    | SetTimer
    | Notarized
    | Committed
    | Abandoned
    | Report
)
