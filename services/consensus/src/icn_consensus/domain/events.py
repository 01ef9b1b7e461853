"""What can happen to a replica. The driver turns the world into these; `Replica.step` takes one at a time.

What came over a stream names the peer by the consensus key that the stream's Hello proved: which seat that
holds, if any, depends on the epoch. Message bytes are handed over raw: the core parses them, and drops most
repeats before parsing.

Source: docs/spec/consensus.md, "Events and actions".
"""

from __future__ import annotations

from dataclasses import dataclass

from icn_consensus.domain.block import ExecutedState


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """Bytes of a Proposal arrived from a peer."""

    peer: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """Bytes of a Vote arrived from a peer. Votes travel only from their voter: another's is dropped."""

    peer: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class CertificateReceived:
    """Bytes of a Certificate arrived from a peer."""

    peer: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class RecoveryReceived:
    """Bytes of a RecoveryCertificate arrived from a peer; under this replica's own key from its operator."""

    peer: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A stream to a peer is ready to carry messages, for the first time or again."""

    peer: bytes
    final_height: int
    """As its Hello said."""


@dataclass(frozen=True, slots=True)
class BlocksFetched:
    """Answer to a `Fetch` of a block by hash or of final blocks from a height on; possibly empty."""

    request: int
    peer: bytes
    blocks: tuple[bytes, ...]
    finalization: bytes = b""
    """For final blocks: the certificate that makes the last of them final."""
    descendant_headers: tuple[bytes, ...] = ()
    """Headers from the child of the last block to the one that the finalization names."""


@dataclass(frozen=True, slots=True)
class CertificatesFetched:
    """Answer to a `Fetch` of certificates from a view on; possibly empty."""

    request: int
    peer: bytes
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """The peer of a `Fetch` did not answer: not connected, stream lost, or no answer in the driver's time."""

    request: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time asked for by the latest `SetTimer` has come. Early or repeated firings do no harm."""


@dataclass(frozen=True, slots=True)
class PoolChanged:
    """Whether the pool holds a transaction that a block could include now.

    Those in an unfinished block of the branch, or behind a gap in their lane, do not count. Sent when the
    answer changes and when new ones were admitted.
    """

    has_pending: bool


@dataclass(frozen=True, slots=True)
class BlockPrepared:
    """Answer to `Prepare`: the transactions in block order; empty when nothing of the pool is valid."""

    request: int
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BlockJudged:
    """Answer to `Judge`. Exactly one of valid, behind, or a reason."""

    block_hash: bytes
    is_valid: bool
    is_behind: bool = False
    """The application has not executed enough (STATE_BEHIND) or lacks an ancestor; ask again later."""
    reason: str = ""
    """Stable reason when invalid."""


@dataclass(frozen=True, slots=True)
class BlockExecuted:
    """Answer to `Execute`: effects of this height are on disk."""

    state: ExecutedState


Message = ProposalReceived | VoteReceived | CertificateReceived | RecoveryReceived
"""What came over a stream."""

Event = (
    Message
    | PeerConnected
    | BlocksFetched
    | CertificatesFetched
    | FetchFailed
    | TimerFired
    | PoolChanged
    | BlockPrepared
    | BlockJudged
    | BlockExecuted
)
